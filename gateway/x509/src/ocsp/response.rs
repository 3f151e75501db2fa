//! Builds OCSP responses (RFC 6960 §4.2), and the unsigned error responses.

use aws_lc_rs::digest::{self, SHA1_FOR_LEGACY_USE_ONLY};
use der::asn1::{AnyRef, BitStringRef, GeneralizedTime, Null, OctetString};
use der::{DateTime, Decode, Encode};
use jiff::Timestamp;
use x509_cert::ext::Extension;

use super::asn1::{
    BasicResponse, CertStatus, ID_PKIX_OCSP_BASIC, ID_PKIX_OCSP_NONCE, ResponderId, Response,
    ResponseBytes, ResponseData, RevokedInfo, SingleResponse, Status,
};
use super::request::CertificateId;
use crate::{
    BuildError, PublicKey, RevocationReason, RevokedEntry, SignatureAlgorithm, ToBeSigned, crl,
};

/// An OCSP response about certificates (RFC 6960 §4.2).
#[derive(Debug, Clone)]
pub struct OcspTemplate {
    /// The responder's key.
    pub responder: PublicKey,
    /// When it is made; fractions of seconds are dropped.
    pub produced_at: Timestamp,
    /// The statuses, in the order of the questions.
    pub certificates: Vec<SingleStatus>,
    /// The request's nonce, if it had one.
    pub nonce: Option<Vec<u8>>,
}

/// The status of one certificate.
#[derive(Debug, Clone)]
pub struct SingleStatus {
    /// The certificate, as the request named it.
    pub certificate: CertificateId,
    /// Its status.
    pub status: CertificateStatus,
    /// When the status was known.
    pub this_update: Timestamp,
    /// Until when the status is valid.
    pub next_update: Timestamp,
}

/// The status of a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CertificateStatus {
    /// It was issued and is not revoked.
    Good,
    /// It is revoked.
    Revoked(RevokedEntry),
    /// It was not issued here.
    Unknown,
}

/// Why there is no answer (RFC 6960 §4.2.1). Such a response has no signature.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OcspFailure {
    /// The request cannot be read.
    Malformed,
    /// The responder is out of order.
    Internal,
    /// The responder cannot answer at present.
    TryLater,
    /// The responder does not speak for this issuer, or knows nothing of this certificate (RFC 5019
    /// §2.2.3).
    Unauthorized,
}

impl OcspFailure {
    /// The response.
    pub fn to_der(self) -> &'static [u8] {
        match self {
            Self::Malformed => b"\x30\x03\x0a\x01\x01",
            Self::Internal => b"\x30\x03\x0a\x01\x02",
            Self::TryLater => b"\x30\x03\x0a\x01\x03",
            Self::Unauthorized => b"\x30\x03\x0a\x01\x06",
        }
    }
}

impl OcspTemplate {
    /// The content of the response.
    ///
    /// # Errors
    /// A value cannot be encoded, or the algorithm does not fit the responder's key.
    pub fn build(&self, algorithm: SignatureAlgorithm) -> Result<ToBeSigned, BuildError> {
        if !algorithm.fits(self.responder.algorithm()) {
            return Err(BuildError::Algorithm(algorithm));
        }
        // RFC 6960 §4.2.1 wants SHA-1 here; it is a name, not a protection.
        let key = digest::digest(&SHA1_FOR_LEGACY_USE_ONLY, self.responder.key_bits());
        let nonce = self.nonce.as_deref().map(nonce).transpose()?;
        let data = ResponseData {
            responder: ResponderId::ByKey(OctetString::new(key.as_ref())?),
            produced_at: time(self.produced_at)?,
            responses: self.certificates.iter().map(single).collect::<Result<_, _>>()?,
            extensions: nonce.map(|nonce| vec![nonce]),
        };
        Ok(ToBeSigned::new(data.to_der()?, algorithm))
    }

    /// The response in DER: the content, its signature, and the certificates by which it can be verified.
    ///
    /// # Errors
    /// A part is not DER, or too large.
    pub fn assemble(
        content: &ToBeSigned,
        signature: &[u8],
        certificates: &[&[u8]],
    ) -> Result<Vec<u8>, BuildError> {
        let certificates = certificates
            .iter()
            .map(|der| AnyRef::from_der(der))
            .collect::<der::Result<Vec<_>>>()?;
        let basic = BasicResponse {
            content: AnyRef::from_der(content.der())?,
            algorithm: AnyRef::from_der(content.algorithm().algorithm_identifier())?,
            signature: BitStringRef::from_bytes(signature)?,
            certificates: (!certificates.is_empty()).then_some(certificates),
        }
        .to_der()?;
        let bytes = ResponseBytes { kind: ID_PKIX_OCSP_BASIC, response: OctetString::new(basic)? };
        Ok(Response { status: Status::Successful, bytes: Some(bytes) }.to_der()?)
    }
}

fn nonce(bytes: &[u8]) -> Result<Extension, BuildError> {
    let value = OctetString::new(bytes)?.to_der()?;
    let extn_value = OctetString::new(value)?;
    Ok(Extension { extn_id: ID_PKIX_OCSP_NONCE, critical: false, extn_value })
}

fn single(said: &SingleStatus) -> Result<SingleResponse, BuildError> {
    Ok(SingleResponse {
        certificate: said.certificate.id.clone(),
        status: match said.status {
            CertificateStatus::Good => CertStatus::Good(Null),
            CertificateStatus::Unknown => CertStatus::Unknown(Null),
            CertificateStatus::Revoked(entry) => CertStatus::Revoked(RevokedInfo {
                at: time(entry.at)?,
                reason: reason(entry.reason),
            }),
        },
        this_update: time(said.this_update)?,
        next_update: Some(time(said.next_update)?),
    })
}

/// As in CRLs, `unspecified` is left out (RFC 6960 §4.4.5).
fn reason(reason: RevocationReason) -> Option<x509_cert::ext::pkix::CrlReason> {
    crl::reason(reason)
}

fn time(moment: Timestamp) -> Result<GeneralizedTime, BuildError> {
    let seconds = u64::try_from(moment.as_second()).map_err(|_| BuildError::Time(moment))?;
    let date = DateTime::from_unix_duration(std::time::Duration::from_secs(seconds));
    date.map(GeneralizedTime::from_date_time).map_err(|_| BuildError::Time(moment))
}
