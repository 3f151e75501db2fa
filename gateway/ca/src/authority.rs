use chancery_keys::KeyName;
use chancery_x509::{Issuer, ParsedCertificate, PublicKey, SignatureAlgorithm};

use crate::OpenError;
use crate::record::{self, CertifiedKey};

/// A CA certificate and the name of its key.
pub(crate) struct Authority {
    key: KeyName,
    certificate: ParsedCertificate,
    issuer: Issuer,
    id: String,
}

impl Authority {
    pub(crate) fn from_record(record: &CertifiedKey) -> Result<Self, OpenError> {
        Self::new(record.key.clone(), &record::certificate(&record.certificate)?)
    }

    pub(crate) fn new(key: KeyName, der: &[u8]) -> Result<Self, OpenError> {
        let certificate = ParsedCertificate::from_der(der)?;
        let issuer = Issuer::from_certificate(&certificate)?;
        let id = issuer.key_id_hex();
        Ok(Self { key, certificate, issuer, id })
    }

    pub(crate) fn key(&self) -> &KeyName {
        &self.key
    }

    pub(crate) fn certificate(&self) -> &ParsedCertificate {
        &self.certificate
    }

    pub(crate) fn issuer(&self) -> &Issuer {
        &self.issuer
    }

    pub(crate) fn public_key(&self) -> &PublicKey {
        self.issuer.public_key()
    }

    /// The key identifier in lower-case hex.
    pub(crate) fn id(&self) -> &str {
        &self.id
    }

    /// What this CA signs with.
    pub(crate) fn algorithm(&self) -> SignatureAlgorithm {
        SignatureAlgorithm::default_for(self.public_key().algorithm())
    }
}

/// That each certificate is signed by the next one and the last one by itself, and that all but the last
/// may be below what follows.
pub(crate) fn check_chain(chain: &[&ParsedCertificate]) -> Result<(), OpenError> {
    for (below, certificate) in chain.iter().enumerate() {
        let above = chain.get(below + 1).unwrap_or(certificate);
        let key = above.public_key().map_err(|_| {
            OpenError::Mismatch("a key in the chain is not of a kind that is supported here")
        })?;
        if certificate.issuer_der() != above.subject_der()
            || certificate.verify_signed_by(key).is_err()
        {
            return Err(OpenError::Mismatch(
                "a certificate of the chain is not signed by the one above it; the last has to be a \
                 root, signed by itself",
            ));
        }
        if !certificate.is_ca() {
            return Err(OpenError::Mismatch("a certificate of the chain is not a CA's"));
        }
        // RFC 5280 §4.2.1.9: so many CAs may stand between it and a leaf.
        if certificate.path_length().is_some_and(|room| below > usize::from(room)) {
            return Err(OpenError::Mismatch("the path length of a certificate is exceeded"));
        }
    }
    Ok(())
}
