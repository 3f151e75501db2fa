//! `chancery policy sign` and `verify`: signatures over components and directories of policies.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use chancery_files::Trusted;
use chancery_identity::TenantId;
use chancery_keys::pkcs11::Pkcs11Signer;
use chancery_keys::software::SoftwareSigner;
use chancery_keys::{KeyName, Signer};
use chancery_policy::{
    Digest, DocumentSignatures, Documents, KeySignature, PolicySignature, SIGNATURES, SignerKey,
    documents,
};
use chancery_x509::{KeyAlgorithm, SignatureAlgorithm, pem};
use clap::Args;
use serde::Serialize;
use zeroize::Zeroizing;

use super::{Output, print};
use crate::config::{Config, public_keys};
use crate::files::{self, Readers};
use crate::foundation::open_hsm;

/// `chancery policy sign`.
#[derive(Debug, Args)]
pub(super) struct SignArgs {
    /// A component, to tell whose hand it comes from; or a directory of policies, to say that its documents are
    /// meant so and that there are no others: that is what a tenant with `policy_signers` wants.
    #[arg(value_name = "COMPONENT|DIRECTORY")]
    file: PathBuf,
    #[command(flatten)]
    key: KeyArgs,
    /// Of a directory, sign only the documents with a say in what is decided for this tenant [default: all].
    #[arg(long, value_name = "TENANT")]
    tenant: Option<TenantId>,
    /// The configuration that says where the HSM is.
    #[arg(long, value_name = "FILE", requires = "pkcs11_key")]
    config: Option<PathBuf>,
    /// Where the signature goes [default: the component's name with `.sig`, or `documents.sig` in the directory].
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

/// By which key.
#[derive(Debug, Args)]
#[group(id = "signer", multiple = false)]
pub(super) struct KeyArgs {
    /// Sign with this private key (PKCS #8, PEM).
    #[arg(long, value_name = "FILE")]
    key: Option<PathBuf>,
    /// Sign with the key of this name in the HSM of the configuration.
    #[arg(long, value_name = "NAME")]
    pkcs11_key: Option<KeyName>,
}

/// `chancery policy verify`.
#[derive(Debug, Args)]
pub(super) struct VerifyArgs {
    /// The component, or the directory of policies.
    #[arg(value_name = "COMPONENT|DIRECTORY")]
    file: PathBuf,
    /// The public keys that are accepted (PEM).
    #[arg(long, value_name = "FILE")]
    key: PathBuf,
    /// Of a directory, look only whether this tenant would take it [default: whether all documents are signed].
    #[arg(long, value_name = "TENANT")]
    tenant: Option<TenantId>,
    /// The signature [default: the component's name with `.sig`, or `documents.sig` in the directory].
    #[arg(long, value_name = "FILE")]
    signature: Option<PathBuf>,
}

/// What is told of a signature over a component.
#[derive(Debug, Serialize)]
struct Signed<'a> {
    file: &'a Path,
    digest: Digest,
    key: &'a str,
}

/// What is told of a signature over documents.
#[derive(Debug, Serialize)]
struct SignedList<'a> {
    file: &'a Path,
    documents: &'a Documents,
    key: &'a str,
    /// What was not in the list that the same key signed before, or was otherwise there.
    changes: Vec<String>,
}

/// Signs a component or the documents of a directory, in this process or in the HSM.
pub(super) async fn sign(args: &SignArgs, output: Output) -> Result<ExitCode> {
    ensure!(args.key.is_given(), "give --key, or --pkcs11-key with --config");
    let config = args.config.as_deref().map(Config::load).transpose()?;
    let key = args.key.open(config.as_ref())?;
    let signed = if args.file.is_dir() {
        sign_documents(args, &key, config.as_ref(), output).await
    } else {
        sign_component(args, &key, output).await
    };
    key.close().await?;
    signed?;
    Ok(ExitCode::SUCCESS)
}

async fn sign_component(args: &SignArgs, key: &OpenKey, output: Output) -> Result<()> {
    ensure!(args.tenant.is_none(), "--tenant goes with a directory of policies");
    let out = args.out.clone().unwrap_or_else(|| beside(&args.file));
    let digest = Digest::of(&read(&args.file)?);
    let KeySignature { algorithm, key, signature } =
        key.sign(&PolicySignature::message(&digest)).await?;
    let signature =
        PolicySignature { digest: digest.to_string(), algorithm, key: key.clone(), signature };
    write(&signature, &out)?;
    let signed = Signed { file: &out, digest, key: &key };
    print(output, &signed, || format!("{}: signed by the key {key}", out.display()))?;
    Ok(())
}

