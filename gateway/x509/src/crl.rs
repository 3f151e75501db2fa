//! Builds CRLs (RFC 5280 §5): complete ones, shards and deltas.

use const_oid::db::rfc5280::ID_CE_ISSUING_DISTRIBUTION_POINT;
use der::asn1::{OctetString, Uint};
use der::{Decode, Encode};
use jiff::Timestamp;
use x509_cert::Version;
use x509_cert::certificate::Raw;
use x509_cert::crl::{RevokedCert, TbsCertList};
use x509_cert::ext::Extension;
use x509_cert::ext::pkix::crl::dp::DistributionPoint;
use x509_cert::ext::pkix::name::DistributionPointName;
use x509_cert::ext::pkix::{
    BaseCrlNumber, CrlNumber, CrlReason, FreshestCrl, IssuingDistributionPoint,
};
use x509_cert::name::Name;
use x509_cert::serial_number::SerialNumber;
use x509_cert::time::Time;

use crate::extensions::{der_name, encode};
use crate::template::authority_key_identifier;
use crate::{
    BuildError, GeneralName, Issuer, RevocationReason, Serial, SignatureAlgorithm, ToBeSigned, time,
};

/// What a CRL shall say (RFC 5280 §5).
#[derive(Debug, Clone)]
pub struct CrlTemplate {
    /// Which of the issuer's certificates it is about.
    pub scope: CrlScope,
    /// The CRL number, larger than that of every CRL before (RFC 5280 §5.2.3).
    pub number: u64,
    /// When it is made.
    pub this_update: Timestamp,
    /// When the next one is there at the latest.
    pub next_update: Timestamp,
    /// The revoked certificates.
    pub revoked: Vec<RevokedEntry>,
}

/// Which certificates of its issuer a CRL is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CrlScope {
    /// All of them.
    Complete {
        /// Where its newest delta is (RFC 5280 §5.2.6), if there are deltas.
        delta_url: Option<String>,
    },
    /// Leaf certificates whose CRL distribution point is one of these URLs (RFC 5280 §5.2.5).
    Shard {
        /// The URLs, at least one.
        urls: Vec<String>,
    },
    /// All of them, but only what was added since the complete CRL with this number (RFC 5280 §5.2.4).
    Delta {
        /// The number of the complete CRL.
        base: u64,
    },
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
        let mut extensions = vec![authority_key_identifier(issuer)?, encode(false, &number)?];
        extensions.extend(self.scope.extension()?);
        let list = TbsCertList::<Raw> {
            version: Version::V2,
            signature: Decode::from_der(algorithm.algorithm_identifier())?,
            issuer: Name::from_der(&issuer.name_der)?,
            this_update: encode_time(self.this_update)?,
            next_update: Some(encode_time(self.next_update)?),
            // RFC 5280 §5.1.2.6: absent, not empty, when nothing is revoked.
            revoked_certificates: (!entries.is_empty()).then_some(entries),
            crl_extensions: Some(extensions),
        };
        Ok(ToBeSigned::new(list.to_der()?, algorithm))
    }
}

impl CrlScope {
    /// The extension that says so; none for a complete CRL without deltas.
    fn extension(&self) -> der::Result<Option<Extension>> {
        Ok(match self {
            Self::Complete { delta_url: None } => None,
            Self::Complete { delta_url: Some(url) } => {
                let point = DistributionPoint {
                    distribution_point: Some(full_name(std::slice::from_ref(url))?),
                    reasons: None,
                    crl_issuer: None,
                };
                Some(encode(false, &FreshestCrl(vec![point]))?)
            }
            Self::Shard { urls } => {
                let point = IssuingDistributionPoint {
                    distribution_point: Some(full_name(urls)?),
                    only_contains_user_certs: true,
                    only_contains_ca_certs: false,
                    only_some_reasons: None,
                    indirect_crl: false,
                    only_contains_attribute_certs: false,
                };
                // The crate has another extension's identifier for this type.
                Some(Extension {
                    extn_id: ID_CE_ISSUING_DISTRIBUTION_POINT,
                    critical: true,
                    extn_value: OctetString::new(point.to_der()?)?,
                })
            }
            Self::Delta { base } => {
                Some(encode(true, &BaseCrlNumber(Uint::new(&base.to_be_bytes())?))?)
            }
        })
    }
}

fn full_name(urls: &[String]) -> der::Result<DistributionPointName> {
    let name = |url: &String| der_name(&GeneralName::Uri(url.clone()));
    Ok(DistributionPointName::FullName(urls.iter().map(name).collect::<der::Result<_>>()?))
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
