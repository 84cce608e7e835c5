//! Router of the participants' pages: sign-in, join, my instance, and the certificate.
//!
//! In path mode these pages share their origin with the participant's own sandbox, whose pages are
//! programs that the participant may have been given by anybody. The reasoning, once for the door:
//!
//! * A script under `/w/red/bob/` runs only in a browser which holds bob's session (or, with
//!   `access: password|open`, none at all): the proxy serves no other. So it can do what bob's
//!   browser can do here: see bob's state, start bob's instance, end bob's sessions. That is bob's
//!   own, and no form token would stop it, because it reads the page that holds the token.
//! * It must not reach further. The cookie is `HttpOnly`, so the session cannot be taken along;
//!   the organizers' pages are on another origin; nothing here ever answers about somebody else.
//! * Every change is asked for by a form that a person submits: a request from another origin, from
//!   `fetch` and from a frame is refused ([`own_form`]), and no page of ours can be framed.
//! * Signing in on top of another participant's session is asked first and ends the old session.
//!   That, and signing out, clears what its pages left in the browser (`Clear-Site-Data`), so that a
//!   service worker or a database of bob's is not there when alice arrives.

mod agent;
mod asked;
mod assets;
mod attempts;
mod ca;
mod fault;
mod headers;
mod join;
mod me;
mod next;
mod own_form;
mod pages;
mod plain;
mod standing;
mod visit;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{DefaultBodyLimit, Request};
use axum::middleware::{self, Next};
use axum::response::Response;
use axum::routing::{get, post};

use crate::control::Control;

pub use plain::plain_router;

use assets::Assets;
use attempts::Attempts;
use fault::Fault;

/// The largest form that anybody has a reason to send.
const FORM_BYTES_MAX: usize = 16 * 1024;

/// From a request's head to its answer's, with the form in between.
const ANSWER_TIME: Duration = Duration::from_secs(30);

/// What the participants' pages are made from.
#[derive(Clone)]
pub struct Portal {
    pub control: Arc<Control>,
    /// The appliance's own authority; `None` when browsers trust the certificate anyway.
    pub ca: Option<Ca>,
}

/// The certificate that participants' browsers have to trust.
#[derive(Clone, Debug)]
pub struct Ca {
    pub pem: Arc<str>,
    /// SHA-256 of the certificate, as people compare it: `AB:CD:…`.
    pub sha256: Arc<str>,
    /// Where the certificate can be had before it is trusted.
    pub plain_port: u16,
}

/// What every handler gets.
#[derive(Clone)]
struct Shared {
    control: Arc<Control>,
    ca: Option<Ca>,
    /// Where the public listener is reached, if this is not it.
    tls_port: Option<u16>,
    attempts: Arc<Attempts>,
    assets: Arc<Assets>,
}

impl From<Portal> for Shared {
    fn from(portal: Portal) -> Self {
        Self {
            control: portal.control,
            ca: portal.ca,
            tls_port: None,
            attempts: Arc::default(),
            assets: Arc::default(),
        }
    }
}

/// Everything on the public listener that is neither a sandbox nor `/v1`.
pub fn router(portal: Portal) -> Router {
    Router::new()
        .route("/", get(me::home))
        .route("/me/instance", get(me::instance))
        .route("/me/instance/start", post(me::start))
        .route("/me/sessions/{id}/end", post(me::end_session))
        .route("/auth/sign-out", post(me::sign_out))
        .route("/sign-in", post(join::sign_in))
        .route("/join/{code}", get(join::ask).post(join::accept))
        .merge(open_routes())
        .fallback(fault::not_found)
        .method_not_allowed_fallback(fault::method_not_allowed)
        .layer(DefaultBodyLimit::max(FORM_BYTES_MAX))
        .layer(middleware::from_fn(in_time))
        .layer(middleware::map_response(headers::secure))
        .with_state(portal.into())
}

/// A form that drips in keeps every deadline for one chunk, and a connection for days.
async fn in_time(request: Request, next: Next) -> Result<Response, Fault> {
    tokio::time::timeout(ANSWER_TIME, next.run(request))
        .await
        .map_err(|_| Fault::TooSlow)
}

/// What a browser may have before it trusts our certificate, also without TLS.
fn open_routes() -> Router<Shared> {
    Router::new()
        .route("/ca", get(ca::page))
        .route("/ca.crt", get(ca::download))
        .route("/ca.mobileconfig", get(ca::profile))
        .route("/ca/qr.svg", get(ca::qr))
        .route("/ca/test/worker.js", get(ca::worker))
        .route("/health", get(me::health))
        .route("/static/{file}", get(assets::serve))
}
