//! Checks the settings of the CAs: `[ca]`, `[[issuers]]` and `[ssh]`.

use std::collections::BTreeSet;
use std::time::Duration;

use chancery_ca::offline::OFFLINE_RECORDS;
use chancery_ca::{Parent, SSH_RECORDS};
use chancery_identity::{TenantId, TenantRules};
use chancery_issuance::Issuers;
use chancery_keys::KeyType;
use chancery_secrets::MountName;

use super::validate::{Check, DAY};
use super::{CaConfig, ClientRule, SecretsConfig, SshConfig, document};

impl Check<'_> {
    /// The first CA, which is called `private`, and the further ones.
    pub(super) fn cas(
        &mut self,
        (first, further): (document::Ca, Vec<document::Ca>),
        upstreams: &[document::Upstream],
        tenants: &[TenantRules],
        has_hsm: bool,
    ) -> (Option<CaConfig>, Vec<CaConfig>) {
        if first.name.as_ref().is_some_and(|name| name != Issuers::PRIVATE) {
            self.refuse::<()>(
                "ca.name",
                format!("the first CA is called `{}`; name [[issuers]]", Issuers::PRIVATE),
            );
        }
        let mut taken: BTreeSet<String> =
            upstreams.iter().map(|upstream| upstream.name.clone()).collect();
        // The CA for SSH and offline roots have records under these names.
        for name in [Issuers::PRIVATE, SSH_RECORDS, OFFLINE_RECORDS] {
            taken.insert(name.to_owned());
        }
        let mut cas = vec![];
        for ca in further {
            let name = ca.name.clone().unwrap_or_default();
            let fits = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
            if !(1..=40).contains(&name.len()) || !name.bytes().all(fits) {
                self.refuse::<()>(
                    "issuers.name",
                    format!("`{name}` is not a name of 1 to 40 of a-z, 0-9 and '-'"),
                );
            } else if !taken.insert(name.clone()) {
                self.refuse::<()>("issuers.name", format!("`{name}` is taken"));
            }
            let clients = self.clients_of_issuer("issuers", ca.clients.clone(), tenants);
            cas.extend(self.ca("issuers", name, ca, clients, has_hsm));
        }
        let clients = self.clients_of_issuer("ca", first.clients.clone(), tenants);
        (self.ca("ca", Issuers::PRIVATE.to_owned(), first, clients, has_hsm), cas)
    }

    pub(super) fn ssh(
        &mut self,
        ssh: document::Ssh,
        secrets: &SecretsConfig,
        tenants: &[TenantRules],
        administration: &TenantId,
    ) -> Option<SshConfig> {
        let named = match ssh.tenants {
            None => [administration.clone()].into(),
            Some(named) if named.is_empty() => {
                self.refuse("ssh.tenants", "name the tenants that it certifies for")?
            }
            Some(named) => named
                .iter()
                .filter_map(|name| self.known_tenant("ssh.tenants", name, tenants))
                .collect(),
        };
        let key_type: Option<KeyType> =
            self.parsed("ssh.key_type", &ssh.key_type, "a key type, as of ca.key_type");
        let taken = secrets.mounts.contains(&ssh.mount)
            || [&secrets.certificates, &secrets.keys].contains(&&Some(ssh.mount.clone()));
        if let Err(error) = ssh.mount.parse::<MountName>() {
            self.refuse::<()>("ssh.mount", error.to_string());
        } else if taken {
            self.refuse::<()>("ssh.mount", format!("`{}` is another mount already", ssh.mount));
        }
        let max = self.within("ssh.max_ttl_hours", ssh.max_ttl_hours.into(), 1..=24 * 365);
        let ttl = self.within("ssh.ttl_minutes", ssh.ttl_minutes.into(), 1..=max.max(1) * 60);
        Some(SshConfig {
            mount: ssh.mount,
            tenants: named,
            key_type: key_type?,
            default_ttl: Duration::from_secs(ttl * 60),
            max_ttl: Duration::from_secs(max * 3600),
        })
    }

    fn ca(
        &mut self,
        table: &'static str,
        name: String,
        ca: document::Ca,
        clients: ClientRule,
        has_hsm: bool,
    ) -> Option<CaConfig> {
        let key = |key: &str| format!("{table}.{key}");
        let parent = match ca.parent.as_str() {
            "own-root" => Parent::OwnRoot,
            "elsewhere" => Parent::Elsewhere,
            other => self.refuse(
                &key("parent"),
                format!("`{other}` is neither `own-root` nor `elsewhere`"),
            )?,
        };
        let keys_in_hsm = match ca.keys.as_str() {
            "software" => false,
            "pkcs11" if has_hsm => true,
            "pkcs11" => self.refuse(&key("keys"), "`pkcs11` needs a [pkcs11] table")?,
            other => {
                self.refuse(&key("keys"), format!("`{other}` is neither `software` nor `pkcs11`"))?
            }
        };
        let key_type: Option<KeyType> = self.parsed(
            &key("key_type"),
            &ca.key_type,
            "a key type: ecdsa-p256, ecdsa-p384, ecdsa-p521, rsa-2048, rsa-3072, rsa-4096 or ed25519",
        );
        for (field, name) in [("root_name", &ca.root_name), ("issuing_name", &ca.issuing_name)] {
            // RFC 5280 appendix A: ub-common-name is 64.
            if name.is_empty() || name.chars().count() > 64 || name.chars().any(char::is_control) {
                self.refuse::<()>(&key(field), "must have 1 to 64 printable characters");
            }
        }
        if ca.root_name == ca.issuing_name {
            self.refuse::<()>(&key("issuing_name"), format!("must differ from {table}.root_name"));
        }
        let root_days = self.within(&key("root_days"), ca.root_days.into(), 1..=36_500);
        let issuing_days = self.within(&key("issuing_days"), ca.issuing_days.into(), 1..=36_500);
        if issuing_days > root_days {
            self.refuse::<()>(&key("issuing_days"), "the issuing CA cannot outlive the root");
        }
        let allowed = 1..=24 * 365;
        let crl_hours = self.within(&key("crl_hours"), ca.crl_hours.into(), allowed.clone());
        let known = if allowed.contains(&crl_hours) { crl_hours } else { *allowed.end() };
        let crl_shards = self.within(&key("crl_shards"), ca.crl_shards.into(), 1..=1024);
        // Who has a complete CRL has to find a delta to it for as long as it is valid.
        let delta_crl_hours =
            self.within(&key("delta_crl_hours"), ca.delta_crl_hours.into(), 0..=known);
        let keep_expired_days = ca.keep_expired_days.map(|days| {
            // What is on a CRL, or was until lately, has to be known.
            self.within(
                &key("keep_expired_days"),
                days.into(),
                crl_hours.div_ceil(12).min(730)..=36_500,
            )
        });
        // The CA/Browser Forum's longest is ten days.
        let ocsp_hours = self.within(&key("ocsp_hours"), ca.ocsp_hours.into(), 0..=240);
        Some(CaConfig {
            name,
            parent,
            keys_in_hsm,
            key_type: key_type?,
            root_name: ca.root_name,
            issuing_name: ca.issuing_name,
            root_validity: Duration::from_secs(root_days * DAY),
            issuing_validity: Duration::from_secs(issuing_days * DAY),
            crl_validity: Duration::from_secs(crl_hours * 3600),
            crl_shards: u32::try_from(crl_shards).unwrap_or(1),
            delta_crl_validity: (delta_crl_hours > 0)
                .then(|| Duration::from_secs(delta_crl_hours * 3600)),
            keep_expired: keep_expired_days.map(|days| Duration::from_secs(days * DAY)),
            ocsp_validity: (ocsp_hours > 0).then(|| Duration::from_secs(ocsp_hours * 3600)),
            clients,
        })
    }
}
