//! The CRLs that any of several gateways has made, and that all of them publish.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use chancery_records::{Damage, Model, Stored, View};
use chancery_store::{Commit, CommitError, ReadError};

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
    /// In a store that was put back, others may have been published since with numbers below this one.
    least: u64,
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
        let make = move || Publishers { by_name: by_name.clone(), least };
        Ok(Self(View::open("CRLs", records.published_table(), GREATEST_AGE, make).await?))
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
        let commit = number.take(also.clone()).put(key, value);
        let committed = match records.commit(commit).await {
            Err(error @ CommitError::TooLarge { .. }) => {
                tracing::warn!(
                    crl = publisher.name(), %error,
                    "a CRL is too large to be kept for other gateways: each makes its own"
                );
                records.commit(number.take(also)).await
            }
            committed => committed,
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
        let crl = stored.value;
        if let Some(publisher) = self.by_name.get(id)
            && crl.number >= self.least
        {
            publisher.publish(crl);
        }
    }

    /// Nothing: they are replaced and never removed.
    fn remove(&mut self, _id: &str) {}

    /// Nothing: the one before it is served until there is another one.
    fn damaged(&mut self, _id: &str, _damage: Damage) {}
}
