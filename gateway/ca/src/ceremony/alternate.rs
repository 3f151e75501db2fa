//! Installs an alternate chain for the issuing CA, such as one with a cross-certificate.

use chancery_store::Version;
use chancery_x509::ParsedCertificate;
use jiff::Timestamp;

use super::{Ceremony, CeremonyError};
use crate::authority::Authority;
use crate::chain::{check_acceptance, check_chain, check_shape};
use crate::record::{self, AuthorityRecord, GenerationRecord, MadeRecord};

impl Ceremony<'_> {
    /// Installs another chain for the key that issues, for those who do not trust its root: certificates up
    /// to and with the other root, in DER, of which the first is for the issuing key, or for the root's key
    /// (a cross-certificate). Clients are offered it from the next start on (RFC 8555 §7.4.2). It replaces an
    /// earlier one to the same root; those that have ended are forgotten.
    ///
    /// # Errors
    /// The chain does not hold, is for no key of this CA, or is the one that everybody gets.
    pub async fn install_alternate(
        &self,
        chain: &[Vec<u8>],
        now: Timestamp,
    ) -> Result<(), CeremonyError> {
        let (made, version) = self.with_alternate(chain, now).await?;
        self.write(&AuthorityRecord::Made(made), version).await?;
        Ok(())
    }

    /// Whether [`install_alternate`](Self::install_alternate) would do; nothing is installed.
    ///
    /// # Errors
    /// As for [`install_alternate`](Self::install_alternate).
    pub async fn check_alternate(
        &self,
        chain: &[Vec<u8>],
        now: Timestamp,
    ) -> Result<(), CeremonyError> {
        self.with_alternate(chain, now).await.map(drop)
    }

    async fn with_alternate(
        &self,
        chain: &[Vec<u8>],
        now: Timestamp,
    ) -> Result<(MadeRecord, Version), CeremonyError> {
        let (mut made, version) = self.made().await?.ok_or(CeremonyError::NoCa)?;
        let added = parsed(chain)?;
        let below = below(&made.current, &added)?;
        let whole: Vec<_> = below.iter().chain(&added).collect();
        check_shape(&whole)?;
        check_chain(&whole)?;
        let [between @ .., root] = whole.as_slice() else { return Err(CeremonyError::EmptyChain) };
        if hex::encode(root.der()) == made.current.root.certificate {
            return Err(CeremonyError::Unfit("its root is the one that everybody is led to"));
        }
        check_acceptance(&whole, now)?;
        let mut kept = Vec::new();
        for known in std::mem::take(&mut made.current.alternates) {
            let certificates = decoded(&known)?;
            let ended = certificates.iter().any(|one| one.not_after() < now);
            let same =
                certificates.last().is_some_and(|last| last.issuer_der() == root.subject_der());
            if !ended && !same {
                kept.push(known);
            }
        }
        kept.push(between.iter().map(|one| hex::encode(one.der())).collect());
        made.current.alternates = kept;
        Ok((made, version))
    }
}

/// What comes before an added chain, up to the issuing CA's certificate.
fn below(
    current: &GenerationRecord,
    added: &[ParsedCertificate],
) -> Result<Vec<ParsedCertificate>, CeremonyError> {
    let first = added.first().ok_or(CeremonyError::EmptyChain)?;
    let issuing = Authority::from_record(&current.issuing)?;
    let is_for = |other: &ParsedCertificate| {
        first.subject_der() == other.subject_der()
            && matches!((first.public_key(), other.public_key()), (Ok(a), Ok(b)) if a == b)
    };
    if is_for(issuing.certificate()) {
        // What was issued names it by its key identifier (RFC 5280 §4.2.1.1).
        if first.subject_key_id() != Some(issuing.id()) {
            return Err(CeremonyError::OtherKeyIdentifier { expected: issuing.id().to_owned() });
        }
        return Ok(vec![]);
    }
    let root = ParsedCertificate::from_der(&record::certificate(&current.root.certificate)?)?;
    if !is_for(&root) {
        return Err(CeremonyError::OtherChain);
    }
    let mut below = decoded(std::slice::from_ref(&current.issuing.certificate))?;
    below.extend(decoded(&current.above)?);
    Ok(below)
}

fn decoded(hex: &[String]) -> Result<Vec<ParsedCertificate>, CeremonyError> {
    let ders: Result<Vec<_>, _> = hex.iter().map(|one| record::certificate(one)).collect();
    parsed(&ders?)
}

fn parsed(ders: &[Vec<u8>]) -> Result<Vec<ParsedCertificate>, CeremonyError> {
    let parsed: Result<Vec<_>, _> =
        ders.iter().map(|der| ParsedCertificate::from_der(der)).collect();
    Ok(parsed?)
}
