//! `chancery root-key …`: making root keys, and changing that of a store.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use chancery_audit::Event;
use chancery_identity::{Clock, RequestContext, TenantId};
use chancery_keys::KeyName;
use chancery_keys::pkcs11::Pkcs11Signer;
use chancery_seal::{NewRoot, RootKey, expect_sealed_with, rekey};
use clap::{Args, Subcommand};

use crate::audit::{self, Chain};
use crate::commands::say;
use crate::config::Config;
use crate::foundation::open_hsm;
use crate::store::{OpenStore, existing, raw, root_key, store_file};

/// `chancery root-key`.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct RootKeyArgs {
    /// The file to make (mode 0600); it must not exist.
    #[arg(value_name = "FILE")]
    file: Option<PathBuf>,
    #[command(subcommand)]
    command: Option<RootKeyCommand>,
}

#[derive(Debug, Subcommand)]
enum RootKeyCommand {
    /// Put another root key in the place of the one that the store is sealed with, while the gateway is stopped.
    ///
    /// The tenants' keys are sealed anew, all at once: at every moment the store opens with one of the two root keys
    /// and with no other. Then the configuration has to name the new one. Secrets are not encrypted anew.
    Rotate(RotateArgs),
}

#[derive(Debug, Args)]
struct RotateArgs {
    /// The gateway's configuration, which names the root key of now.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    #[command(flatten)]
    new: NewArgs,
}

/// The new root key.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
struct NewArgs {
    /// A file with the new root key; it is made (mode 0600) if it is not there.
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// A file with the passphrase that makes it (mode 0600).
    #[arg(long, value_name = "FILE")]
    passphrase_file: Option<PathBuf>,
    /// The key in the configuration's HSM that wraps it; it is made if it is not there.
    #[arg(long, value_name = "NAME")]
    pkcs11_key: Option<KeyName>,
}

/// Does what was asked.
pub(crate) async fn run(args: RootKeyArgs) -> Result<ExitCode> {
    match (args.file, args.command) {
        (_, Some(RootKeyCommand::Rotate(args))) => rotate(&args).await,
        (Some(file), None) => make(&file),
        (None, None) => bail!("name the file to make, or `rotate` (see --help)"),
    }
}

fn make(file: &Path) -> Result<ExitCode> {
    RootKey::create_file(file)?;
    say(&format!(
        "{}: made. Keep a copy where the gateway is not: without it nothing in the store opens.",
        file.display()
    ))?;
    Ok(ExitCode::SUCCESS)
}

async fn rotate(args: &RotateArgs) -> Result<ExitCode> {
    let config = Config::load(&args.config)?;
    let path = existing(&config)?;
    config.trusted.file(&path)?;
    let hsm = open_hsm(&config)?;
    let rotated = rotate_opened(args, &config, hsm.as_ref()).await;
    if let Some(hsm) = hsm {
        tokio::task::spawn_blocking(move || hsm.shutdown()).await?;
    }
    rotated?;
    Ok(ExitCode::SUCCESS)
}

async fn rotate_opened(
    args: &RotateArgs,
    config: &Config,
    hsm: Option<&Arc<Pkcs11Signer>>,
) -> Result<()> {
    let path = store_file(config);
    let raw = raw(&path)?;
    let current = root_key(config, hsm.map(AsRef::as_ref), &*raw).await?;
    let unchanged = "the root key is as it was";
    expect_sealed_with(&*raw, &current).await.context(unchanged)?;
    // It is on the disk, or in the token, before anything is sealed with it.
    let new = args.new.make(config, hsm).await?;
    let (from, to) = (current.id(), new.key().id());
    let change = |stage: &str| {
        let context = RequestContext::internal(TenantId::default_tenant(), Clock::system().now());
        Event::new(&context, "store.root-key.rotate", "store")
            .detail("by", audit::operator())
            .detail("stage", stage.to_owned())
            .detail("from", from.clone())
            .detail("to", to.clone())
    };
    // Whatever happens from here on, it is on record that this was tried.
    let before = OpenStore::with_root(raw.clone(), current.clone()).await.context(unchanged)?;
    record(config, &before, change("begins").succeeded()).await.context(unchanged)?;
    let keys = match rekey(&*raw, &current, &new).await {
        Ok(keys) => keys,
        Err(error) => {
            record(config, &before, change("ends").failed("not-changed")).await?;
            return Err(error).context(unchanged);
        }
    };
    drop(before);
    // Said before anything else can fail: without it nobody can start the gateway.
    say(&format!(
        "{}: sealed with the root key {to}. Before the next start, let {} say, in the place of what it says below \
         [seal]:\n{}\nKeep the former root key ({from}) for as long as you keep backups from before.",
        path.display(),
        args.config.display(),
        args.new.setting()
    ))?;
    drop(current);
    let store = OpenStore::with_root(raw, new.into_key()).await?;
    record(config, &store, change("ends").detail("keys", keys).succeeded())
        .await
        .context("the root key is changed, and that is not on record")
}

async fn record(config: &Config, store: &OpenStore, event: Event) -> Result<()> {
    let clock = Clock::system();
    let audit = audit::open(config, &store.store(), &Chain::Only, clock.clone()).await?;
    let recorded = audit.record(event).await;
    audit.close().await;
    Ok(recorded?)
}

impl NewArgs {
    async fn make(&self, config: &Config, hsm: Option<&Arc<Pkcs11Signer>>) -> Result<NewRoot> {
        let trusted = &config.trusted;
        Ok(match (self, hsm) {
            (Self { file: Some(file), .. }, _) => NewRoot::from_file(file, trusted)?,
            (Self { passphrase_file: Some(file), .. }, _) => {
                NewRoot::from_passphrase_file(file, trusted).await?
            }
            (Self { pkcs11_key: Some(name), .. }, Some(hsm)) => {
                NewRoot::from_pkcs11(hsm, name).await?
            }
            (Self { pkcs11_key: Some(_), .. }, None) => {
                bail!("--pkcs11-key: the configuration has no [pkcs11] table")
            }
            (Self { pkcs11_key: None, .. }, _) => bail!("no root key is named"),
        })
    }

    /// What the configuration has to say.
    fn setting(&self) -> String {
        match self {
            Self { file: Some(file), .. } => setting("root_key_file", &absolute(file)),
            Self { passphrase_file: Some(file), .. } => setting("passphrase_file", &absolute(file)),
            Self { pkcs11_key, .. } => {
                setting("pkcs11_key", pkcs11_key.as_ref().map_or("", KeyName::as_str))
            }
        }
    }
}

/// A line of the configuration.
fn setting(name: &str, value: &str) -> String {
    format!("{name} = {}", toml::Value::from(value))
}

fn absolute(path: &Path) -> String {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned()).display().to_string()
}
