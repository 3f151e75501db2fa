//! The key of a tenant cannot be read: nothing takes its place before it is given up by name, and a backup brings it back.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use chancery_integration::gateway::{binary, chancery};
use chancery_integration::site;
use serde_json::{Value, json};

use crate::damage::{SECRET, Stored, full, has_all, tear, text};

const KEY_OF_DEFAULT: &str = "_/seal/key/default/00000001";

fn aside(stored: &Stored) -> PathBuf {
    stored.store().with_extension("redb.damaged")
}

fn draft(stored: &Stored) -> PathBuf {
    stored.store().with_extension("rebuilding")
}

/// Its last repair, as it is on record.
fn on_record(stored: &Stored) -> Value {
    let log = fs::read_to_string(stored.site.path().join("state/audit/audit.jsonl"));
    let log = log.expect("there is a log");
    let mut lines = log.lines().map(|line| serde_json::from_str::<Value>(line).expect("JSON"));
    lines.rfind(|line| line["operation"] == "store.repair").expect("it is on record")
}

/// The leaf of the seal is gone, with all keys and with what shows the root key.
#[test]
fn keys_that_cannot_be_read_come_from_the_backup() {
    let (stored, backup) = full();
    let image = tear(&stored, KEY_OF_DEFAULT);
    drop(stored.store_command(&["check"]).failure().says("the file is damaged"));
    let said = stored.store_command(&["repair", "--rebuild"]).failure();
    for part in ["nothing is changed", "--from BACKUP"] {
        assert!(said.stderr.contains(part), "{part}: {said}");
    }
    assert!(fs::read(stored.store()).expect("there is a store") == image);
    assert!(!aside(&stored).exists() && !draft(&stored).exists());

    let repair = ["repair", "--rebuild", "--from", text(&backup), "--older"];
    let said = stored.store_command(&repair).success();
    let taken = format!("{KEY_OF_DEFAULT}: taken from the backup\n");
    assert!(said.stdout.contains(&taken) && said.stdout.contains("every record opens"), "{said}");
    let line = on_record(&stored);
    assert!(line["details"]["restored"].to_string().contains(KEY_OF_DEFAULT), "{line}");
    let gateway = stored.start();
    has_all(&gateway);
    let body = json!({ "data": { "password": "new" } });
    drop(gateway.app().post("/v1/secret/data/app/a", &body).expect(200));
    drop(gateway.stop());
    drop(stored.store_command(&["check"]).success().says("all of which open"));
}

/// One key is missing without a word, and another leaf is gone.
#[test]
fn a_key_is_given_up_by_the_name_of_its_tenant_only_and_may_come_back() {
    let (stored, backup) = full();
    stored.take_away(KEY_OF_DEFAULT);
    let image = tear(&stored, SECRET);
    let lacks = "the tenant default lacks 1 of its keys (1)";
    drop(stored.store_command(&["check"]).failure().says(lacks));
    let rebuild = ["repair", "--rebuild"];
    let with = |more: &[&str]| stored.store_command(&[&rebuild[..], more].concat());
    let said = with(&[]).failure();
    for part in [lacks, "nothing is changed", "--from BACKUP", "--accept-loss 'default'"] {
        assert!(said.stderr.contains(part), "{part}: {said}");
    }
    drop(with(&["--accept-loss", "nobody"]).failure().says("no key of this tenant is missing"));
    assert!(fs::read(stored.store()).expect("there is a store") == image);
    assert!(!aside(&stored).exists() && !draft(&stored).exists());
    drop(stored.refuses().says("chancery store check"));

    let said = with(&["--accept-loss", "default"]).failure();
    for part in ["the file is made anew of", "given up: ", lacks, "still damaged"] {
        assert!(said.stdout.contains(part), "{part}: {said}");
    }
    let line = on_record(&stored);
    assert_eq!(line["details"]["accepted_loss"], "default", "{line}");
    assert!(line["details"]["lost_records"].as_u64().is_some_and(|count| count > 40), "{line}");
    assert!(line["details"]["left_count"].as_u64().is_some_and(|count| count > 40), "{line}");

    // A backup turns up: no other key has the place of the old one.
    let said = stored.store_command(&["repair", "--from", text(&backup)]).success();
    assert!(said.stdout.contains(&format!("{KEY_OF_DEFAULT}: taken from the backup\n")), "{said}");
    let gateway = stored.start();
    for number in [0, 39] {
        let path = format!("/v1/secret/data/app/many/{number:02}");
        drop(gateway.app().get(&path).expect(200));
    }
}

