//! What each of the upper rooms is opened with, out of the configuration and the rooms below it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use chancery_access::{Access, Directory, TokenLimits};
use chancery_acme::{AcmeConfig, NameRules, ValidationConfig};
use chancery_api::vault::Installation;
use chancery_audit::Audit;
use chancery_ca::Ca;
use chancery_identity::{Clock, Tenants};
use chancery_issuance::IssuedCounts;
use chancery_policy::{LookupError, Lookups, PolicyHost};
use chancery_secrets::{Mount, MountKind, Mounts};
use chancery_store::{SharedStore, restored};
use chancery_upstream::{AcmeUpstream, ChallengeResponses, Trust, UpstreamConfig};

use crate::config::{Config, RootKeySource};
use crate::pem_certificates::certificates_in;

/// How long another CA may take over one certificate.
const UPSTREAM_DEADLINE: Duration = Duration::from_mins(1);

/// What policies can look up, read into memory.
pub(crate) async fn open_lookups(
    store: &SharedStore,
    clock: &Clock,
    tenants: &Tenants,
) -> Result<(Arc<Directory>, Arc<IssuedCounts>)> {
    let directory = Directory::open(store.clone(), tenants)
        .await
        .context("reading the groups and data sets for policies")?;
    let counts = IssuedCounts::open(store.clone(), clock.clone())
        .await
        .context("counting the certificates of the last 30 days")?;
    Ok((Arc::new(directory), Arc::new(counts)))
}

pub(crate) fn lookups(directory: &Arc<Directory>, counts: &Arc<IssuedCounts>) -> Lookups {
    let (for_groups, for_data, counts) = (directory.clone(), directory.clone(), counts.clone());
    Lookups {
        group: Arc::new(move |tenant, group, who| for_groups.is_member(tenant, group, who)),
        data: Arc::new(move |tenant, set, key| for_data.value(tenant, set, key)),
        issued: Arc::new(move |tenant, to, over| {
            counts
                .count(tenant, to, over)
                .map_err(|error| LookupError::Unavailable(error.to_string()))
        }),
    }
}

pub(crate) fn open_upstreams(
    config: &Config,
    store: &SharedStore,
    responses: &ChallengeResponses,
) -> Result<BTreeMap<String, Arc<AcmeUpstream>>> {
    let mut upstreams = BTreeMap::new();
    for upstream in &config.upstreams {
        let trust = match &upstream.roots {
            None => Trust::Platform,
            Some(path) => {
                let text = std::fs::read_to_string(path)
                    .with_context(|| format!("upstreams.roots: cannot read {}", path.display()))?;
                Trust::Anchors(certificates_in(&text)?)
            }
        };
        let opened = AcmeUpstream::open(
            UpstreamConfig {
                name: upstream.name.clone(),
                directory: upstream.directory_url.clone(),
                contact: upstream.contact.clone(),
                trust,
                external_account: None,
                deadline: UPSTREAM_DEADLINE,
            },
            store.clone(),
            responses.clone(),
        )?;
        upstreams.insert(upstream.name.clone(), opened);
    }
    Ok(upstreams)
}

pub(crate) async fn open_access(
    config: &Config,
    policy: &PolicyHost,
    store: &SharedStore,
    audit: &Audit,
    clock: &Clock,
) -> Result<Access> {
    let limits = TokenLimits {
        default_ttl: config.secrets.token_ttl,
        max_ttl: config.secrets.token_max_ttl,
        per_identity: config.secrets.tokens_per_identity,
    };
    let access = Access::new(policy.clone(), store.clone(), audit.clone(), clock.clone())
        .with_token_limits(limits)
        .with_restored(restored::last(&**store).await?);
    access.replace_bearer_roles(config.secrets.bearer_roles.clone());
    access.replace_administration(config.administration.clone());
    Ok(access)
}

pub(crate) fn mounts(config: &Config) -> Result<Mounts> {
    let mut mounts = vec![];
    for name in &config.secrets.mounts {
        let (name, description) = (name.parse()?, "key/value secrets".to_owned());
        mounts.push(Mount { name, kind: MountKind::Kv, description });
    }
    if let Some(name) = &config.secrets.certificates {
        let (name, description) = (name.parse()?, "certificates that were issued".to_owned());
        mounts.push(Mount { name, kind: MountKind::Pki, description });
    }
    if let Some(name) = &config.secrets.keys {
        let (name, description) = (name.parse()?, "keys".to_owned());
        mounts.push(Mount { name, kind: MountKind::Transit, description });
    }
    if let Some(ssh) = &config.ssh {
        let (name, description) = (ssh.mount.parse()?, "certificates for SSH".to_owned());
        mounts.push(Mount { name, kind: MountKind::Ssh, description });
    }
    Ok(Mounts::new(mounts))
}

pub(crate) fn acme_config(config: &Config, tenants: &Tenants) -> AcmeConfig {
    let acme = &config.acme;
    let mut settings = AcmeConfig {
        tenants: tenants.clone(),
        tenant: acme.tenant.clone(),
        terms_of_service: acme.terms_of_service.clone(),
        website: acme.website.clone(),
        profiles: acme.profiles.clone(),
        default_profile: acme.default_profile.clone(),
        names: NameRules { unlisted: acme.unlisted_names },
        allowed_origins: acme.allowed_origins.clone(),
        validation: ValidationConfig {
            dns: acme.dns,
            http01_port: acme.http01_port,
            tls_alpn01_port: acme.tls_alpn01_port,
            allowed_networks: acme.allowed_networks.clone(),
            ..ValidationConfig::default()
        },
        ..AcmeConfig::default()
    };
    acme.limits.apply(&mut settings);
    settings
}

/// What `sys/health` and `sys/seal-status` say about this installation.
pub(crate) fn installation(config: &Config, ca: &Ca) -> Installation {
    let seal_type = match config.root_key {
        RootKeySource::File(_) => "file",
        RootKeySource::PassphraseFile(_) => "passphrase",
        RootKeySource::Pkcs11Key(_) => "pkcs11",
    };
    Installation {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        cluster_name: "chancery".to_owned(),
        // Stable, public and different between installations: the root's key identifier.
        cluster_id: ca.root_id().to_owned(),
        seal_type: seal_type.to_owned(),
        storage_type: "redb".to_owned(),
    }
}
