//! Files and directories that somebody else has a hand in.

use std::fs::{Permissions, set_permissions};
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;

use chancery_audit::{OpenError, accept_loss};
use chancery_files::Untrusted;
use chancery_identity::Clock;
use jiff::Timestamp;

use crate::setup::{config, event, open, verify_with_key, write};

fn let_all_write(path: &Path) {
    set_permissions(path, Permissions::from_mode(0o777)).unwrap();
}

#[tokio::test]
async fn a_log_in_a_directory_that_others_may_write_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("audit/audit.jsonl");
    write(&log, 1).await;
    let_all_write(log.parent().unwrap());
    let refused = open(&log).await.unwrap_err();
    assert!(matches!(refused, OpenError::Untrusted(Untrusted::Writable { .. })), "{refused}");
    assert!(refused.to_string().contains("chmod go-w"), "{refused}");
    let clock = Clock::manual(Timestamp::UNIX_EPOCH);
    let accepted = accept_loss(config(&log), "because", "root", &clock).await;
    assert!(accepted.unwrap_err().to_string().contains("chmod go-w"));
}

#[tokio::test]
async fn a_log_that_others_may_write_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("audit.jsonl");
    write(&log, 1).await;
    let_all_write(&log);
    let refused = open(&log).await.unwrap_err();
    assert!(matches!(refused, OpenError::Untrusted(Untrusted::Writable { .. })), "{refused}");
}

#[tokio::test]
async fn nothing_is_written_through_a_link_in_place_of_the_log() {
    let dir = tempfile::tempdir().unwrap();
    let (log, elsewhere) = (dir.path().join("audit.jsonl"), dir.path().join("elsewhere"));
    std::fs::write(&elsewhere, "theirs").unwrap();
    symlink(&elsewhere, &log).unwrap();
    let refused = open(&log).await.unwrap_err();
    assert!(matches!(refused, OpenError::Untrusted(Untrusted::Link(_))), "{refused}");
    assert_eq!(std::fs::read(&elsewhere).unwrap(), b"theirs");

    // Nor while it runs: the next file does not take the place of a link either.
    std::fs::remove_file(&log).unwrap();
    let audit = open(&log).await.unwrap();
    let moved = dir.path().join("audit.jsonl.1");
    std::fs::rename(&log, &moved).unwrap();
    symlink(&moved, &log).unwrap();
    let refused = audit.reopen().await.unwrap_err().to_string();
    assert!(refused.contains("is in the way"), "{refused}");
}

/// The name that drafts once had, which everybody could know.
#[tokio::test]
async fn nothing_is_written_through_a_link_in_place_of_a_draft() {
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("audit.jsonl");
    let elsewhere = dir.path().join("elsewhere");
    std::fs::write(&elsewhere, "theirs").unwrap();
    for name in ["audit.jsonl.new", "audit.jsonl.head.new"] {
        symlink(&elsewhere, dir.path().join(name)).unwrap();
    }
    let audit = open(&log).await.unwrap();
    audit.record(event("0")).await.unwrap();
    std::fs::rename(&log, dir.path().join("audit.jsonl.1")).unwrap();
    assert!(audit.reopen().await.unwrap());
    audit.close().await;
    assert_eq!(std::fs::read(&elsewhere).unwrap(), b"theirs");
    verify_with_key(&log).unwrap_err();
    write(&log, 1).await;
}

#[tokio::test]
async fn the_files_of_a_log_are_its_owners() {
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("audit/audit.jsonl");
    write(&log, 1).await;
    let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(log.parent().unwrap()), 0o700);
    assert_eq!((mode(&log), mode(&crate::setup::head_of(&log))), (0o600, 0o600));
}
