//! The one place where errors become statuses and envelopes.

use axum::Json;
use axum::extract::rejection::{BytesRejection, JsonRejection, PathRejection, QueryRejection};
use axum::response::{IntoResponse, Response};
use http::header::{CACHE_CONTROL, X_CONTENT_TYPE_OPTIONS};
use http::{HeaderValue, StatusCode};

use crate::api::ErrorEnvelope;
use crate::control::Error;

/// A refusal, ready to be sent.
#[derive(Debug)]
pub(super) struct Refusal {
    status: StatusCode,
    envelope: ErrorEnvelope,
}

impl Refusal {
    pub(super) fn new(status: StatusCode, code: &str, message: impl Into<String>) -> Self {
        Self {
            status,
            envelope: ErrorEnvelope::new(code, message),
        }
    }

    pub(super) fn field(field: &str, error: &impl ToString) -> Self {
        Self {
            status: StatusCode::UNPROCESSABLE_ENTITY,
            envelope: ErrorEnvelope::new("invalid", error.to_string()).field(field),
        }
    }
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        let (status, code) = match &error {
            Error::Conflict(_) => (StatusCode::CONFLICT, "conflict"),
            Error::Internal(text) => {
                tracing::error!(error = %text, "a call of the admin API failed");
                return Self::new(
                    StatusCode::INTERNAL_SERVER_ERROR,
                    "internal",
                    "something went wrong inside; the appliance's log says what",
                );
            }
            Error::Invalid(_) => (StatusCode::UNPROCESSABLE_ENTITY, "invalid"),
            Error::Missing { .. } => (StatusCode::NOT_FOUND, "not_found"),
            Error::Unavailable(_) => (StatusCode::SERVICE_UNAVAILABLE, "unavailable"),
        };
        Self::new(status, code, error.to_string())
    }
}

/// 400 for what cannot be read, 413 for too much of it, 422 for the wrong shape: axum's own statuses
/// and words, in the envelope.
macro_rules! unreadable {
    ($($rejection:ty),*) => {
        $(impl From<$rejection> for Refusal {
            fn from(rejection: $rejection) -> Self {
                Self::new(rejection.status(), "invalid", rejection.body_text())
            }
        })*
    };
}

unreadable!(BytesRejection, JsonRejection, PathRejection, QueryRejection);

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        (self.status, Json(self.envelope)).into_response()
    }
}

pub(super) async fn not_found() -> Refusal {
    Refusal::new(StatusCode::NOT_FOUND, "not_found", "there is nothing here")
}

pub(super) async fn method_not_allowed() -> Refusal {
    Refusal::new(
        StatusCode::METHOD_NOT_ALLOWED,
        "method_not_allowed",
        "this path does not answer to this method",
    )
}

/// Answers hold links and passwords: nobody keeps them, nobody guesses their type.
pub(super) async fn secure(mut response: Response) -> Response {
    let headers = response.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_error_has_its_status_and_code() {
        for (error, status, code) in [
            (Error::Conflict("taken".to_owned()), 409, "conflict"),
            (Error::Invalid("odd".to_owned()), 422, "invalid"),
            (Error::Unavailable("later".to_owned()), 503, "unavailable"),
            (
                Error::no_instance(&"red/alice".parse().unwrap()),
                404,
                "not_found",
            ),
        ] {
            let words = error.to_string();
            let refusal = Refusal::from(error);
            assert_eq!(refusal.status.as_u16(), status);
            assert_eq!(refusal.envelope.error.code, code);
            assert_eq!(refusal.envelope.error.message, words);
            assert_eq!(refusal.envelope.detail, words);
        }
    }

    #[test]
    fn what_went_wrong_inside_is_for_the_log_only() {
        let refusal = Refusal::from(Error::Internal("table `sessions` is broken".to_owned()));
        assert_eq!(refusal.status, StatusCode::INTERNAL_SERVER_ERROR);
        let sent = serde_json::to_string(&refusal.envelope).unwrap();
        assert!(!sent.contains("sessions"), "{sent}");
    }
}
