//! Which of several gateways on one store this one is.

use std::str::FromStr;

/// The name of a gateway among those that share its store. 1 to 63 characters of `a-z`, `0-9` and `-`, starting with
/// a letter or digit, so that it can stand in a storage key and a host name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GatewayName(String);

/// The text is not the name of a gateway.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error(
    "`{0}` is not the name of a gateway: use 1 to 63 of a-z, 0-9 and '-', starting with a letter or digit"
)]
pub struct InvalidGatewayName(String);

impl FromStr for GatewayName {
    type Err = InvalidGatewayName;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        let valid =
            (1..=63).contains(&text.len()) && text.bytes().all(allowed) && !text.starts_with('-');
        if valid { Ok(Self(text.to_owned())) } else { Err(InvalidGatewayName(text.to_owned())) }
    }
}

impl std::fmt::Display for GatewayName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_what_can_stand_in_a_key_and_a_host_name() {
        for good in ["a", "0", "gateway-2", &"x".repeat(63)] {
            assert_eq!(good.parse::<GatewayName>().unwrap().to_string(), good);
        }
        for bad in ["", "-a", "A", "a/b", "a.b", "a b", &"x".repeat(64)] {
            assert!(bad.parse::<GatewayName>().is_err(), "{bad}");
        }
    }
}
