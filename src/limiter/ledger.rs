//! The balances of everybody: a request draws on several at once, on all of them or on none.

use std::collections::HashMap;

use crate::domain::id::{GroupName, UserName};
use crate::domain::model::ModelName;
use crate::limiter::ask::{Ask, Subject};
use crate::limiter::learnt::{Learnt, Lesson, MODELS_MAX, OUTPUT_START, Recent};
use crate::limiter::page::Page;
use crate::limiter::rules::{Counts, Draw, Expected, Held, Rule, Rules, THOUSAND};

mod open;
mod saved;
mod standings;

pub use open::never;

use open::Open;

/// How long somebody whose balances are full is remembered for the length of their answers.
const MEMORY_US: u64 = 3_600_000_000;

/// Whoever is not in it has everything.
#[derive(Debug, Default)]
pub struct Ledger {
    event: Page,
    groups: HashMap<GroupName, GroupPages>,
    pub learnt: Learnt,
    in_flight: InFlight,
}

/// Requests on their way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct InFlight {
    pub requests: u64,
    /// Thousandths that they reserved, each where it reserved most.
    pub reserved: u64,
}

#[derive(Debug, Default)]
struct GroupPages {
    own: Page,
    keys: UserPage,
    users: HashMap<UserName, UserPage>,
}

#[derive(Debug, Default)]
struct UserPage {
    page: Page,
    outputs: Vec<(ModelName, Recent)>,
    used_us: u64,
}

/// What it took.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hold {
    pub rule: usize,
    pub reserved: u64,
    /// From the balance of all models for which there was no room.
    pub is_shared: bool,
}

/// Why nothing was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Denied {
    pub rule: usize,
    /// Thousandths.
    pub requested: u64,
    /// `None`: it will never fit.
    pub wait_us: Option<u64>,
}

/// What a request is charged in the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Charge {
    /// It never happened.
    Nothing,
    /// Thousandths, and one request.
    Cost(u64),
}

