//! The inventory with a million certificates, beside one with none.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use chancery_audit::{Audit, MemorySink};
use chancery_ca::{Ca, CaKeys};
use chancery_identity::{Clock, Identity, IdentityName, RequestContext, Room, TenantId, Tenants};
use chancery_issuance::{
    BulkRevocation, Issuance, IssuanceRequest, IssuedCounts, Issuers, Requester, Search,
    ValidatedName,
};
use chancery_keys::software::SoftwareSigner;
use chancery_policy::{Digest, PolicyConfig, PolicyHost};
use chancery_store::redb::RedbStore;
use chancery_store::{Commit, Key, Record, SharedStore};
use chancery_x509::{CertificateRequest, GeneralName, RevocationReason};
use tokio::runtime::Runtime;
use tokio::task::JoinSet;
use zeroize::Zeroizing;

use crate::report::Row;
use crate::{authority, measure};

const CERTIFICATES: usize = 1_000_000;
const BATCH: usize = 2000;
const AT_ONCE: usize = 32;
const ROUND: usize = 512;
/// What the one certificate that is multiplied is called.
const SEED: &str = "seedname";

pub(crate) fn rows() -> Vec<Row> {
    let runtime = Runtime::new().unwrap();
    let directory = tempfile::tempdir().unwrap();
    let world = World::open(&runtime, directory.path());
    world.issue_one(&runtime, SEED);
    let issue = |world: &World, runtime: &Runtime| {
        measure::median((0..3).map(|_| world.issue_many(runtime)).collect())
    };
    let empty = issue(&world, &runtime);
    let filling = Instant::now();
    world.fill(&runtime);
    eprintln!("{CERTIFICATES} certificates stored in {:?}", filling.elapsed());
    let full = issue(&world, &runtime);
    let tenant = tenant();
    let room = Room::unlimited();
    let search = |search: &Search| {
        measure::micros_per_call(Duration::from_millis(200), || {
            let found = world.issuance.search(&tenant, search, None, 100, &room);
            assert!(!runtime.block_on(found).unwrap().entries.is_empty());
        })
    };
    let by_name = search(&Search {
        name: Some(GeneralName::dns(&format!("n{:07}.bench.example.com", 4711)).unwrap()),
        ..Search::default()
    });
    let hundred = search(&Search::default());
    let begun = Instant::now();
    let domain = Some("bulk.example.com".to_owned());
    let revoked = world.revoke(&runtime, Search { domain, ..Search::default() });
    let bulk = revoked as f64 / begun.elapsed().as_secs_f64();
    let begun = Instant::now();
    runtime.block_on(world.issuance.survey(&tenant)).unwrap();
    let survey = begun.elapsed().as_secs_f64();
    vec![
        Row::new(
            "inventory: certificates issued, 32 at once, 1,000,000 stored (floor: none stored)",
            "1/s",
            full,
            empty,
        ),
        Row::new(
            "inventory: one of 1,000,000 found by name (floor: the first 100 of all)",
            "µs",
            by_name,
            hundred,
        ),
        Row::new(
            "inventory: certificates revoked in bulk among 1,000,000 (floor: issued, as above)",
            "1/s",
            bulk,
            full,
        ),
        Row::new(
            "inventory: all 1,000,000 looked through for what ends soon (floor: 1 s)",
            "s",
            survey,
            1.0,
        ),
    ]
}

struct World {
    issuance: Issuance,
    store: SharedStore,
    key: rcgen::KeyPair,
    number: std::sync::atomic::AtomicUsize,
}

impl World {
    fn open(runtime: &Runtime, directory: &Path) -> Self {
        let store: SharedStore = Arc::new(RedbStore::open(&directory.join("store")).unwrap());
        let clock = Clock::system();
        let keys = CaKeys::Software(Arc::new(SoftwareSigner::new()));
        let key = Zeroizing::new(vec![7; 32]);
        let audit = Audit::with_sink(Box::new(MemorySink::new()), &key, clock.clone()).unwrap();
        let policy = policies(directory);
        let issuance = runtime.block_on(async {
            let ca =
                Ca::open(authority::config(Issuers::PRIVATE), store.clone(), keys, clock.now())
                    .await
                    .unwrap();
            let issuers = Issuers {
                private: ca,
                further: vec![],
                ssh: None,
                upstreams: std::collections::BTreeMap::new(),
                default: Issuers::PRIVATE.to_owned(),
            };
            let counts = Arc::new(IssuedCounts::open(store.clone(), clock.clone()).await.unwrap());
            let tenants = Tenants::new([tenant()]);
            Issuance::open(issuers, policy, store.clone(), counts, audit, clock, &tenants)
                .await
                .unwrap()
        });
        let key = rcgen::KeyPair::generate().unwrap();
        Self { issuance, store, key, number: 0.into() }
    }

    fn request(&self, name: &str) -> IssuanceRequest {
        let mut params = rcgen::CertificateParams::new(vec![name.to_owned()]).unwrap();
        params.distinguished_name = rcgen::DistinguishedName::new();
        let csr = params.serialize_request(&self.key).unwrap();
        let csr = CertificateRequest::from_der(csr.der()).unwrap();
        let name = GeneralName::dns(name).unwrap();
        IssuanceRequest {
            context: RequestContext::internal(tenant(), Clock::system().now()),
            requester: Requester::AcmeAccount { id: "1".to_owned() },
            csr,
            profile: None,
            validated: vec![ValidatedName { name, method: "http-01".to_owned() }],
            order: None,
            not_before: None,
            not_after: None,
        }
    }

