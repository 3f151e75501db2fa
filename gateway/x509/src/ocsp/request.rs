use aws_lc_rs::digest::{self, SHA1_FOR_LEGACY_USE_ONLY, SHA256};
use const_oid::ObjectIdentifier;
use der::asn1::OctetString;
use der::{Decode, Encode};

use super::asn1::{CertId, ID_PKIX_OCSP_NONCE, Request};
use crate::{Issuer, Serial};

/// Certificates that one request may ask about.
pub const MOST_CERTIFICATES: usize = 16;

/// The longest nonce that is answered, in bytes (RFC 9654 §2.1).
const LONGEST_NONCE: usize = 128;

const SHA_1: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.14.3.2.26");
const SHA_256: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.2.1");

/// A question about the status of certificates (RFC 6960 §4.1). A signature on it is not looked at: status
/// is told to everybody.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OcspRequest {
    /// The certificates that are asked about: at least one, at most [`MOST_CERTIFICATES`].
    pub certificates: Vec<CertificateId>,
    /// What the answer has to repeat, so that it cannot be an old one.
    pub nonce: Option<Vec<u8>>,
}

/// A certificate, as a request names it (RFC 6960 §4.1.1): by hashes of its issuer, and by its number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateId {
    pub(super) id: CertId,
    algorithm: &'static digest::Algorithm,
    serial: Serial,
}

/// Why a request is not answered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OcspRequestError {
    /// It is not the DER of a request.
    #[error("it is no OCSP request: {0}")]
    Malformed(#[from] der::Error),
    /// It asks about nothing, or about too much.
    #[error("it asks about {0} certificates; 1 to {MOST_CERTIFICATES} are answered")]
    Count(usize),
    /// The issuer is named by a hash that is not known here.
    #[error("it names issuers by the hash {0}; SHA-1 and SHA-256 are known")]
    Hash(ObjectIdentifier),
    /// The number is none that a certificate has.
    #[error("a serial number in it is longer than 20 bytes or not positive")]
    Serial,
    /// The nonce has a length that none has.
    #[error("its nonce has {0} bytes; 1 to {LONGEST_NONCE} are answered")]
    Nonce(usize),
}

impl OcspRequest {
    /// Reads a request.
    ///
    /// # Errors
    /// See [`OcspRequestError`].
    pub fn from_der(der: &[u8]) -> Result<Self, OcspRequestError> {
        let request = Request::from_der(der)?;
        let list = request.content.list;
        if !(1..=MOST_CERTIFICATES).contains(&list.len()) {
            return Err(OcspRequestError::Count(list.len()));
        }
        let certificates = list
            .into_iter()
            .map(|one| CertificateId::new(one.certificate))
            .collect::<Result<_, _>>()?;
        let mut nonce = None;
        for extension in request.content.extensions.unwrap_or_default() {
            if extension.extn_id == ID_PKIX_OCSP_NONCE {
                let value = extension.extn_value.as_bytes();
                // RFC 8954 §2.1 has an OCTET STRING; older clients send the bytes as they are.
                let bytes = OctetString::from_der(value)
                    .map_or_else(|_| value.to_vec(), |octets| octets.as_bytes().to_vec());
                if !(1..=LONGEST_NONCE).contains(&bytes.len()) {
                    return Err(OcspRequestError::Nonce(bytes.len()));
                }
                nonce = Some(bytes);
            }
        }
        Ok(Self { certificates, nonce })
    }
}

impl CertificateId {
    pub(super) fn new(id: CertId) -> Result<Self, OcspRequestError> {
        let algorithm = match id.hash.oid {
            SHA_1 => &SHA1_FOR_LEGACY_USE_ONLY,
            SHA_256 => &SHA256,
            other => return Err(OcspRequestError::Hash(other)),
        };
        let serial = serial(id.serial.as_bytes()).ok_or(OcspRequestError::Serial)?;
        Ok(Self { id, algorithm, serial })
    }

    /// The certificate's serial number.
    pub fn serial(&self) -> &Serial {
        &self.serial
    }

    /// Whether this is the issuer that is meant.
    pub fn is_of(&self, issuer: &Issuer) -> bool {
        self.is_of_key(&issuer.name_der, issuer.public_key().key_bits())
    }

