//! The mounts of the secret engines, and their names.

use std::collections::BTreeMap;
use std::str::FromStr;
use std::sync::Arc;

/// The name of a mount: the first segment of the paths behind it. 1 to 64 characters of `a-z`, `0-9`,
/// `-` and `_`, starting with a letter or digit, and none of the API's own names. Cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct MountName(Arc<str>);

/// The text is not the name of a mount.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` cannot be a mount: use 1 to 64 of a-z, 0-9, '-' and '_', starting with a letter or \
     digit, and none of auth, cubbyhole, identity, sys"
)]
pub struct InvalidMountName(pub String);

/// An engine at a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mount {
    /// Where it is.
    pub name: MountName,
    /// Which engine it is.
    pub kind: MountKind,
    /// What it is for, in the operator's words.
    pub description: String,
}

/// The kinds of engines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MountKind {
    /// Key-value secrets, version 2.
    Kv,
    /// The certificates that were issued.
    Pki,
    /// Certificates for SSH.
    Ssh,
    /// Keys for their life.
    Transit,
}

/// The mounts that every tenant has, each with contents of its own per tenant.
#[derive(Debug, Clone, Default)]
pub struct Mounts(BTreeMap<MountName, Mount>);

/// First segments that the API gives another meaning.
const RESERVED: [&str; 4] = ["auth", "cubbyhole", "identity", "sys"];

impl MountName {
    /// The name, without a slash.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for MountName {
    type Err = InvalidMountName;

    fn from_str(text: &str) -> Result<Self, InvalidMountName> {
        let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
        let valid = (1..=64).contains(&text.len())
            && text.bytes().all(|b| plain(b) || matches!(b, b'-' | b'_'))
            && text.bytes().next().is_some_and(plain)
            && !RESERVED.contains(&text);
        if valid { Ok(Self(text.into())) } else { Err(InvalidMountName(text.to_owned())) }
    }
}

impl std::fmt::Display for MountName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl Mounts {
    /// These mounts; of several with one name, the last counts.
    pub fn new(mounts: impl IntoIterator<Item = Mount>) -> Self {
        Self(mounts.into_iter().map(|mount| (mount.name.clone(), mount)).collect())
    }

    /// The mount with this name.
    pub fn find(&self, name: &MountName) -> Option<&Mount> {
        self.0.get(name)
    }

    /// All of them, by name.
    pub fn iter(&self) -> impl Iterator<Item = &Mount> {
        self.0.values()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mount_cannot_take_the_api_s_names_or_need_encoding() {
        for bad in ["", "sys", "auth", "a/b", "Secret", "-a", "a%2fb", "..", "é", &"a".repeat(65)]
        {
            assert!(bad.parse::<MountName>().is_err(), "{bad:?}");
        }
    }
}
