//! What an answer cost and how it went, as far as its bytes say so.

use crate::domain::quota::Tokens;
use crate::llm::event::Facts;
use crate::llm::upstream::UpstreamError;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// What the model said it took; zeros that it said are values.
    pub usage: Option<Tokens>,
    /// What llama.cpp measured: the same numbers, also in answers without usage.
    pub timings: Option<Tokens>,
    /// Pieces of text, thought or call that passed: about as many tokens.
    pub deltas: u64,
    /// Their bytes, for a guess.
    pub output_bytes: u64,
    /// The model said that it was through.
    pub finished: bool,
    /// The model's server failed, said so in the stream, or broke off.
    pub failed: Option<UpstreamError>,
}

impl Report {
    /// What the model itself counted, by whichever of its two accounts there is.
    pub fn counted(&self) -> Option<Tokens> {
        self.usage.or(self.timings)
    }

    /// Tokens written so far, for a stream that goes on.
    pub fn written(&self) -> u64 {
        self.timings
            .map_or(self.deltas, |timings| timings.output.max(self.deltas))
    }
}

/// Adds up the events of one stream.
#[derive(Debug)]
pub(super) struct Tally {
    pub(super) report: Report,
    /// Answers that were asked for: each brings a usage of its own.
    answers: u32,
    finishes: u32,
}

impl Tally {
    pub(super) fn new(answers: u32) -> Self {
        Self {
            report: Report::default(),
            answers,
            finishes: 0,
        }
    }

    pub(super) fn add(&mut self, facts: &Facts<'_>) {
        let report = &mut self.report;
        report.deltas = report.deltas.saturating_add(facts.deltas);
        report.output_bytes = report.output_bytes.saturating_add(facts.output_bytes);
        let is_last_of_one = facts.finishes > 0 || facts.is_usage_only();
        let adds_up = self.answers > 1;
        if !adds_up || is_last_of_one {
            put(&mut report.usage, facts.usage, adds_up);
            put(&mut report.timings, facts.timings, adds_up);
        }
        self.finishes = self.finishes.saturating_add(facts.finishes);
        if facts.is_over || self.finishes >= self.answers {
            report.finished = true;
        }
    }
}

/// Running figures replace each other; those of several answers are added.
fn put(sum: &mut Option<Tokens>, more: Option<Tokens>, adds_up: bool) {
    let Some(more) = more else {
        return;
    };
    let before = sum.filter(|_| adds_up).unwrap_or_default();
    *sum = Some(Tokens {
        input: before.input.saturating_add(more.input),
        cached: before.cached.saturating_add(more.cached),
        output: before.output.saturating_add(more.output),
    });
}
