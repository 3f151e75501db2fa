use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use chancery_audit::{Audit, MemorySink};
use chancery_ca::{Ca, CaConfig, CaKeys, Parent};
use chancery_identity::{
    Clock, IdentityRules, RequestContext, Room, TenantId, TenantRules, Tenants,
};
use chancery_issuance::{
    InventoryEntry, Issuance, IssuanceRequest, IssueError, IssuedCertificate, IssuedCounts,
    Issuers, Requester, Search, ValidatedName,
};
use chancery_keys::KeyType;
use chancery_keys::software::SoftwareSigner;
use chancery_policy::{Digest, PolicyConfig, PolicyHost};
use chancery_store::SharedStore;
use chancery_store::memory::MemoryStore;
use chancery_upstream::AcmeUpstream;
use chancery_x509::{CertificateRequest, GeneralName};
use jiff::Timestamp;
use serde_json::Value;
use zeroize::Zeroizing;

/// A pipeline with everything around it.
pub(crate) struct World {
    pub(crate) issuance: Issuance,
    pub(crate) ca: Arc<Ca>,
    pub(crate) store: MemoryStore,
    pub(crate) sink: MemorySink,
    pub(crate) clock: Clock,
    policy: PolicyHost,
    audit: Audit,
    _directory: tempfile::TempDir,
}

pub(crate) const START: Timestamp = Timestamp::constant(1_800_000_000, 0);

impl World {
    pub(crate) async fn new() -> Self {
        Self::with_upstreams(MemoryStore::new(), BTreeMap::new()).await
    }

    pub(crate) async fn with_upstreams(
        store: MemoryStore,
        upstreams: BTreeMap<String, Arc<AcmeUpstream>>,
    ) -> Self {
        let clock = Clock::manual(START);
        let directory = tempfile::tempdir().unwrap();
        let policy = policies(directory.path());
        let sink = MemorySink::new();
        let key = Zeroizing::new(vec![7; 32]);
        let audit = Audit::with_sink(Box::new(sink.clone()), &key, clock.clone()).unwrap();
        let shared: SharedStore = Arc::new(store.clone());
        let keys = CaKeys::Software(Arc::new(SoftwareSigner::new()));
        let ca = Ca::open(ca_config(), Arc::clone(&shared), keys, START).await.unwrap();
        let issuers = Issuers {
            private: Arc::clone(&ca),
            further: vec![],
            ssh: Some(crate::ssh::issuer(Arc::clone(&shared)).await),
            upstreams,
            default: "private".to_owned(),
        };
        let issuance = Issuance::open(
            issuers,
            policy.clone(),
            shared.clone(),
            counts(shared, &clock).await,
            audit.clone(),
            clock.clone(),
            &tenants(),
        )
        .await
        .unwrap();
        Self { issuance, ca, store, sink, clock, policy, audit, _directory: directory }
    }

    /// The pipeline as another process would open it on the same store.
    pub(crate) async fn reopen(&self) -> Issuance {
        let issuers = Issuers {
            private: Arc::clone(&self.ca),
            further: vec![],
            ssh: None,
            upstreams: BTreeMap::new(),
            default: "private".to_owned(),
        };
        let store: SharedStore = Arc::new(self.store.clone());
        let (policy, audit) = (self.policy.clone(), self.audit.clone());
        let counts = counts(store.clone(), &self.clock).await;
        let clock = self.clock.clone();
        Issuance::open(issuers, policy, store, counts, audit, clock, &tenants()).await.unwrap()
    }

    pub(crate) async fn issue(
        &self,
        csr: &CertificateRequest,
    ) -> Result<IssuedCertificate, IssueError> {
        self.issuance.issue(request(csr)).await
    }

    /// A certificate for a fresh key and one name.
    pub(crate) async fn issued(&self) -> IssuedCertificate {
        self.issue(&csr(&["a.example"])).await.unwrap()
    }

