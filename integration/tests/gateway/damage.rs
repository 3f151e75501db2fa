//! A byte of a record is wrong: people see the others, what decides fails closed, and there is a way back.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use chancery_integration::acme::request_for;
use chancery_integration::dns::Dns;
use chancery_integration::gateway::{Gateway, Options, chancery};
use chancery_integration::http::{self, Client};
use chancery_integration::lint;
use chancery_integration::process::{self, Outcome};
use chancery_integration::responder::Http01;
use chancery_integration::site::Site;
use redb::{Database, ReadableDatabase as _, ReadableTable as _, TableDefinition};
use serde_json::{Value, json};

const RECORDS: TableDefinition<'static, &[u8], &[u8]> = TableDefinition::new("records");

pub(crate) fn text(path: &Path) -> &str {
    path.to_str().expect("a path of these tests is text")
}

/// A gateway with something of each kind in its store, which is stopped.
pub(crate) struct Stored {
    pub(crate) site: Site,
    dns: Dns,
    whole: Vec<u8>,
    backup: PathBuf,
    /// The key of a certificate in the inventory that none of the clients here uses.
    certificate: String,
    /// A key that is known to be in others' hands.
    given_away: rcgen::KeyPair,
}

impl Stored {
    fn new() -> Self {
        let site = Site::new();
        let dns = Dns::start(&site);
        let gateway = Options::new(&site).dns(&dns).start();
        let responder = Http01::start(&site);
        for name in ["a", "b"] {
            let body = json!({ "data": { "password": name } });
            drop(gateway.app().post(&format!("/v1/secret/data/app/{name}"), &body).expect(200));
            let key = format!("app-{name}");
            let create = ["keys", "create", &key, "--rotate-every", "720h"];
            drop(gateway.administer(&create).success());
        }
        for client in [gateway.app(), gateway.admin()] {
            drop(client.post("/v1/auth/cert/login", &json!({})).expect(200));
        }
        let members = json!({ "members": ["spiffe://dev.chancery/app"] });
        drop(gateway.admin().post("/v1/sys/groups/team", &members).expect(204));
        let account = gateway.account();
        let (chain, _) = account.obtain(&["www.example.com"], &responder);
        let serial = lint::serial(&site, &http::certificates(&chain)[0]).to_lowercase();
        let certificate = format!("default/issuance/certificate/{serial}");
        let revoke = ["certificates", "revoke", "--name", "www.example.com"];
        drop(gateway.administer(&revoke).success().says("1 revoked"));
        let given_away = rcgen::KeyPair::generate().expect("a key can be made");
        drop(account.obtain_for(&given_away, &["given.example.com"], &responder));
        let revoke = ["certificates", "revoke", "--name", "given.example.com"];
        let revoke = [&revoke[..], &["--reason", "keyCompromise"]].concat();
        drop(gateway.administer(&revoke).success().says("1 revoked"));
        let backup = site.path().join("gateway.backup");
        drop(gateway.administer(&["backup", "create", "--out", text(&backup)]).success());
        drop(gateway.stop());
        let whole = fs::read(site.path().join("state/store.redb")).expect("there is a store");
        Self { site, dns, whole, backup, certificate, given_away }
    }

    pub(crate) fn store(&self) -> PathBuf {
        self.site.path().join("state/store.redb")
    }

    fn make_whole(&self) {
        fs::write(self.store(), &self.whole).expect("the store can be written");
    }

    /// The first key that begins so.
    fn key(&self, prefix: &str) -> String {
        let database = Database::open(self.store()).expect("nobody has it open");
        let transaction = database.begin_read().expect("it can be read");
        let records = transaction.open_table(RECORDS).expect("it has records");
        let found = records.range(prefix.as_bytes()..).expect("it can be read").next();
        let (key, _) = found.expect("there is one").expect("it can be read");
        let key = String::from_utf8(key.value().to_vec()).expect("a key is text");
        assert!(key.starts_with(prefix), "there is no {prefix}, but {key}");
        key
    }

    /// Turns one bit of the record of which the key begins so; gives its key.
    pub(crate) fn damage(&self, prefix: &str) -> String {
        self.change(prefix, |value| *value.last_mut().expect("it is not empty") ^= 1)
    }

