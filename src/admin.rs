//! The organizers' door: router of the admin API.
//!
//! The control socket's router needs no session: its file mode says who may talk to it, and browsers
//! cannot reach it. The listener of the network serves nothing but `/health` and `/ready`.

mod ca;
mod error;
mod extract;
mod instances;
mod invites;
mod keys;
mod status;
mod view;

use std::path::PathBuf;
use std::sync::Arc;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::routing::{delete, get, post};
use jiff::Timestamp;

use crate::api::{CaView, Listener};
use crate::control::Control;
use crate::domain::instance::Desired;

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
        .route("/api/invites/{group}/{user}/rotate", post(invites::rotate));
    let router = router.merge(instance_routes()).merge(key_routes());
    finish(router, state)
}

/// What the admin listener serves to the network: nothing that needs a right.
pub fn public_admin_router(state: AdminState) -> Router {
    finish(Router::new(), state)
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
