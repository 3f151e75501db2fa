//! Bearer tokens: for clients that show their certificate only when they log in. Anybody who holds such a
//! token can use it. So only a role in the configuration gives them, they are valid from few networks and
//! for a short time, and they can neither administer nor approve.

use std::net::IpAddr;
use std::time::Duration;

use chancery_identity::TenantId;
use ipnet::IpNet;

use crate::Role;

/// The longest time that a bearer token may be valid without a renewal.
pub const MAX_BEARER_TTL: Duration = Duration::from_hours(1);

/// The longest time from the login to the end of a bearer token's last renewal.
pub const MAX_BEARER_MAX_TTL: Duration = Duration::from_hours(12);

/// A role whose logins give bearer tokens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BearerRole {
    /// The tenant whose identities log in.
    pub tenant: TenantId,
    /// The role's name.
    pub role: Role,
    /// The networks from which one may log in and use the tokens.
    pub networks: Vec<IpNet>,
    /// From a login, or a renewal that does not ask for more, to expiry; at most [`MAX_BEARER_TTL`].
    pub ttl: Duration,
    /// From the login to the end of the last renewal; at most [`MAX_BEARER_MAX_TTL`].
    pub max_ttl: Duration,
}

/// What can be done with a bearer token, as policies name it: read and use, and write secrets. All other
/// operations, also later ones, need the certificate.
const OPERATIONS: [&str; 24] = [
    "auth.login",
    "mounts.read",
    "secrets.read",
    "secrets.subkeys.read",
    "secrets.metadata.read",
    "secrets.list",
    "secrets.create",
    "secrets.update",
    "secrets.patch",
    "secrets.delete",
    "secrets.undelete",
    "secrets.metadata.update",
    "keys.read",
    "keys.list",
    "crypto.encrypt",
    "crypto.decrypt",
    "crypto.rewrap",
    "crypto.make-data-key",
    "crypto.sign",
    "crypto.verify",
    "crypto.mac",
    "crypto.verify-mac",
    "certificates.list",
    "certificates.read",
];

/// Whether a bearer token may be used for this operation at all.
pub(crate) fn may(operation: &str) -> bool {
    OPERATIONS.contains(&operation)
}

/// Whether an address is in one of these networks. An IPv4 address that is written as IPv6 counts as IPv4.
pub(crate) fn is_in(networks: &[IpNet], address: Option<IpAddr>) -> bool {
    let address = address.map(|address| address.to_canonical());
    address.is_some_and(|address| networks.iter().any(|network| network.contains(&address)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bearer_token_reads_and_uses_and_does_not_administer() {
        // No operation of the list is misspelt.
        for operation in OPERATIONS {
            assert!(chancery_policy::Operations::ALL.contains(&operation), "{operation}");
        }
        for may_be in ["secrets.read", "secrets.create", "crypto.sign", "auth.login"] {
            assert!(may(may_be), "{may_be}");
        }
        for not in [
            "group.update",
            "data-set.delete",
            "policy-set.reload",
            "token.drain",
            "session.revoke",
            "keys.create",
            "keys.export",
            "keys.purge",
            "secrets.config.update",
            "secrets.destroy",
            "secrets.metadata.delete",
            "certificates.revoke",
            "ssh.sign-user",
            "approval.give",
            "",
            "secrets.*",
        ] {
            assert!(!may(not), "{not}");
        }
    }

    #[test]
    fn an_address_of_ipv4_is_one_in_either_spelling() {
        let networks = ["10.1.0.0/16".parse().unwrap(), "2001:db8::/32".parse().unwrap()];
        let inside = |text: &str| is_in(&networks, Some(text.parse().unwrap()));
        assert!(inside("10.1.2.3") && inside("::ffff:10.1.2.3") && inside("2001:db8::1"));
        assert!(!inside("10.2.0.1") && !inside("::ffff:10.2.0.1") && !inside("2001:db9::1"));
        assert!(!is_in(&networks, None), "what has no address is nowhere");
    }
}
