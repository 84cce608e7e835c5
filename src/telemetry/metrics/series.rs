//! What is counted as requests end: histograms and counters whose labels are resolved beforehand.

use std::collections::HashMap;

use parking_lot::RwLock;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

use crate::domain::tally::OTHERS;
use crate::domain::usage::{Outcome, Settled, UsageEntry};

/// Seconds, as OpenTelemetry advises, and longer: agents wait.
const DURATIONS: [f64; 17] = [
    0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92, 163.84,
    327.68, 655.36,
];

const FIRSTS: [f64; 20] = [
    0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0,
    30.0, 60.0, 120.0, 300.0,
];

const PER_TOKEN: [f64; 13] = [
    0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0, 2.5,
];

const WAITS: [f64; 12] = [
    0.01, 0.05, 0.1, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 600.0,
];

/// Powers of four: <https://opentelemetry.io/docs/specs/semconv/gen-ai/gen-ai-metrics/>.
const TOKENS: [f64; 14] = [
    1.0,
    4.0,
    16.0,
    64.0,
    256.0,
    1_024.0,
    4_096.0,
    16_384.0,
    65_536.0,
    262_144.0,
    1_048_576.0,
    4_194_304.0,
    16_777_216.0,
    67_108_864.0,
];

/// Of what was spent: 0.5 expected half of it, 2 expected twice as much. Not a difference: readers refuse
/// a sum over buckets below zero.
const ERRORS: [f64; 11] = [0.25, 0.5, 0.75, 0.9, 0.98, 1.02, 1.1, 1.25, 1.5, 2.0, 5.0];

