//! Invites: list, create, rotate, revoke.

use axum::Json;
use axum::extract::State;
use http::StatusCode;

use super::error::Refusal;
use super::extract::{Body, Id, Owner, Page};
use super::{AdminState, view};
use crate::api::{CreateInvitesRequest, InviteList, NewInviteList, NewInviteView};
use crate::domain::audit::Actor;
use crate::domain::id::InviteId;

pub(super) async fn list(
    State(state): State<AdminState>,
    page: Page,
) -> Result<Json<InviteList>, Refusal> {
    let all = state.control.invites().await?;
    let total = all.len();
    let shown = page.cut(all).into_iter();
    Ok(Json(InviteList {
        invites: shown.map(view::invite).collect(),
        total,
        page: page.page,
        page_size: page.page_size,
    }))
}

/// Links for those who have none; the answer is the only time that they are shown.
pub(super) async fn create(
    State(state): State<AdminState>,
    Body(wish): Body<CreateInvitesRequest>,
) -> Result<(StatusCode, Json<NewInviteList>), Refusal> {
    let created = state
        .control
        .create_invites(wish.group.as_ref(), Actor::Control)
        .await?;
    let invites = created.iter().map(|new| state.facts.new_invite(new));
    let answer = NewInviteList {
        invites: invites.collect(),
    };
    Ok((StatusCode::CREATED, Json(answer)))
}

pub(super) async fn rotate(
    State(state): State<AdminState>,
    Owner(user): Owner,
) -> Result<(StatusCode, Json<NewInviteView>), Refusal> {
    let new = state.control.rotate_invite(&user, Actor::Control).await?;
    Ok((StatusCode::CREATED, Json(state.facts.new_invite(&new))))
}

pub(super) async fn revoke(
    State(state): State<AdminState>,
    Id(id): Id<InviteId>,
) -> Result<StatusCode, Refusal> {
    state.control.revoke_invite(&id, Actor::Control).await?;
    Ok(StatusCode::NO_CONTENT)
}
