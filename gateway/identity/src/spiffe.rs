//! Parses SPIFFE IDs.

use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A SPIFFE ID (SPIFFE-ID §2): `spiffe://<trust domain>/<path>`, at most 2,048 bytes, the trust
/// domain of `a-z0-9.-_`, each path segment of `A-Za-z0-9.-_` and neither empty, `.` nor `..`.
/// Nothing is normalised: a certificate that spells it otherwise has no SPIFFE ID.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct SpiffeId(String);

/// The text is not a SPIFFE ID.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("not a SPIFFE ID (spiffe://trust-domain/path): {reason}")]
pub struct InvalidSpiffeId {
    reason: &'static str,
}

const SCHEME: &str = "spiffe://";

impl SpiffeId {
    /// The trust domain: what stands between the scheme and the path.
    pub fn trust_domain(&self) -> &str {
        let rest = self.0.strip_prefix(SCHEME).unwrap_or_default();
        rest.split('/').next().unwrap_or_default()
    }

    /// The whole id.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for SpiffeId {
    type Err = InvalidSpiffeId;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let refuse = |reason| Err(InvalidSpiffeId { reason });
        if text.len() > 2048 {
            return refuse("longer than 2,048 bytes");
        }
        let Some(rest) = text.strip_prefix(SCHEME) else {
            return refuse("the scheme is not spiffe://");
        };
        let (domain, path) = match rest.split_once('/') {
            Some((domain, path)) => (domain, Some(path)),
            None => (rest, None),
        };
        let domain_byte =
            |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'.' | b'-' | b'_');
        if domain.is_empty() || domain.len() > 255 || !domain.bytes().all(domain_byte) {
            return refuse("the trust domain is empty, too long or has other than a-z0-9.-_");
        }
        let path_byte = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_');
        for segment in path.into_iter().flat_map(|p| p.split('/')) {
            if segment.is_empty() || segment == "." || segment == ".." {
                return refuse("a path segment is empty, '.' or '..'");
            }
            if !segment.bytes().all(path_byte) {
                return refuse("a path segment has other than A-Za-z0-9.-_");
            }
        }
        Ok(Self(text.to_owned()))
    }
}

impl TryFrom<String> for SpiffeId {
    type Error = InvalidSpiffeId;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<SpiffeId> for String {
    fn from(id: SpiffeId) -> Self {
        id.0
    }
}

impl std::fmt::Display for SpiffeId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn accepts_the_specification_s_examples() {
        for good in
            ["spiffe://example.org/ns/prod/sa/api", "spiffe://dev.chancery/app", "spiffe://a"]
        {
            assert_eq!(good.parse::<SpiffeId>().unwrap().as_str(), good);
        }
        assert_eq!("spiffe://a.b/c".parse::<SpiffeId>().unwrap().trust_domain(), "a.b");
    }

    #[test]
    fn refuses_every_other_spelling() {
        for bad in [
            "",
            "spiffe://",
            "spiffe:///p",
            "SPIFFE://a/b",
            "https://a/b",
            "spiffe://A/b",
            "spiffe://a/",
            "spiffe://a//b",
            "spiffe://a/../b",
            "spiffe://a/./b",
            "spiffe://a/b?q",
            "spiffe://a/b#f",
            "spiffe://a:1/b",
            "spiffe://u@a/b",
            "spiffe://a/%2e",
        ] {
            assert!(bad.parse::<SpiffeId>().is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn never_panics_and_keeps_what_it_accepts(text in ".{0,80}") {
            if let Ok(id) = text.parse::<SpiffeId>() {
                prop_assert_eq!(id.as_str(), text);
            }
        }
    }
}
