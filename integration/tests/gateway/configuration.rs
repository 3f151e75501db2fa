//! `chancery check`, and configurations in which one thing after the other is wrong.

use std::path::{Path, PathBuf};

use chancery_integration::gateway::{Gateway, chancery};
use chancery_integration::process::Outcome;
use chancery_integration::site::Site;
use toml::{Table, Value};

/// The configuration that `chancery dev` leaves is a good one to start from.
fn good(site: &Site) -> (PathBuf, Table) {
    drop(Gateway::start(site).stop());
    let file = site.path().join("state/chancery.toml");
    let text = std::fs::read_to_string(&file).expect("the configuration can be read");
    (file, text.parse().expect("it is TOML"))
}

fn check(file: &Path) -> Outcome {
    chancery(&["check", "--config", &file.to_string_lossy()])
}

/// Every key of a configuration, as the way to it.
fn keys(table: &Table) -> Vec<Vec<String>> {
    let mut found = Vec::new();
    for (key, value) in table {
        match value {
            Value::Table(inner) => {
                for mut way in keys(inner) {
                    way.insert(0, key.clone());
                    found.push(way);
                }
            }
            _ => found.push(vec![key.clone()]),
        }
    }
    found
}

/// The value at the end of a way.
fn at<'a>(table: &'a mut Table, way: &[String]) -> &'a mut Value {
    let (last, tables) = way.split_last().expect("a way has a step");
    let inner = tables.iter().fold(table, |table, key| table[key].as_table_mut().expect("a table"));
    &mut inner[last]
}

#[test]
fn what_dev_writes_is_valid_and_can_be_served() {
    let site = Site::new();
    let (file, _) = good(&site);
    let said = check(&file).success();
    assert!(said.stdout.contains("valid"), "{said}");
    Gateway::serve(&site, |_| {}).assert_up();
}

#[test]
fn a_reload_names_the_changed_settings_that_wait_for_a_restart() {
    let site = Site::new();
    drop(good(&site));
    let gateway = Gateway::serve(&site, |_| {});
    let said = gateway.reload();
    assert!(!said.contains("not in force"), "{said}");

    let file = site.path().join("serve.toml");
    let text = std::fs::read_to_string(&file).expect("the configuration can be read");
    let mut config: Table = text.parse().expect("it is TOML");
    let acme = config["acme"].as_table_mut().expect("a table");
    acme.insert("http01_port".to_owned(), 5003.into());
    let ca: Table = "root_name = \"Another Root\"\ncrl_hours = 12\n".parse().expect("TOML");
    config.insert("ca".to_owned(), ca.into());
    std::fs::write(&file, config.to_string()).expect("it can be written");
    let said = gateway.reload();
    assert!(said.contains("acme.http01_port, ca.crl_hours"), "{said}");
    assert!(said.contains("not in force before a restart"), "{said}");
    assert!(said.contains("ca.root_name"), "{said}");
}

#[test]
fn check_starts_nothing_and_leaves_nothing() {
    let site = Site::new();
    let (file, mut config) = good(&site);
    let elsewhere = site.path().join("elsewhere");
    let server = config["server"].as_table_mut().expect("a table");
    server.insert("directory".to_owned(), elsewhere.to_string_lossy().into_owned().into());
    std::fs::write(&file, config.to_string()).expect("it can be written");
    drop(check(&file).success());
    assert!(!elsewhere.exists(), "check has made {}", elsewhere.display());
}

#[test]
fn every_value_of_a_wrong_kind_is_named_with_file_and_line() {
    let site = Site::new();
    let (good_file, config) = good(&site);
    // Beside the good one, so that relative paths lead to the same places.
    let file = good_file.with_file_name("wrong.toml");
    let ways = keys(&config);
    assert!(ways.len() > 6, "{ways:?}");
    for way in ways {
        let mut wrong = config.clone();
        let value = at(&mut wrong, &way);
        *value = match value {
            Value::String(_) | Value::Array(_) => Value::Integer(-1),
            _ => Value::String("neither here nor there".to_owned()),
        };
        std::fs::write(&file, wrong.to_string()).expect("it can be written");
        let said = check(&file).failure();
        assert!(said.stderr.contains(&format!("{}:", file.display())), "{way:?}: {said}");
        assert!(said.stderr.contains("invalid type"), "{way:?}: {said}");
        assert!(!said.stderr.contains("panicked"), "{way:?}: {said}");
    }
}

