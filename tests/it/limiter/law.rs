//! The ledger beside a simulation that is slow and plainly right: it forgets nothing and plays every
//! balance again from the beginning.

use std::collections::BTreeMap;

use proptest::prelude::*;
use thon::limiter::STEP_TOKENS;

use super::*;

const USERS: [&str; 3] = [ANN, BOB, EVE];
const MODELS: [&str; 2] = ["qwen3", "big"];
const WINDOW_US: i128 = 60_000_000;
const ESTIMATE: u64 = 512;

#[derive(Clone, Debug)]
enum Op {
    Admit(Ask),
    Seen(usize, u64),
    Settle(usize, Tokens),
    Refund(usize),
    Drop(usize, bool),
    Pass(u64),
    Apply(u64),
    Prune,
}

fn op() -> impl Strategy<Value = Op> {
    let asked = (0..3_usize, 0..2_usize, 0..700_u64, 0..1_500_u64, 1..4_u32);
    let admit = asked.prop_map(|(user, model, prompt, cap, answers)| {
        let one = of_model(MODELS[model], ask(USERS[user], prompt, cap));
        Op::Admit(Ask { answers, ..one })
    });
    let tokens =
        (0..900_u64, 0..5_000_u64, 0..3_000_u64).prop_map(|(input, cached, output)| Tokens {
            input,
            cached,
            output,
        });
    prop_oneof![
        6 => admit,
        4 => (any::<usize>(), 0..4_000_u64).prop_map(|(at, seen)| Op::Seen(at, seen)),
        3 => (any::<usize>(), tokens).prop_map(|(at, tokens)| Op::Settle(at, tokens)),
        1 => any::<usize>().prop_map(Op::Refund),
        1 => (any::<usize>(), any::<bool>()).prop_map(|(at, sent)| Op::Drop(at, sent)),
        4 => (0..40_000_000_u64).prop_map(Op::Pass),
        1 => (300..3_000_u64).prop_map(Op::Apply),
        1 => Just(Op::Prune),
    ]
}

/// One limit of each kind, all from one number.
fn of(tokens: u64) -> Limits {
    let by = |scope, models, mode, tokens| TokenLimit {
        models,
        mode,
        ..limit(scope, tokens, MINUTE)
    };
    limits([
        by(Scope::User, Models::Together, Mode::Balanced, tokens),
        by(Scope::Group, Models::Each, Mode::Strict, tokens * 2),
        by(
            Scope::Event,
            Models::One(ModelName::new("big")),
            Mode::Balanced,
            tokens * 3,
        ),
        by(Scope::Event, Models::Together, Mode::Observe, tokens),
    ])
}

enum Event {
    Take(i128),
    Hold(i128),
}

/// Everything that ever happened to a balance.
#[derive(Default)]
struct Story {
    events: Vec<(i128, Event)>,
    charged: i128,
    /// Of those on their way when the last one was admitted: who, and what was reserved.
    last: Vec<(usize, i128)>,
    /// What they cost in the end beyond what was reserved.
    over: BTreeMap<usize, i128>,
}

impl Story {
    /// Thousandths times the window, at `now`: from the beginning, one event after another.
    fn left(&self, first: i128, now: i128) -> i128 {
        let (mut at, mut capacity) = (0, first);
        let mut left = capacity * WINDOW_US;
        for (when, event) in &self.events {
            left = (left + (when - at) * capacity).min(capacity * WINDOW_US);
            at = *when;
            match event {
                Event::Take(amount) => left -= amount * WINDOW_US,
                Event::Hold(other) => {
                    left += (other - capacity).max(0) * WINDOW_US;
                    capacity = *other;
                }
            }
            left = left.min(capacity * WINDOW_US);
        }
        (left + (now - at) * capacity).min(capacity * WINDOW_US)
    }

    /// All that could ever be spent until `now`.
    fn allowed(&self, first: i128, now: i128) -> i128 {
        let (mut at, mut capacity) = (0, first);
        let mut sum = first * WINDOW_US;
        for (when, event) in &self.events {
            if let Event::Hold(other) = event {
                sum += (when - at) * capacity + (other - capacity).max(0) * WINDOW_US;
                (at, capacity) = (*when, *other);
            }
        }
        sum + (now - at) * capacity
    }
}

/// A balance: which limit, whose, and of which model.
type Key = (usize, String, String);

struct Open {
    number: usize,
    permit: Permit,
    ask: Ask,
    seen: u64,
    sent: bool,
    /// What it holds, and whether that grows.
    holds: Vec<(Key, i128, bool)>,
}

