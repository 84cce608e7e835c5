//! The servers that answers come from, each with its queue, and which of them is asked.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::num::NonZeroU32;
use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use super::refusal::Refusal;
use crate::domain::model::ModelName;
use crate::lemonade::{Backend, Condition, Model};
use crate::limiter::queue::{FairQueue, QueueSettings};

pub struct Upstream {
    pub backend: Arc<Backend>,
    pub queue: Arc<FairQueue>,
    rules: parking_lot::Mutex<QueueSettings>,
}

#[derive(Clone)]
pub struct Upstreams(Arc<[Arc<Upstream>]>);

/// Where a request goes, and what the model is called there.
pub(super) struct Way {
    pub(super) upstream: Arc<Upstream>,
    pub(super) model: Model,
}

impl Upstreams {
    pub fn new(backends: Vec<Arc<Backend>>, rules: &QueueSettings) -> Self {
        let upstream = |backend| {
            Arc::new(Upstream {
                backend,
                queue: FairQueue::new(rules.clone()),
                rules: parking_lot::Mutex::new(rules.clone()),
            })
        };
        Self(backends.into_iter().map(upstream).collect())
    }

    pub fn iter(&self) -> impl Iterator<Item = &Arc<Upstream>> {
        self.0.iter()
    }

    /// Other rules from now on; what is known of the servers stays.
    pub fn apply(&self, rules: &QueueSettings) {
        for upstream in self.iter() {
            let loaded_max = upstream.rules.lock().loaded_max;
            let rules = QueueSettings {
                loaded_max,
                ..rules.clone()
            };
            upstream.set(rules);
        }
    }

    /// Looks after every server until `shutdown`.
    pub async fn keep(&self, shutdown: CancellationToken) {
        let kept = self.iter().map(|upstream| {
            let looking = Arc::clone(&upstream.backend).keep(shutdown.clone());
            let following = shutdown.run_until_cancelled(upstream.follow());
            async move {
                tokio::join!(looking, following);
            }
        });
        futures_util::future::join_all(kept).await;
    }

    /// What is offered by servers that answer, each name once.
    pub(super) fn models(&self) -> BTreeMap<ModelName, Model> {
        let ready = self.iter().map(|upstream| upstream.backend.seen());
        let models = ready.flat_map(|seen| seen.models.clone());
        models.map(|model| (model.name.clone(), model)).collect()
    }

    /// The one with the shortest line, and of equals always the same one for the same `who`: it still
    /// remembers the conversation.
    pub(super) fn way(
        &self,
        model: &ModelName,
        who: &str,
        but: Option<&Arc<Upstream>>,
    ) -> Result<Way, Refusal> {
        let ways = self.iter().filter_map(|upstream| {
            let seen = upstream.backend.seen();
            let model = seen.model(model).filter(|_| seen.condition.is_ready())?;
            Some(Way {
                upstream: Arc::clone(upstream),
                model: model.clone(),
            })
        });
        let other = |way: &Way| but.is_none_or(|but| !Arc::ptr_eq(but, &way.upstream));
        let best = ways
            .filter(other)
            .min_by_key(|way| (way.upstream.load(model), way.upstream.distance(who)));
        best.ok_or_else(|| self.missing(model))
    }

    /// A model that no server has is no model only if every server could be asked.
    fn missing(&self, model: &ModelName) -> Refusal {
        let all = self.iter().map(|upstream| upstream.backend.seen());
        if all.map(|seen| seen.condition.is_ready()).all(|ready| ready) && !self.0.is_empty() {
            Refusal::UnknownModel(model.to_string())
        } else {
            Refusal::Unavailable
        }
    }

    pub fn is_ready(&self) -> bool {
        self.iter()
            .any(|upstream| upstream.backend.seen().condition.is_ready())
    }
}

impl Upstream {
    /// Requests for each slot, in hundredths.
    fn load(&self, model: &ModelName) -> u64 {
        let status = self.queue.status();
        let line = status.models.iter().find(|line| line.model == *model);
        line.map_or(0, |line| {
            u64::from(line.running + line.waiting) * 100 / u64::from(line.slots.max(1))
        })
    }

    /// Rendezvous hashing: another server that comes or goes moves nobody else.
    fn distance(&self, who: &str) -> u64 {
        let mut hasher = DefaultHasher::new();
        (self.backend.url(), who).hash(&mut hasher);
        hasher.finish()
    }

    fn set(&self, rules: QueueSettings) {
        self.queue.apply(rules.clone());
        *self.rules.lock() = rules;
    }

    /// The queue has as many slots as the server.
    async fn follow(&self) {
        loop {
            let looked = self.backend.looked();
            let seen = self.backend.seen();
            if seen.condition == Condition::Ready {
                for model in &seen.models {
                    self.queue.set_slots(&model.name, seen.slots);
                }
                let loaded_max = NonZeroU32::new(seen.loaded_max);
                let mut rules = self.rules.lock().clone();
                if rules.loaded_max != loaded_max {
                    rules.loaded_max = loaded_max;
                    self.set(rules);
                }
            }
            looked.await;
        }
    }
}
