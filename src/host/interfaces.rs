//! The host's own addresses and name: for certificates, and for links that work from elsewhere.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, UdpSocket};

use nix::ifaddrs::getifaddrs;
use nix::net::if_::InterfaceFlags;

use crate::domain::network::Subnet;

/// Interfaces of container networks: nobody outside this host reaches us there.
const CONTAINER_INTERFACES: [&str; 4] = ["br-", "docker", "veth", "virbr"];
/// RFC 5737, for documentation: nobody's address, and nothing is sent there.
const SOMEWHERE: (Ipv4Addr, u16) = (Ipv4Addr::new(198, 51, 100, 1), 9);

/// IPv4 addresses by which others can reach this host, the primary one first.
pub fn addresses(sandboxes: Subnet) -> Vec<Ipv4Addr> {
    let all = own()
        .into_iter()
        .filter_map(|(name, address)| match address {
            IpAddr::V4(v4) => is_reachable(&name, v4, sandboxes).then_some(v4),
            IpAddr::V6(_) => None,
        });
    let mut addresses: Vec<Ipv4Addr> = all.collect();
    if let Some(primary) = routed() {
        addresses.sort_by_key(|address| *address != primary);
    }
    addresses.dedup();
    addresses
}

/// IPv6 addresses by which others can reach this host: global and unique local ones. Browsers cannot
/// write a link-local one.
pub fn addresses_v6() -> Vec<Ipv6Addr> {
    let all = own()
        .into_iter()
        .filter_map(|(name, address)| match address {
            IpAddr::V4(_) => None,
            IpAddr::V6(v6) => (is_routable(v6) && !is_of_containers(&name)).then_some(v6),
        });
    all.collect()
}

/// The address of the default route, or else the first one.
pub fn primary_address(sandboxes: Subnet) -> Option<Ipv4Addr> {
    addresses(sandboxes).into_iter().next()
}

/// The host's name as it knows itself.
pub fn host_name() -> Option<String> {
    let name = nix::unistd::gethostname().ok()?.into_string().ok()?;
    Some(name).filter(|name| !name.is_empty())
}

fn is_reachable(interface: &str, address: Ipv4Addr, sandboxes: Subnet) -> bool {
    !address.is_loopback()
        && !address.is_link_local()
        && !sandboxes.contains(IpAddr::V4(address))
        && !is_of_containers(interface)
}

fn is_routable(address: Ipv6Addr) -> bool {
    !address.is_loopback()
        && !address.is_unspecified()
        && !address.is_multicast()
        && !address.is_unicast_link_local()
        && address.to_ipv4_mapped().is_none()
}

fn is_of_containers(interface: &str) -> bool {
    CONTAINER_INTERFACES
        .iter()
        .any(|prefix| interface.starts_with(prefix))
}

fn own() -> Vec<(String, IpAddr)> {
    let Ok(all) = getifaddrs() else {
        return Vec::new();
    };
    all.filter(|interface| interface.flags.contains(InterfaceFlags::IFF_UP))
        .filter_map(|interface| {
            let address = interface.address?;
            let v4 = address.as_sockaddr_in().map(|v4| IpAddr::V4(v4.ip()));
            let v6 = || address.as_sockaddr_in6().map(|v6| IpAddr::V6(v6.ip()));
            Some((interface.interface_name, v4.or_else(v6)?))
        })
        .collect()
}

/// Connecting a datagram socket sends nothing: it only asks for the route.
fn routed() -> Option<Ipv4Addr> {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).ok()?;
    socket.connect(SOMEWHERE).ok()?;
    match socket.local_addr().ok()?.ip() {
        IpAddr::V4(address) if !address.is_unspecified() => Some(address),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_addresses_that_others_reach_count() {
        let sandboxes: Subnet = "10.201.0.0/20".parse().unwrap();
        let lan = Ipv4Addr::new(192, 168, 1, 7);
        assert!(is_reachable("eth0", lan, sandboxes));
        assert!(is_reachable("wlp3s0", lan, sandboxes));
        assert!(!is_reachable("lo", Ipv4Addr::LOCALHOST, sandboxes));
        assert!(!is_reachable(
            "docker0",
            Ipv4Addr::new(172, 17, 0, 1),
            sandboxes
        ));
        assert!(!is_reachable(
            "thon0",
            Ipv4Addr::new(10, 201, 0, 1),
            sandboxes
        ));
        assert!(!is_reachable(
            "eth0",
            Ipv4Addr::new(169, 254, 3, 4),
            sandboxes
        ));
    }

    #[test]
    fn of_version_six_only_what_a_browser_can_write_counts() {
        for (address, counts) in [
            ("2001:db8::7", true),
            ("fd12:3456::7", true),
            ("fe80::7", false),
            ("::1", false),
            ("::", false),
            ("ff02::1", false),
            ("::ffff:192.0.2.1", false),
        ] {
            assert_eq!(is_routable(address.parse().unwrap()), counts, "{address}");
        }
        assert!(addresses_v6().into_iter().all(is_routable));
    }

    #[test]
    fn this_machine_has_a_name_and_its_primary_address_is_one_of_its_own() {
        let sandboxes: Subnet = "10.201.0.0/20".parse().unwrap();
        assert!(host_name().is_some());
        assert_eq!(
            primary_address(sandboxes),
            addresses(sandboxes).first().copied()
        );
    }
}
