//! Instances: list, change what is wanted of them, launch, clean up.

use axum::Json;
use axum::extract::State;
use http::StatusCode;
use serde::Deserialize;

use super::AdminState;
use super::error::Refusal;
use super::extract::{Asked, Body, Owner, Page};
use crate::api::{
    CleanupResponse, InstanceList, InstanceView, LaunchRequest, LaunchResponse, LeftView, LogsView,
    PasswordView,
};
use crate::control::{InstanceStatus, Launch, Left};
use crate::domain::audit::Actor;
use crate::domain::instance::Desired;

type Answer<T> = Result<Json<T>, Refusal>;

/// The change is recorded and under way, not yet done: 202.
type Accepted<T> = Result<(StatusCode, Json<T>), Refusal>;

pub(super) async fn list(State(state): State<AdminState>, page: Page) -> Answer<InstanceList> {
    let all = state.control.instances().await?;
    let total = all.len();
    let shown = page.cut(all).into_iter();
    Ok(Json(InstanceList {
        instances: shown.map(|status| state.facts.instance(status)).collect(),
        total,
        page: page.page,
        page_size: page.page_size,
    }))
}

pub(super) async fn show(
    State(state): State<AdminState>,
    Owner(user): Owner,
) -> Answer<InstanceView> {
    let status = state.control.instance(&user).await?;
    Ok(Json(state.facts.instance(status)))
}

pub(super) async fn want(
    State(state): State<AdminState>,
    Owner(user): Owner,
    desired: Desired,
) -> Accepted<InstanceView> {
    let status = state.control.want(&user, desired, Actor::Control).await?;
    Ok(accepted(&state, status))
}

pub(super) async fn remove(state: State<AdminState>, owner: Owner) -> Accepted<InstanceView> {
    want(state, owner, Desired::Removed).await
}

pub(super) async fn recreate(
    State(state): State<AdminState>,
    Owner(user): Owner,
) -> Accepted<InstanceView> {
    let status = state.control.recreate(&user, Actor::Control).await?;
    Ok(accepted(&state, status))
}

/// Stops and starts the same container.
pub(super) async fn restart(
    State(state): State<AdminState>,
    Owner(user): Owner,
) -> Accepted<InstanceView> {
    let status = state.control.restart(&user, Actor::Control).await?;
    Ok(accepted(&state, status))
}

#[derive(Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Tail {
    lines: usize,
}

impl Default for Tail {
    fn default() -> Self {
        Self { lines: 100 }
    }
}

/// Most lines of a log that one answer holds.
const LOG_LINES_MAX: usize = 10_000;

pub(super) async fn logs(
    State(state): State<AdminState>,
    Owner(user): Owner,
    Asked(tail): Asked<Tail>,
) -> Answer<LogsView> {
    let lines = tail.lines.min(LOG_LINES_MAX);
    let lines = state.control.logs(&user, lines).await?;
    Ok(Json(LogsView { lines }))
}

/// POST, since showing a password is written to the audit log.
pub(super) async fn password(
    State(state): State<AdminState>,
    Owner(user): Owner,
) -> Answer<PasswordView> {
    let password = state.control.editor_password(&user, Actor::Control).await?;
    Ok(Json(PasswordView {
        password: password.expose().to_owned(),
    }))
}

pub(super) async fn launch(
    State(state): State<AdminState>,
    Body(wish): Body<LaunchRequest>,
) -> Accepted<LaunchResponse> {
    let launch = Launch {
        group: wish.group,
        demo: wish.demo,
    };
    let launched = state.control.launch(&launch, Actor::Control).await?;
    let answer = LaunchResponse {
        started: launched.started,
        unchanged: launched.unchanged,
        left: launched.left.into_iter().map(left).collect(),
    };
    Ok((StatusCode::ACCEPTED, Json(answer)))
}

fn left(left: Left) -> LeftView {
    LeftView {
        user: left.user,
        reason: left.reason,
    }
}

pub(super) async fn cleanup(State(state): State<AdminState>) -> Accepted<CleanupResponse> {
    let removed = state.control.cleanup(Actor::Control).await?;
    Ok((StatusCode::ACCEPTED, Json(CleanupResponse { removed })))
}

fn accepted(state: &AdminState, status: InstanceStatus) -> (StatusCode, Json<InstanceView>) {
    (StatusCode::ACCEPTED, Json(state.facts.instance(status)))
}
