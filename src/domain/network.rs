//! The instances' network: a range of addresses and who may be given which.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use ipnet::{IpNet, Ipv4Net};
use serde::{Deserialize, Serialize};

/// An IPv4 range such as `10.201.0.0/20`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Subnet {
    base: Ipv4Addr,
    prefix_len: u8,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a network: write an IPv4 range with 8 to 29 bits, for example 10.201.0.0/20")]
pub struct SubnetError(String);

impl Subnet {
    pub const DEFAULT: Self = Self {
        base: Ipv4Addr::new(10, 201, 0, 0),
        prefix_len: 20,
    };

    fn mask(self) -> u32 {
        u32::MAX << (32 - u32::from(self.prefix_len))
    }

    pub fn contains(self, address: IpAddr) -> bool {
        let v4 = match address {
            IpAddr::V4(v4) => v4,
            // A v6 listener sees v4 peers as mapped addresses.
            IpAddr::V6(v6) => match v6.to_ipv4_mapped() {
                Some(v4) => v4,
                None => return false,
            },
        };
        u32::from(v4) & self.mask() == u32::from(self.base)
    }

    /// The first address: the bridge's own.
    pub fn gateway(self) -> Ipv4Addr {
        Ipv4Addr::from(u32::from(self.base) + 1)
    }

    /// Addresses for instances: all but the network's, the gateway's and the broadcast address.
    pub fn hosts(self) -> impl Iterator<Item = Ipv4Addr> {
        let first = u32::from(self.base) + 2;
        let last = u32::from(self.base) | !self.mask();
        (first..last).map(Ipv4Addr::from)
    }
}

impl From<Subnet> for IpNet {
    fn from(subnet: Subnet) -> Self {
        // A subnet's length is at most 29.
        Ipv4Net::new_assert(subnet.base, subnet.prefix_len).into()
    }
}

impl FromStr for Subnet {
    type Err = SubnetError;

    fn from_str(text: &str) -> Result<Self, SubnetError> {
        let error = || SubnetError(text.to_owned());
        let (base, len) = text.split_once('/').ok_or_else(error)?;
        let base: Ipv4Addr = base.parse().map_err(|_| error())?;
        let prefix_len: u8 = len.parse().map_err(|_| error())?;
        let subnet = Self { base, prefix_len };
        if !(8..=29).contains(&prefix_len) || u32::from(base) & !subnet.mask() != 0 {
            return Err(error());
        }
        Ok(subnet)
    }
}

impl TryFrom<String> for Subnet {
    type Error = SubnetError;

    fn try_from(text: String) -> Result<Self, SubnetError> {
        text.parse()
    }
}

impl From<Subnet> for String {
    fn from(value: Subnet) -> Self {
        value.to_string()
    }
}

impl fmt::Display for Subnet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.base, self.prefix_len)
    }
}

/// What counts as one host: an IPv6 host has a whole /64 to speak from.
pub fn host_of(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(v4) => v4.into(),
        IpAddr::V6(v6) => Ipv6Addr::from_bits(v6.to_bits() & (u128::MAX << 64)).into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subnet_knows_its_members_also_as_mapped_addresses() {
        let subnet: Subnet = "10.201.0.0/20".parse().unwrap();
        for inside in ["10.201.0.1", "10.201.15.255", "::ffff:10.201.3.4"] {
            assert!(subnet.contains(inside.parse().unwrap()), "{inside}");
        }
        for outside in ["10.201.16.0", "10.200.255.255", "127.0.0.1", "::1"] {
            assert!(!subnet.contains(outside.parse().unwrap()), "{outside}");
        }
    }

    #[test]
    fn instances_never_get_the_first_or_last_address() {
        let subnet: Subnet = "10.0.0.0/29".parse().unwrap();
        let hosts: Vec<String> = subnet.hosts().map(|a| a.to_string()).collect();
        assert_eq!(
            hosts,
            ["10.0.0.2", "10.0.0.3", "10.0.0.4", "10.0.0.5", "10.0.0.6"]
        );
        assert_eq!(subnet.gateway().to_string(), "10.0.0.1");
    }

    #[test]
    fn a_range_with_host_bits_or_a_silly_length_is_refused() {
        for bad in [
            "10.201.0.1/20",
            "10.0.0.0",
            "10.0.0.0/30",
            "10.0.0.0/4",
            "x/20",
            "::/20",
        ] {
            assert!(bad.parse::<Subnet>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_host_with_many_addresses_is_one_host() {
        let host = |text: &str| host_of(text.parse().unwrap());
        assert_eq!(host("2001:db8::1"), host("2001:db8::ffff:1"));
        assert_ne!(host("2001:db8::1"), host("2001:db8:0:1::1"));
        assert_eq!(host("::ffff:192.0.2.1"), host("192.0.2.1"));
        assert_ne!(host("192.0.2.1"), host("192.0.2.2"));
    }
}
