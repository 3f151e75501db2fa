//! A CA certificate with the name of its signing key.

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
