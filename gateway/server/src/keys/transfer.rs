use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chancery_keys::software::{OaepHash, wrap_key};
use chancery_x509::{PublicKey, pem};
use clap::{ArgGroup, Args};
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::Keys;
use super::life::SettingsArgs;
use crate::commands::say;
use crate::files::{self, Readers};

/// `chancery keys import`.
#[derive(Debug, Args)]
#[command(group(ArgGroup::new("what").required(true).args(["key", "wrapped", "public_key"])))]
pub(super) struct ImportArgs {
    /// What kind: `aes256-gcm96`, `hmac`, `ecdsa-p256`, `rsa-3072`, ….
    #[arg(long = "type", value_name = "TYPE", default_value = "aes256-gcm96")]
    key_type: String,
    /// A private key (PKCS#8 in PEM) or secret (its bytes); wrapped before it leaves this machine.
    #[arg(long, value_name = "FILE")]
    key: Option<PathBuf>,
    /// A key that was wrapped already, by `chancery keys wrap` or as `CKM_RSA_AES_KEY_WRAP` does.
    #[arg(long, value_name = "FILE")]
    wrapped: Option<PathBuf>,
    /// Only a public key (PEM): to verify, to encrypt to, or to hand other keys to.
    #[arg(long, value_name = "FILE")]
    public_key: Option<PathBuf>,
    /// The hash in OAEP of a key that was wrapped elsewhere.
    #[arg(long, value_name = "HASH", default_value = "SHA256")]
    hash: String,
    /// Keep it in the HSM from then on.
    #[arg(long)]
    hsm: bool,
    /// It is the next version of a key that was brought in before.
    #[arg(long)]
    version: bool,
    #[command(flatten)]
    settings: SettingsArgs,
}

/// `chancery keys wrap`.
#[derive(Debug, Args)]
pub(super) struct WrapArgs {
    /// A private key (PKCS#8 in PEM) or secret (its bytes).
    #[arg(value_name = "FILE")]
    key: PathBuf,
    /// The gateway's public key, from `chancery keys wrapping-key`.
    #[arg(long, value_name = "FILE")]
    to: PathBuf,
    /// Where the wrapped key goes.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
}

/// `chancery keys backup`.
#[derive(Debug, Args)]
pub(super) struct BackupArgs {
    /// The key.
    #[arg(value_name = "NAME")]
    name: String,
    /// Where the backup goes.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
}

/// `chancery keys restore`.
#[derive(Debug, Args)]
pub(super) struct RestoreArgs {
    /// A name that is free.
    #[arg(value_name = "NAME")]
    name: String,
    /// The backup.
    #[arg(value_name = "FILE")]
    backup: PathBuf,
}

/// `chancery keys export`.
#[derive(Debug, Args)]
pub(super) struct ExportArgs {
    /// The key.
    #[arg(value_name = "NAME")]
    name: String,
    /// The key of type RSA to which it is wrapped: the other gateway's wrapping key, which was brought in
    /// here with `import --public-key`.
    #[arg(long, value_name = "NAME")]
    to: String,
    /// Only this version [default: the latest].
    #[arg(long, value_name = "N")]
    version: Option<u64>,
    /// Where the wrapped key goes.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
}

impl Keys {
    pub(super) async fn wrapping_key(&self) -> Result<String> {
        let found = self.remote.read(&self.path("wrapping_key"), &[]).await?;
        text(&found, "public_key")
    }

    pub(super) async fn import(&self, args: ImportArgs) -> Result<()> {
        let mut body = args.settings.members();
        body.insert("type".to_owned(), args.key_type.clone().into());
        body.insert("protection".to_owned(), if args.hsm { "hsm" } else { "software" }.into());
        if let Some(file) = &args.public_key {
            body.insert("public_key".to_owned(), read_text(file)?.into());
        } else {
            let wrapped = match (&args.key, &args.wrapped) {
                (Some(file), _) => wrapped(file, &self.wrapping_key().await?)?,
                (None, Some(file)) => read(file)?.to_vec(),
                (None, None) => bail!("give --key, --wrapped or --public-key"),
            };
            body.insert("ciphertext".to_owned(), STANDARD.encode(wrapped).into());
            body.insert("hash_function".to_owned(), args.hash.clone().into());
        }
        let action = if args.version { "import_version" } else { "import" };
        let path = self.path(&format!("keys/{}/{action}", args.settings.name));
        let imported = self.remote.write(&path, &Value::Object(body)).await?;
        self.show(&imported)
    }

