//! A log over several files: when the next is begun, what is checked about the row, and what a crash in
//! the middle leaves.

use std::path::{Path, PathBuf};
use std::time::Duration;

use chancery_audit::{
    Audit, Checks, Kind, Rotation, Seal, Verified, VerifyError, files_of, verify,
};
use chancery_identity::Clock;
use jiff::Timestamp;

use crate::setup::{
    config, event, head_of, key, lines, mark_of, open, operations, resources, store_of, values,
    write,
};

fn closed(log: &Path, first: u64) -> PathBuf {
    log.with_file_name(format!("audit-{first:020}.jsonl"))
}

async fn open_small(log: &Path) -> Audit {
    let mut config = config(log);
    config.rotation.bytes = Some(2_500);
    Audit::open(config, Clock::manual(Timestamp::UNIX_EPOCH)).await.unwrap()
}

/// A log over at least four files, with the resources `0` to `19`.
pub(crate) async fn row(log: &Path) -> Vec<PathBuf> {
    let audit = open_small(log).await;
    for n in 0..20 {
        audit.record(event(n.to_string())).await.unwrap();
    }
    audit.close().await;
    let files = files_of(log).unwrap();
    assert!(files.len() >= 4, "{files:?}");
    files
}

fn check(files: &[PathBuf], log: &Path) -> Result<Verified, VerifyError> {
    let (key, mark) = (key(), mark_of(log));
    let checks = Checks { key: Some(&key), mark: Some(&mark), ..Checks::default() };
    verify(files, &checks)
}

