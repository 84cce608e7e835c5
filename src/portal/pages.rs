//! The templates and what they are filled with; everything is escaped.

use askama::Template;
use axum::response::{Html, IntoResponse, Response};
use http::StatusCode;
use jiff::Timestamp;

use super::standing::Standing;
use crate::domain::id::UserRef;

#[derive(Template)]
#[template(path = "sign_in.html")]
pub(super) struct SignIn<'a> {
    pub(super) next: &'a str,
}

#[derive(Template)]
#[template(path = "join.html")]
pub(super) struct Join<'a> {
    pub(super) code: &'a str,
    pub(super) next: &'a str,
    pub(super) user: &'a UserRef,
    /// Who is signed in at the moment, when it is somebody else.
    pub(super) other: Option<&'a UserRef>,
}

#[derive(Template)]
#[template(path = "home.html")]
pub(super) struct Home<'a> {
    pub(super) user: &'a UserRef,
    pub(super) instance: Option<Card>,
    pub(super) browsers: Vec<BrowserRow>,
    pub(super) has_ca: bool,
}

impl Home<'_> {
    fn moving(&self) -> bool {
        self.instance
            .as_ref()
            .is_none_or(|card| card.standing.moving)
    }
}

/// The participant's instance.
pub(super) struct Card {
    pub(super) standing: Standing,
    pub(super) phase: String,
    pub(super) reason: Option<String>,
    pub(super) since: Timestamp,
}

/// A browser that is signed in.
pub(super) struct BrowserRow {
    pub(super) id: String,
    pub(super) agent: String,
    pub(super) last_seen_at: Timestamp,
    pub(super) is_this_one: bool,
}

/// How to make a browser trust the certificate, and whether it is ready for an editor.
#[derive(Template)]
#[template(path = "ca.html")]
pub(super) struct CaPage<'a> {
    pub(super) ca: Option<CaWords>,
    /// The public listener, when this page was asked for without TLS.
    pub(super) secure: Option<&'a str>,
    /// This page for a phone; none where nobody else could open it.
    pub(super) elsewhere: Option<&'a str>,
    /// Which of the instructions are unfolded.
    pub(super) opened: Vec<&'static str>,
}

/// The certificate in the words of the instructions.
pub(super) struct CaWords {
    /// The fingerprint in lines that an eye can hold.
    pub(super) lines: Vec<String>,
    /// Where the certificate can be fetched before it is trusted.
    pub(super) url: String,
    /// What it is called where it is installed: no two authorities have the same.
    pub(super) name: String,
    /// SHA-1, by which macOS and Windows find it again.
    pub(super) thumbprint: String,
}

impl CaPage<'_> {
    fn open(&self, system: &str) -> &'static str {
        if self.opened.contains(&system) {
            " open"
        } else {
            ""
        }
    }
}

#[derive(Template)]
#[template(path = "message.html")]
pub(super) struct Message<'a> {
    pub(super) title: &'a str,
    pub(super) text: &'a str,
    pub(super) step: Option<Step>,
}

/// What the reader can do next.
pub(super) struct Step {
    pub(super) href: &'static str,
    pub(super) label: &'static str,
}

/// A page, or the plainest of all answers when a template fails.
pub(super) fn render(status: StatusCode, page: &impl Template) -> Response {
    match page.render() {
        Ok(html) => (status, Html(html)).into_response(),
        Err(error) => {
            tracing::error!(%error, "a page could not be rendered");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

/// For people without scripts; the script puts it into the reader's own time zone.
fn utc(at: &Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%M UTC").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::instance::{Desired, Phase};

    const HOSTILE: &str = "\"><script>alert(1)</script>";

    fn home(instance: Option<Card>) -> String {
        let user = "red/alice".parse().unwrap();
        let page = Home {
            user: &user,
            instance,
            browsers: vec![BrowserRow {
                id: "0123456789abcdef".to_owned(),
                agent: HOSTILE.to_owned(),
                last_seen_at: Timestamp::UNIX_EPOCH,
                is_this_one: false,
            }],
            has_ca: true,
        };
        page.render().unwrap()
    }

    fn card(desired: Desired, phase: Phase) -> Card {
        Card {
            standing: Standing::of(desired, phase),
            phase: phase.to_string(),
            reason: Some(HOSTILE.to_owned()),
            since: Timestamp::UNIX_EPOCH,
        }
    }

    #[test]
    fn words_from_elsewhere_are_only_words() {
        let html = home(Some(card(Desired::Running, Phase::Failed)));
        assert!(!html.contains("<script>"), "{html}");
        assert!(html.contains("alert(1)"));
        let next = SignIn { next: HOSTILE }.render().unwrap();
        assert!(!next.contains("<script>"), "{next}");
    }

    #[test]
    fn a_ready_editor_is_linked_and_a_stopped_one_can_be_started() {
        let ready = home(Some(card(Desired::Running, Phase::Ready)));
        assert!(ready.contains("href=\"/w/red/alice/\""));
        assert!(!ready.contains("http-equiv=\"refresh\""));
        let stopped = home(Some(card(Desired::Stopped, Phase::Stopped)));
        assert!(stopped.contains("action=\"/me/instance/start\""));
        assert!(!stopped.contains("href=\"/w/red/alice/\""));
    }

    #[test]
    fn a_page_that_waits_looks_again_also_without_a_script() {
        assert!(home(None).contains("http-equiv=\"refresh\""));
        let starting = home(Some(card(Desired::Running, Phase::Starting)));
        assert!(starting.contains("http-equiv=\"refresh\""));
    }

    #[test]
    fn somebody_else_is_asked_before_the_session_changes() {
        let (alice, bob) = ("red/alice".parse().unwrap(), "blue/bob".parse().unwrap());
        let page = Join {
            code: "abc",
            next: "",
            user: &alice,
            other: Some(&bob),
        };
        let html = page.render().unwrap();
        assert!(html.contains("bob") && html.contains("Continue as alice"));
    }
}
