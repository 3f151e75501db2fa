//! The extensions that profiles add, in DER.

use chancery_guest::certificate::{Extension, Request};
use serde::Deserialize;

/// TLS features (RFC 7633 §4).
const TLS_FEATURE: &str = "1.3.6.1.5.5.7.1.24";
/// A SEQUENCE of one INTEGER: 5, `status_request`.
const STATUS_REQUEST: [u8; 5] = [0x30, 3, 2, 1, 5];
/// id-pkix-ocsp-nocheck (RFC 6960 §4.2.2.2.1), whose value is NULL.
const OCSP_NO_CHECK: &str = "1.3.6.1.5.5.7.48.1.5";
/// Certificate policies (RFC 5280 §4.2.1.4).
const POLICIES: &str = "2.5.29.32";

/// Whether certificates of a TLS server say that an OCSP answer has to be stapled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MustStaple {
    /// They never say it, whatever the request asks for.
    #[default]
    Omit,
    /// They say it if the request asks for it.
    Keep,
    /// They all say it.
    Always,
}

/// The extensions that every certificate of a profile has. Policies that are none have been refused,
/// or are refused after this.
pub(crate) fn fixed(staple: MustStaple, no_check: bool, policies: &[String]) -> Vec<Extension> {
    let mut list = Vec::new();
    if staple == MustStaple::Always {
        list.push(extension(TLS_FEATURE, STATUS_REQUEST.to_vec()));
    }
    if no_check {
        list.push(extension(OCSP_NO_CHECK, vec![5, 0]));
    }
    if !policies.is_empty() {
        let each = policies.iter().filter_map(|policy| object_identifier(policy));
        let each: Vec<u8> = each.flat_map(|oid| tagged(0x30, tagged(6, oid))).collect();
        list.push(extension(POLICIES, tagged(0x30, each)));
    }
    list
}

/// The extension that the request asks for, if it asks for stapling.
pub(crate) fn requested_staple(request: &Request) -> Option<Extension> {
    let asked = |one: &&Extension| one.oid == TLS_FEATURE && one.value == STATUS_REQUEST;
    let found = request.extensions.iter().find(asked);
    found.map(|_| extension(TLS_FEATURE, STATUS_REQUEST.to_vec()))
}

fn extension(oid: &str, value: Vec<u8>) -> Extension {
    Extension { oid: oid.to_owned(), critical: false, value }
}

/// The contents of an OBJECT IDENTIFIER (X.690 §8.19); none if the text is none.
pub(crate) fn object_identifier(text: &str) -> Option<Vec<u8>> {
    let arcs: Vec<u64> = text.split('.').map(|arc| arc.parse().ok()).collect::<Option<_>>()?;
    let [first, second, rest @ ..] = arcs.as_slice() else { return None };
    if *first > 2 || (*first < 2 && *second > 39) {
        return None;
    }
    let mut bytes = base_128((first * 40).checked_add(*second)?);
    bytes.extend(rest.iter().flat_map(|arc| base_128(*arc)));
    Some(bytes)
}

/// Seven bits to a byte, the most significant first, all but the last with the top bit set.
fn base_128(mut number: u64) -> Vec<u8> {
    let mut bytes = vec![(number & 0x7f) as u8];
    while number > 0x7f {
        number >>= 7;
        bytes.push((number & 0x7f) as u8 | 0x80);
    }
    bytes.reverse();
    bytes
}

fn tagged(tag: u8, contents: Vec<u8>) -> Vec<u8> {
    let mut bytes = vec![tag];
    let length = contents.len().to_be_bytes();
    let digits = || length.iter().copied().skip_while(|digit| *digit == 0);
    // X.690 §8.1.3: lengths from 128 on say first how many bytes they have.
    if contents.len() >= 0x80 {
        bytes.push(digits().fold(0x80, |count, _| count + 1));
    }
    bytes.extend(digits());
    if contents.is_empty() {
        bytes.push(0);
    }
    bytes.extend(contents);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn object_identifiers_are_encoded_as_der_says() {
        for (text, contents) in [
            ("2.23.140.1.2.1", Some(vec![0x67, 0x81, 0x0c, 1, 2, 1])),
            ("1.2.840.113549", Some(vec![0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d])),
            ("0.0", Some(vec![0])),
            ("2.999", Some(vec![0x88, 0x37])),
            ("1.40.1", None),
            ("3.1", None),
            ("1", None),
            ("1..2", None),
            ("one.two", None),
        ] {
            assert_eq!(object_identifier(text), contents, "{text}");
        }
    }

    #[test]
    fn long_lists_have_long_lengths() {
        let policies: Vec<_> = (0..40).map(|at| format!("1.3.6.1.4.1.99999.{at}")).collect();
        let list = fixed(MustStaple::Omit, false, &policies);
        let value = &list[0].value;
        // 40 times 13 bytes.
        assert_eq!(value[..4], [0x30, 0x82, 2, 8]);
        assert_eq!(value.len(), 4 + 520);
        assert_eq!(value[4..8], [0x30, 0x0b, 6, 9]);
    }
}
