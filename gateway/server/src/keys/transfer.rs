//! `chancery keys import`, `wrap`, `wrapping-key`, `backup`, `restore` and `export`.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chancery_keys::software::{OaepHash, SoftwareSigner, wrap_key};
use chancery_x509::{PublicKey, pem};
use clap::{ArgGroup, Args};
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::Keys;
use super::life::SettingsArgs;
use crate::commands::say;
use crate::files::{self, Readers};
use crate::output::print;

/// `chancery keys import`.
#[derive(Debug, Args)]
#[command(group(ArgGroup::new("what").required(true).multiple(true).args(["key", "wrapped", "public_key"])))]
pub(super) struct ImportArgs {
    /// What kind: `aes256-gcm96`, `hmac`, `ecdsa-p256`, `rsa-3072`, ….
    #[arg(long = "type", value_name = "TYPE", default_value = "aes256-gcm96")]
    key_type: String,
    /// A private key (PKCS#8 in PEM) or secret (its bytes); wrapped before it leaves this machine.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["wrapped", "public_key"])]
    key: Option<PathBuf>,
    /// A key that was wrapped already, by `chancery keys wrap` or as `CKM_RSA_AES_KEY_WRAP` does.
    #[arg(long, value_name = "FILE")]
    wrapped: Option<PathBuf>,
    /// Only a public key (PEM): to verify, to encrypt to, or to hand other keys to. With `--wrapped` and
    /// `--hsm`: the public half of the pair, which the HSM does not tell.
    #[arg(long, value_name = "FILE")]
    public_key: Option<PathBuf>,
    /// The hash in OAEP of a key that was wrapped elsewhere.
    #[arg(long, value_name = "HASH", default_value = "SHA256")]
    hash: String,
    /// Keep it in the HSM from then on, which unwraps it itself.
    #[arg(long)]
    hsm: bool,
    /// Have the gateway unwrap it, in its memory, and put it into the HSM: for HSMs that unwrap nothing.
    #[arg(long, requires = "hsm")]
    through_gateway: bool,
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
    /// The hash in OAEP: what `chancery keys wrapping-key --output json` tells.
    #[arg(long, value_name = "HASH", default_value = "SHA256")]
    hash: OaepHash,
    /// Where the wrapped key goes.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
}

/// `chancery keys wrapping-key`.
#[derive(Debug, Args)]
pub(super) struct WrappingKeyArgs {
    /// The one in the HSM, for keys that only the HSM is to unwrap.
    #[arg(long)]
    hsm: bool,
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
    pub(super) async fn wrapping_key(&self, args: &WrappingKeyArgs) -> Result<()> {
        let found = self.wrapping_key_in(args.hsm).await?;
        let pem = text(&found, "public_key")?;
        print(self.output, &found, || pem.trim_end().to_owned())
    }

    async fn wrapping_key_in(&self, hsm: bool) -> Result<Value> {
        let query = [("protection", protection(hsm).to_owned())];
        self.remote.read(&self.path("wrapping_key"), &query).await
    }

    pub(super) async fn import(&self, args: ImportArgs) -> Result<()> {
        let mut body = args.settings.members();
        body.insert("type".to_owned(), args.key_type.clone().into());
        body.insert("protection".to_owned(), protection(args.hsm).into());
        let in_hsm = args.hsm && !args.through_gateway;
        if let Some(file) = &args.public_key {
            body.insert("public_key".to_owned(), read_text(file)?.into());
        }
        let (wrapped, hash) = if let Some(file) = &args.key {
            let key = OwnKey::read(file)?;
            if in_hsm && let Some(public) = key.public_half(file)? {
                body.insert("public_key".to_owned(), public.into());
            }
            let to = self.wrapping_key_in(in_hsm).await?;
            let hash = text(&to, "hash_function")?;
            (Some(key.wrapped(&text(&to, "public_key")?, hash.parse()?)?), hash)
        } else if let Some(file) = &args.wrapped {
            (Some(read(file)?.to_vec()), args.hash)
        } else {
            (None, args.hash)
        };
        if let Some(wrapped) = wrapped {
            body.insert("ciphertext".to_owned(), STANDARD.encode(wrapped).into());
            body.insert("hash_function".to_owned(), hash.into());
            body.insert("unwrapped_in".to_owned(), protection(in_hsm).into());
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
    let wrapped = OwnKey::read(&args.key)?.wrapped(&read_text(&args.to)?, args.hash)?;
    files::replace(&args.out, &wrapped, Readers::Owner)?;
    say(&format!("{}: written", args.out.display()))?;
    Ok(ExitCode::SUCCESS)
}

/// A key on this machine that is to be brought into a gateway.
enum OwnKey {
    /// In PKCS#8.
    Private(Zeroizing<Vec<u8>>),
    Secret(Zeroizing<Vec<u8>>),
}

impl OwnKey {
    /// A private key in PEM, or the bytes of a secret.
    fn read(file: &Path) -> Result<Self> {
        let content = read(file)?;
        let text = match std::str::from_utf8(&content) {
            Ok(text) if text.trim_start().starts_with("-----BEGIN") => text,
            _ => return Ok(Self::Secret(content)),
        };
        let shown = file.display();
        let mut keys = pem::decode(pem::PRIVATE_KEY, text)
            .with_context(|| format!("{shown}: no private key (PKCS#8) in PEM"))?;
        match (keys.pop(), keys.is_empty()) {
            (Some(key), true) => Ok(Self::Private(Zeroizing::new(key))),
            _ => bail!("{shown}: not one private key (PKCS#8) in PEM"),
        }
    }

    /// The public half in PEM; a secret has none.
    fn public_half(&self, file: &Path) -> Result<Option<String>> {
        let Self::Private(pkcs8) = self else { return Ok(None) };
        let name = "own".parse().context("a name")?;
        let public = SoftwareSigner::new().insert_pkcs8(name, pkcs8.clone());
        let public = public.with_context(|| file.display().to_string())?;
        Ok(Some(pem::encode(pem::PUBLIC_KEY, public.spki_der())))
    }

    /// Wrapped to a public key in PEM.
    fn wrapped(&self, to: &str, hash: OaepHash) -> Result<Vec<u8>> {
        let found = pem::decode(pem::PUBLIC_KEY, to).context("the wrapping key")?;
        let [der] = found.as_slice() else {
            bail!("the wrapping key is not one public key in PEM")
        };
        let to = PublicKey::from_spki_der(der).context("the wrapping key")?;
        let (Self::Private(secret) | Self::Secret(secret)) = self;
        Ok(wrap_key(&to, hash, secret)?)
    }
}

fn protection(hsm: bool) -> &'static str {
    if hsm { "hsm" } else { "software" }
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
