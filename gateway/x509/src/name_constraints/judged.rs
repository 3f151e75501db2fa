//! Which constraints the verifier of certificates can check.
//!
//! `rustls-webpki` verifies clients here, and certificates in most Rust programs. It knows constraints
//! on DNS names and on IP addresses. It does not ignore others: it refuses every certificate that has a
//! name of such a kind. For directory names it refuses every certificate, since each has a subject. So
//! a CA with such a constraint locks out everybody below it.

use std::collections::BTreeSet;

use const_oid::AssociatedOid as _;
use der::Encode as _;
use x509_cert::ext::pkix::NameConstraints as DerNameConstraints;
use x509_cert::ext::pkix::name::GeneralName as DerName;

use super::NameConstraints;
use crate::extensions::{self, ExtensionError};
use crate::{GeneralName, ParsedCertificate};

/// A CA's name constraints that verifiers of TLS certificates do not check.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UnjudgedConstraints {
    /// The extension is malformed.
    #[error("its name constraints cannot be read: {0}")]
    Malformed(ExtensionError),
    /// Some have kinds or values that are not checked.
    #[error(
        "it has name constraints that verifiers of TLS certificates do not judge, so that they refuse \
         the certificates below it: {}; only constraints on DNS names and IP addresses can be used",
        .0.join(", ")
    )]
    Unjudged(Vec<&'static str>),
}

impl NameConstraints {
    /// Checks that verifiers can judge the constraints in a CA's certificate, if it has any. Call this
    /// before such a CA is trusted or made.
    ///
    /// # Errors
    /// They are malformed, or about other names than DNS names and IP addresses (RFC 5280 §4.2.1.10 has
    /// more kinds), or have distances.
    pub fn check_judged(certificate: &ParsedCertificate) -> Result<(), UnjudgedConstraints> {
        let found = extensions::find::<DerNameConstraints>(certificate.extensions());
        let Some((_, constraints)) = found.map_err(UnjudgedConstraints::Malformed)? else {
            return Ok(());
        };
        let oid = DerNameConstraints::OID.to_string();
        let raw = certificate.extension(&oid).map(|extension| extension.value);
        let unjudged = unjudged(&constraints, raw.unwrap_or_default());
        if unjudged.is_empty() { Ok(()) } else { Err(UnjudgedConstraints::Unjudged(unjudged)) }
    }
}

/// Which of the constraints, which were read from `raw`, verifiers do not check.
pub(crate) fn unjudged(constraints: &DerNameConstraints, raw: &[u8]) -> Vec<&'static str> {
    let lists = [&constraints.permitted_subtrees, &constraints.excluded_subtrees];
    let trees = || lists.into_iter().flatten().flatten();
    let mut found: BTreeSet<&'static str> =
        trees().filter_map(|tree| why_not(&tree.base)).collect();
    let has_distances = trees().any(|tree| tree.minimum != 0 || tree.maximum.is_some());
    // DER leaves out a minimum of zero.
    if has_distances || constraints.to_der().ok().as_deref() != Some(raw) {
        found.insert("distances (minimum, maximum)");
    }
    found.into_iter().collect()
}

fn why_not(base: &DerName) -> Option<&'static str> {
    match base {
        DerName::DnsName(name) => {
            (!is_dns_base(name.as_str())).then_some("a DNS name that is none")
        }
        DerName::IpAddress(bytes) => {
            (!is_network(bytes.as_bytes())).then_some("a network that is none")
        }
        DerName::Rfc822Name(_) => Some("e-mail addresses"),
        DerName::UniformResourceIdentifier(_) => Some("URIs"),
        DerName::DirectoryName(_) => Some("directory names"),
        DerName::OtherName(_) => Some("other names"),
        DerName::EdiPartyName(_) => Some("EDI party names"),
        DerName::RegisteredId(_) => Some("registered identifiers"),
    }
}

