//! Audit lines at concurrency 64, each durable before its answer, with their marks in a store and a
//! checkpoint a second, beside one write and one fsync each.

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use chancery_audit::{Audit, AuditConfig, Event, KnownMark, Mark, Marks, Rotation, WriteMark};
use chancery_files::Trusted;
use chancery_identity::{Clock, RequestContext, TenantId};
use chancery_store::redb::RedbStore;
use chancery_store::{Commit, Key, Store};
use zeroize::Zeroizing;

use crate::measure;
use crate::report::Row;

const WRITERS: usize = 64;
const TIME: Duration = Duration::from_secs(2);
/// About what an event of the gateway takes.
const LINE: [u8; 1024] = [b'x'; 1024];

pub(crate) fn rows() -> Vec<Row> {
    // In the target directory and not in /tmp, which may be memory.
    std::fs::create_dir_all("target").unwrap();
    let directory = tempfile::tempdir_in("target").unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let audit = runtime.block_on(open(&directory.path().join("audit.jsonl")));
    let file = File::create(directory.path().join("plain")).unwrap();
    let (ours, floor) = measure::pair(|| runtime.block_on(lines(&audit)), || fsyncs(&file));
    vec![Row::new("audit: durable lines, 1 KiB, 64 writers", "lines/s", ours, floor)]
}

async fn open(log: &Path) -> Audit {
    let key = Zeroizing::new(vec![7; 32]);
    let store = Arc::new(RedbStore::open(&log.with_extension("redb")).unwrap());
    let write: WriteMark = Arc::new(move |mark| {
        let store = store.clone();
        Box::pin(async move {
            let commit = Commit::new().put(Key::new("_/audit/mark").unwrap(), mark.encode());
            store.commit(commit).await.map(drop).map_err(|error| error.to_string())
        })
    });
    let config = AuditConfig {
        path: log.to_owned(),
        trusted: Trusted::process(),
        key,
        name: "bench.example/audit".parse().unwrap(),
        marks: Marks { known: KnownMark::At(Mark::start()), write },
        rotation: Rotation { bytes: Some(1 << 30), age: None },
        checkpoints: Duration::from_secs(1),
    };
    Audit::open(config, Clock::system()).await.unwrap()
}

async fn lines(audit: &Audit) -> f64 {
    let started = std::time::Instant::now();
    let writers: Vec<_> = (0..WRITERS)
        .map(|_| {
            let audit = audit.clone();
            tokio::spawn(async move {
                let mut done = 0_u64;
                while started.elapsed() < TIME {
                    audit.record(event()).await.unwrap();
                    done += 1;
                }
                done
            })
        })
        .collect();
    let mut done = 0;
    for writer in writers {
        done += writer.await.unwrap();
    }
    done as f64 / started.elapsed().as_secs_f64()
}

fn event() -> Event {
    let now = Clock::system().now();
    let context = RequestContext::internal(TenantId::default_tenant(), now);
    let padding = String::from_utf8_lossy(LINE.get(..600).unwrap_or_default()).into_owned();
    Event::new(&context, "secrets.read", "secret/app/db").detail("padding", padding).succeeded()
}

fn fsyncs(file: &File) -> f64 {
    measure::rate(
        1,
        TIME,
        |_| file,
        |file| {
            file.write_all(&LINE).unwrap();
            file.sync_data().unwrap();
        },
    )
}
