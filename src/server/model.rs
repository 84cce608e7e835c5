//! The way to the language model, put together: servers, queues, limits, and who is told.

use std::net::IpAddr;
use std::sync::Arc;

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::Parts;
use crate::config::{self, Away};
use crate::control::Control;
use crate::domain::health::Health;
use crate::domain::id::KeyId;
use crate::domain::quota::Limits;
use crate::gateway::{Board, Bodies, Gateway, Offered, Upstreams};
use crate::lemonade::{Backend, Condition};
use crate::limiter::queue::QueueSettings;
use crate::limiter::{Balances, Limiter, Moment, Place, Settler, Shared, Sharing, Tls, WhenAway};
use crate::llm::Policy;
use crate::telemetry::metrics::Metrics;

/// Answers of one request, and texts of one request for embeddings.
const ANSWERS_MAX: u32 = 4;
const INPUTS_MAX: u32 = 2_048;

/// Requests that wait for one server, of everybody.
const WAITING_MAX: usize = 1_000;

/// Of all requests on the way together.
const BODIES_BYTES_MAX: usize = 512 << 20;

/// Whose balances they are, where nobody gave the event a name.
const EVENT: &str = "thon";

/// Keys shown from elsewhere that wait to be written down.
const FOREIGN_MAX: usize = 64;

/// What answers `/v1`, while the appliance runs.
pub(super) struct Model {
    pub(super) gateway: Arc<Gateway>,
    settings: config::Gateway,
    foreign: mpsc::Receiver<(KeyId, IpAddr)>,
    /// When balances are shared: tells what was settled.
    settler: Option<Settler>,
}

impl Parts<'_> {
    /// `None`: the gateway is off.
    pub(super) fn model(
        &self,
        metrics: &Arc<Metrics>,
        tasks: &TaskTracker,
    ) -> anyhow::Result<Option<Model>> {
        let settings = &self.config.gateway;
        if !settings.enabled {
            return Ok(None);
        }
        let limits = self.control.limits().borrow().clone();
        let backends: Result<Vec<_>, _> = settings
            .backends
            .iter()
            .map(|backend| Backend::new(&backend.url, backend.api_key.as_ref()))
            .collect();
        let (told, foreign) = mpsc::channel(FOREIGN_MAX);
        let (limiter, settler) = self.limiter(&limits)?;
        let gateway = Gateway {
            table: self.table.clone(),
            upstreams: Upstreams::new(backends?, &rules(settings, &limits)),
            limiter,
            offered: offered(settings),
            policy: policy(settings),
            body_bytes_max: settings.body_bytes_max,
            bodies: Bodies::new(BODIES_BYTES_MAX.max(settings.body_bytes_max)),
            usage: self.control.usage_sink(),
            board: Board::default(),
            watches: tasks.clone(),
            metrics: Arc::clone(metrics),
            // The access log has every one; the audit log may miss some of a flood.
            foreign_key: Box::new(move |id, from| drop(told.try_send((id, from)))),
        };
        Ok(Some(Model {
            gateway: Arc::new(gateway),
            settings: settings.clone(),
            foreign,
            settler,
        }))
    }

    fn limiter(&self, limits: &Limits) -> anyhow::Result<(Arc<Limiter>, Option<Settler>)> {
        let saved = saved(&self.control)?;
        let Some(redis) = &self.config.gateway.redis else {
            return Ok((Limiter::new(limits, saved, Moment::now()), None));
        };
        let sharing = Sharing {
            place: Place {
                host: redis.host.clone(),
                port: redis.port,
                password: redis.password.clone(),
                tls: if redis.tls { Tls::On } else { Tls::Off },
            },
            event: self
                .config
                .event
                .id
                .clone()
                .unwrap_or_else(|| EVENT.to_owned()),
            appliance: self.control.appliance().to_string(),
            when_away: match redis.away {
                Away::Refuse => WhenAway::Refuse,
                Away::Local => WhenAway::GoOn,
            },
        };
        let (limiter, settler) = Limiter::sharing(limits, saved, Moment::now(), &sharing)?;
        Ok((limiter, Some(settler)))
    }
}

