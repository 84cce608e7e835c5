//! What an authority may sign for. Verifiers hold it to that, so a key that was stolen can pretend
//! to be a machine of the same private network and nothing else.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv6Net};
use rcgen::{CidrSubnet, GeneralSubtree, NameConstraints};
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;

use crate::tls::names::Names;

/// Names that no public authority certifies and nobody owns. A host gets another of them when it
/// moves: by mDNS (`local`), from a router (`lan`, `home.arpa`), from a cloud (`internal`).
const PRIVATE_SUFFIXES: [&str; 5] = ["localhost", "local", "lan", "home.arpa", "internal"];

/// A host gets another of these addresses from one day to the next. Link-local ones never stand in a
/// certificate: no browser can write them.
const PRIVATE_RANGES: [&str; 7] = [
    "10.0.0.0/8",
    "100.64.0.0/10",
    "127.0.0.0/8",
    "172.16.0.0/12",
    "192.168.0.0/16",
    "::1/128",
    "fc00::/7",
];

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scope {
    /// As authorities of the first version are.
    Everything,
    Only {
        /// Each with all names below it. None at all means any name.
        suffixes: Vec<String>,
        /// None at all means any address.
        ranges: Vec<IpNet>,
    },
}

impl Scope {
    /// What is private, what was configured, and what was found on the host.
    pub fn covering(configured: &Names, found: &Names) -> Self {
        let private = PRIVATE_SUFFIXES.into_iter().map(str::to_owned);
        let named = configured
            .dns()
            .chain(found.dns().filter(|name| is_no_top_level_domain(name)));
        let mut suffixes: Vec<String> = private.collect();
        for name in named {
            if !suffixes.iter().any(|suffix| is_below(name, suffix)) {
                suffixes.push(name.to_owned());
            }
        }
        let mut ranges: Vec<IpNet> = PRIVATE_RANGES
            .iter()
            .filter_map(|r| r.parse().ok())
            .collect();
        let configured = configured.addresses().map(|ip| (ip, IpNet::from(ip)));
        for (ip, range) in configured.chain(found.addresses().map(|ip| (ip, neighbourhood(ip)))) {
            if !ranges.iter().any(|known| known.contains(&ip)) {
                ranges.push(range);
            }
        }
        Self::Only { suffixes, ranges }
    }

    /// What a certificate says of itself.
    pub(super) fn of(certificate: &X509Certificate<'_>) -> Result<Self, String> {
        let constraints = certificate
            .name_constraints()
            .map_err(|error| format!("its name constraints cannot be read: {error}"))?;
        let Some(permitted) = constraints.and_then(|c| c.value.permitted_subtrees.as_ref()) else {
            return Ok(Self::Everything);
        };
        let (mut suffixes, mut ranges) = (Vec::new(), Vec::new());
        for subtree in permitted {
            match subtree.base {
                GeneralName::DNSName(name) => suffixes.push(name.to_ascii_lowercase()),
                GeneralName::IPAddress(bytes) => {
                    ranges.push(range(bytes).ok_or("its permitted addresses are no range")?);
                }
                _ => {}
            }
        }
        Ok(Self::Only { suffixes, ranges })
    }

    pub(super) fn constraints(&self) -> Option<NameConstraints> {
        let Self::Only { suffixes, ranges } = self else {
            return None;
        };
        let dns = suffixes.iter().cloned().map(GeneralSubtree::DnsName);
        let ip = ranges.iter().map(|range| {
            let subnet = CidrSubnet::from_addr_prefix(range.network(), range.prefix_len());
            GeneralSubtree::IpAddress(subnet)
        });
        Some(NameConstraints {
            permitted_subtrees: dns.chain(ip).collect(),
            excluded_subtrees: Vec::new(),
        })
    }

    /// The names that it permits, and the ones that it does not.
    pub fn split(&self, names: &Names) -> (Names, Names) {
        let (inside, outside): (Vec<_>, Vec<_>) =
            names.dns().partition(|name| self.permits_name(name));
        let (within, without): (Vec<_>, Vec<_>) =
            names.addresses().partition(|ip| self.permits_address(*ip));
        let owned = |names: Vec<&str>| names.into_iter().map(str::to_owned).collect::<Vec<_>>();
        (
            Names::new(owned(inside), within),
            Names::new(owned(outside), without),
        )
    }

    fn permits_name(&self, name: &str) -> bool {
        match self {
            Self::Everything => true,
            Self::Only { suffixes, .. } => {
                suffixes.is_empty() || suffixes.iter().any(|suffix| is_below(name, suffix))
            }
        }
    }

