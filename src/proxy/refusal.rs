//! Every answer that we give ourselves: its status, its words, and the next step.

use http::StatusCode;
use pingora::{Error, ErrorSource, ErrorType};

use super::access::Denied;
use crate::domain::instance::Phase;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    BadHost,
    BodyTooLarge,
    /// As many requests as there may be are with editors already.
    Crowded,
    /// Plain HTTP over a network, from somebody who is no proxy of ours.
    Exposed,
    /// Something broke on our side.
    Broken,
    Foreign,
    HeadTooLarge,
    /// The request itself is not HTTP as we speak it.
    Malformed,
    NoInstance,
    NotFound,
    NotYours,
    SignIn {
        /// The path to show afterwards.
        next: String,
    },
    /// The editor accepted the request and says nothing.
    Silent,
    /// The final slash is missing; without it the editor's relative addresses lead astray.
    Slash {
        location: String,
    },
    Unauthorized,
    /// The editor does not answer.
    Unreachable,
    UriTooLong,
    Waiting {
        phase: Phase,
        reason: Option<String>,
    },
}

/// What is said, to a person and to a program.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Words {
    /// Stable, for programs.
    pub(super) code: &'static str,
    pub(super) title: &'static str,
    pub(super) text: &'static str,
    /// Where to go from here.
    pub(super) next: Option<Next>,
    /// Seconds after which it makes sense to try again; a page does so by itself.
    pub(super) retry_s: Option<u32>,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) struct Next {
    pub(super) href: &'static str,
    pub(super) label: &'static str,
}

const HOME: Option<Next> = Some(Next {
    href: "/",
    label: "Go to your page",
});

const fn words(code: &'static str, title: &'static str, text: &'static str) -> Words {
    Words {
        code,
        title,
        text,
        next: None,
        retry_s: None,
    }
}

impl Words {
    const fn home(mut self) -> Self {
        self.next = HOME;
        self
    }

    const fn retry(mut self, seconds: u32) -> Self {
        self.retry_s = Some(seconds);
        self
    }
}

const CROWDED: Words = words(
    "too_many_at_once",
    "Too much at once",
    "Too many requests and connections are open at the moment. Close what you do not need; this page tries again.",
)
.retry(2);

const EXPOSED: Words = words(
    "plain_http",
    "Not this way",
    "Here only the proxy in front may ask: what crosses the network is encrypted. Use the https address that you were given.",
);

