//! The private CA: certificates, status and revocation lists, beside the least that each needs.

use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use chancery_ca::{Ca, CaConfig, CaKeys, Parent, ProposedCertificate};
use chancery_identity::Clock;
use chancery_integration::gateway::Gateway;
use chancery_integration::http::{Client, certificates, target};
use chancery_integration::jws::base64url;
use chancery_integration::site::Site;
use chancery_keys::software::{SoftwareSigner, generate};
use chancery_keys::{KeyName, KeyType, Signer};
use chancery_store::memory::MemoryStore;
use chancery_x509::{
    CrlScope, CrlTemplate, ExtendedKeyUsage, GeneralName, Issuer, KeyUsage, KeyUsages,
    ParsedCertificate, RevocationReason, RevokedEntry, Serial, SignatureAlgorithm, Subject,
};

use crate::load::{self, CONNECTIONS};
use crate::measure;
use crate::report::Row;
use crate::static_server::StaticServer;

const TIME: Duration = Duration::from_secs(2);
const DAY: Duration = Duration::from_hours(24);
const P256: SignatureAlgorithm = SignatureAlgorithm::EcdsaP256Sha256;
/// Certificates on the large revocation list.
const REVOKED: usize = 1_000_000;

pub(crate) fn rows() -> Vec<Row> {
    let mut rows = vec![leaf(), status()];
    rows.extend(large_crl());
    rows
}

/// A CA below a root of its own.
pub(crate) fn config(name: &str) -> CaConfig {
    CaConfig {
        name: name.to_owned(),
        parent: Parent::OwnRoot,
        key_type: KeyType::EcdsaP256,
        root_common_name: "Bench Root CA".to_owned(),
        issuing_common_name: "Bench Issuing CA".to_owned(),
        root_validity: DAY * 3650,
        issuing_validity: DAY * 1825,
        crl_validity: DAY,
        crl_shards: 1,
        delta_crl_validity: None,
        shared: false,
        crl_url_base: "http://127.0.0.1:8080/crl".to_owned(),
        issuer_url_base: "http://127.0.0.1:8080/issuers".to_owned(),
        ocsp_url_base: Some("http://127.0.0.1:8080/ocsp".to_owned()),
    }
}

/// A leaf certificate, beside the signature that is on it.
fn leaf() -> Row {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let now = Clock::system().now();
    let signer = Arc::new(SoftwareSigner::new());
    let config = config("bench");
    let store = Arc::new(MemoryStore::new());
    let ca = runtime.block_on(Ca::open(config, store, CaKeys::Software(signer), now)).unwrap();
    let alone = SoftwareSigner::new();
    let name: KeyName = "bench".parse().unwrap();
    let key = alone.insert_pkcs8(name.clone(), generate(KeyType::EcdsaP256).unwrap()).unwrap();
    let proposed = ProposedCertificate {
        public_key: key,
        subject: Subject::common_name(None),
        names: vec![GeneralName::dns("www.bench.example.com").unwrap()],
        key_usages: KeyUsages::NONE.with(KeyUsage::DigitalSignature),
        extended_key_usages: vec![ExtendedKeyUsage::ServerAuth],
        extra: vec![],
        not_before: now,
        not_after: now + DAY * 90,
    };
    let message = [7; 1024];
    let (ours, floor) = measure::pair(
        || {
            measure::micros_per_call(TIME, || {
                let prepared = ca.prepare(proposed.clone(), now).unwrap();
                runtime.block_on(ca.sign(prepared)).unwrap();
            })
        },
        || {
            measure::micros_per_call(TIME, || {
                runtime.block_on(alone.sign(&name, P256, &message)).unwrap();
            })
        },
    );
    let name = "ca: leaf certificate, prepared, linted, signed (floor: the signature; goal <= 3)";
    Row::new(name, "µs", ours, floor)
}