    /// Takes the end of it away.
    fn cut(&self, prefix: &str, kept: usize) -> String {
        self.change(prefix, |value| value.truncate(kept))
    }

    /// Takes all records away of which the key begins so, as if their keys had been changed.
    pub(crate) fn take_away(&self, prefix: &str) {
        let database = Database::open(self.store()).expect("nobody has it open");
        let transaction = database.begin_write().expect("it can be written");
        {
            let mut records = transaction.open_table(RECORDS).expect("it has records");
            let of_prefix = |key: &[u8], _: &[u8]| key.starts_with(prefix.as_bytes());
            let taken: Vec<_> = records.extract_if(of_prefix).expect("it can be read").collect();
            assert!(!taken.is_empty(), "there is no {prefix}");
        }
        transaction.commit().expect("it can be written");
    }

    /// Puts a record there, as somebody would who can write the file and has no key.
    fn put(&self, key: &str, value: &[u8]) {
        let database = Database::open(self.store()).expect("nobody has it open");
        let transaction = database.begin_write().expect("it can be written");
        {
            let mut records = transaction.open_table(RECORDS).expect("it has records");
            records.insert(key.as_bytes(), value).expect("it can be written");
        }
        transaction.commit().expect("it can be written");
    }

    fn change(&self, prefix: &str, change: impl FnOnce(&mut Vec<u8>)) -> String {
        let key = self.key(prefix);
        let database = Database::open(self.store()).expect("nobody has it open");
        let transaction = database.begin_write().expect("it can be written");
        {
            let mut records = transaction.open_table(RECORDS).expect("it has records");
            let found = records.get(key.as_bytes()).expect("it can be read").expect("it is there");
            let mut value = found.value().to_vec();
            drop(found);
            change(&mut value);
            records.insert(key.as_bytes(), &value[..]).expect("it can be written");
        }
        transaction.commit().expect("it can be written");
        key
    }

    pub(crate) fn start(&self) -> Gateway {
        Options::new(&self.site).dns(&self.dns).start()
    }

    pub(crate) fn refuses(&self) -> Outcome {
        Options::new(&self.site).dns(&self.dns).start_fails()
    }

    pub(crate) fn store_command(&self, arguments: &[&str]) -> Outcome {
        let config = self.site.path().join("state/chancery.toml");
        chancery(&[&["store"], arguments, &["--config", text(&config)]].concat())
    }
}

fn list(client: &Client, path: &str) -> Value {
    client.send("LIST", path, &[], b"").expect(200).json()
}

fn keys(client: &Client, path: &str) -> Vec<String> {
    let listed = list(client, path);
    let keys = listed["data"]["keys"].as_array().expect("a list");
    keys.iter().map(|key| key.as_str().expect("text").to_owned()).collect()
}

fn damaged_records(gateway: &Gateway) -> u64 {
    let metrics = gateway.monitoring().get("/metrics").expect(200).text();
    let line =
        metrics.lines().find_map(|line| line.strip_prefix("chancery_store_damaged_records_total "));
    line.map_or(0, |count| count.parse().expect("a number"))
}

