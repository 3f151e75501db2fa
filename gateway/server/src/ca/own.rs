//! Ceremonies of the CAs of a gateway that is stopped.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context, Result};
use chancery_audit::{Audit, Event};
use chancery_ca::{CaConfig, CaKeys, Ceremony, CeremonyError};
use chancery_identity::{Clock, RequestContext, TenantId};
use chancery_issuance::Issuers;
use chancery_keys::pkcs11::Pkcs11Signer;
use chancery_store::SharedStore;
use chancery_x509::{CertificateRequest, ParsedCertificate, pem};
use clap::Args;
use jiff::Timestamp;

use super::{Delivery, read, shown};
use crate::audit::{self, Chain};
use crate::cas::{ca_config, ca_keys};
use crate::commands::say;
use crate::config::Config;
use crate::foundation::open_hsm;
use crate::pem_certificates::certificates_in;
use crate::store::{OpenStore, existing};

/// Which CA.
#[derive(Debug, Args)]
struct Which {
    /// The gateway's configuration.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// The CA: `private`, or the name of one of `[[issuers]]`.
    #[arg(long, value_name = "NAME", default_value = Issuers::PRIVATE)]
    issuer: String,
}

/// `chancery ca request`.
#[derive(Debug, Args)]
pub(super) struct RequestArgs {
    #[command(flatten)]
    which: Which,
    /// Where the request goes (PKCS#10, PEM) [default: standard output].
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

/// `chancery ca install`.
#[derive(Debug, Args)]
pub(super) struct InstallArgs {
    #[command(flatten)]
    which: Which,
    /// The certificate and those above it, up to and with the root, in this order (PEM).
    #[arg(long, value_name = "FILE")]
    chain: PathBuf,
    /// It is another chain for the key that issues already, for clients that trust another root; its first
    /// certificate is for that key, or for the root's.
    #[arg(long)]
    alternate: bool,
    /// Only show the certificate, or say why it would not be installed; nothing is installed.
    #[arg(long)]
    dry_run: bool,
}

/// `chancery ca rotate`.
#[derive(Debug, Args)]
pub(super) struct RotateArgs {
    #[command(flatten)]
    which: Which,
}

/// What a ceremony needs of a gateway that is stopped.
struct Stopped {
    config: CaConfig,
    keys: CaKeys,
    store: SharedStore,
    hsm: Option<Arc<Pkcs11Signer>>,
}

/// The same, for a ceremony that does something: it is put on record.
struct Recorded {
    stopped: Stopped,
    audit: Audit,
}

impl Stopped {
    /// To see what would be done.
    async fn open(which: &Which) -> Result<Self> {
        Self::from_config(which, &Config::load(&which.config)?).await
    }

    async fn from_config(which: &Which, config: &Config) -> Result<Self> {
        let mut cas = std::iter::once(&config.ca).chain(&config.issuers);
        let ca = cas.find(|ca| ca.name == which.issuer).with_context(|| {
            format!("{}: there is no CA `{}`", which.config.display(), which.issuer)
        })?;
        existing(config)?;
        let hsm = open_hsm(config)?;
        let store = OpenStore::open(config, hsm.as_deref()).await?.store();
        let keys = ca_keys(ca, hsm.clone());
        Ok(Self { config: ca_config(ca, &config.plain_url()), keys, store, hsm })
    }

    fn ceremony(&self) -> Result<Ceremony<'_>> {
        Ok(Ceremony::new(&self.config, self.store.clone(), &self.keys)?)
    }

    async fn close(self) -> Result<()> {
        if let Some(hsm) = self.hsm {
            tokio::task::spawn_blocking(move || hsm.shutdown()).await?;
        }
        Ok(())
    }
}

impl Recorded {
    async fn open(which: &Which) -> Result<Self> {
        let config = Config::load(&which.config)?;
        let stopped = Stopped::from_config(which, &config).await?;
        let audit = audit::open(&config, &stopped.store, &Chain::Only, Clock::system()).await?;
        Ok(Self { stopped, audit })
    }