async fn sign_documents(
    args: &SignArgs,
    key: &OpenKey,
    config: Option<&Config>,
    output: Output,
) -> Result<()> {
    let trusted = config.map_or_else(Trusted::process, |config| config.trusted.clone());
    let list = documents(&args.file, &trusted, args.tenant.as_ref())?;
    some_for(args.tenant.as_ref(), &list, &args.file)?;
    let out = args.out.clone().unwrap_or_else(|| args.file.join(SIGNATURES));
    let before = signatures_in(&out)?;
    let id = key.id();
    let changes = changes(before.listed_by(&id), &list);
    let one = key.sign(&DocumentSignatures::message(&list)?).await?;
    files::replace(&out, &text(&before.with(list.clone(), one))?, Readers::Everybody)?;
    let signed = SignedList { file: &out, documents: &list, key: &id, changes };
    print(output, &signed, || {
        let said = format!("{}: {} documents, signed by the key {id}", out.display(), list.len());
        let changes = signed.changes.iter().map(|change| format!("\n    {change}"));
        said + &changes.collect::<String>()
    })?;
    Ok(())
}

/// Refuses a tenant for which no document has a say: a typo would sign nothing, and look as if it did.
fn some_for(tenant: Option<&TenantId>, list: &Documents, directory: &Path) -> Result<()> {
    match tenant {
        Some(tenant) if list.is_empty() => anyhow::bail!(
            "no document in {} has a say in what is decided for the tenant `{tenant}`",
            directory.display()
        ),
        _ => Ok(()),
    }
}

/// In which a list differs from the one that the same key signed before, so that the signer sees what is signed.
fn changes(before: Option<&Documents>, now: &Documents) -> Vec<String> {
    let none = Documents::new();
    let before = before.unwrap_or(&none);
    let mut changes: Vec<_> = now
        .iter()
        .filter_map(|(name, digest)| match before.get(name) {
            None => Some(format!("new: {name}")),
            Some(other) if other != digest => Some(format!("changed: {name}")),
            Some(_) => None,
        })
        .collect();
    let gone = before.keys().filter(|name| !now.contains_key(*name));
    changes.extend(gone.map(|name| format!("not in it any more: {name}")));
    changes
}

/// Says whether the signature counts.
pub(super) fn verify(args: &VerifyArgs, output: Output) -> Result<ExitCode> {
    let keys = public_keys(&args.key).with_context(|| format!("{}", args.key.display()))?;
    let shown = args.file.display();
    if args.file.is_dir() {
        let trusted = Trusted::process();
        let there = documents(&args.file, &trusted, None)?;
        let needed = match &args.tenant {
            None => there.clone(),
            tenant => documents(&args.file, &trusted, tenant.as_ref())?,
        };
        some_for(args.tenant.as_ref(), &needed, &args.file)?;
        let file = args.signature.clone().unwrap_or_else(|| args.file.join(SIGNATURES));
        let text = String::from_utf8(read(&file)?).with_context(|| file.display().to_string())?;
        let signatures = DocumentSignatures::parse(&file, &text)?;
        let needed_names = needed.keys().cloned().collect();
        let by = signatures
            .verify(&there, &needed_names, &keys)
            .with_context(|| file.display().to_string())?;
        let signed = SignedList { file: &file, documents: &needed, key: by, changes: vec![] };
        let count = needed.len();
        print(output, &signed, || format!("{shown}: {count} documents, signed by the key {by}"))?;
        return Ok(ExitCode::SUCCESS);
    }
    ensure!(args.tenant.is_none(), "--tenant goes with a directory of policies");
    let digest = Digest::of(&read(&args.file)?);
    let file = args.signature.clone().unwrap_or_else(|| beside(&args.file));
    let signature = PolicySignature::read(&file)?;
    signature.verify(&digest, &keys).with_context(|| format!("{shown}: {digest}"))?;
    let by = signature.key;
    let signed = Signed { file: &args.file, digest, key: &by };
    print(output, &signed, || format!("{shown}: signed by the key {by}"))?;
    Ok(ExitCode::SUCCESS)
}

