//! What a sandbox gets to see of a request.
//!
//! `Authorization` stays: no credential of ours travels in it below `/w/`, and apps behind the
//! editor's `/proxy/{port}/` have their own. Everything that names the client's or the proxy's place
//! is dropped and made anew, since code-server believes `Forwarded` and `X-Forwarded-Host` more than
//! `Host`.

use std::borrow::Cow;

use http::header::{COOKIE, HOST};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Request};
use pingora::http::RequestHeader;
use pingora::{ErrorType, OrErr as _, Result};

use super::access::Entry;
use super::visit::Visit;
use crate::auth::cookie;
use crate::domain::instance::EDITOR_COOKIE;

/// Headers by which a client could speak in a proxy's name or change what the method is. All begin with
/// an x.
const DROPPED: [&str; 6] = [
    "x-http-method",
    "x-http-method-override",
    "x-method-override",
    "x-original-url",
    "x-real-ip",
    "x-rewrite-url",
];

const FORWARDED_PREFIX: &str = "x-forwarded-";
const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const FORWARDED_PATH: HeaderName = HeaderName::from_static("x-forwarded-prefix");
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// Names of headers lose their capitals before pingora copies the request, which keeps a second map for
/// them. Node forgets them anyway, and HTTP/2 has none.
pub(super) fn forget_capitals(request: &mut RequestHeader) {
    // Any other form of target would be lost: its bytes are no part of the URI.
    if request.has_case() && request.raw_path().starts_with(b"/") {
        *request = RequestHeader::from(taken(request));
    }
}

/// The parts of a request, which is an empty one from now on.
fn taken(request: &mut RequestHeader) -> Parts {
    let blank = RequestHeader::from(Request::new(()).into_parts().0);
    Parts::from(std::mem::replace(request, blank))
}

/// Turns the client's request into the editor's.
///
/// `client` is the address that the editor is told.
pub(super) fn prepare(
    request: &mut RequestHeader,
    visit: &Visit,
    client: Option<HeaderValue>,
) -> Result<()> {
    let mut parts = taken(request);
    let headers = &mut parts.headers;
    drop_claims(headers);
    tell_place(headers, visit, client)?;
    set_cookies(headers, visit)?;
    *request = RequestHeader::from(parts);
    request.set_raw_path(visit.rest.as_bytes())
}

/// Most requests claim nothing: looking at their few names is cheaper than looking each of ours up.
fn drop_claims(headers: &mut HeaderMap) {
    let is_claim = |name: &HeaderName| match name.as_str() {
        text if text.starts_with('x') => {
            text.starts_with(FORWARDED_PREFIX) || DROPPED.contains(&text)
        }
        text => text == "forwarded",
    };
    let claims: Vec<HeaderName> = headers
        .keys()
        .filter(|name| is_claim(name))
        .cloned()
        .collect();
    for name in claims {
        headers.remove(&name);
    }
}

/// Where the visitor came from and what they asked for.
fn tell_place(headers: &mut HeaderMap, visit: &Visit, client: Option<HeaderValue>) -> Result<()> {
    let authority = visit.authority.as_str();
    let host = match headers.get(HOST) {
        Some(given) if given == authority => given.clone(),
        _ => value(authority)?,
    };
    headers.insert(FORWARDED_HOST, host.clone());
    headers.insert(HOST, host);
    let scheme = visit.authority.scheme().as_str();
    headers.insert(FORWARDED_PROTO, HeaderValue::from_static(scheme));
    headers.insert(FORWARDED_PATH, value(&visit.route.prefix)?);
    if let Some(client) = client {
        headers.insert(FORWARDED_FOR, client);
    }
    Ok(())
}

fn value(text: &str) -> Result<HeaderValue> {
    HeaderValue::from_str(text).or_err(ErrorType::InvalidHTTPHeader, "a value of ours")
}

