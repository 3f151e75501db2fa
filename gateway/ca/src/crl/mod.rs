//! The CRLs of the issuing CA (complete, in shards, and what was added lately) and of the root.

mod issuing;
mod next;
mod publisher;
mod scope;

use std::time::Duration;

use chancery_store::Commit;
use chancery_x509::CrlScope;
use jiff::Timestamp;
use tokio::sync::Mutex;

use crate::authority::Authority;
use crate::record::{self, CrlRecord, Damaged, KeptCrl};
use crate::root::Root;
use crate::{Ca, CrlError};

pub(crate) use issuing::IssuingCrls;
pub(crate) use publisher::CrlPublisher;
pub(crate) use scope::{Scope, Shard};

pub(crate) use next::{Next, next_number};

use next::halfway_back;

/// The root's CRL is valid for a year (the CA/Browser Forum's limit for CRLs of CA certificates), as
/// its key is seldom at hand.
const ROOT_CRL_VALIDITY: Duration = Duration::from_hours(24 * 365);

/// The root's CRL.
pub(crate) struct RootCrl {
    pub(crate) publisher: CrlPublisher,
    making: Mutex<()>,
}

impl RootCrl {
    pub(crate) fn new(root: &str) -> Self {
        Self { publisher: CrlPublisher::new(root.to_owned()), making: Mutex::new(()) }
    }
}

impl Ca {
    /// Makes new CRLs where one is due: after a revocation whose CRL could not be made, when half of
    /// its validity has passed, and for the root when half a year has. Call it every minute or so;
    /// mostly it does nothing.
    ///
    /// # Errors
    /// See [`CrlError`]; the current CRLs stay published.
    #[tracing::instrument(name = "ca.refresh_crl", skip_all)]
    pub async fn refresh_crl(&self, now: Timestamp) -> Result<(), CrlError> {
        for issuing in self.all_issuing().filter(|issuing| issuing.signs) {
            self.publish_crls(issuing, now).await?;
        }
        for (root, crl) in self.roots.iter().filter_map(Root::own) {
            self.publish_root_crl(root, crl, now).await?;
        }
        Ok(())
    }

    /// Takes up the stored CRL of the root as long as it is good, since a new one needs its key.
    async fn publish_root_crl(
        &self,
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
        let records = &self.records;
        let place = records.crl_key(publisher.name())?;
        if let Some(found) = records.read(&place).await? {
            let stored: CrlRecord = record::decode(&found)?;
            if let Some(kept) = stored.kept {
                let renew_at = halfway_back(kept.next_update, ROOT_CRL_VALIDITY);
                let der = hex::decode(&kept.der).unwrap_or_default();
                // Since the store was put back, a later one may have been published.
                let made_at = kept.next_update.checked_sub(ROOT_CRL_VALIDITY);
                let made_at = made_at.map_or(i64::MIN, Timestamp::as_second);
                let restored = records.restored().await?;
                let is_last =
                    restored.is_none_or(|at| i64::try_from(at).is_ok_and(|at| made_at >= at));
                if renew_at > now && !der.is_empty() && is_last {
                    publisher.publish(der, renew_at, 0);
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
        let (number, version) = next_number(records, publisher.name()).await?;
        tracing::info!(number, "using the root's key to sign its CRL");
        let signer =
            self.keys.load_root(records, root).await.map_err(|e| CrlError::RootKey(Box::new(e)))?;
        let made = next.sign(number, signer.signer()).await?;
        drop(signer);
        let kept = KeptCrl { der: hex::encode(&made.der), next_update: made.next_update };
        let stored = CrlRecord { number, kept: Some(kept) };
        let commit = Commit::new()
            .check_version(place.clone(), version)
            .put(place, record::encode(&stored)?);
        records.commit(commit).await?;
        publisher.publish(made.der, made.renew_at, 0);
        Ok(())
    }
}

impl From<Damaged> for CrlError {
    fn from(damaged: Damaged) -> Self {
        Self::Record { record: damaged.record, reason: damaged.reason }
    }
}
