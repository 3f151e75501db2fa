//! The composition root: opens every room in the order of the floors and hands each what it needs.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use bytes::Bytes;
use chancery_access::{Access, Directory};
use chancery_acme::Acme;
use chancery_api::acme::AcmeState;
use chancery_api::vault::{Condition, Installation, KeyInToken, Tokens, VaultState};
use chancery_api::{Hosts, Serves, TokenHealth};
use chancery_audit::Audit;
use chancery_ca::{Ca, OcspResponder};
use chancery_identity::{Clock, IdentityRules, TenantId, Tenants};
use chancery_issuance::{Issuance, IssuedCounts, Issuers};
use chancery_keys::pkcs11::{Pkcs11Signer, TokenKey, TokenStatus};
use chancery_policy::{PolicyConfig, PolicyHost};
use chancery_records::Fence;
use chancery_revocation::Revocation;
use chancery_secrets::Secrets;
use chancery_secrets::ssh::Kind;
use chancery_secrets::transit::Custody;
use chancery_upstream::ChallengeResponses;
use tokio::sync::watch;

use crate::audit::{self, Chain};
use crate::backup::Backups;
use crate::cas;
use crate::config::Config;
use crate::foundation::{Foundation, policy_config};
use crate::gateway_name::GatewayName;
use crate::policy_places::policy_history;
use crate::rooms::{
    acme_config, installation, lookups, mounts, open_access, open_lookups, open_upstreams,
};
use crate::store::OpenStore;

/// Every room, opened.
pub(crate) struct Gateway {
    /// Its name among the gateways on its store; none if it is alone there.
    pub(crate) name: Option<GatewayName>,
    pub(crate) clock: Clock,
    pub(crate) audit: Audit,
    pub(crate) policy: PolicyHost,
    pub(crate) hsm: Option<Arc<Pkcs11Signer>>,
    pub(crate) ca: Arc<Ca>,
    pub(crate) issuance: Issuance,
    pub(crate) counts: Arc<IssuedCounts>,
    pub(crate) access: Arc<Access>,
    directory: Arc<Directory>,
    pub(crate) secrets: Arc<Secrets>,
    pub(crate) acme: Arc<Acme>,
    responses: ChallengeResponses,
    /// What the client CAs of others have revoked.
    pub(crate) revocation: Revocation,
    /// Further private CAs.
    pub(crate) further: Vec<Arc<Ca>>,
    /// One for each issuing CA, unless certificates name none.
    pub(crate) responders: Vec<Arc<OcspResponder>>,
    /// Whose certificates there are.
    pub(crate) tenants: Tenants,
    condition: watch::Sender<Condition>,
    installation: Arc<Installation>,
    backups: Backups,
    pub(crate) sealed: OpenStore,
}