impl Model {
    pub(super) fn keep(
        self,
        control: &Arc<Control>,
        tasks: &TaskTracker,
        stop: &CancellationToken,
    ) {
        let Self {
            gateway,
            settings,
            mut foreign,
            settler,
        } = self;
        if let Some(settler) = settler {
            tasks.spawn(settler.run(stop.clone()));
        }
        let (upstreams, shutdown) = (gateway.upstreams.clone(), stop.clone());
        tasks.spawn(async move { upstreams.keep(shutdown).await });
        let (limiter, keeper, shutdown) = (
            Arc::clone(&gateway.limiter),
            Arc::clone(control),
            stop.clone(),
        );
        tasks.spawn(async move {
            let balances = || balances(&limiter);
            keeper.keep_balances(balances, shutdown).await;
        });
        let (teller, shutdown) = (Arc::clone(control), stop.clone());
        tasks.spawn(async move {
            let telling = async {
                while let Some((id, from)) = foreign.recv().await {
                    if let Err(error) = teller.note_foreign_key(&id, Some(from)).await {
                        tracing::warn!(%error, "a key that was shown from elsewhere was not written down");
                    }
                }
            };
            shutdown.run_until_cancelled(telling).await;
        });
        let following = follow(Arc::clone(control), gateway, settings);
        let shutdown = stop.clone();
        tasks.spawn(async move {
            shutdown.run_until_cancelled(following).await;
        });
    }
}

/// Limits that change are in force at once, and what becomes of the servers is said.
async fn follow(control: Arc<Control>, gateway: Arc<Gateway>, settings: config::Gateway) {
    let mut limits = control.limits();
    loop {
        // Before anything is told: what is seen meanwhile is told with the next round.
        let looked = looked(&gateway.upstreams);
        tell(&control, &gateway);
        tokio::select! {
            changed = limits.changed() => {
                if changed.is_err() {
                    return;
                }
                let now = limits.borrow_and_update().clone();
                gateway.limiter.apply(&now);
                gateway.upstreams.apply(&rules(&settings, &now));
            }
            () = looked => {}
        }
    }
}

fn tell(control: &Control, gateway: &Gateway) {
    control.report("model", health(&gateway.upstreams));
    control.report("limits", shared(&gateway.limiter));
    let models = gateway.upstreams.iter().flat_map(|upstream| {
        let seen = upstream.backend.seen();
        let names = seen.models.iter().map(|model| model.name.clone());
        names.collect::<Vec<_>>()
    });
    gateway.metrics.know(models);
}

/// Balances that are elsewhere.
fn shared(limiter: &Limiter) -> Health {
    match limiter.shared_state() {
        Shared::Off | Shared::Fine => Health::Ok,
        Shared::Away { since } => {
            Health::degraded("THN-LIMITS-01", format!("Redis is away since {since:.0}"))
        }
    }
}

/// Any of the servers was looked at, as seen from this call.
fn looked(upstreams: &Upstreams) -> impl Future<Output = ()> + '_ {
    let looks = upstreams
        .iter()
        .map(|upstream| Box::pin(upstream.backend.looked()));
    let any = futures_util::future::select_all(looks);
    async move {
        any.await;
    }
}

fn health(upstreams: &Upstreams) -> Health {
    let away: Vec<String> = upstreams
        .iter()
        .filter_map(|upstream| match &upstream.backend.seen().condition {
            Condition::Ready => None,
            other => Some(format!("{} is {other}", upstream.backend.url())),
        })
        .collect();
    if away.is_empty() {
        Health::Ok
    } else {
        Health::degraded("THN-MODEL-01", away.join("; "))
    }
}

/// Balances that cannot be read are as good as none: everybody begins with what the limit holds.
fn saved(control: &Control) -> anyhow::Result<Balances> {
    let saved = control.saved_balances()?;
    Ok(match saved.map(|text| serde_json::from_str(&text)) {
        Some(Ok(saved)) => saved,
        Some(Err(error)) => {
            tracing::warn!(%error, "the balances from before cannot be read: all are full again");
            Balances::default()
        }
        None => Balances::default(),
    })
}

/// Nothing to write while nobody uses anything.
fn balances(limiter: &Limiter) -> String {
    let mut balances = limiter.balances();
    if balances.balances.is_empty() {
        balances.at = Balances::default().at;
    }
    balances.models.sort_by(|(a, _), (b, _)| a.cmp(b));
    serde_json::to_string(&balances).unwrap_or_default()
}

fn rules(settings: &config::Gateway, limits: &Limits) -> QueueSettings {
    QueueSettings {
        concurrency: limits.concurrency,
        model_concurrency: limits.model_concurrency.clone(),
        priorities: settings.priorities.clone(),
        waiting_per_user_max: usize::try_from(settings.queued_max).unwrap_or(usize::MAX),
        waiting_max: WAITING_MAX,
        ..QueueSettings::default()
    }
}

fn offered(settings: &config::Gateway) -> Offered {
    let models = settings.models.iter();
    Offered::new(models.map(|model| (model.name.clone(), model.alias.clone())))
}

fn policy(settings: &config::Gateway) -> Policy {
    Policy {
        output_max: settings.output_max,
        output_default: settings.output_max,
        answers_max: ANSWERS_MAX,
        inputs_max: INPUTS_MAX,
    }
}
