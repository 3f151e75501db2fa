//! The names in subject alternative names (RFC 5280 §4.2.1.6): DNS names, IP addresses, URIs and mailboxes.

use std::borrow::Cow;
use std::net::IpAddr;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::dns;

/// A name in a certificate's subject alternative names (RFC 5280 §4.2.1.6), of the kinds that are
/// issued here. In text, and in JSON, `dns:example.com`, `ip:192.0.2.1`, `uri:spiffe://a/b`,
/// `email:a@example.com`.
///
/// The constructors [`dns`](Self::dns), [`uri`](Self::uri), [`email`](Self::email) and parsing from
/// text check the name; a certificate of somebody else may hold what they refuse.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum GeneralName {
    /// A host name, lower case, possibly with `*.` in front.
    Dns(String),
    /// An address, never the IPv6 form of an IPv4 address.
    Ip(IpAddr),
    /// An absolute URI.
    Uri(String),
    /// A mailbox.
    Email(String),
}

/// The text is not a name that can be certified.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{name}` is not a valid {kind} name: {reason}")]
pub struct InvalidName {
    name: String,
    kind: &'static str,
    reason: &'static str,
}

impl GeneralName {
    /// A DNS name: labels of 1 to 63 letters, digits and inner hyphens, at most 253 bytes in all.
    /// Upper case is lowered; non-ASCII names are given as A-labels (RFC 5280 §7.2), which must decode.
    /// The first label may be `*`, unless what follows is a public suffix, such as `com` or `co.uk`.
    ///
    /// # Errors
    /// It is none, or an IP address.
    pub fn dns(name: &str) -> Result<Self, InvalidName> {
        match dns::fault(name) {
            None => Ok(Self::Dns(name.to_ascii_lowercase())),
            Some(reason) => Err(InvalidName::new("DNS", name, reason)),
        }
    }

    /// An absolute URI with a scheme and something after it (RFC 5280 §4.2.1.6); not normalised.
    ///
    /// # Errors
    /// It is none, or longer than 2,048 bytes.
    pub fn uri(uri: &str) -> Result<Self, InvalidName> {
        match uri_fault(uri) {
            None => Ok(Self::Uri(uri.to_owned())),
            Some(reason) => Err(InvalidName::new("URI", uri, reason)),
        }
    }

