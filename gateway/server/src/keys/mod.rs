//! `chancery keys …`: keys of a running gateway, for their whole life.

mod life;
mod transfer;
mod usage;

use std::process::ExitCode;

use anyhow::Result;
use clap::{Args, Subcommand};
use serde_json::{Value, json};

use self::life::{CreateArgs, SettingsArgs};
use self::transfer::{BackupArgs, ExportArgs, ImportArgs, RestoreArgs, WrapArgs, WrappingKeyArgs};
use self::usage::{CipherArgs, SignArgs, VerifyArgs};
use crate::commands::say;
use crate::output::{Output, print};
use crate::remote::{Remote, RemoteArgs};
use crate::tokens;

/// `chancery keys`.
#[derive(Debug, Args)]
pub(crate) struct KeysArgs {
    /// How results are printed.
    #[arg(long, global = true, value_enum, default_value_t = Output::Text)]
    output: Output,
    /// Where the gateway has keys: `secrets.keys` in its configuration.
    #[arg(long, global = true, value_name = "MOUNT", default_value = "transit")]
    mount: String,
    #[command(flatten)]
    remote: RemoteArgs,
    #[command(subcommand)]
    command: KeysCommand,
}

/// The name of a key.
#[derive(Debug, Args)]
struct Name {
    /// The key.
    #[arg(value_name = "NAME")]
    name: String,
}

#[derive(Debug, Subcommand)]
enum KeysCommand {
    /// List the names of all keys, or what the HSM's tokens hold.
    List {
        /// The keys in the tokens, the gateway's own too; fails if one that is used can be read or taken out.
        #[arg(long)]
        tokens: bool,
    },
    /// Show a key: its versions, settings and public halves.
    Show(Name),
    /// Make a key; one that is there already and of the same kind stays as it is.
    #[command(visible_alias = "generate")]
    Create(CreateArgs),
    /// Change a key's settings.
    Configure(SettingsArgs),
    /// Add a version, which encrypts and signs from now on; earlier ones decrypt and verify.
    Rotate(Name),
    /// Destroy versions that are not used any more.
    Trim {
        #[command(flatten)]
        name: Name,
        /// The first version that stays.
        #[arg(long, value_name = "N")]
        before: u64,
    },
    /// Take a key out of use.
    Disable(Name),
    /// Put a disabled key back into use.
    Enable(Name),
    /// Delete a key: it is destroyed once it has waited, and can be brought back until then.
    Delete(Name),
    /// Bring a deleted key back, disabled.
    Undelete(Name),
    /// Destroy a deleted key now.
    Purge(Name),
    /// Bring a key in, or the next version of one.
    Import(ImportArgs),
    /// Wrap a key for `import --wrapped`, on a machine without a gateway.
    Wrap(WrapArgs),
    /// Print the public key to which keys are wrapped that are brought in.
    WrappingKey(WrappingKeyArgs),
    /// Write a key into a file that only this gateway can read.
    Backup(BackupArgs),
    /// Bring a backed up key back.
    Restore(RestoreArgs),
    /// Hand an exportable key to another gateway, wrapped to its wrapping key.
    Export(ExportArgs),
    /// Sign a file.
    Sign(SignArgs),
    /// Check a signature; fails if it is not one of the file.
    Verify(VerifyArgs),
    /// Encrypt standard input.
    Encrypt(CipherArgs),
    /// Decrypt standard input.
    Decrypt(CipherArgs),
}

/// The keys of a gateway.
struct Keys {
    remote: Remote,
    mount: String,
    output: Output,
}

/// Does what was asked.
pub(crate) async fn run(args: KeysArgs) -> Result<ExitCode> {
    if let KeysCommand::Wrap(args) = args.command {
        return transfer::wrap(&args);
    }
    let keys = Keys { remote: args.remote.open()?, mount: args.mount, output: args.output };
    match args.command {
        KeysCommand::List { tokens: true } => tokens::list_keys(&keys.remote, keys.output).await?,
        KeysCommand::List { tokens: false } => keys.list().await?,
        KeysCommand::Show(Name { name }) => {
            let found = keys.remote.read(&keys.path(&format!("keys/{name}")), &[]).await?;
            print(keys.output, &found, || life::lines(&found))?;
        }
        KeysCommand::Create(args) => keys.create(args).await?,
        KeysCommand::Configure(args) => keys.configure(args).await?,
        KeysCommand::Trim { name, before } => {
            keys.change(&name, "trim", &json!({ "min_available_version": before })).await?;
        }
        KeysCommand::Rotate(name) => keys.change(&name, "rotate", &json!({})).await?,
        KeysCommand::Disable(name) => keys.change(&name, "disable", &json!({})).await?,
        KeysCommand::Enable(name) => keys.change(&name, "enable", &json!({})).await?,
        KeysCommand::Undelete(name) => keys.change(&name, "undelete", &json!({})).await?,
        KeysCommand::Delete(Name { name }) => {
            let path = keys.path(&format!("keys/{name}"));
            keys.remote.delete(&path).await?;
            say(&format!(
                "{name}: deleted; `chancery keys show {name}` tells until when it can be brought back"
            ))?;
        }
        KeysCommand::Purge(Name { name }) => {
            keys.remote.write(&keys.path(&format!("keys/{name}/purge")), &json!({})).await?;
            say(&format!("{name}: destroyed"))?;
        }
        KeysCommand::Import(args) => keys.import(args).await?,
        KeysCommand::Wrap(_) => {}
        KeysCommand::WrappingKey(args) => keys.wrapping_key(&args).await?,
        KeysCommand::Backup(args) => keys.back_up(args).await?,
        KeysCommand::Restore(args) => keys.restore(args).await?,
        KeysCommand::Export(args) => keys.export(args).await?,
        KeysCommand::Sign(args) => keys.sign(args).await?,
        KeysCommand::Verify(args) => return keys.verify(args).await,
        KeysCommand::Encrypt(args) => keys.encrypt(args).await?,
        KeysCommand::Decrypt(args) => keys.decrypt(args).await?,
    }
    Ok(ExitCode::SUCCESS)
}

impl Keys {
    fn path(&self, rest: &str) -> String {
        format!("{}/{rest}", self.mount)
    }

    async fn list(&self) -> Result<()> {
        let found = self.remote.list(&self.path("keys"), &[]).await?;
        print(self.output, &found, || {
            let names = found.get("keys").and_then(Value::as_array).into_iter().flatten();
            names.filter_map(Value::as_str).collect::<Vec<_>>().join("\n")
        })
    }

    async fn change(&self, name: &Name, action: &str, body: &Value) -> Result<()> {
        let path = self.path(&format!("keys/{}/{action}", name.name));
        let changed = self.remote.write(&path, body).await?;
        self.show(&changed)
    }

    fn show(&self, key: &Value) -> Result<()> {
        print(self.output, key, || life::lines(key))
    }
}