/// A key to sign with, in this process or in an HSM that is open for it.
pub(super) struct OpenKey {
    name: KeyName,
    public: chancery_x509::PublicKey,
    signer: Arc<dyn Signer>,
    hsm: Option<Arc<Pkcs11Signer>>,
}

impl KeyArgs {
    /// Whether any key is named.
    pub(super) fn is_given(&self) -> bool {
        self.key.is_some() || self.pkcs11_key.is_some()
    }

    /// Opens it, in the HSM of the configuration or from its file.
    pub(super) fn open(&self, config: Option<&Config>) -> Result<OpenKey> {
        let (signer, name, hsm): (Arc<dyn Signer>, _, _) = match (&self.key, &self.pkcs11_key) {
            (Some(file), _) => {
                let (signer, name) = software(file)?;
                (Arc::new(signer), name, None)
            }
            (None, Some(name)) => {
                let config = config.context("--pkcs11-key needs --config")?;
                let hsm = open_hsm(config)?.context("the configuration has no [pkcs11] table")?;
                (hsm.clone(), name.clone(), Some(hsm))
            }
            (None, None) => anyhow::bail!("no key is named"),
        };
        let public = signer.public_key(&name)?;
        Ok(OpenKey { name, public, signer, hsm })
    }
}

impl OpenKey {
    /// What tells it from others, as signatures do.
    pub(super) fn id(&self) -> String {
        self.spki().id()
    }

    fn spki(&self) -> SignerKey {
        SignerKey { spki: self.public.spki_der().to_vec() }
    }

    /// Signs with it.
    pub(super) async fn sign(&self, message: &[u8]) -> Result<KeySignature> {
        let (algorithm, word) = match self.public.algorithm() {
            KeyAlgorithm::EcdsaP256 => (SignatureAlgorithm::EcdsaP256Sha256, "ecdsa-p256"),
            KeyAlgorithm::EcdsaP384 => (SignatureAlgorithm::EcdsaP384Sha384, "ecdsa-p384"),
            KeyAlgorithm::EcdsaP521
            | KeyAlgorithm::MlDsa44
            | KeyAlgorithm::MlDsa65
            | KeyAlgorithm::MlDsa87 => {
                let algorithm = self.public.algorithm();
                anyhow::bail!("policies are not signed with {algorithm} keys: use P-384")
            }
            KeyAlgorithm::Rsa { .. } => (SignatureAlgorithm::RsaPkcs1Sha256, "rsa"),
            KeyAlgorithm::Ed25519 => (SignatureAlgorithm::Ed25519, "ed25519"),
        };
        let signature = self.signer.sign(&self.name, algorithm, message).await?;
        Ok(KeySignature::new(word, &self.spki(), &signature))
    }

    /// Closes the HSM.
    pub(super) async fn close(self) -> Result<()> {
        let Self { hsm, signer, .. } = self;
        drop(signer);
        if let Some(hsm) = hsm {
            tokio::task::spawn_blocking(move || hsm.shutdown()).await?;
        }
        Ok(())
    }
}

fn read(file: &Path) -> Result<Vec<u8>> {
    std::fs::read(file).with_context(|| format!("cannot read {}", file.display()))
}

/// The signatures over documents that a file has; none if it is not there.
pub(super) fn signatures_in(file: &Path) -> Result<DocumentSignatures> {
    match std::fs::read_to_string(file) {
        Ok(text) => Ok(DocumentSignatures::parse(file, &text)?),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            Ok(DocumentSignatures::default())
        }
        Err(error) => Err(error).with_context(|| format!("cannot read {}", file.display())),
    }
}

/// Writes the file that a signature is kept in.
pub(super) fn write(signature: &PolicySignature, file: &Path) -> Result<()> {
    files::replace(file, &text(signature)?, Readers::Everybody)
}

/// What stands in such a file.
pub(super) fn text(signature: &impl Serialize) -> Result<Vec<u8>> {
    let mut text = serde_json::to_vec_pretty(signature)?;
    text.push(b'\n');
    Ok(text)
}

/// Where the signature of a file is looked for.
pub(super) fn beside(file: &Path) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(".sig");
    name.into()
}

/// The signature that lies beside the component, if there is one; one over another component is a mistake that
/// would only be found by a reader who gets both.
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
