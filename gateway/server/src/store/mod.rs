//! The embedded store with the barrier over it: what every room above sees is sealed.

mod aside;
mod backup_file;
mod command;
mod damaged;
mod damaged_view;
mod indexes;
mod keys;
mod quiet;

use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result, bail, ensure};
use chancery_files::is_there;
use chancery_keys::pkcs11::Pkcs11Signer;
use chancery_seal::{Barrier, RootKey, mend_check};
use chancery_store::redb::{Fitness, Frozen, RedbStore, Unfinished};
use chancery_store::{Commit, SharedStore, Store, restored};
use jiff::Timestamp;

pub(crate) use command::{StoreArgs, run};

use crate::config::{Config, RootKeySource};
use crate::policy_places::policy_history;

/// Name of the embedded store in the state directory.
pub(crate) const STORE_FILE: &str = "store.redb";

/// What is said of a store whose repair was stopped.
const UNFINISHED: &str = "the store was made anew of a damaged file, and that repair did not come to its end: run \
                          `chancery store repair --rebuild` again, with the same options; it says what is missing";

/// Where the store of a gateway is.
pub(crate) fn store_file(config: &Config) -> PathBuf {
    config.server.directory.join(STORE_FILE)
}

/// The store, opened.
#[derive(Clone)]
pub(crate) struct OpenStore {
    /// The records as they are stored: sealed.
    pub(crate) raw: SharedStore,
    pub(crate) barrier: Arc<Barrier>,
    /// The file, if the store is embedded.
    file: Option<Arc<RedbStore>>,
}

impl OpenStore {
    /// Opens the store of a gateway. None is made: that is what [`begin`] is for.
    ///
    /// # Errors
    /// It is missing, others may change it, it cannot be opened, or not with this root key.
    pub(crate) async fn open(config: &Config, hsm: Option<&Pkcs11Signer>) -> Result<Self> {
        let (raw, root) = Self::parts(config, hsm).await?;
        Self::with_root(raw, root).await
    }

    /// As [`open`](Self::open), also if a repair of the store did not come to its end.
    ///
    /// # Errors
    /// As for [`open`](Self::open).
    pub(crate) async fn open_under_repair(
        config: &Config,
        hsm: Option<&Pkcs11Signer>,
    ) -> Result<Self> {
        let (raw, root) = Self::parts(config, hsm).await?;
        Self::sealed(raw, root).await
    }

    /// With the record that shows the root key made anew if need be, and whether it was; also if a repair is not done.
    async fn mended(raw: Arc<RedbStore>, root: RootKey) -> Result<(Self, bool)> {
        let mended = mend_check(&*raw, &root).await.context("mending the seal")?;
        Ok((Self::sealed(raw, root).await?, mended))
    }

    /// Puts the barrier over a store that others may share.
    ///
    /// # Errors
    /// As for [`with_root`](Self::with_root).
    pub(crate) async fn over(raw: SharedStore, root: RootKey) -> Result<Self> {
        let barrier = Barrier::open(raw.clone(), root).await.context("opening the seal")?;
        Ok(Self { raw, barrier, file: None })
    }

    /// How the file is. A store of another kind says so itself when it is asked for something.
    pub(crate) async fn fitness(&self) -> Fitness {
        let Some(file) = &self.file else { return Fitness::Well };
        file.fitness().await.unwrap_or(Fitness::Unreadable)
    }

    /// The state of the store as it is now, for a backup.
    ///
    /// # Errors
    /// The file cannot be read, or the store is not embedded.
    pub(crate) fn freeze(&self) -> Result<Frozen> {
        let file =
            self.file.as_ref().context("only an embedded store is backed up by the gateway")?;
        Ok(file.freeze()?)
    }

    /// The file and the root key.
    async fn parts(
        config: &Config,
        hsm: Option<&Pkcs11Signer>,
    ) -> Result<(Arc<RedbStore>, RootKey)> {
        let raw = Self::file(config).await?;
        let root = root_key(config, hsm, &*raw).await?;
        Ok((raw, root))
    }

    /// The file, which nobody else may change.
    async fn file(config: &Config) -> Result<Arc<RedbStore>> {
        let path = existing(config)?;
        config.trusted.directory(&config.server.directory)?;
        config.trusted.file(&path)?;
        let raw = raw(&path)?;
        let empty = raw.scan(b"", None, 1).await?.is_empty();
        ensure!(
            !empty,
            "{}: there is nothing in it: `chancery init` did not come to its end; run it again",
            path.display()
        );
        Ok(raw)
    }

