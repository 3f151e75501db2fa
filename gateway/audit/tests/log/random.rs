//! Whatever somebody without the keys does to the files, it is noticed: by the check with the key and the
//! mark, by the check with the public key as far as that reaches, and by the next start if it is after
//! the mark.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use chancery_audit::{Audit, Checks, files_of, verify};
use chancery_identity::Clock;
use jiff::Timestamp;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use crate::setup::{config, event, head_of, key, mark_of, public_key};

type Files = BTreeMap<PathBuf, Vec<u8>>;

/// What somebody without the keys can change: all but what stands for the sealed store.
fn paths(directory: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    entries.filter(|path| !path.ends_with("store.mark")).collect()
}

fn read(directory: &Path) -> Files {
    let read = |path: PathBuf| (path.clone(), std::fs::read(&path).unwrap());
    paths(directory).into_iter().map(read).collect()
}

fn write(directory: &Path, files: &Files) {
    for path in paths(directory) {
        std::fs::remove_file(path).unwrap();
    }
    for (path, bytes) in files {
        std::fs::write(path, bytes).unwrap();
    }
}

#[derive(Debug, Clone)]
enum Tampering {
    Flip(usize, usize, u8),
    RemoveLine(usize, usize),
    SwapLines(usize, usize, usize),
    RepeatLine(usize, usize, usize),
    InsertBytes(usize, usize, Vec<u8>),
    Cut(usize, usize),
    RemoveFile(usize),
    SwapFiles(usize, usize),
    RenameFile(usize, u64),
    /// An older log, with or without its head.
    Restore(bool),
    RemoveHead,
    OldHead,
    RemoveAll,
}

fn tampering() -> impl Strategy<Value = Tampering> {
    use Tampering as T;
    let any_three = || (any::<usize>(), any::<usize>(), any::<usize>());
    prop_oneof![
        4 => (any::<usize>(), any::<usize>(), 1..=u8::MAX).prop_map(|(f, a, m)| T::Flip(f, a, m)),
        2 => (any::<usize>(), any::<usize>()).prop_map(|(f, a)| T::RemoveLine(f, a)),
        2 => any_three().prop_map(|(f, a, b)| T::SwapLines(f, a, b)),
        2 => any_three().prop_map(|(f, a, b)| T::RepeatLine(f, a, b)),
        2 => (any::<usize>(), any::<usize>(), proptest::collection::vec(any::<u8>(), 1..40))
            .prop_map(|(f, a, bytes)| T::InsertBytes(f, a, bytes)),
        2 => (any::<usize>(), any::<usize>()).prop_map(|(f, a)| T::Cut(f, a)),
        1 => any::<usize>().prop_map(T::RemoveFile),
        1 => (any::<usize>(), any::<usize>()).prop_map(|(a, b)| T::SwapFiles(a, b)),
        1 => (any::<usize>(), any::<u64>()).prop_map(|(f, n)| T::RenameFile(f, n)),
        1 => any::<bool>().prop_map(T::Restore),
        1 => Just(T::RemoveHead),
        1 => Just(T::OldHead),
        1 => Just(T::RemoveAll),
    ]
}

struct World {
    log: PathBuf,
    /// The files of lines, in their order.
    row: Vec<PathBuf>,
    whole: Files,
    older: Files,
}

