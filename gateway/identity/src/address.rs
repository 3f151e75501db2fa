//! Client addresses as networks, and the canonical form of networks of mapped IPv4 addresses.

use std::net::IpAddr;

use ipnet::{IpNet, Ipv4Net};

/// The IPv6 prefix length that counts as one client: a connection gets at least this much (RFC 6177).
const IPV6_PREFIX: u8 = 64;

/// The addresses that count as one client's: an IPv4 address, or an IPv6 network, since a client with a
/// network has all of its addresses. An IPv4 address that is mapped to IPv6 counts as the IPv4 address.
pub fn client_network(address: IpAddr) -> IpNet {
    let address = address.to_canonical();
    let prefix = if address.is_ipv6() { IPV6_PREFIX } else { 32 };
    IpNet::new(address, prefix).map_or_else(|_| address.into(), |network| network.trunc())
}

/// The network with IPv4 addresses as such. A network of IPv6 addresses that map IPv4 addresses
/// (`::ffff:10.0.0.0/104`, RFC 4291 §2.5.5.2) becomes the IPv4 network (`10.0.0.0/8`). Addresses are
/// made canonical wherever they come in, so a mapped network would contain none of them.
pub fn canonical_network(network: IpNet) -> IpNet {
    const MAPPED: u8 = 96;
    let IpNet::V6(v6) = network else { return network };
    let v4 = v6.network().to_ipv4_mapped().zip(v6.prefix_len().checked_sub(MAPPED));
    let v4 = v4.and_then(|(address, length)| Ipv4Net::new(address, length).ok());
    v4.map_or(network, IpNet::V4)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ipv4_address_is_a_client_and_a_network_of_ipv6_is_one() {
        let of = |address: &str| client_network(address.parse().unwrap()).to_string();
        assert_eq!(of("192.0.2.1"), "192.0.2.1/32");
        assert_eq!(of("::ffff:192.0.2.1"), "192.0.2.1/32");
        assert_eq!(of("2001:db8::1"), "2001:db8::/64");
        assert_eq!(of("2001:db8::ffff:1"), of("2001:db8::1"));
    }

    #[test]
    fn a_mapped_network_is_the_ipv4_network() {
        for (given, is) in [
            ("::ffff:10.0.0.0/104", "10.0.0.0/8"),
            ("::ffff:10.1.2.3/128", "10.1.2.3/32"),
            ("::ffff:0:0/96", "0.0.0.0/0"),
            ("10.0.0.0/8", "10.0.0.0/8"),
            ("2001:db8::/32", "2001:db8::/32"),
            // More than the mapped addresses.
            ("::ffff:0:0/95", "::ffff:0:0/95"),
            ("::/0", "::/0"),
            // Compatible addresses are others (RFC 4291 §2.5.5.1).
            ("::10.0.0.0/104", "::10.0.0.0/104"),
        ] {
            let network: IpNet = given.parse().unwrap();
            assert_eq!(canonical_network(network), is.parse().unwrap(), "{given}");
        }
    }
}