/// A domain; or, with a leading dot, the names below it; or the empty text for all names.
fn is_dns_base(text: &str) -> bool {
    let name = text.strip_prefix('.').unwrap_or(text);
    // Names that are not host names contain underscores, and may be constrained too.
    let host = name.replace('_', "x");
    let is_name =
        matches!(GeneralName::dns(&host), Ok(GeneralName::Dns(found)) if !found.starts_with('*'));
    text.is_empty() || is_name
}

/// An address, then a mask of ones followed by zeros.
fn is_network(bytes: &[u8]) -> bool {
    let (8 | 32) = bytes.len() else { return false };
    let (_, mask) = bytes.split_at(bytes.len() / 2);
    let mut bits = mask.iter().flat_map(|byte| (0..8).map(move |bit| byte << bit & 0x80 != 0));
    bits.by_ref().find(|bit| !bit);
    bits.all(|bit| !bit)
}

#[cfg(test)]
mod tests {
    use der::Decode as _;
    use der::asn1::{Ia5String, OctetString};
    use x509_cert::ext::pkix::constraints::name::GeneralSubtree;

    use super::*;

    fn tree(base: DerName) -> GeneralSubtree {
        GeneralSubtree { base, minimum: 0, maximum: None }
    }

    fn of(trees: Vec<GeneralSubtree>) -> Vec<&'static str> {
        let constraints =
            DerNameConstraints { permitted_subtrees: None, excluded_subtrees: Some(trees) };
        unjudged(&constraints, &constraints.to_der().unwrap())
    }

    fn dns(text: &str) -> DerName {
        DerName::DnsName(Ia5String::new(text).unwrap())
    }

    fn ip(bytes: &[u8]) -> DerName {
        DerName::IpAddress(OctetString::new(bytes).unwrap())
    }

    #[test]
    fn domains_and_networks_are_judged() {
        for text in ["", "example.com", ".example.com", "com", "_x.example.com"] {
            assert_eq!(of(vec![tree(dns(text))]), [] as [&str; 0], "{text}");
        }
        for bytes in [&[10, 0, 0, 0, 255, 128, 0, 0][..], &[0; 8], &[0xff; 32], &[0; 32]] {
            assert_eq!(of(vec![tree(ip(bytes))]), [] as [&str; 0], "{bytes:?}");
        }
    }

    #[test]
    fn everything_else_is_not_and_each_kind_is_told_once() {
        let uri = || DerName::UniformResourceIdentifier(Ia5String::new("prod.example").unwrap());
        let email = || DerName::Rfc822Name(Ia5String::new("example.com").unwrap());
        let directory =
            || DerName::DirectoryName(x509_cert::name::Name::from_der(&[0x30, 0]).unwrap());
        let trees = [uri(), uri(), email(), directory(), dns("example.com")];
        assert_eq!(
            of(trees.into_iter().map(tree).collect()),
            ["URIs", "directory names", "e-mail addresses"]
        );
        for text in ["*.example.com", ".", "a..b", "example.com.", "a b", "-a.b"] {
            assert_eq!(of(vec![tree(dns(text))]), ["a DNS name that is none"], "{text}");
        }
        for bytes in [&[10, 0, 0, 0][..], &[10, 0, 0, 0, 255, 0, 255, 0], &[0; 9]] {
            assert_eq!(of(vec![tree(ip(bytes))]), ["a network that is none"], "{bytes:?}");
        }
    }

    #[test]
    fn distances_are_not_judged_even_if_they_say_nothing() {
        let far = GeneralSubtree { maximum: Some(3), ..tree(dns("example.com")) };
        assert_eq!(of(vec![far]), ["distances (minimum, maximum)"]);
        // `minimum` is written out although it is the default.
        let raw = hex::decode("3014a0123010820b6578616d706c652e636f6d800100").unwrap();
        let judged = DerNameConstraints::from_der(&raw).map(|read| unjudged(&read, &raw));
        assert_ne!(judged, Ok(Vec::new()));
    }
}
