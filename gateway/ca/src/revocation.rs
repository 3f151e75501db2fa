//! Revokes certificates of the CA, and keeps all of its revocations in memory.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use chancery_records::{Damage, Fence, Model, Stored, View, ViewError};
use chancery_store::{Commit, CommitError};
use chancery_x509::{RevocationReason, RevokedEntry, Serial};
use jiff::Timestamp;
use tracing::Instrument;

use crate::crl::IssuingCrls;
use crate::record::{self, Records, RevocationRecord};
use crate::{Ca, OpenError, RevokeError};

/// A certificate that is to be revoked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RevokedCertificate {
    /// The key identifier of the CA that issued it, in lower-case hex: its authority key identifier.
    pub issuer: String,
    /// Its serial number.
    pub serial: Serial,
    /// Last second of its validity: some time after it, CRLs no longer list the certificate.
    pub not_after: Timestamp,
    /// Why.
    pub reason: RevocationReason,
    /// When.
    pub at: Timestamp,
}

/// The greatest age of what is known about revocations. Beyond it every certificate counts as revoked.
const GREATEST_AGE: Duration = Duration::from_secs(30);

/// All revocations of an issuer, in memory, since every request needs them. They follow the store, so a
/// revocation by another gateway counts here too.
pub(crate) struct Revocations(View<RevocationRecord, Revoked>);

/// What is kept of the revocations of an issuer.
struct Revoked {
    by_serial: BTreeMap<Serial, RevocationRecord>,
    /// Records that cannot be read. Their keys say which certificates they revoke.
    damaged: BTreeMap<Serial, Damage>,
    /// A record whose key contains no serial number.
    lost: Option<Damage>,
    /// What has to be made anew after a revocation.
    crls: Arc<IssuingCrls>,
}

impl Revocations {
    pub(crate) async fn open(
        records: &Records,
        issuer: &str,
        crls: Arc<IssuingCrls>,
    ) -> Result<Self, OpenError> {
        let make = move || Revoked {
            by_serial: BTreeMap::new(),
            damaged: BTreeMap::new(),
            lost: None,
            crls: crls.clone(),
        };
        let table = records.revocation_table(issuer);
        let view = View::open("revocations", table, GREATEST_AGE, make).await?;
        view.known()?.intact()?;
        Ok(Self(view))
    }

    /// Whether the certificate is revoked, or its state cannot be known.
    pub(crate) fn contains(&self, serial: &Serial) -> bool {
        match self.0.known() {
            Ok(known) => {
                known.by_serial.contains_key(serial)
                    || known.damaged.contains_key(serial)
                    || known.lost.is_some()
            }
            Err(_) => true,
        }
    }

    /// The certificate's revocation, if there is one.
    pub(crate) fn find(&self, serial: &Serial) -> Result<Option<RevokedEntry>, ViewError> {
        let known = self.0.known()?;
        if let Some(damage) = known.damaged.get(serial).or(known.lost.as_ref()) {
            return Err(damage.clone().into());
        }
        Ok(known.by_serial.get(serial).copied().map(RevokedEntry::from))
    }

    /// The certificates that a CRL has to list, by serial number. A certificate has to be on one CRL
    /// that was made after its end (RFC 5280 §3.3), so it stays listed for one validity of CRLs after
    /// it.
    pub(crate) fn listed(
        &self,
        now: Timestamp,
        validity: Duration,
        matches: impl Fn(&RevokedEntry) -> bool,
    ) -> Result<Vec<RevokedEntry>, ViewError> {
        let since = now.checked_sub(validity).unwrap_or(Timestamp::MIN);
        let known = self.0.known()?;
        known.intact()?;
        let listed = known
            .by_serial
            .values()
            .filter(|record| record.not_after.is_none_or(|end| end >= since))
            .map(|record| RevokedEntry::from(*record))
            .filter(matches);
        Ok(listed.collect())
    }

    /// Waits until this view has the last commit.
    pub(crate) async fn catch_up(&self) -> Result<(), ViewError> {
        self.0.catch_up().await
    }

