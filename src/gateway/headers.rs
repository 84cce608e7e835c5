//! What an answer says beside its body: who it is, how the limits stand, where the time went.
//!
//! The names are OpenAI's. `x-ratelimit-reset` alone is never sent: a client takes it for seconds.

use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue};

use super::refusal::spoken;
use crate::limiter::{Counts, Standing};

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const SERVER_TIMING: HeaderName = HeaderName::from_static("server-timing");

const TOKENS: [HeaderName; 3] = [
    HeaderName::from_static("x-ratelimit-limit-tokens"),
    HeaderName::from_static("x-ratelimit-remaining-tokens"),
    HeaderName::from_static("x-ratelimit-reset-tokens"),
];
const REQUESTS: [HeaderName; 3] = [
    HeaderName::from_static("x-ratelimit-limit-requests"),
    HeaderName::from_static("x-ratelimit-remaining-requests"),
    HeaderName::from_static("x-ratelimit-reset-requests"),
];

pub(super) fn identify(headers: &mut HeaderMap, id: &str) {
    if let Ok(id) = HeaderValue::from_str(id) {
        headers.insert(REQUEST_ID, id);
    }
}

/// The tightest limit of each kind.
pub(super) fn limits(headers: &mut HeaderMap, standings: &[Standing]) {
    for (counts, names) in [(Counts::Tokens, TOKENS), (Counts::Requests, REQUESTS)] {
        let of_kind = standings
            .iter()
            .filter(|standing| standing.counts == counts);
        let Some(tightest) = of_kind.min_by_key(|standing| standing.remaining) else {
            continue;
        };
        let [limit, remaining, reset] = names;
        headers.insert(limit, tightest.capacity.into());
        headers.insert(remaining, tightest.remaining.max(0).into());
        if let Ok(full_after) = HeaderValue::from_str(&spoken(tightest.full_after)) {
            headers.insert(reset, full_after);
        }
    }
}

/// Milliseconds in the line, and from the request to this answer's head.
pub(super) fn timing(headers: &mut HeaderMap, waited: Duration, total: Duration) {
    let ms = |duration: Duration| duration.as_secs_f64() * 1_000.0;
    let text = format!("queue;dur={:.1}, total;dur={:.1}", ms(waited), ms(total));
    if let Ok(value) = HeaderValue::from_str(&text) {
        headers.insert(SERVER_TIMING, value);
    }
}
