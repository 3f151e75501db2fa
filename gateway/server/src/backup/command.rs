//! `chancery backup …`.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use chancery_files::{Draft, Readers};
use chancery_identity::Clock;
use chancery_keys::pkcs11::Pkcs11Signer;
use chancery_seal::backup::{BackupEnd, BackupHeader, BackupReader, restore as restore_file};
use chancery_store::memory::MemoryStore;
use chancery_store::{Commit, Store};
use clap::{Args, Subcommand};
use serde::Serialize;
use tokio::sync::mpsc;

use super::write;
use crate::config::Config;
use crate::foundation::open_hsm;
use crate::output::{Output, print};
use crate::remote::RemoteArgs;
use crate::store::{OpenStore, existing, raw, root_key, store_file};

/// `chancery backup`.
#[derive(Debug, Args)]
pub(crate) struct BackupArgs {
    /// How results are printed.
    #[arg(long, global = true, value_enum, default_value_t = Output::Text)]
    output: Output,
    #[command(flatten)]
    remote: RemoteArgs,
    #[command(subcommand)]
    command: BackupCommand,
}

#[derive(Debug, Subcommand)]
enum BackupCommand {
    /// Make a consistent copy of the store, of a running gateway or of one that is stopped.
    ///
    /// All of it is sealed as in the store: without the root key it is worth nothing, neither to thieves nor to
    /// you. Policies, configuration, root key and audit log are not in it (see docs/operating/backup.md).
    Create {
        /// The file to make (mode 0600); one that is there is replaced.
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
        /// The configuration of a gateway that is stopped [default: ask the running one].
        #[arg(long, value_name = "FILE")]
        config: Option<PathBuf>,
    },
    /// Check that a backup is whole and, with the root key, that it is authentic.
    Verify {
        /// The backup.
        #[arg(value_name = "FILE")]
        file: PathBuf,
        /// The configuration that says where the root key is. The gateway may run.
        #[arg(long, value_name = "FILE")]
        config: Option<PathBuf>,
    },
    /// Make a store out of a backup, while the gateway is stopped.
    Restore {
        /// The backup.
        #[arg(value_name = "FILE")]
        file: PathBuf,
        /// The configuration. There must be no store yet where it says.
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
    },
}

/// What is told of a backup.
#[derive(Debug, Serialize)]
struct View {
    file: PathBuf,
    #[serde(flatten)]
    header: BackupHeader,
    records: u64,
    /// How many records of the store did not open.
    damaged: u64,
    /// Whether it was checked with the root key.
    authentic: bool,
}

