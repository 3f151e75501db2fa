use std::borrow::Cow;
use std::net::IpAddr;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

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
    /// An address.
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
    /// A DNS name: labels of 1 to 63 letters, digits and inner hyphens, at most 253 bytes in all,
    /// the first label may be `*` if two more follow. Upper case is lowered; non-ASCII names are
    /// given as A-labels (RFC 5280 §7.2).
    ///
    /// # Errors
    /// It is none, or an IP address.
    pub fn dns(name: &str) -> Result<Self, InvalidName> {
        match dns_fault(name) {
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
        match dns_fault(host) {
            Some(reason) => refuse(reason),
            None if host.starts_with("*.") => refuse("the host is a wildcard"),
            None => Ok(Self::Email(format!("{local}@{}", host.to_ascii_lowercase()))),
        }
    }

    /// The name of this kind (`dns`, `ip`, `uri`, `email`) with this value, checked.
    ///
    /// # Errors
    /// There is no such kind, or the value is not a name of it.
    pub fn from_parts(kind: &str, value: &str) -> Result<Self, InvalidName> {
        match kind {
            "dns" => Self::dns(value),
            "ip" => value.parse().map(Self::Ip).map_err(|_| {
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
            Err(InvalidName::new(self.kind(), &self.value(), "it is not in lower case"))
        }
    }
}

impl InvalidName {
    fn new(kind: &'static str, name: &str, reason: &'static str) -> Self {
        // What a stranger sent must not flood an error message or a log.
        let name = name.chars().take(100).flat_map(char::escape_debug).collect();
        Self { name, kind, reason }
    }
}

fn dns_fault(name: &str) -> Option<&'static str> {
    if name.is_empty() || name.len() > 253 {
        return Some("it is empty or longer than 253 bytes");
    }
    let host = name.strip_prefix("*.").unwrap_or(name);
    if host.len() != name.len() && !host.contains('.') {
        return Some("a wildcard needs two labels behind it");
    }
    for label in host.split('.') {
        if label.is_empty() || label.len() > 63 {
            return Some("a label is empty or longer than 63 bytes");
        }
        if !label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-') {
            return Some("a label has other than letters, digits and '-'");
        }
        if label.starts_with('-') || label.ends_with('-') {
            return Some("a label starts or ends with '-'");
        }
    }
    let last = host.rsplit('.').next().unwrap_or_default();
    // Otherwise `192.0.2.1`, `1.2` and the like would pass for host names.
    last.bytes().all(|b| b.is_ascii_digit()).then_some("the last label is a number")
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
