//! The errors of signing, wrapping and unwrapping.

use std::time::Duration;

use chancery_x509::SignatureAlgorithm;

use crate::KeyName;

/// Why there is no signature.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SignError {
    /// No key has this name.
    #[error("there is no key called `{key}` here; generate or load it first")]
    UnknownKey {
        /// The name asked for.
        key: KeyName,
    },
    /// Several objects of a token answer to the name, and the wrong one must not sign.
    #[error(
        "the token holds several objects for the key `{key}` (same label or CKA_ID); \
         delete or rename all but one"
    )]
    Ambiguous {
        /// The name asked for.
        key: KeyName,
    },
    /// The key cannot make this kind of signature.
    #[error("the key `{key}` cannot sign with {algorithm:?}; ask for an algorithm of its type")]
    Unsupported {
        /// The name asked for.
        key: KeyName,
        /// The algorithm asked for.
        algorithm: SignatureAlgorithm,
    },
    /// The queue is full. Nothing was attempted; try again shortly.
    #[error("the signing queue is full ({waiting} waiting); try again shortly")]
    Busy {
        /// Operations that were waiting.
        waiting: usize,
    },
    /// The deadline passed before the token answered.
    #[error("no signature within {after:?}; the token is slow or hangs")]
    Timeout {
        /// How long was waited.
        after: Duration,
    },
    /// The token cannot be used at present.
    #[error("the token cannot be used: {reason}")]
    Unavailable {
        /// What it said.
        reason: String,
    },
    /// The signature does not verify against the key's public half: a faulty token or the wrong
    /// key. It was thrown away.
    #[error("the signature made with `{key}` does not verify against its public key")]
    Mismatch {
        /// The key that made it.
        key: KeyName,
    },
    /// The operation failed for a reason that lies with this key, not with the whole token.
    #[error("using the key `{key}` failed: {reason}")]
    Failed {
        /// The key.
        key: KeyName,
        /// What the library said.
        reason: String,
    },
}

impl SignError {
    /// A short word for metrics.
    pub(crate) fn outcome(&self) -> &'static str {
        match self {
            Self::UnknownKey { .. } => "unknown-key",
            Self::Ambiguous { .. } => "ambiguous",
            Self::Unsupported { .. } => "unsupported",
            Self::Busy { .. } => "busy",
            Self::Timeout { .. } => "timeout",
            Self::Unavailable { .. } => "unavailable",
            Self::Mismatch { .. } => "mismatch",
            Self::Failed { .. } => "failed",
        }
    }
}

/// Why something was not wrapped or unwrapped.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WrapError {
    /// There is no such key, or the token or its queue is the reason.
    #[error(transparent)]
    Key(#[from] SignError),
    /// The bytes are not what `wrap` made: cut off, or of an unknown format.
    #[error("the wrapped bytes are cut off or in an unknown format")]
    Malformed,
    /// The bytes do not open: changed, wrapped with another key, or for another purpose.
    #[error(
        "the wrapped bytes do not open with the key `{key}`: they were changed, or wrapped with \
         another key or for another purpose"
    )]
    Refused {
        /// The key that was tried.
        key: KeyName,
    },
}
