//! What a running gateway takes into use without a restart: on SIGHUP, or when files of policies change.

use anyhow::{Context, Result};
use chancery_access::in_force;
use chancery_audit::Event;
use chancery_identity::{IdentityRules, RequestContext, TenantId};
use chancery_policy::{LoadError, PolicyHost, Summary};

use super::Running;
use crate::config::{Config, Settings};
use crate::foundation::known_to_policies;
use crate::gateway::Gateway;
use crate::policy_files::PolicyFiles;
use crate::trust;

/// The settings that [`Running::reload`] takes into use; those below them too. The table in
/// `docs/operating/changes.md` says the same.
const TAKEN: [&str; 6] = [
    "administration",
    "ca.clients",
    "clients",
    "issuers[].clients",
    "secrets.bearer_roles",
    "tenants",
];

/// The settings of a CA that count when it is made, and some when it gets another key.
const OF_NEW_CAS: [&str; 6] =
    ["parent", "key_type", "root_name", "issuing_name", "root_days", "issuing_days"];

/// What has to happen for a changed setting to count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Needs {
    Nothing,
    Restart,
    Ceremony,
}

impl Needs {
    fn of(key: &str) -> Self {
        let (table, of_issuer) = match key
            .strip_prefix("issuers[")
            .and_then(|key| key.split_once(']'))
        {
            Some((_, of_issuer)) => (format!("issuers[]{of_issuer}"), of_issuer.strip_prefix('.')),
            None => (key.to_owned(), key.strip_prefix("ca.")),
        };
        let is_taken = |taken: &&str| {
            table
                .strip_prefix(*taken)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
        };
        match of_issuer {
            _ if TAKEN.iter().any(is_taken) => Self::Nothing,
            Some(setting) if OF_NEW_CAS.contains(&setting) => Self::Ceremony,
            _ => Self::Restart,
        }
    }
}

/// Changed settings that are not in force.
#[derive(Debug, Default, PartialEq, Eq)]
struct Waiting {
    for_restart: Vec<String>,
    for_ceremony: Vec<String>,
}

impl Waiting {
    fn between(start: &Settings, now: &Settings) -> Self {
        let mut waiting = Self::default();
        for key in start.differing(now) {
            match Needs::of(&key) {
                Needs::Nothing => {}
                Needs::Restart => waiting.for_restart.push(key),
                Needs::Ceremony => waiting.for_ceremony.push(key),
            }
        }
        waiting
    }

    fn tell(&self) {
        if !self.for_restart.is_empty() {
            let keys = self.for_restart.join(", ");
            tracing::warn!(keys, "changed in the configuration, and not in force before a restart");
        }
        if !self.for_ceremony.is_empty() {
            let keys = self.for_ceremony.join(", ");
            tracing::warn!(
                keys,
                "changed in the configuration, and not in force: these count when a CA is made or gets another \
                 key (gateway/ca/README.md)"
            );
        }
    }
}

impl Running {
    /// `logrotate` and its like move the file away and send SIGHUP.
    pub(super) async fn reopen_audit(&self) {
        match self.gateway.audit.reopen().await {
            Ok(true) => tracing::info!("the file of the audit log was moved away: began the next"),
            Ok(false) => {}
            Err(error) => {
                tracing::error!(%error, "the audit log goes on in the file that was moved away");
            }
        }
    }

    pub(super) async fn take_changed_policies(&self) {
        let before = self.gateway.policy.summary().digest;
        match self.load_policies("files", PolicyHost::reload).await {
            Ok(loaded) if loaded.digest == before => {
                tracing::info!("the files of the policies are in order, and as they were");
            }
            Ok(loaded) => tracing::info!(bindings = loaded.bindings.len(), "took changed policies"),
            Err(error) => {
                let error = format_args!("{error:#}");
                tracing::error!(
                    error,
                    "changed policies are not taken, the old set stays in force"
                );
            }
        }
    }