/// Nothing of the CA and of the audit log opens without the keys of what belongs to the installation.
#[test]
fn the_keys_of_the_installation_are_not_given_up() {
    let (stored, backup) = full();
    stored.take_away("_/seal/key/_/");
    let image = tear(&stored, SECRET);
    // It is not offered either.
    let said = stored.store_command(&["repair", "--rebuild"]).failure();
    assert!(!said.stderr.contains("--accept-loss"), "{said}");
    assert!(said.stderr.contains("chancery backup restore"), "{said}");
    let accept = ["repair", "--rebuild", "--accept-loss", "_"];
    let said = stored.store_command(&accept).failure();
    assert!(said.stderr.contains("the audit log's key does not open"), "{said}");
    assert!(fs::read(stored.store()).expect("there is a store") == image);
    let repair = ["repair", "--rebuild", "--older", "--from", text(&backup)];
    drop(stored.store_command(&repair).success());
    has_all(&stored.start());
}

/// The leaf has what a passphrase becomes the root key with.
#[test]
fn what_the_root_key_is_made_of_comes_from_the_backup() {
    let (stored, _) = full();
    let passphrase = stored.site.write("passphrase", "correct horse battery staple");
    site::private(&passphrase);
    let config = stored.site.path().join("state/chancery.toml");
    let rotate = ["root-key", "rotate", "--config", text(&config), "--passphrase-file"];
    drop(chancery(&[&rotate[..], &[text(&passphrase)]].concat()).success());
    let written = fs::read_to_string(&config).expect("it can be read");
    let mut table: toml::Table = written.parse().expect("it is TOML");
    let seal = table["seal"].as_table_mut().expect("a table");
    seal.remove("root_key_file");
    seal.insert("passphrase_file".to_owned(), text(&passphrase).into());
    fs::write(&config, table.to_string()).expect("it can be written");
    let backup = stored.site.path().join("passphrase.backup");
    let create = ["backup", "create", "--config", text(&config), "--out", text(&backup)];
    drop(chancery(&create).success());

    tear(&stored, "_/seal/passphrase");
    drop(stored.store_command(&["repair", "--rebuild"]).failure().says("nothing is changed"));
    let repair = ["repair", "--rebuild", "--older", "--from", text(&backup)];
    let said = stored.store_command(&repair).success();
    assert!(said.stdout.contains("_/seal/passphrase: taken from the backup\n"), "{said}");
    drop(stored.store_command(&["check"]).success().says("all of which open"));
}

/// The newest key came after the backup, which has the one before.
#[test]
fn a_backup_that_is_older_than_the_newest_key_brings_back_the_others_only() {
    let (stored, backup) = full();
    drop(stored.store_command(&["restored"]).success());
    let gateway = stored.start();
    let body = json!({ "data": { "password": "newer" } });
    drop(gateway.app().post("/v1/secret/data/app/newer", &body).expect(200));
    drop(gateway.stop());
    let whole = fs::read(stored.store()).expect("there is a store");

    // The newest is there, and stays.
    stored.take_away(KEY_OF_DEFAULT);
    tear(&stored, SECRET);
    let repair = ["repair", "--rebuild", "--older", "--from", text(&backup)];
    let said = stored.store_command(&repair).success();
    assert!(said.stdout.contains(&format!("{KEY_OF_DEFAULT}: taken from the backup\n")), "{said}");
    let gateway = stored.start();
    has_all(&gateway);
    let newer = "/v1/secret/data/app/newer";
    assert_eq!(gateway.app().get(newer).expect(200).json()["data"]["data"]["password"], "newer");
    drop(gateway.stop());

    // Both are missing, and only one is in the backup.
    fs::remove_file(aside(&stored)).expect("it is there");
    fs::write(stored.store(), whole).expect("it can be written");
    stored.take_away("_/seal/key/default/");
    tear(&stored, SECRET);
    let said = stored.store_command(&repair).failure();
    let lacks = "the tenant default lacks 1 of its keys (2)";
    assert!(said.stderr.contains(lacks) && said.stderr.contains("nothing is changed"), "{said}");
    let accept = [&repair[..], &["--accept-loss", "default"]].concat();
    drop(stored.store_command(&accept).failure().says("given up: "));
}

