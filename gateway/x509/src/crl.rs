use der::asn1::Uint;
use der::{Decode, Encode};
use jiff::Timestamp;
use x509_cert::Version;
use x509_cert::certificate::Raw;
use x509_cert::crl::{RevokedCert, TbsCertList};
use x509_cert::ext::pkix::{CrlNumber, CrlReason};
use x509_cert::name::Name;
use x509_cert::serial_number::SerialNumber;
use x509_cert::time::Time;

use crate::extensions::encode;
use crate::template::authority_key_identifier;
use crate::{BuildError, Issuer, RevocationReason, Serial, SignatureAlgorithm, ToBeSigned, time};

/// What a complete CRL shall say (RFC 5280 §5).
#[derive(Debug, Clone)]
pub struct CrlTemplate {
    /// The CRL number, larger than that of every CRL before (RFC 5280 §5.2.3).
    pub number: u64,
    /// When it is made.
    pub this_update: Timestamp,
    /// When the next one is there at the latest.
    pub next_update: Timestamp,
    /// The revoked certificates.
    pub revoked: Vec<RevokedEntry>,
}

/// One revoked certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RevokedEntry {
    /// Its serial number.
    pub serial: Serial,
    /// When it was revoked.
    pub at: Timestamp,
    /// Why.
    pub reason: RevocationReason,
}

impl CrlTemplate {
    /// The CRL's content.
    ///
    /// # Errors
    /// A value cannot be encoded, or the algorithm does not fit the issuer's key.
    pub fn build(
        &self,
        issuer: &Issuer,
        algorithm: SignatureAlgorithm,
    ) -> Result<ToBeSigned, BuildError> {
        if !algorithm.fits(issuer.public_key.algorithm()) {
            return Err(BuildError::Algorithm(algorithm));
        }
        let entries = self.revoked.iter().map(revoked_cert).collect::<Result<Vec<_>, _>>()?;
        let number = CrlNumber(Uint::new(&self.number.to_be_bytes())?);
        let list = TbsCertList::<Raw> {
            version: Version::V2,
            signature: Decode::from_der(algorithm.algorithm_identifier())?,
            issuer: Name::from_der(&issuer.name_der)?,
            this_update: encode_time(self.this_update)?,
            next_update: Some(encode_time(self.next_update)?),
            // RFC 5280 §5.1.2.6: absent, not empty, when nothing is revoked.
            revoked_certificates: (!entries.is_empty()).then_some(entries),
            crl_extensions: Some(vec![authority_key_identifier(issuer)?, encode(false, &number)?]),
        };
        Ok(ToBeSigned::new(list.to_der()?, algorithm))
    }
}

fn revoked_cert(entry: &RevokedEntry) -> Result<RevokedCert<Raw>, BuildError> {
    let extensions = match reason(entry.reason) {
        // RFC 5280 §5.3.1: `unspecified` is said by leaving the extension out.
        None => None,
        Some(code) => Some(vec![encode(false, &code)?]),
    };
    Ok(RevokedCert {
        serial_number: SerialNumber::new(entry.serial.as_bytes())?,
        revocation_date: encode_time(entry.at)?,
        crl_entry_extensions: extensions,
    })
}

/// The code, but none for `unspecified`, which is said by saying nothing.
pub(crate) fn reason(reason: RevocationReason) -> Option<CrlReason> {
    match reason {
        RevocationReason::Unspecified => None,
        RevocationReason::KeyCompromise => Some(CrlReason::KeyCompromise),
        RevocationReason::CaCompromise => Some(CrlReason::CaCompromise),
        RevocationReason::AffiliationChanged => Some(CrlReason::AffiliationChanged),
        RevocationReason::Superseded => Some(CrlReason::Superseded),
        RevocationReason::CessationOfOperation => Some(CrlReason::CessationOfOperation),
        RevocationReason::CertificateHold => Some(CrlReason::CertificateHold),
        RevocationReason::PrivilegeWithdrawn => Some(CrlReason::PrivilegeWithdrawn),
        RevocationReason::AaCompromise => Some(CrlReason::AaCompromise),
    }
}

fn encode_time(moment: Timestamp) -> Result<Time, BuildError> {
    time::to_der(moment).ok_or(BuildError::Time(moment))
}
