//! The participant's own page: their instance, their signed-in browsers, and the way out.

use axum::Json;
use axum::extract::State;
use axum::response::{AppendHeaders, IntoResponse, Redirect, Response};
use http::StatusCode;
use http::header::SET_COOKIE;
use jiff::Timestamp;
use serde::Serialize;
use serde_json::{Value, json};

use super::Shared;
use super::asked::{Wish, Word};
use super::fault::Fault;
use super::join;
use super::own_form::OwnForm;
use super::pages::{self, BrowserRow, Card, Home, SignIn};
use super::standing::Standing;
use super::visit::{Viewer, Visit};
use crate::api::{ErrorEnvelope, HealthView};
use crate::auth::cookie;
use crate::control::{Error, InstanceStatus};
use crate::domain::id::{SessionId, UserRef};
use crate::domain::instance::{Desired, Phase};

/// What the page's script asks for.
#[derive(Debug, Serialize)]
struct MyInstance {
    state: Phase,
    desired: Desired,
    reason: Option<String>,
    since: Timestamp,
    url: String,
    /// Whether asking again is worth it.
    moving: bool,
}

pub(super) async fn home(
    State(shared): State<Shared>,
    visit: Visit,
    wish: Wish,
) -> Result<Response, Fault> {
    let next = wish.next();
    let Some(viewer) = visit.viewer else {
        let page = SignIn {
            next: next.as_str(),
        };
        return Ok(pages::render(StatusCode::OK, &page));
    };
    let page = Home {
        user: &viewer.user,
        instance: own_instance(&shared, &viewer.user).await?.map(card),
        browsers: browsers(&shared, &viewer).await?,
        has_ca: shared.ca.is_some(),
    };
    Ok(pages::render(StatusCode::OK, &page))
}

async fn own_instance(shared: &Shared, user: &UserRef) -> Result<Option<InstanceStatus>, Error> {
    match shared.control.instance(user).await {
        Ok(status) => Ok(Some(status)),
        Err(Error::Missing { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

fn card(status: InstanceStatus) -> Card {
    let observed = status.instance.observed;
    Card {
        standing: Standing::of(status.instance.desired, observed.phase),
        phase: observed.phase.to_string(),
        reason: observed.reason,
        since: observed.since,
    }
}

async fn browsers(shared: &Shared, viewer: &Viewer) -> Result<Vec<BrowserRow>, Error> {
    let sessions = shared.control.sessions(&viewer.user).await?;
    let rows = sessions.into_iter().map(|session| BrowserRow {
        is_this_one: session.id == viewer.session,
        id: session.id.to_string(),
        agent: session.agent,
        last_seen_at: session.last_seen_at,
    });
    Ok(rows.collect())
}

pub(super) async fn instance(
    State(shared): State<Shared>,
    visit: Visit,
) -> Result<Response, Fault> {
    let Some(viewer) = visit.viewer else {
        let refusal = ErrorEnvelope::new("signed_out", "you are not signed in");
        return Ok((StatusCode::UNAUTHORIZED, Json(refusal)).into_response());
    };
    let Some(status) = own_instance(&shared, &viewer.user).await? else {
        let refusal = ErrorEnvelope::new("not_found", "there is no instance for you yet");
        return Ok((StatusCode::NOT_FOUND, Json(refusal)).into_response());
    };
    let (desired, observed) = (status.instance.desired, status.instance.observed);
    let mine = MyInstance {
        state: observed.phase,
        desired,
        reason: observed.reason,
        since: observed.since,
        url: viewer.user.path(),
        moving: Standing::of(desired, observed.phase).moving,
    };
    Ok(Json(mine).into_response())
}

pub(super) async fn start(
    State(shared): State<Shared>,
    _: OwnForm,
    visit: Visit,
) -> Result<Redirect, Fault> {
    if let Some(viewer) = &visit.viewer {
        shared
            .control
            .want(&viewer.user, Desired::Running, visit.actor(viewer))
            .await?;
    }
    Ok(Redirect::to("/"))
}

pub(super) async fn end_session(
    State(shared): State<Shared>,
    _: OwnForm,
    visit: Visit,
    Word(id): Word,
) -> Result<Redirect, Fault> {
    let id: SessionId = id.parse().map_err(|_| Fault::NotFound)?;
    if let Some(viewer) = &visit.viewer {
        end(&shared, &visit, viewer, &id).await?;
    }
    Ok(Redirect::to("/"))
}

pub(super) async fn sign_out(
    State(shared): State<Shared>,
    _: OwnForm,
    visit: Visit,
) -> Result<Response, Fault> {
    if let Some(viewer) = &visit.viewer {
        end(&shared, &visit, viewer, &viewer.session).await?;
    }
    let cookie = AppendHeaders([(SET_COOKIE, cookie::clear())]);
    Ok((join::FORGET, cookie, Redirect::to("/")).into_response())
}

/// A session that has ended already is what was asked for.
async fn end(shared: &Shared, visit: &Visit, viewer: &Viewer, id: &SessionId) -> Result<(), Error> {
    let actor = visit.actor(viewer);
    match shared.control.end_session(&viewer.user, id, actor).await {
        Err(Error::Missing { .. }) => Ok(()),
        other => other,
    }
}

/// For monitoring from anywhere, so no word about what is wrong.
pub(super) async fn health(State(shared): State<Shared>) -> Json<Value> {
    let view = HealthView::new(shared.control.health());
    Json(json!({"status": view.status}))
}
