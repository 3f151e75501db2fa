//! Name constraints of CAs (RFC 5280 §4.2.1.10), and which names they allow.

pub(crate) mod judged;

use std::net::IpAddr;
use std::str::FromStr;

use const_oid::AssociatedOid as _;
use der::Encode;
use der::asn1::{Ia5String, OctetString};
use x509_cert::ext::Extension;
use x509_cert::ext::pkix::NameConstraints as DerNameConstraints;
use x509_cert::ext::pkix::constraints::name::GeneralSubtree;
use x509_cert::ext::pkix::name::GeneralName as DerName;

use crate::extensions::{self, ExtensionError};
use crate::{GeneralName, ParsedCertificate};

pub use judged::UnjudgedConstraints;

/// Which names may stand in the certificates below a CA (RFC 5280 §4.2.1.10).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NameConstraints {
    /// Of a kind that is here, names have to be within one of these.
    pub permitted: Vec<Subtree>,
    /// Names must not be within one of these.
    pub excluded: Vec<Subtree>,
}

/// A part of all names of a kind. In text `dns:example.com`, `ip:10.0.0.0/8`, `email:example.com`,
/// `uri:example.com`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Subtree {
    /// A DNS name and all below it; all DNS names if empty.
    Dns(String),
    /// Addresses that agree with this one where the mask has ones: both 4 or both 16 bytes. Never IPv6
    /// addresses that map IPv4 ones: these are here as IPv4 (4 bytes).
    Ip {
        /// The network's address.
        address: Vec<u8>,
        /// Its mask.
        mask: Vec<u8>,
    },
    /// A mailbox (with `@`), all mailboxes of a host, or with a leading dot of the hosts below it.
    Email(String),
    /// URIs whose host is this one, or with a leading dot below it; all URIs if empty.
    Uri(String),
}

/// The text is not a part of names.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is not a constraint on names: use dns:example.com, ip:10.0.0.0/8, email:example.com or \
     uri:example.com"
)]
pub struct InvalidSubtree(String);

impl NameConstraints {
    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.permitted.is_empty() && self.excluded.is_empty()
    }

    /// Whether a certificate below may have this name.
    pub fn allow(&self, name: &GeneralName) -> bool {
        let mut permitted = self.permitted.iter().filter(|tree| tree.is_about(name)).peekable();
        let inside = permitted.peek().is_none() || permitted.any(|tree| tree.contains(name));
        inside && !self.excluded.iter().any(|tree| tree.contains(name) || tree.is_below(name))
    }

    /// Those in a certificate. Constraints on kinds of names that are not issued here are left out, though
    /// verifiers may refuse all that is below them: see [`check_judged`](Self::check_judged).
    ///
    /// # Errors
    /// The extension is malformed.
    pub fn of(certificate: &ParsedCertificate) -> Result<Self, ExtensionError> {
        let found = extensions::find::<DerNameConstraints>(certificate.extensions())?;
        Ok(found.map(|(_, constraints)| Self::from_der(&constraints)).unwrap_or_default())
    }

    pub(crate) fn from_der(constraints: &DerNameConstraints) -> Self {
        let trees = |list: &Option<Vec<GeneralSubtree>>| {
            list.iter().flatten().filter_map(|tree| Subtree::from_der(&tree.base)).collect()
        };
        Self {
            permitted: trees(&constraints.permitted_subtrees),
            excluded: trees(&constraints.excluded_subtrees),
        }
    }

    pub(crate) fn to_extension(&self) -> der::Result<Extension> {
        let trees = |list: &[Subtree]| -> der::Result<Option<Vec<GeneralSubtree>>> {
            let tree = |tree: &Subtree| {
                Ok(GeneralSubtree { base: tree.to_der()?, minimum: 0, maximum: None })
            };
            let trees = list.iter().map(tree).collect::<der::Result<Vec<_>>>()?;
            Ok((!trees.is_empty()).then_some(trees))
        };
        let constraints = DerNameConstraints {
            permitted_subtrees: trees(&self.permitted)?,
            excluded_subtrees: trees(&self.excluded)?,
        };
        Ok(Extension {
            extn_id: DerNameConstraints::OID,
            critical: true,
            extn_value: OctetString::new(constraints.to_der()?)?,
        })
    }
}

impl Subtree {
    fn is_about(&self, name: &GeneralName) -> bool {
        matches!(
            (self, name),
            (Self::Dns(_), GeneralName::Dns(_))
                | (Self::Email(_), GeneralName::Email(_))
                | (Self::Uri(_), GeneralName::Uri(_))
                // Of either version: to permit some of the one is to permit none of the other.
                | (Self::Ip { .. }, GeneralName::Ip(_))
        )
    }

    /// Whether a wildcard stands for names that it contains: verifiers refuse that where they are excluded.
    fn is_below(&self, wildcard: &GeneralName) -> bool {
        let (Self::Dns(base), GeneralName::Dns(name)) = (self, wildcard) else { return false };
        let Some(domain) = name.strip_prefix("*.") else { return false };
        let base = base.strip_prefix('.').unwrap_or(base);
        let label = base.strip_suffix(domain).and_then(|rest| rest.strip_suffix('.'));
        label.is_some_and(|label| !label.is_empty() && !label.contains('.'))
    }

