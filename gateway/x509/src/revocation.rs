//! The reasons for a revocation (RFC 5280 §5.3.1), by name and by code.

use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Why a certificate is revoked (RFC 5280 §5.3.1). `removeFromCRL` (8) is not among them: it is an
/// instruction in delta CRLs, not a reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RevocationReason {
    /// No reason given (0).
    #[default]
    Unspecified,
    /// The certificate's private key is known or suspected to be in other hands (1).
    KeyCompromise,
    /// The CA's private key is known or suspected to be in other hands (2).
    CaCompromise,
    /// The subject's name or affiliation changed (3).
    AffiliationChanged,
    /// Replaced by another certificate (4).
    Superseded,
    /// No longer needed (5).
    CessationOfOperation,
    /// On hold (6).
    CertificateHold,
    /// A privilege that the certificate states was withdrawn (9).
    PrivilegeWithdrawn,
    /// The attribute authority is compromised (10).
    AaCompromise,
}

/// The number is not a reason code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0} is not a revocation reason code: RFC 5280 §5.3.1 has 0 to 6, 9 and 10")]
pub struct UnknownReason(pub u64);

/// The text is not a reason.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is not a revocation reason: use unspecified, keyCompromise, affiliationChanged, superseded, \
     cessationOfOperation or privilegeWithdrawn"
)]
pub struct InvalidReason(String);

impl FromStr for RevocationReason {
    type Err = InvalidReason;

    /// A name as RFC 5280 §5.3.1 has it, in whatever case and with or without hyphens, or a code.
    fn from_str(text: &str) -> Result<Self, InvalidReason> {
        let refused =
            || InvalidReason(text.chars().take(40).flat_map(char::escape_debug).collect());
        if let Ok(code) = text.parse() {
            return Self::from_code(code).map_err(|_| refused());
        }
        let plain: String = text
            .chars()
            .filter(|c| !matches!(c, '-' | '_'))
            .map(|c| c.to_ascii_lowercase())
            .collect();
        Ok(match plain.as_str() {
            "unspecified" => Self::Unspecified,
            "keycompromise" => Self::KeyCompromise,
            "cacompromise" => Self::CaCompromise,
            "affiliationchanged" => Self::AffiliationChanged,
            "superseded" => Self::Superseded,
            "cessationofoperation" => Self::CessationOfOperation,
            "certificatehold" => Self::CertificateHold,
            "privilegewithdrawn" => Self::PrivilegeWithdrawn,
            "aacompromise" => Self::AaCompromise,
            _ => return Err(refused()),
        })
    }
}

impl RevocationReason {
    /// The reason with this code.
    ///
    /// # Errors
    /// There is none, or it is `removeFromCRL`.
    pub fn from_code(code: u64) -> Result<Self, UnknownReason> {
        Ok(match code {
            0 => Self::Unspecified,
            1 => Self::KeyCompromise,
            2 => Self::CaCompromise,
            3 => Self::AffiliationChanged,
            4 => Self::Superseded,
            5 => Self::CessationOfOperation,
            6 => Self::CertificateHold,
            9 => Self::PrivilegeWithdrawn,
            10 => Self::AaCompromise,
            other => return Err(UnknownReason(other)),
        })
    }

    /// The reason's code.
    pub fn code(self) -> u8 {
        match self {
            Self::Unspecified => 0,
            Self::KeyCompromise => 1,
            Self::CaCompromise => 2,
            Self::AffiliationChanged => 3,
            Self::Superseded => 4,
            Self::CessationOfOperation => 5,
            Self::CertificateHold => 6,
            Self::PrivilegeWithdrawn => 9,
            Self::AaCompromise => 10,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_in_any_spelling() {
        for text in ["keyCompromise", "key-compromise", "KEY_COMPROMISE", "1"] {
            assert_eq!(text.parse(), Ok(RevocationReason::KeyCompromise), "{text}");
        }
        for bad in ["", "7", "removeFromCRL", "-1", "keyCompromised"] {
            assert!(bad.parse::<RevocationReason>().is_err(), "{bad}");
        }
    }

    #[test]
    fn codes_go_both_ways_and_others_are_refused() {
        for code in 0..=255 {
            match RevocationReason::from_code(code) {
                Ok(reason) => assert_eq!(u64::from(reason.code()), code),
                Err(UnknownReason(refused)) => {
                    assert_eq!(refused, code);
                    assert!(code == 7 || code == 8 || code > 10, "{code}");
                }
            }
        }
    }
}
