//! `Asked`: one request that was read, of somebody who may ask, for a model that there is.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::Request;
use bytes::Bytes;
use http::HeaderMap;
use http::header::{CONTENT_ENCODING, CONTENT_LENGTH};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use jiff::Timestamp;
use tokio::time::{Instant, timeout};

use super::Gateway;
use super::bodies::Held;
use super::refusal::Refusal;
use crate::domain::key::{Key, Owner};
use crate::domain::model::ModelName;
use crate::edge::Peer;
use crate::limiter::queue::Who;
use crate::limiter::{Ask, Subject};
use crate::llm::{self, Endpoint, Prepared};
use crate::routing::LiveKey;

/// A large prompt over a slow line. Whoever sends nothing at all is cut by the listener before.
const BODY_TIMEOUT: Duration = Duration::from_mins(5);

pub(super) struct Asked {
    /// Also in the answer's `x-request-id`.
    pub(super) id: String,
    pub(super) at: Timestamp,
    pub(super) started: Instant,
    pub(super) key: Arc<LiveKey>,
    pub(super) prepared: Prepared,
    pub(super) model: ModelName,
    /// The conversation, for a slot that remembers it.
    affinity: Option<u64>,
    _room: Held,
}

/// What is known of a request before it is read.
pub(super) struct Arrived {
    pub(super) id: String,
    pub(super) at: Timestamp,
    pub(super) started: Instant,
}

impl Gateway {
    /// In this order: what costs nothing first.
    pub(super) async fn read(
        &self,
        arrived: Arrived,
        endpoint: Endpoint,
        request: Request,
    ) -> Result<Asked, Refusal> {
        let peer = peer(&request);
        let key = self.key(request.headers(), peer)?;
        if request
            .headers()
            .get(CONTENT_ENCODING)
            .is_some_and(|coding| coding != "identity")
        {
            return Err(Refusal::Encoded);
        }
        let affinity = affinity(request.headers());
        let (head, body) = request.into_parts();
        let (body, room) = self.body(&head.headers, body).await?;
        let prepared = llm::read(endpoint, body, &self.policy).map_err(Refusal::BadRequest)?;
        let model = self.model(&prepared.model, &key.key)?;
        Ok(Asked {
            id: arrived.id,
            at: arrived.at,
            started: arrived.started,
            key,
            prepared,
            model,
            affinity,
            _room: room,
        })
    }

    /// Nobody waits for what is too large anyway. What comes in chunks may be as large as any.
    fn declared(&self, headers: &HeaderMap) -> Result<usize, Refusal> {
        let bytes_max = self.body_bytes_max;
        let text = headers
            .get(CONTENT_LENGTH)
            .and_then(|value| value.to_str().ok());
        match text.and_then(|text| text.parse::<u64>().ok()) {
            None => Ok(bytes_max),
            Some(declared) => usize::try_from(declared)
                .ok()
                .filter(|declared| *declared <= bytes_max)
                .ok_or(Refusal::BodyTooLarge { bytes_max }),
        }
    }

    async fn body(&self, headers: &HeaderMap, body: Body) -> Result<(Bytes, Held), Refusal> {
        let bytes_max = self.body_bytes_max;
        let room = self.bodies.room(self.declared(headers)?).await;
        let mut room = room.ok_or(Refusal::Crowded)?;
        let reading = Limited::new(body, bytes_max).collect();
        match timeout(BODY_TIMEOUT, reading).await {
            Ok(Ok(body)) => {
                let body = body.to_bytes();
                room.shrink(body.len());
                Ok((body, room))
            }
            Ok(Err(error)) if is_too_long(error.as_ref()) => {
                Err(Refusal::BodyTooLarge { bytes_max })
            }
            Ok(Err(_)) | Err(_) => Err(Refusal::BodyLost),
        }
    }

    /// What a model is called here, if it is offered and this key may use it. Whether a server has it
    /// is seen when one is chosen.
    pub(super) fn model(&self, written: &str, key: &Key) -> Result<ModelName, Refusal> {
        let name = ModelName::new(written);
        let name = self.offered.resolve(written, name);
        let allowed =
            key.models.is_empty() || name.as_ref().is_some_and(|name| key.models.contains(name));
        name.filter(|_| allowed)
            .ok_or_else(|| Refusal::UnknownModel(shortened(written)))
    }
}

/// The listener in front may have a limit of its own.
fn is_too_long(error: &(dyn std::error::Error + 'static)) -> bool {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if error.is::<LengthLimitError>() {
            return true;
        }
        cause = error.source();
    }
    false
}

/// The address at the other end of the connection. One that a proxy in front tells of has no port: a
/// container's key is never believed on somebody's word.
pub(super) fn peer(request: &Request) -> Option<IpAddr> {
    let peer = request.extensions().get::<Peer>()?;
    let socket = peer.0.filter(|address| address.port() != 0)?;
    Some(socket.ip())
}

/// Agents name their sessions; others are told apart by their user alone.
fn affinity(headers: &HeaderMap) -> Option<u64> {
    use std::hash::{DefaultHasher, Hash as _, Hasher as _};
    let session = headers
        .get("x-session-affinity")
        .or_else(|| headers.get("x-session-id"))?;
    let mut hasher = DefaultHasher::new();
    session.as_bytes().hash(&mut hasher);
    Some(hasher.finish())
}

fn shortened(written: &str) -> String {
    written
        .chars()
        .filter(|c| !c.is_control())
        .take(100)
        .collect()
}

impl Asked {
    fn subject(&self) -> Subject {
        let owner = &self.key.key.owner;
        Subject {
            user: owner.user().cloned(),
            group: owner.group().clone(),
            members: self.key.members,
        }
    }

    pub(super) fn ask(&self, gateway: &Gateway) -> Ask {
        let Prepared {
            prompt_bytes,
            prompt_ids,
            images,
            output_cap,
            answers,
            ..
        } = self.prepared;
        let text = gateway
            .limiter
            .prompt_tokens(&self.model, prompt_bytes, images);
        Ask {
            subject: self.subject(),
            model: self.model.clone(),
            prompt_tokens: text.saturating_add(prompt_ids),
            prompt_bytes,
            images,
            output_cap,
            answers,
        }
    }

    /// Who waits in the line: a user, whichever key it is; or a group's key.
    pub(super) fn who(&self) -> Who {
        let key = &self.key.key;
        Who {
            group: key.owner.group().clone(),
            user: match &key.owner {
                Owner::User(user) => user.user.to_string(),
                Owner::Group(_) => key.id.to_string(),
            },
            affinity: self.affinity,
        }
    }

    pub(super) fn standings(&self, gateway: &Gateway) -> Vec<crate::limiter::Standing> {
        gateway
            .limiter
            .standings(&self.subject(), Some(&self.model))
    }
}
