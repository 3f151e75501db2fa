//! Who is behind a request, as far as limits go.

use std::net::IpAddr;

use ipnet::IpNet;

/// How much of an IPv6 address one client has: what a connection gets at least (RFC 6177).
const IPV6_PREFIX: u8 = 64;

/// The addresses that count as one client's: an IPv4 address, or a network of IPv6. An IPv4 address in
/// IPv6 clothing counts as itself.
pub(crate) fn network(address: IpAddr) -> IpNet {
    let address = address.to_canonical();
    let prefix = if address.is_ipv6() { IPV6_PREFIX } else { 32 };
    IpNet::new(address, prefix).map_or_else(|_| address.into(), |network| network.trunc())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ipv4_address_is_a_client_and_a_network_of_ipv6_is_one() {
        let of = |address: &str| network(address.parse().unwrap()).to_string();
        assert_eq!(of("192.0.2.1"), "192.0.2.1/32");
        assert_eq!(of("::ffff:192.0.2.1"), "192.0.2.1/32");
        assert_eq!(of("2001:db8::1"), "2001:db8::/64");
        assert_eq!(of("2001:db8::ffff:1"), of("2001:db8::1"));
    }
}