struct Reference {
    first: Limits,
    limits: Limits,
    now: i128,
    stories: BTreeMap<Key, Story>,
    changes: Vec<(i128, Limits)>,
}

impl Reference {
    fn key(&self, index: usize, ask: &Ask) -> Option<Key> {
        let limit = &self.limits.tokens[index];
        let whose = match limit.scope {
            Scope::User => ask.subject.user.as_ref().unwrap().to_string(),
            Scope::Group => ask.subject.group.to_string(),
            Scope::Event => String::new(),
        };
        let model = match &limit.models {
            Models::One(name) if *name != ask.model => return None,
            Models::Each => ask.model.to_string(),
            _ => String::new(),
        };
        Some((index, whose, model))
    }

    fn capacity(limits: &Limits, index: usize) -> i128 {
        i128::from(limits.tokens[index].tokens) * 1_000
    }

    fn story(&mut self, key: &Key) -> &mut Story {
        let changes = &self.changes;
        self.stories.entry(key.clone()).or_insert_with(|| Story {
            events: changes
                .iter()
                .map(|(at, limits)| (*at, Event::Hold(Self::capacity(limits, key.0))))
                .collect(),
            ..Story::default()
        })
    }

    fn left(&mut self, key: &Key) -> i128 {
        let first = Self::capacity(&self.first, key.0);
        let now = self.now;
        self.story(key).left(first, now)
    }

    fn take(&mut self, key: &Key, amount: i128) {
        let now = self.now;
        self.story(key).events.push((now, Event::Take(amount)));
    }

    /// What it reserves of each, or nothing if it does not fit.
    fn admit(&mut self, ask: &Ask) -> Option<Vec<(Key, i128, bool)>> {
        let mut holds = Vec::new();
        for index in 0..self.limits.tokens.len() {
            let Some(key) = self.key(index, ask) else {
                continue;
            };
            let mode = self.limits.tokens[index].mode;
            let output = match mode {
                Mode::Strict => ask.output_cap,
                Mode::Balanced => ask.output_cap.min(ESTIMATE),
                Mode::Observe => 0,
            };
            let all = i128::from((ask.prompt_tokens + output * u64::from(ask.answers)) * 1_000);
            let capacity = Self::capacity(&self.limits, index);
            if mode == Mode::Observe {
                holds.push((key, 0, false));
                continue;
            }
            let reserve = all.min(capacity);
            if i128::from(ask.prompt_tokens) * 1_000 > capacity
                || self.left(&key) < reserve * WINDOW_US
            {
                return None;
            }
            holds.push((key, reserve, true));
        }
        for (key, amount, _) in &holds {
            self.take(key, *amount);
        }
        Some(holds)
    }

    fn grow(&mut self, open: &mut Open) {
        let need = i128::from((open.ask.prompt_tokens + open.seen) * 1_000);
        for (key, held, _) in open.holds.iter_mut().filter(|(_, _, grows)| *grows) {
            while *held < need {
                let step = i128::from(STEP_TOKENS) * 1_000;
                *held += step;
                self.take(key, step);
            }
        }
    }

    fn end(&mut self, number: usize, holds: &[(Key, i128, bool)], cost: i128) {
        for (key, held, _) in holds {
            self.take(key, cost - held);
            let story = self.story(key);
            story.charged += cost;
            if let Some((_, reserved)) = story.last.iter().find(|(it, _)| *it == number) {
                let over = (cost - reserved).max(0);
                story.over.insert(number, over);
            }
        }
    }

    fn keeps_the_bound(&mut self) -> Result<(), TestCaseError> {
        for ((index, ..), story) in &self.stories {
            if self.limits.tokens[*index].mode == Mode::Observe {
                continue;
            }
            let allowed = story.allowed(Self::capacity(&self.first, *index), self.now);
            let over: i128 = story.over.values().sum();
            prop_assert!(story.charged * WINDOW_US <= allowed + over * WINDOW_US);
        }
        Ok(())
    }
}

struct Both {
    world: World,
    reference: Reference,
    open: Vec<Open>,
    admitted: usize,
}

impl Both {
    fn new(tokens: u64) -> Self {
        Self {
            world: World::new(of(tokens)),
            reference: Reference {
                first: of(tokens),
                limits: of(tokens),
                now: 0,
                stories: BTreeMap::new(),
                changes: Vec::new(),
            },
            open: Vec::new(),
            admitted: 0,
        }
    }

    fn pick(&mut self, at: usize) -> Option<Open> {
        let count = self.open.len();
        (count > 0).then(|| self.open.swap_remove(at % count))
    }

