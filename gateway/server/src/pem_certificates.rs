//! Certificates in the operator's files.

use anyhow::Result;
use chancery_x509::{ParsedCertificate, pem};

/// Reads the certificates in PEM text, as DER.
///
/// # Errors
/// There is none, or one of them is not a certificate.
pub(crate) fn certificates_in(text: &str) -> Result<Vec<Vec<u8>>> {
    let found = pem::decode(pem::CERTIFICATE, text)?;
    for der in &found {
        ParsedCertificate::from_der(der)?;
    }
    Ok(found)
}
