//! `PeerFilter`: who may talk to a listener by where they are, whatever the firewall says.

use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;

use crate::domain::network::Subnet;

/// Decides right after accept, before any byte is read.
#[derive(Clone, Debug, Default)]
pub enum PeerFilter {
    #[default]
    Everybody,
    /// Keeps programs inside sandboxes out, wherever sandboxes are: the settings' range, and what
    /// older instances still have.
    NotFrom(Arc<[IpNet]>),
    /// Keeps everybody else out: a neighbour of the host who routes to the bridge's address.
    OnlyFrom(Subnet),
}

impl PeerFilter {
    pub fn not_from(networks: impl IntoIterator<Item = IpNet>) -> Self {
        Self::NotFrom(networks.into_iter().collect())
    }

    pub(super) fn admits(&self, peer: IpAddr) -> bool {
        let peer = peer.to_canonical();
        match self {
            Self::Everybody => true,
            Self::NotFrom(sandboxes) => !sandboxes.iter().any(|network| network.contains(&peer)),
            Self::OnlyFrom(sandboxes) => sandboxes.contains(peer),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sandbox_is_told_from_everybody_else_also_by_its_mapped_address() {
        let networks = ["10.201.0.0/20", "10.99.0.7/32"].map(|text| text.parse().unwrap());
        let stranger: IpAddr = "192.0.2.1".parse().unwrap();
        let outsiders = PeerFilter::not_from(networks);
        for sandbox in ["10.201.0.7", "::ffff:10.201.0.7", "10.99.0.7"] {
            let sandbox: IpAddr = sandbox.parse().unwrap();
            assert!(PeerFilter::Everybody.admits(sandbox));
            assert!(!outsiders.admits(sandbox));
        }
        let insiders = PeerFilter::OnlyFrom("10.201.0.0/20".parse().unwrap());
        assert!(insiders.admits("::ffff:10.201.0.7".parse().unwrap()));
        assert!(outsiders.admits(stranger));
        assert!(!insiders.admits(stranger));
    }
}
