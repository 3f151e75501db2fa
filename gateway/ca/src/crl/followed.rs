//! The CRLs that any of several gateways has made, and that all of them publish.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use chancery_records::{Damage, Model, Stored, View};
use chancery_store::{Check, Commit, CommitError, Key, ReadError, Version};
use jiff::Timestamp;

use super::{CrlPublisher, Number};
use crate::CrlError;
use crate::record::{PublishedCrl, Records};

/// The greatest age of what is known of other gateways' CRLs. Nothing is refused beyond it: CRLs say themselves how
/// long they count.
const GREATEST_AGE: Duration = Duration::from_secs(30);

/// Follows what gateways have published.
pub(crate) struct FollowedCrls(View<PublishedCrl, Publishers>);

/// Where what others have made goes.
struct Publishers {
    by_name: BTreeMap<String, Arc<CrlPublisher>>,
    /// What was made of CRLs that this gateway does not have.
    former: BTreeMap<String, Former>,
    /// In a store that was put back, others may have been published since with numbers below this one.
    least: u64,
}

/// The record of a CRL that this gateway does not have: of a CA that has ended, or that another gateway has already.
#[derive(Clone)]
struct Former {
    key: Key,
    version: Version,
    renew_at: Timestamp,
}

impl FollowedCrls {
    /// Reads what there is, and has it published.
    pub(crate) async fn open(
        records: &Records,
        publishers: impl IntoIterator<Item = Arc<CrlPublisher>>,
    ) -> Result<Self, ReadError> {
        let by_name = publishers.into_iter().map(|one| (one.name().to_owned(), one));
        let by_name: BTreeMap<_, _> = by_name.collect();
        let least = records.restored().await?.unwrap_or(0);
        let make = move || Publishers { by_name: by_name.clone(), former: BTreeMap::new(), least };
        Ok(Self(View::open("CRLs", records.published_table(), GREATEST_AGE, make).await?))
    }

    /// Removes the records of CRLs that nobody has: none was made when its time had come. One that another gateway has
    /// already, and this one will have after its next start, is renewed in time or made anew then.
    pub(crate) async fn forget_former(
        &self,
        records: &Records,
        now: Timestamp,
    ) -> Result<(), CrlError> {
        let former = self.0.known()?.former.clone();
        for (name, Former { key, version, .. }) in
            former.into_iter().filter(|(_, former)| former.renew_at <= now)
        {
            let check = Check { key: key.clone(), expected: Some(version) };
            match records.commit(Commit::new().check(check).delete(key)).await {
                Ok(_) => tracing::info!(crl = name, "removed a CRL that is not made any more"),
                // Another gateway has just made it.
                Err(CommitError::Conflict { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// Keeps a CRL for the others, in the commit that takes its number, and publishes it. Returns the number as it was
    /// taken. None if another gateway took one: what that has made is published as far as it is there.
    pub(crate) async fn publish(
        &self,
        records: &Records,
        publisher: &CrlPublisher,
        crl: PublishedCrl,
        number: Number,
        also: Commit,
    ) -> Result<Option<Number>, CrlError> {
        let key = self.0.table().key(publisher.name()).map_err(CommitError::from)?;
        let value = chancery_records::encode(&key, &crl)?;
        let commit = number.take(also.clone()).put(key.clone(), value);
        let committed = match records.commit(commit).await {
            Err(error @ CommitError::TooLarge { .. }) => {
                if !publisher.set_own(true) {
                    tracing::warn!(
                        crl = publisher.name(), %error,
                        "a CRL is too large to be kept for other gateways: each makes its own"
                    );
                }
                // Without the CRL it tells the others to make theirs.
                let head = PublishedCrl { der: Bytes::new(), ..crl.clone() };
                let head = chancery_records::encode(&key, &head)?;
                records.commit(number.take(also).put(key, head)).await
            }
            committed => {
                if committed.is_ok() {
                    publisher.set_own(false);
                }
                committed
            }
        };
        match committed {
            Ok(version) => {
                publisher.publish(crl);
                Ok(Some(number.taken_by(version)))
            }
            Err(CommitError::Conflict { .. }) => {
                self.0.catch_up().await?;
                Ok(None)
            }
            Err(error) => Err(error.into()),
        }
    }
}

impl Model<PublishedCrl> for Publishers {
    fn put(&mut self, id: &str, stored: Stored<PublishedCrl>) {
        let Stored { key, value: crl, version } = stored;
        let Some(publisher) = self.by_name.get(id) else {
            self.former.insert(id.to_owned(), Former { key, version, renew_at: crl.renew_at });
            return;
        };
        let is_too_large = crl.der.is_empty();
        publisher.set_own(is_too_large);
        if !is_too_large && crl.number >= self.least {
            publisher.publish(crl);
        }
    }

    /// Of those that are made none is removed.
    fn remove(&mut self, id: &str) {
        self.former.remove(id);
    }

    /// Nothing: the one before it is served until there is another one.
    fn damaged(&mut self, _id: &str, _damage: Damage) {}
}
