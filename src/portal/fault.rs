//! Every refusal of this door: its status, its sentence, and the next step.

use axum::extract::rejection::FormRejection;
use axum::response::{IntoResponse, Response};
use http::header::RETRY_AFTER;
use http::{HeaderValue, StatusCode};

use super::pages::{self, Message, Step};
use crate::control::Error;

#[derive(Debug)]
pub(super) enum Fault {
    BadForm,
    BadHost,
    Control(Error),
    /// The request was not made by a form of ours.
    ForeignForm,
    FormTooLarge,
    MethodNotAllowed,
    /// The plain listener was asked by a proxy that has ended TLS.
    Misdirected,
    NotFound,
    TooManyAttempts,
    /// The request did not end in time.
    TooSlow,
    UnknownCode,
}

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        Self::Control(error)
    }
}

pub(super) async fn not_found() -> Fault {
    Fault::NotFound
}

pub(super) async fn method_not_allowed() -> Fault {
    Fault::MethodNotAllowed
}

const HOME: Step = Step {
    href: "/",
    label: "Go to the start page",
};

impl IntoResponse for Fault {
    fn into_response(self) -> Response {
        let too_many = matches!(self, Self::TooManyAttempts);
        let (status, title, text) = self.words();
        let mut response = pages::render(
            status,
            &Message {
                title,
                text: &text,
                step: Some(HOME),
            },
        );
        if too_many {
            let minute = HeaderValue::from_static("60");
            response.headers_mut().insert(RETRY_AFTER, minute);
        }
        response
    }
}

impl Fault {
    pub(super) fn of_form(rejection: FormRejection) -> Self {
        match rejection.status() {
            StatusCode::PAYLOAD_TOO_LARGE => Self::FormTooLarge,
            _ => Self::BadForm,
        }
    }

    fn words(self) -> (StatusCode, &'static str, String) {
        let (status, title, text) = match self {
            Self::BadForm => (
                StatusCode::BAD_REQUEST,
                "That form could not be read",
                "Go back and try it once more.",
            ),
            Self::FormTooLarge => (
                StatusCode::PAYLOAD_TOO_LARGE,
                "That form is too large",
                "A code or a link is short. Go back and try it once more.",
            ),
            Self::BadHost => (
                StatusCode::BAD_REQUEST,
                "That address could not be read",
                "The request does not say which host it is for.",
            ),
            Self::Control(error) => return control_words(error),
            Self::ForeignForm => (
                StatusCode::FORBIDDEN,
                "That did not come from this page",
                "For your safety, changes are accepted only from this site's own forms. \
                 Open the page in a current browser, in a tab of its own, and try again.",
            ),
            Self::MethodNotAllowed => (
                StatusCode::METHOD_NOT_ALLOWED,
                "That is not how this page works",
                "The page exists, but not for this kind of request.",
            ),
            Self::Misdirected => (
                StatusCode::MISDIRECTED_REQUEST,
                "The wrong door",
                "The proxy in front leads here, to the listener that only sends people on to https. \
                 It should lead to the address of `proxy.https_listen`.",
            ),
            Self::NotFound => (
                StatusCode::NOT_FOUND,
                "There is no such page",
                "The link may be incomplete. Your own editor is linked from the start page.",
            ),
            Self::TooManyAttempts => (
                StatusCode::TOO_MANY_REQUESTS,
                "Too many wrong codes",
                "Too many codes from your network were wrong. Wait a minute, then open the link \
                 you were given, or ask an organizer for a new one.",
            ),
            Self::TooSlow => (
                StatusCode::REQUEST_TIMEOUT,
                "That took too long",
                "The rest of the form did not arrive. Go back and try it once more.",
            ),
            Self::UnknownCode => (
                StatusCode::NOT_FOUND,
                "This link is not valid",
                "It may be incomplete, or it was replaced by a newer one. Check that you copied \
                 all of it, or ask an organizer for a new link.",
            ),
        };
        (status, title, text.to_owned())
    }
}

fn control_words(error: Error) -> (StatusCode, &'static str, String) {
    match error {
        Error::Conflict(text) => (StatusCode::CONFLICT, "That is not possible now", text),
        Error::Internal(text) => {
            tracing::error!(error = %text, "a participant's page failed");
            (
                StatusCode::INTERNAL_SERVER_ERROR,
                "Something went wrong here",
                "It is not your fault. Try again in a moment; if it stays like this, tell an \
                 organizer."
                    .to_owned(),
            )
        }
        Error::Invalid(text) => (StatusCode::BAD_REQUEST, "That is not valid", text),
        missing @ Error::Missing { .. } => (
            StatusCode::NOT_FOUND,
            "It is not there",
            format!("{missing}."),
        ),
        Error::Unavailable(text) => (
            StatusCode::SERVICE_UNAVAILABLE,
            "Not available right now",
            format!("{text}. Try again in a moment."),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_went_wrong_inside_is_not_shown() {
        let (status, title, text) = Fault::from(Error::Internal("secret".to_owned())).words();
        assert_eq!(status, StatusCode::INTERNAL_SERVER_ERROR);
        assert!(!title.contains("secret") && !text.contains("secret"));
    }
}
