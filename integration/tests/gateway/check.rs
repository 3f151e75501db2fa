//! `chancery check`: all that is wrong, at once, and nothing changed.

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;

use chancery_integration::gateway::{Gateway, Options, binary, chancery};
use chancery_integration::hsm::Token;
use chancery_integration::process::{self, Outcome};
use chancery_integration::site::{self, Site};
use chancery_pkcs11_faults::PlanFile;
use toml::{Table, Value};

/// The configuration that a gateway has left, changed, as a file of its own.
fn changed(site: &Site, edit: impl FnOnce(&mut Table)) -> PathBuf {
    let text = fs::read_to_string(site.path().join("state/chancery.toml")).expect("it is there");
    let mut config: Table = text.parse().expect("it is TOML");
    edit(&mut config);
    site.write("changed.toml", config.to_string())
}

fn set(config: &mut Table, table: &str, key: &str, value: impl Into<Value>) {
    let table = config.entry(table).or_insert_with(|| Value::Table(Table::new()));
    table.as_table_mut().expect("a table").insert(key.to_owned(), value.into());
}

fn check(file: &Path) -> Outcome {
    chancery(&["check", "--config", &file.to_string_lossy()])
}

#[test]
fn all_that_is_wrong_is_told_at_once_with_its_setting() {
    let site = Site::new();
    drop(Gateway::start(&site).stop());
    let other = site.path().join("other.key");
    drop(chancery(&["root-key", &other.to_string_lossy()]).success());
    let taken = TcpListener::bind(site.socket(0)).expect("a port is free");
    let taken = taken.local_addr().expect("it has an address").to_string();
    let policies = site.path().join("state/policies");
    fs::write(policies.join("one.toml"), "[[bnding]]\n").expect("it can be written");
    fs::write(policies.join("two.toml"), "[[binding]]\nname = 3\n").expect("it can be written");
    let roots = site.write("roots.pem", "no certificate\n");
    let store = site.path().join("state/store.redb");
    let before = fs::read(&store).expect("the store");
    let file = changed(&site, |config| {
        set(config, "seal", "root_key_file", other.to_string_lossy().into_owned());
        set(config, "server", "http", taken.clone());
        set(config, "server", "metrics", "192.0.2.1:9");
        set(config, "audit", "file", "/proc/nowhere/audit.jsonl");
        let mut upstream = Table::new();
        upstream.insert("name".to_owned(), "public".into());
        upstream.insert("directory_url".to_owned(), "https://acme.example/directory".into());
        upstream.insert("roots".to_owned(), roots.to_string_lossy().into_owned().into());
        config.insert("upstreams".to_owned(), vec![Value::Table(upstream)].into());
    });
    let said = check(&file).failure();
    for part in [
        "seal.root_key_file: the root key from the file ",
        &format!("server.http: another program is using {taken}"),
        "server.metrics: cannot listen on 192.0.2.1:9: this machine has no such address",
        "audit.file: /proc",
        "upstreams.roots: ",
        "one.toml:1",
        "two.toml:2",
    ] {
        assert!(said.stderr.contains(part), "{part}: {said}");
    }
    assert!(said.stderr.contains(&format!("{}:", file.display())), "{said}");
    assert_eq!(fs::read(&store).expect("the store"), before, "the store was changed");
}

#[test]
fn a_gateway_that_runs_is_no_fault() {
    let site = Site::new();
    let mut gateway = Gateway::start(&site);
    let said = check(&gateway.path("chancery.toml")).success();
    drop(said.says("a gateway has the store open").says("are valid"));
    drop(gateway.account());
    gateway.assert_up();
}

#[test]
fn names_that_refer_to_nothing_are_found() {
    let site = Site::new();
    drop(Gateway::start(&site).stop());
    let file = changed(&site, |config| {
        let mut profiles = Table::new();
        profiles.insert("tls-server".to_owned(), "for servers".into());
        profiles.insert("tls-sever".to_owned(), "a typo".into());
        set(config, "acme", "profiles", profiles);
    });
    let said = check(&file).failure();
    let unknown = "acme.profiles: the certificate policies know no profile `tls-sever`";
    assert!(said.stderr.contains(unknown) && said.stderr.lines().count() == 1, "{said}");

    let file = site.path().join("state/chancery.toml");
    let policies = site.path().join("state/policies");
    let (profiles, access) = (policies.join("certificates.toml"), policies.join("access.toml"));
    let text = |path: &Path| fs::read_to_string(path).expect("the bindings");
    let (good_profiles, good_access) = (text(&profiles), text(&access));
    let issuer = good_profiles.replacen("base = ", "issuer = \"privat\"\nbase = ", 1);
    assert_ne!(issuer, good_profiles);
    let tenants = |text: &str| text.replacen("\"default\"", "\"defualt\"", 1);
    for (profiles_now, access_now, told) in [
        (
            &issuer,
            &good_access,
            "`privat` matches no issuer of this gateway; did you mean `private`?",
        ),
        (
            &good_profiles,
            &tenants(&good_access),
            "access.toml:7: `defualt` matches no tenant of this",
        ),
        (
            &tenants(&good_profiles),
            &good_access,
            "certificates.toml:7: `defualt` matches no tenant",
        ),
    ] {
        fs::write(&profiles, profiles_now).expect("they can be written");
        fs::write(&access, access_now).expect("they can be written");
        drop(check(&file).failure().says(told));
    }
}

