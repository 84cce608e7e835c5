//! Links that lead to the listeners: by which scheme, name and port people come from elsewhere.

use std::net::IpAddr;

use crate::config::{Certificates, Config, Proxy};
use crate::domain::network::Subnet;
use crate::edge::Scheme;
use crate::host::interfaces;

/// How people reach a listener from elsewhere, as far as anybody can tell.
#[derive(Clone)]
pub(super) struct Advertised {
    domain: Option<String>,
    /// What the settings say: the host's address outside, or the one that is listened on.
    address: Option<IpAddr>,
    port: u16,
    scheme: Scheme,
    sandboxes: Subnet,
}

impl Advertised {
    pub(super) fn new(config: &Config, listen: IpAddr, port: u16) -> Self {
        Self {
            domain: config.proxy.domain.clone(),
            address: config
                .external_ip
                .or(Some(listen).filter(|ip| !ip.is_unspecified())),
            port,
            scheme: Scheme::Https,
            sandboxes: config.sandbox.subnet,
        }
    }

    /// A proxy in front has the usual port. Without one and without TLS there is this machine only.
    pub(super) fn public(mut self, config: &Config) -> Self {
        let proxy = &config.proxy;
        let is_fronted = !proxy.trusted_proxies.is_empty();
        if is_fronted && (proxy.domain.is_some() || proxy.certificates == Certificates::Off) {
            self.port = 443;
        } else if proxy.certificates == Certificates::Off {
            self.scheme = Scheme::Http;
        }
        self
    }

    /// With the address that the host has at this moment, when nothing else is known.
    pub(super) fn url(&self) -> String {
        let address = self
            .address
            .or_else(|| interfaces::primary_address(self.sandboxes).map(IpAddr::V4));
        let host = match (&self.domain, address) {
            (Some(domain), _) => domain.clone(),
            (None, Some(IpAddr::V6(v6))) => format!("[{v6}]"),
            (None, Some(IpAddr::V4(v4))) => v4.to_string(),
            (None, None) => "localhost".to_owned(),
        };
        let (scheme, port) = (self.scheme.as_str(), self.port.to_string());
        if port == self.scheme.default_port() {
            format!("{scheme}://{host}")
        } else {
            format!("{scheme}://{host}:{port}")
        }
    }
}

/// Where the plain listener sends people.
pub(super) fn onward(proxy: &Proxy, public_port: u16) -> (Scheme, u16) {
    if proxy.certificates != Certificates::Off {
        (Scheme::Https, public_port)
    } else if proxy.trusted_proxies.is_empty() {
        (Scheme::Http, public_port)
    } else {
        (Scheme::Https, 443)
    }
}

/// Without TLS the public listener answers this machine and the proxies in front, so one of the two
/// must be able to reach it.
pub(super) fn somebody_may_come(proxy: &Proxy) -> anyhow::Result<()> {
    anyhow::ensure!(
        proxy.certificates != Certificates::Off
            || proxy.https_listen.ip().is_loopback()
            || !proxy.trusted_proxies.is_empty(),
        "`proxy.ssl_provider: none` serves nobody on {}: name the proxy in front in `proxy.trusted_proxies`, or set `proxy.https_listen` to a loopback address",
        proxy.https_listen
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_lead_to_the_name_or_else_to_the_address_that_is_known() {
        let mut advertised = Advertised {
            domain: None,
            address: Some("2001:db8::7".parse().unwrap()),
            port: 443,
            scheme: Scheme::Https,
            sandboxes: Subnet::DEFAULT,
        };
        assert_eq!(advertised.url(), "https://[2001:db8::7]");
        advertised.port = 8443;
        advertised.address = Some("192.0.2.7".parse().unwrap());
        assert_eq!(advertised.url(), "https://192.0.2.7:8443");
        advertised.domain = Some("thon.example.org".to_owned());
        assert_eq!(advertised.url(), "https://thon.example.org:8443");
    }
}
