//! `chancery keys sign`, `verify`, `encrypt` and `decrypt`.

use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use clap::Args;
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::Keys;
use crate::commands::say;

/// `chancery keys sign`.
#[derive(Debug, Args)]
pub(super) struct SignArgs {
    /// The key.
    #[arg(value_name = "NAME")]
    name: String,
    /// What is signed.
    #[arg(value_name = "FILE")]
    file: PathBuf,
    #[command(flatten)]
    how: HowArgs,
}

/// `chancery keys verify`.
#[derive(Debug, Args)]
pub(super) struct VerifyArgs {
    /// The key.
    #[arg(value_name = "NAME")]
    name: String,
    /// What was signed.
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// The signature, as `chancery keys sign` prints it.
    #[arg(long, value_name = "TEXT")]
    signature: String,
    #[command(flatten)]
    how: HowArgs,
}

/// How is signed.
#[derive(Debug, Args)]
struct HowArgs {
    /// The hash: `sha2-256`, `sha2-384` or `sha2-512` [default: as usual for the type of key].
    #[arg(long, value_name = "HASH")]
    hash: Option<String>,
    /// The padding of RSA: `pss` or `pkcs1v15` [default: pss].
    #[arg(long, value_name = "PADDING")]
    padding: Option<String>,
    /// The form of the signature: `asn1` or `jws` [default: asn1].
    #[arg(long, value_name = "FORM")]
    form: Option<String>,
}

/// `chancery keys encrypt` and `decrypt`.
#[derive(Debug, Args)]
pub(super) struct CipherArgs {
    /// The key.
    #[arg(value_name = "NAME")]
    name: String,
    /// What it is bound to: the same has to be given to decrypt it. Not secret.
    #[arg(long, value_name = "TEXT", default_value = "")]
    associated_data: String,
    /// The hash in OAEP, for keys of type RSA, the same for both: `SHA1`, `SHA256`, `SHA384` or `SHA512`
    /// [default: SHA256].
    #[arg(long, value_name = "HASH")]
    hash: Option<String>,
}

impl Keys {
    pub(super) async fn sign(&self, args: SignArgs) -> Result<()> {
        let body = args.how.body(&args.file, None)?;
        let made = self.remote.write(&self.path(&format!("sign/{}", args.name)), &body).await?;
        say(made.get("signature").and_then(Value::as_str).context("the gateway's answer")?)
    }

    pub(super) async fn verify(&self, args: VerifyArgs) -> Result<ExitCode> {
        let body = args.how.body(&args.file, Some(&args.signature))?;
        let said = self.remote.write(&self.path(&format!("verify/{}", args.name)), &body).await?;
        if said.get("valid") == Some(&Value::Bool(true)) {
            say("the signature is good")?;
            return Ok(ExitCode::SUCCESS);
        }
        say("the signature is NOT one of this file")?;
        Ok(ExitCode::FAILURE)
    }

    pub(super) async fn encrypt(&self, args: CipherArgs) -> Result<()> {
        let mut plaintext = Zeroizing::new(Vec::new());
        std::io::stdin().read_to_end(&mut plaintext).context("standard input")?;
        let body = json!({
            "plaintext": STANDARD.encode(&plaintext),
            "associated_data": STANDARD.encode(args.associated_data),
            "hash_function": args.hash,
        });
        let made = self.remote.write(&self.path(&format!("encrypt/{}", args.name)), &body).await?;
        say(made.get("ciphertext").and_then(Value::as_str).context("the gateway's answer")?)
    }

    pub(super) async fn decrypt(&self, args: CipherArgs) -> Result<()> {
        let mut ciphertext = String::new();
        std::io::stdin().read_to_string(&mut ciphertext).context("standard input")?;
        let body = json!({
            "ciphertext": ciphertext.trim(),
            "associated_data": STANDARD.encode(args.associated_data),
            "hash_function": args.hash,
        });
        let opened =
            self.remote.write(&self.path(&format!("decrypt/{}", args.name)), &body).await?;
        let text = opened.get("plaintext").and_then(Value::as_str);
        let plaintext = STANDARD.decode(text.context("the gateway's answer")?);
        let plaintext = Zeroizing::new(plaintext.context("the gateway's answer")?);
        std::io::stdout().write_all(&plaintext).context("standard output")
    }
}

impl HowArgs {
    fn body(&self, file: &Path, signature: Option<&str>) -> Result<Value> {
        let content =
            std::fs::read(file).with_context(|| format!("cannot read {}", file.display()))?;
        Ok(json!({
            "input": STANDARD.encode(content),
            "hash_algorithm": self.hash,
            "signature_algorithm": self.padding,
            "marshaling_algorithm": self.form,
            "signature": signature,
        }))
    }
}
