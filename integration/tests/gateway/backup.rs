//! Backups: made of a gateway that is written to, killed in the middle, put back into a fresh folder.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use chancery_integration::dns::Dns;
use chancery_integration::gateway::{Gateway, Options, binary, chancery};
use chancery_integration::lint;
use chancery_integration::process::{self, Outcome};
use chancery_integration::responder::Http01;
use chancery_integration::site::Site;
use serde_json::json;

use crate::revocation::crl_of;

fn text(path: &Path) -> &str {
    path.to_str().expect("a path of these tests is text")
}

/// A configuration like that of the gateway on `site`, for a state in `directory`.
fn config_for(site: &Site, directory: &Path) -> PathBuf {
    let file = site.path().join("state/chancery.toml");
    let config = fs::read_to_string(file).expect("`dev` leaves its configuration");
    let mut config: toml::Table = config.parse().expect("it is TOML");
    let server = config["server"].as_table_mut().expect("a table");
    server.insert("directory".to_owned(), text(directory).into());
    site.write("restored.toml", config.to_string())
}

/// A token of the application.
fn login(gateway: &Gateway) -> String {
    let answer = gateway.app().post("/v1/auth/cert/login", &json!({})).expect(200);
    answer.json()["auth"]["client_token"].as_str().expect("a token").to_owned()
}

fn restore(site: &Site, backup: &Path, directory: &Path) -> Outcome {
    let config = config_for(site, directory);
    chancery(&["backup", "restore", text(backup), "--config", text(&config)])
}

/// The number of the CRL that the first certificate of a chain points to.
fn crl_number(site: &Site, gateway: &Gateway, chain: &str) -> u64 {
    let file = site.write("numbered.crl", crl_of(site, gateway, chain));
    let read = ["crl", "-inform", "DER", "-in", text(&file), "-noout", "-crlnumber"];
    let said = lint::openssl(&read).success();
    let hex = said.stdout.trim().trim_start_matches("crlNumber=").trim_start_matches("0x");
    u64::from_str_radix(hex, 16).unwrap_or_else(|_| panic!("no number: {said}"))
}

