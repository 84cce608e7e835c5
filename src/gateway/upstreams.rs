//! The servers that answers come from, each with its queue, and which of them is asked.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::num::NonZeroU32;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;

use super::refusal::Refusal;
use crate::domain::model::ModelName;
use crate::lemonade::{Backend, Condition, Model};
use crate::limiter::queue::{FairQueue, QueueSettings, Who};
use crate::llm::Endpoint;

/// A server, and a line for each kind of work: Lemonade holds models of each kind beside the others.
pub struct Upstream {
    pub backend: Arc<Backend>,
    lines: [Arc<FairQueue>; KINDS],
    rules: Mutex<QueueSettings>,
}

/// What is written, embedded, ranked.
const KINDS: usize = 3;

#[derive(Clone)]
pub struct Upstreams(Arc<[Arc<Upstream>]>);

/// Where a request goes, and what the model is called there.
pub(super) struct Way {
    pub(super) upstream: Arc<Upstream>,
    pub(super) line: Arc<FairQueue>,
    pub(super) model: Model,
}

/// Who wants what.
#[derive(Clone, Copy)]
pub(super) struct Wish<'a> {
    pub(super) endpoint: Endpoint,
    pub(super) model: &'a ModelName,
    pub(super) who: &'a Who,
}

impl Upstreams {
    pub fn new(backends: Vec<Arc<Backend>>, rules: &QueueSettings) -> Self {
        let upstream = |backend| {
            Arc::new(Upstream {
                backend,
                lines: std::array::from_fn(|_| FairQueue::new(rules.clone())),
                rules: Mutex::new(rules.clone()),
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
            upstream.change(|before| QueueSettings {
                loaded_max: before.loaded_max,
                ..rules.clone()
            });
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

    /// The one with the shortest line, and of equals always the same one for the same person: it still
    /// remembers the conversation.
    pub(super) fn way(&self, wish: Wish<'_>, but: Option<&Arc<Upstream>>) -> Result<Way, Refusal> {
        let other = |way: &Way| but.is_none_or(|but| !Arc::ptr_eq(but, &way.upstream));
        let ways = self.iter().filter_map(|upstream| upstream.way(wish));
        let mut ways: Vec<Way> = ways.filter(other).collect();
        if ways.len() > 1 {
            ways.sort_by_cached_key(|way| (way.load(), way.upstream.distance(wish.who)));
        }
        let best = ways.into_iter().next();
        best.ok_or_else(|| self.missing(wish.model))
    }

    /// A model that no server has is no model only if every server could be asked.
    fn missing(&self, model: &ModelName) -> Refusal {
        let mut seen = self.iter().map(|upstream| upstream.backend.seen());
        if !self.0.is_empty() && seen.all(|seen| seen.condition.is_ready()) {
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

impl Way {
    /// Requests for each slot, in hundredths.
    fn load(&self) -> u64 {
        let models = self.line.models();
        let model = models.iter().find(|model| model.model == self.model.name);
        model.map_or(0, |model| {
            u64::from(model.running + model.waiting) * 100 / u64::from(model.slots.max(1))
        })
    }
}

impl Upstream {
    pub fn lines(&self) -> impl Iterator<Item = &Arc<FairQueue>> {
        self.lines.iter()
    }

    fn line(&self, endpoint: Endpoint) -> &Arc<FairQueue> {
        let [writing, embedding, ranking] = &self.lines;
        match endpoint {
            Endpoint::Embeddings => embedding,
            Endpoint::Rerank => ranking,
            _ => writing,
        }
    }

    fn way(self: &Arc<Self>, wish: Wish<'_>) -> Option<Way> {
        let seen = self.backend.seen();
        let model = seen
            .model(wish.model)
            .filter(|_| seen.condition.is_ready())?;
        let line = self.line(wish.endpoint);
        if !wish.endpoint.generates() {
            line.set_slots(&model.name, seen.slots);
        }
        Some(Way {
            upstream: Arc::clone(self),
            line: Arc::clone(line),
            model: model.clone(),
        })
    }

    /// Rendezvous hashing: another server that comes or goes moves nobody else.
    fn distance(&self, who: &Who) -> u64 {
        let mut hasher = DefaultHasher::new();
        (self.backend.url(), &who.group, &who.user).hash(&mut hasher);
        hasher.finish()
    }

    /// Models that are written with take turns; those for embeddings stand beside them.
    fn change(&self, to: impl FnOnce(&QueueSettings) -> QueueSettings) {
        let mut rules = self.rules.lock();
        let next = to(&rules);
        if *rules == next {
            return;
        }
        let [writing, others @ ..] = &self.lines;
        writing.apply(next.clone());
        for line in others {
            line.apply(QueueSettings {
                loaded_max: None,
                ..next.clone()
            });
        }
        *rules = next;
    }

    /// The line has as many slots as the server.
    async fn follow(&self) {
        let [writing, ..] = &self.lines;
        loop {
            let looked = self.backend.looked();
            let seen = self.backend.seen();
            if seen.condition == Condition::Ready {
                for model in &seen.models {
                    writing.set_slots(&model.name, seen.slots);
                }
                let loaded_max = NonZeroU32::new(seen.loaded_max);
                self.change(|before| QueueSettings {
                    loaded_max,
                    ..before.clone()
                });
            }
            looked.await;
        }
    }
}