    /// Puts the barrier over a store.
    ///
    /// # Errors
    /// It was sealed with another root key, cannot be read, or was made anew by a repair that did not come to its end.
    pub(crate) async fn with_root(raw: Arc<RedbStore>, root: RootKey) -> Result<Self> {
        ensure!(raw.unfinished().is_none(), UNFINISHED);
        Self::sealed(raw, root).await
    }

    /// The repair of this store that did not come to its end, if there is one.
    fn unfinished(&self) -> Option<&Unfinished> {
        self.file.as_ref().and_then(|file| file.unfinished())
    }

    /// Puts on record that the repair came to its end.
    async fn forget_rebuilt(&self) -> Result<()> {
        let file = self.file.as_ref().context("only an embedded store is made anew")?;
        Ok(file.forget_rebuilt().await?)
    }

    async fn sealed(raw: Arc<RedbStore>, root: RootKey) -> Result<Self> {
        let shared: SharedStore = raw.clone();
        Ok(Self { file: Some(raw), ..Self::over(shared, root).await? })
    }

    /// What the rooms above see.
    pub(crate) fn store(&self) -> SharedStore {
        self.barrier.clone()
    }

    /// Takes into account that others have seen what came after this state: numbers that others remember go on
    /// above those that they may have seen, and nothing is sealed any more under keys of which it is not known how
    /// often they were used.
    ///
    /// # Errors
    /// If the store cannot be written.
    pub(crate) async fn mark_restored(&self, now: Timestamp) -> Result<()> {
        self.barrier.rotate_all().await.context("new keys for the tenants")?;
        self.put_mark(now).await
    }

    /// The same where the tenants have new keys already.
    async fn put_mark(&self, now: Timestamp) -> Result<()> {
        let second = u64::try_from(now.as_second()).context("the clock is before 1970")?;
        self.barrier.commit(restored::mark(Commit::new(), second)?).await?;
        Ok(())
    }
}

/// Makes the store of a new gateway, and the directory for it; whether it did. One that is there stays as it is.
///
/// # Errors
/// This gateway has run before, its disk is too small, or the store cannot be made with this root key: then none is
/// left.
pub(crate) async fn begin(config: &Config, hsm: Option<&Pkcs11Signer>) -> Result<bool> {
    config.trusted.make_directory(&config.server.directory)?;
    let path = store_file(config);
    let _alone = alone_in(&config.server.directory)?;
    let is_there = is_there(&path);
    if is_there {
        config.trusted.file(&path).with_context(|| format!("the store {}", path.display()))?;
        // Without records it is no gateway's.
        if !raw(&path)?.scan(b"", None, 1).await?.is_empty() {
            return Ok(false);
        }
    }
    refuse_second_begin(config)?;
    if !is_there {
        refuse_small_disk(&config.server.directory)?;
    }
    let beside = path.with_extension("beginning");
    // Left by a try that was interrupted.
    if chancery_files::is_there(&beside) {
        chancery_files::remove(&beside)
            .with_context(|| format!("cannot remove {}", beside.display()))?;
    }
    let made = begin_beside(&beside, config, hsm).await;
    if made.is_err() {
        let _ = chancery_files::remove(&beside);
    }
    made?;
    chancery_files::rename(&beside, &path)
        .with_context(|| format!("cannot make {}", path.display()))?;
    Ok(true)
}

/// Makes a store beside the place that it is to have, and leaves it closed: whatever happens until it has its name, it
/// does not pass for a store.
async fn begin_beside(beside: &Path, config: &Config, hsm: Option<&Pkcs11Signer>) -> Result<()> {
    let raw = raw(beside)?;
    let root = root_key(config, hsm, &*raw).await?;
    OpenStore::with_root(raw, root).await.map(drop)
}

/// Makes sure that no other process begins a gateway, or an offline root, in this directory meanwhile.
pub(crate) fn alone_in(directory: &Path) -> Result<File> {
    let opened = File::open(directory).with_context(|| directory.display().to_string())?;
    match opened.try_lock() {
        Err(TryLockError::WouldBlock) => {
            bail!("{}: another process is making a gateway or a root there", directory.display())
        }
        // Where the file system knows no locks, nobody can tell.
        Ok(()) | Err(TryLockError::Error(_)) => Ok(opened),
    }
}

