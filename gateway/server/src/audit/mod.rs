//! The audit log of this gateway: opened for others, and the commands about it.

mod sealed;
mod verify;

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use chancery_audit::{Audit, AuditConfig, Patrolled, PublicKey, accept_loss};
use chancery_identity::Clock;
use chancery_keys::pkcs11::Pkcs11Signer;
use chancery_store::SharedStore;
use clap::{Args, Subcommand};
use tokio::sync::watch;

pub(crate) use self::sealed::Chain;
use self::sealed::Sealed;
use crate::commands::say;
use crate::config::Config;
use crate::foundation::open_hsm;
use crate::store::{OpenStore, existing};

/// `chancery audit …`.
#[derive(Debug, Subcommand)]
pub(crate) enum AuditCommand {
    /// Check that no line was removed, changed, reordered or written by somebody else.
    ///
    /// Without more, the files are checked by themselves: somebody who can change them can make up others that
    /// pass. `--config` checks them with the audit key and the mark in the store, while the gateway is
    /// stopped. `--public-key` needs no secret: it checks what the gateway has signed.
    Verify(verify::VerifyArgs),
    /// Print the public key that checks the log's checkpoints, while the gateway is stopped.
    ///
    /// A running gateway has it in the file LOG.pub beside the log.
    PublicKey(ConfigArgs),
    /// Begin a new file of a log in which lines are missing, and say so in it, while the gateway is stopped.
    ///
    /// A gateway does not start if its log does not go as far as the store says. If nobody can put back
    /// what is missing, this makes it start again; the file that is there is renamed and kept.
    AcceptLoss {
        #[command(flatten)]
        config: ConfigArgs,
        /// Why lines are missing, for the record.
        #[arg(long, value_name = "TEXT")]
        reason: String,
    },
}

/// Of which gateway.
#[derive(Debug, Args)]
pub(crate) struct ConfigArgs {
    /// The gateway's configuration.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
}

/// `chancery audit …`.
pub(crate) async fn run(command: AuditCommand) -> Result<ExitCode> {
    match command {
        AuditCommand::Verify(args) => verify::run(args).await,
        AuditCommand::PublicKey(args) => public_key(&args).await,
        AuditCommand::AcceptLoss { config, reason } => accept(&config, &reason).await,
    }
}

/// Makes sure that the log's key opens, if there is one.
///
/// # Errors
/// It is damaged, or the store cannot be read.
pub(crate) async fn expect_key(store: &SharedStore, chain: &Chain) -> Result<()> {
    Sealed::read(store, chain).await.map(drop)
}

/// Opens the audit log of a gateway, or begins it.
///
/// # Errors
/// Says what is wrong with it and what to do.
pub(crate) async fn open(
    config: &Config,
    store: &SharedStore,
    chain: &Chain,
    clock: Clock,
) -> Result<Audit> {
    let file = &config.audit.file;
    let sealed = Sealed::open(store, chain).await.context("the audit log's key and mark")?;
    Audit::open(audit_config(config, sealed), clock)
        .await
        .with_context(|| format!("opening the audit log {}", file.display()))
}

/// Begins to verify the log while it is written, if the configuration says so.
///
/// # Errors
/// The thread could not be started.
pub(crate) fn verify_always(
    config: &Config,
    audit: &Audit,
) -> Result<Option<watch::Receiver<Patrolled>>> {
    let Some(pace) = config.audit.verify else { return Ok(None) };
    audit.verify_always(pace).context("the thread that verifies the audit log")
}

/// How the log is, as far as it was verified while it is written, and whether all is well with it.
pub(crate) fn health(patrolled: Option<&watch::Receiver<Patrolled>>) -> (bool, serde_json::Value) {
    let Some(patrolled) = patrolled else {
        return (true, serde_json::json!({ "audit": { "verified": false } }));
    };
    let Patrolled { rounds, whole_at, whole_to, finding } = patrolled.borrow().clone();
    let health = serde_json::json!({
        "verified": true,
        "rounds": rounds,
        "whole_at": whole_at.map(|at| at.to_string()),
        "whole_to_line": whole_to,
        "finding": finding,
    });
    (finding.is_none(), serde_json::json!({ "audit": health }))
}

fn audit_config(config: &Config, sealed: Sealed) -> AuditConfig {
    let audit = &config.audit;
    AuditConfig {
        path: audit.file.clone(),
        trusted: config.trusted.clone(),
        key: sealed.key,
        name: audit.name.clone(),
        marks: sealed.marks,
        rotation: audit.rotation,
        checkpoints: audit.checkpoints,
    }
}

/// The store of a gateway that is stopped: a running one keeps it to itself.
struct Stopped {
    store: SharedStore,
    hsm: Option<Arc<Pkcs11Signer>>,
}

impl Stopped {
    async fn open(config: &Config) -> Result<Self> {
        existing(config)?;
        let hsm = open_hsm(config)?;
        let store = OpenStore::open(config, hsm.as_deref()).await?.store();
        Ok(Self { store, hsm })
    }

    /// Also if a repair of the store did not come to its end: it ends with a line of this log.
    async fn open_under_repair(config: &Config) -> Result<Self> {
        existing(config)?;
        let hsm = open_hsm(config)?;
        let store = OpenStore::open_under_repair(config, hsm.as_deref()).await?.store();
        Ok(Self { store, hsm })
    }

    /// # Errors
    /// The records cannot be read, or the gateway never started.
    async fn sealed(&self) -> Result<Sealed> {
        Sealed::read(&self.store, &Chain::Only)
            .await?
            .context("the store has no audit key: the gateway never started")
    }

    async fn close(self) -> Result<()> {
        if let Some(hsm) = self.hsm {
            tokio::task::spawn_blocking(move || hsm.shutdown()).await?;
        }
        Ok(())
    }
}

async fn public_key(args: &ConfigArgs) -> Result<ExitCode> {
    let config = Config::load(&args.config)?;
    let stopped = Stopped::open(&config).await?;
    let key = stopped.sealed().await?.audit_key()?;
    stopped.close().await?;
    say(&PublicKey::of(config.audit.name, &key).to_string())?;
    Ok(ExitCode::SUCCESS)
}

async fn accept(args: &ConfigArgs, reason: &str) -> Result<ExitCode> {
    ensure!(!reason.trim().is_empty(), "--reason is empty: it is all that the record will tell");
    let config = Config::load(&args.config)?;
    let stopped = Stopped::open_under_repair(&config).await?;
    let sealed = stopped.sealed().await?;
    let by = operator();
    let accepted = accept_loss(audit_config(&config, sealed), reason, &by, &Clock::system()).await;
    stopped.close().await?;
    let accepted = accepted?;
    let aside = accepted
        .set_aside
        .map_or_else(String::new, |name| format!("; the file that was there is {name} now"));
    say(&format!(
        "{}: goes on with line {} of a new file, which says that lines are missing ({}){aside}",
        config.audit.file.display(),
        accepted.line,
        accepted.problem
    ))?;
    Ok(ExitCode::SUCCESS)
}

/// Who runs this command, as far as the system says.
pub(crate) fn operator() -> String {
    let user = format!("uid {}", rustix::process::getuid().as_raw());
    match std::env::var("SUDO_USER") {
        Ok(name) if !name.is_empty() => format!("{user}, {name} by sudo"),
        _ => user,
    }
}
