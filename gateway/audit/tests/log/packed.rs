//! Files that were packed after they were closed.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use chancery_audit::{Checks, Kind, Seal, Verified, VerifyError, files_of, verify};
use flate2::Compression;
use flate2::write::GzEncoder;

use crate::rotation::row;
use crate::setup::{key, lines, mark_of, open};

/// Packs text as `gzip` does, beside the file.
fn pack(file: &Path, text: &[u8]) -> PathBuf {
    let mut packed = file.as_os_str().to_owned();
    packed.push(".gz");
    let mut encoder = GzEncoder::new(std::fs::File::create(&packed).unwrap(), Compression::fast());
    encoder.write_all(text).unwrap();
    encoder.finish().unwrap();
    packed.into()
}

fn pack_file(file: &Path) -> PathBuf {
    let packed = pack(file, &std::fs::read(file).unwrap());
    std::fs::remove_file(file).unwrap();
    packed
}

fn check(files: &[PathBuf], log: &Path) -> Result<Verified, VerifyError> {
    let (key, mark) = (key(), mark_of(log));
    verify(files, &Checks { key: Some(&key), mark: Some(&mark), ..Checks::default() })
}

#[tokio::test]
async fn packed_files_are_verified_as_they_are() {
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("audit.jsonl");
    let files = row(&log).await;
    let whole = check(&files, &log).unwrap();
    for closed in &files[..files.len() - 2] {
        pack_file(closed);
    }
    // As logrotate does it, with a name of its own.
    let second_to_last = &files[files.len() - 2];
    let renamed = dir.path().join("audit.jsonl.1");
    std::fs::rename(second_to_last, &renamed).unwrap();
    let packed = pack_file(&renamed);
    let found = files_of(&log).unwrap();
    assert_eq!(found.len(), files.len());
    assert!(found.iter().rev().skip(1).all(|file| file.extension().unwrap() == "gz"), "{found:?}");
    // It was closed under another name.
    let wrong = check(&found, &log).unwrap_err();
    assert!(matches!(wrong, VerifyError::Renamed { ref path, .. } if *path == packed), "{wrong}");
    let mut name = second_to_last.as_os_str().to_owned();
    name.push(".gz");
    std::fs::rename(&packed, &name).unwrap();
    let found = files_of(&log).unwrap();
    assert_eq!(check(&found, &log).unwrap(), whole);
    let closed = verify(&found[..found.len() - 1], &Checks::default()).unwrap();
    assert_eq!(closed.seal, Seal::Closed);
    // A log that is written goes on beside them.
    open(&log).await.unwrap().close().await;
}

#[tokio::test]
async fn a_packed_copy_of_a_file_that_is_there_is_left_out() {
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("audit.jsonl");
    let files = row(&log).await;
    let packed = pack(&files[0], &std::fs::read(&files[0]).unwrap());
    assert_eq!(files_of(&log).unwrap(), files);
    let mut both = files.clone();
    both.push(packed);
    assert!(matches!(check(&both, &log).unwrap_err(), VerifyError::Twice { .. }));
}

#[tokio::test]
async fn what_was_changed_in_a_packed_file_is_found() {
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("audit.jsonl");
    let mut files = row(&log).await;
    let text = lines(&files[0]);
    std::fs::remove_file(&files[0]).unwrap();
    let mut packed = |text: &[u8]| {
        files[0] = pack(&log.with_file_name("audit-00000000000000000001.jsonl"), text);
        check(&files, &log).unwrap_err()
    };
    let mut changed = text.clone();
    changed[1] = changed[1].replacen("secrets.read", "secrets.list", 1);
    let VerifyError::Broken { finding, .. } = packed(changed.concat().as_bytes()) else { panic!() };
    assert_eq!((finding.line, finding.kind), (2, Kind::Changed));
    let mut removed = text.clone();
    removed.remove(1);
    let VerifyError::Broken { finding, .. } = packed(removed.concat().as_bytes()) else { panic!() };
    assert_eq!(finding.kind, Kind::Removed { to: 2 });
    // What would fill the memory ends as a line that is too long.
    let bomb = [text[0].as_bytes(), &vec![b' '; 64 << 20]].concat();
    let VerifyError::Broken { finding, .. } = packed(&bomb) else { panic!() };
    assert_eq!((finding.line, finding.kind), (2, Kind::Malformed));
}

#[tokio::test]
async fn a_packed_file_that_is_not_whole_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("audit.jsonl");
    let mut files = row(&log).await;
    files[0] = pack_file(&files[0]);
    let whole = std::fs::read(&files[0]).unwrap();
    std::fs::write(&files[0], &whole[..whole.len() / 2]).unwrap();
    let wrong = check(&files, &log).unwrap_err();
    assert!(matches!(wrong, VerifyError::Read { ref path, .. } if *path == files[0]), "{wrong}");
    // What is packed in another way is told.
    std::fs::write(&files[0], b"\x28\xb5\x2f\xfd").unwrap();
    let wrong = check(&files, &log).unwrap_err();
    assert!(wrong.to_string().contains("something else than gzip"), "{wrong}");
}
