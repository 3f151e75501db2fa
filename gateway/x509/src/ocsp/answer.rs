//! Questions to foreign OCSP responders, and their answers. An answer is accepted only if the certificate's
//! issuer, or a responder that the issuer appointed, signed it.

use std::time::Duration;

use aws_lc_rs::digest::{self, SHA1_FOR_LEGACY_USE_ONLY};
use const_oid::ObjectIdentifier;
use der::asn1::{AnyRef, GeneralizedTime, Int, Null, OctetString, OctetStringRef};
use der::{Decode, Encode, Tag, Tagged};
use jiff::Timestamp;
use spki::AlgorithmIdentifierOwned;
use x509_cert::ext::Extension;

use super::asn1::{
    Answer, AnswerData, BasicResponse, CertId, CertStatus, ID_PKIX_OCSP_BASIC, ID_PKIX_OCSP_NONCE,
    Request, RequestContent, Responder, SingleRequest, Version,
};
use super::request::CertificateId;
use crate::{
    CertificateStatus, ExtendedKeyUsage, KeyUsage, ParsedCertificate, PublicKey, RevocationReason,
    RevokedEntry, Serial,
};

const SHA_1: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.14.3.2.26");

/// The extension by which a CA says that the revocation of its responder's certificate need not be checked
/// (RFC 6960 §4.2.2.2.1).
const NO_CHECK: &str = "1.3.6.1.5.5.7.48.1.5";

/// How many certificates of an answer are looked at.
const MOST_RESPONDERS: usize = 8;

/// A question about one certificate.
#[derive(Debug)]
pub struct OcspQuestion<'a> {
    issuer: &'a ParsedCertificate,
    key: &'a PublicKey,
    serial: Serial,
    nonce: Vec<u8>,
}

/// A responder's statement about the certificate in question. The signature was verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OcspAnswer {
    /// The certificate's status.
    pub status: CertificateStatus,
    /// When the responder knew this.
    pub this_update: Timestamp,
    /// Until when it is valid, if the answer says so.
    pub next_update: Option<Timestamp>,
    /// The serial number of the signer's certificate, unless the signer is the issuer itself or the issuer
    /// says that this certificate need not be checked.
    pub responder: Option<Serial>,
}

/// Why an answer is not accepted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OcspAnswerError {
    /// The DER is broken.
    #[error("it is not the DER of an OCSP response: {0}")]
    Malformed(#[from] der::Error),
    /// The responder does not answer (RFC 6960 §4.2.1).
    #[error("the responder answers with {0}")]
    Refused(&'static str),
    /// A response of another type.
    #[error("it is a response of the unknown type {0}")]
    Type(ObjectIdentifier),
    /// A critical extension that is not understood here.
    #[error("it has the critical extension {0}, which is not known here")]
    CriticalExtension(ObjectIdentifier),
    /// It answers another question.
    #[error("it says nothing about the certificate that was asked about")]
    AnotherCertificate,
    /// Its nonce is wrong: it may be an old answer.
    #[error("its nonce is another than that of the question")]
    Nonce,
    /// Neither the issuer nor a responder that it appointed signed it.
    #[error(
        "it is signed neither by the issuer of the certificate nor by a responder that the issuer appointed"
    )]
    Signer,
    /// It is from the future: one of the clocks is wrong.
    #[error("it begins at {0}, which is to come: is a clock wrong?")]
    Early(Timestamp),
    /// It is out of date.
    #[error("it is out of date since {0}")]
    Late(Timestamp),
}

impl<'a> OcspQuestion<'a> {
    /// A question about the certificate of this issuer with this number. The nonce should be random; it has
    /// 1 to 128 bytes. None if the issuer's key is of a kind that is not supported here.
    pub fn new(issuer: &'a ParsedCertificate, serial: Serial, nonce: Vec<u8>) -> Option<Self> {
        Some(Self { issuer, key: issuer.public_key().ok()?, serial, nonce })
    }

