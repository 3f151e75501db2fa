//! Serial numbers of certificates (RFC 5280 §4.1.2.2).

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

#[cfg(test)]
mod tests {
    use aws_lc_rs::rand::SystemRandom;
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn random_ones_use_159_bits() {
        // Each of the 159 bits is set in one of 200 numbers, but for once in 2^192 runs.
        let mut seen = [0_u8; 20];
        for _ in 0..200 {
            let serial = Serial::random(&SystemRandom::new()).unwrap();
            seen.iter_mut().zip(serial.as_bytes()).for_each(|(all, byte)| *all |= byte);
        }
        assert_eq!(seen[0], 0x7f);
        assert!(seen[1..].iter().all(|&byte| byte == 0xff));
    }

    #[test]
    fn text_has_no_leading_zeros() {
        let of = |bytes: &[u8]| Serial::from_be_bytes(bytes).unwrap().to_string();
        assert_eq!(of(&[]), "0");
        assert_eq!(of(&[0, 0]), "0");
        assert_eq!(of(&[0, 0x0a, 0xbc]), "abc");
        assert_eq!("000ABC".parse::<Serial>().unwrap().to_string(), "abc");
    }

    #[test]
    fn refuses_what_is_no_serial_number() {
        let long = "1".repeat(41);
        for bad in ["", "-1", "+1", "0x1", "g", " 1", "é", &long] {
            assert_eq!(bad.parse::<Serial>(), Err(InvalidSerial), "{bad}");
        }
        assert_eq!(Serial::from_be_bytes(&[1; 21]), Err(InvalidSerial));
        assert!(Serial::from_be_bytes(&[&[0; 5][..], &[0xff; 20]].concat()).is_ok());
    }

    proptest! {
        #[test]
        fn text_and_bytes_go_both_ways(bytes in proptest::array::uniform20(any::<u8>())) {
            let serial = Serial::from_be_bytes(&bytes).unwrap();
            prop_assert_eq!(serial.as_bytes(), &bytes);
            prop_assert_eq!(serial.to_string().parse::<Serial>().unwrap(), serial);
            let json = serde_json::to_string(&serial).unwrap();
            prop_assert_eq!(serde_json::from_str::<Serial>(&json).unwrap(), serial);
        }

        #[test]
        fn text_of_any_kind_never_panics(text in ".{0,60}") {
            let _ = text.parse::<Serial>();
        }
    }
}
