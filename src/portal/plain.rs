//! The listener without TLS: the certificate's page and file, and the way to everything else.

use axum::Router;
use axum::extract::Request;
use axum::middleware;
use axum::response::{IntoResponse, Response};
use http::header::LOCATION;
use http::{HeaderValue, StatusCode};

use super::fault::Fault;
use super::visit::host_of;
use super::{Portal, Shared, headers, open_routes};
use crate::edge::Scheme;

/// The plain listener; `scheme` and `port` are how the public one is reached from outside.
///
/// The style sheet is served as well: the page that explains the certificate is read by people whose
/// browser does not trust us yet. Everything else is sent to TLS, also `/join/…`: the code has
/// crossed the network by then, and refusing would only strand its owner.
pub fn plain_router(portal: Portal, scheme: Scheme, port: u16) -> Router {
    let redirect = move |request: Request| async move { onward(scheme, port, request) };
    let shared = Shared {
        tls_port: (scheme == Scheme::Https).then_some(port),
        ..Shared::from(portal)
    };
    open_routes()
        .fallback(redirect)
        .method_not_allowed_fallback(redirect)
        .layer(middleware::map_response(headers::secure))
        .with_state(shared)
}

fn onward(scheme: Scheme, port: u16, request: Request) -> Response {
    let (parts, _) = request.into_parts();
    // A proxy that ends TLS and asks here would be sent round in circles.
    if parts.extensions.get() == Some(&Scheme::Https) {
        return Fault::Misdirected.into_response();
    }
    let path = parts.uri.path_and_query().map_or("/", |path| path.as_str());
    let location = host_of(&parts)
        .and_then(|host| address(scheme, host, port, path))
        .and_then(|location| HeaderValue::from_str(&location).ok());
    match location {
        // 308: the method stays, so that a form or a program is not turned into a GET.
        Some(location) => (StatusCode::PERMANENT_REDIRECT, [(LOCATION, location)]).into_response(),
        None => Fault::BadHost.into_response(),
    }
}

/// The same page at the public listener, or nothing when host or path are not what a browser sends.
fn address(scheme: Scheme, host: &str, port: u16, path: &str) -> Option<String> {
    let host = host_name(host)?;
    if !path.starts_with('/') {
        return None;
    }
    let (port, name) = (port.to_string(), scheme.as_str());
    Some(if port == scheme.default_port() {
        format!("{name}://{host}{path}")
    } else {
        format!("{name}://{host}:{port}{path}")
    })
}

/// The name or address of a `Host` header without its port, if that is all there is to it.
pub(super) fn host_name(host: &str) -> Option<&str> {
    let name = match host.rfind(':') {
        // The last colon of `[::1]` is inside.
        Some(colon) if !host.ends_with(']') => {
            let (name, port) = host.split_at_checked(colon)?;
            port.get(1..)?.parse::<u16>().ok()?;
            name
        }
        _ => host,
    };
    let is_v6 = |inner: &str| inner.parse::<std::net::Ipv6Addr>().is_ok();
    let is_name = |name: &str| {
        (1..=253).contains(&name.len())
            && name
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'.')
    };
    let valid = match name.strip_prefix('[').and_then(|n| n.strip_suffix(']')) {
        Some(inner) => is_v6(inner),
        None => is_name(name),
    };
    valid.then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_port_is_exchanged_and_the_path_stays() {
        for (host, port, path, location) in [
            ("thon.example", 443, "/", "https://thon.example/"),
            (
                "thon.example:80",
                443,
                "/a?b=c",
                "https://thon.example/a?b=c",
            ),
            ("192.0.2.1:8080", 8443, "//x", "https://192.0.2.1:8443//x"),
            ("[::1]:80", 8443, "/", "https://[::1]:8443/"),
            ("[::1]", 443, "/", "https://[::1]/"),
        ] {
            let found = address(Scheme::Https, host, port, path);
            assert_eq!(found.as_deref(), Some(location));
        }
        let found = address(Scheme::Http, "localhost:80", 8080, "/a");
        assert_eq!(found.as_deref(), Some("http://localhost:8080/a"));
    }

    #[test]
    fn a_host_that_is_none_is_refused() {
        for host in [
            "",
            ":80",
            "a b",
            "evil@host",
            "host/path",
            "host:99999",
            "host:",
            "[::1",
            "[x]",
            "a\"b",
            "ho_st",
            &"a".repeat(254),
        ] {
            assert_eq!(host_name(host), None, "{host}");
        }
        assert_eq!(address(Scheme::Https, "thon.example", 443, "*"), None);
    }
}
