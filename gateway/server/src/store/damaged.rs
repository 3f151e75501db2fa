//! A store of which the file itself is damaged: what can be read of it, and a file made of that.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use chancery_keys::pkcs11::Pkcs11Signer;
use chancery_seal::{Barrier, RootKey, makes_root_key};
use chancery_store::memory::MemoryStore;
use chancery_store::redb::{Gap, Import, Readable};
use chancery_store::{Commit, Key, OpenError, ReadError, Record, Store as _, Version};
use serde::Serialize;

use super::command::{DamagedView, lines};
use super::{root_key, store_file};
use crate::config::{Config, RootKeySource};
use crate::output::{Output, print};

/// How many records are put into the new file at once.
const BATCH: usize = 256;

/// How many records that do not open are named.
const MOST_NAMED: usize = 1000;

/// Where the records are that the seal is opened with.
const SEAL: &[u8] = b"_/seal/";

/// The one that shows whether the root key is the right one.
const SEAL_CHECK: &[u8] = b"_/seal/check";

/// What can be read of the file.
#[derive(Debug, Default)]
struct Survey {
    records: u64,
    gaps: Vec<Gap>,
    /// What was read and does not open, with the reason.
    closed: Vec<(Key, String)>,
    /// Why it is not known whether records open.
    sealed: Option<String>,
}

/// What is said of it.
#[derive(Debug, Serialize)]
struct View<'a> {
    file: &'static str,
    reason: &'a str,
    records: u64,
    unreadable: Vec<GapView>,
    damaged: Vec<DamagedView>,
    #[serde(skip_serializing_if = "Option::is_none")]
    not_opened: Option<String>,
}

/// Records that cannot be read, by the keys of those beside them.
#[derive(Debug, Serialize)]
pub(super) struct GapView {
    after: Option<String>,
    before: Option<String>,
}

impl GapView {
    pub(super) fn of(Gap { after, before }: &Gap) -> Self {
        let text = |key: &Option<Key>| key.as_ref().map(Key::to_string);
        Self { after: text(after), before: text(before) }
    }

    pub(super) fn said(&self) -> String {
        match (&self.after, &self.before) {
            (Some(after), Some(before)) => format!("between {after} and {before}"),
            (Some(after), None) => format!("behind {after}"),
            (None, Some(before)) => format!("before {before}"),
            (None, None) => "anywhere".to_owned(),
        }
    }
}

/// Says what can be read of the file, which is damaged for this `reason`, and what to do.
pub(super) async fn check(
    config: &Config,
    reason: &str,
    hsm: Option<&Pkcs11Signer>,
    output: Output,
) -> Result<ExitCode> {
    let path = store_file(config);
    let survey = survey(config, hsm).await;
    let unread = || format!("{}: {reason}; nothing of it can be read: {ADVICE}", path.display());
    let survey = survey.with_context(unread)?;
    let view = View {
        file: "damaged",
        reason,
        records: survey.records,
        unreadable: survey.gaps.iter().map(GapView::of).collect(),
        damaged: survey
            .closed
            .into_iter()
            .map(|(key, reason)| DamagedView { key: key.to_string(), reason, records: 1 })
            .collect(),
        not_opened: survey.sealed,
    };
    print(output, &view, || said(&path, &view))?;
    Ok(ExitCode::FAILURE)
}

/// What to do with a damaged file.
const ADVICE: &str = "put the store back from a backup (`chancery backup restore`)";

fn said(path: &Path, view: &View<'_>) -> String {
    let mut text = format!(
        "{}: the file is damaged ({}); the gateway does not start with it. {} records can be read",
        path.display(),
        view.reason,
        view.records
    );
    let opened = match &view.not_opened {
        Some(reason) => format!("; it is not known whether they open: {reason}"),
        None if view.damaged.is_empty() => ", all of which open".to_owned(),
        None => format!(", {} of them do not open:\n{}", view.damaged.len(), lines(&view.damaged)),
    };
    text.push_str(&opened);
    for gap in &view.unreadable {
        text.push_str("\n  nothing can be read ");
        text.push_str(&gap.said());
    }
    text + "\nRecords may be missing of which nothing is said here, or be older than they were. To do: "
        + ADVICE
        + ". Without one, `chancery store repair --rebuild` makes a file of what can be read; see \
           docs/operating/store.md"
}

