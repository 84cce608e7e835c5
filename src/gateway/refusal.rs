//! Every answer that we give instead of the model's: status, headers and words.
//!
//! Clients decide by these whether they come again and when. `retry-after` is never above a minute: two
//! of the usual libraries give up or hurry when it is. No text of a permanent refusal has a bare status
//! number or the words for a limit in it: agents look for those and would try for ever.

use std::time::Duration;

use axum::response::Response;
use http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderName, RETRY_AFTER};
use http::{HeaderMap, HeaderValue, StatusCode};

use crate::auth::token;
use crate::limiter::queue::{Busy, BusyKind};
use crate::limiter::{self, Counts, Standing};
use crate::llm::{BadRequest, Dialect, ErrorWords, UpstreamError, error_body};
use crate::routing::KeyRefusal;

const RETRY_AFTER_MS: HeaderName = HeaderName::from_static("retry-after-ms");
const SHOULD_RETRY: HeaderName = HeaderName::from_static("x-should-retry");

/// Whoever waits longer is told so in words, and comes again meanwhile.
const RETRY_AFTER_MAX: Duration = Duration::from_mins(1);

/// A balance that needs longer than this is used up, and nobody should wait for it.
const QUOTA_WAIT: Duration = Duration::from_mins(10);

/// Until a server is looked at again, and a little.
const BACKEND_RETRY: Duration = Duration::from_secs(5);

/// Named by what the client is to do.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Refusal {
    NoSuchPath,
    WrongMethod(&'static str),
    NoKey,
    BadKey(KeyRefusal),
    /// It ended while it was in use.
    KeyEnded,
    BadRequest(BadRequest),
    BodyTooLarge {
        bytes_max: usize,
    },
    BodyLost,
    /// Others send as much as there is room for.
    Crowded,
    Encoded,
    UnknownModel(String),
    PromptTooLong {
        limit: Box<Standing>,
        requested: u64,
    },
    Limit {
        limit: Box<Standing>,
        requested: u64,
        retry_after: Duration,
    },
    Busy(Busy),
    /// Waited as long as anybody may.
    WaitedTooLong,
    /// No server, or none that is ready.
    Unavailable,
    /// Balances are kept elsewhere, and that cannot be reached.
    BalancesAway,
    Upstream(UpstreamError),
}

impl From<limiter::Refusal> for Refusal {
    fn from(refusal: limiter::Refusal) -> Self {
        match refusal {
            limiter::Refusal::Tokens {
                limit,
                requested,
                retry_after,
            } => Self::Limit {
                limit,
                requested,
                retry_after,
            },
            limiter::Refusal::Requests {
                limit, retry_after, ..
            } => Self::Limit {
                limit,
                requested: 1,
                retry_after,
            },
            limiter::Refusal::TooLarge { limit, requested } => {
                Self::PromptTooLong { limit, requested }
            }
            limiter::Refusal::Unavailable => Self::BalancesAway,
        }
    }
}

impl Refusal {
    pub(super) fn status(&self) -> StatusCode {
        match self {
            Self::NoSuchPath | Self::UnknownModel(_) => StatusCode::NOT_FOUND,
            Self::WrongMethod(_) => StatusCode::METHOD_NOT_ALLOWED,
            Self::NoKey | Self::BadKey(_) | Self::KeyEnded => StatusCode::UNAUTHORIZED,
            Self::BadRequest(_) | Self::BodyLost | Self::PromptTooLong { .. } => {
                StatusCode::BAD_REQUEST
            }
            Self::BodyTooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Encoded => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::Busy(busy) if busy.kind == BusyKind::TooWide => StatusCode::BAD_REQUEST,
            Self::Limit { .. } | Self::Busy(_) | Self::WaitedTooLong => {
                StatusCode::TOO_MANY_REQUESTS
            }
            Self::Crowded | Self::Unavailable | Self::BalancesAway => {
                StatusCode::SERVICE_UNAVAILABLE
            }
            Self::Upstream(error) => {
                StatusCode::from_u16(error.status).unwrap_or(StatusCode::BAD_GATEWAY)
            }
        }
    }

