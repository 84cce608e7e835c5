//! The names and addresses that a certificate is for.

use std::collections::BTreeSet;
use std::fmt;
use std::net::IpAddr;

/// Each once, in lower case and in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Names {
    dns: BTreeSet<String>,
    addresses: BTreeSet<IpAddr>,
}

impl Names {
    pub fn new(
        dns: impl IntoIterator<Item = String>,
        addresses: impl IntoIterator<Item = IpAddr>,
    ) -> Self {
        Self {
            dns: dns
                .into_iter()
                .map(|name| name.to_ascii_lowercase())
                .collect(),
            addresses: addresses.into_iter().collect(),
        }
    }

    pub fn dns(&self) -> impl Iterator<Item = &str> {
        self.dns.iter().map(String::as_str)
    }

    pub fn addresses(&self) -> impl Iterator<Item = IpAddr> {
        self.addresses.iter().copied()
    }

    pub fn is_empty(&self) -> bool {
        self.dns.is_empty() && self.addresses.is_empty()
    }

    /// These and those.
    #[must_use]
    pub fn with(&self, other: &Self) -> Self {
        Self {
            dns: self.dns.union(&other.dns).cloned().collect(),
            addresses: self.addresses.union(&other.addresses).copied().collect(),
        }
    }

    /// Those of these that are also among the others.
    #[must_use]
    pub fn among(&self, other: &Self) -> Self {
        Self {
            dns: self.dns.intersection(&other.dns).cloned().collect(),
            addresses: self
                .addresses
                .intersection(&other.addresses)
                .copied()
                .collect(),
        }
    }
}

impl fmt::Display for Names {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let all = self.dns.iter().cloned();
        let all = all.chain(self.addresses.iter().map(IpAddr::to_string));
        f.write_str(&all.collect::<Vec<_>>().join(", "))
    }
}
