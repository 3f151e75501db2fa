use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use bytes::Bytes;
use chancery_keys::Signer;
use chancery_store::{Commit, CommitError, Version};
use chancery_x509::{CrlTemplate, RevokedEntry, lint};
use jiff::Timestamp;
use tokio::sync::Mutex;

use crate::authority::Authority;
use crate::record::{self, CrlRecord, Damaged, KeptCrl, Records};
use crate::{Ca, CrlError};

/// The root's CRL is valid for a year (the CA/Browser Forum's limit for CRLs of CA certificates), as
/// its key is seldom at hand.
const ROOT_CRL_VALIDITY: Duration = Duration::from_hours(24 * 365);

/// The CRL of one issuer as it is served, and what is needed to replace it.
pub(crate) struct CrlPublisher {
    issuer: String,
    current: ArcSwap<Published>,
    /// How many revocations were made; a CRL is outdated if it was made at a lower count.
    revisions: AtomicU64,
    /// One CRL is made at a time. Held while signing, which no request for certificates or CRLs waits
    /// for: those who wait here want the same CRL, and find it made.
    making: Mutex<()>,
}

#[derive(Default)]
struct Published {
    der: Bytes,
    /// When a new one is due, without any revocation.
    renew_at: Timestamp,
    revision: u64,
}

impl CrlPublisher {
    pub(crate) fn new(issuer: &str) -> Self {
        Self {
            issuer: issuer.to_owned(),
            current: ArcSwap::default(),
            revisions: AtomicU64::new(0),
            making: Mutex::new(()),
        }
    }

    pub(crate) fn current(&self) -> Bytes {
        self.current.load().der.clone()
    }

    /// A revocation was added: the current CRL does not have it.
    pub(crate) fn mark_outdated(&self) {
        self.revisions.fetch_add(1, Ordering::SeqCst);
    }

    fn is_due(&self, now: Timestamp) -> bool {
        let current = self.current.load();
        current.renew_at <= now || current.revision < self.revisions.load(Ordering::SeqCst)
    }

    fn publish(&self, der: Vec<u8>, renew_at: Timestamp, revision: u64) {
        self.current.store(std::sync::Arc::new(Published { der: der.into(), renew_at, revision }));
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
        if self.crl.is_due(now) {
            self.publish_crl(now).await?;
        }
        if self.root_crl.is_due(now) {
            self.publish_root_crl(now).await?;
        }
        Ok(())
    }

    pub(crate) async fn publish_crl(&self, now: Timestamp) -> Result<(), CrlError> {
        let _making = self.crl.making.lock().await;
        if !self.crl.is_due(now) {
            return Ok(());
        }
        // Counted before the entries are read: what is added in between makes one CRL too many, not
        // one too few.
        let revision = self.crl.revisions.load(Ordering::SeqCst);
        let revoked = self.revocations.all();
        let validity = self.config.crl_validity;
        let next = Next { issuer: &self.issuing, revoked, validity, now };
        let records = &self.records;
        let (number, _) = next_number(records, &self.crl.issuer).await?;
        let made = next.sign(number, self.keys.signer()).await?;
        self.crl.publish(made.der, made.renew_at, revision);
        Ok(())
    }

    /// Takes up the stored CRL of the root as long as it is good, since a new one needs its key.
    pub(crate) async fn publish_root_crl(&self, now: Timestamp) -> Result<(), CrlError> {
        let _making = self.root_crl.making.lock().await;
        if !self.root_crl.is_due(now) {
            return Ok(());
        }
        let records = &self.records;
        let place = records.crl_key(&self.root_crl.issuer)?;
        if let Some(found) = records.read(&place).await? {
            let stored: CrlRecord = record::decode(&found)?;
            if let Some(kept) = stored.kept {
                let renew_at = halfway_back(kept.next_update, ROOT_CRL_VALIDITY);
                let der = hex::decode(&kept.der).unwrap_or_default();
                if renew_at > now && !der.is_empty() {
                    self.root_crl.publish(der, renew_at, 0);
                    return Ok(());
                }
            }
        }
        let next =
            Next { issuer: &self.root, revoked: Vec::new(), validity: ROOT_CRL_VALIDITY, now };
        let (number, version) = next_number(records, &self.root_crl.issuer).await?;
        tracing::info!(number, "using the root's key to sign its CRL");
        let signer = self
            .keys
            .load_root(records, &self.root)
            .await
            .map_err(|e| CrlError::RootKey(Box::new(e)))?;
        let made = next.sign(number, signer.signer()).await?;
        drop(signer);
        let kept = KeptCrl { der: hex::encode(&made.der), next_update: made.next_update };
        let stored = CrlRecord { number, kept: Some(kept) };
        let commit = Commit::new()
            .check_version(place.clone(), version)
            .put(place, record::encode(&stored)?);
        records.commit(commit).await?;
        self.root_crl.publish(made.der, made.renew_at, 0);
        Ok(())
    }
}

/// A CRL to be made.
struct Next<'a> {
    issuer: &'a Authority,
    revoked: Vec<RevokedEntry>,
    validity: Duration,
    now: Timestamp,
}

struct Made {
    der: Vec<u8>,
    next_update: Timestamp,
    renew_at: Timestamp,
}

impl Next<'_> {
    async fn sign(self, number: u64, signer: &dyn Signer) -> Result<Made, CrlError> {
        // A clock that was set back must not keep a revocation from being published.
        let newest = self.revoked.iter().map(|entry| entry.at).max();
        let this_update = newest.map_or(self.now, |newest| newest.max(self.now));
        let next_update = this_update.checked_add(self.validity).unwrap_or(Timestamp::MAX);
        let entries = self.revoked.len();
        let template = CrlTemplate { number, this_update, next_update, revoked: self.revoked };
        let content = template.build(self.issuer.issuer(), self.issuer.algorithm())?;
        let findings = lint::crl(&content, self.issuer.issuer());
        if !findings.is_empty() {
            return Err(CrlError::Lint(findings));
        }
        let signature = signer.sign(self.issuer.key(), content.algorithm(), content.der()).await?;
        let der = content.assemble(&signature)?;
        metrics::counter!("chancery_ca_crls_total").increment(1);
        tracing::info!(number, entries, issuer = self.issuer.id(), "published a CRL");
        let renew_at = halfway_back(next_update, self.validity);
        Ok(Made { der, next_update, renew_at })
    }
}

fn halfway_back(next_update: Timestamp, validity: Duration) -> Timestamp {
    next_update.checked_sub(validity / 2).unwrap_or(Timestamp::MIN)
}

/// Takes the next CRL number for good: a number whose CRL then fails is not used again.
async fn next_number(records: &Records, issuer: &str) -> Result<(u64, Version), CrlError> {
    let place = records.crl_key(issuer)?;
    loop {
        let found = records.read(&place).await?;
        let last = match &found {
            Some(found) => record::decode::<CrlRecord>(found)?,
            None => CrlRecord { number: 0, kept: None },
        };
        let next = CrlRecord { number: last.number.saturating_add(1), ..last };
        let commit = match found {
            Some(found) => Commit::new().check_version(place.clone(), found.version),
            None => Commit::new().check_absent(place.clone()),
        };
        match records.commit(commit.put(place.clone(), record::encode(&next)?)).await {
            Ok(version) => return Ok((next.number, version)),
            Err(CommitError::Conflict { .. }) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

impl From<Damaged> for CrlError {
    fn from(damaged: Damaged) -> Self {
        Self::Record { record: damaged.record, reason: damaged.reason }
    }
}
