//! Panics that say nothing.

/// While it lives, what panics says nothing: reading a damaged file makes the database do so, many times.
pub(super) struct Quiet;

impl Quiet {
    pub(super) fn begin() -> Self {
        std::panic::set_hook(Box::new(|_| {}));
        Self
    }
}

impl Drop for Quiet {
    fn drop(&mut self) {
        // That is the hook which was there before: this program has no other.
        drop(std::panic::take_hook());
    }
}
