//! Whose client certificates are believed: read at start and at each reload.

use std::sync::Arc;

use anyhow::{Context, Result};
use chancery_identity::{EvidenceError, StillHolds};
use chancery_issuance::Issuance;
use chancery_x509::{ParsedCertificate, pem};

use crate::config::ClientsConfig;

/// The roots for client certificates: the files of the configuration and, unless switched off, the
/// roots of the gateway's own CAs.
///
/// # Errors
/// Names the file that cannot be read or holds something other than certificates.
pub(crate) fn client_roots<'a>(
    clients: &ClientsConfig,
    own_roots: impl Iterator<Item = &'a [u8]>,
) -> Result<Vec<Vec<u8>>> {
    let mut roots = vec![];
    if clients.trust_own_ca {
        roots.extend(own_roots.map(<[u8]>::to_vec));
    }
    for path in &clients.roots {
        let text = std::fs::read_to_string(path)
            .with_context(|| format!("clients.roots: cannot read {}", path.display()))?;
        let found =
            certificates_in(&text).with_context(|| format!("clients.roots: {}", path.display()))?;
        roots.extend(found);
    }
    Ok(roots)
}

/// Whether a client certificate that was issued here was not revoked since. It answers from memory.
pub(crate) fn not_revoked(issuance: &Issuance) -> StillHolds {
    let issuance = issuance.clone();
    Arc::new(move |certificate| {
        if issuance.is_revoked(&certificate.authority_key_id, &certificate.serial) {
            return Err(EvidenceError::Revoked);
        }
        Ok(())
    })
}

/// The certificates in PEM text, as DER.
///
/// # Errors
/// If there is none, or one is no certificate.
pub(crate) fn certificates_in(text: &str) -> Result<Vec<Vec<u8>>> {
    let found = pem::decode(pem::CERTIFICATE, text)?;
    for der in &found {
        ParsedCertificate::from_der(der)?;
    }
    Ok(found)
}
