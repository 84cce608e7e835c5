//! The gateway: how it is, who waits, the limits and how they stand.

use axum::Json;
use axum::extract::State;

use super::AdminState;
use super::error::Refusal;
use super::extract::{Body, Page};
use crate::api::{BalanceList, BalanceView, GatewayView, LimitsView, QueueList, QueuedView};
use crate::control::LimitsStatus;
use crate::domain::audit::Actor;
use crate::domain::set_limits::SetLimits;

/// How to ask for what only a look tells.
pub struct Live {
    pub gateway: Box<dyn Fn() -> GatewayView + Send + Sync>,
    /// In the order of [`QueueList`].
    pub queue: Box<dyn Fn() -> Vec<QueuedView> + Send + Sync>,
    /// In the order of [`BalanceList`].
    pub balances: Box<dyn Fn() -> Vec<BalanceView> + Send + Sync>,
}

/// With no model connected.
impl Default for Live {
    fn default() -> Self {
        Self {
            gateway: Box::new(GatewayView::default),
            queue: Box::new(Vec::new),
            balances: Box::new(Vec::new),
        }
    }
}

pub(super) async fn show(State(state): State<AdminState>) -> Json<GatewayView> {
    Json((state.facts.live.gateway)())
}

pub(super) async fn queue(State(state): State<AdminState>, page: Page) -> Json<QueueList> {
    let all = (state.facts.live.queue)();
    Json(QueueList {
        total: all.len(),
        queue: page.cut(all),
        page: page.page,
        page_size: page.page_size,
    })
}

pub(super) async fn balances(State(state): State<AdminState>, page: Page) -> Json<BalanceList> {
    let all = (state.facts.live.balances)();
    Json(BalanceList {
        total: all.len(),
        balances: page.cut(all),
        page: page.page,
        page_size: page.page_size,
    })
}

pub(super) async fn limits(State(state): State<AdminState>) -> Json<LimitsView> {
    Json(view(state.control.limits_status()))
}

pub(super) async fn set_limits(
    State(state): State<AdminState>,
    Body(set): Body<SetLimits>,
) -> Result<Json<LimitsView>, Refusal> {
    let status = state.control.set_limits(set, Actor::Control).await?;
    Ok(Json(view(status)))
}

pub(super) async fn reset_limits(
    State(state): State<AdminState>,
) -> Result<Json<LimitsView>, Refusal> {
    let status = state.control.reset_limits(Actor::Control).await?;
    Ok(Json(view(status)))
}

fn view(status: LimitsStatus) -> LimitsView {
    LimitsView {
        in_force: status.in_force,
        configured: status.configured,
        set: status.set,
    }
}
