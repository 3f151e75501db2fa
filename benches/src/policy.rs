//! One certificate decision with ten names by `certificate-template`, on the calling thread and handed
//! over to an evaluating one; beside bare wasmtime that runs a guest which only copies the same records
//! (`plugins/copy`).

use std::path::{Path, PathBuf};
use std::time::Duration;

use chancery_identity::TenantId;
use chancery_policy::{
    CertificateFacts, Digest, KeyFacts, Name, PolicyConfig, PolicyHost, ValidatedName,
};
use wasmtime::component::{Component, Linker};
use wasmtime::{Config, Engine, InstanceAllocationStrategy, PoolingAllocationConfig, Store};

use crate::measure;
use crate::report::Row;

const NAMES: usize = 10;
const TIME: Duration = Duration::from_secs(1);
const PAGE: usize = 64 * 1024;

#[allow(missing_docs, unreachable_pub, clippy::all, clippy::pedantic, reason = "generated")]
mod contract {
    wasmtime::component::bindgen!({ path: "../wit", world: "certificate-policy" });
}
use contract::exports::chancery::policy::certificate as wit;
use contract::{CertificatePolicy, CertificatePolicyPre};

pub(crate) fn rows() -> Vec<Row> {
    let directory = tempfile::tempdir().unwrap();
    let host = host(directory.path());
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let facts = facts();
    let bare = Bare::new();
    let request = bare_request();
    let here = || host.decide_certificate_here(&facts).decision.expect("the policy allows it");
    let (in_process, floor) = measure::pair(
        || measure::micros_per_call(TIME, || drop(here())),
        || measure::micros_per_call(TIME, || bare.evaluate(&request)),
    );
    let (handed_over, alone) = measure::pair(
        || {
            runtime.block_on(async {
                let started = std::time::Instant::now();
                let mut calls = 0;
                while started.elapsed() < TIME {
                    let verdict = host.decide_certificate(&facts).await;
                    verdict.decision.expect("the policy allows it");
                    calls += 1;
                }
                started.elapsed().as_secs_f64() * 1e6 / f64::from(calls)
            })
        },
        || measure::micros_per_call(TIME, || drop(here())),
    );
    let rate = |threads| measure::rate(threads, TIME, |_| (), |()| drop(here()));
    let (two, one) = measure::pair(|| rate(2), || rate(1));
    let bare_rate = |threads| measure::rate(threads, TIME, |_| (), |()| bare.evaluate(&request));
    let (bare_two, bare_one) = measure::pair(|| bare_rate(2), || bare_rate(1));
    vec![
        Row::new(
            format!(
                "policy: certificate with {NAMES} names, in process (floor: bare wasmtime, copying guest; goal <= 1.5)"
            ),
            "µs",
            in_process,
            floor,
        ),
        Row::new(
            "policy: the same, handed over to an evaluating thread (floor: in process)",
            "µs",
            handed_over,
            alone,
        ),
        Row::new("policy: the same on 2 threads (floor: on 1; goal >= 1.4)", "1/s", two, one),
        Row::new("policy: bare wasmtime on 2 threads (floor: on 1)", "1/s", bare_two, bare_one),
    ]
}

pub(crate) fn component(name: &str) -> PathBuf {
    let path = chancery_integration::process::repository()
        .join(format!("plugins/target/components/{name}.wasm"));
    assert!(path.is_file(), "{} is missing: run plugins/build", path.display());
    path
}

fn host(directory: &Path) -> PolicyHost {
    let plugin = std::fs::read(component("certificate-template")).unwrap();
    std::fs::write(directory.join("certificate-template.wasm"), &plugin).unwrap();
    let digest = Digest::of(&plugin);
    let binding = format!(
        r#"
        [[binding]]
        name = "bench"
        decision = "certificate"
        plugin = {{ file = "certificate-template.wasm", digest = "{digest}" }}

        [binding.settings.profiles.tls-server]
        keys = ["ecdsa-p256"]
        key_usages = ["digital-signature"]
        extended_key_usages = ["server-auth"]
        validity = "90d"
        names = {{ allow = ["dns:*"] }}
        "#
    );
    std::fs::write(directory.join("bench.toml"), binding).unwrap();
    PolicyHost::open(PolicyConfig::new(directory.to_owned(), directory.join("cache"))).unwrap()
}

fn host_name(number: usize) -> String {
    format!("host-{number}.bench.example.com")
}

fn facts() -> CertificateFacts {
    CertificateFacts {
        tenant: TenantId::default_tenant(),
        requester: "acme:0123456789abcdef0123456789abcdef".to_owned(),
        identity: None,
        profile: Some("tls-server".to_owned()),
        key: KeyFacts {
            algorithm: "ecdsa-p256".to_owned(),
            bits: 256,
            fingerprint: "0".repeat(64),
        },
        subject: vec![],
        requested: (0..NAMES)
            .map(|number| Name { kind: "dns".to_owned(), value: host_name(number) })
            .collect(),
        validated: (0..NAMES)
            .map(|number| ValidatedName {
                kind: "dns".to_owned(),
                value: host_name(number),
                method: "http-01".to_owned(),
            })
            .collect(),
        extensions: vec![],
        requested_validity: None,
        attributes: vec![],
    }
}

/// The same as the contract has it.
fn bare_request() -> wit::Request {
    let facts = facts();
    wit::Request {
        tenant: facts.tenant.to_string(),
        requester: facts.requester,
        identity: facts.identity,
        profile: facts.profile,
        key: wit::KeyFacts {
            algorithm: facts.key.algorithm,
            bits: facts.key.bits,
            fingerprint: facts.key.fingerprint,
        },
        subject: vec![],
        names: facts
            .requested
            .into_iter()
            .map(|name| wit::Name { kind: name.kind, value: name.value })
            .collect(),
        validated: facts
            .validated
            .into_iter()
            .map(|name| wit::ValidatedName {
                kind: name.kind,
                value: name.value,
                method: name.method,
            })
            .collect(),
        extensions: vec![],
        validity_seconds: None,
        attributes: vec![],
    }
}

/// Nothing but the engine, set as measured to be fastest for a guest of one page.
struct Bare {
    engine: Engine,
    guest: CertificatePolicyPre<()>,
}

impl Bare {
    fn new() -> Self {
        let mut pool = PoolingAllocationConfig::new();
        pool.linear_memory_keep_resident(PAGE).table_keep_resident(PAGE);
        let mut config = Config::new();
        config
            .allocation_strategy(InstanceAllocationStrategy::Pooling(pool))
            .epoch_interruption(true)
            .concurrency_support(false);
        let engine = Engine::new(&config).unwrap();
        let copy = Component::from_file(&engine, component("copy")).unwrap();
        let linker = Linker::new(&engine);
        let guest = CertificatePolicyPre::new(linker.instantiate_pre(&copy).unwrap()).unwrap();
        Self { engine, guest }
    }

    fn evaluate(&self, request: &wit::Request) {
        let mut store = Store::new(&self.engine, ());
        store.set_epoch_deadline(1);
        let policy: CertificatePolicy = self.guest.instantiate(&mut store).unwrap();
        let answer = policy.chancery_policy_certificate().call_evaluate(&mut store, request);
        match answer.unwrap() {
            wit::Decision::Issue(template) => assert_eq!(template.names.len(), NAMES),
            other => panic!("{other:?}"),
        }
    }
}
