//! Values of the moment: put in when somebody asks, and read right after.

use std::sync::atomic::AtomicU64;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Registry, Unit};

use super::series::float;

/// How everything is at this moment.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Now {
    pub models: Vec<ModelNow>,
    pub reserved_tokens: u64,
    /// 1 is fair, 1/n is one user alone of n; `None` while nobody is active.
    pub jain_index: Option<f64>,
    /// By the phase's word.
    pub instances: Vec<(String, u64)>,
    pub open_sockets: u64,
    /// Requests that are in the sums of the usage and in no ledger.
    pub usage_lost: u64,
    pub degraded_parts: u64,
    pub uptime_s: u64,
}

/// One model's slots and queue.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ModelNow {
    pub model: String,
    pub slots_busy: u64,
    pub slots_total: u64,
    pub queued: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfModel {
    gen_ai_request_model: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct InPhase {
    phase: String,
}

type Float = Gauge<f64, AtomicU64>;
type Count = Gauge<u64, AtomicU64>;

pub(super) struct Gauges {
    depth: Family<OfModel, Count>,
    busy: Family<OfModel, Count>,
    total: Family<OfModel, Count>,
    reserved: Count,
    jain: Float,
    instances: Family<InPhase, Count>,
    sockets: Count,
    lost: Count,
    degraded: Count,
    uptime: Float,
}

impl Gauges {
    pub(super) fn register(registry: &mut Registry, version: &str) -> Self {
        let gauges = Self {
            depth: Family::default(),
            busy: Family::default(),
            total: Family::default(),
            reserved: Gauge::default(),
            jain: Gauge::default(),
            instances: Family::default(),
            sockets: Gauge::default(),
            lost: Gauge::default(),
            degraded: Gauge::default(),
            uptime: Gauge::default(),
        };
        gauges.of_the_model(registry);
        gauges.of_the_appliance(registry);
        registry.register(
            "thon_build",
            "Which version runs",
            Info::new([("version", version.to_owned())]),
        );
        gauges
    }

    fn of_the_model(&self, registry: &mut Registry) {
        let mut model = |name: &str, help: &str, family: &Family<OfModel, Count>| {
            registry.register(name, help, family.clone());
        };
        model("llm_queue_depth", "Requests that wait", &self.depth);
        model("llm_slots_busy", "Slots in use", &self.busy);
        model("llm_slots_total", "Slots that there are", &self.total);
        registry.register(
            "llm_reserved_tokens",
            "Tokens that running requests may still take",
            self.reserved.clone(),
        );
        registry.register(
            "llm_jain_index",
            "How evenly active users share the slots' time: 1 is evenly",
            self.jain.clone(),
        );
    }

    fn of_the_appliance(&self, registry: &mut Registry) {
        registry.register(
            "thon_instances",
            "Instances by what they were last seen doing",
            self.instances.clone(),
        );
        let mut count = |name: &str, help: &str, gauge: &Count| {
            registry.register(name, help, gauge.clone());
        };
        count("thon_open_sockets", "WebSockets to editors", &self.sockets);
        count(
            "thon_usage_lost_requests",
            "Requests since the start that are in sums only",
            &self.lost,
        );
        count(
            "thon_degraded_parts",
            "Parts that are not well",
            &self.degraded,
        );
        registry.register_with_unit(
            "thon_uptime",
            "Since the appliance started",
            Unit::Seconds,
            self.uptime.clone(),
        );
    }

    pub(super) fn put(&mut self, now: &Now) {
        for family in [&self.depth, &self.busy, &self.total] {
            family.clear();
        }
        for model in &now.models {
            let labels = OfModel {
                gen_ai_request_model: model.model.clone(),
            };
            self.depth.get_or_create(&labels).set(model.queued);
            self.busy.get_or_create(&labels).set(model.slots_busy);
            self.total.get_or_create(&labels).set(model.slots_total);
        }
        self.instances.clear();
        for (phase, count) in &now.instances {
            let labels = InPhase {
                phase: phase.clone(),
            };
            self.instances.get_or_create(&labels).set(*count);
        }
        self.reserved.set(now.reserved_tokens);
        // Nobody active is nobody treated unfairly.
        self.jain.set(now.jain_index.unwrap_or(1.0));
        self.sockets.set(now.open_sockets);
        self.lost.set(now.usage_lost);
        self.degraded.set(now.degraded_parts);
        self.uptime.set(float(now.uptime_s));
    }
}
