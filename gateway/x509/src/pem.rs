//! PEM (RFC 7468): text around DER.

use der::pem::LineEnding;

/// What a PEM block holds: the words between `-----BEGIN ` and `-----`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Label(&'static str);

/// A certificate.
pub const CERTIFICATE: Label = Label("CERTIFICATE");
/// A PKCS#10 request.
pub const CERTIFICATE_REQUEST: Label = Label("CERTIFICATE REQUEST");
/// A CRL.
pub const CRL: Label = Label("X509 CRL");
/// A PKCS#8 private key.
pub const PRIVATE_KEY: Label = Label("PRIVATE KEY");
/// A `SubjectPublicKeyInfo`.
pub const PUBLIC_KEY: Label = Label("PUBLIC KEY");

/// The text holds no PEM block of the wanted kind, or a broken one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PemError {
    /// There is no block with this label.
    #[error("there is no `-----BEGIN {0}-----` block in the text")]
    Missing(&'static str),
    /// A block is not well-formed.
    #[error("PEM block number {number} is malformed: {reason}")]
    Malformed {
        /// Which block, counted from one.
        number: usize,
        /// What is wrong with it.
        reason: String,
    },
}

/// The PEM text of one document. Of a private key it is a secret too: wrap it.
pub fn encode(label: Label, der: &[u8]) -> String {
    // Fails only for a label with control characters or a document that fills the address space.
    der::pem::encode_string(label.0, LineEnding::LF, der).unwrap_or_default()
}

/// Certificates one after the other, as servers and ACME clients expect a chain (RFC 8555 §9.1).
pub fn encode_chain<D: AsRef<[u8]>>(chain: impl IntoIterator<Item = D>) -> String {
    chain.into_iter().map(|der| encode(CERTIFICATE, der.as_ref())).collect()
}

/// All documents with this label, in order. Blocks with other labels and text between blocks are
/// skipped.
///
/// # Errors
/// A block is broken, or there is none with the label.
pub fn decode(label: Label, text: &str) -> Result<Vec<Vec<u8>>, PemError> {
    const BEGIN: &str = "-----BEGIN ";
    let mut found = Vec::new();
    for (index, (start, _)) in text.match_indices(BEGIN).enumerate() {
        let malformed =
            |reason: String| PemError::Malformed { number: index.saturating_add(1), reason };
        let rest = text.get(start..).unwrap_or_default();
        let end = rest
            .match_indices("-----END ")
            .next()
            .ok_or_else(|| malformed("it has no END line".to_owned()))?
            .0;
        let tail = rest.get(end..).unwrap_or_default();
        let line = tail.lines().next().unwrap_or_default();
        let block = rest.get(..end.saturating_add(line.len())).unwrap_or_default();
        let own_label = block.strip_prefix(BEGIN).and_then(|b| b.split("-----").next());
        if own_label != Some(label.0) {
            continue;
        }
        let (_, der) = der::pem::decode_vec(block.trim_end().as_bytes())
            .map_err(|e| malformed(e.to_string()))?;
        found.push(der);
    }
    if found.is_empty() { Err(PemError::Missing(label.0)) } else { Ok(found) }
}