    /// Does so after a change. If it cannot find out, every certificate counts as revoked until it can.
    async fn read_back(&self) {
        if let Err(error) = self.catch_up().await {
            tracing::error!(%error, "a change of what is revoked cannot be read back");
        }
    }
}

impl Revoked {
    /// Returns an error unless everything could be read.
    fn intact(&self) -> Result<(), ViewError> {
        match self.damaged.values().next().or(self.lost.as_ref()) {
            Some(damage) => Err(damage.clone().into()),
            None => Ok(()),
        }
    }
}

impl Model<RevocationRecord> for Revoked {
    fn put(&mut self, id: &str, stored: Stored<RevocationRecord>) {
        let record = stored.value;
        if id != record.serial.to_string() {
            let reason = "it revokes another certificate than its key says".to_owned();
            return self.damaged(id, Damage { key: stored.key, reason });
        }
        self.damaged.remove(&record.serial);
        self.by_serial.insert(record.serial, record);
        self.crls.mark_outdated(&record.serial, stored.version);
    }

    fn remove(&mut self, id: &str) {
        if let Ok(serial) = id.parse() {
            self.by_serial.remove(&serial);
            self.damaged.remove(&serial);
        }
    }

    fn damaged(&mut self, id: &str, damage: Damage) {
        match id.parse() {
            Ok(serial) => {
                self.damaged.insert(serial, damage);
            }
            Err(_) => self.lost = Some(damage),
        }
    }
}

impl Ca {
    /// Revokes a certificate and publishes new CRLs. When this returns, the revocation is on disk and
    /// [`is_revoked`](Self::is_revoked) reports it.
    ///
    /// If a new CRL cannot be signed, for instance because the token is unavailable, the certificate is
    /// revoked all the same, and [`refresh_crl`](Self::refresh_crl) makes the CRL later. Dropping the
    /// future gives up waiting; the revocation goes on.
    ///
    /// # Errors
    /// It is revoked already, for whatever reason, or the revocation could not be stored.
    #[tracing::instrument(
        name = "ca.revoke", skip_all, fields(serial = %revoked.serial, reason = revoked.reason.code())
    )]
    pub async fn revoke(self: &Arc<Self>, revoked: RevokedCertificate) -> Result<(), RevokeError> {
        // A task of its own: if the caller hangs up between the commit and the steps after it, the
        // revocation must not remain on disk without this process knowing of it.
        let ca = Arc::clone(self);
        let task = async move {
            let at = revoked.at;
            let outcome = ca.record_revocation(revoked).await;
            if matches!(outcome, Ok(()) | Err(RevokeError::AlreadyRevoked(_)))
                && let Err(error) = ca.refresh_crl(at, &Fence::none()).await
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

    /// Does the same for a caller who revokes many: it makes no CRL. The caller makes sure that the
    /// future is not dropped and that [`refresh_crl`](Self::refresh_crl) is called at the end.
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
                metrics::counter!("chancery_ca_revocations_total").increment(1);
                Ok(())
            }
            // It was stored before, perhaps by a commit whose caller never learnt the outcome.
            Err(CommitError::Conflict { .. }) => Err(RevokeError::AlreadyRevoked(serial)),
            Err(error) => return Err(error.into()),
        };
        issuing.revocations.read_back().await;
        outcome
    }

    /// Forgets the revocation of a certificate that ended long ago, so that nobody asks about it any
    /// more.
    ///
    /// # Errors
    /// The store cannot be written, or the lease was lost.
    pub async fn forget(&self, serial: &Serial, fence: &Fence) -> Result<(), RevokeError> {
        for issuing in self.all_issuing().filter(|one| one.revocations.contains(serial)) {
            let place = self.records.revocation_key(issuing.id(), serial)?;
            self.records.under(fence).commit(Commit::new().delete(place)).await?;
            issuing.revocations.read_back().await;
        }
        Ok(())
    }
}
