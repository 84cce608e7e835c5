//! `PeerFilter`: listeners that programs inside sandboxes must not reach, whatever the firewall says.

use std::net::IpAddr;
use std::sync::Arc;

use arc_swap::ArcSwapOption;

use crate::domain::network::Subnet;

/// Drops peers from the sandboxes' network right after accept, before any byte is read. Clones share
/// one setting, so the network can become known while the listeners already serve.
#[derive(Clone, Debug, Default)]
pub struct PeerFilter(Arc<ArcSwapOption<Subnet>>);

impl PeerFilter {
    /// Lets everybody in.
    pub fn open() -> Self {
        Self::default()
    }

    pub fn refusing(sandboxes: Subnet) -> Self {
        let filter = Self::default();
        filter.set(Some(sandboxes));
        filter
    }

    pub fn set(&self, sandboxes: Option<Subnet>) {
        self.0.store(sandboxes.map(Arc::new));
    }

    pub(super) fn admits(&self, peer: IpAddr) -> bool {
        self.0
            .load()
            .as_ref()
            .is_none_or(|sandboxes| !sandboxes.contains(peer))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sandbox_is_kept_out_once_its_network_is_known() {
        let filter = PeerFilter::open();
        let sandbox = "10.201.0.7".parse().unwrap();
        assert!(filter.admits(sandbox));
        let shared = filter.clone();
        shared.set(Some("10.201.0.0/20".parse().unwrap()));
        assert!(!filter.admits(sandbox));
        assert!(!filter.admits("::ffff:10.201.0.7".parse().unwrap()));
        assert!(filter.admits("192.0.2.1".parse().unwrap()));
    }
}