    /// The limit that said no, as metrics call it.
    pub(super) fn limit(&self) -> Option<&str> {
        match self {
            Self::Limit { limit, .. } | Self::PromptTooLong { limit, .. } => {
                Some(match limit.counts {
                    Counts::Tokens => &limit.limit_id,
                    Counts::Requests => "requests",
                })
            }
            Self::Busy(busy) if busy.kind == BusyKind::TooManyOfYours => Some("concurrency"),
            Self::Busy(_) | Self::WaitedTooLong => Some("queue"),
            _ => None,
        }
    }

    pub(super) fn words(&self) -> ErrorWords {
        match self {
            Self::BadRequest(bad) => return bad.words(),
            Self::Upstream(error) => return error.words(),
            _ => {}
        }
        let (kind, code, message) = self.parts();
        let mut words = ErrorWords::new(self.status().as_u16(), kind, code, message);
        if let Self::UnknownModel(_) = self {
            words.param = Some("model".into());
        }
        words
    }

    fn parts(&self) -> (&'static str, &'static str, String) {
        const INVALID: &str = "invalid_request_error";
        match self {
            Self::NoSuchPath => (INVALID, "unknown_url", "There is nothing at this address. The model answers below /v1, for example at /v1/chat/completions.".to_owned()),
            Self::WrongMethod(allowed) => (INVALID, "method_not_allowed", format!("Use {allowed} for this address.")),
            Self::NoKey => (INVALID, "invalid_api_key", "No key was sent. Send `Authorization: Bearer sk-thon-…`; organizers make keys, and an editor has its own.".to_owned()),
            Self::BadKey(refusal) => (INVALID, "invalid_api_key", bad_key(refusal).to_owned()),
            Self::KeyEnded => (INVALID, "invalid_api_key", "This key has just been withdrawn.".to_owned()),
            Self::BadRequest(bad) => (INVALID, "invalid_value", bad.to_string()),
            Self::BodyTooLarge { bytes_max } => (INVALID, "request_too_large", format!("The request is larger than {} MiB.", bytes_max >> 20)),
            Self::BodyLost => (INVALID, "incomplete_request", "The request ended before its body did.".to_owned()),
            Self::Crowded => (
                "server_error",
                "too_much_at_once",
                "Too many large requests are being sent. Please try again in 5s.".to_owned(),
            ),
            Self::Encoded => (INVALID, "unsupported_encoding", "Send the request without Content-Encoding.".to_owned()),
            Self::UnknownModel(model) => (INVALID, "model_not_found", format!("The model `{model}` does not exist here, or this key may not use it. GET /v1/models lists those that it may use.")),
            Self::PromptTooLong { limit, requested } => (INVALID, "context_length_exceeded", format!("This prompt has about {requested} tokens and can never fit the limit of {} tokens for {}. Make it shorter.", limit.capacity, limit.account)),
            Self::Limit { limit, requested, retry_after } => limit_parts(limit, *requested, *retry_after),
            Self::Busy(busy) => busy_parts(busy),
            Self::WaitedTooLong => ("requests", "slots_busy", "The model is busy, and this request has waited as long as it may. Please try again.".to_owned()),
            Self::Unavailable => ("server_error", "backend_unavailable", "The language model is not available at the moment. Please try again in 5s.".to_owned()),
            Self::BalancesAway => ("server_error", "limits_unavailable", "Limits cannot be checked at the moment. Please try again in 5s.".to_owned()),
            Self::Upstream(error) => ("server_error", "backend_failed", error.message.clone()),
        }
    }

    /// What comes with the words.
    fn add_headers(&self, headers: &mut HeaderMap) {
        match self {
            Self::WrongMethod(allowed) => {
                headers.insert(ALLOW, HeaderValue::from_static(allowed));
            }
            Self::Limit { retry_after, .. } if *retry_after > QUOTA_WAIT => never(headers),
            Self::Limit { retry_after, .. } => soon(headers, *retry_after),
            Self::Busy(busy) if busy.kind == BusyKind::TooWide => never(headers),
            Self::Busy(busy) => soon(headers, spread(busy.eta)),
            Self::WaitedTooLong => soon(headers, RETRY_AFTER_MAX),
            Self::Crowded | Self::Unavailable | Self::BalancesAway => soon(headers, BACKEND_RETRY),
            Self::Upstream(error) if error.status >= 500 => {
                soon(headers, BACKEND_RETRY);
            }
            _ => never(headers),
        }
    }