#[tokio::test]
async fn a_long_file_is_closed_and_the_next_is_chained_to_it() {
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("audit.jsonl");
    let files = row(&log).await;
    assert_eq!(files.last(), Some(&log));
    let mut sorted = files[..files.len() - 1].to_vec();
    sorted.sort();
    assert_eq!(sorted, files[..files.len() - 1], "names sort as lines do");
    let mut all = vec![];
    for pair in files.windows(2) {
        let (before, after) = (values(&pair[0]), values(&pair[1]));
        let (last, first) = (before.last().unwrap(), &after[0]);
        assert_eq!(last["operation"], "audit.checkpoint");
        assert_eq!(last["resource"], "end-of-file");
        assert_eq!(first["operation"], "audit.begin");
        assert_eq!(first["prev"], last["hash"]);
        let previous = &first["details"]["previous"];
        assert_eq!(previous["last"], last["seq"]);
        assert_eq!(previous["hash"], last["hash"]);
        assert_eq!(previous["closed_for"], "size");
        assert_eq!(previous["name"], pair[0].file_name().unwrap().to_str().unwrap());
        all.extend(resources(&pair[0]));
    }
    all.extend(resources(&log));
    assert_eq!(all, (0..20).map(|n| n.to_string()).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_row_is_verified_in_any_order_and_in_part() {
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("audit.jsonl");
    let mut files = row(&log).await;
    let verified = check(&files, &log).unwrap();
    assert_eq!((verified.files, verified.seal), (files.len(), Seal::Authentic));
    files.reverse();
    files.swap(0, 1);
    assert_eq!(check(&files, &log).unwrap(), verified);

    let files = files_of(&log).unwrap();
    let second = values(&files[1])[0]["seq"].as_u64().unwrap();
    let third = values(&files[2])[0]["seq"].as_u64().unwrap();
    // What was taken elsewhere has to be said.
    match check(&files[1..], &log) {
        Err(VerifyError::Broken { finding, .. }) => {
            assert_eq!(finding.kind, Kind::Removed { to: second - 1 });
        }
        other => panic!("{other:?}"),
    }
    let key = key();
    let checks = Checks { key: Some(&key), from: second, to: Some(third - 1), ..Checks::default() };
    let part = verify(&files[1..2], &checks).unwrap();
    assert_eq!((part.last, part.seal), (third - 1, Seal::Closed));
    let mark = mark_of(&log);
    verify(&files[1..2], &Checks { mark: Some(&mark), ..checks }).unwrap();
    let short = verify(&files[1..2], &Checks { mark: Some(&mark), to: None, ..checks });
    assert!(matches!(short, Err(VerifyError::Short { .. })));
    let public_key = crate::setup::public_key();
    verify(
        &files[1..],
        &Checks { public_key: Some(&public_key), from: second, ..Checks::default() },
    )
    .unwrap();
}

#[tokio::test]
async fn what_is_wrong_with_a_row_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("audit.jsonl");
    let files = row(&log).await;
    let starts: Vec<_> =
        files.iter().map(|file| values(file)[0]["seq"].as_u64().unwrap()).collect();

    let missing = [&files[..1], &files[2..]].concat();
    match check(&missing, &log) {
        Err(VerifyError::Broken { path, finding }) => {
            assert_eq!((path, finding.line, finding.seq), (files[2].clone(), 1, Some(starts[1])));
            assert_eq!(finding.kind, Kind::Removed { to: starts[2] - 1 });
            assert!(finding.to_string().contains("a file before this one is missing"), "{finding}");
        }
        other => panic!("{other:?}"),
    }
    assert!(matches!(check(&files[..2], &log), Err(VerifyError::Short { .. })));

    // Two names exchanged, one given another number, and one a name of somebody else.
    let swap = |one: &Path, other: &Path| {
        let aside = dir.path().join("aside");
        std::fs::rename(one, &aside).unwrap();
        std::fs::rename(other, one).unwrap();
        std::fs::rename(&aside, other).unwrap();
    };
    swap(&files[0], &files[1]);
    assert!(matches!(check(&files, &log), Err(VerifyError::Renamed { .. })));
    swap(&files[0], &files[1]);
    for other in [closed(&log, 999), dir.path().join("audit.jsonl.1")] {
        std::fs::rename(&files[1], &other).unwrap();
        let mut renamed = files.clone();
        renamed[1].clone_from(&other);
        match check(&renamed, &log) {
            Err(VerifyError::Renamed { path, name }) => {
                assert_eq!(path, other);
                assert_eq!(name, files[1].file_name().unwrap().to_str().unwrap());
            }
            found => panic!("{found:?}"),
        }
        std::fs::rename(&other, &files[1]).unwrap();
    }

    // A file cut short, in the middle of the row and at its end.
    let whole = lines(&files[1]);
    std::fs::write(&files[1], whole[..whole.len() - 1].concat()).unwrap();
    assert!(matches!(check(&files, &log), Err(VerifyError::Broken { .. })));
    let key = key();
    let alone = Checks { key: Some(&key), from: starts[1], ..Checks::default() };
    match verify(&files[1..2], &alone) {
        Err(VerifyError::Broken { finding, .. }) => assert_eq!(finding.kind, Kind::CutOff),
        other => panic!("{other:?}"),
    }
    std::fs::write(&files[1], "").unwrap();
    assert!(check(&files, &log).is_err());
    std::fs::write(&files[1], whole.concat() + "half").unwrap();
    assert!(check(&files, &log).is_err());
    std::fs::write(&files[1], whole.concat()).unwrap();

    let copy = dir.path().join("copy");
    std::fs::copy(&files[1], &copy).unwrap();
    let twice = [&files[..], &[copy]].concat();
    assert!(matches!(check(&twice, &log), Err(VerifyError::Twice { .. })));
    // What `audit.jsonl*` finds beside the files, and a file that was compressed.
    for other in [&b"\x1f\x8b\x08"[..], b"-----BEGIN PUBLIC KEY-----", b"{\"lines\":1}\n"] {
        let path = dir.path().join("other");
        std::fs::write(&path, other).unwrap();
        let with = [&files[..], &[path]].concat();
        let error = check(&with, &log).unwrap_err();
        assert!(error.to_string().contains("other"), "{error}");
        assert!(!error.to_string().contains("18446744073709551615"), "{error}");
    }
    check(&files, &log).unwrap();
}

#[tokio::test(start_paused = true)]
async fn an_old_file_is_closed() {
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("audit.jsonl");
    let clock = Clock::manual(Timestamp::UNIX_EPOCH);
    let mut config = config(&log);
    config.rotation = Rotation { bytes: None, age: Some(Duration::from_hours(24)) };
    let audit = Audit::open(config, clock.clone()).await.unwrap();
    for day in 1..=4 {
        if day != 3 {
            audit.record(event("a")).await.unwrap();
        }
        clock.advance(Duration::from_hours(24));
        tokio::time::sleep(Duration::from_mins(2)).await;
        // Its answer comes after whatever was asked before.
        assert!(!audit.reopen().await.unwrap());
    }
    audit.close().await;
    // On the third day there was nothing to close.
    assert_eq!(files_of(&log).unwrap().len(), 4);
    assert_eq!(values(&log)[0]["details"]["previous"]["closed_for"], "age");
    check(&files_of(&log).unwrap(), &log).unwrap();
}

#[tokio::test]
async fn a_file_that_was_moved_away_is_followed_by_the_next() {
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("audit.jsonl");
    let audit = open(&log).await.unwrap();
    audit.record(event("0")).await.unwrap();
    assert!(!audit.reopen().await.unwrap(), "it is where it belongs");
    // As logrotate does it, with and without `create`.
    for (round, create) in [false, true].into_iter().enumerate() {
        let moved = dir.path().join(format!("audit.jsonl.{round}"));
        std::fs::rename(&log, &moved).unwrap();
        // What comes before the signal is still in the file that was moved.
        audit.record(event(format!("late {round}"))).await.unwrap();
        assert_eq!(resources(&moved).last().unwrap(), &format!("late {round}"));
        if create {
            std::fs::write(&log, "").unwrap();
        }
        assert!(audit.reopen().await.unwrap());
        let first = &values(&log)[0];
        let name = moved.file_name().unwrap().to_str().unwrap();
        assert_eq!(first["details"]["previous"]["name"], name);
        assert_eq!(first["details"]["previous"]["closed_for"], "signal");
        assert_eq!(mark_of(&log).lines(), first["seq"].as_u64().unwrap(), "the mark is stored");
        audit.record(event(format!("next {round}"))).await.unwrap();
    }
    audit.close().await;
    let files = files_of(&log).unwrap();
    assert_eq!(files.len(), 3);
    check(&files, &log).unwrap();
    // It renames them once more at the next time.
    std::fs::rename(dir.path().join("audit.jsonl.0"), dir.path().join("audit.jsonl.2")).unwrap();
    check(&files_of(&log).unwrap(), &log).unwrap();
    write(&log, 1).await;
}

#[tokio::test]
async fn another_file_in_the_way_is_not_touched() {
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("audit.jsonl");
    let audit = open(&log).await.unwrap();
    let moved = dir.path().join("audit.jsonl.1");
    std::fs::rename(&log, &moved).unwrap();
    std::fs::write(&log, "somebody's").unwrap();
    let refused = audit.reopen().await.unwrap_err().to_string();
    assert!(refused.contains("is in the way"), "{refused}");
    audit.record(event("a")).await.unwrap();
    assert_eq!(resources(&moved), ["a"]);
    audit.close().await;
    let refused = open(&log).await.unwrap_err().to_string();
    assert!(refused.contains("does not begin with a line of a log"), "{refused}");
    assert_eq!(std::fs::read(&log).unwrap(), b"somebody's");

    // A file that would be overwritten when this one is closed stays, too.
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("audit.jsonl");
    let audit = open_small(&log).await;
    std::fs::write(closed(&log, 1), "somebody's").unwrap();
    for n in 0..10 {
        audit.record(event(n.to_string())).await.unwrap();
    }
    audit.close().await;
    assert_eq!(resources(&log).len(), 10);
    assert_eq!(std::fs::read(closed(&log, 1)).unwrap(), b"somebody's");
    let ends = operations(&log).iter().filter(|name| *name == "audit.checkpoint").count();
    assert!(ends <= 2, "it does not try again with every line: {ends}");
}

/// The states that a crash leaves between the steps of a rotation.
#[tokio::test]
async fn a_crash_in_the_middle_of_a_rotation_is_no_obstacle() {
    for step in ["checkpoint", "renamed", "draft", "half draft", "begun", "head", "old mark"] {
        for torn in [false, true] {
            let dir = tempfile::tempdir().unwrap();
            let log = dir.path().join("audit.jsonl");
            let audit = open(&log).await.unwrap();
            audit.record(event("0")).await.unwrap();
            let (head, mark) =
                (std::fs::read(head_of(&log)).unwrap(), std::fs::read(store_of(&log)));
            let moved = dir.path().join("audit.jsonl.1");
            std::fs::rename(&log, &moved).unwrap();
            assert!(audit.reopen().await.unwrap());
            audit.close().await;
            // Now back to where it was, step by step: its own rotation gives this name.
            let closed = closed(&log, 1);
            std::fs::rename(&moved, &closed).unwrap();
            let draft = dir.path().join("audit.jsonl.0123456789abcdef.new");
            let first = lines(&log)[0].clone();
            let (mut tail, mut put_head, mut put_mark) = (log.clone(), true, true);
            match step {
                "checkpoint" => {
                    std::fs::remove_file(&log).unwrap();
                    std::fs::rename(&closed, &log).unwrap();
                }
                "renamed" => {
                    std::fs::remove_file(&log).unwrap();
                    tail = closed.clone();
                }
                "draft" => {
                    std::fs::remove_file(&log).unwrap();
                    std::fs::write(&draft, &first).unwrap();
                    tail = closed.clone();
                }
                "half draft" => {
                    std::fs::remove_file(&log).unwrap();
                    std::fs::write(&draft, &first[..first.len() / 2]).unwrap();
                    tail = closed.clone();
                }
                "begun" => std::fs::write(&log, &first).unwrap(),
                // The next file was begun, and the head or only the mark is still behind or not.
                "head" => (put_head, put_mark) = (true, false),
                _ => put_head = false,
            }
            if put_head {
                std::fs::write(head_of(&log), &head).unwrap();
            }
            if put_mark {
                std::fs::write(store_of(&log), mark.as_ref().unwrap()).unwrap();
            }
            if torn {
                let text = std::fs::read_to_string(&tail).unwrap();
                std::fs::write(&tail, text + "{\"seq\":").unwrap();
            }
            let audit = open(&log).await.unwrap_or_else(|error| panic!("{step}, {torn}: {error}"));
            audit.record(event("1")).await.unwrap();
            audit.close().await;
            let files = files_of(&log).unwrap();
            check(&files, &log).unwrap_or_else(|error| panic!("{step}, {torn}: {error}"));
            let all: Vec<_> = files.iter().flat_map(|file| resources(file)).collect();
            assert_eq!(all, ["0", "1"], "{step}, {torn}");
            assert!(!draft.exists(), "{step}");
        }
    }
}

#[tokio::test]
async fn a_gateway_that_ended_before_the_signal_finds_the_moved_file() {
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("audit.jsonl");
    write(&log, 1).await;
    let moved = dir.path().join("audit.jsonl.1");
    std::fs::rename(&log, &moved).unwrap();
    write(&log, 1).await;
    let files = files_of(&log).unwrap();
    assert_eq!(files, [moved, log.clone()]);
    assert_eq!(values(&log)[0]["details"]["previous"]["closed_for"], "interrupted");
    check(&files, &log).unwrap();
    // Elsewhere it is not looked for.
    std::fs::create_dir(dir.path().join("old")).unwrap();
    std::fs::rename(&log, dir.path().join("old/audit.jsonl")).unwrap();
    let refused = open(&log).await.unwrap_err().to_string();
    assert!(refused.contains("is not there"), "{refused}");
}

#[tokio::test]
async fn a_start_does_not_need_files_from_before_the_mark() {
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("audit.jsonl");
    let files = row(&log).await;
    for file in &files[..files.len() - 1] {
        std::fs::remove_file(file).unwrap();
    }
    let first = values(&log)[0]["seq"].as_u64().unwrap();
    write(&log, 1).await;
    let key = key();
    let checks = Checks { key: Some(&key), from: first, ..Checks::default() };
    verify(&[log], &checks).unwrap();
}

#[tokio::test]
async fn a_mark_in_an_earlier_file_is_followed_to_the_end() {
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("audit.jsonl");
    let audit = open_small(&log).await;
    let mark = std::fs::read(store_of(&log)).unwrap();
    for n in 0..20 {
        audit.record(event(n.to_string())).await.unwrap();
    }
    audit.close().await;
    std::fs::write(store_of(&log), &mark).unwrap();
    write(&log, 1).await;
    // One of the files in between is gone.
    std::fs::write(store_of(&log), mark).unwrap();
    let files = files_of(&log).unwrap();
    std::fs::remove_file(&files[1]).unwrap();
    let refused = open(&log).await.unwrap_err().to_string();
    assert!(refused.contains("are missing") || refused.contains("head seals"), "{refused}");
}
