//! How often a key has sealed, counted so that it outlasts a crash.
//!
//! A key may seal 2^32 records under random nonces (NIST SP 800-38D §8.3). To write down each use would cost a write
//! for each write, so uses are put on record in advance, many at once: what was on record and not used when a process
//! ended counts as used.

use std::sync::atomic::{AtomicU64, Ordering};

use serde::{Deserialize, Serialize};

/// How often a key may seal, and how many uses are put on record at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct UseLimits {
    pub(crate) most: u64,
    pub(crate) step: u64,
}

impl UseLimits {
    /// For AES-256-GCM with random nonces.
    pub(crate) const AES_GCM: Self = Self { most: 1 << 32, step: 1 << 20 };
}

/// What is on record of a key's use, sealed with the root key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Usage {
    /// How many uses are on record.
    pub(crate) reserved: u64,
    /// Since when it is in use, in seconds since 1970; nobody has looked at a clock yet if there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) since: Option<u64>,
}

/// Uses that are on record and not made yet.
#[derive(Debug, Default)]
pub(crate) struct Reserve(AtomicU64);

impl Reserve {
    /// Takes one; whether there was any.
    pub(crate) fn take(&self) -> bool {
        let taken =
            self.0.fetch_update(Ordering::AcqRel, Ordering::Acquire, |left| left.checked_sub(1));
        taken.is_ok()
    }

    pub(crate) fn add(&self, uses: u64) {
        self.0.fetch_add(uses, Ordering::AcqRel);
    }

    /// Takes over what another has left.
    pub(crate) fn take_over(&self, other: &Self) {
        self.add(other.0.swap(0, Ordering::AcqRel));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_use_is_made_twice() {
        let reserve = Reserve::default();
        assert!(!reserve.take());
        reserve.add(1000);
        let taken = std::thread::scope(|scope| {
            let all: Vec<_> = (0..8)
                .map(|_| scope.spawn(|| (0..500).filter(|_| reserve.take()).count()))
                .collect();
            all.into_iter().map(|one| one.join().unwrap()).sum::<usize>()
        });
        assert_eq!(taken, 1000);
        let next = Reserve::default();
        reserve.add(3);
        next.take_over(&reserve);
        assert!(!reserve.take() && next.take());
    }
}