#[test]
fn one_bad_record_hides_no_other_from_people() {
    let stored = Stored::new();
    stored.start();
    let certificate = stored.damage(&stored.certificate);
    stored.damage("default/secrets/kv-metadata/secret/");
    stored.cut("default/secrets/transit-key/transit/", 3);
    let token = stored.damage("default/access/token/");
    stored.damage("_/access/token-expiry/");
    stored.damage("_/secrets/transit-due/");
    stored.damage("default/issuance/index/expiry/");
    stored.cut("default/issuance/index/name/", 3);
    stored.damage("default/issuance/index-form");
    stored.cut("default/acme/order/", 20);
    stored.damage("default/acme/order-of/");
    stored.damage("default/acme/order-due/");

    let gateway = stored.start();
    let (app, admin) = (gateway.app(), gateway.admin());
    // The name of what is damaged is there, and the others can be read.
    assert_eq!(keys(&app, "/v1/secret/metadata/app/"), ["a", "b"]);
    drop(app.get("/v1/secret/data/app/b").expect(200));
    drop(app.get("/v1/secret/data/app/a").expect(500));
    assert_eq!(keys(&admin, "/v1/transit/keys"), ["app-a", "app-b"]);
    drop(admin.get("/v1/transit/keys/app-b").expect(200));
    drop(admin.get("/v1/transit/keys/app-a").expect(500));

    let serial = certificate.rsplit('/').next().expect("a serial number").to_owned();
    let before = damaged_records(&gateway);
    let listed = list(&admin, "/v1/pki/certs");
    let others = listed["data"]["keys"].as_array().expect("a list").len();
    assert!(others > 2, "{listed}");
    let named = listed["data"]["damaged"][0].as_str().expect("it is named").replace(':', "");
    assert_eq!(named.trim_start_matches('0'), serial.trim_start_matches('0'), "{listed}");
    assert!(listed["warnings"][0].as_str().is_some_and(|warning| warning.contains("damaged")));
    assert!(damaged_records(&gateway) > before, "it is counted");
    assert!(gateway.log().contains(&certificate), "it is in the log");
    let said = gateway.administer(&["certificates", "list"]).success();
    assert_eq!(said.stdout.lines().count(), others);
    assert!(said.stderr.contains("are damaged"), "{said}");

    let sessions = gateway.administer(&["sessions", "list", "--output", "json"]).success();
    let sessions: Value = serde_json::from_str(&sessions.stdout).expect("JSON");
    assert_eq!(sessions.to_string().matches("accessor").count(), 1, "{sessions}");
    assert!(gateway.log().contains(&token), "the other one is in the log");
}

/// What is not known for certain is not taken for good.
#[test]
fn what_decides_fails_closed_where_it_is_damaged() {
    let stored = Stored::new();
    for prefix in [
        // The seal, and what the CA is.
        "_/seal/check",
        "_/seal/key/default/",
        "_/seal/key/_/",
        "_/ca/private/authority",
        "_/ca/key/",
        // What is revoked, and the numbers of CRLs.
        "_/ca/private/revoked/",
        "_/ca/private/crl/",
        // What policies look up.
        "default/access/group/",
        "_/issuance/recent/",
        // What makes the audit log more than a file.
        "_/audit/key",
    ] {
        // One bit, half a record, and what is too short to be one.
        let damages: [&dyn Fn() -> String; 3] =
            [&|| stored.damage(prefix), &|| stored.cut(prefix, 20), &|| stored.cut(prefix, 3)];
        for (number, damage) in damages.iter().enumerate() {
            let key = damage();
            let said = stored.refuses();
            assert!(said.stderr.contains(&key), "{prefix}: {number}: it is not named: {said}");
            assert!(!said.stderr.contains("panicked"), "{prefix}: {number}: {said}");
            stored.make_whole();
        }
    }
    let gateway = stored.start();
    drop(gateway.app().get("/v1/secret/data/app/a").expect(200));
    drop(gateway.stop());

    // A token lets nobody in if it is damaged, a certificate is not called good, and a key that was given away is
    // not certified.
    stored.damage("default/access/token/");
    stored.damage(&stored.certificate);
    let blocked = stored.damage("_/issuance/compromised-key/");
    let gateway = stored.start();
    let responder = Http01::start(&stored.site);
    let account = gateway.account();
    let order = account.order(&["again.example.com"]);
    account.prove(&order, &responder);
    let request = request_for(&stored.given_away, &["again.example.com"]);
    let _ = account.finalize(&order, &request);
    process::eventually("the damaged record is looked at", Duration::from_mins(1), || {
        gateway.log().contains(&blocked).then_some(())
    });
    assert_ne!(account.refresh(&order).status(), "valid");
    let sessions = gateway.administer(&["sessions", "list", "--output", "json"]).success();
    let sessions: Value = serde_json::from_str(&sessions.stdout).expect("JSON");
    assert_eq!(sessions.to_string().matches("accessor").count(), 1, "{sessions}");
}

