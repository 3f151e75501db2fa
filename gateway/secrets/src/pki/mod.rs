//! The tenant's certificates behind a mount, as Vault's PKI engine shows them: found, read and revoked
//! here, whichever door they were issued at, and issued for those who show their client certificate.

mod engine;
mod error;
mod operations;
mod sign;

pub use chancery_issuance::{BulkOutcome, InventoryEntry, IssuedCertificate, Search, Searched};
pub use chancery_x509::{CertificateRequest, GeneralName, RevocationReason, Serial};

pub use engine::{Authority, MAX_PAGE, Pki};
pub use error::PkiError;
pub use sign::Wanted;

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

/// The signing request in PEM, its signature verified.
///
/// # Errors
/// Says what is wrong with it, for the caller.
pub fn csr_in(request: &str) -> Result<CertificateRequest, String> {
    let found =
        pem::decode(pem::CERTIFICATE_REQUEST, request).map_err(|error| error.to_string())?;
    let [der] = &*found else { return Err("give one request in PEM".to_owned()) };
    CertificateRequest::from_der(der).map_err(|error| error.to_string())
}