/// Reads all that can be read, and opens it.
async fn survey(config: &Config, hsm: Option<&Pkcs11Signer>) -> Result<Survey> {
    let path = store_file(config);
    let _quiet = Quiet::begin();
    let seal = MemoryStore::new();
    let (survey, records) = tokio::task::spawn_blocking(move || look_for_seal(&path)).await??;
    // A root key would be made anew without them.
    let is_file = matches!(config.root_key, RootKeySource::File(_));
    if !(records.iter().any(|record| record.key.as_bytes() == SEAL_CHECK)
        && (is_file || records.iter().any(|record| makes_root_key(&record.key))))
    {
        let sealed = Some("the records of the seal cannot be read".to_owned());
        return Ok(Survey { sealed, ..survey });
    }
    for record in records {
        seal.commit(Commit::new().put(record.key, record.value)).await?;
    }
    let barrier = match root_key(config, hsm, &seal).await {
        Ok(root) => open(seal, root).await,
        Err(error) => Err(error),
    };
    let barrier = match barrier {
        Ok(barrier) => barrier,
        Err(error) => return Ok(Survey { sealed: Some(format!("{error:#}")), ..survey }),
    };
    let (path, handle) = (store_file(config), tokio::runtime::Handle::current());
    let closed = tokio::task::spawn_blocking(move || {
        let mut closed = vec![];
        Readable::open(&path)?.walk(|found| {
            let found = found.map_err(|key| (key, "it is too short to be a record".to_owned()));
            let opened = found.and_then(|record| {
                handle.block_on(barrier.verify(&record)).map_err(|error| match error {
                    ReadError::Damaged { key, reason } => (key, reason),
                    error => (record.key.clone(), error.to_string()),
                })
            });
            if let Err(one) = opened
                && closed.len() < MOST_NAMED
                && !closed.contains(&one)
            {
                closed.push(one);
            }
        });
        Ok::<_, OpenError>(closed)
    });
    Ok(Survey { closed: closed.await??, ..survey })
}

async fn open(seal: MemoryStore, root: RootKey) -> Result<Arc<Barrier>> {
    Ok(Barrier::open(Arc::new(seal), root).await?)
}

/// Counts the records, and gives those of the seal.
fn look_for_seal(path: &Path) -> Result<(Survey, Vec<Record>), OpenError> {
    let (mut survey, mut seal) = (Survey::default(), vec![]);
    let gaps = Readable::open(path)?.walk(|found| {
        survey.records += 1;
        if let Ok(record) = found
            && (record.key.as_bytes().starts_with(SEAL) || makes_root_key(&record.key))
        {
            seal.push(record);
        }
    });
    survey.gaps = gaps;
    Ok((survey, seal))
}

/// What came of making the file anew.
#[derive(Debug)]
pub(super) struct Rebuilt {
    pub(super) records: u64,
    pub(super) gaps: Vec<Gap>,
    /// Where the damaged file is now.
    pub(super) aside: PathBuf,
}

/// Puts a new file in the place of the damaged one, with all that can be read of that, and moves that aside.
pub(super) async fn rebuild(config: &Config) -> Result<Rebuilt> {
    let store = store_file(config);
    let aside = store.with_extension("redb.damaged");
    if chancery_files::is_there(&aside) {
        bail!("{} is there already, from a repair before: move it away first", aside.display());
    }
    let beside = store.with_extension("rebuilding");
    if chancery_files::is_there(&beside) {
        chancery_files::remove(&beside)
            .with_context(|| format!("cannot remove {}", beside.display()))?;
    }
    let _quiet = Quiet::begin();
    let (from, to) = (store.clone(), beside.clone());
    let made = tokio::task::spawn_blocking(move || copy(&from, &to)).await?;
    if made.is_err() {
        let _ = chancery_files::remove(&beside);
    }
    let (records, gaps) = made?;
    chancery_files::rename(&store, &aside)
        .with_context(|| format!("cannot make {}", aside.display()))?;
    chancery_files::rename(&beside, &store).with_context(|| {
        format!("cannot make {}: {} is what it is to be", store.display(), beside.display())
    })?;
    Ok(Rebuilt { records, gaps, aside })
}

fn copy(from: &Path, to: &Path) -> Result<(u64, Vec<Gap>), OpenError> {
    let readable = Readable::open(from)?;
    let newest = readable.newest();
    let mut import = Import::create(to)?;
    let (mut records, mut batch, mut failed) = (0, Vec::with_capacity(BATCH), None);
    let mut put = |batch: &mut Vec<Record>, failed: &mut Option<OpenError>| {
        if failed.is_none() {
            *failed = import.put(batch).err();
        }
        batch.clear();
    };
    let gaps = readable.walk(|found| {
        // What is too short to be a record has no value that could be kept.
        let Ok(record) = found else { return };
        records += 1;
        // No commit made what has a version above the newest.
        let version: Version = record.version.min(newest);
        batch.push(Record { version, ..record });
        if batch.len() == BATCH {
            put(&mut batch, &mut failed);
        }
    });
    put(&mut batch, &mut failed);
    if let Some(error) = failed {
        return Err(error);
    }
    import.finish(newest)?;
    Ok((records, gaps))
}

/// While it lives, what panics says nothing: reading a damaged file makes the database do so, many times.
struct Quiet;

impl Quiet {
    fn begin() -> Self {
        std::panic::set_hook(Box::new(|_| {}));
        Self
    }
}

impl Drop for Quiet {
    fn drop(&mut self) {
        // That is the hook which was there before: this program has no other.
        drop(std::panic::take_hook());
    }
}