#[test]
fn a_store_is_checked_and_repaired() {
    let stored = Stored::new();
    drop(stored.store_command(&["check"]).success().says("all of which open"));

    // What follows from other records is made anew without more.
    for prefix in [
        "default/issuance/index/expiry/",
        "default/issuance/index-form",
        "_/issuance/recent/",
        "_/access/token-expiry/",
        "default/acme/order-due/",
    ] {
        stored.damage(prefix);
    }
    let said = stored.store_command(&["check"]).failure();
    assert!(said.stdout.contains("5 damaged"), "{said}");
    // Which root key it is shows the keys of the tenants as well.
    stored.cut("_/seal/check", 3);
    drop(stored.store_command(&["check"]).failure().says("_/seal/check"));
    let said = stored.store_command(&["repair"]).success();
    assert!(said.stdout.contains("every record opens"), "{said}");
    drop(stored.store_command(&["check"]).success());

    // The rest comes from a backup, if it has it as it was written last.
    let kept: Vec<String> = [
        "default/secrets/kv-metadata/secret/",
        &*stored.certificate,
        "_/ca/private/revoked/",
        "default/access/group/",
    ]
    .iter()
    .map(|prefix| stored.damage(prefix))
    .collect();
    let said = stored.store_command(&["repair"]).failure();
    for key in &kept {
        assert!(said.stdout.contains(&format!("  {key}: ")), "{key}: {said}");
    }
    let from = ["repair", "--from", text(&stored.backup)];
    let said = stored.store_command(&from).success();
    for key in &kept {
        assert!(said.stdout.contains(&format!("{key}: taken from the backup\n")), "{key}: {said}");
    }
    let gateway = stored.start();
    drop(gateway.app().get("/v1/secret/data/app/a").expect(200));
    let audit = gateway.audit();
    assert!(audit.iter().any(|line| line["operation"] == "store.repair"), "it is on record");

    // What was written since the backup is older there: that is said, and not done by itself.
    let body = json!({ "data": { "password": "newer" } });
    drop(gateway.app().post("/v1/secret/data/app/a", &body).expect(200));
    drop(gateway.stop());
    let key = stored.damage("default/secrets/kv-metadata/secret/");
    let said = stored.store_command(&from).failure();
    assert!(said.stdout.contains("still damaged") && said.stdout.contains(&key), "{said}");
    let older = [&from[..], &["--older"]].concat();
    let said = stored.store_command(&older).success();
    assert!(said.stdout.contains("older than it was"), "{said}");

    // Or it is given up, by name.
    let key = stored.damage("default/secrets/kv-metadata/secret/");
    drop(stored.store_command(&["repair", "--remove", "default/nothing"]).failure());
    drop(stored.store_command(&["repair", "--remove", &key]).success().says("removed"));
    let gateway = stored.start();
    drop(gateway.app().get("/v1/secret/data/app/a").expect(404));
    drop(gateway.app().get("/v1/secret/data/app/b").expect(200));
    // It has to be stopped for this.
    let said = stored.store_command(&["check"]).failure();
    assert!(said.stderr.contains("in use"), "{said}");
    drop(gateway.stop());

    drop(stored.store_command(&["restored"]).success());
    drop(stored.start());
}

/// A store with many secrets, which is stopped, and a backup of it.
pub(crate) fn full() -> (Stored, PathBuf) {
    let stored = Stored::new();
    let gateway = stored.start();
    let body = |number: usize| json!({ "data": { "value": "x".repeat(500), "number": number } });
    for number in 0..40 {
        let path = format!("/v1/secret/data/app/many/{number:02}");
        drop(gateway.app().post(&path, &body(number)).expect(200));
    }
    let backup = stored.site.path().join("many.backup");
    drop(gateway.administer(&["backup", "create", "--out", text(&backup)]).success());
    drop(gateway.stop());
    (stored, backup)
}