    fn permits_address(&self, address: IpAddr) -> bool {
        match self {
            Self::Everything => true,
            Self::Only { ranges, .. } => {
                ranges.is_empty() || ranges.iter().any(|range| range.contains(&address))
            }
        }
    }

    /// For people; `None` when there is no bound.
    pub fn words(&self) -> Option<Vec<String>> {
        let Self::Only { suffixes, ranges } = self else {
            return None;
        };
        let ranges = ranges.iter().map(|range| {
            let is_one = range.prefix_len() == range.max_prefix_len();
            if is_one {
                range.addr().to_string()
            } else {
                range.to_string()
            }
        });
        Some(suffixes.iter().cloned().chain(ranges).collect())
    }
}

fn is_below(name: &str, suffix: &str) -> bool {
    name.strip_suffix(suffix)
        .is_some_and(|rest| rest.is_empty() || rest.ends_with('.') || suffix.starts_with('.'))
}

/// A host that calls itself `dev` must not give its authority all of `*.dev`. Top-level domains have
/// letters only, or begin with `xn--`.
fn is_no_top_level_domain(name: &str) -> bool {
    let is_plain = name.bytes().all(|b| b.is_ascii_alphabetic());
    name.contains('.') || !(is_plain || name.starts_with("xn--"))
}

/// A host changes its IPv6 address within its own /64 every day.
fn neighbourhood(address: IpAddr) -> IpNet {
    match address {
        IpAddr::V4(_) => IpNet::from(address),
        IpAddr::V6(v6) => {
            Ipv6Net::new(v6, 64).map_or(IpNet::from(address), |net| net.trunc().into())
        }
    }
}

/// Address and mask, one after the other.
fn range(bytes: &[u8]) -> Option<IpNet> {
    let (address, mask) = bytes.split_at_checked(bytes.len() / 2)?;
    let ip = |bytes: &[u8]| match bytes.len() {
        4 => Some(IpAddr::V4(Ipv4Addr::from(<[u8; 4]>::try_from(bytes).ok()?))),
        16 => Some(IpAddr::V6(Ipv6Addr::from(
            <[u8; 16]>::try_from(bytes).ok()?,
        ))),
        _ => None,
    };
    IpNet::with_netmask(ip(address)?, ip(mask)?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(dns: &[&str], addresses: &[&str]) -> Names {
        Names::new(
            dns.iter().map(|name| (*name).to_owned()),
            addresses.iter().map(|ip| ip.parse().unwrap()),
        )
    }

    fn scope() -> Scope {
        Scope::covering(
            &names(&["thon.example.org"], &["203.0.113.7"]),
            &names(
                &["gpu-1"],
                &["192.0.2.4", "2001:db8:1:2::7", "::1", "fd00::7"],
            ),
        )
    }

    #[test]
    fn a_name_is_permitted_with_everything_below_it_and_nothing_beside_it() {
        let inside = names(
            &[
                "thon.example.org",
                "a.b.thon.example.org",
                "gpu-1",
                "printer.local",
                "x.internal",
            ],
            &[
                "203.0.113.7",
                "192.0.2.4",
                "10.9.8.7",
                "2001:db8:1:2::99",
                "fd00::1",
                "::1",
            ],
        );
        assert_eq!(scope().split(&inside), (inside, Names::default()));
        let outside = names(
            &[
                "example.org",
                "evilthon.example.org",
                "google.com",
                "gpu-10",
                "xlocal",
            ],
            &[
                "203.0.113.8",
                "198.51.100.7",
                "2001:db8:1:3::7",
                "11.0.0.1",
                "fe80::1",
                "::2",
            ],
        );
        assert_eq!(scope().split(&outside), (Names::default(), outside));
    }

    #[test]
    fn a_host_named_like_a_top_level_domain_gets_none() {
        for bare in ["dev", "app", "gpubox", "xn--p1ai"] {
            let scope = Scope::covering(&Names::default(), &names(&[bare], &[]));
            let evil = names(&[&format!("bank.{bare}"), bare], &[]);
            assert_eq!(scope.split(&evil).1, evil);
        }
    }

    #[test]
    fn no_bound_permits_everything_and_says_so() {
        let all = names(&["google.com"], &["8.8.8.8"]);
        assert_eq!(Scope::Everything.split(&all).0, all);
        assert_eq!(Scope::Everything.words(), None);
        assert!(scope().words().unwrap().contains(&"203.0.113.7".to_owned()));
        assert!(
            scope()
                .words()
                .unwrap()
                .contains(&"2001:db8:1:2::/64".to_owned())
        );
    }
}
