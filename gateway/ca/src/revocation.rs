use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

use chancery_store::{Commit, CommitError};
use chancery_x509::{RevocationReason, RevokedEntry, Serial};
use jiff::Timestamp;
use tracing::Instrument;

use crate::record::{self, Records, RevocationRecord};
use crate::{Ca, OpenError, RevokeError};

/// All revocations of an issuer, in memory: looked at on every request, so no store is asked.
pub(crate) struct Revocations(RwLock<BTreeMap<Serial, RevokedEntry>>);

impl Revocations {
    pub(crate) async fn load(records: &Records, issuer: &str) -> Result<Self, OpenError> {
        let entries = records.revocations(issuer).await?;
        Ok(Self(RwLock::new(entries.into_iter().map(|entry| (entry.serial, entry)).collect())))
    }

    pub(crate) fn contains(&self, serial: &Serial) -> bool {
        self.0.read().unwrap_or_else(PoisonError::into_inner).contains_key(serial)
    }

    pub(crate) fn find(&self, serial: &Serial) -> Option<RevokedEntry> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).get(serial).copied()
    }

    pub(crate) fn add(&self, entry: RevokedEntry) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).insert(entry.serial, entry);
    }

    /// The entries by serial number.
    pub(crate) fn all(&self) -> Vec<RevokedEntry> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).values().copied().collect()
    }
}

impl Ca {
    /// Revokes the certificate with this serial number and publishes a new CRL. When this returns,
    /// the revocation is on disk and [`is_revoked`](Self::is_revoked) tells it.
    ///
    /// Should the new CRL not be signed, because the token is away for instance, the certificate is
    /// revoked all the same and [`refresh_crl`](Self::refresh_crl) makes up for the CRL. Dropping the
    /// future gives up waiting; the revocation goes on.
    ///
    /// # Errors
    /// It is revoked already, with whatever reason, or the revocation could not be stored.
    #[tracing::instrument(name = "ca.revoke", skip_all, fields(%serial, reason = reason.code()))]
    pub async fn revoke(
        self: &Arc<Self>,
        serial: Serial,
        reason: RevocationReason,
        at: Timestamp,
    ) -> Result<(), RevokeError> {
        // A task of its own: a caller that hangs up between the commit and what follows must not leave
        // a revocation on disk that nobody here knows of.
        let ca = Arc::clone(self);
        let task = async move { ca.revoke_and_publish(serial, reason, at).await };
        match tokio::spawn(task.in_current_span()).await {
            Ok(outcome) => outcome,
            Err(_) => Err(RevokeError::Interrupted),
        }
    }

    async fn revoke_and_publish(
        &self,
        serial: Serial,
        reason: RevocationReason,
        at: Timestamp,
    ) -> Result<(), RevokeError> {
        let records = &self.records;
        let place = records.revocation_key(self.issuer_id(), &serial)?;
        let revocation = RevocationRecord { serial, at, reason };
        let commit = Commit::new()
            .check_absent(place.clone())
            .put(place.clone(), record::encode(&revocation)?);
        let outcome = match records.commit(commit).await {
            Ok(_) => {
                self.revocations.add(revocation.into());
                metrics::counter!("chancery_ca_revocations_total").increment(1);
                Ok(())
            }
            // Stored before, perhaps by a commit whose outcome its caller never learnt.
            Err(CommitError::Conflict { .. }) => {
                if let Some(found) = records.read(&place).await? {
                    let stored: RevocationRecord =
                        record::decode(&found).map_err(|e| RevokeError::Record(e.reason))?;
                    self.revocations.add(stored.into());
                }
                Err(RevokeError::AlreadyRevoked(serial))
            }
            Err(error) => return Err(error.into()),
        };
        self.crl.mark_outdated();
        if let Err(error) = self.refresh_crl(at).await {
            tracing::error!(%error, "the revocation is stored, but the CRL does not show it yet");
        }
        outcome
    }
}
