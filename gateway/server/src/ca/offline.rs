//! A root on a machine of its own: a folder with a sealed store, and a token if its key is in one.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use chancery_ca::CaKeys;
use chancery_ca::offline::{OfflineRoot, RootPlan, Terms};
use chancery_files::{Trusted, is_there};
use chancery_identity::Clock;
use chancery_keys::KeyType;
use chancery_keys::pkcs11::{Pkcs11Config, Pkcs11Signer};
use chancery_keys::software::SoftwareSigner;
use chancery_seal::{Barrier, RootKey};
use chancery_store::SharedStore;
use chancery_store::redb::RedbStore;
use chancery_x509::{
    CertificateRequest, NameConstraints, ParsedCertificate, RevocationReason, Serial, Subtree, pem,
};
use clap::Args;
use jiff::Timestamp;

use super::{Delivery, days, publish, read, shown};
use crate::commands::say;
use crate::config::token_of_uri;
use crate::pem_certificates::certificates_in;
use crate::store::alone_in;

/// Where the root is, and who watches.
#[derive(Debug, Args)]
struct Place {
    /// The folder of the root: its sealed records, and copies of what is public.
    #[arg(long, value_name = "DIR")]
    dir: PathBuf,
    /// The file with the passphrase that seals the records (mode 0600).
    #[arg(long, value_name = "FILE")]
    passphrase_file: PathBuf,
    /// Have the root's key in this token (RFC 7512), as
    /// `pkcs11:token=ROOT?module-path=FILE&pin-source=file:FILE` [default: in the sealed records].
    #[arg(long, value_name = "URI")]
    pkcs11_uri: Option<String>,
    /// Somebody who watches: their name stands in the transcript. May be given several times.
    #[arg(long = "witness", value_name = "NAME")]
    witnesses: Vec<String>,
}

/// `chancery ca init`.
#[derive(Debug, Args)]
pub(super) struct InitArgs {
    #[command(flatten)]
    place: Place,
    /// The root's common name.
    #[arg(long, value_name = "NAME")]
    name: String,
    /// `ecdsa-p256`, `ecdsa-p384`, `ecdsa-p521`, `rsa-2048`, `rsa-3072`, `rsa-4096` or `ed25519`.
    #[arg(long, value_name = "TYPE", default_value = "ecdsa-p384")]
    key_type: KeyType,
    /// How long it is valid.
    #[arg(long, value_name = "DAYS", default_value_t = 7300, value_parser = clap::value_parser!(u32).range(1..=36525))]
    days: u32,
    /// How many CAs may stand one below the other under it [default: no limit].
    #[arg(long, value_name = "N")]
    path_length: Option<u8>,
    /// Where its CRL and certificate will be fetched, such as `http://pki.example.com/root`.
    #[arg(long, value_name = "URL")]
    url: url::Url,
    /// Only show what the certificate would be, or say what would be wrong; no key is made.
    #[arg(long)]
    dry_run: bool,
}

/// On what terms a CA is certified.
#[derive(Debug, Args)]
struct TermsArgs {
    /// How long the certificate is valid.
    #[arg(long, value_name = "DAYS", default_value_t = 1825, value_parser = clap::value_parser!(u32).range(1..=36525))]
    days: u32,
    /// How many CAs may stand below it [default: none; of a CA that is certified once more, as many as its
    /// certificate says, and one below a root that does not say].
    #[arg(long, value_name = "N")]
    path_length: Option<u8>,
    /// Names that may stand in certificates below it: `dns:example.com` or `ip:10.0.0.0/8`. May be given
    /// several times [default: all; of a CA that is certified once more, what its certificate says].
    #[arg(long = "permit", value_name = "NAMES")]
    permitted: Vec<Subtree>,
    /// Names that may not. May be given several times.
    #[arg(long = "exclude", value_name = "NAMES")]
    excluded: Vec<Subtree>,
    /// Where the certificate goes (PEM, the root's after it) [default: standard output].
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

/// `chancery ca intermediate`.
#[derive(Debug, Args)]
pub(super) struct IntermediateArgs {
    #[command(flatten)]
    place: Place,
    /// The request (PKCS#10, PEM).
    #[arg(long, value_name = "FILE")]
    csr: PathBuf,
    /// The CA's common name [default: the one in the request].
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    #[command(flatten)]
    terms: TermsArgs,
    /// Only show what the certificate would be, or say what would be wrong; nothing is signed.
    #[arg(long)]
    dry_run: bool,
}

/// `chancery ca cross-sign`.
#[derive(Debug, Args)]
pub(super) struct CrossSignArgs {
    #[command(flatten)]
    place: Place,
    /// The certificate of the CA (PEM).
    #[arg(long, value_name = "FILE")]
    certificate: PathBuf,
    #[command(flatten)]
    terms: TermsArgs,
    /// Only show what the certificate would be, or say what would be wrong; nothing is signed.
    #[arg(long)]
    dry_run: bool,
}

/// `chancery ca revoke`.
#[derive(Debug, Args)]
pub(super) struct RevokeArgs {
    #[command(flatten)]
    place: Place,
    /// The serial number in hex.
    #[arg(value_name = "SERIAL")]
    serial: Serial,
    /// Why: keyCompromise, cACompromise, superseded, cessationOfOperation, ….
    #[arg(long, value_name = "REASON", default_value = "unspecified")]
    reason: RevocationReason,
}

/// `chancery ca crl`.
#[derive(Debug, Args)]
pub(super) struct CrlArgs {
    #[command(flatten)]
    place: Place,
    /// How long it is valid.
    #[arg(long, value_name = "DAYS", default_value_t = 365, value_parser = clap::value_parser!(u32).range(1..=36525))]
    days: u32,
}

/// `chancery ca verify-transcript`.
#[derive(Debug, Args)]
pub(super) struct VerifyTranscriptArgs {
    /// The transcript.
    #[arg(value_name = "FILE")]
    transcript: PathBuf,
    /// The root's certificate (PEM).
    #[arg(long, value_name = "FILE")]
    root: PathBuf,
}

impl Place {
    /// Of the sealed records.
    fn file(&self) -> PathBuf {
        self.dir.join("root.redb")
    }

