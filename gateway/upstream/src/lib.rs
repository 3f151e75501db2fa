//! Client side of other CAs: certificates from any ACME server (RFC 8555), public or not.
//!
//! An [`AcmeUpstream`] is one such server with one account, whose key is kept in the store that it
//! is given (a sealed one). Names are proved by http-01: the gateway answers on its plain port from
//! the [`ChallengeResponses`] that all upstreams share. What comes back is looked at before anybody
//! relies on it: the certificate must be for the key and exactly the names that were asked for.

mod account;
mod chain;
mod challenge;
mod client;
mod config;
mod error;
mod order;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use chancery_store::SharedStore;
use chancery_x509::{CertificateRequest, GeneralName, RevocationReason};
use instant_acme::Account;
use rustls::pki_types::CertificateDer;
use tokio::sync::OnceCell;

pub use chain::{BadCertificate, UpstreamChain};
pub use challenge::ChallengeResponses;
pub use config::{ConfigError, ExternalAccount, Trust, UpstreamConfig};
pub use error::UpstreamError;

/// Another CA, reached by ACME.
pub struct AcmeUpstream {
    config: UpstreamConfig,
    store: SharedStore,
    responses: ChallengeResponses,
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
        Ok(Arc::new(Self { config, store, responses, account: OnceCell::new() }))
    }

    /// The name by which policies choose this upstream.
    pub fn name(&self) -> &str {
        &self.config.name
    }

    /// Obtains a certificate for the request's key and `names`, which must be the names in the
    /// request, and checks it. Takes as long as the other CA does, at most the configured deadline.
    ///
    /// Dropping the future abandons the order; it expires at the other CA.
    ///
    /// # Errors
    /// Nothing was issued that this gateway will use; see [`UpstreamError`].
    #[tracing::instrument(name = "upstream.issue", skip_all, fields(upstream = self.name()))]
    pub async fn issue(
        &self,
        request: &CertificateRequest,
        names: &[GeneralName],
    ) -> Result<UpstreamChain, UpstreamError> {
        let names: BTreeSet<GeneralName> = names.iter().cloned().collect();
        let started = Instant::now();
        let (deadline, finalized) = (self.config.deadline, AtomicBool::new(false));
        let result = tokio::time::timeout(deadline, async {
            let account = self.account().await?;
            order::place(account, &self.responses, request.der(), &names, deadline, &finalized)
                .await
        })
        .await
        .unwrap_or(Err(UpstreamError::Deadline(deadline)))
        .map_err(|error| {
            let may_exist = error.is_passing() && finalized.load(Ordering::Relaxed);
            if may_exist { UpstreamError::AfterFinalize(Box::new(error)) } else { error }
        })
        .and_then(|pem| Ok(UpstreamChain::check(&pem, request.public_key(), &names)?));
        metrics::histogram!("chancery_upstream_issue_seconds").record(started.elapsed());
        if result.is_err() {
            metrics::counter!("chancery_upstream_failures_total").increment(1);
        }
        result
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
