use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use chancery_audit::verify;

use crate::setup::{event, head_of, key, lines, open, resources, write};

const CHILD: &str = "CHANCERY_AUDIT_TEST_LOG";

#[test]
fn what_was_acknowledged_before_a_sigkill_is_on_record() {
    if let Some(log) = std::env::var_os(CHILD) {
        record_until_killed(&PathBuf::from(log));
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("audit.jsonl");
    let mut acknowledged = BTreeSet::new();
    for round in 1..=3 {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "--nocapture"])
            .arg("crash::what_was_acknowledged_before_a_sigkill_is_on_record")
            .env(CHILD, &log)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let reader = BufReader::new(child.stdout.take().unwrap());
        let acks = reader.lines().map(Result::unwrap);
        let acks = acks.filter_map(|line| line.strip_prefix("acknowledged ").map(str::to_owned));
        acknowledged.extend(acks.take(200 * round));
        child.kill().unwrap();
        child.wait().unwrap();
        verify(&log, Some(&key())).unwrap();
    }
    assert_eq!(acknowledged.len(), 1200);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(write(&log, 1));
    assert_eq!(verify(&log, Some(&key())).unwrap().torn_bytes, 0);
    let written: BTreeSet<_> = resources(&log).into_iter().collect();
    let lost: Vec<_> = acknowledged.difference(&written).collect();
    assert!(lost.is_empty(), "{lost:?}");
}

#[tokio::main]
async fn record_until_killed(log: &Path) {
    let audit = open(log).unwrap();
    let tasks: Vec<_> = (0..16)
        .map(|task| {
            let audit = audit.clone();
            tokio::spawn(async move {
                for n in 0.. {
                    let name = format!("{}-{task}-{n}", std::process::id());
                    audit.record(event(&name)).await.unwrap();
                    let line = format!("acknowledged {name}\n");
                    std::io::stdout().lock().write_all(line.as_bytes()).unwrap();
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
}

#[tokio::test]
async fn a_torn_last_line_is_cut_off_and_that_is_recorded() {
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("audit.jsonl");
    write(&log, 3).await;
    let whole = lines(&log);
    let head = std::fs::read(head_of(&log)).unwrap();
    let next_line = whole[2].replace("\"seq\":3", "\"seq\":4");
    for cut in [1, 20, next_line.len() - 1] {
        let torn = &next_line[..cut];
        std::fs::write(&log, whole.concat() + torn).unwrap();
        std::fs::write(head_of(&log), &head).unwrap();
        assert_eq!(verify(&log, None).unwrap().torn_bytes, cut as u64);

        write(&log, 1).await;
        assert_eq!(verify(&log, Some(&key())).unwrap().lines, 5);
        let found = lines(&log);
        assert_eq!(found[..3], whole);
        let mended: serde_json::Value = serde_json::from_str(&found[3]).unwrap();
        assert_eq!(mended["operation"], "audit.recover");
        assert_eq!(mended["details"]["torn_bytes"], cut);
    }
}

#[tokio::test]
async fn a_head_that_lags_behind_catches_up() {
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("audit.jsonl");
    write(&log, 3).await;
    let old_head = std::fs::read(head_of(&log)).unwrap();
    write(&log, 4).await;
    std::fs::write(head_of(&log), &old_head).unwrap();
    verify(&log, Some(&key())).unwrap();
    write(&log, 1).await;
    assert_eq!(verify(&log, Some(&key())).unwrap().lines, 8);

    // Beyond the head nothing may be wrong either.
    let mut changed = lines(&log);
    changed[5] = changed[5].replace("secrets.read", "secrets.list");
    std::fs::write(&log, changed.concat()).unwrap();
    std::fs::write(head_of(&log), &old_head).unwrap();
    let refused = open(&log).unwrap_err().to_string();
    assert!(refused.contains("does not follow from line 5"), "{refused}");
}

#[tokio::test]
async fn a_crash_while_the_log_was_begun_is_no_obstacle() {
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("audit.jsonl");
    std::fs::write(&log, "").unwrap();
    write(&log, 1).await;
    // The head's draft is left over, too.
    std::fs::write(dir.path().join("audit.jsonl.head.new"), "half").unwrap();
    write(&log, 1).await;
    assert_eq!(verify(&log, Some(&key())).unwrap().lines, 2);
}

#[tokio::test]
async fn a_log_in_use_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("audit.jsonl");
    let audit = open(&log).unwrap();
    assert!(open(&log).unwrap_err().to_string().contains("in use"));
    audit.close().await;
    open(&log).unwrap();
}
