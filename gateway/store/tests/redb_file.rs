//! The embedded store as a file among processes: killed ones, second ones, and a file that may not
//! grow.
//!
//! Tests that need another process run this binary again, with the name of the test and the
//! directory in [`ROLE`]; the test then takes the child's part.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "helpers of tests fail like tests"
)]

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use chancery_store::redb::{Fitness, RedbOptions, RedbStore, peek};
use chancery_store::{Commit, CommitError, Key, OpenError, Store as _};

/// Set in child processes: the directory to work in.
const ROLE: &str = "CHANCERY_STORE_TEST_CHILD";

fn child_role() -> Option<PathBuf> {
    std::env::var_os(ROLE).map(PathBuf::from)
}

fn child(test: &str, directory: &Path) -> Command {
    // A process that ignores the signal of RLIMIT_FSIZE gets an error instead. Ignored signals stay
    // ignored in the program that a shell turns into.
    let mut command = Command::new("sh");
    command
        .args(["-c", r#"trap "" XFSZ; exec "$0" "$@""#])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture"])
        .env(ROLE, directory)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped());
    command
}

fn file(directory: &Path) -> PathBuf {
    directory.join("store.redb")
}

fn key(text: impl AsRef<str>) -> Key {
    Key::new(text.as_ref()).unwrap()
}

const TASKS: usize = 8;

/// Each task keeps this many of its newest pairs.
const KEPT: usize = 5;

#[test]
fn a_killed_process_loses_nothing_acknowledged_and_leaves_nothing_half_written() {
    if let Some(directory) = child_role() {
        return write_pairs_until_killed(&directory);
    }
    let directory = tempfile::tempdir().unwrap();
    let mut acknowledged = BTreeMap::new();
    for round in 0..6 {
        let test = "a_killed_process_loses_nothing_acknowledged_and_leaves_nothing_half_written";
        let mut child = child(test, directory.path()).spawn().unwrap();
        let seen = kill_after(&mut child, 40 + 61 * round, &mut acknowledged);
        assert!(seen >= 40 + 61 * round, "the child ended by itself after {seen}");
        check_pairs(directory.path(), &acknowledged);
    }
    assert_eq!(acknowledged.len(), TASKS, "every task got somewhere");
}

#[tokio::main]
async fn write_pairs_until_killed(directory: &Path) {
    let store = std::sync::Arc::new(RedbStore::open(&file(directory)).unwrap());
    let mut tasks = tokio::task::JoinSet::new();
    for task in 0..TASKS {
        let store = store.clone();
        tasks.spawn(async move {
            let last = pairs(&store, task).await.last().copied();
            for number in last.map_or(0, |last| last + 1).. {
                let mut commit = Commit::new();
                for side in ["left", "right"] {
                    let at = |number: usize| key(format!("{task}/{number:06}/{side}"));
                    let value = number.to_string().repeat(1 + 100 * (number % 9));
                    commit = commit.check_absent(at(number)).put(at(number), value);
                    if let Some(old) = number.checked_sub(KEPT) {
                        commit = commit.delete(at(old));
                    }
                }
                store.commit(commit).await.unwrap();
                println!("ack {task} {number}");
            }
        });
    }
    tasks.join_all().await;
}

/// Reads acknowledgements into `acknowledged`, kills the child (SIGKILL) after `count` of them, and
/// returns how many there were in all.
fn kill_after(child: &mut Child, count: usize, acknowledged: &mut BTreeMap<usize, usize>) -> usize {
    let mut output = BufReader::new(child.stdout.take().unwrap());
    let mut seen = 0;
    let mut line = String::new();
    while output.read_line(&mut line).unwrap() > 0 {
        // A line that was cut off by the kill says nothing.
        if let Some(ack) = line.strip_suffix('\n').and_then(|line| line.split("ack ").nth(1)) {
            let (task, number) = ack.split_once(' ').unwrap();
            acknowledged.insert(task.parse().unwrap(), number.parse().unwrap());
            seen += 1;
            if seen == count {
                child.kill().unwrap();
            }
        }
        line.clear();
    }
    child.wait().unwrap();
    seen
}

#[tokio::main]
async fn check_pairs(directory: &Path, acknowledged: &BTreeMap<usize, usize>) {
    let store = RedbStore::open(&file(directory)).unwrap();
    for (&task, &last_acknowledged) in acknowledged {
        let present = pairs(&store, task).await;
        let last = *present.last().unwrap();
        // One more may have happened without its acknowledgement getting out.
        assert!(
            last == last_acknowledged || last == last_acknowledged + 1,
            "task {task}: {last} is the last, {last_acknowledged} was acknowledged"
        );
        let expected: Vec<usize> = ((last + 1).saturating_sub(KEPT)..=last).collect();
        assert_eq!(present, expected, "task {task}");
    }
}

/// The numbers of the pairs of `task`; fails if one of them is not whole.
async fn pairs(store: &RedbStore, task: usize) -> Vec<usize> {
    let records = store.scan(format!("{task}/").as_bytes(), None, 1000).await.unwrap();
    let (pairs, rest) = records.as_chunks::<2>();
    assert!(rest.is_empty(), "task {task} has {} records", records.len());
    pairs
        .iter()
        .map(|[left, right]| {
            let name = left.key.to_string();
            let number = name.split('/').nth(1).unwrap();
            assert_eq!(right.key, key(format!("{task}/{number}/right")));
            assert_eq!((&left.value, left.version), (&right.value, right.version));
            let number: usize = number.parse().unwrap();
            assert!(left.value.starts_with(number.to_string().as_bytes()));
            number
        })
        .collect()
}

#[test]
fn a_file_that_may_not_grow_refuses_commits_and_loses_none() {
    if let Some(directory) = child_role() {
        return fill_up(&directory);
    }
    let directory = tempfile::tempdir().unwrap();
    let test = "a_file_that_may_not_grow_refuses_commits_and_loses_none";
    let output = child(test, directory.path()).output().unwrap();
    let printed = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{printed}{}", String::from_utf8_lossy(&output.stderr));
    assert!(printed.contains("the child checked everything"), "{printed}");
}

#[tokio::main]
async fn fill_up(directory: &Path) {
    let store = RedbStore::open(&file(directory)).unwrap();
    limit_file_size(Some(6 << 20));
    let record = |number: usize| (key(format!("t/{number}")), vec![b'x'; 20_000 + number]);
    let mut kept = 0;
    let refused = loop {
        let (at, value) = record(kept);
        match store.commit(Commit::new().put(at, value)).await {
            Ok(_) => kept += 1,
            Err(error) => break error,
        }
    };
    assert_eq!(refused, CommitError::Full);
    assert!(kept > 20, "{kept}");
    check_kept(&store, kept, record).await;

    limit_file_size(None);
    let (at, value) = record(kept);
    store.commit(Commit::new().check_absent(at.clone()).put(at, value)).await.unwrap();
    check_kept(&store, kept + 1, record).await;
    drop(store);
    check_kept(&RedbStore::open(&file(directory)).unwrap(), kept + 1, record).await;
    println!("the child checked everything");
}

#[tokio::test]
async fn a_store_knows_that_its_disk_is_full_before_it_is_written() {
    let directory = tempfile::tempdir().unwrap();
    let open = |reserve_bytes| {
        let options = RedbOptions { reserve_bytes, ..RedbOptions::default() };
        RedbStore::open_with(&file(directory.path()), &options).unwrap()
    };
    assert_eq!(open(0).fitness().await, Ok(Fitness::Well));
    let full = open(u64::MAX);
    assert_eq!(full.fitness().await, Ok(Fitness::Full));
    let refused = full.commit(Commit::new().put(key("a"), "1")).await;
    assert_eq!(refused, Err(CommitError::Full));
}

fn limit_file_size(bytes: Option<u64>) {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

    let maximum = getrlimit(Resource::Fsize).maximum;
    setrlimit(Resource::Fsize, Rlimit { current: bytes.or(maximum), maximum }).unwrap();
}

async fn check_kept(store: &RedbStore, kept: usize, record: impl Fn(usize) -> (Key, Vec<u8>)) {
    for number in 0..kept {
        let (at, value) = record(number);
        assert!(store.get(&at).await.unwrap().is_some_and(|found| found.value == value));
    }
    assert_eq!(store.scan(b"t/", None, 10_000).await.unwrap().len(), kept);
}

#[test]
fn a_second_process_is_refused() {
    if let Some(directory) = child_role() {
        let _store = RedbStore::open(&file(&directory)).unwrap();
        println!("opened");
        // Until the parent closes its end.
        std::io::stdin().read_to_end(&mut Vec::new()).unwrap();
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let mut child = child("a_second_process_is_refused", directory.path()).spawn().unwrap();
    let mut output = BufReader::new(child.stdout.take().unwrap()).lines();
    assert!(output.any(|line| line.unwrap().ends_with("opened")));
    let refused = RedbStore::open(&file(directory.path()));
    assert!(matches!(refused, Err(OpenError::InUse { .. })), "{refused:?}");
    drop(child.stdin.take());
    output.for_each(drop);
    assert!(child.wait().unwrap().success());

    let store = RedbStore::open(&file(directory.path())).unwrap();
    let refused = RedbStore::open(&file(directory.path()));
    assert!(matches!(refused, Err(OpenError::InUse { .. })), "{refused:?}");
    drop(store);
    RedbStore::open(&file(directory.path())).unwrap();
}

#[tokio::test]
async fn looking_at_a_file_changes_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("store.redb");
    let [there, absent] = ["t/a", "t/b"].map(|key| Key::new(key).unwrap());
    assert!(matches!(peek(&path, &[]), Err(OpenError::Io { .. })) && !path.exists());
    let store = RedbStore::open(&path).unwrap();
    store.commit(Commit::new().put(there.clone(), "1")).await.unwrap();
    assert!(matches!(peek(&path, &[]), Err(OpenError::InUse { .. })));
    drop(store);
    let before = std::fs::read(&path).unwrap();
    let found = peek(&path, &[absent, there.clone()]).unwrap();
    assert_eq!((found.len(), &found[0].key, &found[0].value[..]), (1, &there, &b"1"[..]));
    assert_eq!(std::fs::read(&path).unwrap(), before);
}

#[tokio::test]
async fn continues_where_the_last_one_stopped() {
    let directory = tempfile::tempdir().unwrap();
    let store = RedbStore::open(&file(directory.path())).unwrap();
    let first = store.commit(Commit::new().put(key("a"), "1")).await.unwrap();
    drop(store);
    let store = RedbStore::open(&file(directory.path())).unwrap();
    assert_eq!(store.get(&key("a")).await.unwrap().unwrap().version, first);
    let second = store.commit(Commit::new().check_version(key("a"), first).delete(key("a"))).await;
    assert!(second.unwrap() > first);
}

#[tokio::test]
async fn below_its_reserve_of_disk_only_deletes() {
    let directory = tempfile::tempdir().unwrap();
    let path = file(directory.path());
    let store = RedbStore::open(&path).unwrap();
    for name in ["a", "b"] {
        store.commit(Commit::new().put(key(name), "1")).await.unwrap();
    }
    drop(store);
    let options = RedbOptions { reserve_bytes: u64::MAX, ..RedbOptions::default() };
    let store = RedbStore::open_with(&path, &options).unwrap();
    let (put, delete, check) = tokio::join!(
        store.commit(Commit::new().put(key("c"), "1").delete(key("a"))),
        store.commit(Commit::new().delete(key("b"))),
        store.commit(Commit::new().check_absent(key("c"))),
    );
    assert_eq!(put, Err(CommitError::Full));
    assert!(delete.is_ok() && check.is_ok(), "{delete:?} {check:?}");
    assert!(store.get(&key("a")).await.unwrap().is_some());
    assert!(store.get(&key("b")).await.unwrap().is_none());
}

#[test]
fn only_its_owner_may_read_the_file() {
    let directory = tempfile::tempdir().unwrap();
    drop(RedbStore::open(&file(directory.path())).unwrap());
    let mode = std::fs::metadata(file(directory.path())).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn what_is_not_a_store_is_refused_by_name() {
    let directory = tempfile::tempdir().unwrap();
    let path = file(directory.path());
    for content in [&b"short"[..], &vec![b'x'; 100_000]] {
        std::fs::File::create(&path).unwrap().write_all(content).unwrap();
        let refused = RedbStore::open(&path).unwrap_err();
        assert!(matches!(refused, OpenError::Damaged { .. }), "{refused:?}");
        assert!(refused.to_string().contains("store.redb"), "{refused}");
        assert_eq!(std::fs::read(&path).unwrap(), content, "and left alone");
    }
    let missing = RedbStore::open(&directory.path().join("none/store.redb")).unwrap_err();
    assert!(matches!(missing, OpenError::Io { .. }), "{missing:?}");

    let foreign = directory.path().join("foreign.redb");
    let table = redb::TableDefinition::<u64, u64>::new("their table");
    let database = redb::Database::create(&foreign).unwrap();
    let transaction = database.begin_write().unwrap();
    transaction.open_table(table).unwrap();
    transaction.commit().unwrap();
    drop(database);
    let refused = RedbStore::open(&foreign).unwrap_err();
    assert!(refused.to_string().contains("another program"), "{refused}");
}

#[test]
fn a_format_of_the_future_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let path = file(directory.path());
    drop(RedbStore::open(&path).unwrap());
    let database = redb::Database::create(&path).unwrap();
    let transaction = database.begin_write().unwrap();
    let facts = redb::TableDefinition::<&str, u64>::new("facts");
    transaction.open_table(facts).unwrap().insert("format", 2).unwrap();
    transaction.commit().unwrap();
    drop(database);
    let refused = RedbStore::open(&path).unwrap_err();
    assert!(matches!(refused, OpenError::Format { found: 2, known: 1, .. }), "{refused:?}");
}
