//! The public door: classifies each request and proxies sandboxes.
//!
//! Sandboxes go through pingora's pipeline; the portal and the gateway are routers that are called in
//! the same task. Whatever decides about access reads what pingora parsed, never raw bytes.

mod access;
mod access_log;
mod authority;
mod bridge;
mod classify;
mod feed;
#[cfg(test)]
mod fixture;
mod page;
mod phases;
mod refusal;
mod response;
mod sandbox;
mod settings;
mod upgrade;
mod visit;
mod visitor;

use std::sync::Arc;

use axum::Router;
use http::header::UPGRADE;
use jiff::Timestamp;
use pingora::apps::HttpServerOptions;
use pingora::proxy::{HttpProxy, Session, http_proxy};

pub use settings::{CaFileError, Patience, Settings};

use access::{Visitor, decide};
use authority::Authority;
use bridge::Bridge;
use classify::{Destination, classify};
use phases::Context;
use refusal::Refusal;
use visit::Visit;

use crate::routing::{Route, State, TableHandle, Target};

/// What `edge` serves on the public listener.
pub type PublicProxy = HttpProxy<Public>;

/// The public door as pingora sees it.
pub struct Public {
    table: TableHandle,
    portal: Router,
    gateway: Router,
    bridge: Bridge,
    settings: Settings,
}

/// Where a request goes on.
enum Way {
    /// To the editor, with everything that later phases need.
    Sandbox(Box<Visit>),
    Gateway,
    Portal,
}

/// A sandbox's address in its parts.
struct Address<'a> {
    authority: Authority,
    /// The whole path and query.
    target: &'a str,
    owner: &'a str,
    rest: &'a str,
}

impl Public {
    /// `portal` and `gateway` see raw paths, `Peer` as an extension, and never an upgrade.
    pub fn start(
        table: TableHandle,
        portal: Router,
        gateway: Router,
        settings: Settings,
    ) -> Result<Arc<PublicProxy>, CaFileError> {
        let conf = Arc::new(settings.server_conf()?);
        let bridge = Bridge {
            body_bytes_max: settings.bridged_body_bytes_max,
            stall_timeout: settings.limits.stall_timeout,
            hsts: settings.hsts(),
        };
        let h2_options = settings.limits.h2_options();
        let mut server_options = HttpServerOptions::default();
        server_options.h2_idle_timeout = Some(settings.limits.idle_timeout);
        let public = Self {
            table,
            portal,
            gateway,
            bridge,
            settings,
        };
        let mut proxy = http_proxy(&conf, public);
        proxy.h2_options = Some(h2_options);
        proxy.server_options = Some(server_options);
        Ok(Arc::new(proxy))
    }

    /// The whole decision about a request, from what pingora parsed of it.
    fn way(&self, session: &mut Session, context: &mut Context) -> Result<Way, Refusal> {
        let limits = &self.settings.limits;
        let header = session.req_header();
        let head_len = session.as_http1().map_or(0, |_| session.to_h1_raw().len());
        let target = match header.uri.path_and_query() {
            Some(target) if header.raw_path_is_utf8() => target.as_str(),
            _ => return Err(Refusal::Malformed),
        };
        context.record.asks_for(&header.method, target);
        context.reader = visitor::reader(&header.method, &header.headers);
        if target.len() > limits.uri_bytes_max {
            return Err(Refusal::UriTooLong);
        }
        if head_len > limits.head_bytes_max {
            return Err(Refusal::HeadTooLarge);
        }
        let authority = Authority::of(header).ok_or(Refusal::BadHost)?;
        match classify(target) {
            Destination::Portal => Ok(Way::Portal),
            Destination::Gateway => Ok(Way::Gateway),
            Destination::Nowhere => Err(Refusal::NotFound),
            Destination::Sandbox { owner, rest } => {
                let address = Address {
                    authority,
                    target,
                    owner,
                    rest,
                };
                let visit = self.visit(session, address, context)?;
                Ok(Way::Sandbox(Box::new(visit)))
            }
        }
    }

    fn visit(
        &self,
        session: &Session,
        address: Address<'_>,
        context: &mut Context,
    ) -> Result<Visit, Refusal> {
        let Address {
            authority,
            target,
            owner,
            rest,
        } = address;
        let header = session.req_header();
        let table = self.table.load();
        let route = table.route(owner);
        let signed_in = visitor::session(&header.headers, &table, tokio::time::Instant::now());
        let ask = visitor::ask(
            &header.method,
            &header.headers,
            is_websocket(session),
            &authority,
        );
        context.record.owner = route.map(|route| route.owner.clone());
        context.record.session = signed_in.as_ref().map(|session| session.id.clone());
        let visitor = signed_in
            .as_ref()
            .map_or(Visitor::Anonymous, Visitor::Participant);
        let entry = decide(visitor, owner, route.map(AsRef::as_ref), ask)
            .map_err(|denied| Refusal::from((denied, target)))?;
        let route = route.ok_or(Refusal::NotFound)?;
        if !rest.starts_with('/') {
            return Err(Refusal::Slash {
                location: format!("{}/{rest}", route.prefix),
            });
        }
        route.activity.touch(Timestamp::now());
        Ok(Visit {
            target: serving(route, signed_in.is_some())?.clone(),
            route: Arc::clone(route),
            session: signed_in,
            entry,
            kind: ask.kind,
            authority,
            rest: rest.to_owned(),
            socket: None,
        })
    }
}

/// What went wrong is for the owner's eyes.
fn serving(route: &Route, is_owner: bool) -> Result<&Target, Refusal> {
    match &route.state {
        State::Serving(target) => Ok(target),
        State::Waiting { phase, reason } => Err(Refusal::Waiting {
            phase: *phase,
            reason: reason.clone().filter(|_| is_owner),
        }),
    }
}

/// The same test as pingora's, which forwards no other upgrade.
fn is_websocket(session: &Session) -> bool {
    session.is_upgrade_req()
        && session
            .req_header()
            .headers
            .get(UPGRADE)
            .is_some_and(|upgrade| upgrade.as_bytes().eq_ignore_ascii_case(b"websocket"))
}
