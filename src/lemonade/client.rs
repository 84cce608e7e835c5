//! HTTP/1.1 to a server: connections are kept, small packets are not held back, and whoever is not
//! there is known at once.

use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use tokio::time::timeout;

/// A server on this host, or beside it, accepts at once or not at all.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

/// Lemonade closes one that was idle for 5 s.
const IDLE_TIMEOUT: Duration = Duration::from_secs(4);

/// Idle connections that are kept to one server.
const IDLE_MAX: usize = 64;

/// Named by what the caller does next.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    /// Nothing was sent: another server may be asked.
    #[error("it cannot be reached: {0}")]
    Unreachable(String),
    /// It may have begun to work.
    #[error("it did not answer: {0}")]
    Broken(String),
}

#[derive(Debug)]
pub(super) struct Client(hyper_util::client::legacy::Client<HttpConnector, Full<Bytes>>);

impl Client {
    pub(super) fn new() -> Self {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        connector.set_connect_timeout(Some(CONNECT_TIMEOUT));
        connector.set_keepalive(Some(Duration::from_secs(30)));
        let client = hyper_util::client::legacy::Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE_TIMEOUT)
            .pool_max_idle_per_host(IDLE_MAX)
            .build(connector);
        Self(client)
    }

    pub(super) async fn send(
        &self,
        request: Request<Full<Bytes>>,
    ) -> Result<Response<Incoming>, SendError> {
        self.0.request(request).await.map_err(|error| {
            let words = causes(&error);
            if error.is_connect() {
                SendError::Unreachable(words)
            } else {
                SendError::Broken(words)
            }
        })
    }

    /// A short answer, whole. `None`: not in time, too long, or cut.
    pub(super) async fn fetch(
        &self,
        request: Request<Full<Bytes>>,
        patience: Duration,
        bytes_max: usize,
    ) -> Result<(http::StatusCode, Bytes), SendError> {
        let fetching = async {
            let (head, body) = self.send(request).await?.into_parts();
            let body = Limited::new(body, bytes_max).collect().await;
            let body = body.map_err(|error| SendError::Broken(error.to_string()))?;
            Ok((head.status, body.to_bytes()))
        };
        match timeout(patience, fetching).await {
            Ok(fetched) => fetched,
            Err(_) => Err(SendError::Broken("no answer in time".to_owned())),
        }
    }
}

/// hyper's own words say little; what is below them says it.
fn causes(error: &dyn std::error::Error) -> String {
    let mut deepest = error;
    while let Some(source) = deepest.source() {
        deepest = source;
    }
    deepest.to_string()
}
