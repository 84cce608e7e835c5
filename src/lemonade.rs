//! The language model's servers: where they are, whether they answer, what they offer, how many slots.
//!
//! Lemonade and llama.cpp's own server are told apart by what they answer. A server is looked at every
//! few seconds; a request never asks.

mod client;
mod look;
mod seen;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderValue, Method, Request, Response, Uri};
use http_body_util::Full;
use hyper::body::Incoming;
use parking_lot::{Mutex, RwLock};
use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

pub use client::SendError;
pub use seen::{Condition, Model, Seen};

use client::Client;
use look::Look;

use crate::domain::secret::Secret;

/// Between two looks.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// Between two looks at one that does not answer.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// Looks in a row that a server which was there may leave unanswered.
const SILENT_MAX: u32 = 3;

/// One server.
#[derive(Debug)]
pub struct Backend {
    url: String,
    bearer: Option<HeaderValue>,
    client: Client,
    seen: RwLock<Arc<Seen>>,
    /// When its condition became what it is.
    changed: Mutex<Instant>,
    /// Somebody could not reach it.
    doubt: Notify,
    /// It was looked at.
    looked: Notify,
}

/// Its address or its key is not one.
#[derive(Debug, thiserror::Error)]
#[error("{0} is not the address of a server")]
pub struct BadAddress(String);

impl Backend {
    /// `url` has no path: `http://127.0.0.1:13305`.
    pub fn new(url: &str, key: Option<&Secret>) -> Result<Arc<Self>, BadAddress> {
        let bad = || BadAddress(url.to_owned());
        url.parse::<Uri>().map_err(|_| bad())?;
        let bearer = key.map(|key| {
            let mut value = HeaderValue::from_str(&format!("Bearer {}", key.expose()))?;
            value.set_sensitive(true);
            Ok(value)
        });
        let bearer = bearer
            .transpose()
            .map_err(|_: http::header::InvalidHeaderValue| bad())?;
        Ok(Arc::new(Self {
            url: url.to_owned(),
            bearer,
            client: Client::new(),
            seen: RwLock::new(Arc::new(Seen::nothing_yet())),
            changed: Mutex::new(Instant::now()),
            doubt: Notify::new(),
            looked: Notify::new(),
        }))
    }

    pub fn url(&self) -> &str {
        &self.url
    }

    /// As it was when it was last looked at.
    pub fn seen(&self) -> Arc<Seen> {
        Arc::clone(&self.seen.read())
    }

    /// How long its condition has been what it is.
    pub fn since(&self) -> Duration {
        self.changed.lock().elapsed()
    }

    /// Returns when it was looked at the next time, as seen from this call.
    pub fn looked(&self) -> impl Future<Output = ()> + '_ {
        self.looked.notified()
    }

    /// Asks for an answer. Dropping the answer's body ends the connection, and so the work behind it.
    pub async fn post(&self, path: &str, body: Bytes) -> Result<Response<Incoming>, SendError> {
        let sent = self.send(Method::POST, path, body).await;
        if sent.is_err() {
            self.doubt.notify_one();
        }
        sent
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        body: Bytes,
    ) -> Result<Response<Incoming>, SendError> {
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = method;
        *request.uri_mut() = format!("{}{path}", self.url)
            .parse()
            .map_err(|_| SendError::Unreachable("its address is not one".to_owned()))?;
        self.sign(request.headers_mut());
        self.client.send(request).await
    }

    /// Nothing of the client's goes upstream but the body.
    fn sign(&self, headers: &mut HeaderMap) {
        if let Some(bearer) = &self.bearer {
            headers.insert(AUTHORIZATION, bearer.clone());
        }
        let json = HeaderValue::from_static("application/json");
        headers.insert(http::header::CONTENT_TYPE, json);
    }

    /// Looks at it until `shutdown`.
    pub async fn keep(self: Arc<Self>, shutdown: CancellationToken) {
        let mut unanswered = 0;
        let looking = async {
            loop {
                let seen = look::at(&self).await;
                self.note(self.believed(seen, &mut unanswered));
                let pause = match self.seen().condition {
                    Condition::Ready => LOOK_EVERY,
                    Condition::Unknown | Condition::Loading | Condition::Away(_) => LOOK_AGAIN,
                };
                tokio::select! {
                    () = tokio::time::sleep(pause) => {}
                    () = self.doubt.notified() => {}
                }
            }
        };
        shutdown.run_until_cancelled(looking).await;
    }

    /// A busy server answers late: one that was there is away only after several looks. What was known of
    /// its slots stays known.
    fn believed(&self, looked: Look, unanswered: &mut u32) -> Seen {
        let before = self.seen();
        match looked {
            Look::Seen(seen) => {
                *unanswered = 0;
                seen
            }
            Look::Silent(_) if before.condition.is_ready() && *unanswered < SILENT_MAX => {
                *unanswered += 1;
                Seen::clone(&before)
            }
            Look::Silent(why) | Look::Gone(why) => Seen {
                slots: before.slots,
                ..Seen::without_models(why)
            },
        }
    }

    fn note(&self, seen: Seen) {
        let before = std::mem::replace(&mut *self.seen.write(), Arc::new(seen));
        let now = self.seen();
        if before.condition != now.condition {
            *self.changed.lock() = Instant::now();
            tracing::info!(
                backend.url = self.url,
                backend.condition = %now.condition,
                backend.slots = now.slots,
                backend.models = now.models.len(),
                "a model server changed"
            );
        }
        self.looked.notify_waiters();
    }
}