    /// The sealed records in the file at `path`, which is made if it is not there.
    async fn store(&self, path: &Path) -> Result<SharedStore> {
        let raw: SharedStore =
            Arc::new(RedbStore::open(path).with_context(|| format!("opening {}", path.display()))?);
        let trusted = Trusted::process();
        let key = RootKey::from_passphrase_file(&self.passphrase_file, &trusted, &*raw).await?;
        Ok(Barrier::open(raw, key).await.context("opening the seal")?)
    }

    /// Makes a new root in a temporary file and renames it at the end, so that an interrupted run leaves no half-made
    /// root. Checks that find mistakes come first.
    async fn begin(&self, plan: &RootPlan, now: Timestamp) -> Result<Copies> {
        Trusted::process().make_directory(&self.dir)?;
        let keys = self.keys()?;
        let _alone = alone_in(&self.dir)?;
        let path = self.file();
        if is_there(&path) {
            // One is there, or an earlier release did not come to its end.
            let store = self.store(&path).await?;
            let root = OfflineRoot::init(plan, store, keys, self.witnesses.clone(), now).await?;
            return Copies::of(&root).await;
        }
        let beside = path.with_extension("beginning");
        if is_there(&beside) {
            chancery_files::remove(&beside)
                .with_context(|| format!("cannot remove {}", beside.display()))?;
        }
        let made = self.begin_at(&beside, plan, keys, now).await;
        if made.is_err() {
            let _ = chancery_files::remove(&beside);
        }
        let copies = made?;
        chancery_files::rename(&beside, &path)
            .with_context(|| format!("cannot make {}", path.display()))?;
        Ok(copies)
    }

    /// Makes a root in a new file, and leaves it closed.
    async fn begin_at(
        &self,
        path: &Path,
        plan: &RootPlan,
        keys: CaKeys,
        now: Timestamp,
    ) -> Result<Copies> {
        let store = self.store(path).await?;
        let root = OfflineRoot::init(plan, store, keys, self.witnesses.clone(), now).await?;
        Copies::of(&root).await
    }

    fn keys(&self) -> Result<CaKeys> {
        let Some(uri) = &self.pkcs11_uri else {
            return Ok(CaKeys::Software(Arc::new(SoftwareSigner::new())));
        };
        let token = token_of_uri(uri).map_err(|error| anyhow::anyhow!("--pkcs11-uri: {error}"))?;
        let mut config = Pkcs11Config::new(vec![token]);
        config.sessions = 1;
        config.pin_lockouts = Some(self.dir.clone());
        let signer = Pkcs11Signer::open(config).context("opening the PKCS#11 token")?;
        Ok(CaKeys::Pkcs11(Arc::new(signer)))
    }

    async fn open(&self) -> Result<OfflineRoot> {
        // Opening would make one.
        let path = self.file();
        ensure!(path.is_file(), "{}: there is no root", self.dir.display());
        Trusted::process().directory(&self.dir)?;
        let store = self.store(&path).await?;
        Ok(OfflineRoot::open(store, self.keys()?, self.witnesses.clone()).await?)
    }

    /// Writes what is public anew, after each ceremony: also what an earlier one could not write.
    async fn write_copies(&self, root: &OfflineRoot) -> Result<()> {
        Copies::of(root).await?.write(&self.dir)
    }
}

/// What is public of a root.
struct Copies {
    id: String,
    certificate: Vec<u8>,
    transcript: String,
    certificate_url: String,
    crl_url: String,
}

impl Copies {
    async fn of(root: &OfflineRoot) -> Result<Self> {
        Ok(Self {
            id: root.id().to_owned(),
            certificate: root.certificate().to_vec(),
            transcript: root.transcript().await?,
            certificate_url: root.certificate_url(),
            crl_url: root.crl_url(),
        })
    }

