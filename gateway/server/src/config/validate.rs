//! From the document to checked values. Each problem is noted with its key and the rest is still
//! looked at, so that one run of `chancery check` shows everything.

use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use chancery_files::Trusted;
use chancery_identity::{TenantId, TenantRules};
use chancery_issuance::Issuers;
use chancery_keys::KeyName;
use chancery_secrets::MountName;

use super::acme::AcmeLimits;
use super::diagnose::{ConfigError, InvalidValue};
use super::document::{self, Document};
use super::{AcmeConfig, Config, RootKeySource, SecretsConfig, Settings, UpstreamConfig};

pub(super) const DAY: u64 = 24 * 60 * 60;

pub(super) fn validate(file: &Path, text: &str, document: Document) -> Result<Config, ConfigError> {
    let settings = Settings::of(&document);
    let mut check = Check { file, text, trusted: Trusted::process(), problems: vec![] };
    check.trust(&document.files);
    let directory = check.state_directory(&document.server.directory);
    let has_hsm = document.pkcs11.is_some();
    let hsm = document.pkcs11.and_then(|hsm| check.hsm(&hsm));
    let key_days = check.within("seal.key_days", document.seal.key_days.into(), 0..=3650);
    let root_key = check.root_key(document.seal, has_hsm);
    let policy_signers = check.policy_signers(&document.tenants);
    let tenants = check.tenants(document.tenants);
    let administration = check.administration(document.administration, &tenants);
    let clients = check.clients(document.clients, &tenants);
    let cas = (document.ca, document.issuers);
    let (ca, issuers) = check.cas(cas, &document.upstreams, &tenants, has_hsm);
    let policy_directory = check.existing_directory("policy.directory", &document.policy.directory);
    let tenant_ids: Vec<_> = tenants.iter().map(|rules| rules.tenant.to_string()).collect();
    let secrets = check.secrets(document.secrets, &tenant_ids);
    let ssh = document.ssh.and_then(|ssh| check.ssh(ssh, &secrets, &tenants, &administration));
    let acme = check.acme(document.acme, &tenants);
    let telemetry = check.telemetry(document.telemetry);
    let upstreams = check.upstreams(document.upstreams);
    let audit = check.audit(document.audit, &directory, &document.server.names);
    let server = check.server(&document.server, directory, has_hsm);
    let Check { problems, trusted, .. } = check;
    match (server, root_key, ca, audit) {
        (Some(server), Some(root_key), Some(ca), Some(audit)) if problems.is_empty() => {
            Ok(Config {
                server,
                root_key,
                sealing_key_age: (key_days > 0).then(|| Duration::from_secs(key_days * DAY)),
                hsm,
                ca,
                issuers,
                ssh,
                policy_directory,
                policy_watch: document.policy.watch,
                policy_signers,
                acme,
                secrets,
                clients,
                tenants,
                administration,
                audit,
                trusted,
                telemetry,
                upstreams,
                settings,
            })
        }
        _ => Err(ConfigError::Invalid(problems)),
    }
}

pub(super) struct Check<'a> {
    file: &'a Path,
    text: &'a str,
    /// Who may have a hand in the files.
    pub(super) trusted: Trusted,
    problems: Vec<InvalidValue>,
}

