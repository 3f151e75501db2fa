//! Anti-replay nonces (RFC 8555 §6.5) that cost no storage write.
//!
//! A nonce is a sequence number with a MAC. A window of one bit per number records which numbers
//! were used, so memory is fixed and a nonce that is older than the window is refused. The MAC key
//! lives as long as the process: after a restart every earlier nonce, used or not, is a `badNonce`,
//! so single use holds across restarts without writing anything. Clients answer a `badNonce` by
//! trying again with the fresh nonce that comes with it.

use std::sync::atomic::{AtomicU64, Ordering};

use aws_lc_rs::{hmac, rand};

use crate::jws::base64url;

/// How many nonces are outstanding at most in [`Nonces::new`]; 128 KiB of memory.
pub const WINDOW: usize = 1 << 20;

const NUMBER: usize = 8;
const TAG: usize = 16;

/// Issues nonces and accepts each one at most once.
#[derive(Debug)]
pub struct Nonces {
    key: hmac::Key,
    /// The number of the next nonce.
    next: AtomicU64,
    /// Bit `n % capacity` says whether nonce `n` was used, for the last `capacity` numbers.
    used: Box<[AtomicU64]>,
}

/// Why a nonce is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadNonce {
    /// This process did not issue it, it was used before, or it is too old.
    #[error(
        "the nonce was not issued here, was used before or is too old: use the one in this answer"
    )]
    Unknown,
    /// It is not base64url (RFC 8555 §6.5.2), so no gateway issued it.
    #[error(
        "the nonce is not base64url (RFC 8555 §6.5.2): use the one in this answer, as it stands"
    )]
    Malformed,
}

/// The operating system gives no random numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the operating system gives no random numbers")]
pub struct NoRandomness;

impl Nonces {
    /// A new key and an empty window of [`WINDOW`] nonces.
    ///
    /// # Errors
    /// [`NoRandomness`].
    pub fn new() -> Result<Self, NoRandomness> {
        Self::with_window(WINDOW)
    }

    /// As [`new`](Self::new) with a window of `window` nonces, rounded up to a multiple of 64.
    ///
    /// # Errors
    /// [`NoRandomness`].
    pub fn with_window(window: usize) -> Result<Self, NoRandomness> {
        let mut key = [0; 32];
        rand::fill(&mut key).map_err(|_| NoRandomness)?;
        let words = window.div_ceil(64).max(1);
        Ok(Self {
            key: hmac::Key::new(hmac::HMAC_SHA256, &key),
            next: AtomicU64::new(0),
            used: std::iter::repeat_with(|| AtomicU64::new(0)).take(words).collect(),
        })
    }

    /// A fresh nonce: 32 characters of base64url.
    pub fn issue(&self) -> String {
        let number = self.next.fetch_add(1, Ordering::AcqRel);
        if let Some((word, bit)) = self.place(number) {
            word.fetch_and(!bit, Ordering::AcqRel);
        }
        let mut nonce = [0; NUMBER + TAG];
        let (front, back) = nonce.split_at_mut(NUMBER);
        front.copy_from_slice(&number.to_be_bytes());
        for (to, from) in back.iter_mut().zip(hmac::sign(&self.key, front).as_ref()) {
            *to = *from;
        }
        base64url::encode(nonce)
    }

    /// Accepts a nonce. Of any number of calls with one nonce, at most one succeeds.
    ///
    /// # Errors
    /// [`BadNonce`].
    pub fn redeem(&self, nonce: &str) -> Result<(), BadNonce> {
        let bytes = base64url::decode(nonce).map_err(|_| BadNonce::Malformed)?;
        let (front, tag) = bytes.split_first_chunk::<NUMBER>().ok_or(BadNonce::Unknown)?;
        let expected = hmac::sign(&self.key, front);
        let expected = expected.as_ref().get(..TAG).ok_or(BadNonce::Unknown)?;
        aws_lc_rs::constant_time::verify_slices_are_equal(expected, tag)
            .map_err(|_| BadNonce::Unknown)?;

        let number = u64::from_be_bytes(*front);
        if self.is_too_old(number) {
            return Err(BadNonce::Unknown);
        }
        let (word, bit) = self.place(number).ok_or(BadNonce::Unknown)?;
        let before = word.fetch_or(bit, Ordering::AcqRel);
        // Check again: the bit may have been cleared for a newer number since. A thread that sees it
        // cleared also sees the counter that was increased before.
        if before & bit != 0 || self.is_too_old(number) { Err(BadNonce::Unknown) } else { Ok(()) }
    }

