//! Issued certificates and serial numbers in the form that Vault's clients expect.

use chancery_secrets::pki::{InventoryEntry, Serial, certificate_pem};
use serde::Serialize;

/// What a list tells of a certificate.
#[derive(Serialize)]
pub(super) struct CertificateView {
    pub(super) serial_number: String,
    names: Vec<String>,
    requester: String,
    issuer: String,
    profile: String,
    spki_sha256: String,
    fingerprint: String,
    not_before: String,
    not_after: String,
    issued_at: String,
    pub(super) revocation_time: i64,
    pub(super) revocation_time_rfc3339: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    revocation_reason: Option<u8>,
    #[serde(skip_serializing_if = "Option::is_none")]
    revoked_by: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    certificate: Option<String>,
}

impl CertificateView {
    pub(super) fn of(entry: &InventoryEntry) -> Self {
        let revoked = entry.revoked.as_ref();
        Self {
            serial_number: serial(&entry.serial),
            names: entry.names.iter().map(ToString::to_string).collect(),
            requester: entry.requester.clone(),
            issuer: entry.issuer.clone(),
            profile: entry.profile.clone(),
            spki_sha256: entry.spki_sha256.clone(),
            fingerprint: entry.fingerprint.to_string(),
            not_before: entry.not_before.to_string(),
            not_after: entry.not_after.to_string(),
            issued_at: entry.issued_at.to_string(),
            // As Vault has it: 0 and nothing for what is not revoked.
            revocation_time: revoked.map_or(0, |revoked| revoked.at.as_second()),
            revocation_time_rfc3339: revoked.map(|r| r.at.to_string()).unwrap_or_default(),
            revocation_reason: revoked.map(|revoked| revoked.reason.code()),
            revoked_by: revoked.map(|revoked| revoked.by.clone()),
            certificate: None,
        }
    }

    /// The same with the certificate itself, in PEM.
    pub(super) fn with_certificate(entry: &InventoryEntry) -> Self {
        Self { certificate: Some(certificate_pem(&entry.der)), ..Self::of(entry) }
    }
}

/// Pairs of hex digits with colons between them.
pub(super) fn serial(serial: &Serial) -> String {
    let bytes = serial.as_bytes();
    let start = bytes.iter().position(|byte| *byte != 0).unwrap_or(bytes.len() - 1);
    let pairs = bytes.iter().skip(start).map(|byte| format!("{byte:02x}"));
    pairs.collect::<Vec<_>>().join(":")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn serial_numbers_are_written_as_vault_does() {
        for (given, shown) in [("abc", "0a:bc"), ("0", "00"), ("ff00", "ff:00")] {
            assert_eq!(serial(&given.parse().unwrap()), shown);
        }
    }
}