    /// The request (RFC 6960 §4.1). Issuers are named by SHA-1, which all responders know (RFC 5019 §2.1.1);
    /// it is a name, not a protection.
    ///
    /// # Errors
    /// A value cannot be encoded, which does not happen.
    pub fn to_der(&self) -> der::Result<Vec<u8>> {
        let hash = |bytes: &[u8]| {
            OctetString::new(digest::digest(&SHA1_FOR_LEGACY_USE_ONLY, bytes).as_ref())
        };
        let nonce = OctetString::new(self.nonce.as_slice())?.to_der()?;
        let one = SingleRequest {
            certificate: CertId {
                hash: AlgorithmIdentifierOwned { oid: SHA_1, parameters: Some(Null.into()) },
                issuer_name: hash(self.issuer.subject_der())?,
                issuer_key: hash(self.key.key_bits())?,
                serial: integer(&self.serial)?,
            },
            extensions: None,
        };
        let nonce = Extension {
            extn_id: ID_PKIX_OCSP_NONCE,
            critical: false,
            extn_value: OctetString::new(nonce)?,
        };
        let content = RequestContent {
            version: Version::V1,
            requestor: None,
            list: vec![one],
            extensions: Some(vec![nonce]),
        };
        Request { content, signature: None }.to_der()
    }

    /// The responder's statement, if it is acceptable at this moment. Clocks may differ by `leeway`. An
    /// answer without an end of its validity is valid for `otherwise`.
    ///
    /// # Errors
    /// See [`OcspAnswerError`].
    pub fn read(
        &self,
        der: &[u8],
        now: Timestamp,
        leeway: Duration,
        otherwise: Duration,
    ) -> Result<OcspAnswer, OcspAnswerError> {
        let answer = Answer::from_der(der)?;
        if let Some(refused) = refusal(&answer.status)? {
            return Err(OcspAnswerError::Refused(refused));
        }
        let bytes = answer.bytes.ok_or_else(|| der::Error::from(Tag::Sequence.value_error()))?;
        if bytes.kind != ID_PKIX_OCSP_BASIC {
            return Err(OcspAnswerError::Type(bytes.kind));
        }
        let basic = BasicResponse::from_der(bytes.response.as_bytes())?;
        let content = basic.content.to_der()?;
        let data = AnswerData::from_der(&content)?;
        self.check_nonce(data.extensions.as_deref().unwrap_or_default())?;
        let single = data.responses.into_iter().find(|single| self.is_about(&single.certificate));
        let single = single.ok_or(OcspAnswerError::AnotherCertificate)?;
        for extension in single.extensions.iter().flatten() {
            known(extension)?;
        }
        let this_update = moment(&single.this_update);
        let next_update = single.next_update.as_ref().map(moment);
        check_times([this_update, moment(&data.produced_at)], next_update, now, leeway, otherwise)?;
        let responder = self.verify(&basic, &content, &data.responder, now)?;
        let status = match single.status {
            CertStatus::Good(_) => CertificateStatus::Good,
            CertStatus::Unknown(_) => CertificateStatus::Unknown,
            CertStatus::Revoked(info) => {
                let code = info.reason.map_or(0, |reason| reason as u64);
                CertificateStatus::Revoked(RevokedEntry {
                    serial: self.serial,
                    at: moment(&info.at),
                    reason: RevocationReason::from_code(code).unwrap_or_default(),
                })
            }
        };
        Ok(OcspAnswer { status, this_update, next_update, responder })
    }

    fn is_about(&self, id: &CertId) -> bool {
        CertificateId::new(id.clone()).is_ok_and(|id| {
            *id.serial() == self.serial
                && id.is_of_key(self.issuer.subject_der(), self.key.key_bits())
        })
    }

    /// A responder may leave the nonce out (RFC 9654 §2.2); then only the answer's own dates count.
    fn check_nonce(&self, extensions: &[Extension]) -> Result<(), OcspAnswerError> {
        for extension in extensions {
            if extension.extn_id != ID_PKIX_OCSP_NONCE {
                known(extension)?;
                continue;
            }
            let value = extension.extn_value.as_bytes();
            let bytes =
                <&OctetStringRef>::from_der(value).map_or(value, |octets| octets.as_bytes());
            if bytes != self.nonce {
                return Err(OcspAnswerError::Nonce);
            }
        }
        Ok(())
    }

