use std::path::Path;

use aws_lc_rs::digest::{SHA256, digest};
use chancery_audit::{Finding, HeadError, Kind, Seal, VerifyError};

use crate::setup::{head_of, lines, open, verify_bare, verify_with_key, write};

/// How many lines a log has with one of its own at both ends.
const LINES: usize = 8;

/// Makes a log of eight lines, lets `tamper` change its lines, and says what is found; first
/// without a head, as if only the log had been handed over, then with one.
async fn find(tamper: impl Fn(&mut Vec<String>)) -> [Finding; 2] {
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("audit.jsonl");
    write(&log, LINES - 2).await;
    let mut lines = lines(&log);
    assert_eq!(lines.len(), LINES);
    tamper(&mut lines);
    std::fs::write(&log, lines.concat()).unwrap();
    let with_head = finding(&log);
    std::fs::remove_file(head_of(&log)).unwrap();
    [finding(&log), with_head]
}

fn finding(log: &Path) -> Finding {
    match verify_bare(log) {
        Err(VerifyError::Broken { finding, .. }) => finding,
        other => panic!("{other:?}"),
    }
}

/// States the right hash for whatever the line now says, with a MAC of somebody who has not the key.
pub(crate) fn rehash(line: &str) -> String {
    let body = line.rsplit_once(",\"hash\":").unwrap().0;
    let hash = hex::encode(digest(&SHA256, body.as_bytes()));
    format!("{body},\"hash\":\"{hash}\",\"mac\":\"{}\"}}\n", "0".repeat(64))
}

/// The hash that a line states of itself.
pub(crate) fn hash(line: &str) -> String {
    let value: serde_json::Value = serde_json::from_str(line).unwrap();
    value["hash"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn an_untouched_log_verifies() {
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("audit.jsonl");
    write(&log, 5).await;
    write(&log, 3).await;
    let verified = verify_with_key(&log).unwrap();
    assert_eq!((verified.lines, verified.torn_bytes, verified.seal), (11, 0, Seal::Authentic));
    assert_eq!((verified.without_mac, verified.checkpoints.all), (0, 2));
    assert!(lines(&log)[10].contains(&verified.last_hash));
    assert_eq!(verify_bare(&log).unwrap().seal, Seal::Unchecked);
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
            let other = lines[at].replace("1970-", "1971-");
            assert_ne!(other, lines[at]);
            lines[at] = other;
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
    write(&log, LINES - 2).await;
    std::fs::write(&log, lines(&log)[..6].concat()).unwrap();
    let removed = Finding { line: 7, seq: Some(7), kind: Kind::Removed { to: 8 } };
    assert_eq!(finding(&log), removed);

    std::fs::remove_file(head_of(&log)).unwrap();
    assert_eq!(verify_bare(&log).unwrap().seal, Seal::Absent);
    let missing = verify_with_key(&log).unwrap_err();
    assert!(matches!(missing, VerifyError::Head { problem: HeadError::Missing, .. }));
}

/// Changes line 6 and computes the chain anew from there on, as everybody can.
fn recomputed(mut lines: Vec<String>) -> Vec<String> {
    lines[5] = lines[5].replace("secrets.read", "secrets.list");
    for at in 5..lines.len() {
        let (old, new) = (hash(&lines[at]), rehash(&lines[at]));
        if let Some(next) = lines.get_mut(at + 1) {
            *next = next.replace(&old, &hash(&new));
        }
        lines[at] = new;
    }
    lines
}

#[tokio::test]
async fn a_chain_recomputed_from_some_line_on_is_seen_by_head_mac_and_checkpoint() {
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("audit.jsonl");
    write(&log, LINES - 2).await;
    std::fs::write(&log, recomputed(lines(&log)).concat()).unwrap();
    // The checkpoint at the end states the tree that was.
    assert_eq!(finding(&log), Finding { line: 8, seq: Some(8), kind: Kind::WrongTree });
    let without_checkpoint = lines(&log)[..7].concat();
    std::fs::write(&log, &without_checkpoint).unwrap();
    let removed = Finding { line: 8, seq: Some(8), kind: Kind::Removed { to: 8 } };
    assert_eq!(finding(&log), removed);
    match verify_with_key(&log) {
        Err(VerifyError::Broken { finding, .. }) => {
            assert_eq!(finding, Finding { line: 6, seq: Some(6), kind: Kind::Unauthentic });
        }
        other => panic!("{other:?}"),
    }
    assert!(open(&log).await.is_err());
    std::fs::remove_file(head_of(&log)).unwrap();
    assert_eq!(verify_bare(&log).unwrap().seal, Seal::Absent);
}

#[tokio::test]
async fn a_line_appended_without_the_key_is_neither_verified_nor_sealed_by_the_next_start() {
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("audit.jsonl");
    write(&log, LINES - 2).await;
    let whole = lines(&log);
    let last = &whole[6];
    let forged = last
        .replace("\"seq\":7", "\"seq\":9")
        .replace(&hash(&whole[5]), &hash(&whole[7]))
        .replace("secrets.read", "secrets.delete");
    for forged in [rehash(&forged), {
        // In the first format, which had no MAC.
        let line = rehash(&forged);
        line.replace(&format!(",\"mac\":\"{}\"", "0".repeat(64)), "")
    }] {
        std::fs::write(&log, whole.concat() + &forged).unwrap();
        match verify_with_key(&log) {
            Err(VerifyError::Broken { finding, .. }) => {
                assert_eq!(finding, Finding { line: 9, seq: Some(9), kind: Kind::Unauthentic });
            }
            other => panic!("{other:?}"),
        }
        let refused = open(&log).await.unwrap_err().to_string();
        assert!(refused.contains("what follows line 8"), "{refused}");
        assert!(refused.contains("accept-loss"), "{refused}");
    }
}

#[tokio::test]
async fn a_head_that_was_made_without_the_key_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("audit.jsonl");
    write(&log, LINES - 2).await;
    let head = std::fs::read_to_string(head_of(&log)).unwrap();
    let forged = head.replace("00000000000000000008", "00000000000000000007");
    assert_ne!(forged, head);
    for (text, problem) in [
        (forged.as_str(), HeadError::Forged),
        ("", HeadError::Malformed),
        ("chancery-audit-head\n", HeadError::Malformed),
    ] {
        std::fs::write(head_of(&log), text).unwrap();
        match verify_with_key(&log) {
            Err(VerifyError::Head { problem: found, .. }) => assert_eq!(found, problem),
            other => panic!("{text:?}: {other:?}"),
        }
        assert!(open(&log).await.is_err(), "{text:?}");
    }
}

#[test]
fn a_missing_log_is_an_error_that_names_it() {
    let error = verify_bare(Path::new("/nonexistent/audit.jsonl")).unwrap_err();
    assert!(error.to_string().contains("/nonexistent/audit.jsonl"));
}
