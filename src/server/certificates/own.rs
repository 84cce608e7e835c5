//! A leaf of the appliance's own authority: made at the start, renewed before it ends, made anew when
//! the host gets another name or address.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use parking_lot::Mutex;
use rustls::sign::CertifiedKey;

use super::trouble::Trouble;
use crate::config::Config;
use crate::host::interfaces;
use crate::tls::renewal::{self, Current, Standing, Validity};
use crate::tls::{Authority, Names, Scope};

/// An organizer has to choose a quiet moment for a new authority.
const AUTHORITY_WARNING: SignedDuration = SignedDuration::from_hours(90 * 24);

pub(super) struct Own {
    authority: Arc<Authority>,
    current: Mutex<Current>,
    config: Config,
}

impl Own {
    pub(super) fn new(
        authority: Arc<Authority>,
        config: &Config,
        wanted: &Wanted,
        now: Timestamp,
    ) -> anyhow::Result<(Self, CertifiedKey)> {
        let (first, current) = authority.issue(&wanted.all(), now)?;
        let own = Self {
            authority,
            current: Mutex::new(current),
            config: config.clone(),
        };
        Ok((own, first))
    }

    /// The next leaf if one is due, and what is wrong.
    pub(super) fn look(&self, now: Timestamp) -> (Option<CertifiedKey>, Option<Trouble>) {
        let wanted = Wanted::of(&self.config);
        let mut current = self.current.lock();
        if !renewal::due(&current, &wanted.all(), self.authority.validity(), now) {
            return (None, self.trouble(&current, &wanted, now));
        }
        match self.authority.issue(&wanted.all(), now) {
            Ok((next, made)) => {
                tracing::info!(certificate.until = %made.validity.until, "the certificate was renewed");
                *current = made;
                (Some(next), self.trouble(&current, &wanted, now))
            }
            Err(error) => (None, Some(Trouble::NotRenewed(error.to_string()))),
        }
    }

    fn trouble(&self, current: &Current, wanted: &Wanted, now: Timestamp) -> Option<Trouble> {
        let missed = current.left_out.among(&wanted.minded);
        match standing(self.authority.validity(), now) {
            None
            | Some(Trouble::Authority {
                standing: Standing::EndsSoon,
                ..
            }) if !missed.is_empty() => Some(Trouble::LeftOut(missed)),
            trouble => trouble,
        }
    }
}

/// What is wrong with the authority's time.
pub(super) fn standing(validity: Validity, now: Timestamp) -> Option<Trouble> {
    let standing = validity.standing(now, AUTHORITY_WARNING);
    let at = match standing {
        Standing::Valid => return None,
        Standing::NotYet => validity.from,
        Standing::Ended | Standing::EndsSoon => validity.until,
    };
    Some(Trouble::Authority { standing, at })
}

/// Everything that a browser may have typed to get here.
pub(super) struct Wanted {
    configured: Names,
    found: Names,
    /// Whose absence somebody notices. A host has IPv6 addresses that come and go and that nobody
    /// types, and a name that may mean nothing outside.
    minded: Names,
}

impl Wanted {
    pub(super) fn of(config: &Config) -> Self {
        let listening = [config.proxy.https_listen, config.dashboard.listen].map(|at| at.ip());
        let configured = Names::new(
            config.proxy.domain.clone(),
            listening
                .into_iter()
                .filter(|ip| !ip.is_unspecified())
                .chain(config.external_ip),
        );
        let v4 = interfaces::addresses(config.sandbox.subnet);
        let v4 = v4.into_iter().map(IpAddr::V4);
        let minded = configured.with(&Names::new([], v4.clone()));
        let v6 = interfaces::addresses_v6().into_iter().map(IpAddr::V6);
        let loopback = [
            IpAddr::V4(Ipv4Addr::LOCALHOST),
            IpAddr::V6(Ipv6Addr::LOCALHOST),
        ];
        let host = interfaces::host_name().filter(|name| is_dns_name(name));
        let dns = host.into_iter().chain(["localhost".to_owned()]);
        Self {
            configured,
            found: Names::new(dns, v4.chain(v6).chain(loopback)),
            minded,
        }
    }

    pub(super) fn all(&self) -> Names {
        self.configured.with(&self.found)
    }

    pub(super) fn scope(&self) -> Scope {
        Scope::covering(&self.configured, &self.found)
    }
}

/// A host name that is none (`my_host`) cannot stand in a certificate, and nobody can visit it either.
fn is_dns_name(name: &str) -> bool {
    !name.is_empty()
        && name
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'.')
}
