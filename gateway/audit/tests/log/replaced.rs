//! Logs that are sound and not the last: older ones, shortened ones, none. The mark shows them.

use std::path::Path;

use chancery_audit::{
    AcceptLossError, Audit, Checks, KnownMark, Loss, OpenError, VerifyError, accept_loss, verify,
};
use chancery_identity::Clock;
use jiff::Timestamp;

use crate::setup::{
    config, event, head_of, key, lines, mark_of, open, operations, resources, store_of, values,
    write,
};

/// The log and its head.
fn pair(log: &Path) -> (Vec<u8>, Vec<u8>) {
    (std::fs::read(log).unwrap(), std::fs::read(head_of(log)).unwrap())
}

fn put_back(log: &Path, (lines, head): &(Vec<u8>, Vec<u8>)) {
    std::fs::write(log, lines).unwrap();
    std::fs::write(head_of(log), head).unwrap();
}

fn verify_with_mark(log: &Path) -> Result<(), VerifyError> {
    let (key, mark) = (key(), mark_of(log));
    let checks = Checks { key: Some(&key), mark: Some(&mark), ..Checks::default() };
    verify(&[log.to_owned()], &checks).map(drop)
}

async fn accept(log: &Path) -> Result<chancery_audit::AcceptedLoss, AcceptLossError> {
    let clock = Clock::manual(Timestamp::UNIX_EPOCH);
    accept_loss(config(log), "the disk died", "root", &clock).await
}

#[tokio::test]
async fn an_older_log_with_its_own_head_is_refused_and_not_verified() {
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("audit.jsonl");
    write(&log, 3).await;
    let older = pair(&log);
    write(&log, 3).await;
    verify_with_mark(&log).unwrap();
    put_back(&log, &older);
    // By itself it is whole.
    crate::setup::verify_with_key(&log).unwrap();
    let short = verify_with_mark(&log).unwrap_err();
    assert!(matches!(short, VerifyError::Short { last: 5, lines: 9, .. }), "{short}");
    let refused = open(&log).await.unwrap_err().to_string();
    assert!(refused.contains("line 9 of the store's mark is not in it"), "{refused}");
    assert!(refused.contains("accept-loss"), "{refused}");
}

#[tokio::test]
async fn no_log_where_there_was_one_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("audit.jsonl");
    write(&log, 3).await;
    std::fs::remove_file(&log).unwrap();
    std::fs::remove_file(head_of(&log)).unwrap();
    let refused = open(&log).await.unwrap_err().to_string();
    assert!(refused.contains("line 5 was written, and the file"), "{refused}");
    assert!(!log.exists(), "nothing was begun");
}

#[tokio::test]
async fn lines_cut_off_behind_the_head_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("audit.jsonl");
    let audit = open(&log).await.unwrap();
    let mark = std::fs::read(store_of(&log)).unwrap();
    for n in 0..3 {
        audit.record(event(n.to_string())).await.unwrap();
    }
    audit.close().await;
    // The mark is behind, so only the head tells.
    std::fs::write(store_of(&log), mark).unwrap();
    std::fs::write(&log, lines(&log)[..2].concat()).unwrap();
    let refused = open(&log).await.unwrap_err().to_string();
    assert!(refused.contains("it ends with line 2, where its head seals line 5"), "{refused}");
    std::fs::remove_file(head_of(&log)).unwrap();
    let refused = open(&log).await.unwrap_err();
    assert!(matches!(refused, OpenError::Head { .. }), "{refused}");
}

#[tokio::test]
async fn a_mark_that_is_gone_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("audit.jsonl");
    write(&log, 3).await;
    let mut config = config(&log);
    config.marks.known = KnownMark::Missing;
    let refused = Audit::open(config, Clock::manual(Timestamp::UNIX_EPOCH)).await.unwrap_err();
    assert!(refused.to_string().contains("has none any more"), "{refused}");
}

#[tokio::test]
async fn a_mark_that_cannot_be_stored_is_an_error_of_the_start() {
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("audit.jsonl");
    let mut config = config(&log);
    config.marks.write = std::sync::Arc::new(|_| Box::pin(async { Err("no room".to_owned()) }));
    let refused = Audit::open(config, Clock::manual(Timestamp::UNIX_EPOCH)).await.unwrap_err();
    assert!(refused.to_string().contains("its mark could not be stored: no room"), "{refused}");
    // It is begun, and taken up as soon as the store is well.
    write(&log, 1).await;
    assert_eq!(operations(&log)[0], "audit.begin");
}

