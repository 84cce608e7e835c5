//! `PeerFilter`: who may talk to a listener by where they are, whatever the firewall says.

use std::net::IpAddr;

use crate::domain::network::Subnet;

/// Decides right after accept, before any byte is read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PeerFilter {
    #[default]
    Everybody,
    /// Keeps programs inside sandboxes out.
    NotFrom(Subnet),
    /// Keeps everybody else out: a neighbour of the host who routes to the bridge's address.
    OnlyFrom(Subnet),
}

impl PeerFilter {
    pub(super) fn admits(self, peer: IpAddr) -> bool {
        match self {
            Self::Everybody => true,
            Self::NotFrom(sandboxes) => !sandboxes.contains(peer),
            Self::OnlyFrom(sandboxes) => sandboxes.contains(peer),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sandbox_is_told_from_everybody_else_also_by_its_mapped_address() {
        let sandboxes: Subnet = "10.201.0.0/20".parse().unwrap();
        let stranger: IpAddr = "192.0.2.1".parse().unwrap();
        for sandbox in ["10.201.0.7", "::ffff:10.201.0.7"] {
            let sandbox: IpAddr = sandbox.parse().unwrap();
            assert!(PeerFilter::Everybody.admits(sandbox));
            assert!(!PeerFilter::NotFrom(sandboxes).admits(sandbox));
            assert!(PeerFilter::OnlyFrom(sandboxes).admits(sandbox));
        }
        assert!(PeerFilter::NotFrom(sandboxes).admits(stranger));
        assert!(!PeerFilter::OnlyFrom(sandboxes).admits(stranger));
    }
}
