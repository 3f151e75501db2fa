//! What operators do beside a gateway: as which user, and what is left when something goes wrong.

use std::collections::BTreeMap;
use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
use std::path::{Path, PathBuf};
use std::time::Duration;

use chancery_integration::gateway::{Gateway, Options, chancery};
use chancery_integration::site::Site;

/// A user that every system has, with no rights and no files.
const NOBODY: u32 = 65_534;

fn text(path: &Path) -> &str {
    path.to_str().expect("a path of these tests is text")
}

/// Every file below a directory with its owner.
fn owners(directory: &Path) -> BTreeMap<String, u32> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(directory).expect("it can be listed").flatten() {
        let path = entry.path();
        let owner = entry.metadata().expect("it is there").uid();
        if path.is_dir() {
            found.extend(owners(&path));
        }
        found.insert(path.display().to_string(), owner);
    }
    found
}

/// Gives everything below a directory, and it, to a user.
fn give(directory: &Path, user: u32) {
    for path in owners(directory).keys() {
        chown(path, Some(user), Some(user)).expect("root may give files away");
    }
    chown(directory, Some(user), Some(user)).expect("root may give a folder away");
}

#[test]
fn root_is_told_as_whom_to_run_a_command_and_writes_nothing() {
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let site = Site::new();
    drop(Gateway::start(&site).stop());
    let state = site.path().join("state");
    let own = state.join("chancery.toml");
    // Whom the configuration trusts makes no difference: the files would be root's.
    let trusting = format!(
        "{}\n[files]\ntrusted_users = [\"nobody\"]\n",
        fs::read_to_string(&own).expect("`dev` leaves its configuration")
    );
    let config = site.write("chancery.toml", trusting);
    give(&state, NOBODY);
    let before = owners(&state);
    let (out, config) = (site.path().join("out"), text(&config));
    let out = text(&out);
    for command in [
        &["check"][..],
        &["init"],
        &["serve"],
        &["backup", "create", "--out", out],
        &["backup", "restore", out],
        &["audit", "verify", out],
        &["audit", "public-key"],
        &["audit", "accept-loss", "--reason", "x"],
        &["ca", "rotate"],
        &["ca", "request", "--out", out],
        &[
            "client-certificate",
            "--spiffe-id",
            "spiffe://dev.chancery/x",
            "--cert",
            out,
            "--key",
            "k",
        ],
        &["policy", "list"],
        &["policy", "history"],
    ] {
        let said = chancery(&[command, &["--config", config]].concat()).failure();
        assert!(said.stderr.contains("`runuser -u nobody -- chancery …`"), "{command:?}: {said}");
        assert!(!said.stderr.contains("trusted_users"), "{command:?}: {said}");
        assert_eq!(owners(&state), before, "{command:?}");
        assert!(!Path::new(out).exists(), "{command:?}");
    }
}

/// A gateway with two sets in its history and policies of root's that its user reads, as docs/operating/service.md says:
/// its configuration, and the bindings of the first set.
fn with_policies_of_root(site: &Site) -> (PathBuf, String) {
    let gateway = Gateway::start(site);
    let bindings = gateway.path("policies/access.toml");
    let good = fs::read_to_string(&bindings).expect("the bindings can be read");
    fs::write(&bindings, good.replace("secret/app/*", "secret/team/*"))
        .expect("they can be written");
    chancery_integration::process::eventually("a second set", Duration::from_mins(1), || {
        let history = gateway.admin().get("/v1/sys/policy-set").json()["data"]["number"].clone();
        (history == 2).then_some(())
    });
    drop(gateway.stop());
    let (state, policies) = (site.path().join("state"), site.path().join("policies"));
    fs::rename(state.join("policies"), &policies).expect("they can be moved");
    let mut config: toml::Table = fs::read_to_string(state.join("chancery.toml"))
        .expect("`dev` leaves its configuration")
        .parse()
        .expect("it is TOML");
    config["policy"]["directory"] = text(&policies).into();
    let config = site.write("chancery.toml", config.to_string());
    give(&state, NOBODY);
    give(&policies, NOBODY);
    for path in owners(&policies).keys().map(Path::new).chain([policies.as_path()]) {
        chown(path, Some(0), None).expect("root may take files");
        let mode = if path.is_dir() { 0o750 } else { 0o640 };
        fs::set_permissions(path, Permissions::from_mode(mode)).expect("and their modes");
    }
    fs::set_permissions(site.path(), Permissions::from_mode(0o755)).expect("its own");
    (config, good)
}

