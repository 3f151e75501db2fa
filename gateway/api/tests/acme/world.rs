use std::fs;
use std::net::IpAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use axum::middleware::{Next, from_fn, from_fn_with_state};
use chancery_acme::{Acme, AcmeConfig, ValidationConfig};
use chancery_api::acme::{AcmeState, router};
use chancery_api::{Hosts, check_host};
use chancery_audit::{Audit, MemorySink};
use chancery_ca::{Ca, CaConfig, CaKeys, Parent};
use chancery_identity::{Clock, Evidence, RequestContext, RequestId, Room, Trail};
use chancery_issuance::{Issuance, IssuedCounts, Issuers};
use chancery_keys::KeyType;
use chancery_keys::software::SoftwareSigner;
use chancery_policy::{PolicyConfig, PolicyHost};
use chancery_store::memory::MemoryStore;
use chancery_store::{SharedStore, Store as _};
use chancery_upstream::{AcmeUpstream, ChallengeResponses, Trust, UpstreamConfig};
use serde_json::Value;
use tempfile::TempDir;
use zeroize::Zeroizing;

use crate::client::Client;
use crate::web::Web;

/// What outlives a server: its disk, its clock, its policies, and the world outside. Clones are the same
/// world.
#[derive(Clone)]
pub(crate) struct World {
    pub(crate) store: MemoryStore,
    pub(crate) audit: MemorySink,
    pub(crate) clock: Clock,
    pub(crate) web: Web,
    /// What the connections of the clients come with.
    pub(crate) evidence: Arc<Mutex<Option<Evidence>>>,
    /// From where.
    address: Arc<Mutex<IpAddr>>,
    policies: Arc<TempDir>,
    /// The other CA; one that is away if there is none.
    pub(crate) upstream: Option<Arc<AcmeUpstream>>,
}

/// A running server.
pub(crate) struct Server {
    pub(crate) acme: Arc<Acme>,
    pub(crate) router: Router,
}

impl World {
    pub(crate) async fn new() -> Self {
        Self::with_access_rules(ACCESS_RULES).await
    }

    /// The world with these rules of `access-rules` in the place of the usual ones.
    pub(crate) async fn with_access_rules(rules: &str) -> Self {
        let policies = TempDir::new().unwrap();
        write_policies(policies.path(), rules);
        let clock = Clock::manual("2026-03-01T12:00:00Z".parse().unwrap());
        Self {
            store: MemoryStore::with_clock(clock.clone()),
            audit: MemorySink::new(),
            clock,
            web: Web::start().await,
            evidence: Arc::default(),
            address: Arc::new(Mutex::new([127, 0, 0, 1].into())),
            policies: Arc::new(policies),
            upstream: None,
        }
    }

    pub(crate) async fn start(&self) -> Server {
        self.start_with(|_| {}).await
    }

    /// Starts a server with other settings than the usual ones of these tests.
    pub(crate) async fn start_with(&self, change: impl FnOnce(&mut AcmeConfig)) -> Server {
        let mut config = AcmeConfig {
            // Long enough that no answer has to say `processing` unless a test wants it.
            hold: Duration::from_mins(1),
            validation: ValidationConfig {
                // Names below `localhost` need no server.
                dns: Some(([127, 0, 0, 1], 9).into()),
                http01_port: self.web.port(),
                allowed_networks: vec!["127.0.0.0/8".parse().unwrap()],
                ..ValidationConfig::default()
            },
            ..AcmeConfig::default()
        };
        config.profiles.insert("short".to_owned(), "Valid for an hour".to_owned());
        config.profiles.insert("upstream".to_owned(), "Of another CA".to_owned());
        config.profiles.insert("elsewhere".to_owned(), "Not known to the policy".to_owned());
        change(&mut config);
        let policy = self.policies();
        let key = Zeroizing::new(vec![7; 32]);
        let audit =
            Audit::with_sink(Box::new(self.audit.clone()), &key, self.clock.clone()).unwrap();
        let store = Arc::new(self.store.clone());
        let keys = CaKeys::Software(Arc::new(SoftwareSigner::new()));
        let ca = Ca::open(ca(), store.clone(), keys, self.clock.now()).await.unwrap();
        let issuers = Issuers {
            private: ca,
            further: vec![],
            ssh: None,
            upstreams: std::collections::BTreeMap::from([(
                "upstream".to_owned(),
                match &self.upstream {
                    Some(upstream) => Arc::clone(upstream),
                    None => away(&store).await,
                },
            )]),
            default: Issuers::PRIVATE.to_owned(),
        };
        let clock = self.clock.clone();
        let issuance = Issuance::open(
            issuers,
            policy.clone(),
            store.clone(),
            counts(store.clone(), &clock).await,
            audit.clone(),
            clock.clone(),
            &config.tenants,
        )
        .await
        .unwrap();
        let tenant = config.tenant.clone();
        let acme = Acme::new(config, store, issuance, policy, audit, clock.clone()).unwrap();
        let (evidence, address) = (Arc::clone(&self.evidence), Arc::clone(&self.address));
        let context = from_fn(move |mut request: Request, next: Next| {
            let context = RequestContext {
                id: RequestId::random(),
                received: clock.now(),
                address: Some(*address.lock().unwrap()),
                tenant: tenant.clone(),
                evidence: evidence.lock().unwrap().clone(),
                room: Room::unlimited(),
                trail: Trail::default(),
            };
            request.extensions_mut().insert(context);
            next.run(request)
        });
        let hosts =
            Hosts::new(["acme.test", "other.example"].map(|name| name.parse().unwrap()), 8443);
        let hosts = from_fn_with_state(hosts, check_host);
        let router = router(AcmeState { acme: Arc::clone(&acme) }).layer(hosts).layer(context);
        Server { acme, router }
    }