    /// Who signed it: the issuer, or a responder with a certificate from the issuer for signing OCSP
    /// responses (RFC 6960 §4.2.2.2).
    fn verify(
        &self,
        basic: &BasicResponse<'_>,
        content: &[u8],
        responder: &Responder<'_>,
        now: Timestamp,
    ) -> Result<Option<Serial>, OcspAnswerError> {
        let algorithm = basic.algorithm.to_der()?;
        let signature = basic.signature.as_bytes().ok_or(OcspAnswerError::Signer)?;
        let signed_by =
            |key: &PublicKey| key.verify_identified(&algorithm, content, signature).is_ok();
        if responder.is(self.issuer)? && signed_by(self.key) {
            return Ok(None);
        }
        for der in basic.certificates.iter().flatten().take(MOST_RESPONDERS) {
            let Ok(certificate) = ParsedCertificate::from_der(&der.to_der()?) else { continue };
            if !responder.is(&certificate)? || !self.appoints(&certificate, now) {
                continue;
            }
            if certificate.public_key().is_ok_and(signed_by) {
                let asked = !certificate.has_extension(NO_CHECK);
                return Ok(asked.then(|| *certificate.serial()));
            }
        }
        Err(OcspAnswerError::Signer)
    }

    fn appoints(&self, responder: &ParsedCertificate, now: Timestamp) -> bool {
        let signs = |all: crate::KeyUsages| {
            all.contains(KeyUsage::DigitalSignature) || all.contains(KeyUsage::ContentCommitment)
        };
        responder.issuer_der() == self.issuer.subject_der()
            && responder.extended_key_usages().contains(&ExtendedKeyUsage::OcspSigning)
            && responder.key_usages().is_none_or(signs)
            && (responder.not_before()..=responder.not_after()).contains(&now)
            && responder.verify_signed_by(self.key).is_ok()
    }
}

impl Responder<'_> {
    fn is(&self, certificate: &ParsedCertificate) -> Result<bool, OcspAnswerError> {
        Ok(match self {
            Self::ByName(name) => name.to_der()? == certificate.subject_der(),
            Self::ByKey(id) => certificate.public_key().is_ok_and(|key| {
                let hash = digest::digest(&SHA1_FOR_LEGACY_USE_ONLY, key.key_bits());
                hash.as_ref() == id.as_bytes()
            }),
        })
    }
}

fn refusal(status: &AnyRef<'_>) -> Result<Option<&'static str>, OcspAnswerError> {
    if status.tag() != Tag::Enumerated {
        return Err(der::Error::from(Tag::Enumerated.value_error()).into());
    }
    Ok(match status.value() {
        [0] => None,
        [1] => Some("malformedRequest"),
        [2] => Some("internalError"),
        [3] => Some("tryLater"),
        [5] => Some("sigRequired"),
        [6] => Some("unauthorized"),
        _ => return Err(der::Error::from(Tag::Enumerated.value_error()).into()),
    })
}

fn known(extension: &Extension) -> Result<(), OcspAnswerError> {
    if extension.critical {
        return Err(OcspAnswerError::CriticalExtension(extension.extn_id));
    }
    Ok(())
}

fn check_times(
    begins: [Timestamp; 2],
    ends: Option<Timestamp>,
    now: Timestamp,
    leeway: Duration,
    otherwise: Duration,
) -> Result<(), OcspAnswerError> {
    let latest = now.saturating_add(leeway).unwrap_or(Timestamp::MAX);
    if let Some(early) = begins.into_iter().find(|moment| *moment > latest) {
        return Err(OcspAnswerError::Early(early));
    }
    let [this_update, _] = begins;
    let after = |moment: Timestamp, by| moment.saturating_add(by).unwrap_or(Timestamp::MAX);
    let ends = ends.unwrap_or_else(|| after(this_update, otherwise));
    if after(ends, leeway) < now {
        return Err(OcspAnswerError::Late(ends));
    }
    Ok(())
}

fn moment(time: &GeneralizedTime) -> Timestamp {
    let seconds = i64::try_from(time.to_unix_duration().as_secs()).unwrap_or(i64::MAX);
    Timestamp::from_second(seconds).unwrap_or(Timestamp::MAX)
}

/// The number as the contents of a DER INTEGER.
fn integer(serial: &Serial) -> der::Result<Int> {
    let bytes = serial.as_bytes();
    let start = bytes.iter().position(|byte| *byte != 0).unwrap_or(bytes.len() - 1);
    let digits = bytes.get(start..).unwrap_or_default();
    let sign: &[u8] =
        if digits.first().is_some_and(|first| first & 0x80 != 0) { &[0] } else { &[] };
    Int::new(&[sign, digits].concat())
}
