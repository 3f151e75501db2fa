use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use chancery_store::{Commit, CommitError};
use chancery_x509::{RevocationReason, RevokedEntry, Serial};
use jiff::Timestamp;
use tracing::Instrument;

use crate::record::{self, Records, RevocationRecord};
use crate::{Ca, OpenError, RevokeError};

/// A certificate that is to be revoked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RevokedCertificate {
    /// The key identifier of the CA that issued it, in lower-case hex: its authority key identifier.
    pub issuer: String,
    /// Its serial number.
    pub serial: Serial,
    /// Last second of its validity: a while after it, CRLs list the certificate no more.
    pub not_after: Timestamp,
    /// Why.
    pub reason: RevocationReason,
    /// When.
    pub at: Timestamp,
}

/// All revocations of an issuer, in memory: looked at on every request, so no store is asked.
pub(crate) struct Revocations(RwLock<BTreeMap<Serial, RevocationRecord>>);

impl Revocations {
    pub(crate) async fn load(records: &Records, issuer: &str) -> Result<Self, OpenError> {
        let found = records.revocations(issuer).await?;
        Ok(Self(RwLock::new(found.into_iter().map(|record| (record.serial, record)).collect())))
    }

    pub(crate) fn contains(&self, serial: &Serial) -> bool {
        self.0.read().unwrap_or_else(PoisonError::into_inner).contains_key(serial)
    }

    pub(crate) fn find(&self, serial: &Serial) -> Option<RevokedEntry> {
        let all = self.0.read().unwrap_or_else(PoisonError::into_inner);
        all.get(serial).copied().map(RevokedEntry::from)
    }

    pub(crate) fn add(&self, record: RevocationRecord) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).insert(record.serial, record);
    }

    fn remove(&self, serial: &Serial) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).remove(serial);
    }

    /// Those that a CRL has to list, by serial number: a certificate has to be on one CRL that was made
    /// after its end (RFC 5280 §3.3), hence on those of one validity of CRLs.
    pub(crate) fn listed(
        &self,
        now: Timestamp,
        validity: Duration,
        matches: impl Fn(&RevokedEntry) -> bool,
    ) -> Vec<RevokedEntry> {
        let since = now.checked_sub(validity).unwrap_or(Timestamp::MIN);
        let all = self.0.read().unwrap_or_else(PoisonError::into_inner);
        all.values()
            .filter(|record| record.not_after.is_none_or(|end| end >= since))
            .map(|record| RevokedEntry::from(*record))
            .filter(matches)
            .collect()
    }
}

impl Ca {
    /// Revokes a certificate and publishes new CRLs. When this returns, the revocation is on disk and
    /// [`is_revoked`](Self::is_revoked) tells it.
    ///
    /// Should a new CRL not be signed, because the token is away for instance, the certificate is
    /// revoked all the same and [`refresh_crl`](Self::refresh_crl) makes up for the CRL. Dropping the
    /// future gives up waiting; the revocation goes on.
    ///
    /// # Errors
    /// It is revoked already, with whatever reason, or the revocation could not be stored.
    #[tracing::instrument(
        name = "ca.revoke", skip_all, fields(serial = %revoked.serial, reason = revoked.reason.code())
    )]
    pub async fn revoke(self: &Arc<Self>, revoked: RevokedCertificate) -> Result<(), RevokeError> {
        // A task of its own: a caller that hangs up between the commit and what follows must not leave
        // a revocation on disk that nobody here knows of.
        let ca = Arc::clone(self);
        let task = async move {
            let at = revoked.at;
            let outcome = ca.record_revocation(revoked).await;
            if matches!(outcome, Ok(()) | Err(RevokeError::AlreadyRevoked(_)))
                && let Err(error) = ca.refresh_crl(at).await
            {
                tracing::error!(%error, "the revocation is stored, but the CRL does not show it yet");
            }
            outcome
        };
        match tokio::spawn(task.in_current_span()).await {
            Ok(outcome) => outcome,
            Err(_) => Err(RevokeError::Interrupted),
        }
    }

    /// The same for somebody who revokes many: no CRL is made, and the caller sees to it that the future
    /// is not dropped and that [`refresh_crl`](Self::refresh_crl) is called at the end.
    ///
    /// # Errors
    /// As for [`revoke`](Self::revoke).
    pub async fn record_revocation(&self, revoked: RevokedCertificate) -> Result<(), RevokeError> {
        let RevokedCertificate { issuer, serial, not_after, reason, at } = revoked;
        let Some(issuing) = self.issuing(&issuer) else {
            return Err(RevokeError::OtherIssuer(issuer));
        };
        let records = &self.records;
        let place = records.revocation_key(issuing.id(), &serial)?;
        let revocation = RevocationRecord { serial, at, reason, not_after: Some(not_after) };
        let commit = Commit::new()
            .check_absent(place.clone())
            .put(place.clone(), record::encode(&revocation)?);
        let outcome = match records.commit(commit).await {
            Ok(_) => {
                issuing.revocations.add(revocation);
                metrics::counter!("chancery_ca_revocations_total").increment(1);
                Ok(())
            }
            // Stored before, perhaps by a commit whose outcome its caller never learnt.
            Err(CommitError::Conflict { .. }) => {
                if let Some(found) = records.read(&place).await? {
                    let stored: RevocationRecord =
                        record::decode(&found).map_err(|e| RevokeError::Record(e.reason))?;
                    issuing.revocations.add(stored);
                }
                Err(RevokeError::AlreadyRevoked(serial))
            }
            Err(error) => return Err(error.into()),
        };
        issuing.crls.mark_outdated(&serial);
        outcome
    }

    /// Forgets the revocation of a certificate that ended so long ago that nobody asks any more.
    ///
    /// # Errors
    /// The store cannot be written.
    pub async fn forget(&self, serial: &Serial) -> Result<(), RevokeError> {
        for issuing in self.all_issuing().filter(|one| one.revocations.contains(serial)) {
            let place = self.records.revocation_key(issuing.id(), serial)?;
            self.records.commit(Commit::new().delete(place)).await?;
            issuing.revocations.remove(serial);
        }
        Ok(())
    }
}
