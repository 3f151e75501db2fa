//! `chancery ssh …`: certificates for SSH from a running gateway.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::{Args, Subcommand};
use serde_json::{Map, Value, json};

use crate::commands::say;
use crate::files::{self, Readers};
use crate::remote::RemoteArgs;

/// `chancery ssh`.
#[derive(Debug, Args)]
pub(crate) struct SshArgs {
    /// Where the gateway has its CA for SSH: `ssh.mount` in its configuration.
    #[arg(long, global = true, value_name = "MOUNT", default_value = "ssh")]
    mount: String,
    #[command(flatten)]
    remote: RemoteArgs,
    #[command(subcommand)]
    command: SshCommand,
}

#[derive(Debug, Subcommand)]
enum SshCommand {
    /// Have a key signed; the certificate goes where `ssh` looks for it.
    Sign(SignArgs),
    /// Show the key of the CA: for `TrustedUserCAKeys`, or with `--host` for `known_hosts`.
    Ca {
        /// The one that signs certificates of hosts.
        #[arg(long)]
        host: bool,
    },
}

#[derive(Debug, Args)]
struct SignArgs {
    /// The public key, such as `~/.ssh/id_ed25519.pub`.
    #[arg(value_name = "FILE")]
    key: PathBuf,
    /// A user's name, or with `--host` a host's. May be given several times.
    #[arg(long = "principal", value_name = "NAME", required = true)]
    principals: Vec<String>,
    /// It is the key of a host.
    #[arg(long)]
    host: bool,
    /// How long it shall be valid, such as `1h` [default: as the gateway has it]. More than policy allows is
    /// refused.
    #[arg(long, value_name = "TIME")]
    ttl: Option<String>,
    /// What it is for: policies see it.
    #[arg(long, value_name = "NAME", default_value = "default")]
    role: String,
    /// The one command that it may run.
    #[arg(long, value_name = "COMMAND")]
    force_command: Option<String>,
    /// Where it may be used from, such as `10.0.0.0/8,192.0.2.1`.
    #[arg(long, value_name = "ADDRESSES")]
    source_address: Option<String>,
    /// What it allows, in place of `permit-pty`: `permit-port-forwarding`, …. May be given several times.
    #[arg(long = "extension", value_name = "NAME")]
    extensions: Vec<String>,
    /// Where the certificate goes [default: beside the key, with `-cert.pub`].
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

/// Does what was asked.
pub(crate) async fn run(args: SshArgs) -> Result<ExitCode> {
    let remote = args.remote.open()?;
    let mount = args.mount;
    match args.command {
        SshCommand::Ca { host } => {
            let kind = if host { "host" } else { "user" };
            let query = [("cert_type", kind.to_owned())];
            let found = remote.read(&format!("{mount}/config/ca"), &query).await?;
            say(text(&found, "public_key"))?;
        }
        SshCommand::Sign(args) => {
            let shown = args.key.display();
            let key = std::fs::read_to_string(&args.key)
                .with_context(|| format!("cannot read {shown}"))?;
            let out = args.out.clone().unwrap_or_else(|| beside(&args.key));
            let path = format!("{mount}/sign/{}", args.role);
            let signed = remote.write(&path, &body(&args, &key)).await?;
            files::replace(&out, text(&signed, "signed_key").as_bytes(), Readers::Everybody)?;
            say(&format!("{}: written", out.display()))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn body(args: &SignArgs, key: &str) -> Value {
    let mut critical = Map::new();
    for (name, value) in
        [("force-command", &args.force_command), ("source-address", &args.source_address)]
    {
        if let Some(value) = value {
            critical.insert(name.to_owned(), value.clone().into());
        }
    }
    let mut body = json!({
        "public_key": key,
        "cert_type": if args.host { "host" } else { "user" },
        "valid_principals": args.principals.join(","),
        "ttl": args.ttl,
        "critical_options": critical,
    });
    if !args.extensions.is_empty()
        && let Some(body) = body.as_object_mut()
    {
        let extensions = args.extensions.iter().map(|name| (name.clone(), Value::from("")));
        body.insert("extensions".to_owned(), Value::Object(extensions.collect()));
    }
    body
}

fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value.get(name).and_then(Value::as_str).unwrap_or_default()
}

/// `id_ed25519-cert.pub` beside `id_ed25519.pub`.
fn beside(key: &Path) -> PathBuf {
    let name = key.file_name().unwrap_or_default().to_string_lossy();
    key.with_file_name(format!("{}-cert.pub", name.strip_suffix(".pub").unwrap_or(&name)))
}
