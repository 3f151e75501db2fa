use chancery_keys::KeyName;
use chancery_x509::{Issuer, ParsedCertificate, PublicKey, SignatureAlgorithm};

use crate::OpenError;
use crate::record::CertifiedKey;

/// A CA certificate and the name of its key.
pub(crate) struct Authority {
    key: KeyName,
    certificate: ParsedCertificate,
    issuer: Issuer,
    id: String,
}

impl Authority {
    pub(crate) fn from_record(record: &CertifiedKey) -> Result<Self, OpenError> {
        let der = hex::decode(&record.certificate)
            .map_err(|_| OpenError::Mismatch("a stored certificate is not in hex"))?;
        Self::new(record.key.clone(), &der)
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

/// That the root signed itself and the issuing CA.
pub(crate) fn check_pair(root: &Authority, issuing: &Authority) -> Result<(), OpenError> {
    let by_root = |certificate: &ParsedCertificate| {
        certificate.issuer_der() == root.certificate().subject_der()
            && certificate.verify_signed_by(root.public_key()).is_ok()
    };
    if !by_root(root.certificate()) {
        return Err(OpenError::Mismatch("the root certificate is not signed by its own key"));
    }
    if !by_root(issuing.certificate()) {
        return Err(OpenError::Mismatch("the issuing certificate is not signed by the root"));
    }
    Ok(())
}
