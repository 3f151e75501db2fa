//! The private CAs of a configuration, and the CA for SSH.

use std::sync::Arc;

use anyhow::{Context, Result};
use chancery_ca::{Ca, CaConfig, CaKeys, Difference, SshCa};
use chancery_identity::Clock;
use chancery_issuance::SshIssuer;
use chancery_keys::pkcs11::Pkcs11Signer;
use chancery_keys::software::SoftwareSigner;
use chancery_store::SharedStore;

use crate::config;

/// Where a gateway's CAs are.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place<'a> {
    /// Where others reach the plain port.
    pub(crate) plain_url: &'a str,
    /// Whether other gateways on the store may have them too.
    pub(crate) shared: bool,
}

/// Opens a private CA.
pub(crate) async fn open(
    config: &config::CaConfig,
    store: SharedStore,
    hsm: Option<Arc<Pkcs11Signer>>,
    place: &Place<'_>,
    clock: &Clock,
) -> Result<Arc<Ca>> {
    let keys = ca_keys(config, hsm);
    let settings = CaConfig { shared: place.shared, ..ca_config(config, place.plain_url) };
    let opened = Ca::open(settings, store, keys, clock.now()).await;
    let ca = opened.map_err(|error| {
        let context = format!("opening the CA `{}`", config.name);
        // Its certificates begin when they were made, so this is a clock that goes wrong.
        let context = if error.to_string().contains("update-outside-issuer") {
            let now = clock.now();
            format!("{context}: the clock of this machine says {now}, when the CA is not valid: is it right?")
        } else {
            context
        };
        anyhow::Error::new(error).context(context)
    })?;
    if let Some((then, now)) = ca.stale_location() {
        tracing::warn!(
            ca = ca.name(),
            then,
            now,
            "the issuing CA's certificate says that its root's CRL is elsewhere than server.public_http has \
             it now: keep the old address reachable, or hold `chancery ca rotate`"
        );
    }
    for Difference { setting, configured, is } in ca.differences() {
        tracing::warn!(
            ca = ca.name(),
            setting,
            configured,
            is,
            "the CA was made with another setting, which the configuration does not change: {}",
            remedy(setting)
        );
    }
    Ok(ca)
}

/// How a CA comes to follow a setting.
fn remedy(setting: &str) -> &'static str {
    match setting {
        "parent" => "hold a ceremony (gateway/ca/README.md), or put the setting right",
        "root_name" | "root_days" => "a root stays as it is: put the setting right",
        _ => "it counts for the next key (`chancery ca rotate`)",
    }
}

/// Says which CAs of the store have nothing in the configuration: nobody is told any more what they have revoked.
pub(crate) async fn tell_forgotten<'a>(
    store: &SharedStore,
    configured: impl IntoIterator<Item = &'a config::CaConfig>,
) -> Result<()> {
    let configured: Vec<&str> = configured.into_iter().map(|ca| ca.name.as_str()).collect();
    let names = chancery_ca::names(&**store).await.context("the names of the CAs")?;
    for ca in names.iter().filter(|name| !configured.contains(&name.as_str())) {
        tracing::warn!(
            ca,
            "the store has a CA that is not in [[issuers]]: it issues nothing, has no CRL and answers no OCSP request"
        );
    }
    Ok(())
}

/// Opens the CA for SSH, whose keys are where those of `ca` are.
pub(crate) async fn open_ssh(
    ssh: &config::SshConfig,
    ca: &config::CaConfig,
    store: SharedStore,
    hsm: Option<Arc<Pkcs11Signer>>,
) -> Result<SshIssuer> {
    let opened = SshCa::open(ssh.key_type, store, ca_keys(ca, hsm)).await;
    let ca = opened.context("opening the CA for SSH")?;
    if let Some(is) = ca.key_type().filter(|is| *is != ssh.key_type) {
        tracing::warn!(
            configured = %ssh.key_type,
            %is,
            "ssh.key_type: the keys of the CA for SSH are of another kind, which the configuration does not change"
        );
    }
    let tenants = ssh.tenants.clone();
    Ok(SshIssuer { ca, tenants, default_ttl: ssh.default_ttl, max_ttl: ssh.max_ttl })
}

/// Where the CA's keys are.
pub(crate) fn ca_keys(config: &config::CaConfig, hsm: Option<Arc<Pkcs11Signer>>) -> CaKeys {
    match hsm {
        Some(hsm) if config.keys_in_hsm => CaKeys::Pkcs11(hsm),
        _ => CaKeys::Software(Arc::new(SoftwareSigner::new())),
    }
}

/// What a CA is told that no other gateway has. `plain_url` is where others reach the plain port.
pub(crate) fn ca_config(config: &config::CaConfig, plain_url: &str) -> CaConfig {
    CaConfig {
        name: config.name.clone(),
        parent: config.parent,
        key_type: config.key_type,
        root_common_name: config.root_name.clone(),
        issuing_common_name: config.issuing_name.clone(),
        root_validity: config.root_validity,
        issuing_validity: config.issuing_validity,
        crl_validity: config.crl_validity,
        crl_shards: config.crl_shards,
        delta_crl_validity: config.delta_crl_validity,
        shared: false,
        crl_url_base: format!("{plain_url}/crl"),
        issuer_url_base: format!("{plain_url}/issuers"),
        ocsp_url_base: config.ocsp_validity.map(|_| format!("{plain_url}/ocsp")),
    }
}