    fn is_too_old(&self, number: u64) -> bool {
        let window = self.used.len() as u64 * 64;
        self.next.load(Ordering::Acquire).saturating_sub(number) > window
    }

    fn place(&self, number: u64) -> Option<(&AtomicU64, u64)> {
        let words = self.used.len() as u64;
        let word = usize::try_from((number / 64) % words).ok()?;
        Some((self.used.get(word)?, 1 << (number % 64)))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::sync::Barrier;
    use std::thread;

    use super::*;

    #[test]
    fn each_nonce_is_good_once() {
        let nonces = Nonces::with_window(256).unwrap();
        let issued: Vec<_> = (0..256).map(|_| nonces.issue()).collect();
        assert_eq!(issued.iter().collect::<HashSet<_>>().len(), issued.len());
        for nonce in &issued {
            assert_eq!(nonces.redeem(nonce), Ok(()));
            assert_eq!(nonces.redeem(nonce), Err(BadNonce::Unknown));
        }
    }

    #[test]
    fn what_was_not_issued_here_is_refused() {
        let (ours, theirs) = (Nonces::new().unwrap(), Nonces::new().unwrap());
        let foreign = theirs.issue();
        let mut bent = base64url::decode(ours.issue()).unwrap();
        bent[NUMBER - 1] ^= 1;
        for bad in ["", "AA", &foreign, &base64url::encode(bent), &"A".repeat(10_000)] {
            assert_eq!(ours.redeem(bad), Err(BadNonce::Unknown), "{bad}");
        }
        for malformed in ["x", "====", "+/==", "a b", "\u{e4}", "AB"] {
            assert_eq!(ours.redeem(malformed), Err(BadNonce::Malformed), "{malformed}");
        }
    }

    #[test]
    fn a_nonce_from_before_a_restart_is_refused() {
        let before = Nonces::new().unwrap();
        let (used, unused) = (before.issue(), before.issue());
        before.redeem(&used).unwrap();
        let after = Nonces::new().unwrap();
        (0..2).for_each(|_| drop(after.issue()));
        assert_eq!(after.redeem(&used), Err(BadNonce::Unknown));
        assert_eq!(after.redeem(&unused), Err(BadNonce::Unknown));
    }

    #[test]
    fn the_window_forgets_the_oldest_and_never_revives_it() {
        let nonces = Nonces::with_window(64).unwrap();
        let (used, unused) = (nonces.issue(), nonces.issue());
        nonces.redeem(&used).unwrap();
        let last: Vec<_> = (0..64).map(|_| nonces.issue()).collect();
        assert_eq!(nonces.redeem(&used), Err(BadNonce::Unknown));
        assert_eq!(nonces.redeem(&unused), Err(BadNonce::Unknown));
        for nonce in &last {
            assert_eq!(nonces.redeem(nonce), Ok(()), "the newest 64 are all good");
        }
    }

    #[test]
    fn of_many_redeemers_one_wins() {
        let nonces = Nonces::with_window(128).unwrap();
        for _ in 0..200 {
            let nonce = nonces.issue();
            let start = Barrier::new(4);
            let wins: usize = thread::scope(|scope| {
                let threads: Vec<_> = (0..4)
                    .map(|_| {
                        scope.spawn(|| {
                            start.wait();
                            usize::from(nonces.redeem(&nonce).is_ok())
                        })
                    })
                    .collect();
                threads.into_iter().map(|thread| thread.join().unwrap()).sum()
            });
            assert_eq!(wins, 1);
        }
    }
}
