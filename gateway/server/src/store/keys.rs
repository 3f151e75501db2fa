//! The keys of tenants when a store is repaired: which are missing, which a backup has, and which are given up.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use chancery_identity::TenantId;
use chancery_keys::pkcs11::Pkcs11Signer;
use chancery_seal::backup::BackupEnd;
use chancery_seal::{Census, LostKeys, RootKey, is_of_seal, is_tenant_key, makes_root_key};
use chancery_store::memory::MemoryStore;
use chancery_store::redb::RedbStore;
use chancery_store::{Commit, Key, ReadError, Record, Store as _};
use serde::Serialize;

use super::aside::newest_aside;
use super::backup_file::open_backup;
use super::{OpenStore, root_key};
use crate::audit::{self, Chain};
use crate::config::{Config, RootKeySource};

/// How many records of the seal are taken into consideration.
const MOST_OF_SEAL: usize = 100_000;

/// The tenant of what belongs to the installation itself.
const INSTALLATION: &str = "_";

/// Why the keys of the installation are not given up.
const NOT_GIVEN_UP: &str = "the audit log's key does not open without; put the whole store back from a backup \
                            (`chancery backup restore`)";

/// What is said if nothing shows which root key the store has.
const NOTHING_OPENS: &str = "neither _/seal/check nor the key of any tenant opens: if this is the right root key, \
                             they are damaged, and only a backup has them (`--from BACKUP`, or `chancery backup \
                             restore`)";

/// A store that is repaired.
pub(super) struct Opened {
    pub(super) open: OpenStore,
    /// Whether the record that shows the root key was made anew.
    pub(super) mended: bool,
    /// Records of the seal that came from the backup.
    pub(super) taken: BTreeSet<Key>,
    pub(super) census: Census,
}

/// What is said of the keys that a tenant lacks.
#[derive(Debug, Serialize)]
pub(super) struct LostView {
    tenant: String,
    keys: BTreeSet<u32>,
    /// How many records do not open without them.
    records: u64,
    /// Of which the backup has others.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    foreign: BTreeSet<u32>,
}

impl LostView {
    pub(super) fn of(lost: &LostKeys) -> Self {
        Self {
            tenant: lost.tenant.to_string(),
            keys: lost.numbers.clone(),
            records: lost.records,
            foreign: lost.foreign.clone(),
        }
    }

    pub(super) fn tenant(&self) -> &str {
        &self.tenant
    }

    pub(super) fn records(&self) -> u64 {
        self.records
    }

    pub(super) fn said(&self) -> String {
        let list = |ids: &BTreeSet<u32>| {
            ids.iter().take(20).map(u32::to_string).collect::<Vec<_>>().join(", ")
        };
        if self.keys.is_empty() {
            // Nothing is known to be sealed under it.
            return format!("the tenant {} has a damaged key", self.tenant);
        }
        let mut text = format!(
            "the tenant {} lacks {} of its keys ({}); {} records cannot be opened without them",
            self.tenant,
            self.keys.len(),
            list(&self.keys),
            self.records
        );
        if !self.foreign.is_empty() {
            let _ = write!(
                text,
                "; the backup has others in the place of {}, which open none of them",
                list(&self.foreign)
            );
        }
        text
    }
}

