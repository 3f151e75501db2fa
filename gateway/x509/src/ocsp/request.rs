//! Parses OCSP requests (RFC 6960 §4.1) within bounds.

use aws_lc_rs::digest::{self, SHA1_FOR_LEGACY_USE_ONLY, SHA256};
use const_oid::ObjectIdentifier;
use der::asn1::OctetString;
use der::{Decode, Encode};

use x509_cert::ext::Extension;

use super::asn1::{CertId, ID_PKIX_OCSP_NONCE, Request};
use crate::{Issuer, Serial};

/// Certificates that one request may ask about.
pub const MOST_CERTIFICATES: usize = 16;

/// The longest request that is read, in bytes. One about a single certificate has about a hundred, one about
/// [`MOST_CERTIFICATES`] by SHA-256 with the longest nonce less than 2,000.
const LARGEST_REQUEST: usize = 4096;

/// Extensions that a request, or a question in it, may have. RFC 6960 §4.4 knows three for requests.
const MOST_EXTENSIONS: usize = 8;

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
    /// It is too long.
    #[error("it has {0} bytes; {LARGEST_REQUEST} at most are read")]
    Size(usize),
    /// It asks about nothing, or about too much.
    #[error("it asks about {0} certificates; 1 to {MOST_CERTIFICATES} are answered")]
    Count(usize),
    /// The issuer is named by a hash that is not known here.
    #[error("it names issuers by the hash {0}; SHA-1 and SHA-256 are known")]
    Hash(ObjectIdentifier),
    /// The number is none that a certificate has.
    #[error("a serial number in it is longer than 20 bytes or not positive")]
    Serial,
    /// An extension is there twice, so that it is not clear which one counts.
    #[error("the extension {0} is in it twice")]
    Twice(ObjectIdentifier),
    /// It has more extensions than anybody needs.
    #[error("it has {0} extensions; {MOST_EXTENSIONS} at most are read")]
    Extensions(usize),
    /// An extension that is not known has to be heeded.
    #[error("it has the critical extension {0}, which is not known here")]
    Critical(ObjectIdentifier),
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
        if der.len() > LARGEST_REQUEST {
            return Err(OcspRequestError::Size(der.len()));
        }
        let request = Request::from_der(der)?;
        let list = request.content.list;
        if !(1..=MOST_CERTIFICATES).contains(&list.len()) {
            return Err(OcspRequestError::Count(list.len()));
        }
        let certificates = list
            .into_iter()
            .map(|one| {
                check(&one.extensions.unwrap_or_default())?;
                CertificateId::new(one.certificate)
            })
            .collect::<Result<_, _>>()?;
        let mut nonce = None;
        let extensions = request.content.extensions.unwrap_or_default();
        check(&extensions)?;
        for extension in extensions {
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

/// RFC 6960 §4.4: extensions that are not known are ignored, unless they are critical.
fn check(extensions: &[Extension]) -> Result<(), OcspRequestError> {
    if extensions.len() > MOST_EXTENSIONS {
        return Err(OcspRequestError::Extensions(extensions.len()));
    }
    for (place, extension) in extensions.iter().enumerate() {
        let oid = extension.extn_id;
        if extensions.iter().take(place).any(|earlier| earlier.extn_id == oid) {
            return Err(OcspRequestError::Twice(oid));
        }
        if extension.critical && oid != ID_PKIX_OCSP_NONCE {
            return Err(OcspRequestError::Critical(oid));
        }
    }
    Ok(())
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

    /// DER with this tag.
    fn der(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
        let content = parts.concat();
        let length = content.len();
        let mut whole = vec![tag];
        match length {
            0..128 => whole.push(u8::try_from(length).unwrap()),
            128..256 => whole.extend([0x81, u8::try_from(length).unwrap()]),
            _ => {
                whole.push(0x82);
                whole.extend(u16::try_from(length).unwrap().to_be_bytes());
            }
        }
        whole.extend(content);
        whole
    }

    fn extension(oid: &str, critical: bool, value: &[u8]) -> Vec<u8> {
        let truth: &[u8] = if critical { b"\x01\x01\xff" } else { b"" };
        der(0x30, &[&hex::decode(oid).unwrap(), truth, &der(4, &[value])])
    }

    fn nonce(bytes: &[u8]) -> Vec<u8> {
        extension(NONCE, false, &der(4, &[bytes]))
    }

    /// One question, with these extensions.
    fn question(hash: &str, serial: &str, extensions: &[Vec<u8>]) -> Vec<u8> {
        let (hash, serial) = (hex::decode(hash).unwrap(), hex::decode(serial).unwrap());
        let hash = der(0x30, &[&hash, b"\x05\x00"]);
        let id =
            der(0x30, &[&hash, &der(4, &[&[1; 20]]), &der(4, &[&[2; 20]]), &der(2, &[&serial])]);
        der(0x30, &[&id, &tagged(0xa0, extensions)])
    }

    /// Extensions under this tag; nothing if there are none.
    fn tagged(tag: u8, extensions: &[Vec<u8>]) -> Vec<u8> {
        if extensions.is_empty() {
            return Vec::new();
        }
        der(tag, &[&der(0x30, &[&extensions.concat()])])
    }

    fn asking(questions: &[Vec<u8>], extensions: &[Vec<u8>]) -> Vec<u8> {
        let list = der(0x30, &[&questions.concat()]);
        der(0x30, &[&der(0x30, &[&list, &tagged(0xa2, extensions)])])
    }

    /// As `openssl ocsp` makes it.
    fn request(hash: &str, serial: &str, bytes: &[u8]) -> Vec<u8> {
        asking(&[question(hash, serial, &[])], &[nonce(bytes)])
    }

    const NONCE: &str = "06092b0601050507300102";
    /// Of which nobody knows anything.
    const OTHER: &str = "06032a0304";
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

    fn refused(der: &[u8]) -> OcspRequestError {
        OcspRequest::from_der(der).expect_err("it is refused")
    }

    #[test]
    fn certificates_are_counted() {
        let many = |count| asking(&vec![question(SHA_256, "0102", &[]); count], &[]);
        let read = OcspRequest::from_der(&many(MOST_CERTIFICATES)).unwrap();
        assert_eq!(read.certificates.len(), MOST_CERTIFICATES);
        assert_eq!(refused(&many(MOST_CERTIFICATES + 1)), OcspRequestError::Count(17));
        assert_eq!(refused(&many(0)), OcspRequestError::Count(0));
        let long = many(70);
        assert_eq!(refused(&long), OcspRequestError::Size(long.len()));
    }

    #[test]
    fn nonces_have_1_to_128_bytes() {
        for length in [1, 16, 32, 128] {
            let read = OcspRequest::from_der(&request(SHA_1, "01", &vec![7; length])).unwrap();
            assert_eq!(read.nonce.map(|nonce| nonce.len()), Some(length));
        }
        for length in [0, 129, 1000] {
            let refused = refused(&request(SHA_1, "01", &vec![7; length]));
            assert_eq!(refused, OcspRequestError::Nonce(length));
        }
        // Of clients before RFC 8954.
        let bare = asking(&[question(SHA_1, "01", &[])], &[extension(NONCE, false, &[9; 16])]);
        assert_eq!(OcspRequest::from_der(&bare).unwrap().nonce, Some(vec![9; 16]));
    }

    #[test]
    fn extensions_that_are_not_clear_are_refused() {
        let other = |critical| extension(OTHER, critical, b"\x05\x00");
        let one = |extensions: &[Vec<u8>]| asking(&[question(SHA_1, "01", &[])], extensions);
        let within = |extensions: &[Vec<u8>]| asking(&[question(SHA_1, "01", extensions)], &[]);
        for fine in
            [one(&[other(false)]), within(&[other(false)]), one(&[nonce(&[1; 16]), other(false)])]
        {
            assert!(OcspRequest::from_der(&fine).is_ok());
        }
        for critical in [one(&[other(true)]), within(&[other(true)])] {
            assert!(matches!(refused(&critical), OcspRequestError::Critical(_)));
        }
        for twice in
            [one(&[nonce(&[1; 16]), nonce(&[2; 16])]), within(&[other(false), other(false)])]
        {
            assert!(matches!(refused(&twice), OcspRequestError::Twice(_)));
        }
        let many: Vec<_> =
            (1..=9).map(|last| extension(&format!("06032a03{last:02x}"), false, b"")).collect();
        assert_eq!(refused(&one(&many)), OcspRequestError::Extensions(9));
    }

    #[test]
    fn nothing_may_follow_a_request() {
        let mut longer = request(SHA_1, "0102", &[7; 16]);
        longer.push(0);
        assert!(matches!(refused(&longer), OcspRequestError::Malformed(_)));
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