    /// What the tenant has that fits.
    pub(crate) async fn found(&self, search: &Search) -> Vec<InventoryEntry> {
        self.issuance
            .search(&tenant(), search, None, 1000, &Room::unlimited())
            .await
            .unwrap()
            .entries
    }

    /// The newest audit line.
    pub(crate) fn last_line(&self) -> Value {
        self.sink.lines().pop().unwrap()
    }
}

fn ca_config() -> CaConfig {
    CaConfig {
        name: "private".to_owned(),
        parent: Parent::OwnRoot,
        key_type: KeyType::EcdsaP256,
        root_common_name: "Test Root".to_owned(),
        issuing_common_name: "Test Issuing CA".to_owned(),
        root_validity: DAY * 3650,
        issuing_validity: DAY * 1825,
        crl_validity: DAY * 7,
        crl_shards: 1,
        delta_crl_validity: None,
        shared: false,
        crl_url_base: "http://ca.example/crl".to_owned(),
        issuer_url_base: "http://ca.example/issuers".to_owned(),
        ocsp_url_base: None,
    }
}

/// The shipped plugins with settings for these tests.
fn policies(directory: &Path) -> PolicyHost {
    let policies = directory.join("policies");
    std::fs::create_dir_all(policies.join("plugins")).unwrap();
    let plugin = |name: &str| {
        let file = format!("plugins/{name}.wasm");
        let built = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join(format!("../../plugins/target/components/{name}.wasm"));
        let wasm = std::fs::read(&built)
            .unwrap_or_else(|error| panic!("{}: {error}: run plugins/build", built.display()));
        std::fs::write(policies.join(&file), &wasm).unwrap();
        format!("{{ file = \"{file}\", digest = \"{}\" }}", Digest::of(&wasm))
    };
    let document = BINDINGS
        .replace("@certificate-template@", &plugin("certificate-template"))
        .replace("@access-rules@", &plugin("access-rules"));
    std::fs::write(policies.join("test.toml"), document).unwrap();
    PolicyHost::open(PolicyConfig::new(policies, directory.join("cache"))).unwrap()
}

const BINDINGS: &str = r#"
[[binding]]
name = "profiles"
decision = "certificate"
plugin = @certificate-template@
limits = { deadline_ms = 10000 }

[[binding.settings.choose]]
requester = "acme:*"
profile = "tls-server"

[binding.settings.profiles.tls-server]
keys = ["ecdsa-p256", "rsa"]
key_usages = ["digital-signature"]
extended_key_usages = ["server-auth"]
validity = "90d"
names = { allow = ["dns:*"], deny = ["dns:*.forbidden.example"], wildcards = true }

[binding.settings.profiles.elsewhere]
keys = ["ecdsa-p256"]
key_usages = ["digital-signature"]
extended_key_usages = ["server-auth"]
validity = "90d"
issuer = "pebble"
names = { allow = ["dns:*"] }

[binding.settings.profiles.forever]
keys = ["ecdsa-p256"]
key_usages = ["digital-signature"]
extended_key_usages = ["server-auth"]
validity = "3000d"
names = { allow = ["dns:*"] }

[binding.settings.profiles.tls-client]
keys = ["ecdsa-p256"]
key_usages = ["digital-signature"]
extended_key_usages = ["client-auth"]
validity = "90d"
names = { allow = ["dns:*", "uri:*"] }

[binding.settings.profiles.any-use]
keys = ["ecdsa-p256"]
key_usages = ["digital-signature"]
extended_key_usages = []
validity = "90d"
names = { allow = ["dns:*", "uri:*"] }

[[binding]]
name = "clients-only"
decision = "certificate"
plugin = @certificate-template@
match = { requesters = ["acme:of-two-minds"] }
limits = { deadline_ms = 10000 }

[[binding.settings.choose]]
requester = "acme:*"
profile = "tls-server"