#[test]
fn root_puts_policies_back_that_the_gateways_user_only_reads() {
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let site = Site::new();
    let (config, good) = with_policies_of_root(&site);
    let (state, policies) = (site.path().join("state"), site.path().join("policies"));
    let before = (owners(&state), owners(&policies));

    let said = chancery(&["policy", "rollback", "--config", text(&config)]).success();
    assert!(said.stdout.contains("set 1 is put back"), "{said}");
    let written = policies.join("access.toml");
    assert_eq!(fs::read_to_string(&written).expect("it is there"), good);
    let found = fs::metadata(&written).expect("it is there");
    assert_eq!((found.gid(), found.mode() & 0o777), (NOBODY, 0o640), "the gateway reads it");
    // It says which set was put back, and is the gateway's.
    let mut after = owners(&state);
    assert_eq!(after.remove(text(&state.join("policy-history/put-back.json"))), Some(NOBODY));
    assert_eq!((after, owners(&policies)), before);
    assert!(!site.path().join("state/policies").exists());
}

/// Every file and directory below a directory, and it, with owner, group, mode and contents.
fn everything(directory: &Path) -> BTreeMap<String, (u32, u32, u32, Vec<u8>)> {
    let paths = owners(directory).into_keys().chain([text(directory).to_owned()]);
    paths
        .map(|path| {
            let found = fs::symlink_metadata(&path).expect("it is there");
            let content = fs::read(&path).unwrap_or_default();
            (path, (found.uid(), found.gid(), found.mode(), content))
        })
        .collect()
}

/// Tries to put a set back as root, which says why not, and changes nothing.
fn refused_to_root(config: &Path, folders: &[&Path], why: &str) {
    let all = || folders.iter().map(|folder| everything(folder)).collect::<Vec<_>>();
    let before = all();
    for to in ["1", "2"] {
        let command = ["policy", "rollback", "--config", text(config), "--to", to];
        let said = chancery(&command).failure();
        assert!(said.stderr.contains(why), "{said}");
        assert!(said.stderr.contains("chown -R root:GROUP"), "{said}");
        assert!(all() == before, "something was written: {said}");
    }
}

#[test]
fn root_puts_nothing_back_where_somebody_else_has_a_hand_in() {
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let site = Site::new();
    let (config, _) = with_policies_of_root(&site);
    let (state, policies) = (site.path().join("state"), site.path().join("policies"));
    let plugins = policies.join("plugins");
    let refused = |why| refused_to_root(&config, &[&state, &policies], why);

    chown(&plugins, Some(NOBODY), None).expect("root may give files away");
    refused("plugins belongs to the user");
    chown(&plugins, Some(0), None).expect("root may take files");
    fs::set_permissions(&plugins, Permissions::from_mode(0o770)).expect("its mode");
    refused("plugins has mode 0770");
    fs::set_permissions(&plugins, Permissions::from_mode(0o750)).expect("its mode");
    let link = policies.join("more");
    std::os::unix::fs::symlink("plugins", &link).expect("a link");
    refused("more is a symbolic link");
    fs::remove_file(&link).expect("it is there");
    // In a directory of the gateway's user, who can exchange it.
    let inside = state.join("policies");
    let moved = fs::read_to_string(&config)
        .expect("the configuration can be read")
        .replace(text(&policies), text(&inside));
    let moved = site.write("moved.toml", moved);
    fs::rename(&policies, &inside).expect("they can be moved");
    refused_to_root(&moved, &[&state], "state belongs to the user");
    fs::rename(&inside, &policies).expect("they can be moved");
    drop(chancery(&["policy", "rollback", "--config", text(&config)]).success());
}