    /// Loads the policies, and puts on record which set is in force from now on, or why it is not.
    async fn load_policies(
        &self,
        cause: &'static str,
        load: impl FnOnce(&PolicyHost) -> Result<Summary, LoadError> + Send + 'static,
    ) -> Result<Summary> {
        let Gateway { policy, audit, clock, .. } = &*self.gateway;
        let before = policy.summary().digest;
        let loaded = policy.blocking(load).await;
        if loaded.as_ref().is_ok_and(|loaded| loaded.digest == before) {
            return Ok(loaded?);
        }
        let context = RequestContext::internal(TenantId::default_tenant(), clock.now());
        let event = Event::new(&context, "policy-set.load", cause);
        let event = match &loaded {
            Ok(loaded) => {
                let add = |event: Event, (name, value)| event.detail(name, value);
                in_force(loaded).into_iter().fold(event, add).succeeded()
            }
            Err(error) => event.detail("reason", error.to_string()).failed("not-taken"),
        };
        audit.record(event).await?;
        loaded.context("loading the policies")
    }

    /// Policies, the gateway's certificate, and whom it trusts. The ports, the store and the CA stay
    /// as they are until a restart. Each part is complete before it replaces what was there.
    pub(crate) async fn reload(&mut self) -> Result<usize> {
        let config = Config::load(&self.file)?;
        let waiting = Waiting::between(&self.config.settings, &config.settings);
        let trust = trust::of_clients(&config, &self.gateway)?;
        let foreign = trust::foreign_cas(&config)?;
        self.gateway.open_tenants(&config.tenant_ids()).await?;
        let signers = config.policy_signers.clone();
        let known = known_to_policies(&config);
        let loaded =
            self.load_policies("signal", move |policy| policy.reload_with(signers, known)).await?;
        // The new ones before the trust, and the old ones forgotten after it: nobody is believed whose revocations
        // are not looked at.
        self.gateway.revocation.add(foreign.clone()).await?;
        self.acceptor.replace_trust(trust)?;
        self.gateway.revocation.keep_only(&foreign);
        let rules = IdentityRules::new(config.tenants.clone());
        self.gateway.tenants.replace(config.tenant_ids(), rules);
        self.gateway.access.replace_bearer_roles(config.secrets.bearer_roles);
        self.gateway.access.replace_administration(config.administration);
        self.config.tenants = config.tenants;
        self.config.clients = config.clients;
        self.renew.notify_one();
        waiting.tell();
        Ok(loaded.bindings.len())
    }
}

/// Watches the directory of policies if that is asked for and possible.
pub(super) fn policy_files(config: &Config) -> PolicyFiles {
    if !config.policy_watch {
        return PolicyFiles::unwatched();
    }
    PolicyFiles::watch(&config.policy_directory).unwrap_or_else(|error| {
        tracing::warn!(
            %error,
            directory = %config.policy_directory.display(),
            "changes of the policies cannot be noticed: they are loaded on SIGHUP and by the API only"
        );
        PolicyFiles::unwatched()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_changed_setting_needs() {
        for (key, needs) in [
            ("tenants", Needs::Nothing),
            ("clients.cas", Needs::Nothing),
            ("secrets.bearer_roles", Needs::Nothing),
            ("ca.clients.tenants", Needs::Nothing),
            ("issuers[short].clients", Needs::Nothing),
            ("secrets.keys", Needs::Restart),
            ("clients_of_others", Needs::Restart),
            ("acme.limits.order_hours", Needs::Restart),
            ("ca.crl_hours", Needs::Restart),
            ("issuers[short]", Needs::Restart),
            ("issuers[short].crl_hours", Needs::Restart),
            ("ca.root_name", Needs::Ceremony),
            ("issuers[short].key_type", Needs::Ceremony),
        ] {
            assert_eq!(Needs::of(key), needs, "{key}");
        }
    }

    #[test]
    fn the_documentation_names_what_is_taken() {
        let text = include_str!("../../../../docs/operating/changes.md");
        let (_, table) = text.split_once("| taken on SIGHUP").unwrap();
        let (table, _) = table.split_once("\n\n").unwrap();
        for key in TAKEN {
            let name = key.replace("[]", "");
            assert!(table.contains(&format!("[{name}]")), "{key} is missing");
        }
    }
}