    fn contains(&self, name: &GeneralName) -> bool {
        match (self, name) {
            (Self::Dns(base), GeneralName::Dns(name)) => base.is_empty() || below(base, name),
            (Self::Email(base), GeneralName::Email(name)) => {
                let host = name.rsplit_once('@').map_or("", |(_, host)| host);
                match base.split_once('@') {
                    Some(_) => base == name,
                    None => host_matches(base, host),
                }
            }
            (Self::Uri(base), GeneralName::Uri(uri)) => {
                base.is_empty() || host_matches(base, &host_of(uri).to_ascii_lowercase())
            }
            (Self::Ip { address, mask }, GeneralName::Ip(ip)) => {
                let bytes = match ip.to_canonical() {
                    IpAddr::V4(v4) => v4.octets().to_vec(),
                    IpAddr::V6(v6) => v6.octets().to_vec(),
                };
                bytes.len() == address.len()
                    && bytes.iter().zip(address).zip(mask).all(|((a, b), m)| a & m == b & m)
            }
            _ => false,
        }
    }

    /// Addresses that agree with this one under the mask, both of the same length. Those that map IPv4
    /// addresses (RFC 4291 §2.5.5.2) are these.
    fn ip(address: Vec<u8>, mask: Vec<u8>) -> Self {
        const MAPPED: [u8; 12] = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff];
        const ALL: [u8; 12] = [0xff; 12];
        match (address.split_first_chunk(), mask.split_first_chunk()) {
            (Some((&MAPPED, v4)), Some((&ALL, of_v4))) => {
                Self::Ip { address: v4.to_vec(), mask: of_v4.to_vec() }
            }
            _ => Self::Ip { address, mask },
        }
    }

    fn from_der(name: &DerName) -> Option<Self> {
        Some(match name {
            DerName::DnsName(text) => Self::Dns(text.as_str().to_ascii_lowercase()),
            DerName::Rfc822Name(text) => Self::Email(text.as_str().to_ascii_lowercase()),
            DerName::UniformResourceIdentifier(text) => {
                Self::Uri(text.as_str().to_ascii_lowercase())
            }
            DerName::IpAddress(bytes) => {
                let (address, mask) =
                    bytes.as_bytes().split_at_checked(bytes.as_bytes().len() / 2)?;
                Self::ip(address.to_vec(), mask.to_vec())
            }
            _ => return None,
        })
    }

    fn to_der(&self) -> der::Result<DerName> {
        Ok(match self {
            Self::Dns(text) => DerName::DnsName(Ia5String::new(text)?),
            Self::Email(text) => DerName::Rfc822Name(Ia5String::new(text)?),
            Self::Uri(text) => DerName::UniformResourceIdentifier(Ia5String::new(text)?),
            Self::Ip { address, mask } => {
                DerName::IpAddress(OctetString::new([address.as_slice(), mask].concat())?)
            }
        })
    }
}

impl FromStr for Subtree {
    type Err = InvalidSubtree;

    fn from_str(text: &str) -> Result<Self, InvalidSubtree> {
        let refused =
            || InvalidSubtree(text.chars().take(100).flat_map(char::escape_debug).collect());
        let (kind, value) = text.split_once(':').ok_or_else(refused)?;
        let host = value.strip_prefix('.').unwrap_or(value);
        let is_host =
            matches!(GeneralName::dns(host), Ok(GeneralName::Dns(name)) if !name.starts_with('*'));
        let lower = value.to_ascii_lowercase();
        match kind {
            "dns" if is_host && host == value => Ok(Self::Dns(lower)),
            "uri" if is_host => Ok(Self::Uri(lower)),
            "email" if is_host || GeneralName::email(value).is_ok() => Ok(Self::Email(lower)),
            "ip" => network(value).ok_or_else(refused),
            _ => Err(refused()),
        }
    }
}

/// An address with how many of its bits count.
fn network(text: &str) -> Option<Subtree> {
    let (address, bits) = text.split_once('/')?;
    let address = match address.parse::<IpAddr>().ok()? {
        IpAddr::V4(v4) => v4.octets().to_vec(),
        IpAddr::V6(v6) => v6.octets().to_vec(),
    };
    let bits = bits.parse::<usize>().ok().filter(|bits| *bits <= address.len() * 8)?;
    let mask = (0..address.len()).map(|at| {
        let ones = bits.saturating_sub(at * 8).min(8);
        u8::try_from(0xff00_u32 >> ones & 0xff).unwrap_or(0)
    });
    let mask = mask.collect();
    Some(Subtree::ip(address, mask))
}

fn below(base: &str, name: &str) -> bool {
    match base.strip_prefix('.') {
        Some(_) => name.ends_with(base),
        None => name.strip_suffix(base).is_some_and(|rest| rest.is_empty() || rest.ends_with('.')),
    }
}