#[test]
fn certificates_that_a_start_needs_are_asked_for() {
    let site = Site::new();
    drop(Gateway::start(&site).stop());
    let profiles = site.path().join("state/policies/certificates.toml");
    let text = fs::read_to_string(&profiles).expect("the profiles");
    for (named, profile, setting) in [
        ("[\"internal:gateway\"]", "the profile `gateway`", "server.names: "),
        ("[\"internal:ocsp\"]", "the profile `ocsp-signer`", "ca.ocsp_hours: "),
    ] {
        fs::write(&profiles, text.replace(named, "[\"internal:other\"]"))
            .expect("it can be written");
        let said = check(&site.path().join("state/chancery.toml")).failure();
        assert!(said.stderr.contains(setting) && said.stderr.contains(profile), "{said}");
        assert!(said.stderr.contains("internal:") && said.stderr.lines().count() == 1, "{said}");
    }
}

#[test]
fn a_pin_is_tried_once_however_often_it_is_checked() {
    let site = Site::new();
    let (token, plan) = Token::faulty(&site);
    drop(Options::new(&site).faulty_token(&token, &plan).start().stop());
    let logins = || plan.tries();
    let with = |file: &Path| {
        let mut command = Command::new(binary());
        command.env("SOFTHSM2_CONF", token.config());
        command.env(PlanFile::VARIABLE, plan.directory());
        command.args(["check", "--config"]).arg(file);
        process::run(&mut command)
    };
    let good = site.path().join("state/chancery.toml");
    let before = logins();
    drop(with(&good).success());
    assert_eq!(logins(), before + 1);

    let wrong = site.write("wrong-pin", "wrong");
    site::private(&wrong);
    let file = changed(&site, |config| {
        set(config, "pkcs11", "pin_file", wrong.to_string_lossy().into_owned());
    });
    let said = with(&file).failure();
    assert!(
        said.stderr.contains("pkcs11.pin_file: the token with the label `chancery`: "),
        "{said}"
    );
    assert!(said.stderr.contains("refused the PIN"), "{said}");
    for _ in 0..3 {
        let said = with(&file).failure();
        assert!(said.stderr.contains("refused its PIN before"), "{said}");
    }
    assert_eq!(logins(), before + 2);
    // Also if somebody takes away what remembers it: the token shows that it counted a wrong PIN.
    fs::remove_file(site.path().join("state/pin-refused-chancery")).expect("it is remembered");
    let said = with(&file).failure();
    assert!(said.stderr.contains("a wrong PIN was tried since the last login"), "{said}");
    assert_eq!(logins(), before + 2);

    // Another token, another module.
    let file = changed(&site, |config| set(config, "pkcs11", "token", "elsewhere"));
    drop(with(&file).failure().says("pkcs11.token: "));
    let module = site.write("module.so", "no library");
    let file = changed(&site, |config| {
        set(config, "pkcs11", "module", module.to_string_lossy().into_owned());
    });
    drop(with(&file).failure().says("pkcs11.module: "));
}

#[test]
fn a_gateway_that_has_not_begun_is_checked_too() {
    let site = Site::new();
    drop(Gateway::start(&site).stop());
    let fresh = site.path().join("fresh");
    let weak = site.write("passphrase", "short");
    site::private(&weak);
    let file = changed(&site, |config| {
        set(config, "server", "directory", fresh.to_string_lossy().into_owned());
        config.insert("seal".to_owned(), Value::Table(Table::new()));
        set(config, "seal", "passphrase_file", weak.to_string_lossy().into_owned());
    });
    let said = check(&file).failure();
    assert!(said.stdout.contains("`chancery init --config` begins it"), "{said}");
    assert!(said.stderr.contains("seal.passphrase_file: the passphrase"), "{said}");
    fs::write(&weak, "long enough to be a passphrase").expect("it can be written");
    drop(check(&file).success());
    assert!(!fresh.exists());
}
