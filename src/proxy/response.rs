//! What a browser gets to see of a sandbox's response.
//!
//! A participant can put any server in place of code-server, and the origin is shared with the portal
//! and with every other sandbox. So whatever speaks for the whole origin is removed or confined to the
//! sandbox's prefix. CORS headers stay: they only open the response they are on, which is the
//! participant's own.

use http::header::{
    CONTENT_SECURITY_POLICY, HeaderMap, HeaderName, HeaderValue, REFERRER_POLICY, SET_COOKIE,
    STRICT_TRANSPORT_SECURITY, UPGRADE, X_CONTENT_TYPE_OPTIONS,
};
use http::response::Parts;
use http::{Response, StatusCode, header};
use pingora::http::ResponseHeader;
use pingora::{ErrorType, OrErr as _, Result};

use super::access::Entry;
use super::visit::Visit;
use crate::auth::cookie;
use crate::domain::instance::EDITOR_COOKIE;

const SERVICE_WORKER_ALLOWED: HeaderName = HeaderName::from_static("service-worker-allowed");

/// code-server's worker lies deeper than the scope it asks for, so it needs permission; nobody
/// else's does.
const EDITOR_WORKER: &str = "/_static/out/browser/serviceWorker.js";

const NOSNIFF: HeaderValue = HeaderValue::from_static("nosniff");
const SAME_ORIGIN: HeaderValue = HeaderValue::from_static("same-origin");
const FRAMED_BY_US: HeaderValue = HeaderValue::from_static("frame-ancestors 'self'");

/// Headers that are put in: the map grows once at most.
const ADDED: usize = 4;

/// Policies and instructions for a whole origin, and what concerns one hop only.
fn is_unwanted(name: &HeaderName) -> bool {
    matches!(
        name.as_str(),
        "accept-ch"
            | "alt-svc"
            | "clear-site-data"
            | "critical-ch"
            | "expect-ct"
            | "keep-alive"
            | "nel"
            | "origin-agent-cluster"
            | "proxy-connection"
            | "public-key-pins"
            | "report-to"
            | "sec-session-registration"
            | "secure-session-registration"
            | "service-worker-allowed"
            | "set-login"
            | "strict-transport-security"
            | "use-as-dictionary"
    )
}

/// Rewrites the head of a sandbox's response, a `101` as well. `hsts` is our own policy, if we have
/// one.
///
/// Names of headers lose their capitals: pingora would keep a second map for them, browsers forget
/// them anyway, and HTTP/2 has none.
pub(super) fn confine(
    response: &mut ResponseHeader,
    visit: &Visit,
    hsts: Option<&HeaderValue>,
) -> Result<()> {
    let reason = own_reason(response);
    let blank = ResponseHeader::from(Response::new(()).into_parts().0);
    let mut parts = Parts::from(std::mem::replace(response, blank));
    let headers = &mut parts.headers;
    headers
        .try_reserve(ADDED)
        .or_err(ErrorType::InvalidHTTPHeader, "too many headers")?;
    drop_unwanted(headers);
    confine_cookies(headers, visit);
    if parts.status != StatusCode::SWITCHING_PROTOCOLS {
        add_policies(headers, visit)?;
    }
    if let Some(hsts) = hsts {
        headers.insert(STRICT_TRANSPORT_SECURITY, hsts.clone());
    }
    *response = ResponseHeader::from(parts);
    match reason {
        Some(reason) => response.set_reason_phrase(Some(&reason)),
        None => Ok(()),
    }
}

/// The words behind the status, where they are not the usual ones.
fn own_reason(response: &ResponseHeader) -> Option<String> {
    let usual = response.status.canonical_reason();
    let reason = response.get_reason_phrase();
    reason.filter(|_| reason != usual).map(str::to_owned)
}

fn drop_unwanted(headers: &mut HeaderMap) {
    let names = headers.keys().filter(|name| is_unwanted(name));
    let names: Vec<HeaderName> = names.cloned().collect();
    for name in names {
        headers.remove(name);
    }
}

fn add_policies(headers: &mut HeaderMap, visit: &Visit) -> Result<()> {
    headers.remove(UPGRADE);
    let (path, _) = visit.rest.split_once('?').unwrap_or((&visit.rest, ""));
    if path == EDITOR_WORKER {
        let scope = HeaderValue::try_from(format!("{}/", visit.route.prefix))
            .or_err(ErrorType::InvalidHTTPHeader, "a prefix of ours")?;
        headers.insert(SERVICE_WORKER_ALLOWED, scope);
    }
    headers.insert(X_CONTENT_TYPE_OPTIONS, NOSNIFF);
    let policy = headers.get(REFERRER_POLICY);
    if policy.is_none_or(|policy| policy != "no-referrer") {
        headers.insert(REFERRER_POLICY, SAME_ORIGIN);
    }
    // A second policy besides the sandbox's own; a page must satisfy both. Webviews are frames of the
    // same origin.
    headers.append(CONTENT_SECURITY_POLICY, FRAMED_BY_US);
    Ok(())
}

fn confine_cookies(headers: &mut HeaderMap, visit: &Visit) {
    let header::Entry::Occupied(given) = headers.entry(SET_COOKIE) else {
        return;
    };
    let (_, given) = given.remove_entry_mult();
    let kept: Vec<HeaderValue> = given
        .filter_map(|value| confined(value.to_str().ok()?, visit))
        .collect();
    for value in kept {
        headers.append(SET_COOKIE, value);
    }
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
        confine(&mut response, &visit(entry, rest), None).unwrap();
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
    fn the_words_behind_a_status_stay_and_the_policy_is_ours() {
        let mut response = ResponseHeader::build(404, None).unwrap();
        response.set_reason_phrase(Some("Gone Fishing")).unwrap();
        let theirs = "max-age=0";
        response
            .insert_header("Strict-Transport-Security", theirs)
            .unwrap();
        let ours = HeaderValue::from_static("max-age=1");
        confine(&mut response, &visit(Entry::Editor, "/"), Some(&ours)).unwrap();
        assert_eq!(response.status, 404);
        assert_eq!(response.get_reason_phrase(), Some("Gone Fishing"));
        let policies = response.headers.get_all(STRICT_TRANSPORT_SECURITY);
        assert_eq!(policies.iter().collect::<Vec<_>>(), [ours]);
        assert!(!response.has_case());
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
