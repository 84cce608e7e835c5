//! The right to one request: what it reserved is settled exactly once, at the latest when it is dropped.

use std::sync::Arc;

use crate::domain::quota::Tokens;
use crate::domain::usage::Settled;
use crate::limiter::Limiter;
use crate::limiter::ask::Ask;
use crate::limiter::learnt::Lesson;
use crate::limiter::ledger::{Charge, Hold};
use crate::limiter::rules::{Expected, Rule, Rules};

/// More is taken in steps of so many output tokens while an answer grows.
pub const STEP_TOKENS: u64 = 256;

/// Dropped before [`Permit::sent`] it costs nothing; afterwards the prompt and what was seen.
#[derive(Debug)]
#[must_use = "dropping it settles it"]
pub struct Permit {
    limiter: Arc<Limiter>,
    request: Request,
    expected: Expected,
    /// Output tokens that are reserved for.
    covered: u64,
    sent: bool,
    seen: u64,
    is_open: bool,
}

/// A request that was admitted.
#[derive(Debug)]
pub struct Request {
    /// The ones that admitted it: it is charged by their weights, whatever holds since.
    pub rules: Arc<Rules>,
    pub ask: Ask,
    pub holds: Vec<Hold>,
    /// What it is known by where balances are shared.
    pub mark: Option<String>,
}

/// What was reserved for, in tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Estimate {
    pub prompt_tokens: u64,
    pub output_tokens: u64,
}

impl Permit {
    pub(crate) fn new(limiter: Arc<Limiter>, request: Request, expected: Expected) -> Self {
        let covered = request.covered();
        Self {
            limiter,
            request,
            expected,
            covered,
            sent: false,
            seen: 0,
            is_open: true,
        }
    }

    /// The model has the request: from here on it costs.
    pub fn sent(&mut self) {
        self.sent = true;
    }

    /// The model did not get it after all: it costs nothing again.
    pub fn unsent(&mut self) {
        self.sent = false;
    }

    /// Output tokens of all answers so far. What was reserved follows them, into debt if need be.
    pub fn seen(&mut self, output_tokens: u64) {
        self.seen = self.seen.max(output_tokens);
        if self.seen <= self.covered {
            return;
        }
        let more = self.request.growth(self.seen);
        self.limiter.extend(&mut self.request, &more);
        self.covered = self.request.covered();
    }

    /// What it would be charged if it were dropped now, for whoever writes that down.
    pub fn so_far(&self) -> (Tokens, Settled) {
        let tokens = Tokens {
            input: self.request.ask.prompt_tokens,
            cached: 0,
            output: self.seen,
        };
        match (self.sent, self.seen) {
            (false, _) => (Tokens::default(), Settled::Nothing),
            (true, 0) => (tokens, Settled::Estimated),
            (true, _) => (tokens, Settled::Observed),
        }
    }

    pub fn estimate(&self) -> Estimate {
        Estimate {
            prompt_tokens: self.expected.prompt,
            output_tokens: self.expected.output,
        }
    }

    /// Charges what was spent, and gives back or takes the difference to what was reserved.
    pub fn settle(mut self, spent: Tokens, how: Settled) {
        if how == Settled::Nothing {
            self.close(Charge::Nothing);
            return;
        }
        if how == Settled::Exact {
            self.learn(spent);
        }
        self.close(Charge::Cost(self.request.rules.cost(spent)));
    }

    /// The model refused before it worked: nothing is charged, and it was no request.
    pub fn refund(mut self) {
        self.close(Charge::Nothing);
    }

    fn learn(&self, spent: Tokens) {
        let lesson = Lesson {
            bytes: self.request.ask.prompt_bytes,
            images: self.request.ask.images,
            prompt_tokens: spent.input.saturating_add(spent.cached),
            output_tokens: spent.output / u64::from(self.request.ask.answers.max(1)),
        };
        self.limiter.learn(&self.request.ask, lesson);
    }

    fn close(&mut self, charge: Charge) {
        if std::mem::take(&mut self.is_open) {
            self.limiter.close(&self.request, charge);
        }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let charge = match self.so_far() {
            (_, Settled::Nothing) => Charge::Nothing,
            (spent, _) => Charge::Cost(self.request.rules.cost(spent)),
        };
        self.close(charge);
    }
}

impl Request {
    fn grows(&self, hold: &Hold) -> bool {
        self.rules.rules.get(hold.rule).is_some_and(Rule::grows)
    }

    /// Output tokens that every reservation has room for.
    fn covered(&self) -> u64 {
        let prompt = self.rules.cost_of(self.ask.prompt_tokens, 0);
        let weight = u64::from(self.rules.weights.output);
        let growing = self.holds.iter().filter(|hold| self.grows(hold));
        growing
            .map(|hold| hold.reserved.saturating_sub(prompt))
            .map(|left| left.checked_div(weight).unwrap_or(u64::MAX))
            .min()
            .unwrap_or(u64::MAX)
    }

    /// What each reservation lacks for so much output, in whole steps.
    fn growth(&self, seen: u64) -> Vec<u64> {
        let need = self.rules.cost_of(self.ask.prompt_tokens, seen);
        let step = self.rules.cost_of(0, STEP_TOKENS).max(1);
        let lacks = |hold: &Hold| match need.saturating_sub(hold.reserved) {
            more if self.grows(hold) => more.div_ceil(step).saturating_mul(step),
            _ => 0,
        };
        self.holds.iter().map(lacks).collect()
    }
}
