//! Lints the subject and the subject alternative names of a certificate.

use std::collections::BTreeSet;
use std::net::IpAddr;

use x509_cert::ext::pkix::{ExtendedKeyUsage as DerExtendedKeyUsage, SubjectAltName};

use super::Findings;
use super::context::Context;
use crate::certificate::{common_names, text_of};
use crate::{ExtendedKeyUsage, GeneralName, Kind, SubjectAttribute, extensions};

pub(super) fn subject_and_alternatives(context: &Context<'_>, findings: &mut Findings) {
    let found = match extensions::find::<SubjectAltName>(context.extensions()) {
        Ok(found) => found,
        Err(error) => return findings.note("alternative-names", error.to_string()),
    };
    match context.kind {
        Kind::Leaf => {
            let (critical, names) = found.unwrap_or_default();
            let (names, others) = extensions::alternative_names(&names);
            findings.require(
                others.is_empty(),
                "alternative-name-kind",
                "a subject alternative name is neither DNS, IP, URI nor e-mail",
            );
            alternatives(context, critical, &names, findings);
            leaf_subject(context, &names, findings);
        }
        Kind::Ca { .. } => {
            findings.require(
                found.is_none(),
                "ca-alternative-names",
                "a CA certificate here has no subject alternative names",
            );
            findings.require(
                common_names(context.tbs.subject())
                    .flatten()
                    .any(|name| !name.trim().is_empty() && name.chars().count() <= 64),
                "ca-subject",
                "a CA's subject needs a common name of 1 to 64 characters (RFC 5280 §4.1.2.6)",
            );
        }
    }
}

fn alternatives(
    context: &Context<'_>,
    critical: bool,
    names: &[GeneralName],
    findings: &mut Findings,
) {
    findings.require(
        !names.is_empty(),
        "alternative-names",
        "a leaf needs at least one subject alternative name (RFC 9525 §2)",
    );
    findings.require(
        names.is_empty() || critical == context.tbs.subject().is_empty(),
        "alternative-names-critical",
        "the names are critical exactly if the subject is empty (RFC 5280 §4.2.1.6)",
    );
    for name in names {
        if let Err(error) = name.check() {
            findings.note("alternative-name", error.to_string());
        }
    }
    findings.require(
        names.iter().collect::<BTreeSet<_>>().len() == names.len(),
        "alternative-name-twice",
        "a subject alternative name appears twice",
    );
    let uris = names.iter().filter(|name| matches!(name, GeneralName::Uri(_))).count();
    let has_spiffe_id = names
        .iter()
        .any(|name| matches!(name, GeneralName::Uri(uri) if uri.starts_with("spiffe://")));
    findings.require(
        !has_spiffe_id || uris == 1,
        "spiffe-id-alone",
        "a SPIFFE ID must be the only URI (SPIFFE X509-SVID §2)",
    );
    let purposes = extensions::find::<DerExtendedKeyUsage>(context.extensions());
    let is_server = purposes
        .ok()
        .flatten()
        .is_some_and(|(_, found)| found.0.contains(&ExtendedKeyUsage::ServerAuth.oid()));
    // Services with a SPIFFE ID serve TLS under it, without a host name.
    findings.require(
        !is_server
            || has_spiffe_id
            || names.iter().any(|name| matches!(name, GeneralName::Dns(_) | GeneralName::Ip(_))),
        "server-without-host",
        "a TLS server's certificate needs a DNS name, an address or a SPIFFE ID",
    );
}

fn leaf_subject(context: &Context<'_>, names: &[GeneralName], findings: &mut Findings) {
    let subject = context.tbs.subject();
    let mut before = None;
    for attribute in subject.iter() {
        let Some(kind) = SubjectAttribute::from_oid(attribute.oid) else {
            let message = format!("a leaf's subject has no attribute {} here", attribute.oid);
            findings.note("subject-attributes", message);
            continue;
        };
        let repeats = before == Some(kind) && kind != SubjectAttribute::OrganizationalUnit;
        findings.require(
            before <= Some(kind) && !repeats,
            "subject-attributes",
            "the subject's attributes are out of order, or one of them stands twice",
        );
        before = Some(kind);
        if kind != SubjectAttribute::CommonName {
            subject_value(kind, text_of(attribute).as_deref(), findings);
        }
    }
    for name in common_names(subject) {
        let Some(name) = name else {
            findings.note("common-name", "the common name is not readable text".to_owned());
            continue;
        };
        findings.require(
            (1..=64).contains(&name.chars().count()),
            "common-name-length",
            "the common name has not 1 to 64 characters (RFC 5280 §A.1)",
        );
        findings.require(
            name.parse::<IpAddr>().is_err(),
            "common-name-address",
            "the common name is an IP address",
        );
        findings.require(
            names.iter().any(|san| {
                matches!(san, GeneralName::Dns(text) | GeneralName::Email(text) if *text == name)
            }),
            "common-name-not-validated",
            "the common name is not one of the subject alternative names",
        );
    }
}

/// What RFC 5280 §A.1 says of the value of an attribute.
fn subject_value(kind: SubjectAttribute, value: Option<&str>, findings: &mut Findings) {
    let name = kind.short_name();
    let Some(value) = value else {
        return findings.note("subject-value", format!("the subject's {name} is no readable text"));
    };
    let length = value.chars().count();
    let fits = match kind {
        SubjectAttribute::Country => {
            length == 2 && value.chars().all(|letter| letter.is_ascii_uppercase())
        }
        _ => (1..=kind.longest()).contains(&length),
    };
    if !fits || value.trim() != value || value.contains(char::is_control) {
        findings.note(
            "subject-value",
            format!("the subject's {name} `{}` is not a possible value", value.escape_debug()),
        );
    }
}