    fn policies(&self) -> PolicyHost {
        // The directory of compiled policies is meant for one process; tests take turns.
        let turn =
            fs::File::create(Path::new(env!("CARGO_TARGET_TMPDIR")).join("acme-policies.lock"));
        let turn = turn.unwrap();
        turn.lock().unwrap();
        let config = PolicyConfig::new(self.policies.path().to_owned(), cache());
        PolicyHost::open(PolicyConfig { workers: 1, ..config }).unwrap()
    }

    /// From where requests come from now on.
    pub(crate) fn comes_from(&self, address: &str) {
        *self.address.lock().unwrap() = address.parse().unwrap();
    }

    /// The audit log's lines about an operation.
    pub(crate) fn audited(&self, operation: &str) -> Vec<Value> {
        self.audit.lines().into_iter().filter(|line| line["operation"] == operation).collect()
    }

    /// Reads `url` until the resource has the status, looking again whenever something is stored.
    pub(crate) async fn until(&self, client: &mut Client, url: &str, status: &str) -> Value {
        let mut changes = self.store.watch(b"default/acme/");
        loop {
            let found = client.get(url).await.ok();
            if found["status"] == status {
                return found;
            }
            changes.next().await.expect("the store is there");
        }
    }
}

impl Server {
    /// A client with an account.
    pub(crate) async fn client(&self) -> Client {
        let mut client = Client::new(self.router.clone());
        client.register().await;
        client
    }
}

fn ca() -> CaConfig {
    let day = Duration::from_hours(24);
    CaConfig {
        name: "private".to_owned(),
        parent: Parent::OwnRoot,
        key_type: KeyType::EcdsaP256,
        root_common_name: "Test Root".to_owned(),
        issuing_common_name: "Test Issuing".to_owned(),
        root_validity: day * 3650,
        issuing_validity: day * 1000,
        crl_validity: day * 7,
        crl_shards: 1,
        delta_crl_validity: None,
        shared: false,
        crl_url_base: "http://acme.test/crl".to_owned(),
        issuer_url_base: "http://acme.test/issuers".to_owned(),
        ocsp_url_base: None,
    }
}

/// Compiled policies, kept over the tests.
fn cache() -> PathBuf {
    let cache = Path::new(env!("CARGO_TARGET_TMPDIR")).join("acme-policies");
    fs::create_dir_all(&cache).unwrap();
    fs::set_permissions(&cache, fs::Permissions::from_mode(0o700)).unwrap();
    cache
}

/// Everybody may do everything but have orders for names under `forbidden.localhost`.
const ACCESS_RULES: &str = r#"
[[binding.settings.rules]]
name = "everybody"
identities = ["acme:*", "key:*"]
operations = ["acme.*", "certificates.revoke"]
resources = ["*"]
effect = "allow"

[[binding.settings.rules]]
name = "not these names"
identities = ["*"]
operations = ["acme.order.create"]
resources = ["*forbidden.localhost*"]
effect = "deny"
"#;

/// The shipped plugins: the access policy with these rules, and a certificate policy that refuses names
/// under `denied.localhost`.
fn write_policies(folder: &Path, rules: &str) {
    fs::create_dir(folder.join("plugins")).unwrap();
    let plugin = |name: &str| {
        let built = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join(format!("../../plugins/target/components/{name}.wasm"));
        let bytes = fs::read(&built).unwrap_or_else(|error| {
            panic!("{}: {error}; build the plugins first: plugins/build", built.display())
        });
        fs::write(folder.join(format!("plugins/{name}.wasm")), &bytes).unwrap();
        let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &bytes);
        format!(
            r#"plugin = {{ file = "plugins/{name}.wasm", digest = "sha256:{}" }}"#,
            hex::encode(digest)
        )
    };
    let access = format!(
        r#"
[[binding]]
name = "access"
decision = "access"
{}
{rules}
"#,
        plugin("access-rules")
    );
    let certificates = format!(
        r#"
[[binding]]
name = "certificates"
decision = "certificate"
{}

[binding.settings.profiles.tls-server]
keys = ["ecdsa-p256", "ecdsa-p384", "rsa"]
key_usages = ["digital-signature", "key-encipherment"]
extended_key_usages = ["server-auth"]
validity = "30d"
names = {{ allow = ["dns:*", "ip:*"], deny = ["dns:*denied.localhost"], wildcards = true }}

[binding.settings.profiles.short]
keys = ["ecdsa-p256"]
key_usages = ["digital-signature"]
extended_key_usages = ["server-auth"]
validity = "1h"
names = {{ allow = ["dns:*"] }}

[binding.settings.profiles.upstream]
issuer = "upstream"
keys = ["ecdsa-p256"]
key_usages = ["digital-signature"]
extended_key_usages = ["server-auth"]
validity = "30d"
names = {{ allow = ["dns:*"] }}
"#,
        plugin("certificate-template")
    );
    fs::write(folder.join("access.toml"), access).unwrap();
    fs::write(folder.join("certificates.toml"), certificates).unwrap();
}

/// Another CA that is away: nobody listens at its port.
async fn away(store: &Arc<MemoryStore>) -> Arc<AcmeUpstream> {
    let responses = ChallengeResponses::open(store.clone()).await.unwrap();
    let config = UpstreamConfig {
        name: "upstream".to_owned(),
        directory: "https://127.0.0.1:9/directory".to_owned(),
        contact: vec![],
        trust: Trust::Platform,
        external_account: None,
        deadline: Duration::from_mins(1),
    };
    AcmeUpstream::open(config, store.clone(), responses).unwrap()
}

async fn counts(store: SharedStore, clock: &Clock) -> Arc<IssuedCounts> {
    Arc::new(IssuedCounts::open(store, clock.clone()).await.unwrap())
}
