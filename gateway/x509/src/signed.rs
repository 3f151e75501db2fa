//! The signed form that certificates, requests and CRLs share: content, algorithm and signature.

use der::asn1::BitStringRef;
use der::{Decode, Encode, Reader, SliceReader};

use crate::{BuildError, SignatureAlgorithm};

/// The outer form that certificates, requests and CRLs share (RFC 5280 §4.1.1, RFC 2986 §4): the
/// content, the algorithm and a signature over exactly the content's bytes.
pub(crate) struct Signed<'a> {
    /// DER of the content, as it is in the document: this is what the signature covers.
    pub(crate) content: &'a [u8],
    /// DER of the `AlgorithmIdentifier`.
    pub(crate) algorithm: &'a [u8],
    pub(crate) signature: &'a [u8],
}

impl<'a> Signed<'a> {
    pub(crate) fn from_der(der: &'a [u8]) -> der::Result<Self> {
        let mut reader = SliceReader::new(der)?;
        let signed = reader.sequence(|inner| {
            let content = inner.tlv_bytes()?;
            let algorithm = inner.tlv_bytes()?;
            let signature = BitStringRef::decode(inner)?
                .as_bytes()
                .ok_or_else(|| der::Error::from(der::Tag::BitString.value_error()))?;
            Ok::<_, der::Error>(Self { content, algorithm, signature })
        })?;
        reader.finish()?;
        Ok(signed)
    }
}

/// The DER encoding of a certificate's, CRL's or request's content, and the algorithm to sign it with.
/// The bytes cannot change any more: those that were linted are those that are signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ToBeSigned {
    der: Vec<u8>,
    algorithm: SignatureAlgorithm,
}

impl ToBeSigned {
    pub(crate) fn new(der: Vec<u8>, algorithm: SignatureAlgorithm) -> Self {
        Self { der, algorithm }
    }

    /// The bytes to sign.
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    /// The algorithm to sign with.
    pub fn algorithm(&self) -> SignatureAlgorithm {
        self.algorithm
    }

    /// The signed document in DER: these very bytes, the algorithm and the signature.
    ///
    /// # Errors
    /// The signature or the document is too large for DER (256 MiB).
    pub fn assemble(&self, signature: &[u8]) -> Result<Vec<u8>, BuildError> {
        let mut content = self.der.clone();
        content.extend_from_slice(self.algorithm.algorithm_identifier());
        BitStringRef::from_bytes(signature)?.encode_to_vec(&mut content)?;
        Ok(der::asn1::AnyRef::new(der::Tag::Sequence, &content)?.to_der()?)
    }
}
