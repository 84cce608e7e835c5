//! Where the appliance would listen: is it free, is it ours to take, is it this host's?

use std::net::SocketAddr;

use super::findings::Findings;
use super::service::Service;
use crate::config::Config;
use crate::edge::{self, BindError};
use crate::server::listeners::named;

pub(super) fn judge(config: &Config, service: &Service, findings: &mut Findings) {
    for (what, key, address) in [
        (
            "the public listener",
            "proxy.https_listen",
            config.proxy.https_listen,
        ),
        (
            "the plain listener",
            "proxy.http_listen",
            config.proxy.http_listen,
        ),
        (
            "the admin listener",
            "dashboard.port",
            config.dashboard.listen,
        ),
        (
            "the gateway listener",
            "gateway.listen",
            config.gateway.listen,
        ),
    ] {
        look(what, key, address, service, findings);
    }
}

/// Bound for a moment, and let go.
fn look(what: &str, key: &str, address: SocketAddr, service: &Service, findings: &mut Findings) {
    match edge::bind(address) {
        Err(BindError::Forbidden(_)) if service.is_installed() => {
            findings.ok("ports", format!("{address}: the service may listen there"));
        }
        bound => {
            let seen = named(what, key, bound).map(|_| format!("{address} is free"));
            findings.add("ports", seen);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_taken_port_and_a_foreign_address_are_found() {
        let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let mut findings = Findings::default();
        let none = Service::default();
        let mut look = |address| look("x", "key", address, &none, &mut findings);
        look("127.0.0.1:0".parse().unwrap());
        look(taken.local_addr().unwrap());
        look("192.0.2.1:0".parse().unwrap());
        assert_eq!(findings.codes(), ["THN-PORT-01", "THN-PORT-03"]);
    }

    #[test]
    fn the_right_to_listen_and_anything_else_have_codes_of_their_own() {
        let place = || edge::Place::Tcp("0.0.0.0:443".parse().unwrap());
        let other = std::io::Error::other("odd");
        for (error, code) in [
            (BindError::Forbidden(place()), "THN-PORT-02"),
            (BindError::Other(place(), other), "THN-PORT-04"),
        ] {
            let trouble = named::<()>("it", "key", Err(error)).unwrap_err();
            assert_eq!(trouble.entry.code, code);
        }
    }
}