#[test]
fn root_puts_nothing_back_through_a_linked_directory() {
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let site = Site::new();
    let (config, _) = with_policies_of_root(&site);
    let (state, policies) = (site.path().join("state"), site.path().join("policies"));
    let elsewhere = site.path().join("elsewhere");
    fs::rename(&policies, &elsewhere).expect("they can be moved");
    std::os::unix::fs::symlink(&elsewhere, &policies).expect("a link");
    let refused = || refused_to_root(&config, &[&state, &elsewhere], "policies is a symbolic link");
    refused();
    // Without files nothing is written, but every document there would be set aside.
    for number in [1, 2] {
        let path = state.join(format!("policy-history/sets/{number:08}.json"));
        let set = fs::read_to_string(&path).expect("the set is kept");
        let mut set: serde_json::Value = serde_json::from_str(&set).expect("it is JSON");
        set["files"] = serde_json::json!({});
        // Of nothing.
        set["digest"] =
            "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855".into();
        fs::write(&path, set.to_string()).expect("it can be written");
    }
    refused();
    // The owner of the link makes no difference: the work is done as that user.
    std::os::unix::fs::lchown(&policies, Some(NOBODY), None).expect("root may give files away");
    let before = everything(&elsewhere);
    drop(chancery(&["policy", "rollback", "--config", text(&config), "--to", "1"]).failure());
    assert!(everything(&elsewhere) == before, "something was written");
}

#[test]
fn a_store_that_is_missing_is_not_made_anew() {
    let site = Site::new();
    drop(Gateway::start(&site).stop());
    let state = site.path().join("state");
    let (store, away) = (state.join("store.redb"), site.path().join("away"));
    fs::rename(&store, &away).expect("it can be moved");
    let before = owners(&state);
    let config = state.join("chancery.toml");
    for command in [&["serve"][..], &["ca", "rotate"]] {
        let said = chancery(&[command, &["--config", text(&config)]].concat()).failure();
        assert!(said.stderr.contains("the store is missing"), "{said}");
        assert!(said.stderr.contains("chancery backup restore"), "{said}");
        assert!(!said.stderr.contains("accept-loss"), "{said}");
        assert_eq!(owners(&state), before, "something was made");
    }
    fs::rename(&away, &store).expect("it can be moved");
    Gateway::serve(&site, |_| {}).assert_up();
}

/// The configuration of a gateway that has not begun, as a file of its own, and its state directory.
fn fresh(site: &Site, edit: impl FnOnce(&mut toml::Table)) -> (PathBuf, PathBuf) {
    drop(Gateway::start(site).stop());
    let config = fs::read_to_string(site.path().join("state/chancery.toml")).expect("it is there");
    let fresh = site.path().join("fresh");
    let mut config: toml::Table = config.parse().expect("it is TOML");
    let server = config["server"].as_table_mut().expect("a table");
    server.insert("directory".to_owned(), text(&fresh).into());
    edit(&mut config);
    (site.write("fresh.toml", config.to_string()), fresh)
}

#[test]
fn a_gateway_that_cannot_begin_leaves_no_store() {
    let site = Site::new();
    let key = site.write("wrong.key", "hello\n");
    chancery_integration::site::private(&key);
    let (file, state) = fresh(&site, |config| {
        let seal = config["seal"].as_table_mut().expect("a table");
        seal.insert("root_key_file".to_owned(), text(&key).into());
    });
    drop(chancery(&["init", "--config", text(&file)]).failure());
    assert!(!state.join("store.redb").exists());
}

