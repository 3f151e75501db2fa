//! Verifying a log while it is written: what was changed is told, and what is in order is not.

use std::path::Path;
use std::time::Duration;

use chancery_audit::{Audit, Pace, Patrolled, Rotation};
use chancery_identity::Clock;
use jiff::Timestamp;
use tokio::sync::watch;

use crate::setup::{config, event, lines, resources};

/// So fast that nobody waits for it.
const PACE: Pace = Pace { bytes_per_second: 1 << 30, pause: Duration::from_millis(1) };

async fn open(log: &Path, bytes: Option<u64>) -> Audit {
    let rotation = Rotation { bytes, age: None };
    let config = chancery_audit::AuditConfig { rotation, ..config(log) };
    Audit::open(config, Clock::manual(Timestamp::UNIX_EPOCH)).await.unwrap()
}

async fn record(audit: &Audit, lines: std::ops::Range<usize>) {
    for number in lines {
        audit.record(event(number.to_string())).await.unwrap();
    }
}

fn patrol(audit: &Audit) -> watch::Receiver<Patrolled> {
    audit.verify_always(PACE).unwrap().unwrap()
}

/// What a round says that begins from now on.
async fn next_round(patrolled: &mut watch::Receiver<Patrolled>) -> Patrolled {
    let now = patrolled.borrow().rounds;
    patrolled.wait_for(|told| told.rounds >= now + 2).await.unwrap().clone()
}

/// The files that were closed, in their order.
fn closed(log: &Path) -> Vec<std::path::PathBuf> {
    let files = chancery_audit::files_of(log).unwrap();
    files.into_iter().filter(|file| file != log).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_that_is_written_and_rotated_all_the_time_is_found_whole() {
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("audit.jsonl");
    let audit = open(&log, Some(8_000)).await;
    let mut patrolled = patrol(&audit);
    let mut written = 0;
    while patrolled.borrow_and_update().rounds < 20 || closed(&log).len() < 20 {
        record(&audit, written..written + 20).await;
        written += 20;
        assert_eq!(patrolled.borrow().finding, None);
    }
    let told = next_round(&mut patrolled).await;
    assert_eq!((told.finding, told.whole_at), (None, Some(Timestamp::UNIX_EPOCH)));
    assert!(told.whole_to > written as u64, "{}", told.whole_to);
    audit.close().await;
    // It ends with the log.
    assert!(patrolled.wait_for(|_| false).await.is_err());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_changed_in_a_closed_file_or_the_one_that_is_written_is_told_until_it_is_mended() {
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("audit.jsonl");
    let audit = open(&log, Some(8_000)).await;
    record(&audit, 0..60).await;
    let files = closed(&log);
    assert!(files.len() > 2 && resources(&log).len() > 1);
    let mut patrolled = patrol(&audit);
    assert_eq!(next_round(&mut patrolled).await.finding, None);
    for file in [&files[0], &files[1], &log] {
        let whole = std::fs::read(file).unwrap();
        let changed = String::from_utf8(whole.clone()).unwrap();
        let changed = changed.replacen("secrets.read", "secrets.lost", 1);
        std::fs::write(file, changed).unwrap();
        let finding = next_round(&mut patrolled).await.finding.unwrap();
        let name = file.file_name().unwrap().to_str().unwrap();
        assert!(finding.contains(name) && finding.contains("was changed"), "{finding}");
        std::fs::write(file, whole).unwrap();
        assert_eq!(next_round(&mut patrolled).await.finding, None);
    }
    // Lines cut off the end of a closed file.
    let shorter = lines(&files[1]);
    let whole = std::fs::read(&files[1]).unwrap();
    std::fs::write(&files[1], shorter[..shorter.len() - 2].concat()).unwrap();
    assert!(next_round(&mut patrolled).await.finding.is_some());
    std::fs::write(&files[1], whole).unwrap();
    audit.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_oldest_files_may_be_taken_elsewhere_and_others_may_not() {
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("audit.jsonl");
    let audit = open(&log, Some(8_000)).await;
    record(&audit, 0..80).await;
    let files = closed(&log);
    assert!(files.len() > 3);
    let mut patrolled = patrol(&audit);
    std::fs::remove_file(&files[0]).unwrap();
    let told = next_round(&mut patrolled).await;
    assert_eq!(told.finding, None);
    let aside = dir.path().join("aside");
    std::fs::rename(&files[2], &aside).unwrap();
    let finding = next_round(&mut patrolled).await.finding.unwrap();
    assert!(finding.contains("were removed before line 1"), "{finding}");
    std::fs::rename(&aside, &files[2]).unwrap();
    assert_eq!(next_round(&mut patrolled).await.finding, None);
    audit.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_loss_that_was_accepted_is_no_finding() {
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("audit.jsonl");
    let audit = open(&log, None).await;
    record(&audit, 0..5).await;
    audit.close().await;
    let kept = lines(&log);
    // The second line is another, and the last ones are gone.
    let changed = kept[1].replace("secrets.read", "secrets.lost");
    std::fs::write(&log, kept[0].clone() + &changed + &kept[2]).unwrap();
    let clock = Clock::manual(Timestamp::UNIX_EPOCH);
    chancery_audit::accept_loss(config(&log), "the disk died", "root", &clock).await.unwrap();
    let audit = open(&log, None).await;
    record(&audit, 0..5).await;
    let mut patrolled = patrol(&audit);
    assert_eq!(next_round(&mut patrolled).await.finding, None);
    audit.close().await;
}