/// RFC 5280 §4.2.1.10, of URIs and mailboxes: a host is that host, a leading dot means below it.
fn host_matches(base: &str, host: &str) -> bool {
    if base.starts_with('.') { host.ends_with(base) } else { host == base }
}

fn host_of(uri: &str) -> &str {
    let after = uri.split_once("://").map_or("", |(_, rest)| rest);
    let authority = after.split(['/', '?', '#']).next().unwrap_or_default();
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    host.split_once(':').map_or(host, |(host, _)| host)
}

#[cfg(test)]
mod tests {
    use der::Decode;

    use super::*;

    fn constraints(permitted: &[&str], excluded: &[&str]) -> NameConstraints {
        let trees = |list: &[&str]| list.iter().map(|text| text.parse().unwrap()).collect();
        NameConstraints { permitted: trees(permitted), excluded: trees(excluded) }
    }

    #[track_caller]
    fn assert_allowed(constraints: &NameConstraints, allowed: &[&str], refused: &[&str]) {
        for name in allowed {
            assert!(constraints.allow(&name.parse().unwrap()), "{name}");
        }
        for name in refused {
            assert!(!constraints.allow(&name.parse().unwrap()), "{name}");
        }
    }

    #[test]
    fn names_are_within_their_own_kind_s_constraints() {
        assert_allowed(
            &constraints(&["dns:example.com"], &["dns:secret.example.com"]),
            &["dns:example.com", "dns:*.b.example.com", "dns:a.b.example.com", "ip:10.0.0.1"],
            &[
                // `secret` is one of the names that it stands for.
                "dns:*.example.com",
                "dns:badexample.com",
                "dns:com",
                "dns:secret.example.com",
                "dns:a.secret.example.com",
            ],
        );
        assert_allowed(
            &constraints(&["ip:10.0.0.0/9"], &["ip:10.1.0.0/16"]),
            &["ip:10.0.0.1", "ip:10.127.255.255", "dns:a.example"],
            &["ip:10.128.0.1", "ip:11.0.0.1", "ip:10.1.2.3", "ip:2001:db8::1"],
        );
        assert_allowed(
            &constraints(&["email:example.com", "email:.b.example"], &["email:root@example.com"]),
            &["email:a@example.com", "email:a@x.b.example"],
            &["email:a@b.example", "email:root@example.com", "email:a@x.example.com"],
        );
        assert_allowed(
            &constraints(&["uri:prod.example", "uri:.web.example"], &[]),
            &["uri:spiffe://prod.example/app", "uri:https://u@a.web.example:8443/x"],
            &["uri:spiffe://dev.example/prod.example", "uri:https://web.example/"],
        );
    }

    #[test]
    fn mapped_ipv4_addresses_are_within_the_constraints_on_ipv4() {
        for excluded in ["ip:10.0.0.0/8", "ip:::ffff:10.0.0.0/104"] {
            let constraints = constraints(&[], &[excluded]);
            assert_allowed(
                &constraints,
                &["ip:11.0.0.1", "ip:::ffff:11.0.0.1", "ip:2001:db8::1"],
                &["ip:10.1.2.3", "ip:::ffff:10.1.2.3", "ip:::ffff:a01:203"],
            );
            let made_otherwise = GeneralName::Ip("::ffff:10.1.2.3".parse().unwrap());
            assert!(!constraints.allow(&made_otherwise));
        }
        let network = "ip:::ffff:10.0.0.0/104".parse::<Subtree>().unwrap();
        assert_eq!(network, "ip:10.0.0.0/8".parse().unwrap());
        let wider = "ip:::ffff:0:0/95".parse::<Subtree>().unwrap();
        assert!(matches!(wider, Subtree::Ip { address, .. } if address.len() == 16));
        // As they stand in a certificate.
        let mut bytes = [[0; 10].as_slice(), &[0xff, 0xff, 10, 0, 0, 0]].concat();
        bytes.extend([[0xff; 12].as_slice(), &[0xff, 0, 0, 0]].concat());
        let read = Subtree::from_der(&DerName::IpAddress(OctetString::new(bytes).unwrap()));
        assert_eq!(read, Some("ip:10.0.0.0/8".parse().unwrap()));
    }

    #[test]
    fn survives_its_encoding() {
        let all = ["dns:example.com", "ip:2001:db8::/33", "email:a@b.example", "uri:.x.example"];
        let given = constraints(&all, &["ip:192.0.2.0/24"]);
        let extension = given.to_extension().unwrap();
        assert!(extension.critical);
        let read = DerNameConstraints::from_der(extension.extn_value.as_bytes()).unwrap();
        assert_eq!(NameConstraints::from_der(&read), given);
    }

    #[test]
    fn what_is_no_constraint_is_refused() {
        for bad in
            ["example.com", "dns:", "dns:*.a", "dns:.a.b", "ip:10.0.0.0", "ip:10.0.0.0/33", "x:a"]
        {
            assert!(bad.parse::<Subtree>().is_err(), "{bad}");
        }
    }
}
