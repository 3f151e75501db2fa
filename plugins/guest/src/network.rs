//! Networks in settings.

use std::net::IpAddr;

use ipnet::{IpNet, Ipv4Net};
use serde::{Deserialize, Deserializer};

/// A network such as `10.0.0.0/8`. IPv4 addresses that are written as the IPv6 addresses which map them
/// (`::ffff:10.0.0.1`) are IPv4 addresses, in networks and in what they are asked about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Network(IpNet);

impl Network {
    /// Whether the address lies in it.
    pub fn contains(&self, address: IpAddr) -> bool {
        self.0.contains(&address.to_canonical())
    }
}

impl From<IpNet> for Network {
    fn from(network: IpNet) -> Self {
        const MAPPED: u8 = 96;
        let IpNet::V6(v6) = network else { return Self(network) };
        let v4 = v6.network().to_ipv4_mapped().zip(v6.prefix_len().checked_sub(MAPPED));
        let v4 = v4.and_then(|(address, length)| Ipv4Net::new(address, length).ok());
        Self(v4.map_or(network, IpNet::V4))
    }
}

impl<'de> Deserialize<'de> for Network {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        IpNet::deserialize(deserializer).map(Self::from)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mapped_addresses_are_ipv4_on_both_sides() {
        let contains = |network: &str, address: &str| {
            let network: Network = serde_json::from_value(network.into()).unwrap();
            network.contains(address.parse().unwrap())
        };
        for network in ["10.0.0.0/8", "::ffff:10.0.0.0/104"] {
            for address in ["10.1.2.3", "::ffff:10.1.2.3", "::ffff:a01:203"] {
                assert!(contains(network, address), "{network} {address}");
            }
            for address in ["11.1.2.3", "::ffff:11.1.2.3", "::10.1.2.3", "2001:db8::1"] {
                assert!(!contains(network, address), "{network} {address}");
            }
        }
        assert!(contains("fd00::/8", "fd00::1") && !contains("::/0", "10.0.0.1"));
        assert!(!contains("::/0", "::ffff:10.0.0.1"), "that is an IPv4 address");
    }
}
