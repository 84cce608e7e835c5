//! The public authority of a request: what the browser typed, checked and in one spelling.

use http::HeaderValue;
use pingora::http::RequestHeader;

use crate::edge::{Caller, Scheme};

/// Longest DNS name, brackets and port included.
const LEN_MAX: usize = 262;

/// `host` or `host:port`, lower-cased, without the scheme's default port: as `URL.host` spells it,
/// which is what code-server compares an `Origin` with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Authority {
    text: String,
    scheme: Scheme,
}

impl Authority {
    /// `None` when there is not exactly one, or not one that a browser could have sent. HTTP/1.1
    /// without `Host` would otherwise be accepted by pingora; so would HTTP/2 with two that differ.
    pub(super) fn of(request: &RequestHeader, caller: &Caller) -> Option<Self> {
        let parse = |text| Self::parse(text, caller.scheme);
        let mut hosts = request.headers.get_all(http::header::HOST).iter();
        let host = match (hosts.next(), hosts.next()) {
            (host, None) => host.map(HeaderValue::to_str),
            _ => return None,
        };
        let written = request.uri.authority().map(http::uri::Authority::as_str);
        let own = match (host, written) {
            (Some(host), None) => parse(host.ok()?)?,
            (None, Some(written)) => parse(written)?,
            (Some(host), Some(written)) => {
                parse(host.ok()?).filter(|host| parse(written).as_ref() == Some(host))?
            }
            (None, None) => return None,
        };
        match &caller.host {
            Some(public) => parse(public.to_str().ok()?),
            None => Some(own),
        }
    }

    pub(super) fn parse(text: &str, scheme: Scheme) -> Option<Self> {
        if text.len() > LEN_MAX {
            return None;
        }
        let mut text = text.to_ascii_lowercase();
        let (host, port) = split_port(&text)?;
        if !is_host(host) || !port.is_none_or(is_port) {
            return None;
        }
        if port == Some(scheme.default_port()) {
            let end = host.len();
            text.truncate(end);
        }
        Some(Self { text, scheme })
    }

    pub(super) fn as_str(&self) -> &str {
        &self.text
    }

    pub(super) fn scheme(&self) -> Scheme {
        self.scheme
    }

    /// Does this `Origin` header name our own origin?
    pub(super) fn is_origin(&self, origin: &str) -> bool {
        origin
            .strip_prefix(self.scheme.as_str())
            .and_then(|rest| rest.strip_prefix("://"))
            .and_then(|host| Self::parse(host, self.scheme))
            .is_some_and(|origin| origin == *self)
    }
}

fn split_port(text: &str) -> Option<(&str, Option<&str>)> {
    if text.starts_with('[') {
        let (inside, after) = text.split_once(']')?;
        let host = text.get(..=inside.len())?;
        return match after.strip_prefix(':') {
            Some(port) => Some((host, Some(port))),
            None => after.is_empty().then_some((host, None)),
        };
    }
    Some(match text.split_once(':') {
        Some((host, port)) => (host, Some(port)),
        None => (text, None),
    })
}

fn is_host(host: &str) -> bool {
    if let Some(inside) = host.strip_prefix('[') {
        let address = inside.strip_suffix(']').unwrap_or(inside);
        return address.parse::<std::net::Ipv6Addr>().is_ok();
    }
    !host.is_empty()
        && host
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_'))
}

fn is_port(port: &str) -> bool {
    // Leading zeros would be another spelling of the same port.
    !port.starts_with('0')
        && port.parse::<u16>().is_ok()
        && port.bytes().all(|b| b.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn https(text: &str) -> Option<Authority> {
        Authority::parse(text, Scheme::Https)
    }

    #[test]
    fn an_authority_has_one_spelling() {
        for (given, spelled) in [
            ("Pub.Example", "pub.example"),
            ("pub.example:443", "pub.example"),
            ("pub.example:8443", "pub.example:8443"),
            ("[::1]:8443", "[::1]:8443"),
            ("[2001:DB8::1]:443", "[2001:db8::1]"),
            ("192.0.2.1", "192.0.2.1"),
        ] {
            assert_eq!(https(given).unwrap().as_str(), spelled, "{given}");
        }
        for bad in [
            "", ":443", "a b", "a/b", "a@b", "a,b", "a:b", "a:", "a:0443", "a:99999", "[::1",
            "[x]", "[::1]x", "a:1:2", "a\u{e9}", "a:+1",
        ] {
            assert_eq!(https(bad), None, "{bad}");
        }
        let plain = |given| Authority::parse(given, Scheme::Http).unwrap();
        assert_eq!(plain("localhost:80").as_str(), "localhost");
        assert_eq!(plain("localhost:443").as_str(), "localhost:443");
    }

    #[test]
    fn an_origin_is_ours_only_with_scheme_host_and_port() {
        let here = https("pub.example:8443").unwrap();
        assert!(here.is_origin("https://pub.example:8443"));
        for foreign in [
            "http://pub.example:8443",
            "https://pub.example",
            "https://pub.example:8443.evil",
            "https://pub.example:8443/",
            "https://evil",
            "null",
            "",
        ] {
            assert!(!here.is_origin(foreign), "{foreign}");
        }
        let standard = https("pub.example").unwrap();
        assert!(standard.is_origin("https://pub.example:443"));
        let plain = Authority::parse("localhost:8080", Scheme::Http).unwrap();
        assert!(plain.is_origin("http://localhost:8080"));
        assert!(!plain.is_origin("https://localhost:8080"));
    }
}