#[tokio::test]
async fn the_mark_is_that_of_the_last_line_when_the_log_is_closed() {
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("audit.jsonl");
    write(&log, 3).await;
    assert_eq!(mark_of(&log).lines(), 5);
    assert!(lines(&log)[4].contains(mark_of(&log).hash()));
}

#[tokio::test]
async fn an_operator_accepts_a_loss_on_the_record() {
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("audit.jsonl");
    write(&log, 3).await;
    let older = pair(&log);
    write(&log, 3).await;
    assert!(matches!(accept(&log).await, Err(AcceptLossError::NothingMissing)));
    put_back(&log, &older);

    let accepted = accept(&log).await.unwrap();
    assert_eq!(accepted.line, 10);
    let aside = log.with_file_name(accepted.set_aside.unwrap());
    assert_eq!(std::fs::read(&aside).unwrap(), older.0);
    let first = &values(&log)[0];
    assert_eq!(first["operation"], "audit.accept-loss");
    assert_eq!(first["details"]["reason"], "the disk died");
    assert_eq!(first["details"]["by"], "root");
    assert_eq!(first["details"]["marked_line"], 9);

    // It goes on, and what is missing stays known.
    write(&log, 2).await;
    assert_eq!(resources(&log), ["0", "1"]);
    let (key, mark, public_key) = (key(), mark_of(&log), crate::setup::public_key());
    let checks = Checks {
        key: Some(&key),
        mark: Some(&mark),
        public_key: Some(&public_key),
        ..Checks::default()
    };
    let verified = verify(&[log.clone(), aside.clone()], &checks).unwrap();
    let loss = Loss {
        from: 6,
        to: 9,
        line: 10,
        time: "1970-01-01T00:00:00Z".to_owned(),
        reason: "the disk died".to_owned(),
    };
    assert_eq!(verified.losses, [loss]);
    assert_eq!((verified.lines, verified.last), (9, 13));
    assert!(
        verify(std::slice::from_ref(&log), &checks).is_err(),
        "the lines before were not given"
    );
    verify(std::slice::from_ref(&log), &Checks { from: 10, ..checks }).unwrap();
    assert!(matches!(accept(&log).await, Err(AcceptLossError::NothingMissing)));
}

#[tokio::test]
async fn a_loss_is_accepted_whatever_is_missing() {
    for what in ["all", "head", "mark", "changed"] {
        let dir = tempfile::tempdir().unwrap();
        let log = dir.path().join("audit.jsonl");
        write(&log, 3).await;
        let mut config = config(&log);
        match what {
            "all" => {
                std::fs::remove_file(&log).unwrap();
                std::fs::remove_file(head_of(&log)).unwrap();
            }
            "head" => std::fs::remove_file(head_of(&log)).unwrap(),
            "mark" => config.marks.known = KnownMark::Missing,
            _ => {
                let mut lines = lines(&log);
                let last = lines.len() - 1;
                lines[last] = lines[last].replace("stop", "step");
                std::fs::write(&log, lines.concat()).unwrap();
            }
        }
        let clock = Clock::manual(Timestamp::UNIX_EPOCH);
        let accepted = accept_loss(config, "x", "root", &clock).await;
        let accepted = accepted.unwrap_or_else(|error| panic!("{what}: {error}"));
        // No number is given twice.
        assert_eq!(accepted.line, 6, "{what}");
        write(&log, 1).await;
        let key = key();
        let checks = Checks { key: Some(&key), from: 6, ..Checks::default() };
        verify(&[log], &checks).unwrap();
    }
}

#[tokio::test]
async fn a_crash_while_a_loss_is_accepted_is_no_obstacle() {
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("audit.jsonl");
    write(&log, 3).await;
    let (mark, older) = (std::fs::read(store_of(&log)).unwrap(), pair(&log));
    let mut shorter = older.clone();
    shorter.0.truncate(shorter.0.len() - 100);
    put_back(&log, &shorter);
    // After the file was set aside: as if there were none.
    std::fs::rename(&log, dir.path().join("audit.set-aside-x.jsonl")).unwrap();
    accept(&log).await.unwrap();
    // After the new file was begun, before its mark was stored.
    std::fs::write(store_of(&log), mark).unwrap();
    assert!(open(&log).await.is_err());
    let accepted = accept(&log).await.unwrap();
    assert_eq!(accepted.line, 7);
    write(&log, 1).await;
}
