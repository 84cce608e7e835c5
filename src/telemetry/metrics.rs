//! `Metrics`: what Prometheus is told, under stable names and with a bounded number of labels.

mod gauges;
mod series;

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use parking_lot::{Mutex, RwLock};
use prometheus_client::encoding::text;
use prometheus_client::registry::Registry;

pub use gauges::{ModelNow, Now};
pub use series::Series;

use crate::domain::model::ModelName;
use crate::domain::tally::OTHERS;
use crate::domain::usage::{Settled, UsageEntry};
use gauges::Gauges;
use series::{Families, Kinds};

/// The type of what [`Metrics::render`] gives.
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// What requests do: other words are not told apart.
const OPERATIONS: [&str; 6] = [
    "chat",
    "completions",
    "embeddings",
    "responses",
    "messages",
    "rerank",
];

/// Models that are told apart, ever: whoever loads one after the other must not fill the memory.
const MODELS_MAX: usize = 256;

/// Made once and handed to whoever measures.
pub struct Metrics {
    registry: Registry,
    families: Families,
    kinds: Kinds,
    /// Held while values of the moment are put in and read.
    gauges: Mutex<Gauges>,
    known: RwLock<BTreeSet<ModelName>>,
    /// By what a request does and the model's name.
    series: RwLock<HashMap<(&'static str, ModelName), Arc<Series>>>,
}

impl Metrics {
    pub fn new(version: &str) -> Arc<Self> {
        let mut registry = Registry::default();
        let families = Families::register(&mut registry);
        let kinds = Kinds::register(&mut registry);
        let gauges = Mutex::new(Gauges::register(&mut registry, version));
        Arc::new(Self {
            registry,
            families,
            kinds,
            gauges,
            known: RwLock::default(),
            series: RwLock::default(),
        })
    }

    /// Models that a backend has. Any other name is a stranger's word and no label.
    pub fn know(&self, models: impl IntoIterator<Item = ModelName>) {
        let mut known = self.known.write();
        for model in models {
            if known.len() < MODELS_MAX {
                known.insert(model);
            }
        }
    }

    /// Where requests of this kind to this model are counted. Whoever has many keeps it.
    pub fn series(&self, operation: &str, model: &ModelName) -> Arc<Series> {
        let mut operations = OPERATIONS.into_iter();
        let operation = operations.find(|known| *known == operation);
        let is_known = self.known.read().contains(model);
        let model = is_known.then(|| model.clone());
        let model = model.unwrap_or_else(|| ModelName::new(OTHERS));
        let key = (operation.unwrap_or(OTHERS), model);
        if let Some(series) = self.series.read().get(&key) {
            return Arc::clone(series);
        }
        let mut all = self.series.write();
        let made = || Arc::new(self.families.series(key.0, key.1.as_str()));
        Arc::clone(all.entry(key.clone()).or_insert_with(made))
    }

    /// A request ended.
    pub fn ended(&self, entry: &UsageEntry) {
        self.series(&entry.operation, &entry.model).ended(entry);
        self.settled(entry.settled);
    }

    /// For whoever keeps the series: [`Series::ended`] does not say how the tokens are known.
    pub fn settled(&self, how: Settled) {
        self.kinds.settled(how);
    }

    /// What was expected of a request that is settled by the model's own count.
    pub fn estimated(&self, expected_tokens: u64, spent_tokens: u64) {
        self.kinds.estimated(expected_tokens, spent_tokens);
    }

    /// `limit` is a limit's id, or `requests`, `concurrency`, `queue`.
    pub fn rejected(&self, limit: &str) {
        self.kinds.rejected(limit);
    }

    /// Everything, with what is only known by looking.
    pub fn render(&self, now: &Now) -> String {
        let mut gauges = self.gauges.lock();
        gauges.put(now);
        let mut told = String::new();
        // Writing to a `String` does not fail.
        text::encode(&mut told, &self.registry).unwrap_or_default();
        told
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::quota::Tokens;
    use crate::domain::usage::Outcome;
    use jiff::Timestamp;

    fn entry(model: &str) -> UsageEntry {
        UsageEntry {
            at: Timestamp::UNIX_EPOCH,
            request: "r".to_owned(),
            user: None,
            group: "red".parse().unwrap(),
            key: "0123456789abcdef".parse().unwrap(),
            model: ModelName::new(model),
            operation: "chat".to_owned(),
            tokens: Tokens {
                input: 100,
                cached: 900,
                output: 11,
            },
            queue_ms: 500,
            first_ms: Some(1_000),
            duration_ms: 2_000,
            status: 200,
            outcome: Outcome::Done,
            settled: Settled::Exact,
        }
    }

    #[test]
    fn strangers_cannot_make_labels() {
        let metrics = Metrics::new("0.0.0");
        metrics.know([ModelName::new("qwen3")]);
        for number in 0..1_000 {
            let mut odd = entry(&format!("made-up-{number}"));
            odd.operation = format!("odd-{number}");
            metrics.ended(&odd);
            metrics.rejected(&format!("limit-{number}"));
        }
        metrics.ended(&entry("qwen3"));
        let text = metrics.render(&Now::default());
        assert!(
            !text.contains("made-up") && !text.contains("odd-"),
            "{text}"
        );
        assert!(text.contains("gen_ai_request_model=\"(others)\""));
        assert!(text.contains("gen_ai_request_model=\"qwen3\""));
        assert!(text.lines().count() < 700, "{}", text.lines().count());
    }

    #[test]
    fn a_request_is_counted_where_it_belongs() {
        let metrics = Metrics::new("0.0.0");
        metrics.know([ModelName::new("m")]);
        metrics.ended(&entry("m"));
        let mut refused = entry("m");
        refused.outcome = Outcome::Refused;
        refused.settled = Settled::Nothing;
        metrics.ended(&refused);
        metrics.estimated(1_500, 1_000);
        let text = metrics.render(&Now::default());
        let of = "gen_ai_operation_name=\"chat\",gen_ai_request_model=\"m\"";
        for line in [
            &format!("gen_ai_server_request_duration_seconds_sum{{{of}}} 2.0"),
            &format!("gen_ai_server_time_to_first_token_seconds_sum{{{of}}} 1.0"),
            &format!("gen_ai_server_time_per_output_token_seconds_sum{{{of}}} 0.1"),
            &format!("gen_ai_client_token_usage_sum{{{of},gen_ai_token_type=\"input\"}} 1000.0"),
            &format!("gen_ai_client_token_usage_sum{{{of},gen_ai_token_type=\"output\"}} 11.0"),
            &format!("llm_requests_total{{{of},outcome=\"refused\"}} 1"),
            "llm_queue_wait_seconds_sum{gen_ai_request_model=\"m\"} 0.5",
            "llm_settle_total{kind=\"exact\"} 1",
            "llm_settle_total{kind=\"nothing\"} 1",
            "llm_estimate_error_ratio_sum 1.5",
        ] {
            assert!(text.contains(line), "{line}\n{text}");
        }
    }
}
