//! What somebody without any secret can check.

use std::time::Duration;

use chancery_audit::{Audit, Checkpoint, Checks, PublicKey, Seal, Verified, VerifyError, verify};
use chancery_identity::Clock;
use jiff::Timestamp;

use crate::setup::{config, event, lines, name, operations, public_key, write};
use crate::tampering::{hash, rehash};

fn check(log: &std::path::Path, kept: &[Checkpoint]) -> Result<Verified, VerifyError> {
    let key = public_key();
    let checks = Checks { public_key: Some(&key), kept, ..Checks::default() };
    verify(&[log.to_owned()], &checks)
}

fn newest(log: &std::path::Path) -> Checkpoint {
    let note = std::fs::read_to_string(log.with_extension("jsonl.checkpoint")).unwrap();
    note.parse().unwrap()
}

#[tokio::test]
async fn the_public_key_verifies_what_was_signed() {
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("audit.jsonl");
    write(&log, 3).await;
    write(&log, 3).await;
    let verified = check(&log, &[]).unwrap();
    assert_eq!(verified.lines, 9);
    let signatures = verified.checkpoints;
    assert_eq!((signatures.all, signatures.signed, signatures.lines), (2, 2, 8));
    assert_eq!(verified.seal, Seal::Unchecked);
    let written = std::fs::read_to_string(log.with_extension("jsonl.pub")).unwrap();
    assert_eq!(written.parse::<PublicKey>(), Ok(public_key()));

    let stranger = "other.example/audit".parse().unwrap();
    let stranger = PublicKey::of(stranger, &crate::setup::key());
    let checks = Checks { public_key: Some(&stranger), ..Checks::default() };
    let never = verify(&[log], &checks).unwrap_err();
    assert!(matches!(never, VerifyError::NeverSigned { .. }), "{never}");
}

#[tokio::test]
async fn whoever_recomputes_the_chain_cannot_sign_it() {
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("audit.jsonl");
    write(&log, 3).await;
    let mut lines = lines(&log);
    lines.truncate(4);
    lines[3] = rehash(&lines[3].replace("secrets.read", "secrets.list"));
    std::fs::write(&log, lines.concat()).unwrap();
    std::fs::remove_file(log.with_extension("jsonl.head")).unwrap();
    // Without the public key, nothing is wrong with it.
    verify(std::slice::from_ref(&log), &Checks::default()).unwrap();
    assert!(matches!(check(&log, &[]), Err(VerifyError::NeverSigned { .. })));
}

#[tokio::test]
async fn a_checkpoint_that_somebody_kept_shows_a_replaced_or_shortened_log() {
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("audit.jsonl");
    write(&log, 3).await;
    let shorter =
        (std::fs::read(&log).unwrap(), std::fs::read(crate::setup::head_of(&log)).unwrap());
    let first = newest(&log);
    write(&log, 3).await;
    let second = newest(&log);
    assert_eq!((first.lines, second.lines), (4, 8));
    check(&log, &[first.clone(), second.clone()]).unwrap();

    std::fs::write(&log, &shorter.0).unwrap();
    std::fs::write(crate::setup::head_of(&log), &shorter.1).unwrap();
    check(&log, std::slice::from_ref(&first)).unwrap();
    let short = check(&log, &[first.clone(), second]).unwrap_err();
    assert!(matches!(short, VerifyError::Short { last: 5, lines: 8, .. }), "{short}");

    // Another log with the same key, as after the store and the log were put back together.
    let other = dir.path().join("other/audit.jsonl");
    std::fs::create_dir(dir.path().join("other")).unwrap();
    write(&other, 7).await;
    let replaced = check(&other, &[first]).unwrap_err();
    assert!(matches!(replaced, VerifyError::Other { line: 4, .. }), "{replaced}");
}

#[tokio::test]
async fn a_forged_checkpoint_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("audit.jsonl");
    write(&log, 3).await;
    let genuine = newest(&log);
    let note = std::fs::read_to_string(log.with_extension("jsonl.checkpoint")).unwrap();
    let forged: Checkpoint = note.replace("\n4\n", "\n3\n").parse().unwrap();
    let unsigned = check(&log, &[genuine, forged]).unwrap_err();
    assert!(
        matches!(
            unsigned,
            VerifyError::Unsigned { lines: 3, .. } | VerifyError::Other { line: 3, .. }
        ),
        "{unsigned}"
    );

    // One among the lines: its statement fits, and its signature is none.
    let mut lines = lines(&log);
    let at = lines[4].find("\\n\\n— ").unwrap() + "\\n\\n— gw.example/audit ".len() + 20;
    let other = if lines[4].as_bytes()[at] == b'A' { "B" } else { "A" };
    lines[4].replace_range(at..=at, other);
    lines[4] = rehash(&lines[4]);
    std::fs::write(&log, lines.concat()).unwrap();
    std::fs::remove_file(log.with_extension("jsonl.head")).unwrap();
    assert!(matches!(check(&log, &[]), Err(VerifyError::Unsigned { lines: 4, .. })));
    assert_ne!(hash(&lines[4]), hash(&lines[3]));
}

#[tokio::test(start_paused = true)]
async fn a_log_that_grows_is_signed_at_intervals() {
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("audit.jsonl");
    let clock = Clock::manual(Timestamp::UNIX_EPOCH);
    let mut config = config(&log);
    config.checkpoints = Duration::from_mins(10);
    let audit = Audit::open(config, clock.clone()).await.unwrap();
    audit.record(event("a")).await.unwrap();
    // Time goes on for the log, and so it does for its task.
    for _ in 0..3 {
        clock.advance(Duration::from_mins(10));
        tokio::time::sleep(Duration::from_mins(10)).await;
        // Its answer comes after whatever was asked before.
        assert!(!audit.reopen().await.unwrap());
    }
    let expected = ["audit.begin", "secrets.read", "audit.checkpoint"];
    assert_eq!(operations(&log), expected, "once, since nothing else was written");
    audit.record(event("b")).await.unwrap();
    audit.close().await;
    assert_eq!(operations(&log).len(), 5);
    assert_eq!(name().to_string(), newest(&log).origin);
}
