//! Which instance gets which address.

use std::collections::HashSet;
use std::net::Ipv4Addr;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::domain::network::Subnet;

/// An address rests this long before another instance gets it, so that no connection of the old
/// one's reaches the new one.
pub const QUARANTINE: SignedDuration = SignedDuration::from_secs(60);

/// An address that an instance gave back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Released {
    pub address: Ipv4Addr,
    pub at: Timestamp,
}

/// The lowest address that is neither leased nor resting.
pub fn pick(
    subnet: Subnet,
    leased: &HashSet<Ipv4Addr>,
    released: &[Released],
    now: Timestamp,
) -> Option<Ipv4Addr> {
    let resting: HashSet<Ipv4Addr> = released
        .iter()
        .filter(|entry| is_resting(entry, now))
        .map(|entry| entry.address)
        .collect();
    subnet
        .hosts()
        .find(|address| !leased.contains(address) && !resting.contains(address))
}

/// A clock that was set back must not free an address early, nor keep it for ever.
pub fn is_resting(entry: &Released, now: Timestamp) -> bool {
    now.duration_since(entry.at).abs() < QUARANTINE
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_not_given_again_before_it_has_rested() {
        let subnet: Subnet = "10.0.0.0/29".parse().unwrap();
        let first: Ipv4Addr = "10.0.0.2".parse().unwrap();
        let second: Ipv4Addr = "10.0.0.3".parse().unwrap();
        let now = Timestamp::UNIX_EPOCH;
        let released = [Released {
            address: first,
            at: now,
        }];
        let leased = HashSet::new();
        assert_eq!(pick(subnet, &leased, &[], now), Some(first));
        assert_eq!(pick(subnet, &leased, &released, now), Some(second));
        assert_eq!(
            pick(subnet, &leased, &released, now + QUARANTINE),
            Some(first)
        );
        assert_eq!(
            pick(subnet, &HashSet::from([second]), &released, now),
            "10.0.0.4".parse().ok()
        );
    }

    #[test]
    fn a_full_network_gives_nothing() {
        let subnet: Subnet = "10.0.0.0/29".parse().unwrap();
        let leased = subnet.hosts().collect();
        assert_eq!(pick(subnet, &leased, &[], Timestamp::UNIX_EPOCH), None);
    }
}
