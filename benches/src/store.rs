//! Durable commits at concurrency 64, beside one write and one fsync each.

use std::fs::File;
use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use chancery_store::redb::RedbStore;
use chancery_store::{Commit, Key, Store};

use crate::measure;
use crate::report::Row;

const WRITERS: usize = 64;
const RECORD: [u8; 1024] = [7; 1024];
const TIME: Duration = Duration::from_secs(2);

pub(crate) fn rows() -> Vec<Row> {
    // In the target directory and not in /tmp, which may be memory.
    std::fs::create_dir_all("target").unwrap();
    let directory = tempfile::tempdir_in("target").unwrap();
    let store = Arc::new(RedbStore::open(&directory.path().join("bench.redb")).unwrap());
    let file = File::create(directory.path().join("plain")).unwrap();
    let (ours, floor) = measure::pair(|| commits(&store), || fsyncs(&file));
    vec![Row::new("store: durable commits, 1 KiB, 64 writers", "commits/s", ours, floor)]
}

fn commits(store: &Arc<RedbStore>) -> f64 {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let started = std::time::Instant::now();
    let done: u64 = runtime.block_on(async {
        let writers: Vec<_> = (0..WRITERS)
            .map(|_| {
                let store = store.clone();
                tokio::spawn(async move {
                    let mut done = 0_u64;
                    while started.elapsed() < TIME {
                        let number = NEXT.fetch_add(1, Ordering::Relaxed);
                        let key = Key::new(format!("default/bench/{number:016x}")).unwrap();
                        let commit = Commit::new().check_absent(key.clone()).put(key, &RECORD[..]);
                        store.commit(commit).await.unwrap();
                        done += 1;
                    }
                    done
                })
            })
            .collect();
        let mut sum = 0;
        for writer in writers {
            sum += writer.await.unwrap();
        }
        sum
    });
    done as f64 / started.elapsed().as_secs_f64()
}

fn fsyncs(file: &File) -> f64 {
    measure::rate(
        1,
        TIME,
        |_| file,
        |file| {
            file.write_all(&RECORD).unwrap();
            file.sync_data().unwrap();
        },
    )
}
