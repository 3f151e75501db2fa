//! Orders whose certificate cannot be made at the moment, since an HSM or another CA is away: they stay in
//! `processing` and are tried again until they expire. In between, nothing of them is in memory: when to try again
//! stands in the order's record and in a queue by time, from where a gateway takes them up ([`Acme::take_up`]).

use std::time::Duration;

use chancery_identity::RequestContext;
use chancery_store::{Commit, CommitError, Version};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::state::{In, Processing};
use crate::Acme;
use crate::error::Error;
use crate::records;

/// How long to wait after the first try; twice as long after each further one, up to the longest.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_mins(5);

/// That an order was tried and put off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct PutOff {
    /// When it is tried again.
    pub until: Timestamp,
    /// How often it was tried.
    pub tries: u32,
}

impl PutOff {
    /// After one more try at `now`, of an order that ends at `expires`; none if that is over.
    fn after(before: Option<Self>, now: Timestamp, expires: Timestamp) -> Option<Self> {
        let tried = before.map_or(0, |before| before.tries);
        let pause = FIRST_PAUSE.saturating_mul(2_u32.saturating_pow(tried)).min(LONGEST_PAUSE);
        (now < expires)
            .then(|| Self { until: expires.min(now + pause), tries: tried.saturating_add(1) })
    }

    /// How long after `now` it is tried again.
    pub fn left(&self, now: Timestamp) -> Duration {
        Duration::try_from(self.until.duration_since(now)).unwrap_or_default()
    }
}

impl Acme {
    /// Puts the order off, whose try has failed. False if its time is over.
    pub(super) async fn put_off(
        &self,
        context: &RequestContext,
        mut order: In<Processing>,
        mut version: Version,
    ) -> Result<bool, Error> {
        let id = order.facts().id;
        let key = records::order(&context.tenant, id)?;
        let (now, expires) = (self.clock.now(), order.facts().expires);
        let Some(next) = PutOff::after(order.put_off(), now, expires) else { return Ok(false) };
        let queue = self.issuances(&context.tenant);
        loop {
            let before = queue.key(order.due(), &id.to_string())?;
            let commit = Commit::new()
                .check_version(key.clone(), version)
                .put(key.clone(), records::encode(&super::Order::Processing(order.later(next)))?)
                .delete(before);
            let commit = queue.add(commit, next.until, &id.to_string())?;
            match self.store.commit(commit).await {
                Ok(_) => return Ok(true),
                // One of its authorizations changed meanwhile.
                Err(CommitError::Conflict { .. }) => match self.processing(&key).await? {
                    Some(found) => (order, version) = found,
                    None => return Ok(true),
                },
                Err(error) => return Err(error.into()),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_five_minutes_and_end_with_the_order() {
        let expires = Timestamp::UNIX_EPOCH + Duration::from_hours(12);
        let (mut now, mut last) = (Timestamp::UNIX_EPOCH, None);
        let mut pauses = Vec::new();
        while let Some(next) = PutOff::after(last, now, expires) {
            pauses.push(next.left(now).as_secs());
            (now, last) = (next.until, Some(next));
        }
        assert_eq!(pauses[..10], [1, 2, 4, 8, 16, 32, 64, 128, 256, 300]);
        assert!(pauses.iter().all(|pause| *pause <= 300));
        assert_eq!((now, pauses.iter().sum()), (expires, 12 * 3600));
        assert_eq!(last.map(|last| last.tries), u32::try_from(pauses.len()).ok());
        let often = PutOff { until: now, tries: u32::MAX };
        assert!(PutOff::after(Some(often), Timestamp::UNIX_EPOCH, expires).is_some());
    }
}
