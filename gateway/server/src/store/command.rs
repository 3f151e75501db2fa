//! `chancery store …`: what can be done for a store that is damaged, or came back from the past.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context, Result, bail, ensure};
use chancery_audit::Event;
use chancery_identity::{Clock, RequestContext, TenantId};
use chancery_keys::pkcs11::Pkcs11Signer;
use chancery_seal::{LostKeys, is_of_seal, is_tenant_key};
use chancery_store::redb::{Gap, Integrity, RedbStore, Unfinished, verify};
use chancery_store::{Commit, Key, OpenError, ReadError, Record, Store, restored};
use clap::{Args, Subcommand};
use serde::Serialize;

use super::aside::aside;
use super::backup_file::open_backup;
use super::damaged::{self, GapView};
use super::damaged_view::{DamagedView, lines};
use super::indexes;
use super::keys::{self, LostView};
use super::quiet::Quiet;
use super::{OpenStore, UNFINISHED, existing, store_file};
use crate::audit::{self, Chain};
use crate::config::Config;
use crate::foundation::open_hsm;
use crate::output::{Output, print};

/// How many records are read at once.
const PAGE: usize = 256;

/// How many damaged records are named.
const MOST_NAMED: usize = 10_000;

/// `chancery store`.
#[derive(Debug, Args)]
pub(crate) struct StoreArgs {
    /// How results are printed.
    #[arg(long, global = true, value_enum, default_value_t = Output::Text)]
    output: Output,
    #[command(subcommand)]
    command: StoreCommand,
}

#[derive(Debug, Subcommand)]
enum StoreCommand {
    /// Look through the whole store, and name every record that does not open.
    Check(ConfigArgs),
    /// Make damaged records anew where they follow from others, or take them from a backup.
    ///
    /// Nothing is given up by itself: what is left is named, and stays as it is unless you `--remove` it.
    Repair(RepairArgs),
    /// Tell the gateway that its state came back from the past with a snapshot of a disk or of a machine.
    ///
    /// Numbers that others remember go on above those that they may have seen, and what is written from now on is
    /// sealed under new keys. `chancery backup restore` does this by itself.
    Restored(ConfigArgs),
}

#[derive(Debug, Args)]
struct ConfigArgs {
    /// The configuration of the gateway, which has to be stopped.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
}

#[derive(Debug, Args)]
struct RepairArgs {
    #[command(flatten)]
    config: ConfigArgs,
    /// Take damaged records from this backup, if it has them as they were written last.
    #[arg(long, value_name = "FILE")]
    from: Option<PathBuf>,
    /// Take them from the backup also if it has an older state of them. Not for what must not go back: a
    /// certificate that was revoked since is good again.
    #[arg(long, requires = "from")]
    older: bool,
    /// Give up the damaged record with this key, written as `check` shows it. May be given several times.
    #[arg(long, value_name = "KEY")]
    remove: Vec<Key>,
    /// Make the file anew of what can be read, if it is damaged itself. Records may be lost by this: revocations,
    /// for example. The damaged file is kept beside it. With `--from`, keys of tenants that cannot be read are taken
    /// from the backup; with `--older`, everything that cannot be read.
    #[arg(long)]
    rebuild: bool,
    /// Give up the keys of this tenant that are missing or damaged: what they seal does not open, until a backup
    /// that has them turns up. Without this, no file is made anew in which keys are missing. May be given several
    /// times.
    #[arg(long, value_name = "TENANT")]
    accept_loss: Vec<Key>,
}

/// What is found.
#[derive(Debug, Serialize)]
struct Checked {
    /// Whether the file itself is as it was written.
    file: &'static str,
    records: u64,
    damaged: Vec<DamagedView>,
}

