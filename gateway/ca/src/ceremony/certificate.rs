//! Builds, lints and signs the certificates of CAs.

use std::time::Duration;

use aws_lc_rs::rand::SystemRandom;
use chancery_keys::{KeyName, Signer};
use chancery_x509::{
    Issuer, KeyUsage, Kind, NameConstraints, PublicKey, Serial, SignatureAlgorithm, Subject,
    SubjectAttribute, Template, ToBeSigned, lint,
};
use jiff::Timestamp;

use crate::authority::Authority;
use crate::record::CertifiedKey;
use crate::{CaConfig, OpenError};

/// CA certificates begin a little in the past, so that clients whose clocks are slow accept them.
const BACKDATE: Duration = Duration::from_hours(1);

pub(super) fn issuing_template(
    config: &CaConfig,
    name: &str,
    root: &Authority,
    public_key: &PublicKey,
    now: Timestamp,
) -> Result<Template, OpenError> {
    Ok(Template {
        not_after: last_second(now, config.issuing_validity).min(root.issuer().not_after()),
        crl_url: Some(config.crl_url(root.id())),
        issuer_url: Some(config.issuer_url(root.id())),
        ocsp_url: None,
        // Nothing but leaves below it.
        ..ca_template(name, public_key, Some(0), now)?
    })
}

pub(crate) fn ca_template(
    name: &str,
    public_key: &PublicKey,
    path_length: Option<u8>,
    now: Timestamp,
) -> Result<Template, OpenError> {
    Ok(Template {
        serial: Serial::random(&SystemRandom::new())?,
        subject: Subject::common_name(Some(name.to_owned())),
        names: Vec::new(),
        public_key: public_key.clone(),
        key_usages: [KeyUsage::KeyCertSign, KeyUsage::CrlSign].into_iter().collect(),
        extended_key_usages: Vec::new(),
        extra: Vec::new(),
        not_before: now.checked_sub(BACKDATE).unwrap_or(now),
        not_after: now,
        kind: Kind::Ca { path_length },
        name_constraints: NameConstraints::default(),
        certified_before: None,
        crl_url: None,
        issuer_url: None,
        ocsp_url: None,
    })
}

pub(crate) async fn sign(
    template: &Template,
    issuer: &Issuer,
    key: &KeyName,
    signer: &dyn Signer,
) -> Result<Vec<u8>, OpenError> {
    let content = content(template, issuer)?;
    let signature = signer.sign(key, content.algorithm(), content.der()).await?;
    Ok(content.assemble(&signature)?)
}

/// What would be signed, linted.
pub(crate) fn content(template: &Template, issuer: &Issuer) -> Result<ToBeSigned, OpenError> {
    let algorithm = SignatureAlgorithm::default_for(issuer.public_key().algorithm());
    let content = template.build(issuer, algorithm)?;
    let findings = lint::certificate(&content, issuer, template.kind);
    if findings.is_empty() {
        return Ok(content);
    }
    let name = template.subject.get(SubjectAttribute::CommonName).unwrap_or_default().to_owned();
    Err(OpenError::Lint { name, findings })
}

/// The end of a validity that begins now: inclusive, hence one second less (RFC 5280 §4.1.2.5).
pub(crate) fn last_second(now: Timestamp, validity: Duration) -> Timestamp {
    let length = validity.saturating_sub(Duration::from_secs(1));
    // Timestamps end with the year 9999, as certificates do.
    now.checked_add(length).unwrap_or(Timestamp::MAX)
}

pub(super) fn certified(key: &KeyName, der: &[u8]) -> CertifiedKey {
    CertifiedKey { key: key.clone(), certificate: hex::encode(der) }
}