impl Refusal {
    pub(super) fn status(&self) -> StatusCode {
        match self {
            Self::BadHost | Self::Malformed => StatusCode::BAD_REQUEST,
            Self::BodyTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Broken => StatusCode::INTERNAL_SERVER_ERROR,
            Self::Exposed | Self::Foreign | Self::NotYours => StatusCode::FORBIDDEN,
            Self::HeadTooLarge => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            Self::NoInstance | Self::NotFound => StatusCode::NOT_FOUND,
            Self::SignIn { .. } => StatusCode::SEE_OTHER,
            Self::Silent => StatusCode::GATEWAY_TIMEOUT,
            Self::Slash { .. } => StatusCode::PERMANENT_REDIRECT,
            Self::Unauthorized => StatusCode::UNAUTHORIZED,
            Self::Unreachable => StatusCode::BAD_GATEWAY,
            Self::UriTooLong => StatusCode::URI_TOO_LONG,
            Self::Crowded | Self::Waiting { .. } => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    /// A redirection's target.
    pub(super) fn location(&self) -> Option<String> {
        match self {
            Self::SignIn { next } => Some(format!("/?next={}", percent_encoded(next))),
            Self::Slash { location } => Some(location.clone()),
            _ => None,
        }
    }

    /// What went wrong in this one case.
    pub(super) fn reason(&self) -> Option<&str> {
        match self {
            Self::Waiting { reason, .. } => reason.as_deref(),
            _ => None,
        }
    }

    pub(super) fn words(&self) -> Words {
        match self {
            Self::BadHost => words(
                "bad_host",
                "Which address?",
                "The request does not say which host it is for. Use the address you were given.",
            ),
            Self::BodyTooLarge => words(
                "body_too_large",
                "Too large",
                "The request's body is larger than this address accepts.",
            ),
            Self::Broken => words(
                "internal",
                "Something broke here",
                "This is our fault, not yours. Try again; if it stays, tell an organizer.",
            ),
            Self::Crowded => CROWDED,
            Self::Exposed => EXPOSED,
            Self::Foreign => words(
                "foreign_origin",
                "Not from another site",
                "Another web site tried to use this address. Open it yourself instead.",
            ),
            Self::HeadTooLarge => words(
                "head_too_large",
                "Too many headers",
                "The request's headers are larger than 64 KiB. Clearing this site's cookies helps.",
            ),
            Self::Malformed => words("malformed", "Not understood", "The request is malformed."),
            Self::NoInstance => words(
                "no_instance",
                "No editor yet",
                "You have no running VS Code at the moment. Your page can start one.",
            )
            .home(),
            Self::NotFound => words("not_found", "Nothing here", "There is no such page.").home(),
            Self::NotYours => words(
                "not_yours",
                "Somebody else's editor",
                "You are signed in as another participant. Only its owner opens an editor.",
            )
            .home(),
            Self::SignIn { .. } | Self::Unauthorized => words(
                "sign_in",
                "Sign in first",
                "Open the invite link that you were given; then this address works.",
            )
            .home(),
            Self::Silent => words(
                "no_answer",
                "Your editor does not answer",
                "It is there, but it has said nothing for half a minute. This page tries again.",
            )
            .home()
            .retry(5),
            Self::Slash { .. } => words("moved", "This way", "The address ends with a slash."),
            Self::Unreachable => words(
                "unreachable",
                "Your editor is not reachable",
                "It may just be restarting; nothing in your workspace is lost. This page tries again.",
            )
            .home()
            .retry(2),
            Self::UriTooLong => words("uri_too_long", "Too long", "The address is too long."),
            Self::Waiting { phase, .. } => waiting(*phase),
        }
    }
}

fn waiting(phase: Phase) -> Words {
    match phase {
        Phase::Pending | Phase::Starting | Phase::Ready => words(
            "starting",
            "Your editor is starting",
            "VS Code opens here by itself in a moment.",
        )
        .retry(2),
        Phase::Paused => words(
            "paused",
            "Your editor is paused",
            "Nothing is lost: your terminals go on where they were. Start it again from your page.",
        )
        .home()
        .retry(5),
        Phase::Stopped => words(
            "stopped",
            "Your editor is stopped",
            "Your files are kept. Start it from your page.",
        )
        .home()
        .retry(5),
        Phase::Failed => words(
            "failed",
            "Your editor could not be started",
            "Your files are kept. It is tried again by itself; an organizer can see what is wrong.",
        )
        .home()
        .retry(5),
    }
}

impl From<(Denied, &str)> for Refusal {
    /// With the path that was asked for.
    fn from((denied, path): (Denied, &str)) -> Self {
        match denied {
            Denied::Foreign => Self::Foreign,
            Denied::NoInstance => Self::NoInstance,
            Denied::NotYours => Self::NotYours,
            Denied::SignIn => Self::SignIn {
                next: path.to_owned(),
            },
            Denied::Unauthorized => Self::Unauthorized,
        }
    }
}

impl Refusal {
    /// What to say about an error of pingora's; `None` when nobody listens any more.
    pub(super) fn of(error: &Error) -> Option<Self> {
        use ErrorType::{
            ConnectionClosed, H2Error, HTTPStatus, InvalidHTTPHeader, ReadError, ReadTimedout,
            WriteError, WriteTimedout,
        };
        match (error.esource(), error.etype()) {
            (_, HTTPStatus(413)) => Some(Self::BodyTooLarge),
            (ErrorSource::Upstream, ReadTimedout | WriteTimedout) => Some(Self::Silent),
            (ErrorSource::Upstream, _) => Some(Self::Unreachable),
            (
                ErrorSource::Downstream,
                // HTTP/2 ends a request without ending the connection.
                H2Error | ReadError | WriteError | ConnectionClosed | ReadTimedout | WriteTimedout,
            ) => None,
            (ErrorSource::Downstream, _) | (_, InvalidHTTPHeader) => Some(Self::Malformed),
            (ErrorSource::Internal | ErrorSource::Unset, _) => Some(Self::Broken),
        }
    }
}

/// For a query's value: a path may hold `?`, `&` and `#`.
fn percent_encoded(text: &str) -> String {
    use std::fmt::Write as _;
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            // Writing to a String cannot fail.
            write!(encoded, "%{byte:02X}").ok();
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signing_in_leads_back_to_the_whole_address() {
        let refusal = Refusal::from((Denied::SignIn, "/w/red/alice/?folder=/x&y#"));
        assert_eq!(
            refusal.location().unwrap(),
            "/?next=/w/red/alice/%3Ffolder%3D/x%26y%23"
        );
    }

    #[test]
    fn whoever_waits_is_told_when_to_come_back_and_where_to_go() {
        for phase in [Phase::Paused, Phase::Stopped, Phase::Failed] {
            let words = waiting(phase);
            assert!(words.next.is_some() && words.retry_s.is_some(), "{phase}");
        }
        assert_eq!(waiting(Phase::Starting).retry_s, Some(2));
    }

    #[test]
    fn a_client_that_has_gone_is_told_nothing() {
        for how in [ErrorType::ConnectionClosed, ErrorType::H2Error] {
            let mut gone = Error::new(how);
            gone.as_down();
            assert_eq!(Refusal::of(&gone), None);
        }
        let mut refused = Error::new(ErrorType::ConnectRefused);
        refused.as_up();
        assert_eq!(Refusal::of(&refused), Some(Refusal::Unreachable));
    }
}