/// Opens a store for a repair. Before anything is sealed, it takes from the backup the keys of tenants that are missing
/// or damaged, and what the root key is made of. It tries each key first, and replaces none that opens.
///
/// # Errors
/// The backup is not whole or not of this root key: then nothing is changed. Or the store fails, or does not open with
/// what came from the backup: that stays, and another run goes on from there.
pub(super) async fn open(
    raw: Arc<RedbStore>,
    config: &Config,
    hsm: Option<&Pkcs11Signer>,
    from: Option<&Path>,
) -> Result<Opened> {
    let (backup, end) = match from {
        Some(path) => read_seal(path).await?,
        None => (vec![], None),
    };
    let (root, made_of) = root_of(&raw, config, hsm, &backup).await?;
    if let (Some(path), Some(end)) = (from, end) {
        end.authenticate(&root).with_context(|| path.display().to_string())?;
    }
    let (state, expected, offered) = (raw.freeze()?, expected(config)?, backup.clone());
    let with = root.clone();
    let census = tokio::task::spawn_blocking(move || Census::of(&state, &with, expected, offered));
    let census = census.await??;
    let mut taken = BTreeSet::new();
    if census.shows_root() {
        let mut commit = Commit::new();
        for Record { key, value, .. } in census.fitting().into_iter().chain(made_of) {
            taken.insert(key.clone());
            commit = commit.put(key, value);
        }
        if !taken.is_empty() {
            raw.commit(commit).await.context("the keys of the backup")?;
        }
    }
    // When the new file was made, or by a run that was stopped: what came later than the damaged file.
    let newest = raw.unfinished().and_then(|_| newest_aside(config));
    if let Some(newest) = newest {
        for record in backup.iter().filter(|record| is_taken(&record.key)) {
            let now = record_at(&raw, &record.key).await?;
            if now.is_some_and(|now| now.value == record.value && now.version > newest) {
                taken.insert(record.key.clone());
            }
        }
    }
    let opened = OpenStore::mended(raw, root).await;
    let (open, mended) =
        if census.shows_root() { opened? } else { opened.context(NOTHING_OPENS)? };
    Ok(Opened { open, mended, taken, census })
}

impl Opened {
    /// Those that are given up of the keys that are missing.
    ///
    /// # Errors
    /// Others are missing than those of the tenants that are named, and a file is made anew: new keys would be made in
    /// their place. Or a tenant is named that lacks none, which is no mistake where a repair `goes_on`.
    pub(super) async fn given_up(&self, named: &[Key], goes_on: bool) -> Result<Vec<LostKeys>> {
        let lost = self.census.lost();
        for tenant in named.iter().filter(|_| !goes_on) {
            let is_lost = lost.iter().any(|one| one.tenant == *tenant);
            ensure!(is_lost, "--accept-loss {tenant}: no key of this tenant is missing");
        }
        let (given_up, kept): (Vec<_>, Vec<_>) =
            lost.into_iter().partition(|one| named.contains(&one.tenant));
        let audit_key = audit::expect_key(&self.open.store(), &Chain::Only).await;
        let is_kept = self.open.unfinished().is_none() || kept.is_empty();
        ensure!(is_kept, refused(&kept, audit_key.is_ok()));
        if given_up.iter().any(is_of_installation) {
            audit_key.with_context(|| format!("--accept-loss {INSTALLATION}: {NOT_GIVEN_UP}"))?;
        }
        Ok(given_up)
    }

    /// Gives new keys to the tenants whose keys are given up; to all, if the file was made anew, since more may be
    /// missing than is known. None has the number of one that may be in a backup.
    pub(super) async fn renew(&self, given_up: &[LostKeys]) -> Result<()> {
        let mut renewals: BTreeMap<Key, u32> = self.census.renewals();
        if self.open.unfinished().is_none() {
            renewals.retain(|tenant, _| given_up.iter().any(|one| one.tenant == *tenant));
        }
        for at in given_up.iter().flat_map(|one| &one.damaged) {
            self.open.raw.commit(Commit::new().delete(at.clone())).await?;
        }
        for (tenant, last) in renewals {
            let renewed = self.open.barrier.renew(tenant.as_bytes(), last).await;
            renewed.with_context(|| format!("a new key for the tenant {tenant}"))?;
        }
        Ok(())
    }
}

fn is_of_installation(lost: &LostKeys) -> bool {
    lost.tenant.as_bytes() == INSTALLATION.as_bytes()
}

