//! Lints a CRL before it is signed (RFC 5280 §5).

use std::collections::HashSet;

use const_oid::AssociatedOid as _;
use const_oid::db::rfc5280::ID_CE_ISSUING_DISTRIBUTION_POINT;
use der::{Decode, Encode};
use x509_cert::Version;
use x509_cert::certificate::Rfc5280;
use x509_cert::crl::{RevokedCert, TbsCertList};
use x509_cert::ext::Extension;
use x509_cert::ext::pkix::crl::dp::DistributionPoint;
use x509_cert::ext::pkix::name::{DistributionPointName, GeneralName};
use x509_cert::ext::pkix::{
    AuthorityKeyIdentifier, BaseCrlNumber, CrlNumber, CrlReason, FreshestCrl,
    IssuingDistributionPoint,
};

use super::{Finding, Findings};
use crate::{ExtensionError, Issuer, KeyUsage, ToBeSigned, extensions, time};

/// Everything that is wrong with a CRL's content, given who will sign it.
pub fn crl(content: &ToBeSigned, issuer: &Issuer) -> Vec<Finding> {
    let mut findings = Findings::default();
    let list = match TbsCertList::<Rfc5280>::from_der(content.der()) {
        Ok(list) => list,
        Err(error) => {
            findings.note("not-der", format!("the CRL does not decode: {error}"));
            return findings.0;
        }
    };
    findings.require(
        list.to_der().ok().as_deref() == Some(content.der()),
        "not-der",
        "the CRL is not in the distinguished encoding",
    );
    findings.require(
        list.version == Version::V2,
        "version",
        "a CRL has version 2 (RFC 5280 §5.1.2.1)",
    );
    findings.require(
        list.signature.to_der().unwrap_or_default() == content.algorithm().algorithm_identifier()
            && content.algorithm().fits(issuer.public_key.algorithm()),
        "signature-algorithm",
        "the signature's algorithm is not one of the issuer's key (RFC 5280 §5.1.1.2)",
    );
    findings.require(
        !list.issuer.is_empty()
            && list.issuer.to_der().ok().as_deref() == Some(issuer.name_der.as_slice()),
        "issuer-name",
        "the issuer's name is empty or not the issuer's subject (RFC 5280 §5.1.2.3)",
    );
    findings.require(
        issuer.key_usages.is_none_or(|usages| usages.contains(KeyUsage::CrlSign)),
        "issuer-key-usage",
        "the issuer's key is not for signing CRLs (RFC 5280 §4.2.1.3)",
    );
    updates(&list, issuer, &mut findings);
    entries(&list, &mut findings);
    own_extensions(&list, issuer, &mut findings);
    findings.0
}

fn updates(list: &TbsCertList<Rfc5280>, issuer: &Issuer, findings: &mut Findings) {
    let this_update = time::from_der(&list.this_update);
    let next_update = list.next_update.as_ref().and_then(time::from_der);
    findings.require(
        this_update.is_some() && next_update > this_update,
        "next-update",
        "the next update is missing or not after this one (RFC 5280 §5.1.2.5)",
    );
    findings.require(
        this_update.is_some_and(|at| (issuer.not_before..=issuer.not_after).contains(&at)),
        "update-outside-issuer",
        "the issuer's certificate is not valid at the time of this CRL",
    );
}

fn entries(list: &TbsCertList<Rfc5280>, findings: &mut Findings) {
    let Some(entries) = &list.revoked_certificates else { return };
    findings.require(
        !entries.is_empty(),
        "revoked-empty",
        "an empty list of revoked certificates must be left out (RFC 5280 §5.1.2.6)",
    );
    let this_update = time::from_der(&list.this_update);
    let mut seen = HashSet::with_capacity(entries.len());
    for entry in entries {
        if !seen.insert(entry.serial_number.as_bytes()) {
            findings.note("revoked-twice", format!("{} is listed twice", entry.serial_number));
        }
        if time::from_der(&entry.revocation_date) > this_update {
            findings.note(
                "revoked-in-future",
                format!("{} is revoked after the CRL was made", entry.serial_number),
            );
        }
        entry_extensions(entry, findings);
    }
}

