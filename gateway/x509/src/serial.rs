use std::str::FromStr;

use aws_lc_rs::rand::SecureRandom;
use serde::{Deserialize, Serialize};

/// A certificate's serial number: a non-negative integer of at most 20 bytes (RFC 5280 §4.1.2.2).
/// Shown and stored as lower-case hex digits without leading zeros.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Serial([u8; 20]);

/// Not a serial number.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "a serial number is a non-negative integer of at most 20 bytes, in text 1 to 40 hex digits"
)]
pub struct InvalidSerial;

/// The system's random number generator failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the random number generator failed")]
pub struct RandomFailure;

impl Serial {
    /// A new serial number with 159 random bits: as many as fit into 20 bytes beside the sign.
    ///
    /// # Errors
    /// The random number generator failed.
    pub fn random(random: &dyn SecureRandom) -> Result<Self, RandomFailure> {
        let mut bytes = [0; 20];
        random.fill(&mut bytes).map_err(|_| RandomFailure)?;
        if let Some(first) = bytes.first_mut() {
            *first &= 0x7f;
        }
        Ok(Self(bytes))
    }

    /// The number with this big-endian encoding; leading zero bytes are allowed.
    ///
    /// # Errors
    /// The number is longer than 20 bytes.
    pub fn from_be_bytes(bytes: &[u8]) -> Result<Self, InvalidSerial> {
        let start = bytes.iter().position(|&b| b != 0).unwrap_or(bytes.len());
        let significant = bytes.get(start..).unwrap_or_default();
        let mut padded = [0; 20];
        let offset = padded.len().checked_sub(significant.len()).ok_or(InvalidSerial)?;
        padded.get_mut(offset..).ok_or(InvalidSerial)?.copy_from_slice(significant);
        Ok(Self(padded))
    }

    /// The number as 20 bytes, big-endian.
    pub fn as_bytes(&self) -> &[u8; 20] {
        &self.0
    }

    /// How many bits the number has without leading zeros.
    pub fn bit_length(&self) -> u32 {
        crate::weak_key::bit_length(&self.0)
    }
}

impl std::fmt::Display for Serial {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let digits = hex::encode(self.0);
        let significant = digits.trim_start_matches('0');
        f.write_str(if significant.is_empty() { "0" } else { significant })
    }
}

impl std::fmt::Debug for Serial {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        std::fmt::Display::fmt(self, f)
    }
}

impl FromStr for Serial {
    type Err = InvalidSerial;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.is_empty() || text.len() > 40 || !text.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(InvalidSerial);
        }
        let mut bytes = [0; 20];
        hex::decode_to_slice(format!("{text:0>40}"), &mut bytes).map_err(|_| InvalidSerial)?;
        Ok(Self(bytes))
    }
}

impl TryFrom<String> for Serial {
    type Error = InvalidSerial;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<Serial> for String {
    fn from(serial: Serial) -> Self {
        serial.to_string()
    }
}
