//! Whose client certificates are believed: read at start and at each reload.

use anyhow::{Context, Result};
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