fn entry_extensions(entry: &RevokedCert<Rfc5280>, findings: &mut Findings) {
    let Some(list) = &entry.crl_entry_extensions else { return };
    let reason = extensions::find::<CrlReason>(list);
    // RFC 5280 §5.3.1: `unspecified` is left out, `removeFromCRL` is for delta CRLs.
    let good = list.len() == 1
        && matches!(reason, Ok(Some((false, reason)))
            if !matches!(reason, CrlReason::Unspecified | CrlReason::RemoveFromCRL));
    if !good {
        findings.note(
            "entry-extensions",
            format!("{} has other extensions than one reason", entry.serial_number),
        );
    }
}

fn own_extensions(list: &TbsCertList<Rfc5280>, issuer: &Issuer, findings: &mut Findings) {
    let present = list.crl_extensions.as_deref().unwrap_or_default();
    let number = extensions::find::<CrlNumber>(present);
    findings.require(
        matches!(number, Ok(Some((false, _)))),
        "crl-number",
        "the CRL number is missing or critical (RFC 5280 §5.2.3)",
    );
    let authority = extensions::find::<AuthorityKeyIdentifier>(present);
    findings.require(
        matches!(authority, Ok(Some((false, ref id)))
            if id.key_identifier.as_ref().is_some_and(|id| id.as_bytes() == issuer.key_id)),
        "authority-key-id",
        "the authority key identifier is missing, critical or not the issuer's (RFC 5280 §5.2.1)",
    );
    match present {
        [_, _] => {}
        [_, _, scope] => self::scope(scope, number, findings),
        _ => findings.note(
            "extension-unknown",
            "a CRL has more than its number, the authority key identifier and one extension besides"
                .to_owned(),
        ),
    }
}

/// The extension that says which certificates it is about.
fn scope(
    extension: &Extension,
    number: Result<Option<(bool, CrlNumber)>, ExtensionError>,
    findings: &mut Findings,
) {
    let value = extension.extn_value.as_bytes();
    match extension.extn_id {
        ID_CE_ISSUING_DISTRIBUTION_POINT => {
            let point = IssuingDistributionPoint::from_der(value);
            findings.require(
                extension.critical
                    && point.is_ok_and(|point| {
                        point.only_contains_user_certs
                            && !point.only_contains_ca_certs
                            && !point.only_contains_attribute_certs
                            && !point.indirect_crl
                            && point.only_some_reasons.is_none()
                            && point.distribution_point.as_ref().is_some_and(is_http)
                    }),
                "issuing-distribution-point",
                "the issuing distribution point is not critical, or is not about leaf certificates at \
                 http URLs (RFC 5280 §5.2.5)",
            );
        }
        FreshestCrl::OID => {
            let points = FreshestCrl::from_der(value);
            let is_good = |point: &DistributionPoint| {
                point.reasons.is_none()
                    && point.crl_issuer.is_none()
                    && point.distribution_point.as_ref().is_some_and(is_http)
            };
            findings.require(
                !extension.critical
                    && points.is_ok_and(|list| !list.0.is_empty() && list.0.iter().all(is_good)),
                "freshest-crl",
                "the location of the delta is critical, or not an http URL (RFC 5280 §5.2.6)",
            );
        }
        BaseCrlNumber::OID => {
            let base = BaseCrlNumber::from_der(value);
            let known = number.ok().flatten().map(|(_, number)| number.0);
            findings.require(
                extension.critical
                    && matches!((base, known), (Ok(base), Some(number))
                        if as_number(&base.0) <= as_number(&number)),
                "delta-indicator",
                "the base of the delta is not critical, or newer than the delta (RFC 5280 §5.2.4)",
            );
        }
        other => findings
            .note("extension-unknown", format!("the extension {other} has no place in a CRL here")),
    }
}

/// Without leading zeros, longer numbers are larger.
fn as_number(number: &der::asn1::Uint) -> (usize, &[u8]) {
    (number.as_bytes().len(), number.as_bytes())
}

fn is_http(name: &DistributionPointName) -> bool {
    let DistributionPointName::FullName(names) = name else { return false };
    let http = |name: &GeneralName| {
        matches!(name, GeneralName::UniformResourceIdentifier(url)
            if url.as_str().starts_with("http://"))
    };
    !names.is_empty() && names.iter().all(http)
}