    fn issue_one(&self, runtime: &Runtime, label: &str) {
        let request = self.request(&format!("{label}.bench.example.com"));
        runtime.block_on(self.issuance.issue(request)).unwrap();
    }

    /// Certificates per second, for names that nobody had before.
    fn issue_many(&self, runtime: &Runtime) -> f64 {
        let name = |_| {
            let number = self.number.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            self.request(&format!("m{number}.bulk.example.com"))
        };
        let requests: Vec<IssuanceRequest> = (0..ROUND).map(name).collect();
        let begun = Instant::now();
        runtime.block_on(async {
            let mut under_way = JoinSet::new();
            for request in requests {
                if under_way.len() == AT_ONCE {
                    under_way.join_next().await.unwrap().unwrap();
                }
                let issuance = self.issuance.clone();
                under_way.spawn(async move { drop(issuance.issue(request).await.unwrap()) });
            }
            under_way.join_all().await;
        });
        ROUND as f64 / begun.elapsed().as_secs_f64()
    }

    /// Multiplies the seed's records under other names and serial numbers.
    fn fill(&self, runtime: &Runtime) {
        runtime.block_on(async {
            let seed = Search {
                name: Some(GeneralName::dns(&format!("{SEED}.bench.example.com")).unwrap()),
                ..Search::default()
            };
            let seed =
                self.issuance.search(&tenant(), &seed, None, 1, &Room::unlimited()).await.unwrap();
            let serial = seed.entries[0].serial.to_string();
            let mut records: Vec<Record> = Vec::new();
            for prefix in ["default/issuance/", "_/issuance/index/", "_/issuance/recent/"] {
                let all = self.store.scan(prefix.as_bytes(), None, 100_000).await.unwrap();
                records.extend(all.into_iter().filter(|record| {
                    String::from_utf8_lossy(record.key.as_bytes()).contains(&serial)
                }));
            }
            assert!(records.len() >= 7, "{records:?}");
            for batch in 0..CERTIFICATES / BATCH {
                let mut commit = Commit::new();
                for number in batch * BATCH..(batch + 1) * BATCH {
                    let mut random = [0; 20];
                    aws_lc_rs::rand::fill(&mut random).unwrap();
                    random[0] = 0x7f;
                    let (other, name) = (hex(&random), format!("n{number:07}"));
                    for record in &records {
                        let change = |bytes: &[u8]| match std::str::from_utf8(bytes) {
                            Ok(text) => {
                                text.replace(&serial, &other).replace(SEED, &name).into_bytes()
                            }
                            Err(_) => bytes.to_vec(),
                        };
                        let key = Key::new(change(record.key.as_bytes())).unwrap();
                        commit = commit.put(key, change(&record.value));
                    }
                }
                self.store.commit(commit).await.unwrap();
            }
        });
    }

    fn revoke(&self, runtime: &Runtime, search: Search) -> u64 {
        let name = IdentityName::Spiffe("spiffe://bench.example/admin".parse().unwrap());
        let request = BulkRevocation {
            context: RequestContext::internal(tenant(), Clock::system().now()),
            search,
            reason: RevocationReason::Superseded,
            by: Identity { tenant: tenant(), name },
        };
        let outcome = runtime.block_on(self.issuance.revoke_matching(request)).unwrap();
        assert_eq!((outcome.refused, outcome.failed), (0, 0));
        outcome.revoked
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().concat()
}

fn tenant() -> TenantId {
    TenantId::default_tenant()
}

/// A profile, and a rule that lets the administrator revoke.
fn policies(directory: &Path) -> PolicyHost {
    let policies = directory.join("policies");
    std::fs::create_dir_all(&policies).unwrap();
    let plugin = |name: &str| {
        let built = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join(format!("../plugins/target/components/{name}.wasm"));
        let wasm = std::fs::read(&built)
            .unwrap_or_else(|error| panic!("{}: {error}: run plugins/build", built.display()));
        let file = format!("{name}.wasm");
        std::fs::write(policies.join(&file), &wasm).unwrap();
        format!("{{ file = \"{file}\", digest = \"{}\" }}", Digest::of(&wasm))
    };
    let text = format!(
        r#"
[[binding]]
name = "profiles"
decision = "certificate"
plugin = {}
limits = {{ deadline_ms = 10000 }}

[[binding.settings.choose]]
requester = "acme:*"
profile = "tls-server"

[binding.settings.profiles.tls-server]
keys = ["ecdsa-p256"]
key_usages = ["digital-signature"]
extended_key_usages = ["server-auth"]
validity = "90d"
names = {{ allow = ["dns:*"] }}

[[binding]]
name = "rules"
decision = "access"
plugin = {}
limits = {{ deadline_ms = 10000 }}

[[binding.settings.rules]]
name = "the administrator revokes"
identities = ["spiffe://bench.example/*"]
operations = ["certificates.revoke"]
resources = ["*"]
effect = "allow"
"#,
        plugin("certificate-template"),
        plugin("access-rules")
    );
    std::fs::write(policies.join("bench.toml"), text).unwrap();
    PolicyHost::open(PolicyConfig::new(policies, directory.join("cache"))).unwrap()
}
