//! Client side of other CAs: certificates from any ACME server (RFC 8555), public or not.
//!
//! An [`AcmeUpstream`] is one such server with one account, whose key is kept in the store that it
//! is given (a sealed one). Names are proved by http-01: the gateway answers on its plain port from
//! the [`ChallengeResponses`] that all upstreams share. What comes back is looked at before anybody
//! relies on it: the certificate must be for the key and exactly the names that were asked for.
//!
//! A certificate costs: rate limits, or money. So an order is put on record before its CSR is sent, and a further try
//! for the same [`Purpose`] goes on with that order, in this process or another one on the same store. It makes a new
//! order only if nothing can come of the recorded one.

mod account;
mod chain;
mod challenge;
mod client;
mod config;
mod error;
mod finalized;
mod order;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use chancery_records::Stored;
use chancery_store::{ReadError, SharedStore};
use chancery_x509::{CertificateRequest, GeneralName, RevocationReason};
use instant_acme::Account;
use rustls::pki_types::CertificateDer;
use tokio::sync::OnceCell;

pub use chain::{BadCertificate, UpstreamChain};
pub use challenge::ChallengeResponses;
pub use config::{ConfigError, ExternalAccount, Trust, UpstreamConfig};
pub use error::UpstreamError;
pub use finalized::{Kept, Purpose};

use finalized::{Finalized, FinalizedOrders};
use order::{Finished, Wanted};

/// Another CA, reached by ACME.
pub struct AcmeUpstream {
    config: UpstreamConfig,
    store: SharedStore,
    responses: ChallengeResponses,
    finalized: FinalizedOrders,
    /// Made at the first order, so that the gateway starts while the other CA is down.
    account: OnceCell<Account>,
}

impl AcmeUpstream {
    /// The upstream that `config` describes. Nothing is sent yet: the account is looked up in
    /// `store`, or made, when the first certificate is asked for.
    ///
    /// # Errors
    /// A value of the configuration is not usable; see [`ConfigError`].
    pub fn open(
        config: UpstreamConfig,
        store: SharedStore,
        responses: ChallengeResponses,
    ) -> Result<Arc<Self>, ConfigError> {
        config.check()?;
        let finalized = FinalizedOrders::new(store.clone(), &config.name);
        Ok(Arc::new(Self { config, store, responses, finalized, account: OnceCell::new() }))
    }

    /// The name by which policies choose this upstream.
    pub fn name(&self) -> &str {
        &self.config.name
    }

    /// Obtains a certificate for the request's key and `names`, which must be the names in the
    /// request, and checks it. Takes as long as the other CA does, at most the configured deadline.
    ///
    /// If an earlier try for the same purpose and request has sent the CSR, this goes on with its order. It does so
    /// again until the record that is returned with the certificate is deleted.
    ///
    /// Dropping the future leaves the order to the next try; without one, it expires at the other CA.
    ///
    /// # Errors
    /// Nothing was issued that this gateway will use, or nothing yet; see [`UpstreamError`].
    #[tracing::instrument(name = "upstream.issue", skip_all, fields(upstream = self.name()))]
    pub async fn issue(
        &self,
        request: &CertificateRequest,
        names: &[GeneralName],
        purpose: &Purpose,
    ) -> Result<(UpstreamChain, Kept), UpstreamError> {
        let names: BTreeSet<GeneralName> = names.iter().cloned().collect();
        let started = Instant::now();
        let deadline = self.config.deadline;
        let wanted = Wanted { request, names: &names, deadline };
        let recorded = AtomicBool::new(false);
        let result = tokio::time::timeout(deadline, self.obtain(&wanted, purpose, &recorded))
            .await
            .unwrap_or(Err(UpstreamError::Deadline(deadline)))
            .map_err(|error| {
                let may_exist = recorded.load(Ordering::Relaxed);
                if may_exist { UpstreamError::AfterFinalize(Box::new(error)) } else { error }
            });
        metrics::histogram!("chancery_upstream_issue_seconds").record(started.elapsed());
        if result.is_err() {
            metrics::counter!("chancery_upstream_failures_total").increment(1);
        }
        result
    }

    /// `recorded` is set while there is the record of an order from which a certificate may come.
    async fn obtain(
        &self,
        wanted: &Wanted<'_>,
        purpose: &Purpose,
        recorded: &AtomicBool,
    ) -> Result<(UpstreamChain, Kept), UpstreamError> {
        let id = FinalizedOrders::id(purpose, wanted.request.der());
        let found = self.finalized.find(&id).await?;
        recorded.store(found.is_some(), Ordering::Relaxed);
        let account = self.account().await?;
        if let Some(found) = found {
            tracing::info!(order = found.value.order, "going on with the order of an earlier try");
            metrics::counter!("chancery_upstream_continued_total").increment(1);
            let finished = if found.value.account == account.id() {
                order::go_on(account, &found.value.order, wanted).await?
            } else {
                let why = "it is of an account that is not used any more".to_owned();
                Finished::Lost(UpstreamError::Unavailable(why))
            };
            match self.settle(found, finished, recorded).await {
                // Another order would end the same way.
                Err(UpstreamError::BadCertificate(bad)) if bad != BadCertificate::OtherKey => {
                    return Err(bad.into());
                }
                Err(error) => {
                    tracing::warn!(%error, "the order of an earlier try is lost; a new one is made");
                }
                issued => return issued,
            }
        }
        let mut order = order::place(account, &self.responses, wanted).await?;
        let (by, url) = (account.id().to_owned(), order.url().to_owned());
        let record = Finalized { account: by, order: url, ends: purpose.until };
        let record = self.finalized.begin(&id, record).await?;
        recorded.store(true, Ordering::Relaxed);
        let finished = order::finish(account, &mut order, wanted).await?;
        self.settle(record, finished, recorded).await
    }

    /// The certificate with the record of its order. Forgets an order that is lost.
    async fn settle(
        &self,
        record: Stored<Finalized>,
        finished: Finished,
        recorded: &AtomicBool,
    ) -> Result<(UpstreamChain, Kept), UpstreamError> {
        match finished {
            Finished::Issued(chain) => {
                let kept = self.finalized.kept(&record).map_err(ReadError::from)?;
                Ok((*chain, kept))
            }
            Finished::Lost(error) => {
                recorded.store(false, Ordering::Relaxed);
                if let Err(left) = self.finalized.forget(&record).await {
                    tracing::warn!(error = %left, "a lost order at another CA stays on record");
                }
                Err(error)
            }
        }
    }

    /// Revokes a certificate that this upstream issued (RFC 8555 §7.6).
    ///
    /// # Errors
    /// The other CA could not be asked or refused; it refuses with type `…:alreadyRevoked` what is
    /// revoked already.
    #[tracing::instrument(name = "upstream.revoke", skip_all, fields(upstream = self.name()))]
    pub async fn revoke(&self, der: &[u8], reason: RevocationReason) -> Result<(), UpstreamError> {
        let request = instant_acme::RevocationRequest {
            certificate: &CertificateDer::from_slice(der),
            reason: Some(order::reason(reason)),
        };
        tokio::time::timeout(self.config.deadline, async {
            Ok(self.account().await?.revoke(&request).await?)
        })
        .await
        .unwrap_or(Err(UpstreamError::Deadline(self.config.deadline)))
    }

    async fn account(&self) -> Result<&Account, UpstreamError> {
        self.account.get_or_try_init(|| account::open(&self.config, &*self.store)).await
    }
}

impl std::fmt::Debug for AcmeUpstream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AcmeUpstream").field("config", &self.config).finish_non_exhaustive()
    }
}