/// What was done.
#[derive(Debug, Default, Serialize)]
struct Repaired {
    /// The file was made anew.
    #[serde(skip_serializing_if = "Option::is_none")]
    rebuilt: Option<RebuiltView>,
    /// Made anew out of what they follow from.
    remade: Vec<String>,
    /// Taken from the backup, as they were written last.
    restored: Vec<String>,
    /// Taken from the backup, older than they were.
    restored_older: Vec<String>,
    removed: Vec<String>,
    /// Entries of indexes that follow from no record.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    dropped: Vec<String>,
    /// Keys of tenants that were given up.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    accepted_loss: Vec<LostView>,
    left: Vec<DamagedView>,
}

/// How the file was made anew.
#[derive(Debug, Serialize)]
struct RebuiltView {
    records: u64,
    unreadable: Vec<GapView>,
    damaged_file: PathBuf,
}

/// Records that do not open, by what is to be mended, with the reason and how many records it is about.
type Damage = BTreeMap<Key, (String, u64)>;

/// Does what was asked.
pub(crate) async fn run(args: StoreArgs) -> Result<ExitCode> {
    match args.command {
        StoreCommand::Check(ConfigArgs { config }) => {
            check(&Config::load(&config)?, args.output).await
        }
        StoreCommand::Repair(repair) => {
            let config = Config::load(&repair.config.config)?;
            if repair.rebuild {
                damaged::end_renames(&config)?;
            }
            existing(&config)?;
            let hsm = open_hsm(&config)?;
            let repaired = repair_stopped(&config, hsm.clone(), &repair, args.output).await;
            close(hsm).await?;
            repaired
        }
        StoreCommand::Restored(ConfigArgs { config }) => {
            let config = Config::load(&config)?;
            let stopped = Stopped::open(&config).await?;
            let marked = stopped.restored(&config).await;
            stopped.close().await?;
            marked?;
            print(args.output, &serde_json::json!({ "restored": true }), || {
                format!("{}: goes on from an earlier state", store_file(&config).display())
            })?;
            Ok(ExitCode::SUCCESS)
        }
    }
}

