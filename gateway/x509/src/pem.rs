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

/// All certificates in the text, in order.
///
/// # Errors
/// A block is broken, or there is no certificate.
pub fn certificates(text: &str) -> Result<Vec<Vec<u8>>, PemError> {
    decode(CERTIFICATE, text)
}

/// All documents with this label, in order. Blocks with other labels and text between blocks are
/// skipped.
///
/// # Errors
/// A block is broken, or there is none with the label.
pub fn decode(label: Label, text: &str) -> Result<Vec<Vec<u8>>, PemError> {
    const BEGIN: &str = "-----BEGIN ";
    let mut found = Vec::new();
    let mut number = 0_usize;
    let mut rest = text;
    while let Some(start) = rest.find(BEGIN) {
        number = number.saturating_add(1);
        let malformed = |reason: String| PemError::Malformed { number, reason };
        let from_begin = rest.get(start..).unwrap_or_default();
        let end = from_begin
            .find("-----END ")
            .ok_or_else(|| malformed("it has no END line".to_owned()))?;
        let end_line = from_begin.get(end..).and_then(|tail| tail.lines().next());
        let length = end.saturating_add(end_line.map_or(0, str::len));
        let (block, after) = from_begin.split_at_checked(length).unwrap_or((from_begin, ""));
        rest = after;
        let own_label = block.strip_prefix(BEGIN).and_then(|b| b.split("-----").next());
        if own_label == Some(label.0) {
            let (_, der) = der::pem::decode_vec(block.trim_end().as_bytes())
                .map_err(|e| malformed(e.to_string()))?;
            found.push(der);
        }
    }
    if found.is_empty() { Err(PemError::Missing(label.0)) } else { Ok(found) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn finds_the_blocks_of_one_kind_between_other_text() {
        let text = format!(
            "subject=x\n{}\r\nkey:\n{}and\n{}",
            encode(CERTIFICATE, b"one").replace('\n', "\r\n"),
            encode(PRIVATE_KEY, b"secret"),
            encode(CERTIFICATE, &[7; 100]),
        );
        assert_eq!(decode(CERTIFICATE, &text).unwrap(), [b"one".to_vec(), vec![7; 100]]);
        assert_eq!(decode(PRIVATE_KEY, &text).unwrap(), [b"secret".to_vec()]);
        assert_eq!(decode(CRL, &text), Err(PemError::Missing("X509 CRL")));
    }

    #[test]
    fn a_broken_block_is_named_by_its_number() {
        let good = encode(CERTIFICATE, b"one");
        for broken in [
            "-----BEGIN CERTIFICATE-----\n",
            "-----BEGIN CERTIFICATE-----\n!!!!\n-----END CERTIFICATE-----\n",
            "-----BEGIN CERTIFICATE-----\nb25l\n-----END X509 CRL-----\n",
        ] {
            let outcome = decode(CERTIFICATE, &format!("{good}{broken}"));
            assert!(matches!(outcome, Err(PemError::Malformed { number: 2, .. })), "{outcome:?}");
        }
    }

    #[test]
    fn a_chain_is_the_certificates_one_after_the_other() {
        let chain = encode_chain([b"one", b"two"]);
        assert_eq!(chain, encode(CERTIFICATE, b"one") + &encode(CERTIFICATE, b"two"));
        assert!(chain.ends_with("-----END CERTIFICATE-----\n"));
    }

    proptest! {
        #[test]
        fn decodes_what_it_encodes(documents in proptest::collection::vec(
            proptest::collection::vec(any::<u8>(), 1..300), 1..4,
        )) {
            prop_assert_eq!(decode(CERTIFICATE, &encode_chain(&documents)).unwrap(), documents);
        }

        #[test]
        fn never_panics(text in "(-----(BEGIN|END) CERTIFICATE-----|\n|[A-Za-z=é]|-----){0,20}") {
            let _ = decode(CERTIFICATE, &text);
        }
    }
}
