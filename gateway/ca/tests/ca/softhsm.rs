//! The CA with its keys in a token. SoftHSM takes the place of its tokens from the environment, so
//! the test starts this binary again for itself alone.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use chancery_ca::{Ca, CaKeys, OpenError};
use chancery_keys::Signer;
use chancery_keys::pkcs11::{Pkcs11Config, Pkcs11Signer, TokenConfig, TokenSelector};
use chancery_keys::software::SoftwareSigner;
use chancery_store::memory::MemoryStore;
use chancery_x509::{ParsedCertificate, RevocationReason, pem};
use zeroize::Zeroizing;

use crate::failing_store::{FailingStore, Failure};
use crate::harness::{config, proposal, read_crl, revoked, start};
use crate::openssl::Files;

const WORK: &str = "CHANCERY_CA_TEST_DIR";
const NAME: &str = "softhsm::a_ca_whose_keys_are_in_a_token";
const MODULES: [&str; 2] = ["/usr/lib/softhsm/libsofthsm2.so", "/usr/lib64/pkcs11/libsofthsm2.so"];

#[test]
fn a_ca_whose_keys_are_in_a_token() {
    if let Some(directory) = std::env::var_os(WORK) {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
        runtime.unwrap().block_on(in_a_token());
        std::fs::write(PathBuf::from(directory).join("finished"), NAME).unwrap();
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let tokens = directory.path().join("tokens");
    std::fs::create_dir(&tokens).unwrap();
    let configuration = directory.path().join("softhsm2.conf");
    let text = format!("directories.tokendir = {}\nlog.level = ERROR\n", tokens.display());
    std::fs::write(&configuration, text).unwrap();
    let made = Command::new("softhsm2-util")
        .args(["--init-token", "--free", "--label", "ca", "--pin", "271828", "--so-pin", "314159"])
        .env("SOFTHSM2_CONF", &configuration)
        .stdout(Stdio::null())
        .status()
        .expect("this test needs the package softhsm2");
    assert!(made.success());
    let ran = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", NAME, "--nocapture"])
        .env("SOFTHSM2_CONF", &configuration)
        .env(WORK, directory.path())
        .status()
        .unwrap();
    assert!(ran.success(), "{ran}");
    let finished = std::fs::read_to_string(directory.path().join("finished"));
    assert_eq!(finished.as_deref().ok(), Some(NAME), "the test did not run");
}

fn token() -> Arc<Pkcs11Signer> {
    let module = MODULES.into_iter().find(|path| Path::new(path).exists());
    let pin = Zeroizing::new("271828".to_owned());
    let selector = TokenSelector::Label("ca".to_owned());
    let token = TokenConfig::new(module.expect("SoftHSM is not installed"), selector, pin);
    let mut config = Pkcs11Config::new(vec![token]);
    config.sessions = 2;
    config.deadline = Duration::from_mins(1);
    Arc::new(Pkcs11Signer::open(config).unwrap())
}

async fn in_a_token() {
    let signer = token();
    let store = MemoryStore::new();
    let open = async |store: Arc<dyn chancery_store::Store>| {
        Ca::open(config(), store, CaKeys::Pkcs11(Arc::clone(&signer)), start()).await
    };

    // Interrupted when the keys are in the token but not yet on record: the next start takes those.
    let failing = FailingStore::new(store.clone(), 1, Failure::Nothing);
    assert!(matches!(open(Arc::new(failing)).await, Err(OpenError::Commit(_))));
    let planned = planned_keys(&store).await;
    let publics = planned.clone().map(|key| signer.public_key(&key.parse().unwrap()).unwrap());
    let ca = open(Arc::new(store.clone())).await.unwrap();
    let root = ParsedCertificate::from_der(ca.root_der()).unwrap();
    let issuing = ParsedCertificate::from_der(ca.issuing_der()).unwrap();
    assert_eq!(root.public_key().unwrap(), &publics[0]);
    assert_eq!(issuing.public_key().unwrap(), &publics[1]);
    let stored = chancery_store::Store::scan(&store, b"_/ca/key/", None, 10).await.unwrap();
    assert!(stored.is_empty(), "no key of a token is in the store");

    let issued = ca.sign(ca.prepare(proposal(), start()).unwrap()).await.unwrap();
    let gone = ca.sign(ca.prepare(proposal(), start()).unwrap()).await.unwrap();
    ca.revoke(revoked(&ca, gone.serial, RevocationReason::Superseded, start())).await.unwrap();
    let files = Files::of(&ca);
    files.write("leaf.pem", pem::encode(pem::CERTIFICATE, &issued.der));
    let (accepted, said) = files.verify("sslserver", "leaf.pem");
    assert!(accepted, "{said}");

    // A second start continues, and a start with software keys says what is amiss.
    let again = open(Arc::new(store.clone())).await.unwrap();
    assert_eq!(again.issuing_der(), ca.issuing_der());
    assert_eq!(read_crl(&again.crl()).number, 3);
    let software = CaKeys::Software(Arc::new(SoftwareSigner::new()));
    let refused = Ca::open(config(), Arc::new(store), software, start()).await.err().unwrap();
    assert!(matches!(&refused, OpenError::KeyMissing { kind: "software", .. }), "{refused}");
}

async fn planned_keys(store: &MemoryStore) -> [String; 2] {
    let place = chancery_store::Key::new("_/ca/private/authority").unwrap();
    let record = chancery_store::Store::get(store, &place).await.unwrap().unwrap();
    let plan: serde_json::Value = serde_json::from_slice(&record.value).unwrap();
    assert_eq!(plan["state"], "planned");
    [&plan["root_key"], &plan["issuing_key"]].map(|name| name.as_str().unwrap().to_owned())
}
