use std::time::Duration;

use chancery_keys::Signer;
use chancery_records::Tries;
use chancery_store::{Commit, Version};
use chancery_x509::{CrlScope, CrlTemplate, RevokedEntry, SignatureAlgorithm, ToBeSigned, lint};
use jiff::Timestamp;

use crate::CrlError;
use crate::authority::Authority;
use crate::record::{self, CrlRecord, Records};

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

/// Takes the next CRL number for good: a number whose CRL then fails is not used again. In a store that was put
/// back to an earlier state, it is above those that were published since (RFC 5280 §5.2.3).
pub(crate) async fn next_number(records: &Records, name: &str) -> Result<(u64, Version), CrlError> {
    let place = records.crl_key(name)?;
    let least = records.restored().await?.unwrap_or(1);
    let mut tries = Tries::default();
    loop {
        let found = records.read(&place).await?;
        let last = match &found {
            Some(found) => record::decode::<CrlRecord>(found)?,
            None => CrlRecord { number: 0, kept: None },
        };
        let next = CrlRecord { number: last.number.saturating_add(1).max(least), ..last };
        let commit = match found {
            Some(found) => Commit::new().check_version(place.clone(), found.version),
            None => Commit::new().check_absent(place.clone()),
        };
        let commit = commit.put(place.clone(), record::encode(&next)?);
        if let Some(version) = tries.commit(records.store(), commit).await? {
            return Ok((next.number, version));
        }
    }
}