/// What to do about keys that are `lost`; those of the installation may be given up only if the audit log's key opens.
fn refused(lost: &[LostKeys], audit_key_opens: bool) -> String {
    let lines: Vec<String> = lost.iter().map(|one| LostView::of(one).said()).collect();
    if !audit_key_opens && lost.iter().any(is_of_installation) {
        return format!(
            "{}. Take them from a backup of this store: `chancery store repair --rebuild --from BACKUP`. Those of {INSTALLATION} \
             cannot be given up: {NOT_GIVEN_UP}",
            lines.join("; ")
        );
    }
    let flags: Vec<String> =
        lost.iter().map(|one| format!("--accept-loss '{}'", one.tenant)).collect();
    format!(
        "{}. Take them from a backup of this store: `chancery store repair --rebuild --from BACKUP`. If no backup has \
         them, give up what they open: add {}",
        lines.join("; and "),
        flags.join(" ")
    )
}

/// The tenants that have keys whatever can be read.
pub(super) fn expected(config: &Config) -> Result<BTreeSet<Key>> {
    let tenants = config.tenant_ids();
    let names = tenants.iter().map(TenantId::as_str).chain([INSTALLATION]);
    names.map(|name| Ok(Key::new(name)?)).collect()
}

/// Whether a record is one that comes from a backup here.
fn is_taken(key: &Key) -> bool {
    is_tenant_key(key) || makes_root_key(key)
}

/// Reads a backup to its end; gives what it has of the seal.
async fn read_seal(path: &Path) -> Result<(Vec<Record>, Option<BackupEnd>)> {
    let shown = || path.display().to_string();
    let mut reader = open_backup(path)?;
    let read = tokio::task::spawn_blocking(move || {
        let mut of_seal = vec![];
        while let Some(record) = reader.next_record()? {
            if is_of_seal(&record.key) && is_taken(&record.key) {
                ensure!(of_seal.len() < MOST_OF_SEAL, "it has more than {MOST_OF_SEAL} keys");
                of_seal.push(record);
            }
        }
        Ok((of_seal, reader.end()?.clone()))
    });
    let (of_seal, end) = read.await?.with_context(shown)?;
    Ok((of_seal, Some(end)))
}

/// The root key, and those records of the backup that it is made of and that are missing here.
async fn root_of(
    raw: &RedbStore,
    config: &Config,
    hsm: Option<&Pkcs11Signer>,
    backup: &[Record],
) -> Result<(RootKey, Vec<Record>)> {
    let made_of: Vec<&Record> =
        backup.iter().filter(|record| makes_root_key(&record.key)).collect();
    let mut is_there = matches!(config.root_key, RootKeySource::File(_));
    for record in &made_of {
        is_there |= record_at(raw, &record.key).await?.is_some();
    }
    if is_there || made_of.is_empty() {
        return Ok((root_key(config, hsm, raw).await?, vec![]));
    }
    // It is not known yet whether they may be written.
    let memory = MemoryStore::new();
    let mut commit = Commit::new();
    for record in &made_of {
        commit = commit.put(record.key.clone(), record.value.clone());
    }
    memory.commit(commit).await?;
    let root = root_key(config, hsm, &memory).await?;
    Ok((root, made_of.into_iter().cloned().collect()))
}

/// What is at a key; none if it is too short to be a record.
async fn record_at(raw: &RedbStore, key: &Key) -> Result<Option<Record>> {
    match raw.get(key).await {
        Err(ReadError::Damaged { .. }) => Ok(None),
        found => Ok(found?),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_says_which_keys_are_missing_or_that_one_is_damaged() {
        let lost = |numbers: &[u32], foreign: &[u32]| LostView {
            tenant: "default".to_owned(),
            keys: numbers.iter().copied().collect(),
            records: 43,
            foreign: foreign.iter().copied().collect(),
        };
        assert_eq!(lost(&[], &[]).said(), "the tenant default has a damaged key");
        let lacks = "the tenant default lacks 2 of its keys (1, 3); 43 records cannot be opened without them";
        assert_eq!(lost(&[1, 3], &[]).said(), lacks);
        let others = "; the backup has others in the place of 3, which open none of them";
        assert_eq!(lost(&[1, 3], &[3]).said(), format!("{lacks}{others}"));
    }
}