    pub(super) fn answer(&self, dialect: Dialect) -> Response {
        let body = error_body(dialect, &self.words());
        let mut answer = Response::new(axum::body::Body::from(body));
        *answer.status_mut() = self.status();
        let headers = answer.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        self.add_headers(headers);
        answer
    }
}

fn never(headers: &mut HeaderMap) {
    headers.insert(SHOULD_RETRY, HeaderValue::from_static("false"));
}

/// A fifth more or less: a hundred agents shall not come back in one moment.
fn spread(wait: Duration) -> Duration {
    let percent = 80 + token::id_bits() % 41;
    wait.saturating_mul(u32::try_from(percent).unwrap_or(100)) / 100
}

/// Whole seconds and milliseconds, at least one second and at most a minute.
fn soon(headers: &mut HeaderMap, wait: Duration) {
    let wait = wait.clamp(Duration::from_secs(1), RETRY_AFTER_MAX);
    let ms = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
    headers.insert(RETRY_AFTER, HeaderValue::from(ms.div_ceil(1_000)));
    headers.insert(RETRY_AFTER_MS, HeaderValue::from(ms));
}

fn bad_key(refusal: &KeyRefusal) -> &'static str {
    match refusal {
        KeyRefusal::Unknown => "This key is not one of ours. Organizers can make another.",
        KeyRefusal::Expired => "This key has expired. Organizers can make another.",
        KeyRefusal::Disabled => "This key is disabled. Ask the organizers.",
        KeyRefusal::Elsewhere { .. } => {
            "This key belongs to an editor and is good from there only."
        }
    }
}

fn limit_parts(
    limit: &Standing,
    requested: u64,
    wait: Duration,
) -> (&'static str, &'static str, String) {
    let used = i128::from(limit.capacity) - i128::from(limit.remaining);
    let window = window(limit.window);
    if wait > QUOTA_WAIT {
        let message = format!(
            "{} used the quota of {} tokens {window}. There is room again in {}.",
            capital(&limit.account.to_string()),
            limit.capacity,
            spoken(wait)
        );
        return ("insufficient_quota", "insufficient_quota", message);
    }
    let (kind, what) = match limit.counts {
        Counts::Tokens => ("tokens", "tokens"),
        Counts::Requests => ("requests", "requests"),
    };
    let of = limit
        .model
        .as_ref()
        .map_or_else(String::new, |model| format!(" for {model}"));
    let message = format!(
        "Rate limit reached{of} for {} on {what} {window}: Limit {}, Used {used}, Requested {requested}. Please try again in {}.",
        limit.account,
        limit.capacity,
        spoken(wait)
    );
    (kind, "rate_limit_exceeded", message)
}

fn busy_parts(busy: &Busy) -> (&'static str, &'static str, String) {
    let eta = spoken(busy.eta);
    match busy.kind {
        BusyKind::Full => (
            "requests",
            "slots_busy",
            format!(
                "All {} slots are busy, {} requests wait. Please try again in {eta}.",
                busy.slots, busy.waiting
            ),
        ),
        BusyKind::TooManyOfYours => (
            "requests",
            "concurrency_limit_exceeded",
            format!("Too many of your requests wait already. Please try again in {eta}."),
        ),
        BusyKind::TooWide => (
            "invalid_request_error",
            "invalid_request",
            format!(
                "The model writes {} answers at a time: ask for fewer.",
                busy.slots
            ),
        ),
    }
}

fn window(window: Duration) -> String {
    match window.as_secs() {
        60 => "per min".to_owned(),
        3_600 => "per hour".to_owned(),
        86_400 => "per day".to_owned(),
        seconds => format!("per {seconds}s"),
    }
}

/// As OpenAI writes it: `3.89s`, `6m0s`, `5h7m0s`.
pub(super) fn spoken(wait: Duration) -> String {
    let seconds = wait.as_secs();
    match seconds {
        0..60 if wait.subsec_millis() > 0 => format!("{:.2}s", wait.as_secs_f64()),
        0..60 => format!("{seconds}s"),
        60..3_600 => format!("{}m{}s", seconds / 60, seconds % 60),
        _ => format!(
            "{}h{}m{}s",
            seconds / 3_600,
            seconds / 60 % 60,
            seconds % 60
        ),
    }
}

fn capital(text: &str) -> String {
    let mut chars = text.chars();
    let first = chars.next().map(|first| first.to_uppercase().to_string());
    first.unwrap_or_default() + chars.as_str()
}
