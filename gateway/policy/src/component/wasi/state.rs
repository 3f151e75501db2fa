//! What one evaluation did with WASI.

use wasmtime::Result;

/// Random bytes that a guest gets at once. They are the host's memory until it has them.
const RANDOM_BYTES: u64 = 64 * 1024;

/// Any seed does, as long as it is always the same one.
const SEED: u64 = 0x9e37_79b9_7f4a_7c15;

/// What one evaluation did with it.
#[derive(Debug)]
pub(crate) struct State {
    random: u64,
    pub(super) handles: usize,
}

impl State {
    pub(crate) fn new() -> Self {
        Self { random: SEED, handles: 0 }
    }

    /// Whether the guest holds something that is not in its memory, and that a copy of its memory would not
    /// have.
    pub(crate) fn holds_handles(&self) -> bool {
        self.handles > 0
    }

    /// The next number of the sequence that is known as SplitMix64.
    pub(super) fn random(&mut self) -> u64 {
        self.random = self.random.wrapping_add(SEED);
        let mixed = (self.random ^ (self.random >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub(super) fn random_bytes(&mut self, count: u64) -> Result<Vec<u8>> {
        if count > RANDOM_BYTES {
            return Err(Absent(format!("it wants {count} random bytes at once")).into());
        }
        let count = usize::try_from(count)?;
        let words = std::iter::repeat_with(|| self.random().to_le_bytes());
        Ok(words.flatten().take(count).collect())
    }
}

/// Something that WASI has elsewhere and not here.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Absent(pub(super) String);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn random_numbers_are_the_same_each_time_and_not_without_end() {
        let (mut one, mut two) = (State::new(), State::new());
        let bytes = one.random_bytes(13).unwrap();
        assert_eq!((bytes.len(), &bytes), (13, &two.random_bytes(13).unwrap()));
        assert_ne!(one.random(), one.random());
        assert_eq!(one.random_bytes(RANDOM_BYTES).unwrap().len(), 64 * 1024);
        assert!(one.random_bytes(RANDOM_BYTES + 1).is_err());
        assert!(one.random_bytes(u64::MAX).is_err());
    }
}