impl Ledger {
    fn open(&mut self, subject: &Subject) -> Open<'_> {
        let pages = self.groups.entry(subject.group.clone()).or_default();
        let user = match &subject.user {
            None => &mut pages.keys,
            Some(user) => pages.users.entry(user.user.clone()).or_default(),
        };
        Open {
            event: &mut self.event,
            group: &mut pages.own,
            user: &mut user.page,
        }
    }

    fn user(&self, subject: &Subject) -> Option<&UserPage> {
        let pages = self.groups.get(&subject.group)?;
        match &subject.user {
            None => Some(&pages.keys),
            Some(user) => pages.users.get(&user.user),
        }
    }

    pub fn in_flight(&self) -> InFlight {
        self.in_flight
    }

    /// What an answer to it usually has; all answers together.
    pub fn expected(&self, ask: &Ask) -> Expected {
        let own = self
            .user(&ask.subject)
            .and_then(|page| page.outputs.iter().find(|(model, _)| *model == ask.model))
            .and_then(|(_, recent)| recent.usual());
        let usual = own
            .or_else(|| self.learnt.usual_output(&ask.model))
            .unwrap_or(OUTPUT_START);
        let answers = ask.answers.max(1).into();
        Expected {
            prompt: ask.prompt_tokens,
            output_cap: ask.output_cap.saturating_mul(answers),
            output: usual.min(ask.output_cap).saturating_mul(answers),
        }
    }

    /// Takes all of it or nothing.
    pub fn reserve(
        &mut self,
        rules: &Rules,
        ask: &Ask,
        draws: &[Draw],
        now_us: u64,
    ) -> Result<Vec<Hold>, Denied> {
        let mut open = self.open(&ask.subject);
        if let Some(denied) = open.check(rules, ask, draws, now_us) {
            return Err(denied);
        }
        let mut holds = Vec::with_capacity(draws.len());
        for draw in draws {
            if let Some(rule) = rules.rules.get(draw.rule) {
                open.line(rule, ask, now_us).take(draw.reserve);
            }
            holds.push(open.hold(rules, draw, ask));
        }
        self.in_flight.begin(&holds);
        Ok(holds)
    }

    /// It was taken where the balances are shared, of which so much is used now.
    pub fn reserved_elsewhere(
        &mut self,
        rules: &Rules,
        ask: &Ask,
        (draws, used): (&[Draw], &[i64]),
        now_us: u64,
    ) -> Vec<Hold> {
        let mut open = self.open(&ask.subject);
        open.mirror(rules, ask, (draws, used), now_us);
        let holds: Vec<Hold> = draws
            .iter()
            .map(|draw| open.hold(rules, draw, ask))
            .collect();
        self.in_flight.begin(&holds);
        holds
    }

    /// It was refused where the balances are shared.
    pub fn denied_elsewhere(
        &mut self,
        rules: &Rules,
        ask: &Ask,
        (draws, used): (&[Draw], &[i64]),
        now_us: u64,
    ) -> Option<Denied> {
        let mut open = self.open(&ask.subject);
        open.mirror(rules, ask, (draws, used), now_us);
        open.check(rules, ask, draws, now_us)
    }

    /// Takes more for an answer that grew: so much of each.
    pub fn extend(
        &mut self,
        rules: Held<'_>,
        ask: &Ask,
        (holds, more): (&mut [Hold], &[u64]),
        now_us: u64,
    ) {
        let before = most(holds);
        let mut open = self.open(&ask.subject);
        for (hold, more) in holds.iter_mut().zip(more).filter(|(_, more)| **more > 0) {
            if let Some(rule) = rules.present(hold.rule) {
                open.drawn((rule, hold), ask, now_us).take(*more);
                hold.reserved = hold.reserved.saturating_add(*more);
            }
        }
        let grown = most(holds).saturating_sub(before);
        self.in_flight.reserved = self.in_flight.reserved.saturating_add(grown);
    }

    /// Charges what it cost and gives the rest back.
    pub fn close(
        &mut self,
        rules: Held<'_>,
        ask: &Ask,
        (holds, charge): (&[Hold], Charge),
        now_us: u64,
    ) {
        let mut open = self.open(&ask.subject);
        for hold in holds {
            let Some(rule) = rules.present(hold.rule) else {
                continue;
            };
            let cost = charge.of(rule);
            let bucket = open.drawn((rule, hold), ask, now_us);
            if cost > hold.reserved {
                bucket.take(cost - hold.reserved);
            } else {
                bucket.give(hold.reserved - cost);
            }
        }
        self.in_flight.end(holds);
    }

    /// Remembers what a request that was answered to its end had.
    pub fn learn(&mut self, ask: &Ask, lesson: Lesson, now_us: u64) {
        self.learnt.learn(&ask.model, lesson);
        let pages = self.groups.entry(ask.subject.group.clone()).or_default();
        let page = match &ask.subject.user {
            None => &mut pages.keys,
            Some(user) => pages.users.entry(user.user.clone()).or_default(),
        };
        page.learn(&ask.model, lesson.output_tokens, now_us);
    }

    /// New limits: what is left stays, as far as there is room.
    pub fn apply(&mut self, rules: &Rules, now_us: u64) {
        self.event.apply(rules, now_us);
        for pages in self.groups.values_mut() {
            pages.own.apply(rules, now_us);
            pages.keys.page.apply(rules, now_us);
            for user in pages.users.values_mut() {
                user.page.apply(rules, now_us);
            }
        }
    }

    /// Forgets everybody who has everything.
    pub fn prune(&mut self, now_us: u64) {
        self.event.drop_full(now_us);
        self.groups.retain(|_, pages| {
            pages.own.drop_full(now_us);
            let keys = pages.keys.is_remembered(now_us);
            pages.users.retain(|_, user| user.is_remembered(now_us));
            keys || !pages.own.is_empty() || !pages.users.is_empty()
        });
    }
}

impl UserPage {
    fn learn(&mut self, model: &ModelName, output: u64, now_us: u64) {
        self.used_us = now_us;
        let known = self.outputs.iter_mut().find(|(name, _)| name == model);
        if let Some((_, recent)) = known {
            recent.add(output);
            return;
        }
        if self.outputs.len() >= MODELS_MAX {
            self.outputs.remove(0);
        }
        let mut recent = Recent::default();
        recent.add(output);
        self.outputs.push((model.clone(), recent));
    }

    fn is_remembered(&mut self, now_us: u64) -> bool {
        self.page.drop_full(now_us);
        if now_us.saturating_sub(self.used_us) > MEMORY_US {
            self.outputs.clear();
        }
        !self.page.is_empty() || !self.outputs.is_empty()
    }
}

impl Charge {
    pub fn of(self, rule: &Rule) -> u64 {
        match (self, rule.counts) {
            (Self::Nothing, _) => 0,
            (Self::Cost(_), Counts::Requests) => THOUSAND,
            (Self::Cost(cost), Counts::Tokens) => cost,
        }
    }
}

impl InFlight {
    fn begin(&mut self, holds: &[Hold]) {
        self.requests += 1;
        self.reserved = self.reserved.saturating_add(most(holds));
    }

    fn end(&mut self, holds: &[Hold]) {
        self.requests = self.requests.saturating_sub(1);
        self.reserved = self.reserved.saturating_sub(most(holds));
    }
}

fn most(holds: &[Hold]) -> u64 {
    holds.iter().map(|hold| hold.reserved).max().unwrap_or(0)
}
