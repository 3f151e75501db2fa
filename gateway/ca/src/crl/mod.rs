//! The CRLs of the issuing CA (complete, in shards, and what was added lately) and of the root.

mod followed;
mod issuing;
mod issuing_crls;
mod next;
mod number;
mod publisher;
mod root_crl;
mod scope;

use std::time::Duration;

use chancery_records::Fence;
use chancery_store::Commit;
use chancery_x509::CrlScope;
use jiff::Timestamp;

use crate::authority::Authority;
use crate::record::{self, CrlRecord, Damaged, KeptCrl, PublishedCrl, Records};
use crate::root::Root;
use crate::{Ca, CrlError};

pub(crate) use followed::FollowedCrls;
pub(crate) use issuing_crls::IssuingCrls;
pub(crate) use publisher::CrlPublisher;
pub(crate) use root_crl::RootCrl;
pub(crate) use scope::{Scope, Shard};

pub(crate) use next::Next;
pub(crate) use number::Number;

use next::halfway_back;

/// The root's CRL is valid for a year (the CA/Browser Forum's limit for CRLs of CA certificates), as
/// its key is seldom at hand.
const ROOT_CRL_VALIDITY: Duration = Duration::from_hours(24 * 365);

impl Ca {
    /// Makes new CRLs where one is due: after a revocation whose CRL could not be made, when half of
    /// its validity has passed, and for the root when half a year has. Call it every minute or so,
    /// under a lease if several gateways have the CA; mostly it does nothing.
    ///
    /// # Errors
    /// See [`CrlError`]; the current CRLs stay published.
    #[tracing::instrument(name = "ca.refresh_crl", skip_all)]
    pub async fn refresh_crl(&self, now: Timestamp, fence: &Fence) -> Result<(), CrlError> {
        let records = self.records.under(fence);
        for issuing in self.all_issuing().filter(|issuing| issuing.signs) {
            self.publish_crls(&records, issuing, now, |_| true).await?;
        }
        for (root, crl) in self.roots.iter().filter_map(Root::own) {
            self.publish_root_crl(&records, root, crl, now).await?;
        }
        Ok(())
    }

    /// Makes new CRLs of those that are too large to be shared, where one is due: each of several gateways calls it
    /// every minute or so, without a lease. Mostly it does nothing.
    ///
    /// # Errors
    /// See [`CrlError`]; the current CRLs stay published.
    #[tracing::instrument(name = "ca.refresh_own_crls", skip_all)]
    pub async fn refresh_own_crls(&self, now: Timestamp) -> Result<(), CrlError> {
        for issuing in self.all_issuing().filter(|issuing| issuing.signs) {
            self.publish_crls(&self.records, issuing, now, CrlPublisher::is_own).await?;
        }
        Ok(())
    }

    /// Removes what several gateways keep for each other of CRLs that nobody makes any more: those of a CA that has
    /// ended. Call it under the lease of [`refresh_crl`](Self::refresh_crl).
    ///
    /// # Errors
    /// See [`CrlError`]; what is left is removed by a later call.
    pub async fn forget_former_crls(&self, now: Timestamp, fence: &Fence) -> Result<(), CrlError> {
        match &self.followed {
            Some(followed) => followed.forget_former(&self.records.under(fence), now).await,
            None => Ok(()),
        }
    }

    /// Takes up the stored CRL of the root as long as it is good, since a new one needs its key.
    async fn publish_root_crl(
        &self,
        records: &Records,
        root: &Authority,
        crl: &RootCrl,
        now: Timestamp,
    ) -> Result<(), CrlError> {
        let publisher = &crl.publisher;
        if !publisher.is_due(now) {
            return Ok(());
        }
        let _making = crl.making.lock().await;
        if !publisher.is_due(now) {
            return Ok(());
        }
        let place = records.crl_key(publisher.name())?;
        if let Some(found) = records.read(&place).await? {
            let CrlRecord { number, kept } = record::decode(&found)?;
            if let Some(kept) = kept {
                let renew_at = halfway_back(kept.next_update, ROOT_CRL_VALIDITY);
                let der = hex::decode(&kept.der).unwrap_or_default();
                // Since the store was put back, a later one may have been published.
                let made_at = kept.next_update.checked_sub(ROOT_CRL_VALIDITY);
                let made_at = made_at.map_or(i64::MIN, Timestamp::as_second);
                let restored = records.restored().await?;
                let is_last =
                    restored.is_none_or(|at| i64::try_from(at).is_ok_and(|at| made_at >= at));
                if renew_at > now && !der.is_empty() && is_last {
                    let der = der.into();
                    publisher.publish(PublishedCrl {
                        number,
                        renew_at,
                        der,
                        ..PublishedCrl::default()
                    });
                    return Ok(());
                }
            }
        }
        let next = Next {
            issuer: root,
            scope: CrlScope::Complete { delta_url: None },
            revoked: Vec::new(),
            validity: ROOT_CRL_VALIDITY,
            now,
        };
        let number = self.number(records, publisher).await?;
        tracing::info!(number = number.value, "using the root's key to sign its CRL");
        let signer =
            self.keys.load_root(records, root).await.map_err(|e| CrlError::RootKey(Box::new(e)))?;
        let made = next.sign(number.value, signer.signer()).await?;
        drop(signer);
        let kept = KeptCrl { der: hex::encode(&made.der), next_update: made.next_update };
        let stored = CrlRecord { number: number.value, kept: Some(kept) };
        let commit = Commit::new().put(place, record::encode(&stored)?);
        let crl = made.published(number.value, 0);
        self.publish(records, publisher, crl, number, commit).await.map(drop)
    }

    /// The next number of what this counts.
    async fn number(&self, records: &Records, counted: &CrlPublisher) -> Result<Number, CrlError> {
        match &self.followed {
            // Nobody sees the CRL before the commit that takes its number.
            Some(_) => Number::next(records, counted.name()).await,
            None => Number::taken(records, counted.name()).await,
        }
    }

    /// Publishes a CRL with this number, and keeps it for other gateways if there may be some; `also` goes into the
    /// same commit. Returns the number as it was taken; none if another gateway was quicker.
    async fn publish(
        &self,
        records: &Records,
        publisher: &CrlPublisher,
        crl: PublishedCrl,
        number: Number,
        also: Commit,
    ) -> Result<Option<Number>, CrlError> {
        if let Some(followed) = &self.followed {
            return followed.publish(records, publisher, crl, number, also).await;
        }
        if !also.writes().is_empty() {
            records.commit(number.take(also)).await?;
        }
        publisher.publish(crl);
        Ok(Some(number))
    }
}

impl From<Damaged> for CrlError {
    fn from(damaged: Damaged) -> Self {
        Self::Record { record: damaged.record, reason: damaged.reason }
    }
}
