//! What a batch costs. One request may keep one processor busy for about a second, so that a batch of cheap
//! operations may be long and one of expensive ones not; what costs more than half a millisecond does not
//! run on the async threads.

use std::fmt;

use chancery_keys::KeyType;

use super::{Protection, TransitError, TransitKey, TransitKeyType};

/// What one request may cost, in microseconds of one processor: a second.
const MOST: u64 = 1_000_000;
/// What may be done on an async thread at once, in microseconds.
const INLINE: u64 = 500;
/// Hashing and encrypting: a microsecond for so many bytes, with the slowest of the hashes.
const BYTES_PER_MICROSECOND: u64 = 400;

/// What is done with a key, as far as it makes a difference in cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Work {
    /// With the private half: signing, decrypting with RSA.
    Private,
    /// With the public half: verifying, encrypting with RSA.
    Public,
    /// With the public half, where the length of a salt is to be found: verifying with RSA-PSS.
    Unsalting,
    /// With a secret: AES and HMAC.
    Symmetric,
}

/// Microseconds of one processor, roughly.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(super) struct Cost(u64);

impl Cost {
    /// What it costs to do `work` with `key` on a text of so many bytes. Figures of a current server; what
    /// counts is how they compare.
    pub(super) fn of(key: &TransitKey, work: Work, bytes: usize) -> Self {
        let bytes = bytes as u64 / BYTES_PER_MICROSECOND;
        // An HSM does it with its own processor, and has a bounded queue.
        if !matches!(work, Work::Public | Work::Unsalting) && key.protection == Protection::Hsm {
            return Self(1 + bytes);
        }
        Self(operation(key.key_type, work) + bytes)
    }

    /// What it costs to take something of so many bytes apart, which takes about ten passes over it.
    pub(super) fn of_bytes(bytes: usize) -> Self {
        Self(bytes as u64 * 10 / BYTES_PER_MICROSECOND)
    }

    /// Of several.
    ///
    /// # Errors
    /// [`TransitError::Refused`] if they cost more than one request may.
    pub(super) fn of_batch(costs: impl IntoIterator<Item = Self>) -> Result<Self, TransitError> {
        let (mut count, mut sum) = (0_usize, 0_u64);
        for Self(cost) in costs {
            (count, sum) = (count + 1, sum.saturating_add(cost));
        }
        // However long a single text is, its length is bounded elsewhere.
        if sum > MOST && count > 1 {
            let fit = (u64::try_from(count).unwrap_or(u64::MAX).saturating_mul(MOST) / sum).max(1);
            return Err(TransitError::Refused(
                format!(
                    "these {count} inputs would keep a processor busy for too long: send at most {fit} of this \
                     kind and size in one request"
                )
                .into(),
            ));
        }
        Ok(Self(sum))
    }

    /// Whether it takes too long for an async thread.
    pub(super) fn is_long(self) -> bool {
        self.0 > INLINE
    }
}

impl std::ops::AddAssign for Cost {
    fn add_assign(&mut self, other: Self) {
        self.0 = self.0.saturating_add(other.0);
    }
}

impl fmt::Display for Cost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} µs", self.0)
    }
}

fn operation(key_type: TransitKeyType, work: Work) -> u64 {
    let TransitKeyType::Pair(pair) = key_type else { return 2 };
    let (private, public) = match pair {
        KeyType::EcdsaP256 | KeyType::Ed25519 => (25, 60),
        KeyType::EcdsaP384 => (150, 200),
        KeyType::EcdsaP521 => (300, 300),
        KeyType::Rsa2048 => (700, 30),
        KeyType::Rsa3072 => (2_000, 60),
        KeyType::Rsa4096 => (4_500, 100),
        KeyType::MlDsa44 => (250, 60),
        KeyType::MlDsa65 => (400, 100),
        KeyType::MlDsa87 => (500, 150),
    };
    match work {
        Work::Private => private,
        Work::Unsalting => 10 * public,
        Work::Public => public,
        Work::Symmetric => 2,
    }
}
