use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use chancery_keys::KeyName;
use chancery_keys::pkcs11::{Pkcs11Config, Pkcs11Signer, TokenConfig, TokenSelector};
use chancery_pkcs11_faults::PlanFile;
use cryptoki::context::Pkcs11;
use cryptoki::session::Session;
use zeroize::Zeroizing;

pub(crate) const LABEL: &str = "chancery-test";
pub(crate) const PIN: &str = "271828";
const WORK: &str = "CHANCERY_SOFTHSM_TEST_DIR";
const MODULES: [&str; 3] = [
    "/usr/lib/softhsm/libsofthsm2.so",
    "/usr/lib64/pkcs11/libsofthsm2.so",
    "/opt/homebrew/lib/softhsm/libsofthsm2.so",
];

/// Where SoftHSM is installed.
pub(crate) fn module() -> &'static str {
    MODULES
        .into_iter()
        .find(|path| Path::new(path).exists())
        .expect("SoftHSM is not installed: these tests need the package softhsm2")
}

/// Runs `body` in a process of its own, with one freshly made token called [`LABEL`]. `name` is the
/// path of the calling test as `--list` shows it.
pub(crate) fn with_token(name: &str, body: impl FnOnce()) {
    if let Some(directory) = std::env::var_os(WORK) {
        body();
        // Proves to the process outside that this very test ran, and to the end.
        std::fs::write(PathBuf::from(directory).join("finished"), name).unwrap();
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let tokens = directory.path().join("tokens");
    std::fs::create_dir(&tokens).unwrap();
    let configuration = directory.path().join("softhsm2.conf");
    std::fs::write(
        &configuration,
        format!(
            "directories.tokendir = {}\nobjectstore.backend = file\nlog.level = ERROR\n",
            tokens.display()
        ),
    )
    .unwrap();
    initialise_token(&configuration, LABEL);
    let ran = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", name, "--nocapture"])
        .env("SOFTHSM2_CONF", &configuration)
        .env(WORK, directory.path())
        .env(PlanFile::VARIABLE, directory.path())
        .status()
        .unwrap();
    assert!(ran.success(), "{name} failed inside its process: {ran}");
    let finished = std::fs::read_to_string(directory.path().join("finished"));
    assert_eq!(finished.as_deref().ok(), Some(name), "no test called {name} ran");
}

/// The same with a plan of what goes wrong, for signers with [`faulty`] modules.
pub(crate) fn with_faults(name: &str, body: impl FnOnce(PlanFile)) {
    with_token(name, || {
        let directory = std::env::var_os(WORK).unwrap();
        body(PlanFile::new(directory, module()));
    });
}

/// The configuration with the module before SoftHSM that fails as planned.
pub(crate) fn faulty(config: &Pkcs11Config) -> Pkcs11Config {
    let mut config = config.clone();
    for token in &mut config.tokens {
        token.module = chancery_pkcs11_faults::module();
    }
    config
}

/// Puts one key into each of the present process's tokens with these labels.
pub(crate) fn import(key: &str, tokens: &[&str]) {
    let directory = PathBuf::from(std::env::var_os(WORK).unwrap());
    let file = directory.join("key.pem");
    let made = Command::new("openssl")
        .args(["genpkey", "-quiet", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"])
        .arg("-out")
        .arg(&file)
        .status()
        .unwrap();
    assert!(made.success(), "openssl genpkey: {made}");
    for token in tokens {
        let imported = Command::new("softhsm2-util")
            .arg("--import")
            .arg(&file)
            .args(["--token", token, "--label", key, "--id", "0a", "--pin", PIN])
            .stdout(Stdio::null())
            .status()
            .unwrap();
        assert!(imported.success(), "softhsm2-util --import: {imported}");
    }
}

/// The present process's threads that the signer started, by their names.
pub(crate) fn threads() -> Vec<String> {
    let tasks = std::fs::read_dir("/proc/self/task").unwrap();
    // One that ends meanwhile has no name any more.
    let name = |task: std::io::Result<std::fs::DirEntry>| {
        std::fs::read_to_string(task.ok()?.path().join("comm")).ok()
    };
    tasks.filter_map(name).filter(|name| name.starts_with("pkcs11-")).collect()
}

/// Makes one more token, in the present process's token directory if it has one.
pub(crate) fn another_token(label: &str) {
    initialise_token(Path::new(&std::env::var_os("SOFTHSM2_CONF").unwrap()), label);
}

fn initialise_token(configuration: &Path, label: &str) {
    let made = Command::new("softhsm2-util")
        .args(["--init-token", "--free", "--label", label, "--pin", PIN, "--so-pin", "314159"])
        .env("SOFTHSM2_CONF", configuration)
        .stdout(Stdio::null())
        .status()
        .expect("softhsm2-util is not installed: these tests need the package softhsm2");
    assert!(made.success(), "softhsm2-util --init-token: {made}");
}

pub(crate) fn config() -> Pkcs11Config {
    let pin = Zeroizing::new(PIN.to_owned());
    let token = TokenConfig::new(module(), TokenSelector::Label(LABEL.to_owned()), pin);
    let mut config = Pkcs11Config::new(vec![token]);
    config.sessions = 2;
    // Generous: a loaded machine must not fail a test.
    config.deadline = Duration::from_mins(1);
    config
}

pub(crate) fn signer() -> Pkcs11Signer {
    Pkcs11Signer::open(config()).unwrap()
}

pub(crate) fn name(text: &str) -> KeyName {
    text.parse().unwrap()
}

pub(crate) fn run<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap()
        .block_on(future)
}

/// A session on the token behind the signer's back, in the same process: what another user of the
/// HSM can do to us. The signer must be open, so that the module is initialised and logged in.
pub(crate) fn intruder() -> Session {
    let context = Pkcs11::new(module()).unwrap();
    let slot = context
        .get_slots_with_initialized_token()
        .unwrap()
        .into_iter()
        .find(|slot| context.get_token_info(*slot).unwrap().label().trim_end() == LABEL)
        .unwrap();
    context.open_rw_session(slot).unwrap()
}