async fn check(config: &Config, output: Output) -> Result<ExitCode> {
    let path = existing(config)?;
    let integrity = match integrity(config).await {
        Err(OpenError::Damaged { reason, .. }) => {
            let hsm = open_hsm(config)?;
            let checked = damaged::check(config, &reason, hsm.as_deref(), output).await;
            close(hsm).await?;
            return checked;
        }
        integrity => integrity?,
    };
    let stopped = Stopped::open(config).await?;
    let looked = stopped.look_through(&[]).await;
    stopped.close().await?;
    let (records, damage) = looked?;
    let file = match integrity {
        Integrity::Whole => "whole",
        Integrity::Repaired => "was not closed properly, and is repaired",
        Integrity::WentBack => {
            "was not closed properly, and its newest commit is not whole, so it is at the one before"
        }
    };
    let checked = Checked { file, records, damaged: views(damage) };
    print(output, &checked, || said(&path, &checked))?;
    Ok(if checked.damaged.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Checks the file.
async fn integrity(config: &Config) -> Result<Integrity, OpenError> {
    let file = store_file(config);
    let failed = |reason: String| OpenError::Io { path: store_file(config), reason };
    config.trusted.file(&file).map_err(|error| failed(error.to_string()))?;
    let _quiet = Quiet::begin();
    let checked = tokio::task::spawn_blocking(move || verify(&file)).await;
    checked.unwrap_or_else(|error| Err(failed(error.to_string())))
}

/// Makes the file anew if it is damaged. Whether the record that shows the root key was made anew with it.
async fn rebuild_if_damaged(
    config: &Config,
    hsm: Option<&Pkcs11Signer>,
    args: &RepairArgs,
) -> Result<bool> {
    match integrity(config).await {
        Ok(_) => Ok(false),
        Err(OpenError::Damaged { .. }) => {
            damaged::rebuild(config, hsm, args.from.as_deref(), &args.accept_loss).await
        }
        Err(error) => Err(error.into()),
    }
}

async fn repair_stopped(
    config: &Config,
    hsm: Option<Arc<Pkcs11Signer>>,
    args: &RepairArgs,
    output: Output,
) -> Result<ExitCode> {
    let mended = args.rebuild && rebuild_if_damaged(config, hsm.as_deref(), args).await?;
    let raw = OpenStore::file(config).await?;
    // Made anew just now, or by a run that was stopped.
    let is_rebuilt = raw.unfinished().is_some();
    ensure!(args.rebuild || !is_rebuilt, UNFINISHED);
    let repaired = repair(config, raw, hsm, mended, args, output).await;
    if is_rebuilt { repaired.context(NOT_DONE) } else { repaired }
}

async fn repair(
    config: &Config,
    raw: Arc<RedbStore>,
    hsm: Option<Arc<Pkcs11Signer>>,
    mended: bool,
    args: &RepairArgs,
    output: Output,
) -> Result<ExitCode> {
    let opened = keys::open(raw, config, hsm.as_deref(), args.from.as_deref()).await?;
    let given_up = opened.given_up(&args.accept_loss, opened.open.unfinished().is_some()).await?;
    let begun = Begun {
        mended: mended || opened.mended,
        rebuilt: opened.open.unfinished().cloned(),
        taken: opened.taken.iter().map(Key::to_string).collect(),
        given_up: given_up.iter().map(LostView::of).collect(),
        lost: opened.census.lost(),
    };
    opened.renew(&given_up).await?;
    repair_opened(config, &Stopped { open: opened.open, hsm }, begun, args, output).await
}

/// What is said if something fails after the file was made anew.
const NOT_DONE: &str =
    "the repair did not come to its end: see to what follows, then run it again with --rebuild";

/// What a repair begins with.
struct Begun {
    /// Whether the record that shows the root key was made anew.
    mended: bool,
    rebuilt: Option<Unfinished>,
    /// Keys that came from the backup.
    taken: Vec<String>,
    given_up: Vec<LostView>,
    /// Keys that are missing, given up or not.
    lost: Vec<LostKeys>,
}

fn said(path: &Path, checked: &Checked) -> String {
    let Checked { file, records, damaged } = checked;
    let verb = if *file == "whole" { "is " } else { "" };
    let text = format!("{}: the file {verb}{file}; {records} records", path.display());
    if damaged.is_empty() {
        return text + ", all of which open";
    }
    format!("{text}, {} damaged:\n{}", damaged.len(), lines(damaged))
}

fn views(damage: Damage) -> Vec<DamagedView> {
    let view =
        |(key, (reason, records)): (Key, _)| DamagedView { key: key.to_string(), reason, records };
    damage.into_iter().map(view).collect()
}

async fn repair_opened(
    config: &Config,
    stopped: &Stopped,
    Begun { mended, rebuilt, taken, given_up, lost }: Begun,
    args: &RepairArgs,
    output: Output,
) -> Result<ExitCode> {
    let mut done = Repaired { restored: taken, accepted_loss: given_up, ..Repaired::default() };
    let mut gaps = vec![];
    if let Some(rebuilt) = rebuilt {
        // What was lost may have been newer than what is there.
        stopped.open.put_mark(Clock::system().now()).await?;
        done.rebuilt = Some(RebuiltView {
            records: rebuilt.records,
            unreadable: rebuilt.gaps.iter().map(GapView::of).collect(),
            damaged_file: aside(config),
        });
        gaps = rebuilt.gaps;
    }
    let (_, damage) = stopped.look_through(&lost).await?;
    done.remade.extend(mended.then(|| "_/seal/check".to_owned()));
    let mut left: Vec<Key> = vec![];
    let (mut entries, damage): (Vec<Key>, Vec<Key>) =
        damage.into_keys().partition(indexes::is_index);
    entries.retain(|entry| !args.remove.contains(entry));
    for key in damage {
        if stopped.remake(&key).await? {
            done.remade.push(key.to_string());
        } else {
            left.push(key);
        }
    }
    if let Some(backup) = &args.from {
        left = stopped.take_from(backup, args.older, left, &gaps, &mut done).await?;
    }
    for key in &args.remove {
        let is_damaged = left.contains(key) || stopped.is_damaged(key).await?;
        ensure!(is_damaged, "--remove {key}: there is no damaged record of this key");
        let tenant = lost.iter().find(|one| one.damaged.contains(key)).map(|one| &one.tenant);
        if let Some(tenant) = tenant {
            bail!("--remove {key}: keys of a tenant are given up with `--accept-loss '{tenant}'`");
        }
        stopped.open.raw.commit(Commit::new().delete(key.clone())).await?;
        left.retain(|one| one != key);
        done.removed.push(key.to_string());
    }
    let changed = done.rebuilt.is_some()
        || !done.accepted_loss.is_empty()
        || !entries.is_empty()
        || [&done.remade, &done.restored, &done.restored_older, &done.removed]
            .iter()
            .any(|list| !list.is_empty());
    if changed {
        // What is found by them may have changed.
        let stored = stopped.open.barrier.tenants().await?;
        indexes::write_anew(&stopped.open.store(), config, &stored).await?;
        stopped.drop_unwritten(entries, &mut done).await?;
    }
    // What came back may open more, and what is left is on record.
    done.left = views(stopped.look_through(&lost).await?.1);
    if changed {
        stopped.record(config, "store.repair", |event| repaired_in(event, &done)).await?;
    }
    if done.rebuilt.is_some() {
        // Until here, another run would have to go on.
        stopped.open.forget_rebuilt().await?;
    }
    print(output, &done, || outcome(&done))?;
    Ok(if done.left.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn repaired_in(mut event: Event, done: &Repaired) -> Event {
    if !done.accepted_loss.is_empty() {
        let tenants: Vec<&str> = done.accepted_loss.iter().map(LostView::tenant).collect();
        event = event
            .detail("accepted_loss", tenants.join(" "))
            .detail("lost_records", done.accepted_loss.iter().map(LostView::records).sum::<u64>());
    }
    if let Some(rebuilt) = &done.rebuilt {
        event =
            event.detail("rebuilt", rebuilt.records).detail("unreadable", rebuilt.unreadable.len());
    }
    let left: Vec<String> = done.left.iter().map(|one| one.key.clone()).collect();
    let lists = [
        ("left", &left),
        ("remade", &done.remade),
        ("restored", &done.restored),
        ("restored_older", &done.restored_older),
        ("removed", &done.removed),
        ("dropped", &done.dropped),
    ];
    lists.into_iter().filter(|(_, list)| !list.is_empty()).fold(event, |event, (name, list)| {
        // A line of the log has a bound.
        const NAMED: usize = 100;
        let named: Vec<&str> = list.iter().take(NAMED).map(String::as_str).collect();
        event.detail(name, named.join(" ")).detail(format!("{name}_count"), list.len())
    })
}

fn outcome(done: &Repaired) -> String {
    let mut text = String::new();
    if let Some(rebuilt) = &done.rebuilt {
        let _ = writeln!(
            text,
            "the file is made anew of {} records; the damaged one is {}",
            rebuilt.records,
            rebuilt.damaged_file.display()
        );
        for gap in &rebuilt.unreadable {
            let _ = writeln!(text, "nothing could be read {}", gap.said());
        }
    }
    for (what, list) in [
        ("made anew out of what it follows from", &done.remade),
        ("taken from the backup", &done.restored),
        ("taken from the backup, older than it was", &done.restored_older),
        ("removed", &done.removed),
        ("dropped, since no record says so; the index has what records say", &done.dropped),
    ] {
        for key in list {
            let _ = writeln!(text, "{key}: {what}");
        }
    }
    for lost in &done.accepted_loss {
        let _ = writeln!(text, "given up: {}", lost.said());
    }
    if done.rebuilt.is_some() {
        text.push_str("make a backup now: earlier ones lack the new keys of the tenants\n");
    }
    if done.left.is_empty() {
        return text + "every record opens";
    }
    text + "still damaged (see docs/operating/store.md):\n" + &lines(&done.left)
}

async fn close(hsm: Option<Arc<Pkcs11Signer>>) -> Result<()> {
    if let Some(hsm) = hsm {
        tokio::task::spawn_blocking(move || hsm.shutdown()).await?;
    }
    Ok(())
}

/// The store of a gateway that is stopped.
struct Stopped {
    open: OpenStore,
    hsm: Option<Arc<Pkcs11Signer>>,
}

impl Stopped {
    async fn open(config: &Config) -> Result<Self> {
        existing(config)?;
        let hsm = open_hsm(config)?;
        let open = OpenStore::open(config, hsm.as_deref()).await?;
        Ok(Self { open, hsm })
    }

    async fn close(self) -> Result<()> {
        close(self.hsm).await
    }

    /// Whether there is a record of this key that does not open.
    async fn is_damaged(&self, key: &Key) -> Result<bool> {
        let opened = match self.open.raw.get(key).await {
            Ok(Some(record)) => self.open.barrier.verify(&record).await,
            found => found.map(drop),
        };
        match opened {
            Err(ReadError::Damaged { .. }) => Ok(true),
            opened => Ok(opened.map(|()| false)?),
        }
    }

    /// Opens every record; gives how many there are, and what is damaged. What is sealed under `lost` keys is named as
    /// far as there is room for it.
    async fn look_through(&self, lost: &[LostKeys]) -> Result<(u64, Damage)> {
        let state = Arc::new(self.open.freeze()?);
        let (mut records, mut damage, mut after) = (0_u64, Damage::new(), None::<Key>);
        loop {
            let (reader, from) = (state.clone(), after.clone());
            let page =
                tokio::task::spawn_blocking(move || reader.scan(from.as_ref(), PAGE)).await??;
            let ended = page.len() < PAGE;
            for found in page {
                records += 1;
                let (key, opened, without) = match found {
                    Ok(record) => {
                        let opened = self.open.barrier.verify(&record).await;
                        let without = lost.iter().find_map(|one| one.key_of(&record));
                        (record.key, opened, without)
                    }
                    Err(key) => {
                        let reason = "it is too short to be a record".to_owned();
                        (key.clone(), Err(ReadError::Damaged { key, reason }), None)
                    }
                };
                match opened {
                    Err(ReadError::Damaged { mut key, mut reason }) => {
                        if damage.len() >= MOST_NAMED / 2
                            && !damage.contains_key(&key)
                            && let Some(without) = without
                        {
                            key = without;
                            "this key of the tenant is missing".clone_into(&mut reason);
                        }
                        let is_known = damage.contains_key(&key);
                        ensure!(
                            is_known || damage.len() < MOST_NAMED,
                            "more than {MOST_NAMED} records are damaged: restore the store from a backup"
                        );
                        damage.entry(key).or_insert((reason, 0)).1 += 1;
                    }
                    opened => opened?,
                }
                after = Some(key);
            }
            if ended {
                return Ok((records, damage));
            }
        }
    }

    /// Makes a record anew that follows from others; whether it is one.
    async fn remake(&self, key: &Key) -> Result<bool> {
        let commit = match chancery_issuance::remake(&self.open.store(), key).await {
            // What it follows from is damaged as well.
            Err(ReadError::Damaged { .. }) => None,
            commit => commit?,
        };
        let Some(commit) = commit else { return Ok(false) };
        self.open.barrier.commit(commit).await?;
        Ok(true)
    }

    /// Takes what is damaged from a backup, and what could not be read if it may be older; gives what is left.
    async fn take_from(
        &self,
        backup: &Path,
        older: bool,
        damaged: Vec<Key>,
        gaps: &[Gap],
        done: &mut Repaired,
    ) -> Result<Vec<Key>> {
        let shown = || backup.display().to_string();
        let mut reader = open_backup(backup)?;
        // Which keys of tenants may be taken is decided by what is under them.
        let wanted: BTreeSet<&Key> = damaged.iter().filter(|key| !is_tenant_key(key)).collect();
        let mut found: BTreeMap<Key, Record> = BTreeMap::new();
        let mut lost: Vec<Key> = vec![];
        while let Some(record) = reader.next_record().with_context(shown)? {
            let is_wanted = wanted.contains(&record.key);
            // Those of the seal have been taken, and the mark is that of this repair.
            let is_of_all = is_of_seal(&record.key) || restored::is_mark(&record.key);
            let is_lost = older
                && !(is_wanted || is_of_all)
                && gaps.iter().any(|gap| gap.contains(&record.key));
            if is_lost {
                ensure!(
                    lost.len() < MOST_NAMED,
                    "more than {MOST_NAMED} records cannot be read: restore the store from the backup as a whole"
                );
                lost.push(record.key.clone());
            }
            if is_wanted || is_lost {
                found.insert(record.key.clone(), record);
            }
        }
        reader
            .end()
            .and_then(|end| end.authenticate_for(&self.open.barrier))
            .with_context(shown)?;
        let mut left = vec![];
        let lost: BTreeSet<Key> = lost.into_iter().collect();
        for key in damaged.iter().chain(&lost).cloned() {
            let Some(record) = found.remove(&key) else {
                left.push(key);
                continue;
            };
            let now = match self.open.raw.get(&key).await {
                Ok(now) => now,
                Err(ReadError::Damaged { .. }) => None,
                Err(error) => return Err(error.into()),
            };
            if lost.contains(&key)
                && let Some(now) = &now
            {
                // Written since the file was made: taken by a run that was stopped, or newer than the backup.
                if now.value == record.value {
                    done.restored_older.push(key.to_string());
                }
                continue;
            }
            let same = now.is_some_and(|now| now.version == record.version);
            // What does not open here either was damaged before the backup.
            if !(same || older) || self.open.barrier.verify(&record).await.is_err() {
                left.push(key);
                continue;
            }
            self.open.raw.commit(Commit::new().put(key.clone(), record.value)).await?;
            let list = if same { &mut done.restored } else { &mut done.restored_older };
            list.push(key.to_string());
        }
        Ok(left)
    }

    /// Drops those entries of indexes that did not open and were not written anew: they follow from no record, and what
    /// is sealed is taken for true.
    async fn drop_unwritten(&self, entries: Vec<Key>, done: &mut Repaired) -> Result<()> {
        for entry in entries {
            if self.is_damaged(&entry).await? {
                if self.leads_to_a_certificate(&entry).await? {
                    // It stays as it is, and is among what is left.
                    continue;
                }
                self.open.raw.commit(Commit::new().delete(entry.clone())).await?;
            }
            let is_there = self.open.store().get(&entry).await?.is_some();
            let list = if is_there { &mut done.remade } else { &mut done.dropped };
            list.push(entry.to_string());
        }
        Ok(())
    }

    /// Whether an entry of an index leads to a certificate that is there, whether or not that opens.
    async fn leads_to_a_certificate(&self, entry: &Key) -> Result<bool> {
        let Some(certificate) = chancery_issuance::certificate_of(entry) else { return Ok(false) };
        match self.open.raw.get(&certificate).await {
            Ok(found) => Ok(found.is_some()),
            Err(ReadError::Damaged { .. }) => Ok(true),
            Err(error) => Err(error.into()),
        }
    }

    async fn restored(&self, config: &Config) -> Result<()> {
        self.open.mark_restored(Clock::system().now()).await?;
        self.record(config, "store.restored", |event| event).await
    }

    /// Puts on record what was done.
    async fn record(
        &self,
        config: &Config,
        operation: &'static str,
        describe: impl FnOnce(Event) -> Event,
    ) -> Result<()> {
        let clock = Clock::system();
        let audit = audit::open(config, &self.open.store(), &Chain::Only, clock.clone())
            .await
            .context("it is done, and not on record")?;
        let context = RequestContext::internal(TenantId::default_tenant(), clock.now());
        let event =
            describe(Event::new(&context, operation, "store")).detail("by", audit::operator());
        let recorded = audit.record(event.succeeded()).await;
        audit.close().await;
        Ok(recorded?)
    }
}
