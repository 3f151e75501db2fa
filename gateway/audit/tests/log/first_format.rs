//! Logs of gateways whose lines had no MAC and whose store had no mark.

use std::fmt::Write as _;
use std::path::Path;

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::hmac;
use chancery_audit::{Audit, Checks, Kind, KnownMark, OpenError, VerifyError, verify};
use chancery_identity::Clock;
use jiff::Timestamp;

use crate::setup::{
    config, head_of, key, key_bytes, lines, mark_of, open, operations, values, write,
};

/// A log as such a gateway left it.
fn old_log(log: &Path, count: u64) {
    let (mut text, mut prev, mut start) = (String::new(), "0".repeat(64), 0);
    for seq in 1..=count {
        start = text.len();
        let body = format!(
            r#"{{"seq":{seq},"time":"1970-01-01T00:00:00Z","operation":"secrets.read","resource":"{seq}","prev":"{prev}""#
        );
        prev = hex::encode(digest(&SHA256, body.as_bytes()));
        writeln!(text, "{body},\"hash\":\"{prev}\"}}").unwrap();
    }
    std::fs::write(log, &text).unwrap();
    let head = format!("chancery-audit-head 1 {count:020} {prev} {start:020} {:020}", text.len());
    let sign = |key: &[u8], text: &str| {
        hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), text.as_bytes())
    };
    let key = sign(&key_bytes(), "chancery audit head 1");
    let mac = hex::encode(sign(key.as_ref(), &head));
    std::fs::write(head_of(log), format!("{head} {mac}\n")).unwrap();
}

async fn upgrade(log: &Path) -> Result<Audit, OpenError> {
    let mut config = config(log);
    config.marks.known = KnownMark::NeverKept;
    Audit::open(config, Clock::manual(Timestamp::UNIX_EPOCH)).await
}

#[tokio::test]
async fn a_log_without_macs_is_continued_and_that_is_recorded() {
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("audit.jsonl");
    old_log(&log, 5);
    let before = std::fs::read_to_string(&log).unwrap();
    upgrade(&log).await.unwrap().close().await;
    assert!(std::fs::read_to_string(&log).unwrap().starts_with(&before));
    let line = &values(&log)[5];
    assert_eq!(line["operation"], "audit.upgrade");
    assert_eq!(line["details"]["lines_without_mac"], 5);
    assert!(line["mac"].is_string());

    // From now on it is a log like any other.
    write(&log, 1).await;
    let (key, mark) = (key(), mark_of(&log));
    let checks = Checks { key: Some(&key), mark: Some(&mark), ..Checks::default() };
    let verified = verify(std::slice::from_ref(&log), &checks).unwrap();
    assert_eq!(verified.without_mac, 5);
    assert_eq!(operations(&log).iter().filter(|name| *name == "audit.upgrade").count(), 1);

    // What is before the upgrade is pinned by it.
    let mut changed = lines(&log);
    changed[2] = changed[2].replace("secrets.read", "secrets.list");
    let body = changed[2].rsplit_once(",\"hash\":").unwrap().0.to_owned();
    let hash = hex::encode(digest(&SHA256, body.as_bytes()));
    changed[2] = format!("{body},\"hash\":\"{hash}\"}}\n");
    std::fs::write(&log, changed.concat()).unwrap();
    match verify(&[log], &checks) {
        Err(VerifyError::Broken { finding, .. }) => assert_eq!(finding.kind, Kind::Changed),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn an_interrupted_upgrade_is_taken_up() {
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("audit.jsonl");
    old_log(&log, 5);
    upgrade(&log).await.unwrap().close().await;
    // The line is there, the mark was not stored.
    upgrade(&log).await.unwrap().close().await;
    assert_eq!(operations(&log).iter().filter(|name| *name == "audit.upgrade").count(), 1);
    // In the middle of the line.
    let half = dir.path().join("half.jsonl");
    old_log(&half, 5);
    let text = std::fs::read_to_string(&half).unwrap();
    std::fs::write(&half, text + &lines(&log)[5][..100]).unwrap();
    upgrade(&half).await.unwrap().close().await;
    assert_eq!(operations(&half)[5..], ["audit.upgrade", "audit.recover", "audit.checkpoint"]);
}

#[tokio::test]
async fn a_log_without_macs_is_refused_if_its_head_does_not_vouch_for_it() {
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("audit.jsonl");
    old_log(&log, 5);
    let whole = lines(&log);
    std::fs::write(&log, whole[..4].concat()).unwrap();
    assert!(upgrade(&log).await.unwrap_err().to_string().contains("where its head seals line 5"));
    let mut changed = whole.clone();
    changed[2] = changed[2].replace("secrets.read", "secrets.list");
    std::fs::write(&log, changed.concat()).unwrap();
    assert!(upgrade(&log).await.is_err(), "a line in its middle was changed");
    std::fs::write(&log, whole.concat()).unwrap();
    std::fs::remove_file(head_of(&log)).unwrap();
    assert!(upgrade(&log).await.unwrap_err().to_string().contains("head is missing"));
}

#[tokio::test]
async fn a_log_without_macs_does_not_pass_where_there_was_a_mark() {
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("audit.jsonl");
    write(&log, 3).await;
    old_log(&log, 9);
    assert!(open(&log).await.is_err());
}

#[tokio::test]
async fn there_need_be_no_log_before_the_first_mark() {
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("audit.jsonl");
    upgrade(&log).await.unwrap().close().await;
    write(&log, 1).await;
    assert_eq!(operations(&log)[0], "audit.begin");
}
