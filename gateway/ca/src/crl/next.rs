//! Builds, lints and signs a CRL.

use std::time::Duration;

use chancery_keys::Signer;
use chancery_x509::{CrlScope, CrlTemplate, RevokedEntry, SignatureAlgorithm, ToBeSigned, lint};
use jiff::Timestamp;

use crate::CrlError;
use crate::authority::Authority;
use crate::record::PublishedCrl;

/// CRLs with more entries are built on a thread that may be busy for a while.
const SHORT: usize = 1000;

/// A CRL to be made.
pub(crate) struct Next<'a> {
    pub(crate) issuer: &'a Authority,
    pub(crate) scope: CrlScope,
    pub(crate) revoked: Vec<RevokedEntry>,
    pub(crate) validity: Duration,
    pub(crate) now: Timestamp,
}

pub(crate) struct Made {
    pub(crate) der: Vec<u8>,
    pub(crate) this_update: Timestamp,
    pub(crate) next_update: Timestamp,
    pub(crate) renew_at: Timestamp,
}

impl Made {
    /// The CRL with its number and the newest commit that it covers.
    pub(crate) fn published(self, number: u64, covers: u64) -> PublishedCrl {
        let Self { der, renew_at, .. } = self;
        PublishedCrl { number, renew_at, covers, base: None, der: der.into() }
    }
}

impl Next<'_> {
    pub(crate) async fn sign(self, number: u64, signer: &dyn Signer) -> Result<Made, CrlError> {
        // A clock that was set back must not keep a revocation from being published.
        let newest = self.revoked.iter().map(|entry| entry.at).max();
        let this_update = newest.map_or(self.now, |newest| newest.max(self.now));
        let next_update = this_update.checked_add(self.validity).unwrap_or(Timestamp::MAX);
        let entries = self.revoked.len();
        let (scope, revoked) = (self.scope, self.revoked);
        let template = CrlTemplate { scope, number, this_update, next_update, revoked };
        let (issuer, algorithm) = (self.issuer.issuer(), self.issuer.algorithm());
        let content = if entries <= SHORT {
            build(&template, issuer, algorithm)?
        } else {
            let issuer = issuer.clone();
            let built = move || build(&template, &issuer, algorithm);
            tokio::task::spawn_blocking(built).await.map_err(|_| CrlError::Interrupted)??
        };
        let signature = signer.sign(self.issuer.key(), content.algorithm(), content.der()).await?;
        let der = content.assemble(&signature)?;
        metrics::counter!("chancery_ca_crls_total").increment(1);
        let renew_at = halfway_back(next_update, self.validity);
        Ok(Made { der, this_update, next_update, renew_at })
    }
}

fn build(
    template: &CrlTemplate,
    issuer: &chancery_x509::Issuer,
    algorithm: SignatureAlgorithm,
) -> Result<ToBeSigned, CrlError> {
    let content = template.build(issuer, algorithm)?;
    let findings = lint::crl(&content, issuer);
    if findings.is_empty() { Ok(content) } else { Err(CrlError::Lint(findings)) }
}

pub(crate) fn halfway_back(next_update: Timestamp, validity: Duration) -> Timestamp {
    next_update.checked_sub(validity / 2).unwrap_or(Timestamp::MIN)
}
