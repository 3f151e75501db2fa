//! The root key of a store is changed by command: between files, passphrases and keys in a token.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use chancery_integration::gateway::{Gateway, Options, binary};
use chancery_integration::hsm::Token;
use chancery_integration::process::{self, Outcome};
use chancery_integration::site::{self, Site};
use serde_json::json;

/// A gateway with a token, which is stopped.
struct Stopped {
    site: Site,
    token: Token,
}

impl Stopped {
    fn new() -> Self {
        let site = Site::new();
        let token = Token::new(&site);
        let gateway = Options::new(&site).token(&token).start();
        let body = json!({ "data": { "password": "kept" } });
        drop(gateway.app().post("/v1/secret/data/app/a", &body).expect(200));
        drop(gateway.stop());
        Self { site, token }
    }

    /// What the configuration says below `[seal]`.
    fn config(&self, name: &str, setting: (&str, &str)) -> PathBuf {
        let text = fs::read_to_string(self.site.path().join("state/chancery.toml"));
        let mut config: toml::Table = text.expect("the configuration").parse().expect("TOML");
        config.insert("seal".to_owned(), sealed_by(setting).into());
        self.site.write(name, config.to_string())
    }

    fn run(&self, arguments: &[&str], config: &Path) -> Outcome {
        let mut command = Command::new(binary());
        command.env("SOFTHSM2_CONF", self.token.config()).args(arguments);
        process::run(command.arg("--config").arg(config))
    }
}

fn sealed_by((key, value): (&str, &str)) -> toml::Table {
    [(key.to_owned(), value.into())].into_iter().collect()
}

#[test]
fn the_root_key_is_changed_between_files_passphrases_and_tokens() {
    let stopped = Stopped::new();
    let path = |name: &str| stopped.site.path().join(name).display().to_string();
    let text = fs::read_to_string(stopped.site.path().join("state/chancery.toml"));
    let first: toml::Table = text.expect("the configuration").parse().expect("TOML");
    let first = first["seal"]["root_key_file"].as_str().expect("a file").to_owned();
    let passphrase = stopped.site.write("passphrase", "correct horse battery staple");
    site::private(&passphrase);
    let passphrase = passphrase.display().to_string();

    let mut current = stopped.config("current.toml", ("root_key_file", &first));
    for (number, (option, setting, value)) in [
        ("--pkcs11-key", "pkcs11_key", "root-1".to_owned()),
        ("--passphrase-file", "passphrase_file", passphrase.clone()),
        // The same passphrase makes another key with another salt.
        ("--passphrase-file", "passphrase_file", passphrase),
        ("--pkcs11-key", "pkcs11_key", "root-2".to_owned()),
        ("--pkcs11-key", "pkcs11_key", "root-3".to_owned()),
        ("--file", "root_key_file", path("second.key")),
        ("--file", "root_key_file", path("third.key")),
    ]
    .into_iter()
    .enumerate()
    {
        let said = stopped.run(&["root-key", "rotate", option, &value], &current).success();
        assert!(said.stdout.contains(&format!("{setting} = \"{value}\"")), "{said}");
        let next = stopped.config(&format!("{number}.toml"), (setting, &value));
        drop(stopped.run(&["store", "check"], &next).success().says("all of which open"));
        if fs::read(&current).expect("it is there") != fs::read(&next).expect("it is there") {
            let refused = stopped.run(&["store", "check"], &current).failure();
            assert!(!refused.stderr.contains("panicked"), "{refused}");
        }
        current = next;
    }
    let first = stopped.config("first.toml", ("root_key_file", &first));
    let refused = stopped.run(&["store", "check"], &first).failure();
    assert!(refused.stderr.contains("this store is sealed with the root key"), "{refused}");
    let again = ["root-key", "rotate", "--file", &path("third.key")];
    drop(stopped.run(&again, &current).failure().says("already"));
    drop(stopped.run(&again, &first).failure().says("the root key is as it was"));
    // What is refused makes no key, neither in a file nor in the token.
    let objects = || stopped.token.tool(&["--list-objects"]).success().stdout;
    let keys = objects();
    drop(stopped.run(&["root-key", "rotate", "--file", &path("none.key")], &first).failure());
    drop(stopped.run(&["root-key", "rotate", "--pkcs11-key", "none"], &first).failure());
    assert_eq!(objects(), keys);
    let open = stopped.site.folder("open");
    fs::set_permissions(&open, fs::Permissions::from_mode(0o777)).expect("it is ours");
    let in_open = open.join("none.key").display().to_string();
    let said = stopped.run(&["root-key", "rotate", "--file", &in_open], &current).failure();
    assert!(said.stderr.contains("may"), "{said}");
    assert!(!Path::new(&path("none.key")).exists() && !Path::new(&in_open).exists());
    drop(stopped.run(&["store", "check"], &current).success());

    let third = path("third.key");
    let gateway = Gateway::serve_with_token(&stopped.site, &stopped.token, |config| {
        config.insert("seal".to_owned(), sealed_by(("root_key_file", &third)).into());
    });
    let secret = gateway.app().get("/v1/secret/data/app/a").expect(200).json();
    assert_eq!(secret["data"]["data"]["password"], "kept");
    let changes = gateway.audit();
    let changes = changes.iter().filter(|line| line["operation"] == "store.root-key.rotate");
    let mut stages = changes.map(|line| (&line["details"]["stage"], &line["outcome"]["result"]));
    let (begun, done): (Vec<_>, Vec<_>) =
        stages.by_ref().partition(|(stage, _)| *stage == "begins");
    // The ninth was tried with the root key of now, and said so.
    assert_eq!(begun.len(), 8, "each is on record before it is made");
    let successes = done.iter().filter(|(_, result)| *result == "success");
    assert_eq!((done.len(), successes.count()), (8, 7), "and what came of it");
    // It has to be stopped for this.
    drop(stopped.run(&["root-key", "rotate", "--file", &third], &current).failure().says("in use"));
}
