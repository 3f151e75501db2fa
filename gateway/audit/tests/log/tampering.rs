use std::path::Path;

use aws_lc_rs::digest::{SHA256, digest};
use chancery_audit::{Finding, HeadError, Kind, Seal, VerifyError, verify};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use crate::setup::{head_of, key, lines, open, write};

/// Makes a log of eight lines, lets `tamper` change its lines, and says what is found; first
/// without a head, as if only the log had been handed over, then with one.
async fn find(tamper: impl Fn(&mut Vec<String>)) -> [Finding; 2] {
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("audit.jsonl");
    write(&log, 8).await;
    let mut lines = lines(&log);
    tamper(&mut lines);
    std::fs::write(&log, lines.concat()).unwrap();
    let with_head = finding(&log);
    std::fs::remove_file(head_of(&log)).unwrap();
    [finding(&log), with_head]
}

fn finding(log: &Path) -> Finding {
    match verify(log, None) {
        Err(VerifyError::Broken { finding, .. }) => finding,
        other => panic!("{other:?}"),
    }
}

/// States the right hash for whatever the line now says.
fn rehash(line: &str) -> String {
    let body = line.rsplit_once(",\"hash\":").unwrap().0;
    format!("{body},\"hash\":\"{}\"}}\n", hex::encode(digest(&SHA256, body.as_bytes())))
}

#[tokio::test]
async fn an_untouched_log_verifies() {
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("audit.jsonl");
    write(&log, 5).await;
    write(&log, 3).await;
    let verified = verify(&log, Some(&key())).unwrap();
    assert_eq!((verified.lines, verified.torn_bytes, verified.seal), (8, 0, Seal::Authentic));
    assert!(lines(&log)[7].contains(&verified.last_hash));
    assert_eq!(verify(&log, None).unwrap().seal, Seal::Unchecked);
}

#[tokio::test]
async fn a_removed_line_is_named_wherever_it_was() {
    for at in 0..7 {
        for found in find(|lines| drop(lines.remove(at))).await {
            let seq = at as u64 + 1;
            assert_eq!(
                found,
                Finding { line: seq, seq: Some(seq), kind: Kind::Removed { to: seq } }
            );
        }
    }
}

#[tokio::test]
async fn several_removed_lines_are_named() {
    for found in find(|lines| drop(lines.drain(2..5))).await {
        assert_eq!(found, Finding { line: 3, seq: Some(3), kind: Kind::Removed { to: 5 } });
        assert_eq!(found.to_string(), "the lines with seq 3 to 5 were removed before line 3");
    }
}

#[tokio::test]
async fn a_changed_line_is_named_wherever_it_is() {
    for at in 0..8 {
        let changed = |lines: &mut Vec<String>| {
            lines[at] = lines[at].replace("secrets.read", "secrets.list");
        };
        for found in find(changed).await {
            let seq = at as u64 + 1;
            assert_eq!(found, Finding { line: seq, seq: Some(seq), kind: Kind::Changed });
        }
    }
}

#[tokio::test]
async fn a_line_changed_together_with_its_hash_is_named_by_the_next() {
    let found = find(|lines| {
        lines[3] = rehash(&lines[3].replace("secrets.read", "secrets.list"));
    });
    for found in found.await {
        assert_eq!(found, Finding { line: 4, seq: Some(4), kind: Kind::Changed });
    }
}

#[tokio::test]
async fn moved_and_repeated_lines_are_named() {
    for found in find(|lines| lines.swap(2, 3)).await {
        assert_eq!(found, Finding { line: 3, seq: Some(4), kind: Kind::Reordered });
    }
    let first_to_last = |lines: &mut Vec<String>| lines.rotate_left(1);
    for found in find(first_to_last).await {
        assert_eq!(found, Finding { line: 1, seq: Some(2), kind: Kind::Reordered });
    }
    for found in find(|lines| lines.insert(5, lines[2].clone())).await {
        assert_eq!(found, Finding { line: 6, seq: Some(3), kind: Kind::Reordered });
    }
}

#[tokio::test]
async fn what_is_not_a_line_is_named() {
    for bad in ["\n", "{}\n", "garbage\n", "\u{0}\n"] {
        for found in find(|lines| lines.insert(4, bad.to_owned())).await {
            assert_eq!(found, Finding { line: 5, seq: Some(5), kind: Kind::Malformed }, "{bad:?}");
        }
    }
    let endless = "x".repeat(3 << 20);
    for found in find(|lines| lines.insert(4, endless.clone())).await {
        assert_eq!((found.line, found.kind), (5, Kind::Malformed));
    }
}

#[tokio::test]
async fn lines_cut_off_the_end_are_seen_by_the_head() {
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("audit.jsonl");
    write(&log, 8).await;
    std::fs::write(&log, lines(&log)[..6].concat()).unwrap();
    let removed = Finding { line: 7, seq: Some(7), kind: Kind::Removed { to: 8 } };
    assert_eq!(finding(&log), removed);
    let refused = open(&log).unwrap_err().to_string();
    assert!(refused.contains("lines were removed from its end"), "{refused}");

    std::fs::remove_file(head_of(&log)).unwrap();
    assert_eq!(verify(&log, None).unwrap().seal, Seal::Absent);
    let missing = verify(&log, Some(&key())).unwrap_err();
    assert!(matches!(missing, VerifyError::Head { problem: HeadError::Missing, .. }));
    assert!(open(&log).unwrap_err().to_string().contains("head is missing"));
}