    /// Whether the issuer that is meant has this name and key.
    pub(super) fn is_of_key(&self, name_der: &[u8], key_bits: &[u8]) -> bool {
        let hash = |bytes: &[u8]| digest::digest(self.algorithm, bytes);
        hash(name_der).as_ref() == self.id.issuer_name.as_bytes()
            && hash(key_bits).as_ref() == self.id.issuer_key.as_bytes()
    }

    /// By which the same question is known again.
    ///
    /// # Errors
    /// It cannot be encoded, which does not happen to what was decoded.
    pub fn to_der(&self) -> der::Result<Vec<u8>> {
        self.id.to_der()
    }
}

/// The number in the contents of a DER INTEGER.
fn serial(contents: &[u8]) -> Option<Serial> {
    if contents.first().is_none_or(|first| first & 0x80 != 0) {
        return None;
    }
    Serial::from_be_bytes(contents).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// By `openssl ocsp -sha256`, about the certificate 0x0102 with the nonce 00 to 0f.
    fn request(hash: &str, serial: &str, nonce: &[u8]) -> Vec<u8> {
        let sequence = |parts: &[&[u8]]| {
            let content = parts.concat();
            [&[0x30, u8::try_from(content.len()).unwrap()][..], &content].concat()
        };
        let octets = |bytes: &[u8]| [&[4, u8::try_from(bytes.len()).unwrap()][..], bytes].concat();
        let (hash, serial) = (hex::decode(hash).unwrap(), hex::decode(serial).unwrap());
        let number = [&[2, u8::try_from(serial.len()).unwrap()][..], &serial].concat();
        let id =
            sequence(&[&sequence(&[&hash, b"\x05\x00"]), &octets(&[1]), &octets(&[2]), &number]);
        let list = sequence(&[&sequence(&[&id])]);
        let oid = hex::decode("06092b0601050507300102").unwrap();
        let nonce = sequence(&[&oid, &octets(&octets(nonce))]);
        let extensions = sequence(&[&nonce]);
        let tagged = [&[0xa2, u8::try_from(extensions.len()).unwrap()][..], &extensions].concat();
        sequence(&[&sequence(&[&list, &tagged])])
    }

    const SHA_1: &str = "06052b0e03021a";
    const SHA_256: &str = "0609608648016503040201";

    #[test]
    fn a_request_names_certificates_and_a_nonce() {
        for hash in [SHA_1, SHA_256] {
            let read = OcspRequest::from_der(&request(hash, "0102", &[7; 16])).unwrap();
            assert_eq!(read.certificates.len(), 1);
            let number = read.certificates[0].serial();
            assert_eq!(*number, Serial::from_be_bytes(&[1, 2]).unwrap());
            assert_eq!(read.nonce, Some(vec![7; 16]));
        }
    }

    #[test]
    fn what_is_not_answered_is_told_apart() {
        let read = |hash, serial, nonce: &[u8]| {
            OcspRequest::from_der(&request(hash, serial, nonce)).unwrap_err()
        };
        let sha_512 = "0609608648016503040203";
        assert!(matches!(read(sha_512, "01", &[1]), OcspRequestError::Hash(_)));
        assert_eq!(read(SHA_1, "ff", &[1]), OcspRequestError::Serial);
        let long = "7f".repeat(21);
        assert_eq!(read(SHA_1, &long, &[1]), OcspRequestError::Serial);
        assert_eq!(read(SHA_1, "01", &[]), OcspRequestError::Nonce(0));
        assert!(matches!(OcspRequest::from_der(b"\x30\x00"), Err(OcspRequestError::Malformed(_))));
        assert_eq!(
            OcspRequest::from_der(b"\x30\x04\x30\x02\x30\x00"),
            Err(OcspRequestError::Count(0))
        );
    }

    proptest! {
        #[test]
        fn no_bytes_break_it(bytes in prop::collection::vec(any::<u8>(), 0..200), at in any::<prop::sample::Index>(), value in any::<u8>()) {
            let _ = OcspRequest::from_der(&bytes);
            let mut changed = request(SHA_1, "0102", &[7; 16]);
            let at = at.index(changed.len());
            changed[at] = value;
            let _ = OcspRequest::from_der(&changed);
        }
    }
}