/// Takes the leaves of the file's tree away that have this in them; gives what is left of the file.
pub(crate) fn tear(stored: &Stored, name: &str) -> Vec<u8> {
    let whole = fs::read(stored.store()).expect("there is a store");
    let mut image = whole.clone();
    let page = 4096;
    for at in (page..image.len()).step_by(page) {
        if whole[at..at + page].windows(name.len()).any(|bytes| bytes == name.as_bytes()) {
            image[at..at + page].fill(0);
        }
    }
    assert_ne!(image, whole, "the record is there");
    fs::write(stored.store(), &image).expect("the store can be written");
    image
}

/// In the middle of the secrets.
pub(crate) const SECRET: &str = "default/secrets/kv-metadata/secret/app/many/20";

/// Nobody has sealed what stands in the key of an entry that does not open.
#[test]
fn entries_of_indexes_are_written_out_of_records_and_never_sealed_as_they_are() {
    let stored = Stored::new();
    let moved = ["default/acme/order-due/", "_/access/token-expiry/", "_/secrets/transit-due/"];
    for prefix in moved {
        stored.take_away(prefix);
    }
    let forged = [
        "_/access/token-expiry/!00001a2/default/access/token/x",
        "_/secrets/transit-due/!0/default/transit/app-a",
        "default/access/token-of/00/0/x/y",
        "default/acme/account-due/000000a2/e65z",
        "default/acme/issuance-due/00000000000000a2/e65z",
        "default/acme/order-due/000000a2/e65z",
        "default/acme/order-of/e65z/e65z",
        "default/issuance/index/expiry/00/ff",
    ];
    for key in forged {
        stored.put(key, &[1; 60]);
    }
    let said = stored.store_command(&["repair"]).success();
    for key in forged {
        assert!(said.stdout.contains(&format!("{key}: dropped")), "{key}: {said}");
    }
    for prefix in moved {
        // What follows from the records is there again.
        assert!(!stored.key(prefix).contains('!'));
    }
    drop(stored.store_command(&["check"]).success().says("all of which open"));
    let gateway = stored.start();
    drop(gateway.app().get("/v1/secret/data/app/a").expect(200));
}

/// Without the entry the certificate could count for another tenant than the one that it was issued for.
#[test]
fn an_entry_that_leads_to_a_certificate_that_does_not_open_is_kept() {
    let stored = Stored::new();
    let entry = stored.damage("_/issuance/index/key/");
    let serial = entry.rsplit('/').next().expect("a serial number");
    let certificate = stored.damage(&format!("default/issuance/certificate/{serial}"));
    let said = stored.store_command(&["repair"]).failure();
    for key in [&entry, &certificate] {
        assert!(said.stdout.contains(key.as_str()), "{key}: {said}");
    }
    assert!(!said.stdout.contains("dropped"), "{said}");
    assert_eq!(stored.key(&entry), entry);
}

/// A store of which a leaf of the file's tree is gone, a backup from before, and the file.
fn torn() -> (Stored, PathBuf, Vec<u8>) {
    let (stored, backup) = full();
    let image = tear(&stored, SECRET);
    (stored, backup, image)
}

pub(crate) fn has_all(gateway: &Gateway) {
    for number in 0..40 {
        let path = format!("/v1/secret/data/app/many/{number:02}");
        assert_eq!(gateway.app().get(&path).expect(200).json()["data"]["data"]["number"], number);
    }
}

/// A leaf of the file's tree is gone: the file is refused, and made anew of the rest.
#[test]
fn a_damaged_file_is_refused_and_made_anew() {
    let (stored, backup, image) = torn();

    let said = stored.refuses();
    assert!(said.stderr.contains("chancery store check"), "{said}");
    assert!(!said.stderr.contains("panicked"), "{said}");
    let said = stored.store_command(&["check"]).failure();
    for part in
        ["the file is damaged", "all of which open", "nothing can be read between", "--rebuild"]
    {
        assert!(said.stdout.contains(part), "{part}: {said}");
    }
    assert!(!said.stderr.contains("panicked"), "{said}");
    let said = stored.store_command(&["--output", "json", "check"]).failure();
    let checked: Value = serde_json::from_str(&said.stdout).expect("JSON");
    assert_eq!(checked["file"], "damaged", "{checked}");
    assert!(checked["unreadable"][0]["after"].is_string(), "{checked}");
    drop(stored.store_command(&["repair"]).failure().says("chancery store check"));
    let kept = fs::read(stored.store()).expect("there is a store");
    assert!(kept == image, "what only looks or refuses changes nothing");

    let repair = ["repair", "--rebuild", "--from", text(&backup), "--older"];
    let said = stored.store_command(&repair).success();
    for part in ["the file is made anew of", "nothing could be read between", "older than it was"] {
        assert!(said.stdout.contains(part), "{part}: {said}");
    }
    let aside = stored.store().with_extension("redb.damaged");
    assert!(fs::read(aside).expect("it is kept") == image);
    drop(stored.store_command(&["check"]).success().says("all of which open"));
    let gateway = stored.start();
    has_all(&gateway);
    let audit = gateway.audit();
    let repaired = audit.iter().find(|line| line["operation"] == "store.repair");
    let repaired = repaired.expect("it is on record");
    assert!(repaired["details"]["rebuilt"].is_number(), "{repaired}");
}

