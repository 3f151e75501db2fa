//! ACME identifiers (RFC 8555 §7.1.3, RFC 8738), and which of them can be certified.

use std::net::IpAddr;

use chancery_x509::{GeneralName, has_listed_top_level};
use serde::{Deserialize, Serialize};

/// What an order asks to certify (RFC 8555 §7.1.3): a DNS name, possibly a wildcard, or an IP address
/// (RFC 8738). DNS names are lower case, in ASCII (A-labels) and without a final dot.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "Wire", into = "Wire")]
pub enum Identifier {
    /// A DNS name; a wildcard begins with `*.`.
    Dns(String),
    /// An IP address, never the IPv6 form of an IPv4 address.
    Ip(IpAddr),
}

/// Why something is no identifier that could be certified here.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidIdentifier {
    /// The type is not one of those supported.
    #[error("identifiers of type `{0}` are not supported: use `dns` or `ip`")]
    UnsupportedType(String),
    /// The value is not a DNS name.
    #[error("`{value}` is not a DNS name that can be certified: {reason}")]
    Dns {
        /// What was asked for, shortened.
        value: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// The name is below a top-level name that does not exist in the public DNS, and such names are not certified
    /// here.
    #[error(
        "`{0}` is below a top-level name that the public suffix list does not have, and this server does not \
         certify such names (`acme.unlisted_names`)"
    )]
    Unlisted(String),
    /// The issuing CAs' own certificates do not let them certify the name (RFC 5280 §4.2.1.10).
    #[error("the CAs of this server are not permitted to certify `{0}` (name constraints)")]
    NotPermitted(String),
    /// The name is below a special one of which control cannot be proved here.
    #[error("`{value}` cannot be certified: {reason}")]
    Special {
        /// What was asked for, shortened.
        value: String,
        /// Why not.
        reason: &'static str,
    },
    /// The value is not an IP address.
    #[error("`{0}` is not an IP address")]
    Ip(String),
    /// The value is an IP address in another spelling than the canonical one.
    #[error("`{value}` has to be written as `{canonical}` (RFC 8738 §3)")]
    IpSpelling {
        /// What was asked for, shortened.
        value: String,
        /// The same address as RFC 5952 writes it.
        canonical: IpAddr,
    },
    /// The address is none that one host could have.
    #[error(
        "`{0}` cannot be certified: no host has this address (it is unspecified, multicast or broadcast)"
    )]
    NoHost(IpAddr),
}

/// Which of the well-formed names are certified.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NameRules {
    /// Whether names are taken whose top-level name is not in the public suffix list: `localhost`, `a.lan`,
    /// `*.internal`.
    pub unlisted: bool,
}

impl NameRules {
    /// Whether these rules allow `identifier`; asked when it is ordered, and again when it is to be certified.
    ///
    /// # Errors
    /// [`InvalidIdentifier`].
    pub fn check(self, identifier: &Identifier) -> Result<(), InvalidIdentifier> {
        let name = match identifier {
            Identifier::Dns(name) => name,
            Identifier::Ip(address) if is_of_a_host(*address) => return Ok(()),
            Identifier::Ip(address) => return Err(InvalidIdentifier::NoHost(*address)),
        };
        // An order may be older than today's list of public suffixes.
        Identifier::parse("dns", name)?;
        if let Some((_, reason)) = SPECIAL.into_iter().find(|(special, _)| is_below(name, special))
        {
            return Err(InvalidIdentifier::Special {
                value: name.chars().take(80).collect(),
                reason,
            });
        }
        if self.unlisted || has_listed_top_level(name) {
            return Ok(());
        }
        Err(InvalidIdentifier::Unlisted(name.chars().take(80).collect()))
    }
}

/// Names that DNS cannot prove anything about, or not what a certificate would say.
const SPECIAL: [(&str, &str); 3] = [
    (
        "onion",
        "names of Tor are proved by onion-csr-01 (RFC 9799), which this server does not have",
    ),
    ("in-addr.arpa", "it is the reverse name of an IP address: use the identifier type `ip`"),
    ("ip6.arpa", "it is the reverse name of an IP address: use the identifier type `ip`"),
];

/// Whether `name` is `suffix` or below it.
fn is_below(name: &str, suffix: &str) -> bool {
    name.strip_suffix(suffix).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
}

/// Whether one host can have this address. A connection to the unspecified one ends at the gateway's own machine.
pub(crate) fn is_of_a_host(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => {
            !(address.octets()[0] == 0 || address.is_multicast() || address.is_broadcast())
        }
        IpAddr::V6(address) => !(address.is_unspecified() || address.is_multicast()),
    }
}

#[derive(Serialize, Deserialize)]
struct Wire {
    #[serde(rename = "type")]
    kind: String,
    value: String,
}

