//! Lints the extensions of a certificate (RFC 5280 §4.2).

use std::collections::BTreeSet;

use const_oid::db::rfc5280;
use const_oid::{AssociatedOid, ObjectIdentifier};
use der::Decode;
use x509_cert::ext::Extension;
use x509_cert::ext::pkix::name::{DistributionPointName, GeneralName as DerName};
use x509_cert::ext::pkix::{
    AccessDescription, AuthorityInfoAccessSyntax, AuthorityKeyIdentifier, BasicConstraints,
    CrlDistributionPoints, ExtendedKeyUsage as DerExtendedKeyUsage, KeyUsage as DerKeyUsage,
    NameConstraints, SubjectAltName, SubjectKeyIdentifier,
};

use super::Findings;
use super::context::Context;
use crate::name_constraints::judged::unjudged;
use crate::{
    ExtendedKeyUsage, ExtraExtension, KeyAlgorithm, KeyUsage, KeyUsages, Kind, extensions,
};

pub(super) fn all(context: &Context<'_>, findings: &mut Findings) {
    repertoire(context, findings);
    basic_constraints(context, findings);
    key_usage(context, findings);
    extended_key_usage(context, findings);
    key_identifiers(context, findings);
    locations(context, findings);
    name_constraints(context, findings);
}

fn name_constraints(context: &Context<'_>, findings: &mut Findings) {
    let Some((critical, constraints)) = read::<NameConstraints>(context, findings) else { return };
    let trees = [&constraints.permitted_subtrees, &constraints.excluded_subtrees];
    let none_or_some = trees.iter().all(|list| list.as_ref().is_none_or(|list| !list.is_empty()));
    let whole = trees.into_iter().flatten().flatten();
    let whole = whole.fold(true, |all, tree| all && tree.minimum == 0 && tree.maximum.is_none());
    findings.require(
        critical && matches!(context.kind, Kind::Ca { .. }) && !context.is_root(),
        "name-constraints",
        "name constraints are not critical, or not of a CA below another (RFC 5280 §4.2.1.10)",
    );
    findings.require(
        none_or_some && whole && trees.iter().any(|list| list.is_some()),
        "name-constraints",
        "name constraints are empty, or have distances (RFC 5280 §4.2.1.10)",
    );
    let raw = context.extensions().iter().find(|one| one.extn_id == NameConstraints::OID);
    let raw = raw.map(|one| one.extn_value.as_bytes()).unwrap_or_default();
    for what in unjudged(&constraints, raw) {
        findings.note(
            "name-constraints-unjudged",
            format!(
                "verifiers of TLS certificates do not judge constraints on {what}: they refuse what \
                 is below them"
            ),
        );
    }
}

/// Only extensions that the other rules look at, each once.
fn repertoire(context: &Context<'_>, findings: &mut Findings) {
    const KNOWN: [ObjectIdentifier; 9] = [
        BasicConstraints::OID,
        DerKeyUsage::OID,
        DerExtendedKeyUsage::OID,
        SubjectKeyIdentifier::OID,
        AuthorityKeyIdentifier::OID,
        SubjectAltName::OID,
        CrlDistributionPoints::OID,
        AuthorityInfoAccessSyntax::OID,
        NameConstraints::OID,
    ];
    let mut seen = BTreeSet::new();
    for extension in context.extensions() {
        let oid = extension.extn_id;
        if ExtraExtension::is_one(oid) {
            extra(context, extension, findings);
        } else if !KNOWN.contains(&oid) {
            findings.note("extension-unknown", format!("the extension {oid} is none of ours"));
        }
        if !seen.insert(oid) {
            findings.note(
                "extension-twice",
                format!("the extension {oid} appears twice (RFC 5280 §4.2)"),
            );
        }
    }
}

/// An extension that not every certificate has: as it may be, and where it may be.
fn extra(context: &Context<'_>, extension: &Extension, findings: &mut Findings) {
    let oid = extension.extn_id.to_string();
    let value = extension.extn_value.as_bytes();
    let extra = match ExtraExtension::from_parts(&oid, extension.critical, value) {
        Ok(extra) => extra,
        Err(error) => return findings.note("extension-extra", error.to_string()),
    };
    findings.require(
        matches!(context.kind, Kind::Leaf),
        "extension-extra",
        "a CA certificate here has only the extensions that every one has",
    );
    let purposes = extensions::find::<DerExtendedKeyUsage>(context.extensions()).ok().flatten();
    let has = |usage: ExtendedKeyUsage| {
        purposes.as_ref().is_some_and(|(_, found)| found.0.contains(&usage.oid()))
    };
    findings.require(
        extra != ExtraExtension::OcspNoCheck || has(ExtendedKeyUsage::OcspSigning),
        "ocsp-no-check",
        "ocsp-nocheck is for certificates that sign OCSP answers (RFC 6960 §4.2.2.2.1)",
    );
    findings.require(
        extra != ExtraExtension::MustStaple || has(ExtendedKeyUsage::ServerAuth),
        "must-staple",
        "only a TLS server can staple (RFC 7633 §4.1)",
    );
}