#[test]
fn a_backup_that_is_made_under_load_is_put_back_into_a_fresh_folder() {
    let site = Site::new();
    let dns = Dns::start(&site);
    let gateway = Options::new(&site).dns(&dns).start();
    let responder = Http01::start(&site);
    let app = gateway.app();
    let write = |path: &str, value: &str| {
        drop(app.post(path, &json!({ "data": { "n": value } })).expect(200));
    };
    write("/v1/secret/data/app/before", "correct horse");
    let account = gateway.account();
    let (chain, _) = account.obtain(&["www.example.com"], &responder);

    // Others write while it is made; nothing of that is half in it.
    let backup = site.path().join("gateway.backup");
    let token = login(&gateway);
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for writer in 0..2 {
            let (app, done) = (gateway.app(), &done);
            scope.spawn(move || {
                let mut connection = app.connect().expect("the gateway is up");
                for n in 0.. {
                    if done.load(Ordering::SeqCst) {
                        break;
                    }
                    let path = format!("/v1/secret/data/app/{writer}-{n}");
                    let body = json!({ "data": { "n": n } }).to_string();
                    let answer = connection.send("POST", &path, &[], body.as_bytes());
                    assert_eq!(answer.expect("an answer").status, 200);
                }
            });
        }
        let said = gateway.administer(&["backup", "create", "--out", text(&backup)]);
        done.store(true, Ordering::SeqCst);
        drop(said.success().says("whole"));
    });
    // After the backup: more CRLs are published than it knows of.
    write("/v1/secret/data/app/after", "lost");
    let revoke = ["certificates", "revoke", "--name", "www.example.com"];
    drop(gateway.administer(&revoke).success().says("1 revoked"));
    let published = crl_number(&site, &gateway, &chain);
    let audit = gateway.audit();
    let asked = audit.iter().any(|line| line["operation"] == "store.backup");
    assert!(asked, "a backup leaves a line");
    let ready = gateway.ready().clone();
    drop(gateway.stop());

    let said = chancery(&["backup", "verify", text(&backup)]).success();
    drop(said.says("not checked with the root key"));
    let config = site.path().join("state/chancery.toml");
    drop(
        chancery(&["backup", "verify", text(&backup), "--config", text(&config)])
            .success()
            .says("authentic"),
    );

    // Where there is a store, nothing is put back.
    let said = chancery(&["backup", "restore", text(&backup), "--config", text(&config)]).failure();
    assert!(said.stderr.contains("is there already"), "{said}");

    let fresh = site.path().join("fresh");
    drop(restore(&site, &backup, &fresh).success().says("Revoke again"));
    assert!(!fresh.join("store.restoring").exists(), "something was left over");
    // The machine is new: the store is put in the place of the one that was lost.
    let state = site.path().join("state");
    fs::rename(fresh.join("store.redb"), state.join("store.redb")).expect("it can be moved");
    let gateway = Options::new(&site).dns(&dns).at(&ready).start();
    let read = |path: &str| gateway.app().get(path);
    // Nobody knows which tokens were ended since: all of them have.
    let of_token = |token: &str| {
        gateway.app().send("GET", "/v1/auth/token/lookup-self", &[("x-vault-token", token)], b"")
    };
    assert_eq!(of_token(&token).status, 403);
    assert_eq!(of_token(&login(&gateway)).status, 200);
    let kept = read("/v1/secret/data/app/before").expect(200).json();
    assert_eq!(kept["data"]["data"]["n"], "correct horse");
    drop(read("/v1/secret/data/app/after").expect(404));
    let restored = crl_number(&site, &gateway, &chain);
    assert!(restored > published, "CRL {restored} after {published}");
    // What was revoked since has to be revoked again.
    drop(gateway.administer(&revoke).success().says("1 revoked"));
    // It goes on as a gateway does: the account is known, and gets certificates.
    let account = account.at(gateway.anonymous(), &gateway.ready().acme_directory);
    let (chain, _) = account.obtain(&["api.example.com"], &responder);
    lint::assert_chain(&site, &chain, &gateway.ready().root, lint::Purpose::Server);
    let file = gateway.audit_file();
    drop(gateway.stop());
    drop(chancery(&["audit", "verify", text(&file), "--config", text(&config)]).success());
}

/// A snapshot of a disk brings a store back that nothing says is one of the past.
#[test]
fn a_snapshot_that_came_back_goes_on_above_what_was_published() {
    let site = Site::new();
    let dns = Dns::start(&site);
    let gateway = Options::new(&site).dns(&dns).start();
    let responder = Http01::start(&site);
    let account = gateway.account();
    let (chain, _) = account.obtain(&["www.example.com"], &responder);
    let ready = gateway.ready().clone();
    drop(gateway.stop());
    let store = site.path().join("state/store.redb");
    let snapshot = fs::read(&store).expect("there is a store");
    let start = || Options::new(&site).dns(&dns).at(&ready).start();

    let gateway = start();
    for name in ["a.example.com", "b.example.com"] {
        drop(account.obtain(&[name], &responder));
        let revoke = ["certificates", "revoke", "--name", name];
        drop(gateway.administer(&revoke).success().says("1 revoked"));
    }
    let published = crl_number(&site, &gateway, &chain);
    drop(gateway.stop());

    fs::write(&store, &snapshot).expect("the store can be written");
    let gateway = start();
    let repeated = crl_number(&site, &gateway, &chain);
    assert!(repeated <= published, "nobody told it: CRL {repeated} after {published}");
    // A running gateway has the store.
    let config = site.path().join("state/chancery.toml");
    let restored = || chancery(&["store", "restored", "--config", text(&config)]);
    drop(restored().failure().says("in use"));
    drop(gateway.stop());

    fs::write(&store, &snapshot).expect("the store can be written");
    drop(restored().success().says("goes on from an earlier state"));
    let gateway = start();
    let number = crl_number(&site, &gateway, &chain);
    assert!(number > published, "CRL {number} after {published}");
    assert!(gateway.audit().iter().any(|line| line["operation"] == "store.restored"));
}