/// What would make the repair fail is found before the files are changed.
#[test]
fn a_file_is_not_made_anew_with_a_wrong_root_key_or_backup() {
    let (stored, backup, image) = torn();
    let state = stored.site.path().join("state");
    let config = fs::read_to_string(state.join("chancery.toml")).expect("it can be read");
    let mut config: toml::Table = config.parse().expect("it is TOML");
    let key = state.join("wrong.key");
    drop(chancery(&["root-key", text(&key)]).success());
    let seal = config["seal"].as_table_mut().expect("a table");
    seal.insert("root_key_file".to_owned(), text(&key).into());
    let wrong = state.join("wrong.toml");
    fs::write(&wrong, config.to_string()).expect("it can be written");
    chancery_integration::site::private(&wrong);

    let missing = stored.site.path().join("mistyped.backup");
    let cut = stored.site.path().join("cut.backup");
    let bytes = fs::read(&backup).expect("there is a backup");
    fs::write(&cut, &bytes[..bytes.len() - 1]).expect("it can be written");
    let aside = stored.store().with_extension("redb.damaged");
    let draft = stored.store().with_extension("rebuilding");
    let repair = ["repair", "--rebuild", "--older", "--from"];
    let with_wrong_key = ["store", "repair", "--rebuild", "--config", text(&wrong)];
    let fifo = stored.site.path().join("fifo");
    drop(process::run(std::process::Command::new("mkfifo").arg(&fifo)).success());
    for no_file in [&fifo, &state] {
        let said = stored.store_command(&[&repair[..], &[text(no_file)]].concat()).failure();
        assert!(said.stderr.contains("no regular file"), "{said}");
        let said = stored.store_command(&["repair", "--from", text(no_file)]).failure();
        assert!(!said.stderr.contains("panicked"), "{said}");
    }
    for said in [
        chancery(&with_wrong_key),
        stored.store_command(&[&repair[..], &[text(&missing)]].concat()),
        stored.store_command(&[&repair[..], &[text(&cut)]].concat()),
    ] {
        drop(said.failure().says("nothing is changed"));
        assert!(fs::read(stored.store()).expect("there is a store") == image);
        assert!(!aside.exists() && !draft.exists());
    }

    let said = stored.store_command(&[&repair[..], &[text(&backup)]].concat()).success();
    for part in ["the file is made anew of", "nothing could be read between", "older than it was"] {
        assert!(said.stdout.contains(part), "{part}: {said}");
    }
    let gateway = stored.start();
    has_all(&gateway);
    assert!(gateway.audit().iter().any(|line| line["details"]["rebuilt"].is_number()));
}

