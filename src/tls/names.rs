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
    /// An address that is written where a name belongs is an address: browsers do not look for it
    /// among the names.
    pub fn new(
        dns: impl IntoIterator<Item = String>,
        addresses: impl IntoIterator<Item = IpAddr>,
    ) -> Self {
        let mut names = Self {
            dns: BTreeSet::new(),
            addresses: addresses.into_iter().collect(),
        };
        for name in dns {
            match name.parse() {
                Ok(address) => names.addresses.insert(address),
                Err(_) => names.dns.insert(name.to_ascii_lowercase()),
            };
        }
        names
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_among_the_names_is_an_address() {
        let written = ["192.0.2.10", "Thon.Example.org"].map(str::to_owned);
        let names = Names::new(written, ["::1".parse().unwrap()]);
        assert_eq!(names.to_string(), "thon.example.org, 192.0.2.10, ::1");
        assert_eq!(names.addresses().count(), 2);
    }
}
