//! Signatures in SoftHSM: through the pool, beside `C_Sign` in a loop with cached handles.

use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use chancery_integration::hsm::Token;
use chancery_integration::site::Site;
use chancery_keys::pkcs11::{Pkcs11Config, Pkcs11Signer, TokenConfig, TokenSelector};
use chancery_keys::{KeyName, KeyType, Signer};
use chancery_pkcs11_faults::{Plan, PlanFile};
use chancery_x509::SignatureAlgorithm;
use zeroize::Zeroizing;

use crate::bare_token::Bare;
use crate::measure;
use crate::report::Row;

const THREADS: usize = 2;
const TIME: Duration = Duration::from_secs(1);
const MESSAGE: &[u8] = b"to be signed";
const P256: SignatureAlgorithm = SignatureAlgorithm::EcdsaP256Sha256;
const RSA: SignatureAlgorithm = SignatureAlgorithm::RsaPkcs1Sha256;
/// The key that is signed with.
pub(crate) const KEY: &str = "bench";
const RSA_KEY: &str = "bench-rsa";
/// A second token with the same P-256 key.
const SECOND: &str = "second";

/// SoftHSM reads its configuration from the environment when the module is loaded, so the work is
/// done in a process of its own.
pub(crate) fn rows() -> Vec<Row> {
    if let Some(directory) = std::env::var_os(DIRECTORY) {
        measured(&Tokens { directory: PathBuf::from(directory) });
    }
    let site = Site::new();
    let token = Token::new(&site);
    let softhsm = |program: &str| {
        let mut command = Command::new(program);
        command.env("SOFTHSM2_CONF", token.config());
        command
    };
    let pin = std::fs::read_to_string(token.pin_file()).unwrap();
    let run = |command: &mut Command| assert!(command.output().unwrap().status.success());
    let second = ["--init-token", "--free", "--label", SECOND, "--so-pin", "for nobody"];
    run(softhsm("softhsm2-util").args(second).args(["--pin", &pin]));
    let key = site.path().join("key.pem");
    let key = key.to_str().unwrap();
    let curve = ["genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", key];
    run(Command::new("openssl").args(curve));
    for label in [Token::LABEL, SECOND] {
        let names = ["--import", key, "--label", KEY, "--id", "0a", "--token", label];
        run(softhsm("softhsm2-util").args(names).args(["--pin", &pin]));
    }
    let output = softhsm(std::env::current_exe().unwrap().to_str().unwrap())
        .arg("signatures")
        .env(DIRECTORY, site.path())
        .env(PlanFile::VARIABLE, site.path())
        .stderr(std::process::Stdio::inherit())
        .output()
        .unwrap();
    assert!(output.status.success(), "the measurement of signatures failed");
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().filter_map(|line| line.strip_prefix(FIGURE)).map(read).collect()
}

const DIRECTORY: &str = "CHANCERY_BENCH_TOKENS";
const FIGURE: &str = "figure: ";

fn read(line: &str) -> Row {
    let (name, unit, ours, floor): (String, String, f64, f64) = serde_json::from_str(line).unwrap();
    let unit = ["1/s", "µs", "ms"].into_iter().find(|known| *known == unit).unwrap();
    Row::new(name, unit, ours, floor)
}

fn tell(name: &str, unit: &str, (ours, floor): (f64, f64)) {
    println!("{FIGURE}{}", serde_json::to_string(&(name, unit, ours, floor)).unwrap());
}

/// Where the tokens are.
struct Tokens {
    directory: PathBuf,
}

impl Tokens {
    fn module() -> PathBuf {
        PathBuf::from("/usr/lib/softhsm/libsofthsm2.so")
    }

    fn pin(&self) -> Zeroizing<String> {
        Zeroizing::new(std::fs::read_to_string(self.directory.join("pin")).unwrap())
    }

    fn config(&self, module: &PathBuf, labels: &[&str]) -> Pkcs11Config {
        let token = |label: &&str| {
            TokenConfig::new(module, TokenSelector::Label((*label).to_owned()), self.pin())
        };
        let mut config = Pkcs11Config::new(labels.iter().map(token).collect());
        config.sessions = THREADS;
        config
    }

    fn open(&self, set: impl FnOnce(&mut Pkcs11Config)) -> Arc<Pkcs11Signer> {
        let mut config = self.config(&Self::module(), &[Token::LABEL]);
        set(&mut config);
        Arc::new(Pkcs11Signer::open(config).unwrap())
    }
}

