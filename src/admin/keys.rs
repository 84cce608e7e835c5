//! Keys for the language model: list, create, disable, rotate, revoke.

use axum::Json;
use axum::extract::State;
use http::StatusCode;
use jiff::{SignedDuration, Timestamp};

use super::error::Refusal;
use super::extract::{Body, Id, Page};
use super::{AdminState, view};
use crate::api::{CreateKeyRequest, KeyList, KeyView, NewKeyView, RotateKeyRequest};
use crate::control::{GRACE, KeyWish};
use crate::domain::audit::Actor;
use crate::domain::id::{KeyId, UserRef};
use crate::domain::key::Owner;
use crate::domain::model::ModelName;

pub(super) async fn list(
    State(state): State<AdminState>,
    page: Page,
) -> Result<Json<KeyList>, Refusal> {
    let all = state.control.keys().await?;
    let total = all.len();
    let now = Timestamp::now();
    let shown = page.cut(all).into_iter();
    Ok(Json(KeyList {
        keys: shown.map(|key| view::key(key, now)).collect(),
        total,
        page: page.page,
        page_size: page.page_size,
    }))
}

/// The answer is the only time that the key is shown.
pub(super) async fn create(
    State(state): State<AdminState>,
    Body(wish): Body<CreateKeyRequest>,
) -> Result<(StatusCode, Json<NewKeyView>), Refusal> {
    let group = wish
        .group
        .ok_or_else(|| Refusal::field("group", &"whose key is it to be?"))?;
    let owner = match wish.user {
        Some(user) => Owner::User(UserRef::new(group, user)),
        None => Owner::Group(group),
    };
    let models = wish.models.iter().map(|name| ModelName::new(name));
    let wish = KeyWish {
        owner,
        models: models.collect(),
        expires_at: wish.expires_at,
        note: wish.note,
    };
    let new = state.control.create_key(wish, Actor::Control).await?;
    Ok((StatusCode::CREATED, Json(view::new_key(new))))
}

pub(super) async fn show(
    State(state): State<AdminState>,
    Id(id): Id<KeyId>,
) -> Result<Json<KeyView>, Refusal> {
    let key = state.control.key(&id).await?;
    Ok(Json(view::key(key, Timestamp::now())))
}

pub(super) async fn disable(
    State(state): State<AdminState>,
    Id(id): Id<KeyId>,
) -> Result<Json<KeyView>, Refusal> {
    let key = state.control.disable_key(&id, Actor::Control).await?;
    Ok(Json(view::key(key, Timestamp::now())))
}

pub(super) async fn enable(
    State(state): State<AdminState>,
    Id(id): Id<KeyId>,
) -> Result<Json<KeyView>, Refusal> {
    let key = state.control.enable_key(&id, Actor::Control).await?;
    Ok(Json(view::key(key, Timestamp::now())))
}

pub(super) async fn rotate(
    State(state): State<AdminState>,
    Id(id): Id<KeyId>,
    Body(wish): Body<RotateKeyRequest>,
) -> Result<(StatusCode, Json<NewKeyView>), Refusal> {
    let grace = wish
        .grace_s
        .map_or(GRACE, |seconds| SignedDuration::from_secs(seconds.into()));
    let new = state.control.rotate_key(&id, grace, Actor::Control).await?;
    Ok((StatusCode::CREATED, Json(view::new_key(new))))
}

pub(super) async fn revoke(
    State(state): State<AdminState>,
    Id(id): Id<KeyId>,
) -> Result<StatusCode, Refusal> {
    state.control.revoke_key(&id, Actor::Control).await?;
    Ok(StatusCode::NO_CONTENT)
}