#[test]
fn a_gateway_begins_when_it_is_asked_to_and_not_where_a_directory_is_wrong() {
    let site = Site::new();
    let (file, state) = fresh(&site, |_| {});
    let with = |command: &[&str]| chancery(&[command, &["--config", text(&file)]].concat());
    let out = site.path().join("out");
    let certificate =
        ["client-certificate", "--spiffe-id", "spiffe://dev.chancery/x", "--cert", text(&out)];
    let certificate = [&certificate[..], &["--key", "k"]].concat();
    for command in [&["serve"][..], &["ca", "rotate"], &["ca", "request"], &certificate] {
        let said = with(command).failure();
        assert!(said.stderr.contains("`chancery init --config"), "{said}");
        assert!(said.stderr.contains(text(&state)), "{said}");
        assert!(!state.exists() && !out.exists(), "{command:?} made something");
    }
    drop(with(&["init"]).success().says("`chancery serve --config"));
    drop(with(&["init"]).failure().says("there is a gateway already"));
    // An interrupted one is done again.
    fs::write(state.join("store.redb"), "").expect("it can be written");
    drop(with(&["serve"]).failure().says("run it again"));
    drop(with(&["init"]).success());
    // What is left of one that was killed has not the store's name, and the next one removes it.
    let (store, beside) = (state.join("store.redb"), state.join("store.beginning"));
    fs::rename(&store, &beside).expect("it can be renamed");
    drop(with(&["serve"]).failure().says("`chancery init --config"));
    fs::write(&beside, "half a store").expect("it can be written");
    drop(with(&["init"]).success());
    assert!(store.is_file() && !beside.exists());
    // Nothing is made through a link that leads nowhere, and such a link is something that is there.
    for (link, why) in [("store.redb", "store.redb"), ("root.pem", "has run before")] {
        drop(fs::remove_file(&store));
        std::os::unix::fs::symlink(&out, state.join(link)).expect("a link");
        for command in ["init", "serve"] {
            let said = with(&[command]).failure();
            assert!(said.stderr.contains(why) && !said.stderr.contains("panicked"), "{said}");
        }
        assert!(!out.exists() && !beside.exists());
        fs::remove_file(state.join(link)).expect("it is there");
    }
    drop(with(&["init"]).success());
    drop(with(&["ca", "rotate"]).failure().says("there is no CA yet"));
}

#[test]
fn a_start_says_where_the_ca_is_not_what_the_configuration_says() {
    let site = Site::new();
    drop(Gateway::start(&site).stop());
    let issuer = |config: &mut toml::Table| {
        let issuer = "name = \"short\"\nroot_name = \"Short Root\"\nissuing_name = \"Short CA\"\n";
        let issuer: toml::Table = issuer.parse().expect("TOML");
        config.insert("issuers".to_owned(), vec![toml::Value::Table(issuer)].into());
    };
    let gateway = Gateway::serve(&site, issuer);
    let said = gateway.log();
    assert!(
        !said.contains("was made with another setting") && !said.contains("not in [["),
        "{said}"
    );
    drop(gateway.stop());
    let mut gateway = Gateway::serve(&site, |config| {
        let ca = config["ca"].as_table_mut().expect("a table");
        ca.insert("key_type".to_owned(), "rsa-2048".into());
        ca.insert("root_name".to_owned(), "Another Root".into());
    });
    let said = gateway.log();
    for part in
        ["was made with another setting", "key_type", "rsa-2048", "ecdsa-p256", "Another Root"]
    {
        assert!(said.contains(part), "{part}: {said}");
    }
    assert!(said.contains("the store has a CA that is not in [[issuers]]"), "{said}");
    gateway.assert_up();
}