    /// A mailbox `local@host` (RFC 5280 §4.2.1.6); the host is lowered.
    ///
    /// # Errors
    /// It is none.
    pub fn email(address: &str) -> Result<Self, InvalidName> {
        let refuse = |reason| Err(InvalidName::new("e-mail", address, reason));
        let Some((local, host)) = address.rsplit_once('@') else {
            return refuse("there is no @");
        };
        // RFC 5322 atoms only: quoted local parts are not worth the risk.
        let atom = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-/=?^_`{|}~.".contains(&b);
        if local.is_empty() || local.len() > 64 || !local.bytes().all(atom) {
            return refuse("the part before @ is empty, too long or has characters to quote");
        }
        match dns::fault(host) {
            Some(reason) => refuse(reason),
            None if host.starts_with("*.") => refuse("the host is a wildcard"),
            None => Ok(Self::Email(format!("{local}@{}", host.to_ascii_lowercase()))),
        }
    }

    /// An address. An IPv4 address that comes as the IPv6 address which maps it (`::ffff:192.0.2.1`, RFC
    /// 4291 §2.5.5.2) is the IPv4 address: it reaches the same host, and rules about the one are meant for
    /// the other.
    pub fn ip(address: IpAddr) -> Self {
        Self::Ip(address.to_canonical())
    }

    /// The name of this kind (`dns`, `ip`, `uri`, `email`) with this value, checked.
    ///
    /// # Errors
    /// There is no such kind, or the value is not a name of it.
    pub fn from_parts(kind: &str, value: &str) -> Result<Self, InvalidName> {
        match kind {
            "dns" => Self::dns(value),
            "ip" => value.parse().map(Self::ip).map_err(|_| {
                InvalidName::new("IP", value, "it is neither an IPv4 nor an IPv6 address")
            }),
            "uri" => Self::uri(value),
            "email" => Self::email(value),
            _ => Err(InvalidName::new("typed", kind, "the kind is not dns, ip, uri or email")),
        }
    }

    /// `dns`, `ip`, `uri` or `email`.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Dns(_) => "dns",
            Self::Ip(_) => "ip",
            Self::Uri(_) => "uri",
            Self::Email(_) => "email",
        }
    }

    /// The name without its kind.
    pub fn value(&self) -> Cow<'_, str> {
        match self {
            Self::Dns(text) | Self::Uri(text) | Self::Email(text) => Cow::Borrowed(text),
            Self::Ip(address) => Cow::Owned(address.to_string()),
        }
    }

    /// Checks a name that did not come from a constructor.
    ///
    /// # Errors
    /// The constructors would not have made it.
    pub fn check(&self) -> Result<(), InvalidName> {
        let again = Self::from_parts(self.kind(), &self.value())?;
        if again == *self {
            Ok(())
        } else {
            let reason = "it is not written as it should be: in lower case, IPv4 addresses as such";
            Err(InvalidName::new(self.kind(), &self.value(), reason))
        }
    }
}

impl InvalidName {
    /// What is wrong with the name.
    pub fn reason(&self) -> &'static str {
        self.reason
    }

    fn new(kind: &'static str, name: &str, reason: &'static str) -> Self {
        // What a stranger sent must not flood an error message or a log.
        let name = name.chars().take(100).flat_map(char::escape_debug).collect();
        Self { name, kind, reason }
    }
}

fn uri_fault(uri: &str) -> Option<&'static str> {
    if uri.len() > 2048 {
        return Some("it is longer than 2,048 bytes");
    }
    // RFC 3986 §2: visible ASCII without delimiters that no component may contain.
    if !uri.bytes().all(|b| b.is_ascii_graphic() && !b"\"<>\\^`{|}".contains(&b)) {
        return Some("it has characters that a URI cannot contain");
    }
    let Some((scheme, rest)) = uri.split_once(':') else {
        return Some("there is no scheme");
    };
    let scheme_byte = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.');
    if !scheme.starts_with(|c: char| c.is_ascii_alphabetic()) || !scheme.bytes().all(scheme_byte) {
        return Some("the scheme is malformed");
    }
    match rest.strip_prefix("//") {
        Some(authority) if authority.is_empty() || authority.starts_with(['/', '?', '#']) => {
            Some("there is no host after '//'")
        }
        None if rest.is_empty() => Some("there is nothing after the scheme"),
        _ => None,
    }
}

impl std::fmt::Display for GeneralName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}", self.kind(), self.value())
    }
}

impl FromStr for GeneralName {
    type Err = InvalidName;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (kind, value) = text.split_once(':').ok_or_else(|| {
            InvalidName::new("typed", text, "write dns:, ip:, uri: or email: before it")
        })?;
        Self::from_parts(kind, value)
    }
}

