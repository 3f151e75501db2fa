//! Parses the DNS names of hosts (RFC 1034, RFC 1123).

use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The DNS name of a host, in lower case (RFC 1034 §3.5, RFC 1123 §2.1): labels of 1 to 63 letters,
/// digits, `-` and `_`, a hyphen neither first nor last, at most 253 bytes in all, without a dot at the end, the
/// last label not a number, neither in decimal nor, as `0x1`, in hexadecimal. An underscore is no part of a host's name by these, and hosts are called so
/// all the same. A wildcard is no host.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct DnsName(String);

/// The text is not the DNS name of a host.
#[derive(Debug, Clone, Copy, thiserror::Error, PartialEq, Eq)]
#[error("not the DNS name of a host: {reason}")]
pub struct InvalidDnsName {
    reason: &'static str,
}

impl DnsName {
    /// The name, in lower case.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether this is `suffix` or a name below it.
    pub fn is_under(&self, suffix: &str) -> bool {
        self.0.strip_suffix(suffix).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
    }
}

impl FromStr for DnsName {
    type Err = InvalidDnsName;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let refuse = |reason| Err(InvalidDnsName { reason });
        if text.is_empty() || text.len() > 253 {
            return refuse("it is empty or longer than 253 bytes");
        }
        for label in text.split('.') {
            if label.is_empty() || label.len() > 63 {
                return refuse("a label is empty or longer than 63 bytes");
            }
            if !label.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_')) {
                return refuse("a label has other than letters, digits, '-' and '_'");
            }
            if label.starts_with('-') || label.ends_with('-') {
                return refuse("a label starts or ends with '-'");
            }
        }
        let last = text.rsplit('.').next().unwrap_or_default();
        if is_number(last) {
            return refuse("the last label is a number");
        }
        Ok(Self(text.to_ascii_lowercase()))
    }
}

/// Whether a name that ends with this label is an IPv4 address for many who read it, as `127.0.0.1` and
/// `0x7f000001` are (WHATWG URL §3.5, "ends in a number").
fn is_number(label: &str) -> bool {
    match label.strip_prefix("0x").or_else(|| label.strip_prefix("0X")) {
        Some(digits) => digits.bytes().all(|b| b.is_ascii_hexdigit()),
        None => label.bytes().all(|b| b.is_ascii_digit()),
    }
}

impl TryFrom<String> for DnsName {
    type Error = InvalidDnsName;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<DnsName> for String {
    fn from(name: DnsName) -> Self {
        name.0
    }
}

impl std::fmt::Display for DnsName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn accepts_what_hosts_are_called() {
        let long = format!("{}.{}.{}.example", "a".repeat(63), "b".repeat(63), "c".repeat(63));
        for good in
            ["a", "App.Example", "xn--bcher-kva.example", "1.example", "0x1.a", "my_host.a", &long]
        {
            let name: DnsName = good.parse().unwrap();
            assert_eq!(name.as_str(), good.to_ascii_lowercase());
        }
    }

    #[test]
    fn refuses_what_is_no_name_of_a_host() {
        let (long_label, long) = (format!("{}.a", "a".repeat(64)), "a.".repeat(126) + "ab");
        for bad in [
            "",
            ".",
            ".a.example",
            "a.example.",
            "a..example",
            "a\0.example",
            "a\n.example",
            "a.example\n",
            "a/b.example",
            "a b.example",
            " a.example",
            "*.example",
            "f*.a.example",
            "*a.example",
            "a.*.example",
            "*",
            "-a.example",
            "a-.example",
            "192.0.2.1",
            "a.1",
            "0x7f000001",
            "127.0.0.0X1",
            "a.0x",
            "ä.example",
            "a\u{3002}example",
            "a@example",
            "a:b",
            "a%2e.example",
            &long_label,
            &long,
        ] {
            assert!(bad.parse::<DnsName>().is_err(), "{bad:?}");
            assert!(DnsName::try_from(bad.to_owned()).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn is_under_a_suffix_label_by_label() {
        let name: DnsName = "x.a.example".parse().unwrap();
        for suffix in ["x.a.example", "a.example", "example"] {
            assert!(name.is_under(suffix), "{suffix}");
        }
        for other in ["b.example", ".example", "y.x.a.example", "le"] {
            assert!(!name.is_under(other), "{other}");
        }
        let evil: DnsName = "evila.example".parse().unwrap();
        assert!(!evil.is_under("a.example"));
    }

    proptest! {
        #[test]
        fn never_panics_and_keeps_what_it_accepts(text in "([a-zA-Z0-9._*-]|.){0,80}") {
            if let Ok(name) = text.parse::<DnsName>() {
                prop_assert_eq!(name.as_str(), text.to_ascii_lowercase());
                prop_assert_eq!(name.as_str().parse::<DnsName>(), Ok(name.clone()));
            }
        }
    }
}
