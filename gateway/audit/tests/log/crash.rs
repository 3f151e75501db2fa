use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use chancery_audit::{Audit, Checks, Verified, files_of, verify};
use chancery_identity::Clock;

use crate::setup::{
    config, event, head_of, key, lines, mark_of, open, operations, resources, store_of, values,
    verify_bare, verify_with_key, write,
};

const CHILD: &str = "CHANCERY_AUDIT_TEST_LOG";

#[test]
fn what_was_acknowledged_before_a_sigkill_is_on_record() {
    if let Some(log) = std::env::var_os(CHILD) {
        record_until_killed(&PathBuf::from(log));
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("audit.jsonl");
    let mut acknowledged = BTreeSet::new();
    for round in 1..=3 {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "--nocapture"])
            .arg("crash::what_was_acknowledged_before_a_sigkill_is_on_record")
            .env(CHILD, &log)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let reader = BufReader::new(child.stdout.take().unwrap());
        let acks = reader.lines().map(Result::unwrap);
        let acks = acks.filter_map(|line| line.strip_prefix("acknowledged ").map(str::to_owned));
        acknowledged.extend(acks.take(200 * round));
        child.kill().unwrap();
        child.wait().unwrap();
        check(&log);
    }
    assert_eq!(acknowledged.len(), 1200);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(write(&log, 1));
    assert_eq!(check(&log).torn_bytes, 0);
    let files = files_of(&log).unwrap();
    assert!(files.len() > 5, "it was killed between files, too: {files:?}");
    let written: BTreeSet<_> = files.iter().flat_map(|file| resources(file)).collect();
    let lost: Vec<_> = acknowledged.difference(&written).collect();
    assert!(lost.is_empty(), "{lost:?}");
}

/// All files, with the key and the mark, which is behind at most.
fn check(log: &Path) -> Verified {
    let (key, mark) = (key(), mark_of(log));
    let checks = Checks { key: Some(&key), mark: Some(&mark), ..Checks::default() };
    verify(&files_of(log).unwrap(), &checks).unwrap()
}

#[tokio::main]
async fn record_until_killed(log: &Path) {
    let mut config = config(log);
    config.rotation.bytes = Some(30_000);
    let audit = Audit::open(config, Clock::system()).await.unwrap();
    let tasks: Vec<_> = (0..16)
        .map(|task| {
            let audit = audit.clone();
            tokio::spawn(async move {
                for n in 0.. {
                    let name = format!("{}-{task}-{n}", std::process::id());
                    audit.record(event(&name)).await.unwrap();
                    let line = format!("acknowledged {name}\n");
                    std::io::stdout().lock().write_all(line.as_bytes()).unwrap();
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
}

#[tokio::test]
async fn a_torn_last_line_is_cut_off_and_that_is_recorded() {
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("audit.jsonl");
    write(&log, 3).await;
    let whole = lines(&log);
    assert_eq!(whole.len(), 5);
    let next_line = whole[2].replace("\"seq\":3", "\"seq\":6");
    for (round, cut) in [1, 20, next_line.len() - 1].into_iter().enumerate() {
        let torn = &next_line[..cut];
        let before = lines(&log);
        std::fs::write(&log, before.concat() + torn).unwrap();
        assert_eq!(verify_bare(&log).unwrap().torn_bytes, cut as u64);

        write(&log, 1).await;
        assert_eq!(verify_with_key(&log).unwrap().lines, 5 + 3 * (round as u64 + 1));
        let found = lines(&log);
        assert_eq!(found[..before.len()], before);
        let mended = &values(&log)[before.len()];
        assert_eq!(mended["operation"], "audit.recover");
        assert_eq!(mended["details"]["torn_bytes"], cut);
    }
}

#[tokio::test]
async fn a_head_that_lags_behind_catches_up() {
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("audit.jsonl");
    write(&log, 3).await;
    let old_head = std::fs::read(head_of(&log)).unwrap();
    write(&log, 4).await;
    std::fs::write(head_of(&log), &old_head).unwrap();
    verify_with_key(&log).unwrap();
    write(&log, 1).await;
    verify_with_key(&log).unwrap();
    assert_eq!(resources(&log).len(), 8);
}

#[tokio::test]
async fn beyond_the_mark_nothing_may_be_wrong_either() {
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("audit.jsonl");
    let audit = open(&log).await.unwrap();
    let mark = std::fs::read(store_of(&log)).unwrap();
    audit.record(event("a")).await.unwrap();
    audit.record(event("b")).await.unwrap();
    audit.close().await;
    std::fs::write(store_of(&log), mark).unwrap();
    let whole = lines(&log);
    let mut changed = whole.clone();
    changed[2] = changed[2].replace("secrets.read", "secrets.list");
    std::fs::write(&log, changed.concat()).unwrap();
    let refused = open(&log).await.unwrap_err().to_string();
    assert!(refused.contains("what follows line 2"), "{refused}");
    // As it was, it is ahead of its mark, and taken.
    std::fs::write(&log, whole.concat()).unwrap();
    write(&log, 1).await;
}

#[tokio::test]
async fn a_crash_while_the_log_was_begun_is_no_obstacle() {
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("audit.jsonl");
    let draft = dir.path().join("audit.jsonl.0123456789abcdef.new");
    // Before the first line, or in the middle of it.
    std::fs::write(&draft, "{\"seq\":1,").unwrap();
    write(&log, 1).await;
    assert!(!draft.exists());
    write(&log, 1).await;
    verify_with_key(&log).unwrap();
    assert_eq!(operations(&log).iter().filter(|name| *name == "audit.begin").count(), 1);
}

#[tokio::test]
async fn a_crash_between_the_first_line_and_its_mark_is_no_obstacle() {
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("audit.jsonl");
    write(&log, 0).await;
    let head = std::fs::read_to_string(head_of(&log)).unwrap();
    // The mark of a log that has not begun, and the head that is made before the first line.
    std::fs::remove_file(store_of(&log)).unwrap();
    write(&log, 1).await;
    assert_ne!(std::fs::read_to_string(head_of(&log)).unwrap(), head);
    verify_with_key(&log).unwrap();
}

#[tokio::test]
async fn a_log_in_use_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("audit.jsonl");
    let audit = open(&log).await.unwrap();
    assert!(open(&log).await.unwrap_err().to_string().contains("in use"));
    audit.close().await;
    open(&log).await.unwrap();
}