impl Identifier {
    /// The identifier of this type and value. In DNS names, upper case is folded.
    ///
    /// # Errors
    /// [`InvalidIdentifier`].
    pub fn parse(kind: &str, value: &str) -> Result<Self, InvalidIdentifier> {
        match kind {
            "dns" => dns(value).map(Self::Dns).map_err(|reason| InvalidIdentifier::Dns {
                value: value.chars().take(80).collect(),
                reason,
            }),
            "ip" => {
                let shown = || value.chars().take(80).collect();
                match value.parse::<IpAddr>() {
                    Ok(address) if address.to_string() == value => Ok(Self::ip(address)),
                    Ok(canonical) => {
                        Err(InvalidIdentifier::IpSpelling { value: shown(), canonical })
                    }
                    Err(_) => Err(InvalidIdentifier::Ip(shown())),
                }
            }
            other => Err(InvalidIdentifier::UnsupportedType(other.chars().take(40).collect())),
        }
    }

    /// An address. An IPv4 address that comes as the IPv6 address which maps it is the IPv4 address:
    /// validation connects to the same host, and rules about the one are meant for the other.
    pub fn ip(address: IpAddr) -> Self {
        Self::Ip(address.to_canonical())
    }

    /// `dns` or `ip`.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Dns(_) => "dns",
            Self::Ip(_) => "ip",
        }
    }

    /// The value as text.
    pub fn value(&self) -> String {
        match self {
            Self::Dns(name) => name.clone(),
            Self::Ip(address) => address.to_string(),
        }
    }

    /// Whether this is a wildcard name.
    pub fn is_wildcard(&self) -> bool {
        matches!(self, Self::Dns(name) if name.starts_with("*."))
    }

    /// What control has to be proved of: the name itself, without `*.` (RFC 8555 §7.1.4).
    #[must_use]
    pub fn base(&self) -> Self {
        match self {
            Self::Dns(name) => Self::Dns(name.strip_prefix("*.").unwrap_or(name).to_owned()),
            Self::Ip(address) => Self::Ip(*address),
        }
    }

    /// The same name as it stands in a certificate.
    pub fn general_name(&self) -> GeneralName {
        match self {
            Self::Dns(name) => GeneralName::Dns(name.clone()),
            Self::Ip(address) => GeneralName::ip(*address),
        }
    }
}

impl std::fmt::Display for Identifier {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.value())
    }
}

impl TryFrom<Wire> for Identifier {
    type Error = InvalidIdentifier;

    /// What is stored was checked when it was ordered. What names are possible may have changed since, and the
    /// record has to be readable all the same.
    fn try_from(wire: Wire) -> Result<Self, InvalidIdentifier> {
        match wire.kind.as_str() {
            "dns" => Ok(Self::Dns(wire.value)),
            kind => Self::parse(kind, &wire.value),
        }
    }
}

impl From<Identifier> for Wire {
    fn from(identifier: Identifier) -> Self {
        Self { kind: identifier.kind().to_owned(), value: identifier.value() }
    }
}

