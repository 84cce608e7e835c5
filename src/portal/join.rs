//! Signing in with an invite: whose it is on GET, the session on POST.

use axum::extract::rejection::FormRejection;
use axum::extract::{Form, Path, Query, State};
use axum::response::{AppendHeaders, IntoResponse, Redirect, Response};
use http::StatusCode;
use http::header::{HeaderName, SET_COOKIE};
use jiff::Timestamp;
use serde::Deserialize;

use super::Shared;
use super::fault::Fault;
use super::next::Next;
use super::own_form::OwnForm;
use super::pages::{self, Join};
use super::visit::{Viewer, Visit};
use crate::auth::{cookie, token};
use crate::control::Error;
use crate::domain::id::UserRef;

#[derive(Debug, Deserialize)]
pub(super) struct Wish {
    next: Option<String>,
}

impl Wish {
    pub(super) fn next(&self) -> Next {
        Next::parse(self.next.as_deref())
    }
}

#[derive(Debug, Deserialize)]
pub(super) struct SignInForm {
    code: String,
    next: Option<String>,
}

/// Asks, and never signs in: a link preview, a prefetch or a picture on another site is no consent.
pub(super) async fn ask(
    State(shared): State<Shared>,
    visit: Visit,
    Path(code): Path<String>,
    Query(wish): Query<Wish>,
) -> Result<Response, Fault> {
    let user = owner_of(&shared, &visit, &code).await?;
    let next = wish.next();
    match visit.viewer {
        Some(viewer) if viewer.user == user => Ok(Redirect::to(next.or_home()).into_response()),
        viewer => Ok(question(&code, &next, &user, viewer.as_ref())),
    }
}

/// The answer to the question is consent, also to being somebody else from now on.
pub(super) async fn accept(
    State(shared): State<Shared>,
    _: OwnForm,
    visit: Visit,
    Path(code): Path<String>,
    form: Result<Form<Wish>, FormRejection>,
) -> Result<Response, Fault> {
    let Form(wish) = form.map_err(Fault::of_form)?;
    redeem(&shared, &visit, &code, &wish.next()).await
}

/// The start page's form: a code, or the whole link that it came in.
pub(super) async fn sign_in(
    State(shared): State<Shared>,
    _: OwnForm,
    visit: Visit,
    form: Result<Form<SignInForm>, FormRejection>,
) -> Result<Response, Fault> {
    let Form(form) = form.map_err(Fault::of_form)?;
    let code = code_in(&form.code);
    let next = Next::parse(form.next.as_deref());
    if let Some(viewer) = &visit.viewer {
        let user = owner_of(&shared, &visit, code).await?;
        if viewer.user != user {
            return Ok(question(code, &next, &user, Some(viewer)));
        }
    }
    redeem(&shared, &visit, code, &next).await
}

fn question(code: &str, next: &Next, user: &UserRef, viewer: Option<&Viewer>) -> Response {
    let page = Join {
        code,
        next: next.as_str(),
        user,
        other: viewer.map(|viewer| &viewer.user),
    };
    pages::render(StatusCode::OK, &page)
}

async fn owner_of(shared: &Shared, visit: &Visit, code: &str) -> Result<UserRef, Fault> {
    if !is_code(code) {
        return Err(unknown(shared, visit));
    }
    match shared.control.preview_invite(code).await {
        Ok(invite) => Ok(invite.user),
        Err(error) => Err(refusal(shared, visit, error)),
    }
}

async fn redeem(
    shared: &Shared,
    visit: &Visit,
    code: &str,
    next: &Next,
) -> Result<Response, Fault> {
    if !is_code(code) {
        return Err(unknown(shared, visit));
    }
    let now = Timestamp::now();
    let signed_in = shared
        .control
        .redeem_invite(code, &visit.browser, now)
        .await
        .map_err(|error| refusal(shared, visit, error))?;
    let cookie = [(SET_COOKIE, cookie::set(signed_in.token.expose()))];
    let answer = (AppendHeaders(cookie), Redirect::to(next.or_home()));
    let Some(before) = &visit.viewer else {
        return Ok(answer.into_response());
    };
    end_former(shared, visit, before).await;
    if before.user == signed_in.session.user {
        Ok(answer.into_response())
    } else {
        Ok((FORGET, answer).into_response())
    }
}

/// Service workers and databases of the former participant's pages must not meet the new one; the
/// cookie is replaced, not cleared.
pub(super) const FORGET: [(HeaderName, &str); 1] = [(
    HeaderName::from_static("clear-site-data"),
    "\"cache\", \"storage\"",
)];

/// The browser forgets its former session; so do we. A failure is no reason not to sign in.
async fn end_former(shared: &Shared, visit: &Visit, before: &Viewer) {
    let ended = shared
        .control
        .end_session(&before.user, &before.session, visit.actor(before))
        .await;
    match ended {
        Ok(()) | Err(Error::Missing { .. }) => {}
        Err(error) => {
            tracing::warn!(%error, session.id = %before.session, "a replaced session lives on");
        }
    }
}

fn refusal(shared: &Shared, visit: &Visit, error: Error) -> Fault {
    match error {
        Error::Missing { .. } => unknown(shared, visit),
        other => other.into(),
    }
}

fn unknown(shared: &Shared, visit: &Visit) -> Fault {
    match shared
        .attempts
        .failed(visit.browser.address, Timestamp::now())
    {
        Ok(()) => Fault::UnknownCode,
        Err(_) => Fault::TooManyAttempts,
    }
}

fn is_code(text: &str) -> bool {
    text.len() == token::INVITE_CODE_LEN
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
}

/// What people paste: the code, or the link with whatever came along.
fn code_in(pasted: &str) -> &str {
    let text = pasted.trim();
    let rest = text
        .split_once("/join/")
        .map_or(text, |(_, after_join)| after_join);
    rest.split(['?', '#', '/', ' ', '>'])
        .next()
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pasted_link_is_as_good_as_its_code() {
        let code = "abcdefghijklmnopqrstu-_9";
        for pasted in [
            code.to_owned(),
            format!("  {code}\n"),
            format!("https://thon.example:8443/join/{code}"),
            format!("<https://thon.example/join/{code}>"),
            format!("thon.example/join/{code}/?utm=1"),
        ] {
            assert_eq!(code_in(&pasted), code, "{pasted}");
            assert!(is_code(code_in(&pasted)));
        }
    }

    #[test]
    fn what_cannot_be_a_code_is_not_looked_up() {
        for bad in [
            "",
            "short",
            "abcdefghijklmnopqrstu-_%",
            "../../../../../../../../",
        ] {
            assert!(!is_code(bad), "{bad}");
        }
    }
}
