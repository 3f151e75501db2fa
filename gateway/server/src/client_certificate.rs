//! Certificates for identities: the first administrator's and those of `chancery dev`, which the operator of a
//! gateway issues by hand, and those that a running gateway issues. They pass policy, lint, inventory and
//! audit like all others.

use std::io::Write as _;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, Result, bail, ensure};
use chancery_files::{Draft, keep_together};
use chancery_identity::{CertificateNames, SpiffeId, TenantId};
use chancery_issuance::Requester;
use chancery_keys::KeyType;
use chancery_keys::pkcs11::Stop;
use chancery_keys::software::{self, SoftwareSigner};
use chancery_store::OpenError;
use chancery_x509::{GeneralName, ParsedCertificate, pem};
use serde_json::{Value, json};

use crate::cli::ClientCertificateArgs;
use crate::commands::say;
use crate::config::Config;
use crate::files::{self, Readers};
use crate::foundation::Foundation;
use crate::gateway::Gateway;
use crate::request::{Wanted, certified, signed_request};

/// The profile that `chancery dev` asks for.
const PROFILE: &str = "service";

/// `chancery client-certificate`.
pub(crate) async fn run(args: ClientCertificateArgs) -> Result<ExitCode> {
    let shown = format!("{} and {}: written", args.cert.display(), args.key.display());
    match &args.config {
        Some(config) => by_hand(&args, config).await?,
        None => by_running_gateway(args).await?,
    }
    say(&shown)?;
    Ok(ExitCode::SUCCESS)
}

async fn by_hand(args: &ClientCertificateArgs, config: &Path) -> Result<()> {
    let config = Config::load(config)?;
    let plain_url = config.plain_url();
    let id = args.spiffe_id.as_ref().context("--spiffe-id is missing")?;
    let foundation = Foundation::open(&config, &Stop::default()).await;
    let foundation = foundation.map_err(|error| match error.downcast_ref() {
        Some(OpenError::InUse { .. }) => error
            .context("stop the gateway, or leave --config out to have the running one issue it"),
        _ => error,
    })?;
    let gateway = Gateway::open(&config, &plain_url, foundation).await?;
    issue_by(&gateway, id, &args.profile, &args.cert, &args.key).await?;
    let _ = gateway.close().await;
    Ok(())
}

/// Makes a key and has a certificate for `id` issued; writes both.
///
/// # Errors
/// If policy denies it, or a file cannot be written.
pub(crate) async fn issue(gateway: &Gateway, id: &SpiffeId, cert: &Path, key: &Path) -> Result<()> {
    issue_by(gateway, id, PROFILE, cert, key).await
}

async fn issue_by(
    gateway: &Gateway,
    id: &SpiffeId,
    profile: &str,
    cert: &Path,
    key: &Path,
) -> Result<()> {
    let place = Place::of(cert, key)?;
    let names = [GeneralName::Uri(id.to_string())];
    let wanted = Wanted {
        tenant: tenant_of(gateway, id),
        requester: Requester::OPERATOR,
        profile,
        names: &names,
        method: "operator",
    };
    let made = certified(gateway, wanted).await;
    let own = made.with_context(|| format!("issuing a certificate for {id}"))?;
    place.write(&own.issued.pem(), &own.key)
}

/// The tenant that recognises the ID, so that its policies decide and it finds the certificate; of what nobody
/// recognises, the gateway's own.
fn tenant_of(gateway: &Gateway, id: &SpiffeId) -> TenantId {
    let names = CertificateNames { uris: vec![id.to_string()], dns: vec![] };
    gateway.tenants.recognising(&names).unwrap_or_else(TenantId::default_tenant)
}

/// Has the running gateway issue it. The private key is made here, and only a signing request leaves.
async fn by_running_gateway(args: ClientCertificateArgs) -> Result<()> {
    let shown_certificate = args.remote.client_cert().unwrap_or(&args.cert);
    let name = match &args.spiffe_id {
        Some(id) => GeneralName::Uri(id.to_string()),
        None => own_name(shown_certificate)?,
    };
    let remote = args.remote.or_own(&args.cert, &args.key).open()?;
    let place = Place::of(&args.cert, &args.key)?;
    let key = software::generate(KeyType::EcdsaP256).context("making a key")?;
    let signer = SoftwareSigner::new();
    let label = "own".parse()?;
    signer.insert_pkcs8(label, key.clone())?;
    let csr = signed_request(vec![name.clone()], &signer, &"own".parse()?).await?;
    let mut body = json!({ "csr": pem::encode(pem::CERTIFICATE_REQUEST, csr.der()) });
    if let (Some(ttl), Some(fields)) = (args.ttl, body.as_object_mut()) {
        fields.insert("ttl".to_owned(), ttl.into());
    }
    let path = format!("{}/sign/{}", args.mount, args.profile);
    let issued = remote.write(&path, &body).await?;
    let text = |value: &Value| value.as_str().map(|text| format!("{text}\n"));
    let leaf =
        issued.get("certificate").and_then(text).context("the gateway sent no certificate")?;
    let above =
        issued.get("ca_chain").and_then(Value::as_array).into_iter().flatten().filter_map(text);
    let chain: String = std::iter::once(leaf).chain(above).collect();
    place.write(&chain, &key)
}

/// Where key and certificate go. Both can be written there, which is known before anybody is asked for a
/// certificate, and neither is changed before both are on the disk.
struct Place {
    key: Draft,
    cert: Draft,
}

impl Place {
    fn of(cert: &Path, key: &Path) -> Result<Self> {
        ensure!(cert != key, "--cert and --key name the same file, {}", cert.display());
        let key = files::draft(key, Readers::Owner)?;
        Ok(Self { key, cert: files::draft(cert, Readers::Everybody)? })
    }

    /// The key first, so that who waits for the certificate finds both.
    fn write(self, chain: &str, pkcs8: &[u8]) -> Result<()> {
        let Self { mut key, mut cert } = self;
        let text = zeroize::Zeroizing::new(pem::encode(pem::PRIVATE_KEY, pkcs8));
        for (draft, content) in [(&mut key, text.as_bytes()), (&mut cert, chain.as_bytes())] {
            let path = draft.path().to_owned();
            draft.write_all(content).with_context(|| format!("cannot write {}", path.display()))?;
        }
        Ok(keep_together([key, cert])?)
    }
}

/// The name in the certificate that is to be renewed: its SPIFFE ID, or else its one DNS name.
fn own_name(certificate: &Path) -> Result<GeneralName> {
    let shown = certificate.display();
    let text = std::fs::read_to_string(certificate).with_context(|| {
        format!(
            "cannot read {shown}, which says who you are: give --spiffe-id, or your certificate"
        )
    })?;
    let found = pem::certificates(&text).with_context(|| shown.to_string())?;
    let leaf = found.first().with_context(|| format!("{shown}: no certificate in PEM"))?;
    let parsed = ParsedCertificate::from_der(leaf).with_context(|| shown.to_string())?;
    let is_spiffe =
        |name: &&GeneralName| matches!(name, GeneralName::Uri(uri) if uri.starts_with("spiffe://"));
    let names = parsed.names();
    if let Some(id) = names.iter().find(is_spiffe) {
        return Ok(id.clone());
    }
    match names {
        [name @ GeneralName::Dns(_)] => Ok(name.clone()),
        _ => bail!("{shown} has no SPIFFE ID and not just one DNS name: give --spiffe-id"),
    }
}