[binding.settings.profiles.tls-server]
keys = ["ecdsa-p256", "rsa"]
key_usages = ["digital-signature"]
extended_key_usages = ["client-auth"]
validity = "90d"
names = { allow = ["dns:*"] }

[[binding]]
name = "rules"
decision = "access"
plugin = @access-rules@
limits = { deadline_ms = 10000 }

[[binding.settings.rules]]
name = "those concerned may revoke"
identities = ["acme:*", "key:*", "spiffe://ops.example/*"]
operations = ["certificates.revoke"]
resources = ["*"]
effect = "allow"

[[binding.settings.rules]]
name = "operators log in as themselves"
identities = ["spiffe://ops.example/*"]
operations = ["ssh.sign-user"]
resources = ["alice", "bob"]
effect = "allow"

[[binding.settings.rules]]
name = "but not this one"
identities = ["acme:suspended"]
operations = ["*"]
resources = ["*"]
effect = "deny"
"#;

/// A request for these DNS names with a fresh key.
pub(crate) fn csr(names: &[&str]) -> CertificateRequest {
    csr_with_common_name(names, None)
}

pub(crate) fn csr_with_common_name(
    names: &[&str],
    common_name: Option<&str>,
) -> CertificateRequest {
    let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
    let mut params = rcgen::CertificateParams::new(names).unwrap();
    params.distinguished_name = rcgen::DistinguishedName::new();
    if let Some(name) = common_name {
        params.distinguished_name.push(rcgen::DnType::CommonName, name);
    }
    let key = rcgen::KeyPair::generate().unwrap();
    CertificateRequest::from_der(params.serialize_request(&key).unwrap().der()).unwrap()
}

pub(crate) fn csr_with_uri(uri: &str) -> CertificateRequest {
    let mut params = rcgen::CertificateParams::new(vec![]).unwrap();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.subject_alt_names.push(rcgen::SanType::URI(uri.try_into().unwrap()));
    let key = rcgen::KeyPair::generate().unwrap();
    CertificateRequest::from_der(params.serialize_request(&key).unwrap().der()).unwrap()
}

/// The ACME account `1` asks, having proved control of every name in the request.
pub(crate) fn request(csr: &CertificateRequest) -> IssuanceRequest {
    let names = csr.requested_names().unwrap();
    IssuanceRequest {
        context: context(),
        requester: account("1"),
        csr: csr.clone(),
        profile: None,
        validated: names.into_iter().map(validated).collect(),
        order: None,
        not_before: None,
        not_after: None,
    }
}

pub(crate) fn validated(name: GeneralName) -> ValidatedName {
    let method = if name.value().starts_with('*') { "dns-01" } else { "http-01" };
    ValidatedName { name, method: method.to_owned() }
}

pub(crate) fn account(id: &str) -> Requester {
    Requester::AcmeAccount { id: id.to_owned() }
}

pub(crate) fn context() -> RequestContext {
    RequestContext::internal(tenant(), START)
}

pub(crate) fn tenant() -> TenantId {
    TenantId::default_tenant()
}

/// The own tenant, and `b`, which recognises what is of `b-tenant.example`.
fn tenants() -> Tenants {
    let rules = |tenant: TenantId, domain: &str| TenantRules {
        tenant,
        trust_domains: vec![domain.to_owned()],
        dns_suffixes: vec![domain.to_owned()],
        pinned: vec![],
    };
    let b: TenantId = "b".parse().unwrap();
    let all = vec![rules(tenant(), "own.example"), rules(b.clone(), "b-tenant.example")];
    Tenants::with_rules([tenant(), b], IdentityRules::new(all))
}

pub(crate) const DAY: Duration = Duration::from_hours(24);

async fn counts(store: SharedStore, clock: &Clock) -> Arc<IssuedCounts> {
    Arc::new(IssuedCounts::open(store, clock.clone()).await.unwrap())
}
