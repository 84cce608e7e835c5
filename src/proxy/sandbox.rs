//! What a sandbox gets to see of a request.
//!
//! `Authorization` stays: no credential of ours travels in it below `/w/`, and apps behind the
//! editor's `/proxy/{port}/` have their own. Everything that names the client's or the proxy's place
//! is dropped and made anew, since code-server believes `Forwarded` and `X-Forwarded-Host` more than
//! `Host`.

use http::HeaderName;
use http::header::{COOKIE, FORWARDED, HOST, HeaderValue};
use pingora::http::RequestHeader;
use pingora::{ErrorType, OrErr as _, Result};

use super::access::Entry;
use super::visit::Visit;
use crate::auth::cookie;
use crate::domain::instance::EDITOR_COOKIE;
use crate::edge::Peer;

/// Headers by which a client could speak in a proxy's name or change what the method is.
const DROPPED: [&str; 6] = [
    "x-http-method",
    "x-http-method-override",
    "x-method-override",
    "x-original-url",
    "x-real-ip",
    "x-rewrite-url",
];

const FORWARDED_PREFIX: &str = "x-forwarded-";

/// Turns the client's request into the editor's.
pub(super) fn prepare(request: &mut RequestHeader, visit: &Visit, peer: Peer) -> Result<()> {
    request.set_raw_path(visit.rest.as_bytes())?;
    drop_claims(request);
    request.insert_header(HOST, visit.authority.as_str())?;
    request.insert_header("X-Forwarded-Host", visit.authority.as_str())?;
    request.insert_header("X-Forwarded-Proto", visit.authority.scheme().as_str())?;
    request.insert_header("X-Forwarded-Prefix", visit.route.prefix.as_str())?;
    if let Some(address) = peer.0 {
        request.insert_header("X-Forwarded-For", address.ip().to_string())?;
    }
    set_cookies(request, visit)
}

fn drop_claims(request: &mut RequestHeader) {
    let claims: Vec<HeaderName> = request
        .headers
        .keys()
        .filter(|name| {
            let name = name.as_str();
            name.starts_with(FORWARDED_PREFIX) || DROPPED.contains(&name)
        })
        .cloned()
        .collect();
    for name in claims {
        request.remove_header(&name);
    }
    request.remove_header(&FORWARDED);
}

/// Our cookies stay here. The editor's is ours to add when the visitor may have the editor; a visitor
/// who signs in on the editor's own page keeps theirs.
fn set_cookies(request: &mut RequestHeader, visit: &Visit) -> Result<()> {
    let dropped = match visit.entry {
        Entry::Editor => EDITOR_COOKIE,
        Entry::Password => "",
    };
    let mut cookies: Vec<String> = request
        .headers
        .get_all(COOKIE)
        .iter()
        .map(|header| {
            cookie::without_reserved(&String::from_utf8_lossy(header.as_bytes()), dropped)
        })
        .filter(|kept| !kept.is_empty())
        .collect();
    if visit.entry == Entry::Editor {
        cookies.push(format!("{EDITOR_COOKIE}={}", visit.target.cookie.expose()));
    }
    request.remove_header(&COOKIE);
    if cookies.is_empty() {
        return Ok(());
    }
    let mut value = HeaderValue::from_bytes(cookies.join("; ").as_bytes())
        .or_err(ErrorType::InvalidHTTPHeader, "joining cookies")?;
    value.set_sensitive(true);
    request.insert_header(COOKIE, value)?;
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
        let peer = Peer(Some("192.0.2.7:4711".parse().unwrap()));
        prepare(
            &mut request,
            &visit(entry, "/proxy/3000/a%2Fb?x=%2e%2e"),
            peer,
        )
        .unwrap();
        request
    }

    #[test]
    fn the_prefix_is_stripped_once_and_the_rest_is_not_touched() {
        let request = prepared(Entry::Editor, &[]);
        assert_eq!(request.raw_path(), b"/proxy/3000/a%2Fb?x=%2e%2e");
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
