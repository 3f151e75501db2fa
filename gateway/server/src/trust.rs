//! Whose client certificates are believed: read at start and at each reload.

use std::sync::Arc;

use anyhow::{Context, Result};
use chancery_identity::{EvidenceError, IdentityRules};
use chancery_issuance::Issuance;
use chancery_tls::{ChainCheck, ClientCa, ClientTrust};
use chancery_x509::{NameConstraints, ParsedCertificate, pem};

use crate::config::{CaConfig, ClientCaConfig, ClientRule, Config};
use crate::gateway::Gateway;

/// The client CAs of the configuration and, unless switched off, the gateway's own issuing CAs: not the
/// roots above these, since other CAs may stand below them.
///
/// # Errors
/// Names the file that cannot be read or holds something other than certificates, or what is wrong with
/// a certificate.
pub(crate) fn of_clients(config: &Config, gateway: &Gateway) -> Result<ClientTrust> {
    let mut cas = vec![];
    if config.clients.trust_own_ca {
        for ca in gateway.cas() {
            let mut configs = std::iter::once(&config.ca).chain(&config.issuers);
            // One that the configuration has no more vouches for nobody.
            let config: Option<&CaConfig> = configs.find(|config| config.name == ca.name());
            let Some(rule) = config.map(|config| &config.clients) else { continue };
            let origin = format!("the issuer `{}`", ca.name());
            for der in ca.issuer_ids().filter_map(|id| ca.certificate(id)) {
                cas.extend(client_ca(der.to_vec(), &origin, rule));
            }
        }
    }
    cas.extend(read(&config.clients.cas)?);
    let check = not_revoked(&gateway.issuance);
    let cas = cas.into_iter().map(|ca| ClientCa { check: check.clone(), ..ca }).collect();
    Ok(ClientTrust::new(cas, IdentityRules::new(config.tenants.clone()))?)
}

/// The client CAs in the files of the configuration, looked at by themselves: `check` has no gateway.
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
            // Everybody below it would be locked out.
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

/// Whether a client certificate that was issued here was not revoked since. It answers from memory. It is
/// asked of every certificate, since a CA of somebody else may be a root above the gateway's own CAs.
fn not_revoked(issuance: &Issuance) -> ChainCheck {
    let issuance = issuance.clone();
    Arc::new(move |chain| {
        let certificate = chain.certificate;
        if issuance.is_revoked(&certificate.authority_key_id, &certificate.serial) {
            return Err(EvidenceError::Revoked);
        }
        Ok(())
    })
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