/// Answers about one certificate by GET, beside a server that gives the same bytes.
fn status() -> Row {
    let site = Site::new();
    let gateway = Gateway::start(&site);
    let pem = |der: &[u8], name: &str| {
        let path = site.write(name, der).display().to_string();
        let out = format!("{path}.pem");
        let arguments = ["x509", "-inform", "DER", "-in", &path, "-out", &out];
        assert!(Command::new("openssl").args(arguments).status().unwrap().success());
        out
    };
    let chain = certificates(&std::fs::read_to_string(&gateway.ready().app_cert).unwrap());
    let (leaf, issuer) = (pem(&chain[0], "leaf"), pem(&chain[1], "issuer"));
    let url = Command::new("openssl").args(["x509", "-in", &leaf, "-noout", "-ocsp_uri"]).output();
    let url = String::from_utf8(url.unwrap().stdout).unwrap().trim().to_owned();
    let request = site.file("request").display().to_string();
    let ask = ["ocsp", "-issuer", &issuer, "-cert", &leaf, "-no_nonce", "-reqout", &request];
    assert!(Command::new("openssl").args(ask).output().unwrap().status.success());
    let request = base64url(std::fs::read(request).unwrap());
    let path = format!("{}/{request}", target(&url));
    let client = Client::plain(&url);
    let answer = client.get(&path).expect(200).body;

    let floor = StaticServer::start_plain(&site, &answer);
    let bare = Client::plain(floor.url());
    let (ours, floor) = measure::pair(
        || load::gets_per_second(&client, &path, TIME),
        || load::gets_per_second(&bare, &path, TIME),
    );
    Row::new(
        format!(
            "ca: OCSP answers, keep-alive, {CONNECTIONS} connections (floor: static hyper; goal >= 0.8)"
        ),
        "1/s",
        ours,
        floor,
    )
}

/// A revocation list of a million certificates, beside one of a thousand.
fn large_crl() -> Vec<Row> {
    let now = Clock::system().now();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let site = Site::new();
    let gateway = Gateway::start(&site);
    let root = certificates(&std::fs::read_to_string(&gateway.ready().root).unwrap());
    let issuer = ParsedCertificate::from_der(&root[0]).unwrap();
    let issuer = Issuer::from_certificate(&issuer).unwrap();
    let signer = SoftwareSigner::new();
    let name: KeyName = "bench".parse().unwrap();
    signer.insert_pkcs8(name.clone(), generate(KeyType::EcdsaP256).unwrap()).unwrap();
    let make = |count: usize, scope: CrlScope| {
        let memory = measure::PeakMemory::from_now();
        let revoked = (0..count)
            .map(|number| {
                let mut serial = [0x5a; 20];
                serial[12..].copy_from_slice(&(number as u64).to_be_bytes());
                RevokedEntry {
                    serial: Serial::from_be_bytes(&serial).unwrap(),
                    at: now,
                    reason: RevocationReason::Superseded,
                }
            })
            .collect();
        let template =
            CrlTemplate { scope, number: 1, this_update: now, next_update: now + DAY, revoked };
        let begun = Instant::now();
        let content = template.build(&issuer, P256).unwrap();
        let signature = runtime.block_on(signer.sign(&name, P256, content.der())).unwrap();
        let der = content.assemble(&signature).unwrap();
        let millis = begun.elapsed().as_secs_f64() * 1e3;
        (millis, der.len() as f64 / (1024.0 * 1024.0), memory.mebibytes())
    };
    let complete = || CrlScope::Complete { delta_url: None };
    let (large, size, memory) = make(REVOKED, complete());
    let (small, small_size, small_memory) = make(1000, complete());
    let urls = vec!["http://127.0.0.1:8080/crl/a-0-of-64.crl".to_owned()];
    let (shard, shard_size, _) = make(REVOKED / 64, CrlScope::Shard { urls });
    vec![
        Row::new(
            "ca: one of 64 shards of that CRL, built and signed (floor: the whole)",
            "ms",
            shard,
            large,
        ),
        Row::new("ca: its size (floor: of the whole)", "MiB", shard_size, size),
        Row::new(
            "ca: CRL of 1,000,000 entries, built and signed (floor: of 1,000)",
            "ms",
            large,
            small,
        ),
        Row::new(
            "ca: size of a CRL of 1,000,000 entries (floor: of 1,000)",
            "MiB",
            size,
            small_size,
        ),
        Row::new(
            "ca: memory at most while it is made, its entries included (floor: of 1,000)",
            "MiB",
            memory,
            small_memory,
        ),
    ]
}
