//! The name of the role under which a client logs in.

use std::str::FromStr;

/// The name under which somebody logs in, for policies to tell logins apart: 1 to 64 characters of
/// `A-Za-z0-9`, `.`, `_` and `-`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Role(String);

/// The text is not the name of a role.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a role is 1 to 64 characters of A-Z, a-z, 0-9, '.', '_' and '-'")]
pub struct InvalidRole;

impl Role {
    /// The role of a login that names none.
    pub fn default_role() -> Self {
        Self("default".to_owned())
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Role {
    type Err = InvalidRole;

    fn from_str(text: &str) -> Result<Self, InvalidRole> {
        let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
        if (1..=64).contains(&text.len()) && text.bytes().all(allowed) {
            Ok(Self(text.to_owned()))
        } else {
            Err(InvalidRole)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_role_cannot_shape_the_resource_that_a_policy_sees() {
        for bad in ["", "a/b", "a b", "a*", "é", "a\n", &"a".repeat(65)] {
            assert_eq!(bad.parse::<Role>(), Err(InvalidRole), "{bad:?}");
        }
        assert_eq!("web-1.prod_A".parse::<Role>().unwrap().as_str(), "web-1.prod_A");
    }
}