/// A gateway that runs into it makes no key either: a record is not overwritten by what nobody can undo.
#[test]
fn a_damaged_key_is_given_up_in_place() {
    let (stored, backup) = full();
    let damaged = stored.damage(KEY_OF_DEFAULT);
    let remove = ["repair", "--remove", &damaged];
    drop(stored.store_command(&remove).failure().says("--accept-loss 'default'"));
    drop(stored.refuses().says(&damaged));
    let accept = ["repair", "--accept-loss", "default"];
    drop(stored.store_command(&accept).failure().says("given up: "));
    assert_eq!(on_record(&stored)["details"]["accepted_loss"], "default");
    drop(stored.store_command(&["repair", "--from", text(&backup)]).success());
    has_all(&stored.start());
}

/// One disk had both. The line about the repair needs a log, and the log a store.
#[test]
fn a_damaged_store_comes_back_without_its_audit_log() {
    let (stored, _) = full();
    tear(&stored, SECRET);
    fs::remove_dir_all(stored.site.path().join("state/audit")).expect("there is a log");
    let rebuild = ["repair", "--rebuild"];
    let said = stored.store_command(&rebuild).failure();
    for part in ["did not come to its end", "chancery audit accept-loss"] {
        assert!(said.stderr.contains(part), "{part}: {said}");
    }
    let config = stored.site.path().join("state/chancery.toml");
    let accept = ["audit", "accept-loss", "--config", text(&config), "--reason", "the disk died"];
    drop(chancery(&accept).success().says("goes on with line"));
    // A gateway waits for the end of the repair all the same.
    drop(stored.refuses().says("that repair did not come to its end"));
    let said = stored.store_command(&rebuild).success();
    for part in ["the file is made anew of", "make a backup now", "every record opens"] {
        assert!(said.stdout.contains(part), "{part}: {said}");
    }
    assert!(on_record(&stored)["details"]["rebuilt"].is_u64());
    drop(stored.start().app().get("/v1/secret/data/app/a").expect(200));
}

/// How far a repair has come, by the files that there are.
type Stage = fn(&Stored) -> bool;

/// Wherever it is killed, the next run ends it.
#[test]
fn a_repair_that_is_killed_anywhere_brings_the_keys_back_in_the_next_run() {
    let (stored, backup) = full();
    let image = tear(&stored, KEY_OF_DEFAULT);
    let config = stored.site.path().join("state/chancery.toml");
    let arguments = ["repair", "--rebuild", "--from", text(&backup), "--older"];
    let stages: [(&str, Stage); 4] = [
        ("begun", |stored| draft(stored).exists()),
        ("filled", |stored| fs::metadata(draft(stored)).is_ok_and(|draft| draft.len() > 0)),
        ("moved", |stored| aside(stored).exists()),
        ("placed", |stored| aside(stored).exists() && stored.store().exists()),
    ];
    let mut killed = 0;
    for (name, stage) in stages.into_iter().chain(stages) {
        for left in [aside(&stored), draft(&stored)] {
            drop(fs::remove_file(left));
        }
        fs::write(stored.store(), &image).expect("the store can be written");
        let mut command = Command::new(binary());
        command.arg("store").args(arguments).arg("--config").arg(&config);
        let mut child = command.stdout(Stdio::null()).spawn().expect("it can be started");
        // It comes so far, or ends.
        while child.try_wait().expect("it can be asked").is_none() && !stage(&stored) {
            std::thread::yield_now();
        }
        child.kill().expect("it can be killed");
        let ended = child.wait().expect("it can be waited for");
        killed += u32::from(!ended.success());
        if !ended.success() {
            drop(stored.refuses());
        }
        let said = stored.store_command(&arguments);
        assert!(said.status.success(), "{name}: {said}");
        drop(stored.store_command(&["check"]).success().says("all of which open"));
        let line = on_record(&stored);
        assert!(
            line["details"]["restored"].to_string().contains(KEY_OF_DEFAULT) || ended.success()
        );
    }
    assert!(killed > 2, "{killed}: it was never killed in the middle");
    has_all(&stored.start());
}
