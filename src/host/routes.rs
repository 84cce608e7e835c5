//! Which addresses this host reaches by which interface.

use std::net::Ipv4Addr;

use ipnet::Ipv4Net;

const TABLE: &str = "/proc/net/route";

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    pub interface: String,
    pub to: Ipv4Net,
}

/// Every route but the default ones.
pub fn routes() -> Vec<Route> {
    parse(&std::fs::read_to_string(TABLE).unwrap_or_default())
}

fn parse(table: &str) -> Vec<Route> {
    table.lines().skip(1).filter_map(route).collect()
}

/// Interface, destination, gateway, flags, references, uses, metric, mask.
fn route(line: &str) -> Option<Route> {
    let mut cells = line.split_whitespace();
    let interface = cells.next()?.to_owned();
    let destination = address(cells.next()?)?;
    let mask = address(cells.nth(5)?)?;
    let to = Ipv4Net::with_netmask(destination, mask).ok()?;
    (to.prefix_len() > 0).then_some(Route { interface, to })
}

/// Hexadecimal, in the host's order of bytes.
fn address(text: &str) -> Option<Ipv4Addr> {
    let number = u32::from_str_radix(text, 16).ok()?;
    Some(Ipv4Addr::from(number.to_ne_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(target_endian = "little")]
    #[test]
    fn the_kernels_table_is_read_and_the_default_route_left_out() {
        let table = "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\n\
            eth0\t00000000\t0101A8C0\t0003\t0\t0\t100\t00000000\t0\t0\t0\n\
            eth0\t0001A8C0\t00000000\t0001\t0\t0\t100\t00FFFFFF\t0\t0\t0\n\
            tun0\t0000000A\t00000000\t0001\t0\t0\t0\t000000FF\t0\t0\t0\n\
            nonsense\n";
        let routes = parse(table);
        let seen: Vec<String> = routes.iter().map(|route| route.to.to_string()).collect();
        assert_eq!(seen, ["192.168.1.0/24", "10.0.0.0/8"]);
        assert_eq!(routes[1].interface, "tun0");
    }
}
