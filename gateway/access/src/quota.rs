//! How many tokens one identity may have at once: each token is a record, and a client that may log in can log
//! in again and again.

use chancery_identity::Identity;

use crate::logins::Login;
use crate::token::OfIdentity;
use crate::{Access, AccessError};

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
