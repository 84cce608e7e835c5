//! Which instance gets which address.

use std::collections::HashSet;
use std::net::Ipv4Addr;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::domain::id::{InstanceId, UserRef};
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

/// An address that an instance holds for as long as its record lives. It is a record of its own, so
/// that the address stays taken also when nobody can read the instance's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lease {
    pub address: Ipv4Addr,
    pub owner: UserRef,
    pub instance: Option<InstanceId>,
}

/// Addresses that nobody holds, the lowest first. None is given twice.
pub struct Pool {
    hosts: Box<dyn Iterator<Item = Ipv4Addr>>,
    taken: HashSet<Ipv4Addr>,
}

impl Pool {
    /// `taken` is what is leased or rests.
    pub fn new(subnet: Subnet, taken: HashSet<Ipv4Addr>) -> Self {
        Self {
            hosts: Box::new(subnet.hosts()),
            taken,
        }
    }

    pub fn pick(&mut self) -> Option<Ipv4Addr> {
        let Self { hosts, taken } = self;
        hosts.find(|address| !taken.contains(address))
    }
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
        let now = Timestamp::UNIX_EPOCH;
        let released = Released {
            address: "10.0.0.2".parse().unwrap(),
            at: now,
        };
        let rests = |seconds| is_resting(&released, now + SignedDuration::from_secs(seconds));
        assert!(rests(0) && rests(59));
        assert!(!rests(60));
        // Neither early nor never, wherever the clock was set to.
        assert!(rests(-59));
        assert!(!rests(-60));
    }

    #[test]
    fn every_free_address_is_given_once_and_then_there_is_none() {
        let subnet: Subnet = "10.0.0.0/29".parse().unwrap();
        let taken = HashSet::from(["10.0.0.3".parse().unwrap()]);
        let mut pool = Pool::new(subnet, taken);
        let given: Vec<String> = std::iter::from_fn(|| pool.pick())
            .map(|address| address.to_string())
            .collect();
        assert_eq!(given, ["10.0.0.2", "10.0.0.4", "10.0.0.5", "10.0.0.6"]);
        assert_eq!(pool.pick(), None);
    }
}
