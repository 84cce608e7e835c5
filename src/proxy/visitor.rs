//! Reads from a request's headers who asks, for what, and on whose behalf.

use std::sync::Arc;

use http::header::{ACCEPT, COOKIE, HeaderName, ORIGIN};
use http::{HeaderMap, Method};
use tokio::time::Instant;

use super::access::{Ask, Initiator, Kind};
use super::authority::Authority;
use super::page::Reader;
use crate::auth::{cookie, token};
use crate::routing::{LiveSession, Table};

const SEC_FETCH_MODE: HeaderName = HeaderName::from_static("sec-fetch-mode");
const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// The live session of the participant's cookie, if there is one. HTTP/2 may split cookies over
/// several headers.
pub(super) fn session(
    headers: &HeaderMap,
    table: &Table,
    now: Instant,
) -> Option<Arc<LiveSession>> {
    let value = headers
        .get_all(COOKIE)
        .iter()
        .find_map(|header| cookie::find(header.as_bytes()))?;
    table.visit(&token::hash(value), now)
}

pub(super) fn ask(
    method: &Method,
    headers: &HeaderMap,
    reader: Reader,
    is_upgrade: bool,
    authority: &Authority,
) -> Ask {
    let kind = match reader {
        _ if is_upgrade => Kind::Upgrade,
        Reader::Person => Kind::Navigation,
        Reader::Program => Kind::Fetch,
    };
    let is_foreign = (is_upgrade && is_foreign_origin(headers, authority))
        || (!method.is_safe() && is_from_elsewhere(headers));
    Ask {
        kind,
        initiator: if is_foreign {
            Initiator::Foreign
        } else {
            Initiator::Ours
        },
    }
}

/// `same-site` is another origin too: another port of this host, or another participant's name below
/// a shared domain. `SameSite` cookies travel along from there.
fn is_from_elsewhere(headers: &HeaderMap) -> bool {
    ["cross-site", "same-site"]
        .iter()
        .any(|site| says(headers, &SEC_FETCH_SITE, site))
}

/// Who will read a refusal.
pub(super) fn reader(method: &Method, headers: &HeaderMap) -> Reader {
    if is_navigation(method, headers) {
        Reader::Person
    } else {
        Reader::Program
    }
}

/// Browsers say so; for older ones and for people with curl, who asks for HTML wants a page.
fn is_navigation(method: &Method, headers: &HeaderMap) -> bool {
    if !matches!(*method, Method::GET | Method::HEAD) {
        return false;
    }
    if let Some(mode) = headers.get(&SEC_FETCH_MODE) {
        return mode == "navigate";
    }
    headers
        .get(ACCEPT)
        .and_then(|accept| accept.to_str().ok())
        .is_some_and(|accept| accept.contains("text/html"))
}

/// WebSockets are not subject to CORS: the `Origin` is all that keeps another site's page from
/// opening one with the visitor's cookie. Programs that are no browsers send none.
fn is_foreign_origin(headers: &HeaderMap, authority: &Authority) -> bool {
    let mut origins = headers.get_all(ORIGIN).iter();
    match (origins.next(), origins.next()) {
        (None, _) => false,
        (Some(origin), None) => !origin
            .to_str()
            .is_ok_and(|origin| authority.is_origin(origin)),
        _ => true,
    }
}

fn says(headers: &HeaderMap, name: &HeaderName, value: &str) -> bool {
    headers.get(name).is_some_and(|given| given == value)
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;
    use crate::edge::Scheme;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs
            .iter()
            .map(|(name, value)| {
                (
                    HeaderName::from_static(name),
                    HeaderValue::from_static(value),
                )
            })
            .collect()
    }

    fn asked(method: &Method, pairs: &[(&'static str, &'static str)], is_upgrade: bool) -> Ask {
        let here = Authority::parse("pub.example", Scheme::Https).unwrap();
        let headers = headers(pairs);
        let reader = reader(method, &headers);
        ask(method, &headers, reader, is_upgrade, &here)
    }

    #[test]
    fn the_browser_s_word_decides_whether_it_is_a_page() {
        let html = ("accept", "text/html,*/*");
        assert_eq!(asked(&Method::GET, &[html], false).kind, Kind::Navigation);
        let fetch = ("sec-fetch-mode", "cors");
        assert_eq!(asked(&Method::GET, &[html, fetch], false).kind, Kind::Fetch);
        assert_eq!(asked(&Method::POST, &[html], false).kind, Kind::Fetch);
        assert_eq!(asked(&Method::GET, &[], false).kind, Kind::Fetch);
    }

    #[test]
    fn an_upgrade_needs_our_origin_or_none() {
        let upgrade = |pairs| asked(&Method::GET, pairs, true).initiator;
        assert_eq!(upgrade(&[]), Initiator::Ours);
        assert_eq!(
            upgrade(&[("origin", "https://pub.example")]),
            Initiator::Ours
        );
        assert_eq!(
            upgrade(&[("origin", "https://evil.example")]),
            Initiator::Foreign
        );
        assert_eq!(upgrade(&[("origin", "null")]), Initiator::Foreign);
        let two = [
            ("origin", "https://pub.example"),
            ("origin", "https://evil.example"),
        ];
        assert_eq!(upgrade(&two), Initiator::Foreign);
    }

    #[test]
    fn another_site_may_link_here_and_may_not_post() {
        let cross = [("sec-fetch-site", "cross-site")];
        assert_eq!(
            asked(&Method::GET, &cross, false).initiator,
            Initiator::Ours
        );
        assert_eq!(
            asked(&Method::POST, &cross, false).initiator,
            Initiator::Foreign
        );
        let neighbour = [("sec-fetch-site", "same-site")];
        assert_eq!(
            asked(&Method::POST, &neighbour, false).initiator,
            Initiator::Foreign
        );
        let same = [("sec-fetch-site", "same-origin")];
        assert_eq!(
            asked(&Method::POST, &same, false).initiator,
            Initiator::Ours
        );
    }
}
