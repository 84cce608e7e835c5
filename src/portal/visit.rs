//! Who is visiting: the browser, its address, and the participant who is signed in.

use std::convert::Infallible;

use axum::extract::FromRequestParts;
use http::HeaderMap;
use http::header::{COOKIE, HOST, USER_AGENT};
use http::request::Parts;
use tokio::time::Instant;

use super::{Shared, agent};
use crate::auth::cookie;
use crate::control::Browser;
use crate::domain::audit::Actor;
use crate::domain::id::{SessionId, UserRef};
use crate::edge::Peer;

pub(super) struct Visit {
    pub(super) browser: Browser,
    pub(super) viewer: Option<Viewer>,
}

/// The participant whose session the browser holds.
#[derive(Clone, Debug)]
pub(super) struct Viewer {
    pub(super) user: UserRef,
    pub(super) session: SessionId,
}

impl Visit {
    pub(super) fn actor(&self, viewer: &Viewer) -> Actor {
        Actor::Participant {
            user: viewer.user.clone(),
            address: self.browser.address,
        }
    }
}

impl FromRequestParts<Shared> for Visit {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, shared: &Shared) -> Result<Self, Infallible> {
        let peer = parts.extensions.get::<Peer>().and_then(|peer| peer.0);
        let user_agent = parts.headers.get(USER_AGENT).and_then(|v| v.to_str().ok());
        let viewer = session_token(&parts.headers)
            .and_then(|token| shared.control.session(token, Instant::now()))
            .map(|session| Viewer {
                user: session.user.clone(),
                session: session.id.clone(),
            });
        Ok(Self {
            browser: Browser {
                address: peer.map(|peer| peer.ip().to_canonical()),
                agent: agent::describe(user_agent.unwrap_or_default()),
            },
            viewer,
        })
    }
}

/// HTTP/2 may split the cookies over several headers.
fn session_token(headers: &HeaderMap) -> Option<&str> {
    headers
        .get_all(COOKIE)
        .iter()
        .find_map(|value| cookie::find(value.as_bytes()))
}

/// The host that the browser thinks it talks to, with its port.
pub(super) fn host_of(parts: &Parts) -> Option<&str> {
    match parts.uri.authority() {
        Some(authority) => Some(authority.as_str()),
        None => parts.headers.get(HOST).and_then(|v| v.to_str().ok()),
    }
}