/// The file of the store.
///
/// # Errors
/// It is missing. Says why that may be, since one would come with a new CA.
pub(crate) fn existing(config: &Config) -> Result<PathBuf> {
    let path = store_file(config);
    if path.is_file() {
        return Ok(path);
    }
    if is_there(&path) {
        // A link that leads nowhere, or no file.
        config.trusted.file(&path).with_context(|| format!("the store {}", path.display()))?;
    }
    refuse_second_begin(config)?;
    bail!(
        "there is no gateway in {} yet: it holds no {STORE_FILE}. To begin a new one, with a new CA, run `chancery \
         init --config CONFIG` once. If this is not meant to be a new one, server.directory is wrong, or the disk \
         is not mounted.",
        config.server.directory.display()
    )
}

/// What a gateway that has run leaves beside its store. (The count of tries of the PIN is not among it: it is made
/// before there is a store.)
pub(crate) fn left_by_a_start(config: &Config) -> Option<PathBuf> {
    let directory = &config.server.directory;
    let left = [config.audit.file.clone(), directory.join("root.pem"), policy_history(config)];
    left.into_iter().find(|path| is_there(path))
}

/// A new store comes with a new CA. None is made because a store was lost or its disk is not mounted.
fn refuse_second_begin(config: &Config) -> Result<()> {
    ensure!(!damaged::is_between_renames(config)?, UNFINISHED);
    let Some(left) = left_by_a_start(config) else { return Ok(()) };
    bail!(
        "the store is missing: {} is not there, but {} is, so this gateway has run before. Restore it from a \
         backup (`chancery backup restore FILE --config CONFIG`), or mount the disk that it is on. Nothing was \
         made. (If this is to be a new gateway with a new CA, give it an empty server.directory and an \
         audit.file of its own.)",
        store_file(config).display(),
        left.display()
    )
}

/// What a first start needs on its disk: the store with its reserve, compiled policies, the audit log.
pub(crate) const LEAST_DISK: u64 = 64 << 20;

/// What a store keeps in reserve: with less it takes nothing but deletions.
pub(crate) const RESERVED_DISK: u64 = 16 << 20;

/// A gateway that begins on a disk that is too small would find it full at once.
fn refuse_small_disk(directory: &Path) -> Result<()> {
    // A file system that cannot say is tried.
    let Some(free) = free_space(directory) else { return Ok(()) };
    let (mib, shown) = (|bytes: u64| bytes >> 20, directory.display());
    ensure!(
        free >= LEAST_DISK,
        "{shown} has {} MiB free, and a new gateway needs {}: 16 are kept in reserve, and compiled policies and \
         the audit log take the rest; give it a larger disk",
        mib(free),
        mib(LEAST_DISK)
    );
    Ok(())
}

/// How many bytes this process may still write there, if the file system says.
pub(crate) fn free_space(directory: &Path) -> Option<u64> {
    let status = rustix::fs::statvfs(directory).ok()?;
    Some(status.f_bavail.saturating_mul(status.f_frsize))
}

/// Opens the file of a store.
///
/// # Errors
/// It is in use, damaged or out of reach.
pub(crate) fn raw(path: &Path) -> Result<Arc<RedbStore>> {
    let raw = RedbStore::open(path).with_context(|| format!("opening {}", path.display()))?;
    Ok(Arc::new(raw))
}

/// The root key, from where the configuration says; `records` are those of the inner store that make it.
///
/// # Errors
/// There is none, or it may be read by others.
pub(crate) async fn root_key(
    config: &Config,
    hsm: Option<&Pkcs11Signer>,
    records: &dyn Store,
) -> Result<RootKey> {
    let trusted = &config.trusted;
    Ok(match (&config.root_key, hsm) {
        (RootKeySource::File(file), _) => RootKey::from_file(file, trusted)?,
        (RootKeySource::PassphraseFile(file), _) => {
            RootKey::from_passphrase_file(file, trusted, records).await?
        }
        (RootKeySource::Pkcs11Key(name), Some(hsm)) => {
            RootKey::from_pkcs11(hsm, name, records).await?
        }
        (RootKeySource::Pkcs11Key(_), None) => bail!("seal.pkcs11_key needs a [pkcs11] table"),
    })
}
