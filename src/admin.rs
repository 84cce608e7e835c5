//! The organizers' door: router of the admin API.
//!
//! The control socket's router needs no session: its file mode says who may talk to it, and browsers
//! cannot reach it. The listener of the network serves nothing but `/health` and `/ready`, and
//! `/metrics` to whoever holds the token for it.

mod ca;
mod csv;
mod error;
mod extract;
mod gateway;
mod instances;
mod invites;
mod keys;
mod metrics;
mod status;
mod usage;
mod view;

use std::path::PathBuf;
use std::sync::Arc;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::routing::{delete, get, post};
use jiff::Timestamp;

pub use gateway::Live;

use crate::api::{CaView, Listener};
use crate::control::Control;
use crate::domain::instance::Desired;
use crate::domain::secret::Secret;
use crate::telemetry::metrics::Metrics;

/// The largest body that a request may have.
const BODY_BYTES_MAX: usize = 1024 * 1024;

/// What the organizers' door is made from.
#[derive(Clone)]
pub struct AdminState {
    pub control: Arc<Control>,
    pub facts: Arc<Facts>,
}

/// What does not change while the appliance runs, and how to ask for what does.
pub struct Facts {
    pub version: String,
    pub started_at: Timestamp,
    pub config_path: Option<PathBuf>,
    pub store_path: PathBuf,
    /// Where participants and organizers go, without a final slash. A host gets its address late or
    /// another one in the middle of an event.
    pub public_url: Box<dyn Fn() -> String + Send + Sync>,
    pub admin_url: Box<dyn Fn() -> String + Send + Sync>,
    /// The appliance's own authority; `None` when it has none.
    pub ca: Option<CaView>,
    /// Listeners come and go with the bridges that they are bound to.
    pub listeners: Box<dyn Fn() -> Vec<Listener> + Send + Sync>,
    /// `Err` says what is still missing.
    pub ready: Box<dyn Fn() -> Result<(), String> + Send + Sync>,
    /// The way to the model.
    pub live: Live,
    pub metrics: Arc<Metrics>,
    /// Who may read the metrics by the network; `None` is nobody.
    pub metrics_token: Option<Secret>,
}

/// Everything, for the control socket.
pub fn control_router(state: AdminState) -> Router {
    let router = Router::new()
        .route("/api/status", get(status::show))
        .route("/api/ca", get(ca::show))
        .route("/ca.crt", get(ca::download))
        .route("/api/launch", post(instances::launch))
        .route("/api/cleanup", post(instances::cleanup))
        .route("/api/invites", get(invites::list).post(invites::create))
        .route("/api/invites/{id}", delete(invites::revoke))
        .route("/api/invites/{group}/{user}/rotate", post(invites::rotate))
        .route("/metrics", get(metrics::show));
    let router = router
        .merge(instance_routes())
        .merge(key_routes())
        .merge(gateway_routes());
    finish(router, state)
}

/// What the admin listener serves to the network: nothing that needs a right, but for scrapers with a
/// token.
pub fn public_admin_router(state: AdminState) -> Router {
    let mut router = Router::new();
    let token = state.facts.metrics_token.as_ref();
    // An empty one would let everybody in.
    if let Some(token) = token.filter(|token| !token.expose().is_empty()) {
        let only = axum::middleware::from_fn_with_state(token.clone(), metrics::with_token);
        router = router.route("/metrics", get(metrics::show).layer(only));
    }
    finish(router, state)
}

fn gateway_routes() -> Router<AdminState> {
    Router::new()
        .route("/api/usage", get(usage::sums))
        .route("/api/usage/requests", get(usage::requests))
        .route("/api/gateway", get(gateway::show))
        .route("/api/gateway/queue", get(gateway::queue))
        .route("/api/gateway/balances", get(gateway::balances))
        .route(
            "/api/gateway/limits",
            get(gateway::limits)
                .put(gateway::set_limits)
                .delete(gateway::reset_limits),
        )
}

fn key_routes() -> Router<AdminState> {
    Router::new()
        .route("/api/keys", get(keys::list).post(keys::create))
        .route("/api/keys/{id}", get(keys::show).delete(keys::revoke))
        .route("/api/keys/{id}/disable", post(keys::disable))
        .route("/api/keys/{id}/enable", post(keys::enable))
        .route("/api/keys/{id}/rotate", post(keys::rotate))
}

fn instance_routes() -> Router<AdminState> {
    let start = |s, o| instances::want(s, o, Desired::Running);
    let stop = |s, o| instances::want(s, o, Desired::Stopped);
    let pause = |s, o| instances::want(s, o, Desired::Paused);
    Router::new()
        .route("/api/instances", get(instances::list))
        .route(
            "/api/instances/{group}/{user}",
            get(instances::show).delete(instances::remove),
        )
        .route("/api/instances/{group}/{user}/start", post(start))
        .route("/api/instances/{group}/{user}/resume", post(start))
        .route("/api/instances/{group}/{user}/stop", post(stop))
        .route("/api/instances/{group}/{user}/pause", post(pause))
        .route(
            "/api/instances/{group}/{user}/restart",
            post(instances::restart),
        )
        .route(
            "/api/instances/{group}/{user}/recreate",
            post(instances::recreate),
        )
        .route("/api/instances/{group}/{user}/logs", get(instances::logs))
        .route(
            "/api/instances/{group}/{user}/password",
            post(instances::password),
        )
}

/// What both routers have: liveness, readiness, and refusals in the envelope.
fn finish(router: Router<AdminState>, state: AdminState) -> Router {
    router
        .route("/health", get(status::health))
        .route("/ready", get(status::ready))
        .fallback(error::not_found)
        .method_not_allowed_fallback(error::method_not_allowed)
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .layer(axum::middleware::map_response(error::secure))
        .with_state(state)
}
