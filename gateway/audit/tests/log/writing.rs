use std::os::unix::fs::PermissionsExt as _;

use chancery_audit::{Audit, AuditError, MemorySink, Sink, Tip};
use chancery_identity::Clock;
use jiff::Timestamp;

use crate::setup::{
    event, head_of, key, key_bytes, open, operations, resources, verify_bare, verify_with_key,
    write,
};

fn in_memory() -> (Audit, MemorySink) {
    let sink = MemorySink::new();
    let clock = Clock::manual(Timestamp::UNIX_EPOCH);
    (Audit::with_sink(Box::new(sink.clone()), &key_bytes(), clock).unwrap(), sink)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn concurrent_events_are_all_written_in_one_chain() {
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("audit.jsonl");
    let audit = open(&log).await.unwrap();
    let tasks: Vec<_> = (0..500)
        .map(|n| {
            let audit = audit.clone();
            tokio::spawn(async move { audit.record(event(format!("{n:03}"))).await })
        })
        .collect();
    for task in tasks {
        task.await.unwrap().unwrap();
    }
    audit.close().await;
    // With the first line and the last checkpoint.
    assert_eq!(verify_with_key(&log).unwrap().lines, 502);
    let mut written = resources(&log);
    written.sort();
    assert_eq!(written, (0..500).map(|n| format!("{n:03}")).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_refused_event_leaves_no_gap_in_the_chain() {
    let (audit, sink) = in_memory();
    audit.record(event("a")).await.unwrap();
    sink.refuse(true);
    assert!(matches!(audit.record(event("b")).await, Err(AuditError::Write(_))));
    sink.refuse(false);
    audit.record(event("c")).await.unwrap();
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("audit.jsonl");
    std::fs::write(&log, sink.bytes()).unwrap();
    assert_eq!(verify_bare(&log).unwrap().lines, 2);
    assert_eq!(resources(&log), ["a", "c"]);
}

#[tokio::test]
async fn a_closed_log_refuses() {
    let (audit, _sink) = in_memory();
    let clone = audit.clone();
    audit.close().await;
    assert!(matches!(clone.record(event("a")).await, Err(AuditError::Closed)));
    clone.close().await;
}

#[tokio::test]
async fn an_oversized_event_is_cut() {
    let (audit, sink) = in_memory();
    audit.record(event("x".repeat(1 << 20))).await.unwrap();
    let [line] = &sink.lines()[..] else { panic!("one line") };
    let resource = line["resource"].as_str().unwrap();
    assert!(resource.len() < 5_000 && resource.contains("[cut, 1048576 bytes, sha256:"));
}

#[tokio::test]
async fn a_log_begins_and_ends_with_lines_of_its_own() {
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("audit.jsonl");
    write(&log, 1).await;
    assert_eq!(operations(&log), ["audit.begin", "secrets.read", "audit.checkpoint"]);
    // What was signed already is not signed again.
    write(&log, 0).await;
    assert_eq!(operations(&log).len(), 3);
}

#[tokio::test]
async fn a_log_that_another_program_changes_or_removes_is_not_written() {
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("audit.jsonl");
    let audit = open(&log).await.unwrap();
    audit.record(event("a")).await.unwrap();
    let whole = std::fs::read(&log).unwrap();

    std::fs::write(&log, "").unwrap();
    let refused = audit.record(event("b")).await.unwrap_err().to_string();
    assert!(refused.contains("another program changed it"), "{refused}");
    std::fs::write(&log, whole).unwrap();
    audit.record(event("c")).await.unwrap();

    std::fs::remove_file(&log).unwrap();
    let refused = audit.record(event("d")).await.unwrap_err().to_string();
    assert!(refused.contains("was removed"), "{refused}");
}

#[tokio::test]
async fn only_the_owner_may_read_the_log_and_its_head() {
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("audit.jsonl");
    write(&log, 1).await;
    for file in [&log, &head_of(&log)] {
        assert_eq!(std::fs::metadata(file).unwrap().permissions().mode() & 0o777, 0o600);
    }
}

#[tokio::test]
async fn neither_the_audit_nor_its_log_shows_the_key_or_a_hashed_value() {
    let (audit, sink) = in_memory();
    let secret = "correct horse";
    let hash = audit.keyed_hash(secret.as_bytes());
    assert_eq!(hash, key().hash_value(secret.as_bytes()));
    audit.record(event("a").detail("token", hash.clone())).await.unwrap();
    let text = String::from_utf8(sink.bytes()).unwrap() + &format!("{audit:?}");
    assert!(text.contains(&hash));
    assert!(!text.contains(secret));
}

/// A sink that says when lines come and takes them when it may.
struct GatedSink {
    arrived: std::sync::mpsc::Sender<()>,
    passage: std::sync::mpsc::Receiver<()>,
    into: MemorySink,
}

impl Sink for GatedSink {
    fn append(&mut self, lines: &[u8], tip: &Tip) -> std::io::Result<()> {
        self.arrived.send(()).unwrap();
        // Open for good once the other end is gone.
        let _ = self.passage.recv();
        self.into.append(lines, tip)
    }
}

/// Hands a request over to the writer and leaves it there.
fn begin<T>(request: &mut std::pin::Pin<Box<impl Future<Output = T>>>) {
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    assert!(request.as_mut().poll(&mut context).is_pending());
}

#[tokio::test]
async fn what_was_given_before_the_close_is_written_and_what_comes_behind_it_is_refused() {
    let sink = MemorySink::new();
    let ((arrived, arrivals), (open, passage)) =
        (std::sync::mpsc::channel(), std::sync::mpsc::channel());
    let gated = GatedSink { arrived, passage, into: sink.clone() };
    let clock = Clock::manual(Timestamp::UNIX_EPOCH);
    let audit = Audit::with_sink(Box::new(gated), &key_bytes(), clock).unwrap();
    let mut first = Box::pin(audit.record(event("first")));
    begin(&mut first);
    arrivals.recv().unwrap();
    // The writer is busy, and these wait in this order.
    let mut before = Box::pin(audit.record(event("before")));
    begin(&mut before);
    let mut close = Box::pin(audit.close());
    begin(&mut close);
    let mut behind = Box::pin(audit.record(event("behind")));
    begin(&mut behind);
    drop(open);
    first.await.unwrap();
    before.await.unwrap();
    close.await;
    assert!(matches!(behind.await, Err(AuditError::Closed)));
    assert!(matches!(audit.record(event("later")).await, Err(AuditError::Closed)));
    let written: Vec<_> = sink.lines().iter().map(|line| line["resource"].clone()).collect();
    assert_eq!(written, ["first", "before"]);
}

/// A line that was accepted is in the log, and a line that was refused is not, whenever the log closes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_line_that_is_given_while_the_log_closes_is_written_or_refused() {
    let dir = tempfile::tempdir().unwrap();
    let mut refused = 0;
    for round in 0..40 {
        let log = dir.path().join(format!("{round}/audit.jsonl"));
        let audit = open(&log).await.unwrap();
        let tasks: Vec<_> = (0..32)
            .map(|task| {
                let audit = audit.clone();
                tokio::spawn(async move {
                    let mut answers = vec![];
                    for line in 0.. {
                        let name = format!("{task}/{line}");
                        let answer = audit.record(event(name.clone())).await;
                        let ended = answer.is_err();
                        answers.push((name, answer));
                        if ended {
                            return answers;
                        }
                    }
                    answers
                })
            })
            .collect();
        // Some lines are there, and others are on their way.
        for line in 0..round {
            audit.record(event(format!("own/{line}"))).await.unwrap();
        }
        audit.close().await;
        let mut acknowledged: Vec<_> = (0..round).map(|line| format!("own/{line}")).collect();
        for task in tasks {
            for (name, answer) in task.await.unwrap() {
                match answer {
                    Ok(()) => acknowledged.push(name),
                    Err(AuditError::Closed) => refused += 1,
                    Err(other) => panic!("{other}"),
                }
            }
        }
        let mut written = resources(&log);
        acknowledged.sort();
        written.sort();
        assert_eq!(written, acknowledged);
        verify_with_key(&log).unwrap();
    }
    assert_eq!(refused, 40 * 32);
}
