//! The appliance as a whole: status, liveness, readiness.

use axum::Json;
use axum::extract::State;
use http::StatusCode;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::AdminState;
use super::error::Refusal;
use crate::api::{HealthView, Status};

pub(super) async fn show(State(state): State<AdminState>) -> Result<Json<Status>, Refusal> {
    let facts = &state.facts;
    let instances = state.control.instances().await?.into_iter();
    let uptime = Timestamp::now().duration_since(facts.started_at);
    Ok(Json(Status {
        version: facts.version.clone(),
        started_at: facts.started_at,
        uptime_s: u64::try_from(uptime.as_secs()).unwrap_or_default(),
        config_path: facts.config_path.clone(),
        store_path: facts.store_path.clone(),
        public_url: (facts.public_url)(),
        admin_url: (facts.admin_url)(),
        listeners: (facts.listeners)(),
        health: HealthView::new(state.control.health()),
        runtime: state.control.runtime_name().to_owned(),
        instances: instances.map(|status| facts.instance(status)).collect(),
    }))
}

/// That the process answers; not a word about what is wrong, since anybody may ask.
pub(super) async fn health(State(state): State<AdminState>) -> Json<Value> {
    let view = HealthView::new(state.control.health());
    Json(json!({"status": view.status}))
}

/// Whether it is worth sending people here.
pub(super) async fn ready(State(state): State<AdminState>) -> Result<Json<Value>, Refusal> {
    match (state.facts.ready)() {
        Ok(()) => Ok(Json(json!({"status": "ready"}))),
        Err(reason) => Err(Refusal::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "not_ready",
            reason,
        )),
    }
}
