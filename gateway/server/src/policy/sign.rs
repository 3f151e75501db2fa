use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use chancery_keys::software::SoftwareSigner;
use chancery_keys::{KeyName, Signer};
use chancery_policy::{Digest, PolicySignature, SignerKey};
use chancery_x509::{KeyAlgorithm, SignatureAlgorithm, pem};
use clap::Args;
use zeroize::Zeroizing;

use super::{Output, print};
use crate::config::{Config, public_keys};
use crate::files::{self, Readers};
use crate::foundation::open_hsm;

/// `chancery policy sign`.
#[derive(Debug, Args)]
pub(super) struct SignArgs {
    /// The component.
    #[arg(value_name = "COMPONENT")]
    component: PathBuf,
    /// The private key (PKCS #8, PEM).
    #[arg(long, value_name = "FILE", required_unless_present = "pkcs11_key")]
    key: Option<PathBuf>,
    /// The name of a key in the HSM of `--config`, in place of a file.
    #[arg(long, value_name = "NAME", requires = "config", conflicts_with = "key")]
    pkcs11_key: Option<KeyName>,
    /// The configuration that says where the HSM is.
    #[arg(long, value_name = "FILE", requires = "pkcs11_key")]
    config: Option<PathBuf>,
    /// Where the signature goes [default: the component's name with `.sig`].
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

/// `chancery policy verify`.
#[derive(Debug, Args)]
pub(super) struct VerifyArgs {
    /// The component.
    #[arg(value_name = "COMPONENT")]
    component: PathBuf,
    /// The public keys that are accepted (PEM).
    #[arg(long, value_name = "FILE")]
    key: PathBuf,
    /// The signature [default: the component's name with `.sig`].
    #[arg(long, value_name = "FILE")]
    signature: Option<PathBuf>,
}

/// Signs the digest of a component, in this process or in the HSM.
pub(super) async fn sign(args: &SignArgs, output: Output) -> Result<ExitCode> {
    let digest = digest_of(&args.component)?;
    let signature = match (&args.key, &args.pkcs11_key, &args.config) {
        (Some(file), _, _) => {
            let (signer, name) = software(file)?;
            signed(&signer, &name, &digest).await?
        }
        (None, Some(name), Some(config)) => {
            let config = Config::load(config)?;
            let hsm = open_hsm(&config)?;
            let hsm = hsm.context("the configuration has no [pkcs11] table")?;
            let signature = signed(&*hsm, name, &digest).await;
            let closing = Arc::clone(&hsm);
            tokio::task::spawn_blocking(move || closing.shutdown()).await?;
            signature?
        }
        _ => anyhow::bail!("give --key, or --pkcs11-key with --config"),
    };
    let out = args.out.clone().unwrap_or_else(|| beside(&args.component));
    write(&signature, &out)?;
    print(output, &signature, || {
        format!("{}: signed by the key {}", out.display(), signature.key)
    })?;
    Ok(ExitCode::SUCCESS)
}

/// Says whether the signature counts.
pub(super) fn verify(args: &VerifyArgs, output: Output) -> Result<ExitCode> {
    let digest = digest_of(&args.component)?;
    let keys = public_keys(&args.key).with_context(|| format!("{}", args.key.display()))?;
    let file = args.signature.clone().unwrap_or_else(|| beside(&args.component));
    let signature = PolicySignature::read(&file)?;
    signature
        .verify(&digest, &keys)
        .with_context(|| format!("{}: {digest}", args.component.display()))?;
    let said = || format!("{}: signed by the key {}", args.component.display(), signature.key);
    print(output, &signature, said)?;
    Ok(ExitCode::SUCCESS)
}

fn digest_of(component: &Path) -> Result<Digest> {
    let wasm =
        std::fs::read(component).with_context(|| format!("cannot read {}", component.display()))?;
    Ok(Digest::of(&wasm))
}

/// Writes the file that a signature is kept in.
pub(super) fn write(signature: &PolicySignature, file: &Path) -> Result<()> {
    files::replace(file, &text(signature)?, Readers::Everybody)
}

/// What stands in that file.
pub(super) fn text(signature: &PolicySignature) -> Result<Vec<u8>> {
    let mut text = serde_json::to_vec_pretty(signature)?;
    text.push(b'\n');
    Ok(text)
}

/// Where the signature of a component is looked for.
pub(super) fn beside(component: &Path) -> PathBuf {
    let mut name = component.as_os_str().to_owned();
    name.push(".sig");
    name.into()
}

/// The signature that lies beside the component, if there is one; one over another component is a mistake that
/// would only be found by whoever gets both.
pub(super) fn signature_of(component: &Path, digest: &Digest) -> Result<Option<PolicySignature>> {
    let file = beside(component);
    let text = match std::fs::read_to_string(&file) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => {
            return Err(error).with_context(|| format!("cannot read {}", file.display()));
        }
    };
    let signature = PolicySignature::parse(&file, &text)?;
    ensure!(
        signature.digest == digest.to_string(),
        "{} is over {}, and {} is {digest}: sign it anew",
        file.display(),
        signature.digest,
        component.display()
    );
    Ok(Some(signature))
}

/// The key in a file, in a signer of its own.
fn software(file: &Path) -> Result<(SoftwareSigner, KeyName)> {
    let shown = file.display();
    let text = files::secret(file)?;
    let found = pem::decode(pem::PRIVATE_KEY, &text).with_context(|| format!("{shown}"))?;
    ensure!(found.len() == 1, "{shown}: there are {} keys in it", found.len());
    let signer = SoftwareSigner::new();
    let name: KeyName = "policy-signer".parse()?;
    for pkcs8 in found {
        signer.insert_pkcs8(name.clone(), Zeroizing::new(pkcs8))?;
    }
    Ok((signer, name))
}

async fn signed(signer: &dyn Signer, name: &KeyName, digest: &Digest) -> Result<PolicySignature> {
    let public = signer.public_key(name)?;
    let (algorithm, word) = match public.algorithm() {
        KeyAlgorithm::EcdsaP256 => (SignatureAlgorithm::EcdsaP256Sha256, "ecdsa-p256"),
        KeyAlgorithm::EcdsaP384 => (SignatureAlgorithm::EcdsaP384Sha384, "ecdsa-p384"),
        KeyAlgorithm::EcdsaP521
        | KeyAlgorithm::MlDsa44
        | KeyAlgorithm::MlDsa65
        | KeyAlgorithm::MlDsa87 => {
            anyhow::bail!("policies are not signed with {} keys: use P-384", public.algorithm())
        }
        KeyAlgorithm::Rsa { .. } => (SignatureAlgorithm::RsaPkcs1Sha256, "rsa"),
        KeyAlgorithm::Ed25519 => (SignatureAlgorithm::Ed25519, "ed25519"),
    };
    let signature = signer.sign(name, algorithm, &PolicySignature::message(digest)).await?;
    let key = SignerKey { spki: public.spki_der().to_vec() };
    Ok(PolicySignature::new(digest, word, &key, &signature))
}