    pub(super) async fn back_up(&self, args: BackupArgs) -> Result<()> {
        let found = self.remote.read(&self.path(&format!("backup/{}", args.name)), &[]).await?;
        let backup = Zeroizing::new(text(&found, "backup")?);
        files::replace(&args.out, backup.as_bytes(), Readers::Owner)?;
        say(&format!("{}: written; only this gateway can read it", args.out.display()))
    }

    pub(super) async fn restore(&self, args: RestoreArgs) -> Result<()> {
        let body = json!({ "backup": read_text(&args.backup)?.trim_end() });
        let path = self.path(&format!("restore/{}", args.name));
        let restored = self.remote.write(&path, &body).await?;
        self.show(&restored)
    }

    pub(super) async fn export(&self, args: ExportArgs) -> Result<()> {
        let ExportArgs { name, to, version, out } = args;
        let version = if let Some(version) = version {
            version.to_string()
        } else {
            let key = self.remote.read(&self.path(&format!("keys/{name}")), &[]).await?;
            key.get("latest_version").map(Value::to_string).unwrap_or_default()
        };
        let path = self.path(&format!("byok-export/{to}/{name}/{version}"));
        let found = self.remote.read(&path, &[]).await?;
        let wrapped = found.get("keys").and_then(|keys| keys.get(&version)?.as_str());
        let wrapped =
            STANDARD.decode(wrapped.unwrap_or_default()).context("the gateway's answer")?;
        files::replace(&out, &wrapped, Readers::Owner)?;
        say(&format!(
            "{}: version {version} written, for `chancery keys import --wrapped`",
            out.display()
        ))
    }
}

/// Wraps a key without a gateway.
pub(super) fn wrap(args: &WrapArgs) -> Result<ExitCode> {
    let wrapped = wrapped(&args.key, &read_text(&args.to)?)?;
    files::replace(&args.out, &wrapped, Readers::Owner)?;
    say(&format!("{}: written", args.out.display()))?;
    Ok(ExitCode::SUCCESS)
}

/// A key in a file, wrapped to a public key in PEM.
fn wrapped(file: &Path, to: &str) -> Result<Vec<u8>> {
    let found = pem::decode(pem::PUBLIC_KEY, to).context("the wrapping key")?;
    let [der] = found.as_slice() else { bail!("the wrapping key is not one public key in PEM") };
    let to = PublicKey::from_spki_der(der).context("the wrapping key")?;
    let content = read(file)?;
    let secret = match std::str::from_utf8(&content) {
        Ok(text) if text.trim_start().starts_with("-----BEGIN") => {
            let shown = file.display();
            let mut keys = pem::decode(pem::PRIVATE_KEY, text)
                .with_context(|| format!("{shown}: no private key (PKCS#8) in PEM"))?;
            match (keys.pop(), keys.is_empty()) {
                (Some(key), true) => Zeroizing::new(key),
                _ => bail!("{shown}: not one private key (PKCS#8) in PEM"),
            }
        }
        _ => content,
    };
    Ok(wrap_key(&to, OaepHash::Sha256, &secret)?)
}

fn read(file: &Path) -> Result<Zeroizing<Vec<u8>>> {
    let content = std::fs::read(file).with_context(|| format!("cannot read {}", file.display()))?;
    Ok(Zeroizing::new(content))
}

fn read_text(file: &Path) -> Result<String> {
    std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))
}

fn text(answer: &Value, name: &str) -> Result<String> {
    let text = answer.get(name).and_then(Value::as_str);
    Ok(text.with_context(|| format!("the gateway's answer has no {name}"))?.to_owned())
}
