//! The limits in force, ready to be asked: which of them a request draws on, and how much.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::domain::model::ModelName;
use crate::domain::quota::{Limits, Mode, Models, Scope, TokenLimit, Tokens, Weights};
use crate::limiter::ask::Ask;
use crate::limiter::bucket::{AMOUNT_MAX, Pace};

/// What one of anything is in a balance.
pub(crate) const THOUSAND: u64 = 1_000;

/// The id of the limit of requests: no token limit has it.
const REQUESTS: &str = "requests/60";

const MINUTE: NonZeroU32 = NonZeroU32::new(60).unwrap();

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Counts {
    Tokens,
    Requests,
}

/// One limit.
#[derive(Debug)]
pub struct Rule {
    /// What its balances are found by, whatever else changes.
    pub id: Arc<str>,
    pub counts: Counts,
    pub limit: TokenLimit,
}

/// All of them. A request keeps the ones that it was admitted by.
#[derive(Debug)]
pub struct Rules {
    pub rules: Vec<Rule>,
    pub weights: Weights,
}

/// The rules that admitted a request, beside those of the present.
#[derive(Clone, Copy, Debug)]
pub struct Held<'r> {
    pub admitted: &'r Rules,
    pub now: &'r Rules,
}

impl<'r> Held<'r> {
    /// What became of a rule; as it was, if it is gone.
    pub fn present(self, index: usize) -> Option<&'r Rule> {
        let rule = self.admitted.rules.get(index)?;
        if std::ptr::eq(self.admitted, self.now) {
            return Some(rule);
        }
        Some(self.now.find(&rule.id).unwrap_or(rule))
    }
}

/// What a request is expected to take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Expected {
    pub prompt: u64,
    /// All that it may have, of all answers.
    pub output_cap: u64,
    /// What such answers usually have.
    pub output: u64,
}

/// What a request takes out of the balance of one rule before it begins, in thousandths.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Draw {
    /// Which of the rules.
    pub rule: usize,
    pub pace: Pace,
    /// What must fit for certain.
    pub least: u64,
    pub reserve: u64,
    pub refuses: bool,
}

impl Draw {
    pub fn never_fits(&self) -> bool {
        let capacity = self.pace.capacity();
        self.least > capacity || capacity == 0
    }
}

impl Rules {
    pub fn new(limits: &Limits) -> Self {
        // Two limits of one balance would draw twice: the smaller one holds.
        let mut by_id: BTreeMap<String, TokenLimit> = BTreeMap::new();
        for limit in &limits.tokens {
            let id = limit.id();
            if by_id.get(&id).is_none_or(|it| limit.tokens < it.tokens) {
                by_id.insert(id, limit.clone());
            }
        }
        let requests = limits.requests_per_minute.map(requests);
        let tokens = by_id.into_iter().map(|(id, limit)| Rule {
            id: id.into(),
            counts: Counts::Tokens,
            limit,
        });
        Self {
            rules: requests.into_iter().chain(tokens).collect(),
            weights: limits.weights,
        }
    }

    pub fn find(&self, id: &str) -> Option<&Rule> {
        self.rules.iter().find(|rule| &*rule.id == id)
    }

    /// What a request takes of whom.
    pub fn draws(&self, ask: &Ask, expected: Expected) -> Vec<Draw> {
        let concerned = self.rules.iter().enumerate();
        concerned
            .filter(|(_, rule)| rule.concerns(&ask.model))
            .map(|(index, rule)| {
                let pace = rule.pace(ask.subject.members);
                Draw {
                    rule: index,
                    pace,
                    least: rule.least(self, expected),
                    reserve: rule.reserve(self, expected, pace),
                    refuses: rule.refuses(),
                }
            })
            .collect()
    }

    /// Thousandths.
    pub fn cost(&self, spent: Tokens) -> u64 {
        let weighed = |count: u64, weight: u32| u128::from(count) * u128::from(weight);
        let sum = weighed(spent.input, self.weights.input)
            + weighed(spent.cached, self.weights.cached)
            + weighed(spent.output, self.weights.output);
        u64::try_from(sum).unwrap_or(AMOUNT_MAX).min(AMOUNT_MAX)
    }

    pub(crate) fn cost_of(&self, prompt: u64, output: u64) -> u64 {
        self.cost(Tokens {
            input: prompt,
            cached: 0,
            output,
        })
    }
}

fn requests(per_minute: NonZeroU32) -> Rule {
    Rule {
        id: REQUESTS.into(),
        counts: Counts::Requests,
        limit: TokenLimit {
            scope: Scope::User,
            models: Models::Together,
            tokens: per_minute.get().into(),
            window_s: MINUTE,
            mode: Mode::Strict,
            per_member: false,
        },
    }
}

impl Rule {
    pub fn concerns(&self, model: &ModelName) -> bool {
        match &self.limit.models {
            Models::Together | Models::Each => true,
            Models::One(name) => name == model,
        }
    }

    /// What tells its balances of one account apart.
    pub fn apart<'m>(&self, model: &'m ModelName) -> Option<&'m ModelName> {
        (self.limit.models == Models::Each).then_some(model)
    }

    pub fn pace(&self, members: u32) -> Pace {
        let by_member = self.limit.per_member && self.limit.scope == Scope::Group;
        let times = if by_member { members.max(1) } else { 1 };
        let tokens = self.limit.tokens.saturating_mul(times.into());
        Pace::new(tokens.saturating_mul(THOUSAND), self.limit.window_s)
    }

    /// Thousandths that must be there for certain, or the request is too large for the limit.
    fn least(&self, rules: &Rules, expected: Expected) -> u64 {
        match (self.counts, self.limit.mode) {
            (Counts::Requests, _) => THOUSAND,
            (Counts::Tokens, Mode::Observe) => 0,
            (Counts::Tokens, _) => rules.cost_of(expected.prompt, 0),
        }
    }

    /// Thousandths that are taken before: never more than a full bucket has.
    fn reserve(&self, rules: &Rules, expected: Expected, pace: Pace) -> u64 {
        let output = match (self.counts, self.limit.mode) {
            (Counts::Requests, _) => return THOUSAND.min(pace.capacity()),
            (Counts::Tokens, Mode::Observe) => return 0,
            (Counts::Tokens, Mode::Strict) => expected.output_cap,
            (Counts::Tokens, Mode::Balanced) => expected.output,
        };
        rules.cost_of(expected.prompt, output).min(pace.capacity())
    }

    /// Whether more is taken while an answer grows.
    pub fn grows(&self) -> bool {
        self.counts == Counts::Tokens && self.limit.mode != Mode::Observe
    }

    /// Whether it may refuse.
    fn refuses(&self) -> bool {
        self.counts == Counts::Requests || self.limit.mode != Mode::Observe
    }
}
