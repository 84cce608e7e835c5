//! What a browser gets to see of a sandbox's response.
//!
//! A participant can put any server in place of code-server, and the origin is shared with the portal
//! and with every other sandbox. So whatever speaks for the whole origin is removed or confined to the
//! sandbox's prefix. CORS headers stay: they only open the response they are on, which is the
//! participant's own.

use http::header::{
    ALT_SVC, HeaderMap, HeaderName, HeaderValue, REFERRER_POLICY, SET_COOKIE,
    STRICT_TRANSPORT_SECURITY, UPGRADE,
};
use pingora::Result;
use pingora::http::ResponseHeader;

use super::access::Entry;
use super::visit::Visit;
use crate::auth::cookie;
use crate::domain::instance::EDITOR_COOKIE;

const SERVICE_WORKER_ALLOWED: HeaderName = HeaderName::from_static("service-worker-allowed");

/// code-server's worker lies deeper than the scope it asks for, so it needs permission; nobody
/// else's does.
const EDITOR_WORKER: &str = "/_static/out/browser/serviceWorker.js";

/// Policies and instructions for a whole origin, and what concerns one hop only.
static DROPPED: [HeaderName; 17] = [
    ALT_SVC,
    STRICT_TRANSPORT_SECURITY,
    SERVICE_WORKER_ALLOWED,
    HeaderName::from_static("accept-ch"),
    HeaderName::from_static("clear-site-data"),
    HeaderName::from_static("critical-ch"),
    HeaderName::from_static("expect-ct"),
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("nel"),
    HeaderName::from_static("origin-agent-cluster"),
    HeaderName::from_static("proxy-connection"),
    HeaderName::from_static("public-key-pins"),
    HeaderName::from_static("report-to"),
    HeaderName::from_static("sec-session-registration"),
    HeaderName::from_static("secure-session-registration"),
    HeaderName::from_static("set-login"),
    HeaderName::from_static("use-as-dictionary"),
];

// Pingora copies a name that it is given as `HeaderName`, and takes a literal as it is.
const NOSNIFF: HeaderValue = HeaderValue::from_static("nosniff");
const SAME_ORIGIN: HeaderValue = HeaderValue::from_static("same-origin");
const FRAMED_BY_US: HeaderValue = HeaderValue::from_static("frame-ancestors 'self'");

/// Rewrites the head of a sandbox's response, a `101` as well.
pub(super) fn confine(response: &mut ResponseHeader, visit: &Visit) -> Result<()> {
    for name in unwanted(&response.headers) {
        response.remove_header(&name);
    }
    confine_cookies(response, visit)?;
    if response.status.as_u16() == 101 {
        return Ok(());
    }
    response.remove_header(&UPGRADE);
    let (path, _) = visit.rest.split_once('?').unwrap_or((&visit.rest, ""));
    if path == EDITOR_WORKER {
        response.insert_header(SERVICE_WORKER_ALLOWED, format!("{}/", visit.route.prefix))?;
    }
    response.insert_header("X-Content-Type-Options", NOSNIFF)?;
    if response
        .headers
        .get(REFERRER_POLICY)
        .is_none_or(|policy| policy != "no-referrer")
    {
        response.insert_header("Referrer-Policy", SAME_ORIGIN)?;
    }
    // A second policy besides the sandbox's own; a page must satisfy both. Webviews are frames of the
    // same origin.
    response.append_header("Content-Security-Policy", FRAMED_BY_US)?;
    Ok(())
}

/// Most responses have none: looking at their few names is cheaper than looking each of ours up.
fn unwanted(headers: &HeaderMap) -> Vec<HeaderName> {
    let names = headers.keys().filter(|name| DROPPED.contains(name));
    names.cloned().collect()
}

fn confine_cookies(response: &mut ResponseHeader, visit: &Visit) -> Result<()> {
    if !response.headers.contains_key(SET_COOKIE) {
        return Ok(());
    }
    let kept: Vec<HeaderValue> = response
        .headers
        .get_all(SET_COOKIE)
        .iter()
        .filter_map(|value| confined(value.to_str().ok()?, visit))
        .collect();
    response.remove_header(&SET_COOKIE);
    for value in kept {
        response.append_header(SET_COOKIE, value)?;
    }
    Ok(())
}

/// The cookie, valid below the sandbox's prefix only; `None` if it must not be set at all.
fn confined(set_cookie: &str, visit: &Visit) -> Option<HeaderValue> {
    let mut parts = set_cookie.split(';');
    let (name, value) = parts.next()?.split_once('=')?;
    let (name, value) = (name.trim(), value.trim());
    let is_editors = name == EDITOR_COOKIE && visit.entry == Entry::Editor;
    if name.is_empty() || cookie::is_reserved(name) || is_editors {
        return None;
    }
    let mut confined = format!("{name}={value}");
    let mut path = None;
    for attribute in parts.map(str::trim) {
        let (key, value) = attribute.split_once('=').unwrap_or((attribute, ""));
        match key.trim().to_ascii_lowercase().as_str() {
            // Browsers use the last one of several.
            "path" => path = Some(value.trim()),
            "domain" | "" => {}
            _ => {
                confined.push_str("; ");
                confined.push_str(attribute);
            }
        }
    }
    confined.push_str("; Path=");
    confined.push_str(&path_below(path.unwrap_or("/"), visit));
    HeaderValue::from_str(&confined).ok()
}

