//! Which addresses validation may connect to: public ones, and those in networks that the operator allows.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use chancery_identity::canonical_network;
use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use crate::identifier::is_of_a_host;

/// Which addresses validation may connect to. A client chooses the names and so, through DNS and
/// redirects, the addresses; without this it could make the gateway talk to the gateway's own
/// neighbours (server-side request forgery).
///
/// Public addresses are allowed. Everything that is not, is allowed only where the operator says so.
#[derive(Debug, Clone)]
pub struct Networks {
    allowed: Vec<IpNet>,
}

/// What is not public in IPv4 (IANA IPv4 Special-Purpose Address Registry, and multicast).
const SPECIAL_V4: [Ipv4Net; 15] = [
    v4([0, 0, 0, 0], 8),
    v4([10, 0, 0, 0], 8),
    v4([100, 64, 0, 0], 10),
    v4([127, 0, 0, 0], 8),
    v4([169, 254, 0, 0], 16),
    v4([172, 16, 0, 0], 12),
    v4([192, 0, 0, 0], 24),
    v4([192, 0, 2, 0], 24),
    v4([192, 88, 99, 0], 24),
    v4([192, 168, 0, 0], 16),
    v4([198, 18, 0, 0], 15),
    v4([198, 51, 100, 0], 24),
    v4([203, 0, 113, 0], 24),
    v4([224, 0, 0, 0], 4),
    v4([240, 0, 0, 0], 4),
];

/// All that IPv6 routes publicly (RFC 4291 §2.4) ...
const GLOBAL_V6: Ipv6Net = v6(0x2000, 0, 3);
/// ... but for these (IANA IPv6 Special-Purpose Address Registry). 6to4 (2002::/16) and Teredo
/// (2001::/32) carry an IPv4 address inside, which could be any.
const SPECIAL_V6: [Ipv6Net; 4] =
    [v6(0x2001, 0, 23), v6(0x2001, 0xdb8, 32), v6(0x2002, 0, 16), v6(0x3fff, 0, 20)];

const fn v4([a, b, c, d]: [u8; 4], length: u8) -> Ipv4Net {
    Ipv4Net::new_assert(Ipv4Addr::new(a, b, c, d), length)
}

/// The network that begins with these two segments.
const fn v6(first: u16, second: u16, length: u8) -> Ipv6Net {
    Ipv6Net::new_assert(Ipv6Addr::new(first, second, 0, 0, 0, 0, 0, 0), length)
}

impl Networks {
    /// Public addresses and these.
    pub fn new(allowed: Vec<IpNet>) -> Self {
        Self { allowed: allowed.into_iter().map(canonical_network).collect() }
    }

    /// Whether `address` may be connected to. An IPv4 address in IPv6 clothing counts as itself. The unspecified address,
    /// at which the gateway's own machine answers, and addresses of many hosts are in no network.
    pub fn permit(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        is_of_a_host(address)
            && (is_public(address) || self.allowed.iter().any(|network| network.contains(&address)))
    }
}

fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => !SPECIAL_V4.iter().any(|network| network.contains(&address)),
        IpAddr::V6(address) => {
            GLOBAL_V6.contains(&address)
                && !SPECIAL_V6.iter().any(|network| network.contains(&address))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn permit(networks: &Networks, address: &str) -> bool {
        networks.permit(address.parse().unwrap())
    }

    #[test]
    fn an_allowed_network_of_mapped_addresses_is_the_ipv4_network() {
        let networks = Networks::new(vec!["::ffff:10.0.0.0/104".parse().unwrap()]);
        for allowed in ["10.1.2.3", "::ffff:10.1.2.3"] {
            assert!(permit(&networks, allowed), "{allowed}");
        }
        assert!(!permit(&networks, "127.0.0.1") && !permit(&networks, "::ffff:127.0.0.1"));
    }

    #[test]
    fn only_public_addresses_by_default() {
        let none = Networks::new(vec![]);
        for public in ["1.1.1.1", "172.32.0.1", "2606:4700::1111", "::ffff:1.1.1.1"] {
            assert!(permit(&none, public), "{public}");
        }
        for special in [
            "0.0.0.0",
            "10.1.2.3",
            "100.64.0.1",
            "127.0.0.1",
            "169.254.169.254",
            "172.31.255.255",
            "192.168.0.1",
            "198.19.0.1",
            "224.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::ffff:127.0.0.1",
            "::127.0.0.1",
            "64:ff9b::7f00:1",
            "fc00::1",
            "fe80::1",
            "ff02::1",
            "2002:7f00:1::",
            "2001:0:7f00:1::",
            "2001:db8::1",
        ] {
            assert!(!permit(&none, special), "{special}");
        }
    }

    #[test]
    fn no_network_has_the_unspecified_address_or_those_of_many_hosts() {
        let all = Networks::new(vec!["0.0.0.0/0".parse().unwrap(), "::/0".parse().unwrap()]);
        for none in ["0.0.0.0", "::", "::ffff:0.0.0.0", "224.0.0.1", "255.255.255.255", "ff02::1"] {
            assert!(!permit(&all, none), "{none}");
        }
        assert!(permit(&all, "127.0.0.1") && permit(&all, "fc00::1"));
    }

    #[test]
    fn the_operator_s_networks_and_no_others() {
        let loopback = Networks::new(vec!["127.0.0.0/8".parse().unwrap()]);
        assert!(permit(&loopback, "127.0.0.1"));
        assert!(permit(&loopback, "::ffff:127.0.0.1"));
        assert!(!permit(&loopback, "::1"));
        assert!(!permit(&loopback, "10.0.0.1"));
    }
}
