//! A store of which the file itself is damaged: what can be read of it, and a file made of that.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context, Result, bail, ensure};
use chancery_keys::pkcs11::Pkcs11Signer;
use chancery_seal::{Barrier, Census, RootKey, is_check, is_of_seal, makes_root_key};
use chancery_store::memory::MemoryStore;
use chancery_store::redb::{Gap, Import, Readable, Unfinished, peek_unfinished};
use chancery_store::{Commit, Key, OpenError, ReadError, Record, Store as _, Version};
use serde::Serialize;

use super::aside::{aside, newest_aside};
use super::backup_file::open_backup;
use super::damaged_view::{DamagedView, lines};
use super::keys::LostView;
use super::quiet::Quiet;
use super::{STORE_FILE, keys, raw, root_key, store_file};
use crate::config::{Config, RootKeySource};
use crate::output::{Output, print};

/// How many records are put into the new file at once.
const BATCH: usize = 256;

/// How many records that do not open are named.
const MOST_NAMED: usize = 1000;

/// What can be read of the file.
#[derive(Debug, Default)]
struct Survey {
    records: u64,
    gaps: Vec<Gap>,
    /// What was read and does not open, with the reason.
    closed: Vec<(Key, String)>,
    /// Keys of tenants that are missing.
    lost: Vec<LostView>,
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
    missing_keys: Vec<LostView>,
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
        missing_keys: survey.lost,
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
    for lost in &view.missing_keys {
        text.push_str("\n  ");
        text.push_str(&lost.said());
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
    if !(records.iter().any(|record| is_check(&record.key))
        && (is_file || records.iter().any(|record| makes_root_key(&record.key))))
    {
        let sealed = Some("the records of the seal cannot be read".to_owned());
        return Ok(Survey { sealed, ..survey });
    }
    for Record { key, value, .. } in records.clone() {
        seal.commit(Commit::new().put(key, value)).await?;
    }
    let opened = match root_key(config, hsm, &seal).await {
        Ok(root) => open(seal, root, keys::expected(config)?).await,
        Err(error) => Err(error),
    };
    let (barrier, mut census) = match opened {
        Ok(opened) => opened,
        Err(error) => return Ok(Survey { sealed: Some(format!("{error:#}")), ..survey }),
    };
    let (path, handle) = (store_file(config), tokio::runtime::Handle::current());
    let closed = tokio::task::spawn_blocking(move || {
        let mut closed = vec![];
        for record in &records {
            census.note_of_seal(record);
        }
        Readable::open(&path)?.walk(|found| {
            let found = found.map_err(|key| (key, "it is too short to be a record".to_owned()));
            let opened = found.and_then(|record| {
                census.note(&record);
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
        Ok::<_, OpenError>((closed, census.lost().iter().map(LostView::of).collect()))
    });
    let (closed, lost) = closed.await??;
    Ok(Survey { closed, lost, ..survey })
}

async fn open(
    seal: MemoryStore,
    root: RootKey,
    expected: BTreeSet<Key>,
) -> Result<(Arc<Barrier>, Census)> {
    let census = Census::new(&root, expected)?;
    Ok((Barrier::open(Arc::new(seal), root).await?, census))
}

/// Counts the records, and gives those of the seal.
fn look_for_seal(path: &Path) -> Result<(Survey, Vec<Record>), OpenError> {
    let (mut survey, mut seal) = (Survey::default(), vec![]);
    let gaps = Readable::open(path)?.walk(|found| {
        survey.records += 1;
        if let Ok(record) = found
            && is_of_seal(&record.key)
        {
            seal.push(record);
        }
    });
    survey.gaps = gaps;
    Ok((survey, seal))
}

/// Where the new file is made.
fn beside(config: &Config) -> PathBuf {
    store_file(config).with_extension("rebuilding")
}

/// Whether the damaged file was moved aside, and the new one has not taken its place.
///
/// # Errors
/// It looks so, and the new file is not complete, or not made of the damaged one: somebody else moved that.
pub(super) fn is_between_renames(config: &Config) -> Result<bool> {
    let (beside, aside) = (beside(config), aside(config));
    if chancery_files::is_there(&store_file(config))
        || !chancery_files::is_there(&aside)
        || !chancery_files::is_there(&beside)
    {
        return Ok(false);
    }
    let is_complete = match peek_unfinished(&beside) {
        Ok(newest) => newest
            .is_some_and(|newest| newest_aside(config).is_some_and(|damaged| newest >= damaged)),
        // It had its note before it could be left so.
        Err(OpenError::Unclosed { .. }) => true,
        Err(_) => false,
    };
    ensure!(
        is_complete,
        "{} is not complete, or not made of {}: give that the name {STORE_FILE} again, then repair it",
        beside.display(),
        aside.display()
    );
    Ok(true)
}

/// Puts the new file in its place if a repair was stopped just before that.
///
/// # Errors
/// As for [`is_between_renames`].
pub(super) fn end_renames(config: &Config) -> Result<()> {
    if !is_between_renames(config)? {
        return Ok(());
    }
    let beside = beside(config);
    ensure!(
        raw(&beside).is_ok_and(|draft| draft.unfinished().is_some()),
        "{} is not complete: give {} the name {STORE_FILE} again, then repair that",
        beside.display(),
        aside(config).display()
    );
    put_in_place(config)
}

fn put_in_place(config: &Config) -> Result<()> {
    let (store, beside) = (store_file(config), beside(config));
    chancery_files::rename(&beside, &store).with_context(|| {
        format!("cannot make {}: {} is what it is to be", store.display(), beside.display())
    })
}

/// Puts a new file in the place of the damaged one, with all that can be read of that, and moves that aside. The new
/// one has a note that the repair is not done. Before anything is changed, the root key has to open the new one, a
/// backup that records are to come `from` has to be whole, and keys of tenants may only be missing if they are given up. Whether the record that shows the root key was made anew.
pub(super) async fn rebuild(
    config: &Config,
    hsm: Option<&Pkcs11Signer>,
    from: Option<&Path>,
    given_up: &[Key],
) -> Result<bool> {
    let (store, aside, beside) = (store_file(config), aside(config), beside(config));
    if chancery_files::is_there(&aside) {
        bail!("{} is there already, from a repair before: move it away first", aside.display());
    }
    if chancery_files::is_there(&beside) {
        chancery_files::remove(&beside)
            .with_context(|| format!("cannot remove {}", beside.display()))?;
    }
    let drafted = draft(config, hsm, from, given_up).await;
    if drafted.is_err() {
        let _ = chancery_files::remove(&beside);
    }
    let mended = drafted.context("the file is not made anew, and nothing is changed")?;
    chancery_files::rename(&store, &aside)
        .with_context(|| format!("cannot make {}", aside.display()))?;
    put_in_place(config)?;
    Ok(mended)
}

/// Makes the new file beside the damaged one, and leaves it closed.
async fn draft(
    config: &Config,
    hsm: Option<&Pkcs11Signer>,
    from: Option<&Path>,
    given_up: &[Key],
) -> Result<bool> {
    // Before the work begins.
    drop(from.map(open_backup).transpose()?);
    let (damaged, path) = (store_file(config), beside(config));
    let records = {
        let _quiet = Quiet::begin();
        tokio::task::spawn_blocking(move || copy(&damaged, &path)).await??
    };
    // An empty one would be sealed with any root key.
    ensure!(records > 0, "nothing of the file can be read: {ADVICE}");
    let opened = keys::open(raw(&beside(config))?, config, hsm, from).await?;
    opened.given_up(given_up, false).await?;
    Ok(opened.mended)
}

fn copy(from: &Path, to: &Path) -> Result<u64, OpenError> {
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
    import.finish_rebuilt(newest, &Unfinished { records, gaps })?;
    Ok(records)
}
