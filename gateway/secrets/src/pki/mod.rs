//! The tenant's certificates behind a mount, as Vault's PKI engine shows them: found, read and revoked
//! here, whichever door they were issued at.

mod engine;
mod error;

pub use chancery_issuance::{BulkOutcome, InventoryEntry, Search};
pub use chancery_x509::{GeneralName, RevocationReason, Serial};

pub use engine::{Authority, MAX_PAGE, Pki};
pub use error::PkiError;

use chancery_x509::{ParsedCertificate, pem};

/// A certificate (DER) as PEM.
pub fn certificate_pem(der: &[u8]) -> String {
    pem::encode(pem::CERTIFICATE, der)
}

/// A CRL (DER) as PEM.
pub fn crl_pem(der: &[u8]) -> String {
    pem::encode(pem::CRL, der)
}

/// The serial number of a certificate in PEM; none if it is no certificate.
pub fn serial_in(certificate: &str) -> Option<Serial> {
    let certificates = pem::certificates(certificate).ok()?;
    ParsedCertificate::from_der(certificates.first()?).ok().map(|parsed| *parsed.serial())
}
