//! How many tokens one identity may have at once: each token is a record, and a client that may log in can log
//! in again and again.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use chancery_identity::Identity;

use crate::token::OfIdentity;
use crate::{Access, AccessError};

/// Logins that are under way, by identity. Tokens are counted in the store; these are not in it yet.
#[derive(Debug, Default)]
pub(crate) struct Logins(Mutex<HashMap<OfIdentity, usize>>);

/// A login that is under way, until it is dropped.
#[derive(Debug)]
pub(crate) struct Login<'a> {
    logins: &'a Logins,
    of: OfIdentity,
    /// How many others were under way when it began.
    before: usize,
}

impl Access {
    /// Makes room for one more token of the identity. Keep what it returns until the token is stored.
    ///
    /// Counts every login that began earlier, whether its token is in the store by now or not. So simultaneous
    /// logins do not exceed the limit together. Logins at other gateways on the same store may exceed it, by
    /// one token for each login that is under way.
    ///
    /// # Errors
    /// [`AccessError::TooManyTokens`].
    pub(crate) async fn room_for_token(
        &self,
        identity: &Identity,
    ) -> Result<Login<'_>, AccessError> {
        let of = OfIdentity::new(&identity.tenant, &identity.to_string());
        let login = self.logins.begin(of);
        if let Some(most) = self.limits.per_identity {
            let live = self.count_live(&login.of, most).await?;
            if live.saturating_add(login.before) >= most {
                metrics::counter!("chancery_access_logins_over_quota_total").increment(1);
                return Err(AccessError::TooManyTokens { most });
            }
        }
        Ok(login)
    }

    /// How many tokens the identity has that have not ended, up to `most`. A restore has ended those from before.
    async fn count_live(&self, of: &OfIdentity, most: usize) -> Result<usize, AccessError> {
        let (now, mut live, mut last) = (self.clock.now(), 0_usize, None);
        while live < most {
            let page = of.live(&*self.store, now, last.as_ref(), most).await?;
            live += page.iter().filter(|one| !self.is_from_before_restore(one.issued())).count();
            last = page.into_iter().next_back();
            if last.is_none() {
                break;
            }
        }
        Ok(live.min(most))
    }
}

impl Logins {
    fn begin(&self, of: OfIdentity) -> Login<'_> {
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