fn measured(tokens: &Tokens) -> ! {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let name: KeyName = KEY.parse().unwrap();
    let rsa: KeyName = RSA_KEY.parse().unwrap();
    let bare = || Bare::open(&Tokens::module(), &tokens.pin());

    for (what, set) in [
        ("", (|_| {}) as fn(&mut Pkcs11Config)),
        (", not verified", |config| config.verify = false),
        (", not verified, session copies", |config| {
            config.verify = false;
            config.session_copies = true;
        }),
    ] {
        let signer = tokens.open(set);
        let bare = bare();
        // Which number of threads is best for the bare loop differs by machine.
        let best = |bare: &Bare| bare.rate(1, KEY).max(bare.rate(THREADS, KEY));
        let figures = measure::pair(|| pooled(&runtime, &signer, &name, P256), || best(&bare));
        let goal = if what == ", not verified" { "; goal >= 0.95" } else { "" };
        tell(&format!("hsm: P-256 signatures{what} (floor: C_Sign loop{goal})"), "1/s", figures);
        drop(bare);
        let _ = signer.shutdown();
    }

    for (what, set) in [
        ("", (|config| config.verify = false) as fn(&mut Pkcs11Config)),
        (", session copies", |config| {
            config.verify = false;
            config.session_copies = true;
        }),
    ] {
        let signer = tokens.open(set);
        if !signer.contains(&rsa) {
            runtime.block_on(signer.generate(&rsa, KeyType::Rsa2048)).unwrap();
        }
        let beside = bare();
        let figures = measure::pair(
            || pooled(&runtime, &signer, &rsa, RSA),
            || beside.rsa_rate(THREADS, RSA_KEY),
        );
        let row = format!(
            "hsm: RSA-2048 signatures, not verified{what} (floor: C_Sign loop; goal >= 0.97)"
        );
        tell(&row, "1/s", figures);
        for (percent, share) in [("p50", 50), ("p99", 99)] {
            let figures = measure::pair(
                || percentile(latencies(&runtime, &signer, &name), share),
                || percentile(beside.latencies(KEY, TIME), share),
            );
            let row = format!(
                "hsm: one signature at a time, not verified{what}, {percent} (floor: C_Sign)"
            );
            tell(&row, "µs", figures);
        }
        drop(beside);
        let _ = signer.shutdown();
    }

    // Before there are a thousand keys: SoftHSM takes a tenth of a second to close the sessions of such a
    // token, and nobody else gets anything from it meanwhile.
    failover(tokens, &runtime, &name);
    for (keys, goal) in [(10, 3.5), (1000, 300.0)] {
        bare().fill(keys);
        let signer = tokens.open(|_| {});
        let beside = bare();
        let figures = measure::pair(
            || pooled(&runtime, &signer, &name, P256),
            || beside.careless_rate(KEY, TIME),
        );
        let name = format!(
            "hsm: P-256 signatures, {keys} keys (floor: open, find, sign, close; goal >= {goal})"
        );
        tell(&name, "1/s", figures);
        drop(beside);
        let _ = signer.shutdown();
    }
    // Whatever the module does when the process ends is not measured.
    std::process::exit(0);
}

fn failover(tokens: &Tokens, runtime: &tokio::runtime::Runtime, name: &KeyName) {
    let plan = PlanFile::new(&tokens.directory, Tokens::module());
    let config = tokens.config(&chancery_pkcs11_faults::module(), &[Token::LABEL, SECOND]);
    let signer = Arc::new(Pkcs11Signer::open(config).unwrap());
    let longest = |meanwhile: &dyn Fn()| {
        plan.set(&Plan::default());
        while signer.status().iter().any(|token| token.trouble.is_some()) {
            std::thread::yield_now();
        }
        longest_gap(runtime, &signer, name, meanwhile)
    };
    let dies = || plan.set(&Plan { away: vec![Token::LABEL.to_owned()], ..Plan::default() });
    let figures = measure::pair(|| longest(&dies), || longest(&|| {}));
    tell(
        "hsm: longest gap in answers when one of two tokens dies, no error (floor: none dies; goal <= 100)",
        "ms",
        figures,
    );
    let _ = signer.shutdown();
}

/// Enough requests under way to keep every session busy.
fn pooled(
    runtime: &tokio::runtime::Runtime,
    signer: &Arc<Pkcs11Signer>,
    name: &KeyName,
    algorithm: SignatureAlgorithm,
) -> f64 {
    let started = Instant::now();
    let done: u64 = runtime.block_on(async {
        let tasks: Vec<_> = (0..THREADS * 32)
            .map(|_| {
                let (signer, name) = (signer.clone(), name.clone());
                tokio::spawn(async move {
                    let mut done = 0;
                    while started.elapsed() < TIME {
                        signer.sign(&name, algorithm, MESSAGE).await.unwrap();
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

/// One after the other, so that half of the sessions are busy.
fn latencies(runtime: &tokio::runtime::Runtime, signer: &Pkcs11Signer, name: &KeyName) -> Vec<f64> {
    let started = Instant::now();
    let mut times = Vec::new();
    runtime.block_on(async {
        while started.elapsed() < TIME {
            let begun = Instant::now();
            signer.sign(name, P256, MESSAGE).await.unwrap();
            times.push(begun.elapsed().as_secs_f64() * 1e6);
        }
    });
    times
}

fn percentile(mut values: Vec<f64>, share: usize) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() * share / 100]
}

/// Milliseconds between two answers, at most, while four callers ask all the time.
fn longest_gap(
    runtime: &tokio::runtime::Runtime,
    signer: &Arc<Pkcs11Signer>,
    name: &KeyName,
    meanwhile: &dyn Fn(),
) -> f64 {
    let started = Instant::now();
    let mut answers: Vec<f64> = runtime.block_on(async {
        let tasks: Vec<_> = (0..4)
            .map(|_| {
                let (signer, name) = (signer.clone(), name.clone());
                tokio::spawn(async move {
                    let mut answers = Vec::new();
                    while started.elapsed() < TIME {
                        signer.sign(&name, P256, MESSAGE).await.expect("no error");
                        answers.push(started.elapsed().as_secs_f64() * 1e3);
                    }
                    answers
                })
            })
            .collect();
        tokio::time::sleep(TIME / 2).await;
        meanwhile();
        let mut all = Vec::new();
        for task in tasks {
            all.extend(task.await.unwrap());
        }
        all
    });
    answers.sort_by(f64::total_cmp);
    answers.windows(2).map(|pair| pair[1] - pair[0]).fold(0.0, f64::max)
}