impl Check<'_> {
    fn acme_limits(&mut self, limits: AcmeLimits) -> AcmeLimits {
        for (key, value, range) in limits.ranges() {
            self.within(&format!("acme.limits.{key}"), value, range);
        }
        limits
    }

    pub(super) fn refuse<T>(&mut self, key: &str, problem: impl Into<String>) -> Option<T> {
        self.problems.push(InvalidValue::new(self.file, self.text, key, problem));
        None
    }

    pub(super) fn parsed<T: FromStr>(&mut self, key: &str, value: &str, wanted: &str) -> Option<T> {
        match value.parse() {
            Ok(parsed) => Some(parsed),
            Err(_) => self.refuse(key, format!("`{value}` is not {wanted}")),
        }
    }

    pub(super) fn within(
        &mut self,
        key: &str,
        value: u64,
        range: std::ops::RangeInclusive<u64>,
    ) -> u64 {
        if !range.contains(&value) {
            let (low, high) = range.into_inner();
            self.refuse::<()>(key, format!("{value} is not between {low} and {high}"));
        }
        value
    }

    /// Relative paths start from the directory of the configuration file.
    pub(super) fn path(&self, path: &Path) -> PathBuf {
        self.file.parent().unwrap_or(Path::new("")).join(path)
    }

    /// A file that is there, and that nobody may change but those who are trusted.
    pub(super) fn existing_file(&mut self, key: &str, path: &Path) -> PathBuf {
        let path = self.path(path);
        if let Err(error) = self.trusted.file(&path) {
            self.refuse::<()>(key, error.to_string());
        }
        path
    }

    /// A file that holds a secret: nobody else may read it either.
    pub(super) fn secret_file(&mut self, key: &str, path: &Path) -> PathBuf {
        let path = self.path(path);
        if let Err(error) = self.trusted.secret(&path) {
            self.refuse::<()>(key, error.to_string());
        }
        path
    }

    fn existing_directory(&mut self, key: &str, path: &Path) -> PathBuf {
        let path = self.path(path);
        if let Err(error) = self.trusted.directory(&path) {
            self.refuse::<()>(key, error.to_string());
        }
        path
    }

    /// A file that the gateway writes on, and whose successors it makes beside it. Both may be missing.
    pub(super) fn log_file(&mut self, key: &str, file: &Path) {
        let directory = file.parent().filter(|parent| parent.is_dir());
        let Some(directory) = directory else { return };
        let checked = self.trusted.directory(directory).and_then(|_| self.trusted.no_link(file));
        // What cannot be seen from here is seen when it is opened.
        let checked = match checked {
            Ok(()) if file.exists() => self.trusted.file(file).map(drop),
            checked => checked,
        };
        if let Err(error) = checked {
            self.refuse::<()>(key, error.to_string());
        }
    }

    /// It may be missing, since it is made at the first start.
    fn state_directory(&mut self, path: &Path) -> PathBuf {
        let path = self.path(path);
        if path.exists() { self.existing_directory("server.directory", &path) } else { path }
    }

    fn root_key(&mut self, seal: document::Seal, has_hsm: bool) -> Option<RootKeySource> {
        match (seal.root_key_file, seal.passphrase_file, seal.pkcs11_key) {
            (Some(file), None, None) => {
                Some(RootKeySource::File(self.secret_file("seal.root_key_file", &file)))
            }
            (None, Some(file), None) => {
                Some(RootKeySource::PassphraseFile(self.secret_file("seal.passphrase_file", &file)))
            }
            (None, None, Some(label)) => {
                if !has_hsm {
                    return self.refuse("seal.pkcs11_key", "needs a [pkcs11] table");
                }
                match label.parse::<KeyName>() {
                    Ok(name) => Some(RootKeySource::Pkcs11Key(name)),
                    Err(error) => self.refuse("seal.pkcs11_key", error.to_string()),
                }
            }
            _ => self
                .refuse("seal", "set exactly one of root_key_file, passphrase_file and pkcs11_key"),
        }
    }

    fn acme(&mut self, acme: document::Acme, tenants: &[TenantRules]) -> AcmeConfig {
        let tenant = self.acme_tenant(acme.tenant, tenants);
        let dns = acme.dns.and_then(|text| {
            self.parsed("acme.dns", &text, "an address with a port, such as 127.0.0.1:53")
        });
        for (key, port) in
            [("acme.http01_port", acme.http01_port), ("acme.tls_alpn01_port", acme.tls_alpn01_port)]
        {
            self.within(key, port.into(), 1..=65_535);
        }
        let allowed_networks = acme
            .allowed_networks
            .iter()
            .filter_map(|text| {
                self.parsed("acme.allowed_networks", text, "a network, such as 10.0.0.0/8")
            })
            .collect();
        if !acme.profiles.contains_key(&acme.default_profile) {
            self.refuse::<()>(
                "acme.default_profile",
                format!("`{}` is not among acme.profiles", acme.default_profile),
            );
        }
        AcmeConfig {
            dns,
            http01_port: acme.http01_port,
            tls_alpn01_port: acme.tls_alpn01_port,
            allowed_networks,
            terms_of_service: self.web_url("acme.terms_of_service", acme.terms_of_service),
            website: self.web_url("acme.website", acme.website),
            profiles: acme.profiles,
            default_profile: Some(acme.default_profile),
            tenant,
            limits: self.acme_limits(acme.limits),
            unlisted_names: acme.unlisted_names,
            allowed_origins: self.origins(acme.allowed_origins),
        }
    }

    /// Origins as browsers send them (RFC 6454 §6.2), or `*`.
    fn origins(&mut self, origins: Vec<String>) -> Vec<String> {
        for origin in &origins {
            let parsed = url::Url::parse(origin);
            let is_origin = parsed.is_ok_and(|url| url.origin().ascii_serialization() == *origin);
            if origin != "*" && !is_origin {
                self.refuse::<()>(
                    "acme.allowed_origins",
                    format!(
                        "`{origin}` is neither an origin, such as https://app.example, nor `*` for all"
                    ),
                );
            }
        }
        origins
    }

    fn acme_tenant(&mut self, tenant: Option<String>, tenants: &[TenantRules]) -> TenantId {
        let named = tenant.and_then(|text| self.known_tenant("acme.tenant", &text, tenants));
        named.unwrap_or_else(TenantId::default_tenant)
    }

    pub(super) fn web_url(&mut self, key: &str, url: Option<String>) -> Option<String> {
        let url = url?;
        match url::Url::parse(&url) {
            Ok(parsed) if matches!(parsed.scheme(), "http" | "https") => Some(url),
            _ => self.refuse(key, format!("`{url}` is not an http(s) URL")),
        }
    }

    fn secrets(&mut self, secrets: document::Secrets, tenants: &[String]) -> SecretsConfig {
        for mount in &secrets.mounts {
            if let Err(error) = mount.parse::<MountName>() {
                self.refuse::<()>("secrets.mounts", error.to_string());
            }
        }
        let mut taken: Vec<&String> = secrets.mounts.iter().collect();
        let others =
            [("secrets.certificates", &secrets.certificates), ("secrets.keys", &secrets.keys)];
        for (setting, name) in others.into_iter().filter(|(_, name)| !name.is_empty()) {
            if let Err(error) = name.parse::<MountName>() {
                self.refuse::<()>(setting, error.to_string());
            } else if taken.contains(&name) {
                let why = format!("`{name}` is another mount already: choose another name");
                self.refuse::<()>(setting, why);
            }
            taken.push(name);
        }
        let ttl =
            self.within("secrets.token_ttl_seconds", secrets.token_ttl_seconds, 1..=DAY * 365);
        let max_ttl = secrets.token_max_ttl_seconds;
        self.within("secrets.token_max_ttl_seconds", max_ttl, ttl..=DAY * 365);
        let most = secrets.tokens_per_identity.into();
        let most = self.within("secrets.tokens_per_identity", most, 0..=1_000_000);
        SecretsConfig {
            mounts: secrets.mounts,
            certificates: Some(secrets.certificates).filter(|name| !name.is_empty()),
            keys: Some(secrets.keys).filter(|name| !name.is_empty()),
            token_ttl: Duration::from_secs(ttl),
            token_max_ttl: Duration::from_secs(max_ttl),
            tokens_per_identity: usize::try_from(most).ok().filter(|most| *most > 0),
            bearer_roles: self.bearer_roles(secrets.bearer_roles, tenants),
        }
    }

    fn upstreams(&mut self, upstreams: Vec<document::Upstream>) -> Vec<UpstreamConfig> {
        let mut seen = std::collections::BTreeSet::new();
        upstreams
            .into_iter()
            .map(|upstream| {
                let fits = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
                if upstream.name.is_empty()
                    || !upstream.name.bytes().all(fits)
                    || upstream.name == Issuers::PRIVATE
                {
                    self.refuse::<()>(
                        "upstreams.name",
                        format!(
                            "`{}` is not a name of a-z, 0-9 and '-' (and `{}` is taken)",
                            upstream.name,
                            Issuers::PRIVATE
                        ),
                    );
                }
                if !seen.insert(upstream.name.clone()) {
                    self.refuse::<()>(
                        "upstreams.name",
                        format!("`{}` stands twice", upstream.name),
                    );
                }
                if !upstream.directory_url.starts_with("https://") {
                    self.refuse::<()>("upstreams.directory_url", "must be an https:// URL");
                }
                for contact in &upstream.contact {
                    if !contact.starts_with("mailto:") {
                        self.refuse::<()>(
                            "upstreams.contact",
                            format!("`{contact}` is not a mailto: URL"),
                        );
                    }
                }
                let roots = upstream.roots.map(|path| self.existing_file("upstreams.roots", &path));
                UpstreamConfig {
                    name: upstream.name,
                    directory_url: upstream.directory_url,
                    contact: upstream.contact,
                    roots,
                }
            })
            .collect()
    }
}
