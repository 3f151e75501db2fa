//! Whose client certificates are accepted: read at start and at each reload.

use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::{Context, Result};
use chancery_identity::{EvidenceError, IdentityRules};
use chancery_issuance::Issuance;
use chancery_revocation::{ForeignCa, Revocation};
use chancery_tls::{ChainCheck, ClientCa, ClientTrust};
use chancery_x509::{NameConstraints, ParsedCertificate};
use jiff::{SignedDuration, Timestamp};
use metrics::gauge;

use crate::config::{CaConfig, ClientCaConfig, ClientRule, Config};
use crate::gateway::Gateway;
use crate::pem_certificates::certificates_in;

/// How long before the end of a client CA's certificate each start and reload warns about it.
const SOON: SignedDuration = SignedDuration::from_hours(30 * 24);

/// The client CAs of the configuration and, unless switched off, the gateway's own issuing CAs: not the roots
/// above these, since other CAs may be below them.
///
/// # Errors
/// Names the file that cannot be read or holds something other than certificates, or what is wrong with
/// a certificate.
pub(crate) fn of_clients(config: &Config, gateway: &Gateway) -> Result<ClientTrust> {
    let mut cas = vec![];
    if config.clients.trust_own_ca {
        for ca in gateway.cas() {
            let mut configs = std::iter::once(&config.ca).chain(&config.issuers);
            // A CA that is no longer in the configuration vouches for nobody.
            let config: Option<&CaConfig> = configs.find(|config| config.name == ca.name());
            let Some(rule) = config.map(|config| &config.clients) else { continue };
            let origin = format!("the issuer `{}`", ca.name());
            for der in ca.issuer_ids().filter_map(|id| ca.certificate(id)) {
                cas.extend(client_ca(der.to_vec(), &origin, rule));
            }
        }
    }
    let others = read(&config.clients.cas)?;
    tell_ends(&others, gateway.clock.now())?;
    cas.extend(others);
    let check = still_good(&gateway.issuance, &gateway.revocation);
    let cas = cas.into_iter().map(|ca| ClientCa { check: check.clone(), ..ca }).collect();
    let trust = ClientTrust::new(cas, IdentityRules::new(config.tenants.clone()))?;
    let (issuance, revocation) = (gateway.issuance.clone(), gateway.revocation.clone());
    Ok(trust.settled_by(Arc::new(move |chain| {
        let owner = issuance.settle_owner(chain.certificate);
        let lineage = chain.certificate.lineage.as_ref();
        let status = lineage.and_then(|lineage| revocation.settle(lineage, chain.intermediates));
        match (owner, status) {
            (Some(owner), Some(status)) => Some(Box::pin(async move {
                tokio::join!(owner, status);
            })),
            (owner, status) => owner.or(status),
        }
    })))
}

/// The foreign client CAs whose revocations have to be looked up.
///
/// # Errors
/// As for [`of_clients`].
pub(crate) fn foreign_cas(config: &Config) -> Result<Vec<ForeignCa>> {
    let mut found = vec![];
    for config in &config.clients.cas {
        let Some(settings) = config.revocation.clone() else { continue };
        let read = read([config])?;
        // A CA that vouches for nobody needs no look-up.
        if let Some(origin) = read.first().map(|ca| ca.origin.clone()) {
            let certificates = read.into_iter().map(|ca| ca.certificate).collect();
            found.push(ForeignCa { origin, certificates, settings });
        }
    }
    Ok(found)
}

/// Says when the certificates of these CAs end. They are foreign CAs, and nobody here renews them.
#[expect(clippy::cast_precision_loss, reason = "exact for the next hundred million years")]
fn tell_ends(cas: &[ClientCa], now: Timestamp) -> Result<()> {
    let soon = now.checked_add(SOON).unwrap_or(Timestamp::MAX);
    let mut first: BTreeMap<&str, Timestamp> = BTreeMap::new();
    for ca in cas {
        let certificate = ParsedCertificate::from_der(&ca.certificate)?;
        let (origin, ends) = (ca.origin.as_str(), certificate.not_after());
        let of_file = first.entry(origin).or_insert(ends);
        *of_file = ends.min(*of_file);
        if ends <= soon {
            let subject = certificate.subject_common_name().unwrap_or("no common name");
            let ended = if ends < now { "has ended" } else { "ends soon" };
            tracing::warn!(
                file = origin, %subject, %ends,
                "the certificate of a client CA {ended}, and then its client certificates do not count: \
                 replace it"
            );
        }
    }
    for (file, ends) in first {
        gauge!("chancery_tls_client_ca_expiry_timestamp_seconds", "file" => file.to_owned())
            .set(ends.as_second() as f64);
    }
    Ok(())
}

/// The client CAs in the files of the configuration, checked by themselves: `check` has no gateway.
///
/// # Errors
/// As for [`of_clients`].
pub(crate) fn client_cas<'a>(configs: impl IntoIterator<Item = &'a ClientCaConfig>) -> Result<()> {
    ClientTrust::new(read(configs)?, IdentityRules::default())?;
    Ok(())
}

fn read<'a>(configs: impl IntoIterator<Item = &'a ClientCaConfig>) -> Result<Vec<ClientCa>> {
    let mut cas = vec![];
    for config in configs {
        let origin = config.file.display().to_string();
        let text = std::fs::read_to_string(&config.file)
            .with_context(|| format!("{}: cannot read {origin}", config.key()))?;
        let found =
            certificates_in(&text).with_context(|| format!("{}: {origin}", config.key()))?;
        for der in &found {
            let certificate = ParsedCertificate::from_der(der)?;
            // All clients below it would be locked out.
            NameConstraints::check_judged(&certificate)
                .with_context(|| format!("{}: {origin}", config.key()))?;
        }
        cas.extend(found.into_iter().filter_map(|der| client_ca(der, &origin, &config.rule)));
    }
    Ok(cas)
}

fn client_ca(certificate: Vec<u8>, origin: &str, rule: &ClientRule) -> Option<ClientCa> {
    let ClientRule { vouches_for, allow_no_extended_key_usage } = rule;
    (!rule.is_nobody()).then(|| ClientCa {
        certificate,
        origin: origin.to_owned(),
        vouches_for: vouches_for.clone(),
        allow_no_extended_key_usage: *allow_no_extended_key_usage,
        check: Arc::new(|_| Ok(())),
    })
}

/// Whether a client certificate is still good: neither the gateway, if it issued it, nor a foreign CA has revoked
/// it, and it belongs to the tenant for which it was issued here. Answers from memory. All are asked about every
/// certificate, since a foreign CA may be a root above the gateway's own CAs.
fn still_good(issuance: &Issuance, revocation: &Revocation) -> ChainCheck {
    let (issuance, revocation) = (issuance.clone(), revocation.clone());
    Arc::new(move |chain| {
        let certificate = chain.certificate;
        if issuance.is_revoked(&certificate.authority_key_id, &certificate.serial) {
            return Err(EvidenceError::Revoked);
        }
        issuance.check_owner(certificate)?;
        certificate.lineage.as_ref().map_or(Ok(()), |lineage| revocation.check(lineage))
    })
}