/// Our cookies stay here. The editor's is ours to add when the visitor may have the editor; a visitor
/// who signs in on the editor's own page keeps theirs.
fn set_cookies(headers: &mut HeaderMap, visit: &Visit) -> Result<()> {
    let dropped = match visit.entry {
        Entry::Editor => EDITOR_COOKIE,
        Entry::Password => "",
    };
    let editors = visit.target.cookie.expose();
    let given: usize = headers.get_all(COOKIE).iter().map(HeaderValue::len).sum();
    let mut cookies = String::with_capacity(given + EDITOR_COOKIE.len() + editors.len() + 3);
    for header in headers.get_all(COOKIE) {
        let plain = header.to_str().map(Cow::Borrowed);
        let header = plain.unwrap_or_else(|_| String::from_utf8_lossy(header.as_bytes()));
        cookie::push_others(&mut cookies, &header, dropped);
    }
    if visit.entry == Entry::Editor {
        cookie::push(&mut cookies, EDITOR_COOKIE, editors);
    }
    if cookies.is_empty() {
        headers.remove(COOKIE);
        return Ok(());
    }
    let mut value =
        HeaderValue::try_from(cookies).or_err(ErrorType::InvalidHTTPHeader, "joining cookies")?;
    value.set_sensitive(true);
    headers.insert(COOKIE, value);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proxy::fixture::visit;

    fn request(headers: &[(&'static str, &'static str)]) -> RequestHeader {
        let path = b"/w/red/alice/proxy/3000/a%2Fb?x=%2e%2e";
        let mut request = RequestHeader::build("GET", path, None).unwrap();
        for (name, value) in headers {
            request.append_header(*name, *value).unwrap();
        }
        request
    }

    fn prepared(entry: Entry, headers: &[(&'static str, &'static str)]) -> RequestHeader {
        let mut request = request(headers);
        let visit = visit(entry, "/proxy/3000/a%2Fb?x=%2e%2e");
        let client = HeaderValue::from_static("192.0.2.7");
        forget_capitals(&mut request);
        prepare(&mut request, &visit, Some(client)).unwrap();
        request
    }

    #[test]
    fn the_prefix_is_stripped_once_and_the_rest_is_not_touched() {
        let request = prepared(Entry::Editor, &[]);
        assert_eq!(request.raw_path(), b"/proxy/3000/a%2Fb?x=%2e%2e");
    }

    #[test]
    fn names_lose_their_capitals_and_no_target_its_form() {
        let mut request = request(&[("X-Capital", "a")]);
        forget_capitals(&mut request);
        assert!(!request.has_case());
        assert_eq!(request.headers["x-capital"], "a");
        assert_eq!(
            request.raw_path(),
            b"/w/red/alice/proxy/3000/a%2Fb?x=%2e%2e"
        );
        let absolute = b"http://pub.example/w/red/alice/";
        let mut request = RequestHeader::build("GET", absolute, None).unwrap();
        forget_capitals(&mut request);
        assert_eq!(request.raw_path(), absolute);
    }

    #[test]
    fn nobody_but_us_says_where_the_request_came_from() {
        let request = prepared(
            Entry::Editor,
            &[
                ("forwarded", "host=evil"),
                ("x-forwarded-for", "203.0.113.1"),
                ("x-forwarded-host", "evil"),
                ("x-forwarded-host", "evil2"),
                ("x-forwarded-port", "1"),
                ("x-real-ip", "203.0.113.1"),
                ("x-http-method-override", "DELETE"),
                ("host", "PUB.example:8443"),
            ],
        );
        let values = |name| request.headers.get_all(name).iter().collect::<Vec<_>>();
        assert_eq!(values("host"), ["pub.example:8443"]);
        assert_eq!(values("x-forwarded-host"), ["pub.example:8443"]);
        assert_eq!(values("x-forwarded-for"), ["192.0.2.7"]);
        assert_eq!(values("x-forwarded-proto"), ["https"]);
        assert_eq!(values("x-forwarded-prefix"), ["/w/red/alice"]);
        for gone in [
            "forwarded",
            "x-forwarded-port",
            "x-real-ip",
            "x-http-method-override",
        ] {
            assert!(values(gone).is_empty(), "{gone}");
        }
    }

    #[test]
    fn a_sandbox_sees_its_own_cookies_and_none_of_ours() {
        let given = [
            ("cookie", "a=1; __Host-thon=secret"),
            ("cookie", "code-server-session=stale; b=2"),
            ("authorization", "Basic app"),
        ];
        let request = prepared(Entry::Editor, &given);
        assert_eq!(
            request.headers.get("cookie").unwrap(),
            "a=1; b=2; code-server-session=right"
        );
        assert_eq!(request.headers.get_all("cookie").iter().count(), 1);
        assert_eq!(request.headers.get("authorization").unwrap(), "Basic app");

        let request = prepared(Entry::Password, &given);
        assert_eq!(
            request.headers.get("cookie").unwrap(),
            "a=1; code-server-session=stale; b=2"
        );
        let request = prepared(Entry::Password, &[("cookie", "__Host-thon=secret")]);
        assert!(!request.headers.contains_key("cookie"));
    }
}
