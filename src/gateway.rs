//! Router of `/v1`: whose key, which model, may they, when is it their turn, and what did it cost.
//!
//! What costs nothing is checked first, and everything that was granted is given back when a later
//! check says no. From the line on, the request lives in the body of its answer: see `speech`.

mod access;
mod asked;
mod board;
mod bodies;
mod conversation;
mod headers;
mod incoming;
mod listing;
mod offered;
mod refusal;
mod speech;
mod spending;
mod upstreams;

use std::net::IpAddr;
use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER};
use axum::response::{IntoResponse as _, Response};
use http::{Method, StatusCode};
use jiff::Timestamp;
use tokio::time::Instant;
use tokio_util::task::TaskTracker;

pub use board::{Board, OnBoard};
pub use bodies::Bodies;
pub use offered::Offered;
pub use upstreams::{Upstream, Upstreams};

use asked::Arrived;
use conversation::Conversation;
use refusal::Refusal;
use speech::Rules;

use crate::auth::token;
use crate::domain::id::KeyId;
use crate::limiter::Limiter;
use crate::llm::{Dialect, Endpoint, Policy, UpstreamError};
use crate::routing::TableHandle;
use crate::telemetry::metrics::Metrics;
use crate::telemetry::usage::UsageSink;

/// Seconds after which a client may ask again: organizers connect models by hand.
const RETRY_AFTER_S: &str = "60";

/// OpenAI's error shape, so that agents show the sentence instead of a parse error.
const NOT_AVAILABLE: &str = r#"{"error":{"message":"No language model is connected to this event yet. The organizers can connect one; then this address answers.","type":"service_unavailable","param":null,"code":"gateway_not_available"}}"#;

/// Everything that a request to the model needs.
pub struct Gateway {
    pub table: TableHandle,
    pub upstreams: Upstreams,
    pub limiter: Arc<Limiter>,
    pub offered: Offered,
    pub policy: Policy,
    pub body_bytes_max: usize,
    /// What all requests together may hold in memory.
    pub bodies: Bodies,
    /// Told once for each request of somebody who has a key.
    pub usage: UsageSink,
    /// Where the watches of answers run: each goes with its answer.
    pub watches: TaskTracker,
    /// Who is on the way, for people who look.
    pub board: Board,
    pub metrics: Arc<Metrics>,
    /// Told when a container's key was shown from another address. May not wait.
    pub foreign_key: Box<dyn Fn(KeyId, IpAddr) + Send + Sync>,
}

/// For the public listener's bridge and the gateway's own listeners alike. With no gateway, it says so
/// at every path.
pub fn router(gateway: Option<Arc<Gateway>>) -> Router {
    match gateway {
        Some(gateway) => Router::new().fallback(serve).with_state(gateway),
        None => Router::new().fallback(not_available),
    }
}

async fn not_available() -> Response {
    let headers = [
        (CONTENT_TYPE, "application/json"),
        (RETRY_AFTER, RETRY_AFTER_S),
        (CACHE_CONTROL, "no-store"),
    ];
    (StatusCode::SERVICE_UNAVAILABLE, headers, NOT_AVAILABLE).into_response()
}

async fn serve(State(gateway): State<Arc<Gateway>>, request: Request) -> Response {
    let id = format!("req_{:016x}", token::id_bits());
    let path = request.uri().path();
    let mut answer = match (Endpoint::of(path), listing(path)) {
        (Some(endpoint), _) if request.method() == Method::POST => {
            return gateway.answer(endpoint, id, request).await;
        }
        (Some(endpoint), _) => Refusal::WrongMethod("POST").answer(endpoint.dialect()),
        (None, Some(listing)) if request.method() == Method::GET => gateway.list(listing, &request),
        (None, Some(_)) => Refusal::WrongMethod("GET").answer(Dialect::OpenAi),
        (None, None) => Refusal::NoSuchPath.answer(Dialect::OpenAi),
    };
    headers::identify(answer.headers_mut(), &id);
    answer
}

/// `/v1/models`, or one of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Listing<'a> {
    All,
    One(&'a str),
}

fn listing(path: &str) -> Option<Listing<'_>> {
    let path = path.strip_prefix("/api").unwrap_or(path);
    match path.strip_prefix("/v1/models")? {
        "" => Some(Listing::All),
        rest => {
            let id = rest.strip_prefix('/')?;
            (!id.is_empty()).then_some(Listing::One(id))
        }
    }
}

impl Gateway {
    async fn answer(
        self: &Arc<Self>,
        endpoint: Endpoint,
        id: String,
        request: Request,
    ) -> Response {
        let arrived = Arrived {
            id: id.clone(),
            at: Timestamp::now(),
            started: Instant::now(),
        };
        let dialect = endpoint.dialect();
        let said = match self.read(arrived, endpoint, request).await {
            Ok(asked) => {
                let gateway = Arc::clone(self);
                let rules = Rules {
                    revoked: asked.key.revoked.clone(),
                    is_stream: asked.prepared.stream,
                    tasks: self.watches.clone(),
                };
                let tell = |voice| Conversation::new(gateway, asked, voice).hold();
                speech::listen(tell, rules).await
            }
            Err(refusal) => Some(refusal.answer(dialect)),
        };
        let mut answer = said.unwrap_or_else(|| {
            // Whatever tells an answer begins one; should it not, this is the truth.
            Refusal::Upstream(UpstreamError::broke_off()).answer(dialect)
        });
        headers::identify(answer.headers_mut(), &id);
        answer
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt as _;
    use tower::ServiceExt as _;

    use super::*;

    #[tokio::test]
    async fn every_model_path_answers_in_openai_s_error_shape() {
        for path in ["/v1/models", "/api/v1/chat/completions", "/v1"] {
            let request = Request::post(path).body(axum::body::Body::empty()).unwrap();
            let answer = router(None).oneshot(request).await.unwrap();
            assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
            assert!(answer.headers().contains_key(RETRY_AFTER));
            let body = answer.into_body().collect().await.unwrap().to_bytes();
            let body: serde_json::Value = serde_json::from_slice(&body).unwrap();
            assert_eq!(body["error"]["code"], "gateway_not_available");
            assert_eq!(body["error"]["type"], "service_unavailable");
            assert!(body["error"]["message"].is_string());
            assert!(body["error"]["param"].is_null());
        }
    }

    #[test]
    fn models_are_listed_at_two_addresses() {
        assert_eq!(listing("/v1/models"), Some(Listing::All));
        assert_eq!(
            listing("/api/v1/models/user.x"),
            Some(Listing::One("user.x"))
        );
        for other in ["/v1/models/", "/v1/model", "/models", "/v1/modelsx"] {
            assert_eq!(listing(other), None, "{other}");
        }
    }
}