    fn ceremony(&self) -> Result<Ceremony<'_>> {
        self.stopped.ceremony()
    }

    /// Puts it on record, and closes what was opened.
    async fn conclude<T>(
        self,
        operation: &'static str,
        done: Result<T, CeremonyError>,
        details: impl FnOnce(&T) -> Vec<(&'static str, String)>,
    ) -> Result<T> {
        let now = Clock::system().now();
        let context = RequestContext::internal(TenantId::default_tenant(), now);
        let mut event = Event::new(&context, operation, self.stopped.config.name.clone());
        let event = match &done {
            Ok(done) => {
                for (name, value) in details(done) {
                    event = event.detail(name, value);
                }
                event.succeeded()
            }
            Err(error) => event.detail("reason", error.to_string()).failed("not-done"),
        };
        self.audit.record(event).await?;
        self.audit.close().await;
        self.stopped.close().await?;
        Ok(done?)
    }
}

/// `chancery ca request`.
pub(super) async fn request(args: RequestArgs) -> Result<()> {
    let out = Delivery::to(args.out.as_ref())?;
    let gateway = Recorded::open(&args.which).await?;
    let done = gateway.ceremony()?.request().await;
    let der = gateway.conclude("ca.request", done, |_| vec![]).await?;
    shown::request(&CertificateRequest::from_der(&der)?);
    out.deliver(&pem::encode(pem::CERTIFICATE_REQUEST, &der))
}

/// `chancery ca install`.
pub(super) async fn install(args: InstallArgs) -> Result<()> {
    let chain =
        certificates_in(&read(&args.chain)?).with_context(|| args.chain.display().to_string())?;
    let first = chain.first().cloned().unwrap_or_default();
    let now = Clock::system().now();
    if args.dry_run {
        return check(&args, &chain, now).await;
    }
    let gateway = Recorded::open(&args.which).await?;
    let name = gateway.stopped.config.name.clone();
    shown::certificate(&first);
    if args.alternate {
        let done = gateway.ceremony()?.install_alternate(&chain, now).await;
        gateway.conclude("ca.install-alternate", done, |()| facts(&first)).await?;
        return say(&format!("the CA `{name}` offers this chain too from the next start on"));
    }
    let done = gateway.ceremony()?.install(&chain, now).await;
    let notices = gateway.conclude("ca.install", done, |_| facts(&first)).await?;
    say(&format!("the CA `{name}` issues with this certificate from the next start on"))?;
    for notice in notices {
        say(&format!("note: {notice}"))?;
    }
    Ok(())
}

/// `chancery ca install --dry-run`.
async fn check(args: &InstallArgs, chain: &[Vec<u8>], now: Timestamp) -> Result<()> {
    let stopped = Stopped::open(&args.which).await?;
    shown::certificate(chain.first().map_or(&[], Vec::as_slice));
    let ceremony = stopped.ceremony()?;
    let checked = if args.alternate {
        ceremony.check_alternate(chain, now).await.map(|()| vec![])
    } else {
        ceremony.check(chain, now).await
    };
    drop(ceremony);
    stopped.close().await?;
    for notice in checked? {
        say(&format!("note: {notice}"))?;
    }
    say("it would be installed")
}

/// `chancery ca rotate`.
pub(super) async fn rotate(args: RotateArgs) -> Result<()> {
    let gateway = Recorded::open(&args.which).await?;
    let name = gateway.stopped.config.name.clone();
    let done = gateway.ceremony()?.rotate(Clock::system().now()).await;
    let der = gateway.conclude("ca.rotate", done, |der| facts(der)).await?;
    shown::certificate(&der);
    say(&format!(
        "the CA `{name}` issues with a new key from the next start on; what it issued before stays \
         valid, and the key before signs CRLs and OCSP answers for it"
    ))
}

fn facts(der: &[u8]) -> Vec<(&'static str, String)> {
    let Ok(certificate) = ParsedCertificate::from_der(der) else { return vec![] };
    vec![
        ("serial", certificate.serial().to_string()),
        ("key_id", certificate.subject_key_id().unwrap_or_default().to_owned()),
        ("not_after", certificate.not_after().to_string()),
    ]
}