/// The extension of this type; one that cannot be read is noted.
fn read<'a, T>(context: &'a Context<'_>, findings: &mut Findings) -> Option<(bool, T)>
where
    T: AssociatedOid + Decode<'a, Error = der::Error>,
{
    extensions::find::<T>(context.extensions()).unwrap_or_else(|error| {
        findings.note("extension-malformed", error.to_string());
        None
    })
}

fn basic_constraints(context: &Context<'_>, findings: &mut Findings) {
    let found = read::<BasicConstraints>(context, findings);
    let (critical, ca, path_length) = match found {
        Some((critical, found)) => (critical, found.ca, found.path_len_constraint),
        None => (false, false, None),
    };
    findings.require(
        critical,
        "basic-constraints",
        "basic constraints are missing or not critical (RFC 5280 §4.2.1.9)",
    );
    match context.kind {
        Kind::Leaf => findings.require(
            !ca && path_length.is_none(),
            "leaf-is-ca",
            "a leaf's basic constraints must say CA:FALSE and nothing else",
        ),
        Kind::Ca { path_length: wanted } => {
            findings.require(
                ca && path_length == wanted,
                "ca-constraints",
                "a CA's basic constraints must say CA:TRUE and the path length that was asked for",
            );
            let allowed = match (context.issuer.path_length, path_length) {
                (None, _) => true,
                (Some(limit), Some(below)) => below < limit,
                (Some(_), None) => false,
            };
            findings.require(
                allowed || context.is_root(),
                "path-length",
                "the issuer's own path length does not allow this CA (RFC 5280 §4.2.1.9)",
            );
        }
    }
}

fn key_usage(context: &Context<'_>, findings: &mut Findings) {
    let Some((critical, found)) = read::<DerKeyUsage>(context, findings) else {
        findings.note("key-usage", "the key usage is missing (RFC 5280 §4.2.1.3)".to_owned());
        return;
    };
    let usages = KeyUsages::from_der(found);
    findings.require(
        critical && !usages.is_empty(),
        "key-usage",
        "the key usage is empty or not critical (RFC 5280 §4.2.1.3)",
    );
    let signs = usages.contains(KeyUsage::KeyCertSign);
    let signs_crls = usages.contains(KeyUsage::CrlSign);
    match context.kind {
        Kind::Leaf => {
            findings.require(
                !signs && !signs_crls,
                "leaf-signs",
                "a leaf's key usage must not include signing certificates or CRLs",
            );
            unfit_usages(context, usages, findings);
        }
        Kind::Ca { .. } => findings.require(
            signs
                && signs_crls
                && usages.iter().all(|usage| {
                    matches!(
                        usage,
                        KeyUsage::KeyCertSign | KeyUsage::CrlSign | KeyUsage::DigitalSignature
                    )
                }),
            "ca-key-usage",
            "a CA's key signs certificates and CRLs, and encrypts nothing",
        ),
    }
}

/// Usages that this kind of key cannot have: RFC 4055 §1.2 (RSA), RFC 8813 §3 (elliptic curves),
/// RFC 8410 §5 (Ed25519), RFC 9881 §5 (ML-DSA).
fn unfit_usages(context: &Context<'_>, usages: KeyUsages, findings: &mut Findings) {
    let possible: &[KeyUsage] = match context.public_key.algorithm() {
        KeyAlgorithm::Rsa { .. } => &[
            KeyUsage::DigitalSignature,
            KeyUsage::ContentCommitment,
            KeyUsage::KeyEncipherment,
            KeyUsage::DataEncipherment,
        ],
        KeyAlgorithm::EcdsaP256 | KeyAlgorithm::EcdsaP384 | KeyAlgorithm::EcdsaP521 => &[
            KeyUsage::DigitalSignature,
            KeyUsage::ContentCommitment,
            KeyUsage::KeyAgreement,
            KeyUsage::EncipherOnly,
            KeyUsage::DecipherOnly,
        ],
        KeyAlgorithm::Ed25519
        | KeyAlgorithm::MlDsa44
        | KeyAlgorithm::MlDsa65
        | KeyAlgorithm::MlDsa87 => &[KeyUsage::DigitalSignature, KeyUsage::ContentCommitment],
    };
    for usage in usages.iter().filter(|usage| !possible.contains(usage)) {
        findings.note(
            "key-usage-unfit",
            format!("{} keys cannot be used for {usage}", context.public_key.algorithm()),
        );
    }
    let only = usages.contains(KeyUsage::EncipherOnly) || usages.contains(KeyUsage::DecipherOnly);
    findings.require(
        !only || usages.contains(KeyUsage::KeyAgreement),
        "key-usage-unfit",
        "encipher-only and decipher-only mean nothing without key-agreement (RFC 5280 §4.2.1.3)",
    );
}

