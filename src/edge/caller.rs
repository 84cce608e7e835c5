//! `Caller`: who asks and at which public address, as far as we believe what a proxy in front says.
//!
//! Only `X-Forwarded-For`, `-Proto` and `-Host` are read, and only from a peer that the settings name.
//! `Forwarded` (RFC 7239) is not: a proxy that sets one of the two passes the client's other one on,
//! so believing both would mean believing the client.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use http::{HeaderMap, HeaderName, HeaderValue};
use ipnet::IpNet;

use super::connection::Peer;

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// Proxies in a row that are looked through: a client can claim thousands.
const HOPS_MAX: usize = 16;

/// The proxies in front whose word is taken for where a request came from.
#[derive(Clone, Debug, Default)]
pub struct Fronts(Arc<[IpNet]>);

impl Fronts {
    pub fn new(networks: &[IpNet]) -> Self {
        Self(networks.into())
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn contains(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.0.iter().any(|network| network.contains(&address))
    }

    /// What the proxy at `peer` says of a request that came to us as `scheme`.
    pub(super) fn caller(&self, peer: Peer, scheme: Scheme, headers: &HeaderMap) -> Caller {
        let said = last_item(headers, &FORWARDED_PROTO);
        Caller {
            peer: self.client(headers).map_or(peer, |address| {
                Peer(Some(SocketAddr::new(address, UNKNOWN_PORT)))
            }),
            scheme: said.and_then(Scheme::parse).unwrap_or(scheme),
            host: last_item(headers, &FORWARDED_HOST)
                .map(|host| HeaderValue::from_bytes(host).unwrap_or(NO_HOST)),
        }
    }

    /// The rightmost address that is not one of ours: what stands before it is anybody's claim.
    fn client(&self, headers: &HeaderMap) -> Option<IpAddr> {
        let lines: Vec<&HeaderValue> = headers.get_all(&FORWARDED_FOR).iter().collect();
        let mut client = None;
        let hops = lines
            .iter()
            .rev()
            .flat_map(|line| line.as_bytes().rsplit(|byte| *byte == b','));
        for hop in hops.take(HOPS_MAX) {
            let Some(address) = address(hop) else { break };
            client = Some(address);
            if !self.contains(address) {
                break;
            }
        }
        client
    }
}

/// A forwarded address comes without its port.
const UNKNOWN_PORT: u16 = 0;

/// No authority can be read from it, so the request is refused.
const NO_HOST: HeaderValue = HeaderValue::from_static("");

/// How the visitor's browser speaks to the outermost of us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    Http,
    Https,
}

impl Scheme {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }

    /// The port that browsers leave out.
    pub const fn default_port(self) -> &'static str {
        match self {
            Self::Http => "80",
            Self::Https => "443",
        }
    }

    fn parse(text: &[u8]) -> Option<Self> {
        [Self::Http, Self::Https]
            .into_iter()
            .find(|scheme| text.eq_ignore_ascii_case(scheme.as_str().as_bytes()))
    }
}

/// Who asks. Handlers get `peer` and `scheme` as extensions.
#[derive(Clone, Debug)]
pub struct Caller {
    /// The visitor, or the peer itself when nobody is believed.
    pub peer: Peer,
    pub scheme: Scheme,
    /// The public authority, when it is not what `Host` says.
    pub host: Option<HeaderValue>,
}

/// The proxy next to us appends, or replaces: either way its word is the last one.
fn last_item<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a [u8]> {
    let line = headers.get_all(name).iter().next_back()?;
    let item = line.as_bytes().rsplit(|byte| *byte == b',').next()?;
    Some(item.trim_ascii())
}

/// With or without a port, as proxies write it.
fn address(hop: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(hop).ok()?.trim();
    let bare = text
        .strip_prefix('[')
        .and_then(|inner| inner.strip_suffix(']'))
        .unwrap_or(text);
    bare.parse()
        .or_else(|_| text.parse().map(|socket: SocketAddr| socket.ip()))
        .map(|address: IpAddr| address.to_canonical())
        .ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn caller(pairs: &[(&'static str, &'static str)]) -> Caller {
        let networks = ["10.0.0.0/8", "2001:db8::/32"].map(|text| text.parse().unwrap());
        let headers = pairs.iter().map(|(name, value)| {
            (
                HeaderName::from_static(name),
                HeaderValue::from_static(value),
            )
        });
        let peer = Peer(Some("10.0.0.1:4711".parse().unwrap()));
        Fronts::new(&networks).caller(peer, Scheme::Http, &headers.collect())
    }

    fn client(lines: &[&'static str]) -> String {
        let pairs: Vec<_> = lines
            .iter()
            .map(|line| ("x-forwarded-for", *line))
            .collect();
        caller(&pairs).peer.0.unwrap().ip().to_string()
    }

    #[test]
    fn the_client_is_the_last_address_that_is_no_proxy_of_ours() {
        for (lines, expected) in [
            (&[][..], "10.0.0.1"),
            (&["192.0.2.1"], "192.0.2.1"),
            (&["203.0.113.9, 192.0.2.1"], "192.0.2.1"),
            (&["203.0.113.9", "192.0.2.1, 10.2.3.4"], "192.0.2.1"),
            (&["192.0.2.1, 2001:db8::7, 10.2.3.4"], "192.0.2.1"),
            (&["192.0.2.1:5000"], "192.0.2.1"),
            (&["[2001:db9::1]:5000"], "2001:db9::1"),
            (&["[2001:db9::1]"], "2001:db9::1"),
            (&["::ffff:192.0.2.1"], "192.0.2.1"),
            (&["10.9.9.9"], "10.9.9.9"),
            (&["192.0.2.1, evil"], "10.0.0.1"),
            (&["192.0.2.1, evil, 10.2.3.4"], "10.2.3.4"),
            (&["192.0.2.1,"], "10.0.0.1"),
        ] {
            assert_eq!(client(lines), expected, "{lines:?}");
        }
    }

    #[test]
    fn a_claim_of_a_thousand_proxies_is_not_followed() {
        let chain: &'static str =
            Box::leak(format!("192.0.2.1{}", ", 10.0.0.2".repeat(1_000)).into_boxed_str());
        assert_eq!(client(&[chain]), "10.0.0.2");
    }

    #[test]
    fn scheme_and_host_are_the_word_of_the_proxy_next_to_us() {
        let said = caller(&[
            ("x-forwarded-proto", "http, HTTPS"),
            ("x-forwarded-host", "evil.example"),
            ("x-forwarded-host", "also.evil, pub.example:8443"),
            ("forwarded", "for=203.0.113.9;host=evil;proto=http"),
        ]);
        assert_eq!(said.scheme, Scheme::Https);
        assert_eq!(said.host.unwrap(), "pub.example:8443");
        assert_eq!(said.peer.0.unwrap().ip().to_string(), "10.0.0.1");

        let odd = caller(&[("x-forwarded-proto", "gopher")]);
        assert_eq!(odd.scheme, Scheme::Http);
        assert!(odd.host.is_none());
    }
}
