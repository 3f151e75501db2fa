//! The ids of tenants.

use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// A tenant: the outermost wall between users. 1 to 63 characters of `a-z`, `0-9` and `-`, starting
/// with a letter or digit, so that it can stand in a path, a storage key and a host name. Cheap to
/// clone.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TenantId(Arc<str>);

/// The text is not a tenant id.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error(
    "`{0}` is not a tenant id: use 1 to 63 of a-z, 0-9 and '-', starting with a letter or digit"
)]
pub struct InvalidTenantId(pub String);

impl TenantId {
    /// The tenant of an installation that has only one.
    pub fn default_tenant() -> Self {
        Self("default".into())
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for TenantId {
    type Err = InvalidTenantId;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
        let valid = !text.is_empty()
            && text.len() <= 63
            && text.bytes().all(allowed)
            && !text.starts_with('-');
        if valid { Ok(Self(text.into())) } else { Err(InvalidTenantId(text.to_owned())) }
    }
}

impl TryFrom<String> for TenantId {
    type Error = InvalidTenantId;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<TenantId> for String {
    fn from(tenant: TenantId) -> Self {
        tenant.0.as_ref().to_owned()
    }
}

impl std::fmt::Display for TenantId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::fmt::Debug for TenantId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refuses_what_could_escape_a_path_or_a_key() {
        for bad in ["", "-a", "A", "a/b", "..", "a_b", "_", "é", &"a".repeat(64)] {
            assert!(bad.parse::<TenantId>().is_err(), "{bad}");
        }
        for good in ["a", "0", "default", "team-1", &"a".repeat(63)] {
            assert_eq!(good.parse::<TenantId>().unwrap().as_str(), good);
        }
    }
}