/// A name that can stand in a certificate: what is taken here is decided where certificates are built, so that
/// an order never ends with a CSR that cannot be certified.
fn dns(value: &str) -> Result<String, &'static str> {
    if value.parse::<IpAddr>().is_ok() {
        return Err("it is an IP address: use the identifier type `ip`");
    }
    if value.ends_with('.') {
        return Err("it ends with a dot");
    }
    match GeneralName::dns(value) {
        Ok(name) => Ok(name.value().into_owned()),
        Err(invalid) => Err(invalid.reason()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn folds_case_and_keeps_wildcards() {
        let name = Identifier::parse("dns", "*.Example.COM").unwrap();
        assert_eq!(name, Identifier::Dns("*.example.com".to_owned()));
        assert!(name.is_wildcard());
        assert_eq!(name.base(), Identifier::Dns("example.com".to_owned()));
        assert!(Identifier::parse("dns", "localhost").is_ok());
        assert!(Identifier::parse("dns", "xn--mnchen-3ya.example").is_ok());
    }

    #[test]
    fn refuses_what_is_no_host_name() {
        for bad in [
            "",
            "*",
            "*.",
            "**.a",
            "a.*.b",
            "a*.b",
            ".",
            "a.",
            ".a",
            "a..b",
            "-a.b",
            "a-.b",
            "a_b.c",
            "münchen.example",
            "a b",
            "a/b",
            "192.0.2.1",
            "::1",
            "a.1",
            "0x7f.1",
            "0x7f000001",
            "127.0.0.0x1",
            "a:80",
            "*.com",
            "*.co.uk",
            "xn--0.example",
            &format!("{}.example", "a".repeat(64)),
            &"a.".repeat(127).repeat(2),
        ] {
            let refused = Identifier::parse("dns", bad);
            assert!(matches!(refused, Err(InvalidIdentifier::Dns { .. })), "{bad}");
        }
    }

    #[test]
    fn unlisted_names_are_taken_where_the_rules_say_so() {
        let (open, closed) = (NameRules { unlisted: true }, NameRules { unlisted: false });
        for (name, is_listed) in
            [("a.example.com", true), ("com", true), ("*.lan", false), ("localhost", false)]
        {
            let identifier = Identifier::parse("dns", name).unwrap();
            assert!(open.check(&identifier).is_ok(), "{name}");
            assert_eq!(closed.check(&identifier).is_ok(), is_listed, "{name}");
        }
        let address = Identifier::parse("ip", "192.0.2.1").unwrap();
        assert!(closed.check(&address).is_ok());
        let before = Identifier::Dns("*.com".to_owned());
        assert!(matches!(open.check(&before), Err(InvalidIdentifier::Dns { .. })));
    }

    #[test]
    fn a_stored_name_that_would_be_refused_today_is_readable() {
        let stored = r#"{"type":"dns","value":"*.com"}"#;
        let read: Identifier = serde_json::from_str(stored).unwrap();
        assert_eq!(read, Identifier::Dns("*.com".to_owned()));
        assert_eq!(serde_json::to_string(&read).unwrap(), stored);
    }

    #[test]
    fn takes_ip_addresses_in_canonical_spelling_only() {
        assert!(Identifier::parse("ip", "192.0.2.1").is_ok());
        assert!(Identifier::parse("ip", "2001:db8::1").is_ok());
        for bad in [
            "192.0.2.01",
            "192.0.2.1/32",
            "192.0.2",
            "0x7f.0.0.1",
            "2130706433",
            "fe80::1%eth0",
            "[::1]",
            "a.example",
            "",
        ] {
            assert!(matches!(Identifier::parse("ip", bad), Err(InvalidIdentifier::Ip(_))), "{bad}");
        }
        for (other, canonical) in [
            ("2001:db8:0::1", "2001:db8::1"),
            ("2001:DB8::1", "2001:db8::1"),
            ("2001:db8:0:0:0:0:0:1", "2001:db8::1"),
            ("2001:0db8::0001", "2001:db8::1"),
            ("::ffff:c000:201", "::ffff:192.0.2.1"),
        ] {
            let refused = Identifier::parse("ip", other).unwrap_err().to_string();
            assert!(refused.contains(&format!("written as `{canonical}`")), "{refused}");
        }
    }

    #[test]
    fn addresses_that_no_host_has_are_refused() {
        let rules = NameRules { unlisted: true };
        for none in [
            "0.0.0.0",
            "0.1.2.3",
            "224.0.0.1",
            "255.255.255.255",
            "::",
            "ff02::1",
            "::ffff:0.0.0.0",
        ] {
            let address = Identifier::parse("ip", none).unwrap();
            assert!(matches!(rules.check(&address), Err(InvalidIdentifier::NoHost(_))), "{none}");
        }
        // Which networks validation may reach is a setting.
        for some in ["127.0.0.1", "::1", "10.0.0.1", "fe80::1", "192.0.2.255", "240.0.0.1"] {
            assert!(rules.check(&Identifier::parse("ip", some).unwrap()).is_ok(), "{some}");
        }
    }

    #[test]
    fn special_names_that_cannot_be_proved_are_refused() {
        let rules = NameRules { unlisted: true };
        for special in [
            "onion",
            "a.onion",
            "*.a.onion",
            "1.2.0.192.in-addr.arpa",
            "in-addr.arpa",
            "1.ip6.arpa",
        ] {
            let name = Identifier::parse("dns", special).unwrap();
            assert!(
                matches!(rules.check(&name), Err(InvalidIdentifier::Special { .. })),
                "{special}"
            );
        }
        // A private CA may have these, if they are proved and policy agrees.
        for fine in ["com", "db", "router.home.arpa", "arpa", "a.local", "myonion", "xin-addr.arpa"]
        {
            assert!(rules.check(&Identifier::parse("dns", fine).unwrap()).is_ok(), "{fine}");
        }
    }

    #[test]
    fn a_mapped_ipv4_address_is_the_ipv4_address() {
        let v4 = Identifier::parse("ip", "192.0.2.1").unwrap();
        let mapped = Identifier::parse("ip", "::ffff:192.0.2.1").unwrap();
        assert_eq!(mapped, v4);
        assert_eq!(mapped.value(), "192.0.2.1");
        let stored = r#"{"type":"ip","value":"::ffff:192.0.2.1"}"#;
        assert_eq!(serde_json::from_str::<Identifier>(stored).unwrap(), v4);
        assert_eq!(mapped.general_name().to_string(), "ip:192.0.2.1");
    }

    #[test]
    fn an_unknown_type_is_named() {
        assert_eq!(
            Identifier::parse("email", "a@b"),
            Err(InvalidIdentifier::UnsupportedType("email".to_owned()))
        );
    }

    proptest! {
        #[test]
        fn what_is_accepted_parses_to_itself_again(kind in "(dns|ip)", value in "[*a-zA-Z0-9.:-]{0,30}") {
            if let Ok(one) = Identifier::parse(&kind, &value) {
                prop_assert_eq!(Identifier::parse(one.kind(), &one.value()).unwrap(), one);
            }
        }
    }
}