#[test]
fn every_value_that_makes_no_sense_is_named_with_its_key() {
    let site = Site::new();
    let (good_file, config) = good(&site);
    let file = good_file.with_file_name("wrong.toml");
    let cases: [(&str, &str, Value); 29] = [
        ("server", "listen", "127.0.0.1".into()),
        ("server", "listen", "127.0.0.1:99999".into()),
        ("server", "http", "".into()),
        ("server", "public_http", "https://example.com".into()),
        ("server", "names", vec!["not a name"].into()),
        ("server", "names", Value::Array(vec![])),
        ("server", "drain_seconds", 1_000_000_000.into()),
        ("server", "handshake_seconds", 0.into()),
        ("server", "connections", 0.into()),
        ("server", "metrics", "".into()),
        ("server", "hosts", vec!["a b"].into()),
        ("server", "idle_seconds", 0.into()),
        ("server", "minimum_rate", 0.into()),
        ("server", "connections_per_address", 0.into()),
        ("server", "body_memory_mib", 1.into()),
        ("server", "proxy_protocol_from", vec!["balancer"].into()),
        ("seal", "root_key_file", "no-such-file".into()),
        ("policy", "directory", "no-such-folder".into()),
        ("acme", "dns", "resolver".into()),
        ("acme", "http01_port", 0.into()),
        ("acme", "allowed_networks", vec!["10.0.0.0/33"].into()),
        ("acme", "terms_of_service", "not a url".into()),
        ("ca", "keys", "paper".into()),
        ("ca", "key_type", "rsa-1024".into()),
        ("ca", "root_days", 0.into()),
        ("secrets", "mounts", vec!["sys"].into()),
        ("secrets", "token_ttl_seconds", 0.into()),
        ("clients", "roots", vec!["no-such-file.pem"].into()),
        ("telemetry", "format", "xml".into()),
    ];
    for (table, key, value) in cases {
        let mut wrong = config.clone();
        let entry = wrong.entry(table).or_insert_with(|| Table::new().into());
        entry.as_table_mut().expect("a table").insert(key.to_owned(), value.clone());
        std::fs::write(&file, wrong.to_string()).expect("it can be written");
        let said = check(&file).failure();
        assert!(said.stderr.contains(&format!("{table}.{key}")), "{table}.{key} = {value}: {said}");
        assert!(
            said.stderr.contains(&format!("{}:", file.display())),
            "{table}.{key} = {value}: {said}"
        );
    }
}

#[test]
fn an_unknown_key_is_answered_with_the_nearest_one() {
    let site = Site::new();
    let (good_file, config) = good(&site);
    let file = good_file.with_file_name("wrong.toml");
    for (table, key, meant) in [
        ("server", "listne", "`listen`"),
        ("server", "dirctory", "`directory`"),
        ("acme", "http_01_port", "`http01_port`"),
        ("seal", "rootkey_file", "`root_key_file`"),
        ("ca", "keytype", "`key_type`"),
    ] {
        let mut wrong = config.clone();
        let entry = wrong.entry(table).or_insert_with(|| Table::new().into());
        entry.as_table_mut().expect("a table").insert(key.to_owned(), 1.into());
        let text = wrong.to_string();
        let line = 1 + text.lines().position(|line| line.starts_with(key)).expect("it is there");
        std::fs::write(&file, text).expect("it can be written");
        let said = check(&file).failure();
        for part in [format!("{}:{line}:", file.display()), key.to_owned(), meant.to_owned()] {
            assert!(said.stderr.contains(&part), "no {part} in {said}");
        }
    }
}

#[test]
fn every_key_that_is_needed_is_missed() {
    let site = Site::new();
    let (good_file, config) = good(&site);
    let file = good_file.with_file_name("wrong.toml");
    for table in ["server", "seal", "policy", "tenants"] {
        let mut wrong = config.clone();
        wrong.remove(table);
        std::fs::write(&file, wrong.to_string()).expect("it can be written");
        let said = check(&file).failure();
        assert!(said.stderr.contains(table), "{table}: {said}");
    }
}

#[test]
fn a_secret_in_the_configuration_is_refused_and_not_repeated() {
    let site = Site::new();
    let (good_file, config) = good(&site);
    let file = good_file.with_file_name("wrong.toml");
    for (table, key) in [("seal", "root_key"), ("seal", "passphrase"), ("pkcs11", "pin")] {
        let mut wrong = config.clone();
        let entry = wrong.entry(table).or_insert_with(|| Table::new().into());
        entry.as_table_mut().expect("a table").insert(key.to_owned(), "hunter2".into());
        std::fs::write(&file, wrong.to_string()).expect("it can be written");
        let said = check(&file).failure();
        assert!(said.stderr.contains(key), "{said}");
        assert!(!said.stderr.contains("hunter2"), "a secret is shown: {said}");
    }
}

#[test]
fn what_is_not_toml_or_not_there_is_said() {
    let site = Site::new();
    let (good_file, _) = good(&site);
    let file = good_file.with_file_name("wrong.toml");
    for (text, line) in [
        ("[server\n", 1),
        ("[server]\nlisten = \"x\n", 2),
        ("\n\n= 3\n", 3),
        ("[server]\n[server]\n", 2),
    ] {
        std::fs::write(&file, text).expect("it can be written");
        let said = check(&file).failure();
        assert!(said.stderr.contains(&format!("{}:{line}", file.display())), "{text:?}: {said}");
    }
    let said = check(Path::new("/nonexistent/chancery.toml")).failure();
    assert!(said.stderr.contains("/nonexistent/chancery.toml"), "{said}");
}

#[test]
fn policies_are_checked_too() {
    let site = Site::new();
    let (file, _) = good(&site);
    let extra = site.path().join("state/policies/extra.toml");
    for (text, part) in [
        ("[[binding]]\nname = \"x\"\n", "decision"),
        ("[[bnding]]\n", "binding"),
        (
            "[[binding]]\nname = \"x\"\ndecision = \"access\"\n\
             plugin = { file = \"plugins/none.wasm\", digest = \"sha256:00\" }\n",
            "digest",
        ),
        (
            "[[binding]]\nname = \"x\"\ndecision = \"access\"\nplugin = { file = \"plugins/none.wasm\", \
             digest = \"sha256:0000000000000000000000000000000000000000000000000000000000000000\" }\n",
            "none.wasm",
        ),
    ] {
        std::fs::write(&extra, text).expect("it can be written");
        let said = check(&file).failure();
        assert!(said.stderr.contains(part) && said.stderr.contains("extra.toml"), "{said}");
    }
    std::fs::remove_file(&extra).expect("it can be removed");
    drop(check(&file).success());
}