    fn write(&self, directory: &Path) -> Result<()> {
        let pem = pem::encode(pem::CERTIFICATE, &self.certificate);
        publish(&directory.join("root.pem"), pem.as_bytes())?;
        publish(&directory.join(format!("{}.der", self.id)), &self.certificate)?;
        publish(&directory.join("transcript.jsonl"), self.transcript.as_bytes())
    }
}

impl TermsArgs {
    fn terms(&self, name: Option<String>, path_length: u8) -> Terms {
        Terms {
            common_name: name,
            validity: days(self.days),
            path_length: Some(self.path_length.unwrap_or(path_length)),
            name_constraints: NameConstraints {
                permitted: self.permitted.clone(),
                excluded: self.excluded.clone(),
            },
        }
    }
}

/// `chancery ca init`.
pub(super) async fn init(args: InitArgs) -> Result<()> {
    ensure!(args.url.scheme() == "http", "--url: has to be an http URL (RFC 5280 §4.2.1.13)");
    let plan = RootPlan {
        common_name: args.name,
        key_type: args.key_type,
        validity: days(args.days),
        path_length: args.path_length,
        url_base: args.url.to_string(),
    };
    let now = Clock::system().now();
    // Before anything is made.
    let preview = plan.preview(now)?;
    if args.dry_run {
        shown::preview(&preview);
        return say("the root's certificate would be fine");
    }
    let dir = &args.place.dir;
    let is_new = !dir.exists();
    let made = args.place.begin(&plan, now).await;
    if made.is_err() && is_new {
        // Only if there is nothing in it.
        let _ = std::fs::remove_dir(dir);
    }
    let copies = made?;
    copies.write(dir)?;
    shown::certificate(&copies.certificate);
    say(&format!(
        "{}: made. Publish ID.der at {}, and ID.crl (`chancery ca crl`) at {}",
        dir.join("root.pem").display(),
        copies.certificate_url,
        copies.crl_url
    ))
}

/// `chancery ca intermediate`.
pub(super) async fn intermediate(args: IntermediateArgs) -> Result<()> {
    let shown = args.csr.display();
    let request = pem::decode(pem::CERTIFICATE_REQUEST, &read(&args.csr)?)
        .with_context(|| shown.to_string())?;
    let request =
        CertificateRequest::of_ca_from_der(request.first().map_or(&[][..], Vec::as_slice))
            .with_context(|| shown.to_string())?;
    let root = args.place.open().await?;
    let terms = args.terms.terms(args.name.clone(), 0);
    let now = Clock::system().now();
    if args.dry_run {
        shown::request(&request);
        shown::preview(&root.preview(&request, &terms, now)?);
        return say("the certificate would be fine");
    }
    let out = Delivery::to(args.terms.out.as_ref())?;
    let der = root.certify(&request, &terms, now).await?;
    shown::certificate(&der);
    args.place.write_copies(&root).await?;
    let chain = [der, root.certificate().to_vec()];
    out.deliver(&pem::encode_chain(&chain))
}

/// `chancery ca cross-sign`.
pub(super) async fn cross_sign(args: CrossSignArgs) -> Result<()> {
    let certificate = certificate(&args.certificate)?;
    let root = args.place.open().await?;
    let is_root = certificate.subject_der() == certificate.issuer_der();
    let path_length = certificate.path_length().unwrap_or(u8::from(is_root));
    let terms = args.terms.terms(None, path_length);
    let now = Clock::system().now();
    if args.dry_run {
        shown::preview(&root.preview_crossing(&certificate, &terms, now)?);
        return say("the certificate would be fine");
    }
    let out = Delivery::to(args.terms.out.as_ref())?;
    let der = root.cross_certify(&certificate, &terms, now).await?;
    shown::certificate(&der);
    args.place.write_copies(&root).await?;
    let chain = [der, root.certificate().to_vec()];
    out.deliver(&pem::encode_chain(&chain))
}

/// `chancery ca revoke`.
pub(super) async fn revoke(args: RevokeArgs) -> Result<()> {
    let root = args.place.open().await?;
    root.revoke(args.serial, args.reason, Clock::system().now()).await?;
    args.place.write_copies(&root).await?;
    say(&format!("{}: revoked; `chancery ca crl` makes the CRL that says so", args.serial))
}

/// `chancery ca crl`.
pub(super) async fn crl(args: CrlArgs) -> Result<()> {
    let root = args.place.open().await?;
    let der = root.crl(days(args.days), Clock::system().now()).await?;
    args.place.write_copies(&root).await?;
    let path = args.place.dir.join(format!("{}.crl", root.id()));
    publish(&path, &der)?;
    say(&format!("{}: publish it at {}", path.display(), root.crl_url()))
}

/// `chancery ca verify-transcript`.
pub(super) fn verify_transcript(args: &VerifyTranscriptArgs) -> Result<()> {
    let root = certificate(&args.root)?;
    let shown = args.transcript.display();
    let lines = chancery_ca::offline::verify_transcript(&read(&args.transcript)?, &root)
        .with_context(|| shown.to_string())?;
    say(&format!("{shown}: {lines} lines, complete and signed by the root"))
}

fn certificate(path: &Path) -> Result<ParsedCertificate> {
    let found = certificates_in(&read(path)?).with_context(|| path.display().to_string())?;
    let first = found.first().map_or(&[][..], Vec::as_slice);
    ParsedCertificate::from_der(first).with_context(|| path.display().to_string())
}