/// The file has a note until the repair is done: no gateway starts with it, and the next run goes on.
#[test]
fn a_repair_that_was_stopped_is_gone_on_with() {
    type Sides = (Option<&'static [u8]>, Option<&'static [u8]>);
    const FACTS: TableDefinition<'static, &str, u64> = TableDefinition::new("facts");
    const GAPS: TableDefinition<'static, u64, Sides> = TableDefinition::new("rebuilt-gaps");

    let (stored, backup, _) = torn();
    let said = stored.store_command(&["--output", "json", "repair", "--rebuild"]);
    let repaired: Value = serde_json::from_str(&said.stdout).expect("JSON");
    let gaps = repaired["rebuilt"]["unreadable"].as_array().expect("a list");
    assert!(!gaps.is_empty(), "{repaired}");
    // As it is left by a run that is killed after the file was made.
    {
        let database = Database::open(stored.store()).expect("nobody has it open");
        let transaction = database.begin_write().expect("it can be written");
        {
            let mut facts = transaction.open_table(FACTS).expect("it has facts");
            assert!(facts.get("rebuilt").expect("it can be read").is_none(), "it was done");
            facts.insert("rebuilt", 7).expect("it can be written");
            let mut table = transaction.open_table(GAPS).expect("it can be made");
            for (number, gap) in (0_u64..).zip(gaps) {
                let side = |name: &str| gap[name].as_str().map(str::as_bytes);
                table.insert(number, (side("after"), side("before"))).expect("it can be written");
            }
        }
        transaction.commit().expect("it can be written");
    }
    let unfinished = "did not come to its end";
    drop(stored.refuses().says(unfinished));
    drop(stored.store_command(&["repair"]).failure().says(unfinished));
    drop(stored.store_command(&["restored"]).failure().says(unfinished));
    // And before the new file has its name.
    let draft = stored.store().with_extension("rebuilding");
    fs::rename(stored.store(), &draft).expect("it can be renamed");
    drop(stored.store_command(&["repair"]).failure().says(unfinished));
    // A file that is not complete takes no place.
    let complete = draft.with_extension("complete");
    fs::rename(&draft, &complete).expect("it can be renamed");
    fs::write(&draft, b"").expect("it can be written");
    for command in [&["repair", "--rebuild"][..], &["repair"], &["check"]] {
        drop(stored.store_command(command).failure().says("is not complete"));
    }
    drop(stored.refuses().says("is not complete"));
    assert!(!stored.store().exists());
    assert_eq!(fs::read(&draft).expect("it is there"), b"", "who only looks leaves it as it is");
    fs::rename(&complete, &draft).expect("it can be renamed");

    let missing = ["repair", "--rebuild", "--older", "--from", "/mistyped.backup"];
    drop(stored.store_command(&missing).failure().says("run it again"));
    drop(stored.refuses().says(unfinished));
    let repair = ["repair", "--rebuild", "--older", "--from", text(&backup)];
    let said = stored.store_command(&repair).success();
    for part in ["made anew of 7 records", "nothing could be read", "older than it was"] {
        assert!(said.stdout.contains(part), "{part}: {said}");
    }
    let said = stored.store_command(&["repair", "--rebuild"]).success();
    assert!(!said.stdout.contains("made anew of"), "it is done: {said}");
    let gateway = stored.start();
    has_all(&gateway);
    let audit = gateway.audit();
    let is_it =
        |line: &Value| line["operation"] == "store.repair" && line["details"]["rebuilt"] == 7;
    assert!(audit.iter().any(is_it), "{audit:?}");
}

/// A key need not be text: it is given as it is shown.
#[test]
fn a_damaged_record_with_any_key_is_given_up_by_what_is_shown() {
    let stored = Stored::new();
    {
        let database = Database::open(stored.store()).expect("nobody has it open");
        let transaction = database.begin_write().expect("it can be written");
        let mut records = transaction.open_table(RECORDS).expect("it has records");
        let key = &b"default/secrets/\xff\xfe\\\n"[..];
        records.insert(key, &b"sixteen bytes or"[..]).expect("it can be written");
        drop(records);
        transaction.commit().expect("it can be written");
    }
    let shown = r"default/secrets/\xff\xfe\\\x0a";
    drop(stored.store_command(&["check"]).failure().says(&format!("  {shown}: ")));
    let wrong = r"default/secrets/\xff\xfe\";
    drop(stored.store_command(&["repair", "--remove", wrong]).failure().says("backslash"));
    let said = stored.store_command(&["repair", "--remove", shown]).success();
    assert!(said.stdout.contains(&format!("{shown}: removed")), "{said}");
    drop(stored.store_command(&["check"]).success());
}