#[test]
fn a_renewal_that_cannot_be_written_keeps_the_pair_and_asks_for_nothing() {
    let site = Site::new();
    let gateway = Gateway::start(&site);
    let (cert, key) = (site.path().join("own.pem"), site.path().join("own.key"));
    let renew = |cert: &Path| {
        gateway.administer(&["client-certificate", "--cert", text(cert), "--key", text(&key)])
    };
    drop(renew(&cert).success());
    let issued =
        || gateway.audit().iter().filter(|line| line["operation"] == "certificates.issue").count();
    let (before, asked) = (fs::read(&key).expect("the key"), issued());
    let directory = site.folder("directory");
    for wrong in [directory.as_path(), &site.path().join("missing/own.pem"), &key] {
        drop(renew(wrong).failure());
        assert_eq!(fs::read(&key).expect("the key"), before, "{}", wrong.display());
    }
    assert!(asked > 0, "the log calls it otherwise");
    assert_eq!(issued(), asked, "a certificate was issued that nobody has");
    drop(renew(&cert).success());
    assert_ne!(fs::read(&key).expect("the key"), before);
    let left: Vec<_> = owners(site.path())
        .into_keys()
        .filter(|name| name.contains(".new") || name.contains(".old"))
        .collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn who_cannot_reach_the_gateway_is_told_which_setting_is_wrong() {
    let site = Site::new();
    let gateway = Gateway::start(&site);
    let app = gateway.command_of_app(&["certificates", "list"]);
    let given = |name: &str, value: &str| {
        let mut command = std::process::Command::new(app.get_program());
        command.args(app.get_args());
        for (name, value) in app.get_envs() {
            command.env(name, value.unwrap_or_default());
        }
        chancery_integration::process::run(command.env(name, value)).failure().stderr
    };
    let admin = gateway.path("dev/admin.key");
    let (plain, config) =
        (gateway.ready().http.replace("http://", "https://"), site.write("c", "x"));
    for (name, value, wanted) in [
        ("VAULT_ADDR", "127.0.0.1:18443", "VAULT_ADDR"),
        ("VAULT_ADDR", "http://127.0.0.1:18443", "TLS port only"),
        ("VAULT_ADDR", plain.as_str(), "plain port"),
        ("VAULT_CACERT", text(&config), "no certificate in PEM (--ca-cert, VAULT_CACERT)"),
        (
            "VAULT_CACERT",
            "/etc/ssl/certs/ca-certificates.crt",
            "leads to no root that is trusted here",
        ),
        ("VAULT_CLIENT_KEY", text(&admin), "cannot be used together"),
        ("VAULT_CLIENT_KEY", text(&config), "no private key in PEM"),
        ("VAULT_CLIENT_CERT", text(&config), "no certificate in PEM (--client-cert"),
    ] {
        let said = given(name, value);
        assert!(said.contains(wanted), "{name}={value}: {said}");
        assert!(!said.contains("builder error"), "{name}={value}: {said}");
    }
}

#[test]
fn who_finds_nothing_is_told_so() {
    let site = Site::new();
    let gateway = Gateway::start(&site);
    for command in [
        &["certificates", "list", "--requester", "acme:typo"][..],
        &["certificates", "revoke", "--requester", "acme:typo", "--dry-run"],
        &["certificates", "revoke", "--requester", "acme:typo"],
        &["sessions", "list"],
    ] {
        let said = gateway.administer(command).success();
        assert!(said.stderr.contains("match"), "{command:?}: {said}");
        assert!(!said.stdout.starts_with('\n'), "{command:?}: {said}");
    }
    let said = gateway.administer(&["certificates", "revoke", "5f:03"]).failure();
    assert!(said.stderr.contains("5f:03"), "{said}");
    let said = gateway.administer(&["tokens", "drain", "nix"]).failure();
    assert!(said.stderr.contains("`nix`") && said.stderr.contains("tokens list"), "{said}");
}

#[test]
fn a_clock_that_is_behind_is_asked_about() {
    let site = Site::new();
    drop(Gateway::start(&site).stop());
    let said = Options::new(&site).clock("-10d").start_fails();
    assert!(said.stderr.contains("the clock of this machine says"), "{said}");
}