    fn perform(&mut self, op: Op) -> Result<(), TestCaseError> {
        match op {
            Op::Admit(ask) => self.admit(ask)?,
            Op::Seen(at, seen) => {
                if let Some(mut open) = self.pick(at) {
                    open.seen = open.seen.max(seen);
                    open.permit.seen(seen);
                    self.reference.grow(&mut open);
                    self.open.push(open);
                }
            }
            Op::Settle(at, tokens) => {
                if let Some(open) = self.pick(at) {
                    let cost = tokens.input * 1_000 + tokens.cached * 100 + tokens.output * 1_000;
                    open.permit.settle(tokens, Settled::Observed);
                    self.reference.end(open.number, &open.holds, cost.into());
                }
            }
            Op::Refund(at) => {
                if let Some(open) = self.pick(at) {
                    open.permit.refund();
                    self.reference.end(open.number, &open.holds, 0);
                }
            }
            Op::Drop(at, sent) => self.drop(at, sent),
            Op::Pass(us) => {
                self.world.pass(Duration::from_micros(us));
                self.reference.now += i128::from(us);
            }
            Op::Apply(tokens) => self.apply(tokens),
            Op::Prune => drop(self.world.limiter.balances()),
        }
        Ok(())
    }

    fn admit(&mut self, ask: Ask) -> Result<(), TestCaseError> {
        let holds = self.reference.admit(&ask);
        let permit = self.world.admit(ask.clone());
        prop_assert_eq!(holds.is_some(), permit.is_ok());
        let (Some(holds), Ok(permit)) = (holds, permit) else {
            return Ok(());
        };
        self.admitted += 1;
        let number = self.admitted;
        self.open.push(Open {
            number,
            permit,
            ask,
            seen: 0,
            sent: false,
            holds: holds.clone(),
        });
        for (key, ..) in &holds {
            let of = |open: &Open| {
                let held = open.holds.iter().find(|(it, ..)| it == key);
                held.map(|(_, reserved, _)| (open.number, *reserved))
            };
            let story = self.reference.story(key);
            story.last = self.open.iter().filter_map(of).collect();
            story.over.clear();
        }
        Ok(())
    }

    fn drop(&mut self, at: usize, sent: bool) {
        let Some(mut open) = self.pick(at) else {
            return;
        };
        if sent && !open.sent {
            open.permit.sent();
            open.sent = true;
        }
        let cost = if open.sent {
            open.ask.prompt_tokens + open.seen
        } else {
            0
        };
        drop(open.permit);
        self.reference
            .end(open.number, &open.holds, i128::from(cost) * 1_000);
    }

    fn apply(&mut self, tokens: u64) {
        self.world.limiter.apply(&of(tokens));
        let now = self.reference.now;
        for (key, story) in &mut self.reference.stories {
            let capacity = Reference::capacity(&of(tokens), key.0);
            story.events.push((now, Event::Hold(capacity)));
        }
        self.reference.limits = of(tokens);
        self.reference.changes.push((now, of(tokens)));
    }

    /// Every balance, to the thousandth of a token.
    fn agree(&mut self) -> Result<(), TestCaseError> {
        let saved = self.world.limiter.balances();
        let keys: Vec<Key> = self.reference.stories.keys().cloned().collect();
        for key in keys {
            let left = self.reference.left(&key).div_euclid(WINDOW_US);
            let id = self.reference.limits.tokens[key.0].id();
            let found = saved.balances.iter().find(|it| {
                let account = serde_json::to_value(&it.account).unwrap();
                let whose = account.as_object().and_then(|it| it.values().next());
                it.limit == id
                    && whose.and_then(|it| it.as_str()).unwrap_or_default() == key.1
                    && it.model.as_ref().map(ModelName::as_str).unwrap_or_default() == key.2
            });
            let capacity = Reference::capacity(&self.reference.limits, key.0);
            let ours = found.map_or(capacity, |it| i128::from(it.left));
            prop_assert_eq!(ours, left, "{:?}", key);
        }
        Ok(())
    }
}

proptest! {
    #[test]
    fn whatever_happens_every_balance_is_the_simulation_s_and_the_bound_holds(
        tokens in 300..3_000_u64, ops in proptest::collection::vec(op(), 1..120)
    ) {
        let mut both = Both::new(tokens);
        for op in ops {
            both.perform(op)?;
            both.agree()?;
            both.reference.keeps_the_bound()?;
        }
        while !both.open.is_empty() {
            both.drop(0, true);
        }
        both.agree()?;
        both.reference.keeps_the_bound()?;
        prop_assert!(both.world.is_idle());
    }
}