impl Gateway {
    /// Opens the rooms. `plain_url` is where others reach the plain port; certificates carry it.
    ///
    /// # Errors
    /// Says which room could not be opened and why; nothing is running then.
    pub(crate) async fn open(
        config: &Config,
        plain_url: &str,
        foundation: Foundation,
    ) -> Result<Self> {
        let Foundation { hsm, sealed, compiler, chain, clock } = foundation;
        let store = sealed.store();
        let audit = audit::open(config, &store, &chain, clock.clone()).await?;
        let rules = IdentityRules::new(config.tenants.clone());
        let tenants = Tenants::with_rules(config.tenant_ids(), rules);
        let (directory, counts) = open_lookups(&store, &clock, &tenants).await?;
        let lookups = lookups(&directory, &counts);
        let policy = PolicyHost::open(PolicyConfig {
            lookups,
            history: Some(policy_history(config)),
            clock: clock.clone(),
            compiler,
            ..policy_config(config)
        })
        .context("loading the policies")?;
        let name = match chain {
            Chain::Only => None,
            Chain::Of(name) => Some(name),
        };
        let place = cas::Place { plain_url, shared: name.is_some() };
        let ca = cas::open(&config.ca, store.clone(), hsm.clone(), &place, &clock).await?;
        let mut further = vec![];
        for one in &config.issuers {
            further.push(cas::open(one, store.clone(), hsm.clone(), &place, &clock).await?);
        }
        cas::tell_forgotten(&store, std::iter::once(&config.ca).chain(&config.issuers)).await?;
        let ssh = match &config.ssh {
            Some(ssh) => Some(cas::open_ssh(ssh, &config.ca, store.clone(), hsm.clone()).await?),
            None => None,
        };
        let responses = ChallengeResponses::open(store.clone()).await;
        let responses = responses.context("reading what other CAs are answered")?;
        let issuers = Issuers {
            private: ca.clone(),
            further: further.clone(),
            ssh,
            upstreams: open_upstreams(config, &store, &responses)?,
            default: Issuers::PRIVATE.to_owned(),
        };
        let issuance = Issuance::open(
            issuers,
            policy.clone(),
            store.clone(),
            counts.clone(),
            audit.clone(),
            clock.clone(),
            &tenants,
        )
        .await
        .context("opening the certificate pipeline")?;
        // Other gateways may be at work on what looks unfinished. What is really left, housekeeping finds.
        let is_alone = name.is_none();
        if is_alone {
            let settled = issuance.settle_interrupted(Duration::ZERO, &Fence::none()).await;
            settled.context("settling the certificates that were being signed")?;
        }
        let kept = config.server.directory.join("client-crls");
        // It is made when there is something to keep.
        if chancery_files::is_there(&kept) {
            config.trusted.directory(&kept)?;
        }
        let revocation = Revocation::new(kept, clock.clone());
        let access = open_access(config, &policy, &store, &audit, &clock).await?;
        let access = Arc::new(access.with_directory(directory.clone()));
        for tenant in tenants.all().iter() {
            access.index_tokens(tenant).await.context("opening the tokens")?;
        }
        let mounts = mounts(config)?;
        let secrets = Secrets::new(access.clone(), store.clone(), clock.clone(), mounts);
        let secrets = secrets.with_certificates(issuance.clone());
        let secrets = Arc::new(secrets.with_keys(Custody::new(hsm.clone())));
        let acme = Acme::new(
            acme_config(config, &tenants),
            store,
            issuance.clone(),
            policy.clone(),
            audit.clone(),
            clock.clone(),
        )?;
        if is_alone {
            acme.resume().await.context("taking up unfinished orders")?;
        }
        let mut responders = vec![];
        let configs = std::iter::once(&config.ca).chain(&config.issuers);
        for (ca, config) in std::iter::once(&ca).chain(&further).zip(configs) {
            let Some(validity) = config.ocsp_validity else { continue };
            let of = |id| Arc::new(OcspResponder::new(ca.clone(), id, validity));
            responders.extend(ca.issuer_ids().map(of));
        }
        let condition = watch::Sender::new(Condition::Active);
        let installation = Arc::new(installation(config, &ca));
        let backups = Backups::new(sealed.clone(), clock.clone());
        Ok(Self {
            name,
            clock,
            audit,
            policy,
            hsm,
            ca,
            issuance,
            counts,
            access,
            directory,
            secrets,
            acme,
            responses,
            revocation,
            further,
            responders,
            tenants,
            condition,
            installation,
            backups,
            sealed,
        })
    }

    /// Opens the tenants of a configuration that was read anew and that there were not before. They count
    /// once they are among [`tenants`](Self::tenants).
    ///
    /// # Errors
    /// What is stored for a new tenant cannot be read.
    pub(crate) async fn open_tenants(&self, tenants: &[TenantId]) -> Result<()> {
        let known = self.tenants.all();
        for tenant in tenants.iter().filter(|tenant| !known.contains(tenant)) {
            let named = || format!("taking the tenant {tenant}");
            self.directory.load(tenant).await.with_context(named)?;
            self.issuance.add_tenant(tenant).await.with_context(named)?;
            self.access.index_tokens(tenant).await.with_context(named)?;
        }
        Ok(())
    }

