use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use chancery_audit::{AuditError, Condition};

use crate::setup::{event, open, resources, verify_with_key};

const CHILD: &str = "CHANCERY_AUDIT_TEST_FULL_DISK";

/// A limit on the size of files stands in for the full disk: like it, it lets a write begin and then
/// refuses the rest.
#[test]
fn a_full_disk_is_an_error_and_leaves_no_half_line() {
    if let Some(log) = std::env::var_os(CHILD) {
        fill(&PathBuf::from(log));
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("audit.jsonl");
    // 128 blocks of 512 (or, in some shells, 1,024) bytes.
    let status = Command::new("sh")
        .args(["-c", r#"trap "" XFSZ; ulimit -f 128; exec "$0" "$@""#])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", "full_disk::a_full_disk_is_an_error_and_leaves_no_half_line"])
        .env(CHILD, &log)
        .status()
        .unwrap();
    assert!(status.success());
    let verified = verify_with_key(&log).unwrap();
    assert_eq!(verified.torn_bytes, 0);
    let written = resources(&log);
    assert_eq!(written.last().unwrap(), "small");
    assert!(written.len() > 2);
}

#[tokio::main]
async fn fill(log: &Path) {
    let audit = open(log).await.unwrap();
    let mut acknowledged = 0;
    let refused = loop {
        match audit.record(event("x".repeat(4_000)).detail("y", "y".repeat(4_000))).await {
            Ok(()) => acknowledged += 1,
            Err(error) => break error,
        }
    };
    assert!(matches!(refused, AuditError::Write(_)), "{refused}");
    assert!(refused.to_string().contains("could not be written"));
    // The file's first line is its own.
    assert_eq!(verify_with_key(log).unwrap().lines, acknowledged + 1);
    // What the refused line had taken is free again.
    audit.record(event("small")).await.unwrap();
    audit.close().await;
}

/// A line of somebody else stands in for the full disk: it makes every write fail until it is gone.
#[tokio::test(start_paused = true)]
async fn the_log_finds_out_by_itself_that_it_can_be_written_again() {
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("audit.jsonl");
    let audit = open(&log).await.unwrap();
    let mut condition = audit.condition();
    assert_eq!(*condition.borrow_and_update(), Condition::Well);
    let whole = std::fs::metadata(&log).unwrap().len();
    let mut foreign = std::fs::OpenOptions::new().append(true).open(&log).unwrap();
    foreign.write_all(b"x").unwrap();
    assert!(matches!(audit.record(event("refused")).await, Err(AuditError::Write(_))));
    assert_eq!(*condition.borrow_and_update(), Condition::Failed);
    foreign.set_len(whole).unwrap();
    // Nobody records anything: the log's own looks do it.
    condition.wait_for(|condition| *condition == Condition::Well).await.unwrap();
    audit.close().await;
    let written = std::fs::read_to_string(&log).unwrap();
    assert!(written.contains(r#""operation":"audit.checkpoint","resource":"retry""#), "{written}");
    assert_eq!(verify_with_key(&log).unwrap().torn_bytes, 0);
}