impl TryFrom<String> for GeneralName {
    type Error = InvalidName;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<GeneralName> for String {
    fn from(name: GeneralName) -> Self {
        name.to_string()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn accepts_names_and_lowers_hosts() {
        let long_label = "a".repeat(63);
        for (given, kept) in [
            ("dns:Example.COM", "dns:example.com"),
            ("dns:*.Example.com", "dns:*.example.com"),
            ("dns:localhost", "dns:localhost"),
            ("dns:xn--mnchen-3ya.example", "dns:xn--mnchen-3ya.example"),
            ("dns:*.lan", "dns:*.lan"),
            ("dns:*.github.io", "dns:*.github.io"),
            ("dns:1.example", "dns:1.example"),
            (&format!("dns:{long_label}.a"), &format!("dns:{long_label}.a")),
            ("ip:192.0.2.1", "ip:192.0.2.1"),
            ("ip:2001:DB8:0::1", "ip:2001:db8::1"),
            ("uri:spiffe://example.org/Sub", "uri:spiffe://example.org/Sub"),
            ("uri:urn:uuid:1", "uri:urn:uuid:1"),
            ("email:A.b+c@Example.com", "email:A.b+c@example.com"),
        ] {
            assert_eq!(given.parse::<GeneralName>().unwrap().to_string(), kept);
        }
    }

    #[test]
    fn refuses_what_is_no_name() {
        let long_label = format!("dns:{}.com", "a".repeat(64));
        let long_name = format!("dns:{}com", "a.".repeat(126));
        let long_uri = format!("uri:https://a/{}", "a".repeat(2048));
        for bad in [
            "",
            "example.com",
            "other:x",
            "dns:",
            "dns:.",
            "dns:a.",
            "dns:.a",
            "dns:a..b",
            "dns:-a.b",
            "dns:a-.b",
            "dns:a_b.c",
            "dns:a b",
            "dns:a\0.b",
            "dns:münchen.de",
            "dns:*",
            "dns:*.com",
            "dns:*.co.uk",
            "dns:xn--0.example",
            "dns:a.*.com",
            "dns:*.*.example.com",
            "dns:w*.example.com",
            "dns:192.0.2.1",
            "dns:1.2",
            "dns:[::1]",
            "dns:example.com:80",
            "dns:a/b",
            &long_label,
            &long_name,
            "ip:",
            "ip:192.0.2",
            "ip:192.0.2.1/24",
            "ip:[::1]",
            "ip:example.com",
            "uri:",
            "uri:/path",
            "uri:example",
            "uri:https://",
            "uri:https:///path",
            "uri:1a://x",
            "uri:https://a b",
            "uri:https://ä/",
            "uri:x:",
            &long_uri,
            "email:a",
            "email:@b.c",
            "email:a@",
            "email:a@b@c.d",
            "email:a b@c.d",
            "email:a@*.example.com",
            "email:\"a\"@b.c",
        ] {
            assert!(bad.parse::<GeneralName>().is_err(), "{bad}");
        }
    }

    #[test]
    fn errors_show_hostile_text_escaped_and_cut() {
        let hostile = format!("dns:\u{1b}[31m{}", "x".repeat(5000));
        let shown = hostile.parse::<GeneralName>().unwrap_err().to_string();
        assert!(shown.len() < 300, "{shown}");
        assert!(!shown.contains('\u{1b}'), "{shown}");
    }

    #[test]
    fn check_finds_what_a_constructor_would_not_make() {
        assert!(GeneralName::dns("a.b").unwrap().check().is_ok());
        assert!(GeneralName::Dns("A.b".to_owned()).check().is_err());
        assert!(GeneralName::Dns("a b".to_owned()).check().is_err());
        assert!(GeneralName::Uri("no".to_owned()).check().is_err());
        assert!(GeneralName::Email("a@B".to_owned()).check().is_err());
        assert!(GeneralName::Ip("::ffff:192.0.2.1".parse().unwrap()).check().is_err());
    }

    #[test]
    fn a_mapped_ipv4_address_is_the_ipv4_address() {
        let v4: GeneralName = "ip:192.0.2.1".parse().unwrap();
        for mapped in ["ip:::ffff:192.0.2.1", "ip:::FFFF:c000:201", "ip:0:0:0:0:0:ffff:192.0.2.1"] {
            let read: GeneralName = mapped.parse().unwrap();
            assert_eq!(read, v4, "{mapped}");
            assert_eq!(read.to_string(), "ip:192.0.2.1");
            assert!(read.check().is_ok());
        }
        let compatible: GeneralName = "ip:::192.0.2.1".parse().unwrap();
        assert_ne!(compatible, v4);
    }

    proptest! {
        #[test]
        fn never_panics_and_prints_what_it_parses(text in "(dns:|ip:|uri:|email:)?.{0,80}") {
            if let Ok(name) = text.parse::<GeneralName>() {
                prop_assert!(name.check().is_ok());
                prop_assert_eq!(name.to_string().parse::<GeneralName>().unwrap(), name.clone());
                let json = serde_json::to_string(&name).unwrap();
                prop_assert_eq!(serde_json::from_str::<GeneralName>(&json).unwrap(), name);
            }
        }
    }
}