/// Does what was asked.
pub(crate) async fn run(args: BackupArgs) -> Result<ExitCode> {
    let done = match args.command {
        BackupCommand::Create { out, config } => {
            let (header, end) = match config {
                Some(config) => of_stopped(&Config::load(&config)?, &out).await?,
                None => of_running(&args.remote, &out).await?,
            };
            view(&out, header, &end, false)
        }
        BackupCommand::Verify { file, config } => verify(&file, config.as_deref()).await?,
        BackupCommand::Restore { file, config } => {
            let config = Config::load(&config)?;
            let view = restore(&file, &config).await?;
            let store = store_file(&config);
            print(args.output, &view, || {
                format!("{}: made of {}\n{}", store.display(), file.display(), AFTERWARDS)
            })?;
            return Ok(ExitCode::SUCCESS);
        }
    };
    print(args.output, &done, || said(&done))?;
    // It is kept, since it may be the best that there is; and an operator who runs this every night has to hear of it.
    Ok(if done.damaged == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// What the store does not know any more.
const AFTERWARDS: &str = "What happened since the backup is not in it. Revoke again what was revoked since: the \
                          audit log has it (docs/operating/backup.md).";

fn said(view: &View) -> String {
    let View { file, header: BackupHeader { created, newest, .. }, records, damaged, authentic } =
        view;
    let authentic = if *authentic { "authentic" } else { "not checked with the root key" };
    let text = format!(
        "{}: whole, {authentic}; {records} records as of {created}, commit {newest}",
        file.display()
    );
    if *damaged > 0 {
        return format!(
            "{text}\n{damaged} records of the store do not open. The log of the gateway, or of this command, \
             names them."
        );
    }
    text
}

fn view(file: &Path, header: BackupHeader, end: &BackupEnd, authentic: bool) -> View {
    let (records, damaged) = (end.records, end.damaged);
    View { file: file.to_owned(), header, records, damaged, authentic }
}

/// Has a running gateway make it.
async fn of_running(remote: &RemoteArgs, out: &Path) -> Result<(BackupHeader, BackupEnd)> {
    let remote = remote.open()?;
    let mut draft = draft(out)?;
    remote
        .fetch("sys/backup", |piece| draft.write_all(piece).context("writing the backup"))
        .await?;
    keep(draft, out)
}

/// Makes it of a store that nobody else has open.
async fn of_stopped(config: &Config, out: &Path) -> Result<(BackupHeader, BackupEnd)> {
    existing(config)?;
    let hsm = open_hsm(config)?;
    let written = of_opened(config, hsm.as_deref(), out).await;
    close(hsm).await?;
    written
}

async fn of_opened(
    config: &Config,
    hsm: Option<&Pkcs11Signer>,
    out: &Path,
) -> Result<(BackupHeader, BackupEnd)> {
    let sealed = OpenStore::open(config, hsm).await.context(
        "making a backup of a gateway that is stopped (leave --config out to ask a running one)",
    )?;
    let state = sealed.freeze()?;
    let mut draft = draft(out)?;
    let (sender, mut pieces) = mpsc::channel(1);
    let clock = Clock::system();
    let writing = async {
        let written = write(&sealed, state, &clock, &sender).await;
        drop(sender);
        written
    };
    let keeping = async {
        while let Some(piece) = pieces.recv().await {
            draft.write_all(&piece).context("writing the backup")?;
        }
        anyhow::Ok(draft)
    };
    let (written, draft) = tokio::join!(writing, keeping);
    let draft = draft?;
    written?;
    keep(draft, out)
}

fn draft(out: &Path) -> Result<Draft> {
    Draft::new(out, Readers::Owner).with_context(|| format!("cannot write {}", out.display()))
}

/// Reads what was written, and keeps it if it is whole.
fn keep(draft: Draft, out: &Path) -> Result<(BackupHeader, BackupEnd)> {
    let shown = || format!("{}: the backup is not kept", out.display());
    let written = File::open(draft.beside()).with_context(shown)?;
    let read = read_through(written, |_| {}).with_context(shown)?;
    draft.keep().with_context(|| format!("cannot write {}", out.display()))?;
    Ok(read)
}

/// Reads a backup to its end.
fn read_through(
    file: File,
    mut each: impl FnMut(&chancery_store::Record),
) -> Result<(BackupHeader, BackupEnd)> {
    let mut backup = BackupReader::open(file)?;
    while let Some(record) = backup.next_record()? {
        each(&record);
    }
    Ok((backup.header().clone(), backup.end()?.clone()))
}

fn open(file: &Path) -> Result<File> {
    File::open(file).with_context(|| format!("cannot read {}", file.display()))
}

async fn verify(file: &Path, config: Option<&Path>) -> Result<View> {
    let shown = || file.display().to_string();
    // What makes the root key is in the backup, if it is not a file.
    let mut making = vec![];
    let (header, end) = read_through(open(file)?, |record| {
        if chancery_seal::makes_root_key(&record.key) {
            making.push(record.clone());
        }
    })
    .with_context(shown)?;
    let Some(config) = config else { return Ok(view(file, header, &end, false)) };
    let config = Config::load(config)?;
    let records = MemoryStore::new();
    for record in making {
        records.commit(Commit::new().put(record.key, record.value)).await?;
    }
    let hsm = open_hsm(&config)?;
    let root = root_key(&config, hsm.as_deref(), &records).await;
    close(hsm).await?;
    end.authenticate(&root?).with_context(shown)?;
    Ok(view(file, header, &end, true))
}

async fn restore(file: &Path, config: &Config) -> Result<View> {
    let (directory, store) = (&config.server.directory, store_file(config));
    config.trusted.make_directory(directory)?;
    if chancery_files::is_there(&store) {
        bail!(
            "{} is there already: move it away first, and keep it until you know that the backup is good",
            store.display()
        );
    }
    let beside = store.with_extension("restoring");
    // Left by a try that was interrupted.
    if chancery_files::is_there(&beside) {
        chancery_files::remove(&beside)
            .with_context(|| format!("cannot remove {}", beside.display()))?;
    }
    let hsm = open_hsm(config)?;
    let made = restore_beside(file, &beside, config, hsm.as_deref()).await;
    close(hsm).await?;
    let made = made.with_context(|| format!("{}: not restored", file.display()));
    if made.is_err() {
        let _ = chancery_files::remove(&beside);
    }
    let view = made?;
    chancery_files::rename(&beside, &store)
        .with_context(|| format!("cannot make {}", store.display()))?;
    Ok(view)
}

/// Makes a store beside the place that it is to have, and leaves it closed.
async fn restore_beside(
    file: &Path,
    beside: &Path,
    config: &Config,
    hsm: Option<&Pkcs11Signer>,
) -> Result<View> {
    let input = open(file)?;
    let path = beside.to_owned();
    let (header, end) = tokio::task::spawn_blocking(move || {
        let mut backup = BackupReader::open(input)?;
        let end = restore_file(&mut backup, &path)?;
        anyhow::Ok((backup.header().clone(), end))
    })
    .await??;
    let raw = raw(beside)?;
    let root = root_key(config, hsm, &*raw).await?;
    end.authenticate(&root)?;
    let sealed = OpenStore::with_root(raw, root).await?;
    sealed.mark_restored(Clock::system().now()).await?;
    Ok(view(file, header, &end, true))
}

async fn close(hsm: Option<Arc<Pkcs11Signer>>) -> Result<()> {
    if let Some(hsm) = hsm {
        tokio::task::spawn_blocking(move || hsm.shutdown()).await?;
    }
    Ok(())
}