#[test]
fn a_backup_that_is_killed_in_the_middle_leaves_the_one_before() {
    let site = Site::new();
    let gateway = Gateway::start(&site);
    let app = gateway.app();
    drop(app.post("/v1/secret/data/app/a", &json!({ "data": { "n": 1 } })).expect(200));
    let backup = site.path().join("gateway.backup");
    drop(gateway.administer(&["backup", "create", "--out", text(&backup)]).success());
    let before = fs::read(&backup).expect("it is there");
    // Enough that it takes a while.
    let large = "x".repeat(60_000);
    for n in 0..40 {
        let body = json!({ "data": { "large": large } });
        drop(app.post(&format!("/v1/secret/data/app/{n}"), &body).expect(200));
    }
    let mut killed = 0;
    for _ in 0..20 {
        let mut command = gateway.command_of_admin(&["backup", "create", "--out", text(&backup)]);
        let mut child = command.stdout(Stdio::null()).spawn().expect("it can be started");
        process::eventually("it writes or has ended", Duration::from_mins(1), || {
            let begun = fs::read_dir(site.path()).expect("it is there").flatten().any(|entry| {
                let path = entry.path();
                let name = entry.file_name().into_string().unwrap_or_default();
                name.starts_with("gateway.backup.") && path.extension().is_some_and(|e| e == "new")
            });
            (begun || child.try_wait().expect("it can be asked").is_some()).then_some(())
        });
        child.kill().expect("it can be killed");
        let ended = child.wait().expect("it can be waited for");
        killed += u32::from(!ended.success());
        let now = fs::read(&backup).expect("there is always one");
        // The old one, or the new one whole.
        assert!(now == before || chancery(&["backup", "verify", text(&backup)]).status.success());
        if killed > 2 {
            break;
        }
    }
    assert!(killed > 0, "it was never killed in the middle");
    // The gateway makes others all the same.
    process::eventually("the next one is made", Duration::from_mins(1), || {
        let said = gateway.administer(&["backup", "create", "--out", text(&backup)]);
        said.status.success().then_some(())
    });
    drop(gateway.stop());
    let fresh = site.path().join("fresh");
    let cut = site.write("cut.backup", &fs::read(&backup).expect("it is there")[..5000]);
    let said = restore(&site, &cut, &fresh).failure();
    assert!(said.stderr.contains("ends too early"), "{said}");
    assert_eq!(fs::read_dir(&fresh).expect("it is there").count(), 0, "half a store is left");
    drop(restore(&site, &backup, &fresh).success());
}

#[test]
fn a_stopped_gateway_is_backed_up_and_a_running_one_says_how() {
    let site = Site::new();
    let gateway = Gateway::start(&site);
    let (backup, config) = (site.path().join("b"), site.path().join("state/chancery.toml"));
    let create = ["backup", "create", "--out", text(&backup), "--config", text(&config)];
    let said = chancery(&create).failure();
    assert!(said.stderr.contains("leave --config out"), "{said}");
    assert!(!backup.exists());
    // The application may not.
    let said =
        process::run(&mut gateway.command_of_app(&["backup", "create", "--out", text(&backup)]));
    drop(said.failure().says("permission denied"));
    drop(gateway.stop());
    drop(chancery(&create).success().says("whole"));

    // Another root key opens none of it.
    let fresh = site.path().join("fresh");
    let config = config_for(&site, &fresh);
    let other = site.path().join("other.key");
    drop(chancery(&["root-key", text(&other)]).success());
    let with_other = fs::read_to_string(&config).expect("it is there");
    let root = site.path().join("state/root.key");
    let with_other = site.write("other.toml", with_other.replace(text(&root), text(&other)));
    let restore = ["backup", "restore", text(&backup), "--config", text(&with_other)];
    let said = chancery(&restore).failure();
    assert!(said.stderr.contains("other.key"), "{said}");
    assert!(!fresh.join("store.redb").exists());
    let mut command = Command::new(binary());
    command.args(["backup", "verify", text(&backup), "--config", text(&with_other)]);
    drop(process::run(&mut command).failure());
}
