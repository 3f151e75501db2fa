//! The logins that are under way.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::token::OfIdentity;

/// Logins that are under way, by identity. Tokens are counted in the store; these are not in it yet.
#[derive(Debug, Default)]
pub(crate) struct Logins(Mutex<HashMap<OfIdentity, usize>>);

/// A login that is under way, until it is dropped.
#[derive(Debug)]
pub(crate) struct Login<'a> {
    logins: &'a Logins,
    pub(crate) of: OfIdentity,
    /// How many others were under way when it began.
    pub(crate) before: usize,
}

impl Logins {
    pub(crate) fn begin(&self, of: OfIdentity) -> Login<'_> {
        let mut under_way = self.lock();
        let count = under_way.entry(of.clone()).or_default();
        let before = *count;
        *count = count.saturating_add(1);
        Login { logins: self, of, before }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<OfIdentity, usize>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Login<'_> {
    fn drop(&mut self) {
        let mut under_way = self.logins.lock();
        let left = under_way.get(&self.of).map_or(0, |count| count.saturating_sub(1));
        if left == 0 {
            under_way.remove(&self.of);
        } else {
            under_way.insert(self.of.clone(), left);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logins_under_way_are_counted_until_they_end() {
        let logins = Logins::default();
        let of = |name: &str| OfIdentity::new(&"a".parse().unwrap(), name);
        let (first, other) = (logins.begin(of("x")), logins.begin(of("y")));
        let second = logins.begin(of("x"));
        assert_eq!((first.before, second.before, other.before), (0, 1, 0));
        drop(first);
        assert_eq!(logins.begin(of("x")).before, 1);
        drop((second, other));
        assert!(logins.lock().is_empty());
    }
}