/// To the sandbox its root is `/`; a program which knows its prefix is believed.
fn path_below(path: &str, visit: &Visit) -> String {
    let prefix = visit.route.prefix.as_str();
    if visit.is_under_prefix(path) {
        path.to_owned()
    } else if path.starts_with('/') {
        format!("{prefix}{path}")
    } else {
        format!("{prefix}/")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proxy::fixture::visit;

    fn confined_response(
        entry: Entry,
        rest: &str,
        headers: &[(&'static str, &'static str)],
    ) -> ResponseHeader {
        let mut response = ResponseHeader::build(200, None).unwrap();
        for (name, value) in headers {
            response.append_header(*name, *value).unwrap();
        }
        confine(&mut response, &visit(entry, rest)).unwrap();
        response
    }

    fn cookie_after(entry: Entry, given: &'static str) -> Vec<String> {
        confined_response(entry, "/", &[("set-cookie", given)])
            .headers
            .get_all("set-cookie")
            .iter()
            .map(|value| value.to_str().unwrap().to_owned())
            .collect()
    }

    #[test]
    fn a_cookie_never_leaves_its_sandbox() {
        for (given, confined) in [
            ("a=1", "a=1; Path=/w/red/alice/"),
            ("a=1; Path=/", "a=1; Path=/w/red/alice/"),
            (
                "a=1; Path=/app; HttpOnly",
                "a=1; HttpOnly; Path=/w/red/alice/app",
            ),
            ("a=1; Path=/w/red/alice/x", "a=1; Path=/w/red/alice/x"),
            ("a=1; path=/w/red/alice; PATH=/", "a=1; Path=/w/red/alice/"),
            ("a=1; Path=/w/red/bob/", "a=1; Path=/w/red/alice/w/red/bob/"),
            (
                "a=1; Path=/w/red/alicex",
                "a=1; Path=/w/red/alice/w/red/alicex",
            ),
            ("a=1; Domain=.example; Path=x", "a=1; Path=/w/red/alice/"),
            (
                "a=1; domain = example ;Secure",
                "a=1; Secure; Path=/w/red/alice/",
            ),
        ] {
            assert_eq!(cookie_after(Entry::Editor, given), [confined], "{given}");
        }
    }

    #[test]
    fn no_sandbox_sets_a_cookie_in_our_name() {
        for given in [
            "__Host-thon=evil; Path=/; Secure",
            " __host-thon = evil",
            "__Secure-x=1",
            "=__Host-thon=evil",
            "__Host-thon",
            "code-server-session=stolen",
        ] {
            assert!(cookie_after(Entry::Editor, given).is_empty(), "{given}");
        }
        assert_eq!(
            cookie_after(
                Entry::Password,
                "code-server-session=h; Path=/; SameSite=Lax"
            ),
            ["code-server-session=h; SameSite=Lax; Path=/w/red/alice/"]
        );
    }

    #[test]
    fn a_worker_s_scope_is_the_sandbox_and_only_the_editor_s_worker_has_one() {
        let allowed = [("service-worker-allowed", "/")];
        let of = |rest| {
            confined_response(Entry::Editor, rest, &allowed)
                .headers
                .get("service-worker-allowed")
                .cloned()
        };
        assert_eq!(of("/evil/sw.js"), None);
        assert_eq!(of("/proxy/3000/_static/out/browser/serviceWorker.js"), None);
        assert_eq!(
            of("/_static/out/browser/serviceWorker.js?v=1").unwrap(),
            "/w/red/alice/"
        );
    }

    #[test]
    fn nothing_that_speaks_for_the_whole_origin_passes() {
        let response = confined_response(
            Entry::Editor,
            "/",
            &[
                ("clear-site-data", "\"*\""),
                ("alt-svc", "h3=\":443\""),
                ("strict-transport-security", "max-age=1"),
                ("nel", "{}"),
                ("secure-session-registration", "(ES256);path=\"/\""),
                ("use-as-dictionary", "match=\"/*\""),
                ("content-security-policy", "script-src 'none'"),
                ("location", "https://elsewhere.example/"),
                ("access-control-allow-origin", "*"),
            ],
        );
        for gone in [
            "clear-site-data",
            "alt-svc",
            "strict-transport-security",
            "nel",
            "secure-session-registration",
            "use-as-dictionary",
        ] {
            assert!(!response.headers.contains_key(gone), "{gone}");
        }
        let policies: Vec<_> = response
            .headers
            .get_all("content-security-policy")
            .iter()
            .collect();
        assert_eq!(policies, ["script-src 'none'", "frame-ancestors 'self'"]);
        assert_eq!(response.headers["x-content-type-options"], "nosniff");
        assert_eq!(response.headers["referrer-policy"], "same-origin");
        assert_eq!(response.headers["location"], "https://elsewhere.example/");
        assert_eq!(response.headers["access-control-allow-origin"], "*");
    }
}
