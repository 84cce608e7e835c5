//! `/metrics`: for the control socket, and for a scraper of the network that holds the token.

use std::collections::BTreeMap;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::header::{AUTHORIZATION, CONTENT_TYPE, WWW_AUTHENTICATE};
use http::{HeaderMap, HeaderValue, StatusCode};
use jiff::Timestamp;

use super::AdminState;
use super::error::Refusal;
use crate::domain::secret::Secret;
use crate::telemetry::metrics::{CONTENT_TYPE as TOLD, ModelNow, Now};

pub(super) async fn show(State(state): State<AdminState>) -> Result<Response, Refusal> {
    let text = state.facts.metrics.render(&now(&state).await?);
    Ok(([(CONTENT_TYPE, TOLD)], text).into_response())
}

/// Nobody without the token learns more than that there is one.
pub(super) async fn with_token(
    State(token): State<Secret>,
    request: Request,
    next: Next,
) -> Response {
    if presented(request.headers()).is_some_and(|presented| presented == token) {
        return next.run(request).await;
    }
    let words = "a scraper's token is needed: `Authorization: Bearer …`";
    let refusal = Refusal::new(StatusCode::UNAUTHORIZED, "unauthorized", words);
    let mut response = refusal.into_response();
    let scheme = HeaderValue::from_static("Bearer realm=\"metrics\"");
    response.headers_mut().insert(WWW_AUTHENTICATE, scheme);
    response
}

fn presented(headers: &HeaderMap) -> Option<Secret> {
    let value = headers.get(AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    scheme
        .eq_ignore_ascii_case("bearer")
        .then(|| Secret::new(token.trim()))
}

async fn now(state: &AdminState) -> Result<Now, Refusal> {
    let gateway = (state.facts.live.gateway)();
    let mut instances = BTreeMap::<String, u64>::new();
    let mut open_sockets = 0;
    for status in state.control.instances().await? {
        let phase = status.instance.observed.phase.to_string();
        *instances.entry(phase).or_default() += 1;
        open_sockets += u64::from(status.open_sockets);
    }
    let uptime = Timestamp::now().duration_since(state.facts.started_at);
    let health = state.control.health().into_iter();
    let degraded = health.filter(|(_, health)| !health.is_ok()).count();
    let models = gateway.models.into_iter();
    Ok(Now {
        models: models
            .map(|model| ModelNow {
                model: model.name,
                slots_busy: model.slots_busy.into(),
                slots_total: model.slots_total.into(),
                queued: model.queued.into(),
            })
            .collect(),
        reserved_tokens: gateway.reserved_tokens,
        jain_index: gateway.jain_index,
        instances: instances.into_iter().collect(),
        open_sockets,
        usage_lost: state.control.usage_lost(),
        degraded_parts: degraded.try_into().unwrap_or(u64::MAX),
        uptime_s: uptime.as_secs().try_into().unwrap_or_default(),
    })
}