/// More limits are not told apart.
const LIMITS_MAX: usize = 128;

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Asked {
    gen_ai_operation_name: &'static str,
    gen_ai_request_model: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
#[expect(clippy::struct_field_names, reason = "fields are the labels' names")]
struct Spent {
    gen_ai_operation_name: &'static str,
    gen_ai_request_model: String,
    gen_ai_token_type: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Ended {
    gen_ai_operation_name: &'static str,
    gen_ai_request_model: String,
    outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfModel {
    gen_ai_request_model: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Kind {
    kind: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Limit {
    limit: String,
}

type Histograms<L> = Family<L, Histogram, fn() -> Histogram>;

/// By model and by what is asked of it.
pub(super) struct Families {
    duration: Histograms<Asked>,
    first: Histograms<Asked>,
    per_token: Histograms<Asked>,
    tokens: Histograms<Spent>,
    wait: Histograms<OfModel>,
    requests: Family<Ended, Counter>,
}

impl Families {
    pub(super) fn register(registry: &mut Registry) -> Self {
        let durations = || Histogram::new(DURATIONS);
        let families = Self {
            duration: Family::new_with_constructor(durations),
            first: Family::new_with_constructor(|| Histogram::new(FIRSTS)),
            per_token: Family::new_with_constructor(|| Histogram::new(PER_TOKEN)),
            tokens: Family::new_with_constructor(|| Histogram::new(TOKENS)),
            wait: Family::new_with_constructor(|| Histogram::new(WAITS)),
            requests: Family::default(),
        };
        let mut seconds = |name: &str, help: &str, family: &Histograms<Asked>| {
            registry.register_with_unit(name, help, Unit::Seconds, family.clone());
        };
        seconds(
            "gen_ai_server_request_duration",
            "From a request to the end of its answer",
            &families.duration,
        );
        seconds(
            "gen_ai_server_time_to_first_token",
            "From a request to its first token",
            &families.first,
        );
        seconds(
            "gen_ai_server_time_per_output_token",
            "Between two tokens, after the first",
            &families.per_token,
        );
        registry.register(
            "gen_ai_client_token_usage",
            "Tokens of a request: all of the prompt, and all of the answer",
            families.tokens.clone(),
        );
        registry.register_with_unit(
            "llm_queue_wait",
            "How long a request waited for a slot",
            Unit::Seconds,
            families.wait.clone(),
        );
        registry.register(
            "llm_requests",
            "Requests by how they ended",
            families.requests.clone(),
        );
        families
    }

    pub(super) fn series(&self, operation: &'static str, model: &str) -> Series {
        let asked = Asked {
            gen_ai_operation_name: operation,
            gen_ai_request_model: model.to_owned(),
        };
        let spent = |kind| {
            let labels = Spent {
                gen_ai_operation_name: operation,
                gen_ai_request_model: model.to_owned(),
                gen_ai_token_type: kind,
            };
            self.tokens.get_or_create_owned(&labels)
        };
        let ended = |outcome| {
            let labels = Ended {
                gen_ai_operation_name: operation,
                gen_ai_request_model: model.to_owned(),
                outcome,
            };
            self.requests.get_or_create_owned(&labels)
        };
        Series {
            duration: self.duration.get_or_create_owned(&asked),
            first: self.first.get_or_create_owned(&asked),
            per_token: self.per_token.get_or_create_owned(&asked),
            input: spent("input"),
            output: spent("output"),
            wait: self.wait.get_or_create_owned(&OfModel {
                gen_ai_request_model: model.to_owned(),
            }),
            done: ended("done"),
            left: ended("left"),
            failed: ended("failed"),
            refused: ended("refused"),
        }
    }
}

/// One model and one thing that is asked of it.
#[derive(Debug)]
pub struct Series {
    duration: Histogram,
    first: Histogram,
    per_token: Histogram,
    input: Histogram,
    output: Histogram,
    wait: Histogram,
    done: Counter,
    left: Counter,
    failed: Counter,
    refused: Counter,
}

impl Series {
    /// One that was refused never reached the model: it says nothing about how fast that is.
    pub fn ended(&self, entry: &UsageEntry) {
        let counter = match entry.outcome {
            Outcome::Done => &self.done,
            Outcome::Left => &self.left,
            Outcome::Failed => &self.failed,
            Outcome::Refused => &self.refused,
        };
        counter.inc();
        if entry.outcome == Outcome::Refused {
            return;
        }
        self.wait.observe(seconds(entry.queue_ms));
        self.duration.observe(seconds(entry.duration_ms));
        let tokens = entry.tokens;
        if let Some(first_ms) = entry.first_ms {
            self.first.observe(seconds(first_ms));
            let rest_ms = entry.duration_ms.saturating_sub(first_ms);
            if let Some(rest @ 1..) = tokens.output.checked_sub(1) {
                self.per_token.observe(seconds(rest_ms) / float(rest));
            }
        }
        if entry.settled != Settled::Nothing {
            let input = tokens.input.saturating_add(tokens.cached);
            self.input.observe(float(input));
            self.output.observe(float(tokens.output));
        }
    }
}

/// What is counted for all models together.
pub(super) struct Kinds {
    exact: Counter,
    observed: Counter,
    estimated: Counter,
    nothing: Counter,
    error: Histogram,
    rejections: Family<Limit, Counter>,
    limits: RwLock<HashMap<String, Counter>>,
}

impl Kinds {
    pub(super) fn register(registry: &mut Registry) -> Self {
        let settled = Family::<Kind, Counter>::default();
        let of = |kind| settled.get_or_create_owned(&Kind { kind });
        let kinds = Self {
            exact: of("exact"),
            observed: of("observed"),
            estimated: of("estimated"),
            nothing: of("nothing"),
            error: Histogram::new(ERRORS),
            rejections: Family::default(),
            limits: RwLock::default(),
        };
        registry.register(
            "llm_settle",
            "Requests by how their tokens are known",
            settled,
        );
        registry.register(
            "llm_estimate_error_ratio",
            "Expected tokens, of the spent ones: 1 is right",
            kinds.error.clone(),
        );
        registry.register(
            "llm_limit_rejections",
            "Requests that a limit or a full queue refused",
            kinds.rejections.clone(),
        );
        kinds
    }

    pub(super) fn settled(&self, how: Settled) {
        match how {
            Settled::Exact => self.exact.inc(),
            Settled::Observed => self.observed.inc(),
            Settled::Estimated => self.estimated.inc(),
            Settled::Nothing => self.nothing.inc(),
        };
    }

    pub(super) fn estimated(&self, expected: u64, spent: u64) {
        if spent > 0 {
            self.error.observe(float(expected) / float(spent));
        }
    }

    pub(super) fn rejected(&self, limit: &str) {
        if let Some(counter) = self.limits.read().get(limit) {
            counter.inc();
            return;
        }
        let mut limits = self.limits.write();
        let limit = if limits.len() < LIMITS_MAX {
            limit
        } else {
            OTHERS
        };
        let labels = Limit {
            limit: limit.to_owned(),
        };
        let counter = self.rejections.get_or_create_owned(&labels);
        counter.inc();
        limits.insert(labels.limit, counter);
    }
}

fn seconds(ms: u64) -> f64 {
    float(ms) / 1_000.0
}

#[expect(
    clippy::cast_precision_loss,
    reason = "exact up to nine thousand million million"
)]
pub(super) fn float(count: u64) -> f64 {
    count as f64
}