#[tokio::test]
async fn a_chain_recomputed_from_some_line_on_is_seen_by_the_head() {
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("audit.jsonl");
    write(&log, 8).await;
    let mut forged = lines(&log);
    forged[5] = forged[5].replace("secrets.read", "secrets.list");
    let hash = |line: &str| line[line.len() - 67..line.len() - 3].to_owned();
    for at in 5..8 {
        let (old, new) = (hash(&forged[at]), rehash(&forged[at]));
        if let Some(next) = forged.get_mut(at + 1) {
            *next = next.replace(&old, &hash(&new));
        }
        forged[at] = new;
    }
    std::fs::write(&log, forged.concat()).unwrap();
    assert_eq!(finding(&log), Finding { line: 8, seq: Some(8), kind: Kind::Changed });
    assert!(open(&log).unwrap_err().to_string().contains("is not line 8"));
    std::fs::remove_file(head_of(&log)).unwrap();
    assert_eq!(verify(&log, None).unwrap().seal, Seal::Absent);
}

#[tokio::test]
async fn a_head_that_was_made_without_the_key_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("audit.jsonl");
    write(&log, 8).await;
    let head = std::fs::read_to_string(head_of(&log)).unwrap();
    let forged = head.replace("00000000000000000008", "00000000000000000007");
    assert_ne!(forged, head);
    for (text, problem) in [
        (forged.as_str(), HeadError::Forged),
        ("", HeadError::Malformed),
        ("chancery-audit-head\n", HeadError::Malformed),
    ] {
        std::fs::write(head_of(&log), text).unwrap();
        match verify(&log, Some(&key())) {
            Err(VerifyError::Head { problem: found, .. }) => assert_eq!(found, problem),
            other => panic!("{text:?}: {other:?}"),
        }
        assert!(open(&log).is_err(), "{text:?}");
    }
}

#[test]
fn a_missing_log_is_an_error_that_names_it() {
    let error = verify(Path::new("/nonexistent/audit.jsonl"), None).unwrap_err();
    assert!(error.to_string().contains("/nonexistent/audit.jsonl"));
}

#[derive(Debug, Clone)]
enum Tampering {
    Remove(usize),
    Repeat(usize, usize),
    Swap(usize, usize),
    Flip(usize, u8),
    Cut(usize),
    Append(Vec<u8>),
}

fn tampering() -> impl Strategy<Value = Tampering> {
    prop_oneof![
        (0..8_usize).prop_map(Tampering::Remove),
        (0..8_usize, 0..8_usize).prop_map(|(from, to)| Tampering::Repeat(from, to)),
        (0..8_usize, 0..8_usize).prop_map(|(one, other)| Tampering::Swap(one, other)),
        (any::<usize>(), 1..=u8::MAX).prop_map(|(at, mask)| Tampering::Flip(at, mask)),
        any::<usize>().prop_map(Tampering::Cut),
        proptest::collection::vec(any::<u8>(), 1..40).prop_map(Tampering::Append),
    ]
}

fn tamper(log: &[u8], tampering: &Tampering) -> Vec<u8> {
    let mut lines: Vec<Vec<u8>> =
        log.split_inclusive(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect();
    match tampering {
        Tampering::Remove(at) => drop(lines.remove(*at)),
        Tampering::Repeat(from, to) => lines.insert(*to, lines[*from].clone()),
        Tampering::Swap(one, other) => lines.swap(*one, *other),
        Tampering::Flip(at, mask) => {
            let mut bytes = log.to_vec();
            bytes[at % log.len()] ^= mask;
            return bytes;
        }
        Tampering::Cut(at) => return log[..at % log.len()].to_vec(),
        Tampering::Append(more) => return [log, more].concat(),
    }
    lines.concat()
}

/// Whatever is done to the bytes, either it is found or what was written still stands there whole,
/// followed at most by an unfinished line.
#[test]
fn no_tampering_passes() {
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("audit.jsonl");
    tokio::runtime::Runtime::new().unwrap().block_on(write(&log, 8));
    let original = std::fs::read(&log).unwrap();
    let mut runner = TestRunner::new(Config { failure_persistence: None, ..Config::default() });
    let passes = |tampering: Tampering| {
        let tampered = tamper(&original, &tampering);
        std::fs::write(&log, &tampered).unwrap();
        if let Ok(verified) = verify(&log, Some(&key())) {
            let torn = usize::try_from(verified.torn_bytes).unwrap();
            prop_assert_eq!(&tampered[..tampered.len() - torn], &original[..]);
        }
        Ok(())
    };
    runner.run(&tampering(), passes).unwrap();
}
