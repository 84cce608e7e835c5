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
mod self_test;
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
use tokio::time::Instant;

pub use settings::{CaFileError, Patience, Settings};

use access::{Visitor, decide};
use authority::Authority;
use bridge::Bridge;
use classify::{Destination, classify};
use phases::Context;
use refusal::Refusal;
use self_test::SelfTest;
use visit::Visit;

use crate::routing::{Activity, Place, Route, State, TableHandle, Target};

/// What `edge` serves on the public listener.
pub type PublicProxy = HttpProxy<Public>;

/// The public door as pingora sees it.
pub struct Public {
    table: TableHandle,
    portal: Router,
    gateway: Router,
    bridge: Bridge,
    self_test: SelfTest,
    settings: Settings,
    /// Requests that are with editors.
    upstreams: Arc<Activity>,
    began: Instant,
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
            self_test: SelfTest::default(),
            settings,
            upstreams: Arc::default(),
            began: Instant::now(),
        };
        let mut proxy = http_proxy(&conf, public);
        proxy.h2_options = Some(h2_options);
        proxy.server_options = Some(server_options);
        Ok(Arc::new(proxy))
    }

    /// The whole decision about a request, from what pingora parsed of it.
    fn way(&self, session: &Session, context: &mut Context) -> Result<Way, Refusal> {
        let target = self.target(session, context)?;
        let header = session.req_header();
        let authority = Authority::of(header, &context.caller).ok_or(Refusal::BadHost)?;
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

    /// Path and query of a request that can be read in one way only.
    fn target<'a>(&self, session: &'a Session, context: &mut Context) -> Result<&'a str, Refusal> {
        let limits = &self.settings.limits;
        let header = session.req_header();
        let head = session.as_http1().map(|_| session.to_h1_raw());
        let head = head.as_deref().unwrap_or_default();
        let target = match header.uri.path_and_query() {
            Some(target) if header.raw_path_is_utf8() => target.as_str(),
            _ => return Err(Refusal::Malformed),
        };
        context.record.asks_for(&header.method, target);
        context.reader = visitor::reader(&header.method, &header.headers);
        let is_plain = target.bytes().all(|byte| byte.is_ascii_graphic());
        if !is_plain || has_bare_line_feed(head) {
            Err(Refusal::Malformed)
        } else if context.is_exposed() {
            Err(Refusal::Exposed)
        } else if target.len() > limits.uri_bytes_max {
            Err(Refusal::UriTooLong)
        } else if head.len() > limits.head_bytes_max {
            Err(Refusal::HeadTooLarge)
        } else {
            Ok(target)
        }
    }

    /// Bounded for everybody together and for each instance: whoever has one may open streams.
    fn places(&self, route: &Route) -> Result<[Place; 2], Refusal> {
        let limits = &self.settings.limits;
        let everybody = self.upstreams.enter(limits.upstreams_max);
        let own = route.activity.enter(limits.upstreams_per_instance_max);
        match (everybody, own) {
            (Some(everybody), Some(own)) => Ok([everybody, own]),
            _ => Err(Refusal::Crowded),
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
        let signed_in = visitor::session(&header.headers, &table, context.record.started);
        let ask = visitor::ask(
            &header.method,
            &header.headers,
            context.reader,
            is_websocket(session),
            &authority,
        );
        let visitor = signed_in
            .as_ref()
            .map_or(Visitor::Anonymous, Visitor::Participant);
        let decided = decide(visitor, owner, route.map(AsRef::as_ref), ask);
        context.record.route = route.cloned();
        context.record.session = signed_in;
        let entry = decided.map_err(|denied| Refusal::from((denied, target)))?;
        let route = route.ok_or(Refusal::NotFound)?;
        if !rest.starts_with('/') {
            return Err(Refusal::Slash {
                location: format!("{}/{rest}", route.prefix),
            });
        }
        route.activity.touch(Timestamp::now());
        let target = Arc::clone(serving(route, context.record.session.is_some())?);
        let places = self.places(route)?;
        Ok(Visit {
            target,
            _places: places,
            route: context.record.route.take().ok_or(Refusal::NotFound)?,
            session: context.record.session.take(),
            entry,
            kind: ask.kind,
            authority,
            rest: rest.to_owned(),
            socket: None,
        })
    }
}

/// RFC 9112 lets a server take a line feed alone for a line's end, and lets it not. A proxy in front
/// that does not would see one header where pingora sees two.
///
/// Looks at every byte, sixteen at a time: that is faster than looking for the first one.
fn has_bare_line_feed(head: &[u8]) -> bool {
    let pairs = head.iter().zip(head.get(1..).unwrap_or_default());
    let is_bare = |(before, byte): (&u8, &u8)| *byte == b'\n' && *before != b'\r';
    head.first() == Some(&b'\n') || pairs.fold(false, |found, pair| found | is_bare(pair))
}

/// What went wrong is for the owner's eyes.
fn serving(route: &Route, is_owner: bool) -> Result<&Arc<Target>, Refusal> {
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::has_bare_line_feed;

    #[test]
    fn a_line_feed_without_its_carriage_return_is_seen_wherever_it_stands() {
        for plain in [
            "",
            "\r",
            "\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
            "\r\r\n",
        ] {
            assert!(!has_bare_line_feed(plain.as_bytes()), "{plain:?}");
        }
        for bare in ["\n", "a\n", "\n\r\n", "a\r\n\n", "a: b\nc: d\r\n\r\n"] {
            assert!(has_bare_line_feed(bare.as_bytes()), "{bare:?}");
        }
    }

    proptest! {
        #[test]
        fn a_line_feed_is_bare_when_taking_the_pairs_out_leaves_it(head in "[ab\r\n]{0,100}") {
            let left = head.replace("\r\n", "");
            prop_assert_eq!(has_bare_line_feed(head.as_bytes()), left.contains('\n'));
        }
    }
}