impl World {
    fn tamper(&self, tampering: &Tampering) -> Files {
        let mut files = self.whole.clone();
        let path = |at: usize| self.row[at % self.row.len()].clone();
        let lines = |at: usize| -> Vec<Vec<u8>> {
            let text = &self.whole[&path(at)];
            text.split_inclusive(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect()
        };
        let mut put = |at: usize, bytes: Vec<u8>| drop(files.insert(path(at), bytes));
        match tampering {
            Tampering::Flip(file, at, mask) => {
                let mut bytes = self.whole[&path(*file)].clone();
                let at = at % bytes.len();
                bytes[at] ^= mask;
                put(*file, bytes);
            }
            Tampering::RemoveLine(file, at) => {
                let mut lines = lines(*file);
                lines.remove(at % lines.len());
                put(*file, lines.concat());
            }
            Tampering::SwapLines(file, one, other) => {
                let mut lines = lines(*file);
                let count = lines.len();
                lines.swap(one % count, other % count);
                put(*file, lines.concat());
            }
            Tampering::RepeatLine(file, from, to) => {
                let mut lines = lines(*file);
                let count = lines.len();
                let line = lines[from % count].clone();
                lines.insert(to % count, line);
                put(*file, lines.concat());
            }
            Tampering::InsertBytes(file, at, more) => {
                let mut bytes = self.whole[&path(*file)].clone();
                let at = at % (bytes.len() + 1);
                bytes.splice(at..at, more.iter().copied());
                put(*file, bytes);
            }
            Tampering::Cut(file, at) => {
                let bytes = &self.whole[&path(*file)];
                put(*file, bytes[..at % bytes.len()].to_vec());
            }
            Tampering::RemoveFile(file) => drop(files.remove(&path(*file))),
            Tampering::SwapFiles(one, other) => {
                let (first, second) = (path(*one), path(*other));
                let (a, b) = (self.whole[&first].clone(), self.whole[&second].clone());
                files.insert(first, b);
                files.insert(second, a);
            }
            Tampering::RenameFile(file, number) => {
                let bytes = files.remove(&path(*file)).unwrap();
                let name = format!("audit-{number:020}.jsonl");
                files.insert(self.log.with_file_name(name), bytes);
            }
            Tampering::Restore(with_head) => {
                files.retain(|path, _| !self.row.contains(path));
                for (path, bytes) in &self.older {
                    if *with_head || *path != head_of(&self.log) {
                        files.insert(path.clone(), bytes.clone());
                    }
                }
            }
            Tampering::RemoveHead => drop(files.remove(&head_of(&self.log))),
            Tampering::OldHead => {
                files.insert(head_of(&self.log), self.older[&head_of(&self.log)].clone());
            }
            Tampering::RemoveAll => files.clear(),
        }
        files
    }

    /// The lines that are there, in the order of the row, whatever their files are called.
    fn text(&self, files: &Files) -> Vec<u8> {
        self.row.iter().filter_map(|path| files.get(path)).flatten().copied().collect()
    }
}

/// The first so many lines as they are signed: MACs mean something to those only who have the key.
fn without_macs(text: &[u8], count: usize) -> Vec<&[u8]> {
    let lines = text.split(|byte| *byte == b'\n').take(count);
    lines.map(|line| &line[..line.len() - "\"mac\":\"\"}".len() - 64]).collect()
}

async fn world(directory: &Path) -> World {
    let log = directory.join("audit.jsonl");
    let open = || async {
        let mut config = config(&log);
        config.rotation.bytes = Some(3_000);
        Audit::open(config, Clock::manual(Timestamp::UNIX_EPOCH)).await.unwrap()
    };
    let audit = open().await;
    audit.record(event("0")).await.unwrap();
    audit.close().await;
    let older = read(directory);
    let audit = open().await;
    for n in 1..10 {
        audit.record(event(n.to_string())).await.unwrap();
    }
    audit.close().await;
    let row = files_of(&log).unwrap();
    assert!(row.len() >= 3, "{row:?}");
    World { row, whole: read(directory), older, log }
}

#[test]
fn no_tampering_passes() {
    let dir = tempfile::tempdir().unwrap();
    let directory = dir.path().join("log");
    std::fs::create_dir(&directory).unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let world = runtime.block_on(world(&directory));
    let original = world.text(&world.whole);
    let (key, public_key) = (key(), public_key());
    let mark = mark_of(&world.log);
    let stored = std::fs::read(crate::setup::store_of(&world.log)).unwrap();
    let config = Config { failure_persistence: None, cases: 512, ..Config::default() };
    let mut runner = TestRunner::new(config);
    let passes = |tampering: Tampering| {
        let files = world.tamper(&tampering);
        // An exchange of a file with itself changes nothing.
        if files == world.whole {
            return Ok(());
        }
        write(&directory, &files);
        let given: Vec<_> = files_of(&world.log).unwrap();
        let checks = Checks { key: Some(&key), mark: Some(&mark), ..Checks::default() };
        if let Ok(verified) = verify(&given, &checks) {
            // An old head is as good as one that was not synced: the mark says where the end is. And
            // half a line at the end is what a crash leaves.
            let torn = usize::try_from(verified.torn_bytes).unwrap();
            let text = world.text(&files);
            prop_assert_eq!(&text[..text.len() - torn], &original[..], "{:?}", tampering);
        }
        // Somebody else sees what happened to the lines before the last checkpoint.
        let checks = Checks { public_key: Some(&public_key), ..Checks::default() };
        if let Ok(verified) = verify(&given, &checks) {
            let text = world.text(&files);
            let signed = usize::try_from(verified.checkpoints.lines).unwrap();
            let found = without_macs(&text, signed);
            prop_assert!(found == without_macs(&original, signed), "{:?}", tampering);
        }
        // The start goes on only with a log that has all lines from the mark on, and changes no other.
        let before = read(&directory);
        let opened = runtime.block_on(crate::setup::open(&world.log));
        if let Ok(audit) = opened {
            runtime.block_on(audit.close());
            let text = world.text(&read(&directory));
            let last = original.split_inclusive(|byte| *byte == b'\n').next_back().unwrap();
            let there = text.windows(last.len()).any(|window| window == last);
            prop_assert!(there, "the start took {:?}", tampering);
            std::fs::write(crate::setup::store_of(&world.log), &stored).unwrap();
        } else {
            prop_assert_eq!(read(&directory), before);
        }
        Ok(())
    };
    runner.run(&tampering(), passes).unwrap();
}
