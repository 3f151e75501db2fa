//! Orders whose certificate cannot be made at the moment, since an HSM or another CA is away: they stay in
//! `processing` and are tried again until they expire. In between, nothing of them is in memory: when to try again
//! stands in the order's record and in a queue by time, from where a gateway takes them up ([`Acme::take_up`]).

use chancery_identity::RequestContext;
use chancery_store::{Commit, CommitError, Version};

use super::put_off::PutOff;
use super::state::{In, Processing};
use crate::Acme;
use crate::error::Error;
use crate::records;

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