    /// What is served behind TLS, under these names.
    pub(crate) fn tls_router(self: &Arc<Self>, hosts: Hosts, serving: Serves) -> axum::Router {
        let (for_list, for_drain, for_keys) = (self.clone(), self.clone(), self.clone());
        let tokens = Tokens {
            list: Arc::new(move |_grant| for_list.tokens()),
            drain: Arc::new(move |_grant, token, drained| {
                for_drain.hsm.as_ref().is_some_and(|hsm| hsm.drain(token, drained))
            }),
            keys: Arc::new(move |_grant| {
                let gateway = for_keys.clone();
                Box::pin(async move { gateway.keys_in_tokens().await })
            }),
        };
        let for_backup = self.clone();
        let vault = VaultState {
            tokens,
            backup: Arc::new(move |_grant| for_backup.backups.begin()),
            secrets: self.secrets.clone(),
            access: self.access.clone(),
            clock: self.clock.clone(),
            condition: self.condition.subscribe(),
            serving,
            installation: self.installation.clone(),
        };
        let acme = AcmeState { acme: self.acme.clone() };
        chancery_api::tls_router(acme, vault, hosts, self.clock.clone())
    }

    /// All private CAs.
    pub(crate) fn cas(&self) -> impl Iterator<Item = &Arc<Ca>> {
        std::iter::once(&self.ca).chain(&self.further)
    }

    /// The certificate of the CA with this id (its key identifier in hex): issuing or root.
    pub(crate) fn issuer(&self, id: &str) -> Option<Bytes> {
        self.cas().find_map(|ca| ca.certificate(id)).map(Bytes::copy_from_slice)
    }

    /// The public key of the CA for SSH: `user-ca` or `host-ca`.
    pub(crate) fn ssh_ca(&self, name: &str) -> Option<String> {
        let kind = match name {
            "user-ca" => Kind::User,
            "host-ca" => Kind::Host,
            _ => return None,
        };
        Some(self.issuance.ssh_ca()?.public_key(kind).line() + "\n")
    }

    /// The OCSP responder of the CA with this id.
    pub(crate) fn ocsp(&self, id: &str) -> Option<Arc<OcspResponder>> {
        self.responders.iter().find(|responder| responder.issuer() == id).cloned()
    }

    async fn keys_in_tokens(&self) -> Result<Vec<KeyInToken>, String> {
        let Some(hsm) = &self.hsm else { return Ok(vec![]) };
        let found = hsm.inspect().await.map_err(|error| error.to_string())?;
        let view = |key: TokenKey| KeyInToken {
            protected: key.is_protected(),
            always_protected: key.always_sensitive && key.never_extractable && key.local,
            class: if key.is_private { "private" } else { "secret" },
            token: key.token,
            label: key.label,
            id: key.id,
            usable: key.usable,
        };
        Ok(found.into_iter().map(view).collect())
    }

    /// How the HSM's tokens are.
    pub(crate) fn tokens(&self) -> Vec<TokenHealth> {
        let status = self.hsm.as_ref().map(|hsm| hsm.status()).unwrap_or_default();
        let health = |status: TokenStatus| TokenHealth {
            token: status.token,
            up: status.trouble.is_none(),
            drained: status.drained,
            keys: status.keys,
            outstanding: status.outstanding,
        };
        status.into_iter().map(health).collect()
    }

    /// The CRL with this name.
    pub(crate) fn crl(&self, id: &str) -> Option<Bytes> {
        self.cas().find_map(|ca| ca.crl_named(id))
    }

    /// What an upstream CA shall find at this token.
    pub(crate) fn challenge_response(&self, token: &str) -> Option<String> {
        self.responses.get(token)
    }

    /// Ends in order: nothing is written to the audit log after this, and the token's sessions close
    /// before the process takes the module's statics down. Returns whether that was so: false if a call into
    /// the module hangs.
    pub(crate) async fn close(&self) -> bool {
        self.audit.close().await;
        let Some(hsm) = self.hsm.clone() else { return true };
        let closed = tokio::task::spawn_blocking(move || hsm.shutdown()).await;
        closed.unwrap_or_else(|error| {
            tracing::warn!(%error, "the PKCS#11 token was not closed");
            false
        })
    }
}