fn extended_key_usage(context: &Context<'_>, findings: &mut Findings) {
    let found = read::<DerExtendedKeyUsage>(context, findings);
    match (context.kind, found) {
        (Kind::Ca { .. }, None) => {}
        (Kind::Ca { .. }, Some(_)) => findings.note(
            "ca-extended-key-usage",
            "a CA certificate here does not limit the purposes below it".to_owned(),
        ),
        (Kind::Leaf, None) => findings
            .note("extended-key-usage", "a leaf must say what it is for (server-auth ...)".into()),
        (Kind::Leaf, Some((critical, purposes))) => {
            let known = purposes.0.iter().all(|oid| ExtendedKeyUsage::from_oid(*oid).is_some());
            let distinct = purposes.0.iter().collect::<BTreeSet<_>>().len() == purposes.0.len();
            findings.require(
                !critical && known && distinct && !purposes.0.is_empty(),
                "extended-key-usage",
                "the extended key usage is critical, empty, repeats or has an unknown purpose",
            );
        }
    }
}

fn key_identifiers(context: &Context<'_>, findings: &mut Findings) {
    let subject = read::<SubjectKeyIdentifier>(context, findings);
    findings.require(
        subject.is_some_and(|(critical, id)| {
            // A CA that is certified once more keeps the one that certificates below it name.
            let is_known = matches!(context.kind, Kind::Ca { .. })
                && !context.is_root()
                && (1..=64).contains(&id.0.as_bytes().len());
            !critical && (is_known || id.0.as_bytes() == context.public_key.key_id())
        }),
        "subject-key-id",
        "the subject key identifier is missing, critical or not that of the key \
         (RFC 5280 §4.2.1.2, RFC 7093 §2)",
    );
    let authority = read::<AuthorityKeyIdentifier>(context, findings);
    findings.require(
        authority.is_some_and(|(critical, id)| {
            !critical
                && id.authority_cert_issuer.is_none()
                && id.authority_cert_serial_number.is_none()
                && id.key_identifier.is_some_and(|id| id.as_bytes() == context.issuer.key_id)
        }),
        "authority-key-id",
        "the authority key identifier is missing, critical or not the issuer's \
         (RFC 5280 §4.2.1.1)",
    );
}

/// Everything but a root says where its issuer's CRL and certificate are.
fn locations(context: &Context<'_>, findings: &mut Findings) {
    let points = read::<CrlDistributionPoints>(context, findings);
    let access = read::<AuthorityInfoAccessSyntax>(context, findings);
    if context.is_root() {
        return findings.require(
            points.is_none() && access.is_none(),
            "root-locations",
            "a root has no issuer whose CRL or certificate one could fetch",
        );
    }
    let crl_urls = points.is_some_and(|(critical, points)| {
        !critical
            && !points.0.is_empty()
            && points.0.iter().all(|point| {
                point.reasons.is_none()
                    && point.crl_issuer.is_none()
                    && matches!(&point.distribution_point, Some(DistributionPointName::FullName(
                        names)) if !names.is_empty() && names.iter().all(is_http))
            })
    });
    findings.require(
        crl_urls,
        "crl-location",
        "the CRL distribution point is missing, critical or no http URL (RFC 5280 §4.2.1.13)",
    );
    let (issuer_urls, responder_urls) = match &access {
        None => (false, true),
        Some((critical, access)) => {
            let of = |method| access.0.iter().filter(move |entry| entry.access_method == method);
            let http = |entry: &AccessDescription| is_http(&entry.access_location);
            let issuers = of(rfc5280::ID_AD_CA_ISSUERS).count();
            let responders = of(rfc5280::ID_AD_OCSP).count();
            (
                !critical && issuers > 0 && of(rfc5280::ID_AD_CA_ISSUERS).all(http),
                issuers + responders == access.0.len() && of(rfc5280::ID_AD_OCSP).all(http),
            )
        }
    };
    findings.require(
        responder_urls,
        "responder-location",
        "the OCSP responder's location is no http URL, or another kind of location is there (RFC \
         5280 §4.2.2.1)",
    );
    findings.require(
        issuer_urls,
        "issuer-location",
        "the issuer's location is missing, critical or no http URL (RFC 5280 §4.2.2.1)",
    );
}

/// Fetching these over https could need the very certificate that is being verified.
fn is_http(name: &DerName) -> bool {
    matches!(name, DerName::UniformResourceIdentifier(uri)
        if uri.as_str().strip_prefix("http://").is_some_and(|rest| !rest.is_empty()))
}
