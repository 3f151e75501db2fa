//! P-256 signatures in SoftHSM: through the pool, beside `C_Sign` in a loop with cached handles on as
//! many threads.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use chancery_integration::hsm::Token;
use chancery_integration::site::Site;
use chancery_keys::pkcs11::{Pkcs11Config, Pkcs11Signer, TokenConfig, TokenSelector};
use chancery_keys::{KeyName, KeyType, Signer};
use chancery_x509::SignatureAlgorithm;
use cryptoki::context::{CInitializeArgs, CInitializeFlags, Pkcs11};
use cryptoki::mechanism::Mechanism;
use cryptoki::object::{Attribute, ObjectClass, ObjectHandle};
use cryptoki::session::{Session, UserType};
use cryptoki::types::AuthPin;
use zeroize::Zeroizing;

use crate::measure;
use crate::report::Row;

const THREADS: usize = 2;
const TIME: Duration = Duration::from_secs(2);
const ROLE: &str = "signatures-in-token";

/// SoftHSM reads its configuration from the environment when the module is loaded, so the work is
/// done in a process of its own.
pub(crate) fn rows() -> Vec<Row> {
    if std::env::var_os(ROLE_VARIABLE).is_some() {
        return measured();
    }
    let site = Site::new();
    let token = Token::new(&site);
    let output = std::process::Command::new(std::env::current_exe().unwrap())
        .arg("signatures")
        .env("SOFTHSM2_CONF", token.config())
        .env(ROLE_VARIABLE, ROLE)
        .env("CHANCERY_BENCH_MODULE", token.module())
        .env("CHANCERY_BENCH_PIN", token.pin_file())
        .stderr(std::process::Stdio::inherit())
        .output()
        .unwrap();
    assert!(output.status.success(), "the measurement of signatures failed");
    let text = String::from_utf8(output.stdout).unwrap();
    let figures: Vec<f64> = text
        .lines()
        .find_map(|line| line.strip_prefix(FIGURES))
        .expect("the figures")
        .split_whitespace()
        .map(|figure| figure.parse().unwrap())
        .collect();
    vec![Row::new(
        format!("hsm: P-256 signatures (SoftHSM, {THREADS} threads)"),
        "signatures/s",
        figures[0],
        figures[1],
    )]
}

const ROLE_VARIABLE: &str = "CHANCERY_BENCH_ROLE";
const FIGURES: &str = "figures: ";

fn measured() -> Vec<Row> {
    let module = std::env::var("CHANCERY_BENCH_MODULE").unwrap();
    let pin = std::fs::read_to_string(std::env::var("CHANCERY_BENCH_PIN").unwrap()).unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let selector = TokenSelector::Label(Token::LABEL.to_owned());
    let token = TokenConfig::new(module.clone(), selector, Zeroizing::new(pin.clone()));
    let mut config = Pkcs11Config::new(vec![token]);
    config.sessions = THREADS;
    let signer = Arc::new(Pkcs11Signer::open(config).unwrap());
    let name: KeyName = "bench".parse().unwrap();
    runtime.block_on(signer.generate(&name, KeyType::EcdsaP256)).unwrap();
    let bare = Bare::open(Path::new(&module), &pin);
    let (ours, floor) =
        measure::pair(|| pooled(&runtime, &signer, &name), || bare.signatures_per_second());
    println!("{FIGURES}{ours} {floor}");
    signer.shutdown();
    std::process::exit(0);
}

/// Enough requests under way to keep every session busy.
fn pooled(runtime: &tokio::runtime::Runtime, signer: &Arc<Pkcs11Signer>, name: &KeyName) -> f64 {
    let started = std::time::Instant::now();
    let done: u64 = runtime.block_on(async {
        let tasks: Vec<_> = (0..THREADS * 8)
            .map(|_| {
                let (signer, name) = (signer.clone(), name.clone());
                tokio::spawn(async move {
                    let mut done = 0;
                    while started.elapsed() < TIME {
                        signer
                            .sign(&name, SignatureAlgorithm::EcdsaP256Sha256, b"to be signed")
                            .await
                            .unwrap();
                        done += 1;
                    }
                    done
                })
            })
            .collect();
        let mut sum = 0;
        for task in tasks {
            sum += task.await.unwrap();
        }
        sum
    });
    done as f64 / started.elapsed().as_secs_f64()
}

/// The module without the pool, logged in through it already: login is per token and process.
struct Bare {
    context: Pkcs11,
    slot: cryptoki::slot::Slot,
    pin: AuthPin,
}

impl Bare {
    fn open(module: &Path, pin: &str) -> Self {
        let context = Pkcs11::new(module).unwrap();
        // The pool has initialised the module in this process.
        let _ = context.initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK));
        let slot = context
            .get_slots_with_initialized_token()
            .unwrap()
            .into_iter()
            .find(|slot| context.get_token_info(*slot).unwrap().label() == Token::LABEL)
            .unwrap();
        Self { context, slot, pin: AuthPin::new(pin.to_owned().into()) }
    }

    fn signatures_per_second(&self) -> f64 {
        let open = |_| -> (Session, ObjectHandle) {
            let session = self.context.open_rw_session(self.slot).unwrap();
            let _ = session.login(UserType::User, Some(&self.pin));
            let found = session
                .find_objects(&[
                    Attribute::Class(ObjectClass::PRIVATE_KEY),
                    Attribute::Label(b"bench".to_vec()),
                ])
                .unwrap();
            (session, found[0])
        };
        measure::rate(THREADS, TIME, open, |(session, key)| {
            // SoftHSM has no mechanism that hashes, so the hash is part of the work on both sides.
            let hash = digest(&SHA256, b"to be signed");
            session.sign(&Mechanism::Ecdsa, *key, hash.as_ref()).unwrap();
        })
    }
}
