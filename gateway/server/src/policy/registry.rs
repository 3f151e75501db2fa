//! Policies in OCI registries, as the Wasm OCI artifact layout of the CNCF has them: one manifest
//! with a configuration and one layer, the component.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use chancery_policy::{Digest, Inspection, LARGEST_COMPONENT, PolicySignature};
use clap::Args;
use futures_util::StreamExt as _;
use http::HeaderValue;
use oci_client::client::{Certificate, CertificateEncoding, ClientConfig, ClientProtocol};
use oci_client::manifest::{OCI_IMAGE_MEDIA_TYPE, OciDescriptor, OciImageManifest};
use oci_client::secrets::RegistryAuth;
use oci_client::{Client, Reference, RegistryOperation};
use serde::Serialize;
use serde_json::json;

use super::{Output, print, sign};
use crate::files::{self, Readers};

const CONFIG: &str = "application/vnd.wasm.config.v0+json";
const COMPONENT: &str = "application/wasm";
/// Where the signature file's content is kept: the layout has no layer for it.
const SIGNATURE: &str = "chancery.policy.signature";

/// How a registry is reached.
#[derive(Debug, Args)]
struct RegistryArgs {
    /// The user, if the registry asks for one.
    #[arg(long, value_name = "NAME", requires = "password_file")]
    username: Option<String>,
    /// The file with the user's password or token, which only you can read.
    #[arg(long, value_name = "FILE", requires = "username")]
    password_file: Option<PathBuf>,
    /// A further root certificate to trust (PEM).
    #[arg(long, value_name = "FILE")]
    root: Option<PathBuf>,
    /// Use HTTP without TLS, for a registry on this machine.
    #[arg(long)]
    http: bool,
}

/// `chancery policy push`.
#[derive(Debug, Args)]
pub(super) struct PushArgs {
    /// The component. A signature beside it, `COMPONENT.sig`, goes with it.
    #[arg(value_name = "COMPONENT")]
    component: PathBuf,
    /// Where to, as `registry.example.com/policies/rules:1.4.0`.
    #[arg(value_name = "REFERENCE")]
    reference: Reference,
    #[command(flatten)]
    registry: RegistryArgs,
}

/// `chancery policy pull`.
#[derive(Debug, Args)]
pub(super) struct PullArgs {
    /// From where, by tag or by digest: `registry.example.com/policies/rules@sha256:…`.
    #[arg(value_name = "REFERENCE")]
    reference: Reference,
    /// Where the component goes; its signature goes beside it.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// The digest that the component has to have.
    #[arg(long, value_name = "sha256:HEX")]
    digest: Option<Digest>,
    #[command(flatten)]
    registry: RegistryArgs,
}

#[derive(Debug, Serialize)]
struct Transferred {
    /// The artifact by its digest, which no one can put another in the place of.
    reference: String,
    /// Digest of the component, which bindings pin.
    digest: String,
    bytes: usize,
    signed: bool,
    file: PathBuf,
}

/// Puts a component into a registry.
pub(super) async fn push(args: &PushArgs, output: Output) -> Result<ExitCode> {
    let reference = &args.reference;
    ensure!(reference.digest().is_none(), "push to a tag: a digest is what comes of it");
    let wasm = std::fs::read(&args.component)
        .with_context(|| format!("cannot read {}", args.component.display()))?;
    let seen = Inspection::of(&args.component, &wasm)?;
    let signature = sign::signature_of(&args.component, &Digest::of(&wasm))?;
    let signature = signature.map(|signature| serde_json::to_string(&signature)).transpose()?;
    let bytes = wasm.len();
    let config = config_of(&seen)?;
    let manifest = manifest_of(&seen, &config, signature.as_ref())?;
    let (client, auth) = args.registry.connect(reference)?;
    let pushed = async {
        client.auth(reference, &auth, RegistryOperation::Push).await?;
        client.push_blob(reference, wasm, &seen.digest).await?;
        client.push_blob(reference, config.clone(), &Digest::of(&config).to_string()).await?;
        let media_type = HeaderValue::from_static(OCI_IMAGE_MEDIA_TYPE);
        client.push_manifest_raw(reference, manifest.clone(), media_type).await
    };
    pushed.await.with_context(|| format!("cannot push to {reference}"))?;
    let done = Transferred {
        reference: by_digest(reference, &Digest::of(&manifest)),
        digest: seen.digest,
        bytes,
        signed: signature.is_some(),
        file: args.component.clone(),
    };
    print(output, &done, || done.text("pushed"))?;
    Ok(ExitCode::SUCCESS)
}

/// Gets a component out of a registry.
pub(super) async fn pull(args: &PullArgs, output: Output) -> Result<ExitCode> {
    let reference = &args.reference;
    let (client, auth) = args.registry.connect(reference)?;
    let (manifest, _) = client
        .pull_manifest_raw(reference, &auth, &[OCI_IMAGE_MEDIA_TYPE])
        .await
        .with_context(|| format!("cannot pull {reference}"))?;
    let own_digest = Digest::of(&manifest);
    if let Some(wanted) = reference.digest() {
        ensure!(
            own_digest.to_string() == wanted,
            "{reference}: the registry sent the manifest {own_digest} instead"
        );
    }
    let manifest: OciImageManifest = serde_json::from_slice(&manifest)
        .with_context(|| format!("{reference} is no image manifest"))?;
    let [layer] = manifest.layers.as_slice() else {
        bail!("{reference} has {} layers; a component has one", manifest.layers.len());
    };
    ensure!(
        layer.media_type == COMPONENT,
        "{reference} holds `{}`, not a component ({COMPONENT})",
        layer.media_type
    );
    let wasm = component(&client, reference, layer).await?;
    let digest = Digest::of(&wasm);
    ensure!(
        digest.to_string() == layer.digest,
        "{reference}: the registry sent {digest} in the place of {}",
        layer.digest
    );
    if let Some(wanted) = &args.digest {
        ensure!(digest == *wanted, "{reference} is the component {digest}, not {wanted}");
    }
    // What is no policy is not left lying there under a name that suggests one.
    Inspection::of(&args.out, &wasm).with_context(|| format!("{reference}"))?;
    let annotations = manifest.annotations.unwrap_or_default();
    let signature_file = sign::beside(&args.out);
    let signature = match annotations.get(SIGNATURE) {
        Some(text) => Some(PolicySignature::parse(&signature_file, text)?),
        None => None,
    };
    files::replace(&args.out, &wasm, Readers::Everybody)?;
    if let Some(signature) = &signature {
        sign::write(signature, &signature_file)?;
    }
    let done = Transferred {
        reference: by_digest(reference, &own_digest),
        digest: digest.to_string(),
        bytes: wasm.len(),
        signed: signature.is_some(),
        file: args.out.clone(),
    };
    print(output, &done, || done.text("pulled"))?;
    Ok(ExitCode::SUCCESS)
}

impl Transferred {
    fn text(&self, done: &str) -> String {
        let signed = if self.signed { "with its signature" } else { "not signed" };
        format!(
            "{done}     {}, {} bytes, {signed}\ndigest     {}\nreference  {}",
            self.file.display(),
            self.bytes,
            self.digest,
            self.reference
        )
    }
}

impl RegistryArgs {
    fn connect(&self, reference: &Reference) -> Result<(Client, RegistryAuth)> {
        let auth = match (&self.username, &self.password_file) {
            (Some(user), Some(file)) => {
                let password = files::secret(file).context("--password-file")?;
                RegistryAuth::Basic(user.clone(), password.to_string())
            }
            _ => RegistryAuth::Anonymous,
        };
        let extra_root_certificates = match &self.root {
            Some(file) => {
                let data = std::fs::read(file)
                    .with_context(|| format!("--root: cannot read {}", file.display()))?;
                vec![Certificate { encoding: CertificateEncoding::Pem, data }]
            }
            None => Vec::new(),
        };
        let config = ClientConfig {
            protocol: if self.http { ClientProtocol::Http } else { ClientProtocol::Https },
            extra_root_certificates,
            // An image for several platforms is no policy.
            platform_resolver: None,
            connect_timeout: Some(Duration::from_secs(10)),
            read_timeout: Some(Duration::from_mins(1)),
            user_agent: concat!("chancery/", env!("CARGO_PKG_VERSION")),
            ..ClientConfig::default()
        };
        let client = Client::try_from(config)
            .with_context(|| format!("cannot talk to {}", reference.registry()))?;
        Ok((client, auth))
    }
}

/// The same for the same component, so that its manifest has the same digest wherever it is pushed
/// from: the time is none in particular.
fn config_of(seen: &Inspection) -> Result<Vec<u8>> {
    Ok(serde_json::to_vec(&json!({
        "created": "1970-01-01T00:00:00Z",
        "architecture": "wasm",
        "os": "wasip2",
        "layerDigests": [seen.digest],
        "component": { "exports": seen.exports, "imports": seen.imports },
    }))?)
}

fn manifest_of(seen: &Inspection, config: &[u8], signature: Option<&String>) -> Result<Vec<u8>> {
    let mut annotations = json!({
        "org.opencontainers.image.title": seen.name,
        "org.opencontainers.image.version": seen.version,
        "org.opencontainers.image.description": seen.summary,
    });
    if let (Some(map), Some(signature)) = (annotations.as_object_mut(), signature) {
        map.insert(SIGNATURE.to_owned(), json!(signature));
    }
    Ok(serde_json::to_vec(&json!({
        "schemaVersion": 2,
        "mediaType": OCI_IMAGE_MEDIA_TYPE,
        "config": {
            "mediaType": CONFIG,
            "digest": Digest::of(config).to_string(),
            "size": config.len(),
        },
        "layers": [{ "mediaType": COMPONENT, "digest": seen.digest, "size": seen.bytes }],
        "annotations": annotations,
    }))?)
}

/// The layer's bytes, as many as a component may have.
async fn component(
    client: &Client,
    reference: &Reference,
    layer: &OciDescriptor,
) -> Result<Vec<u8>> {
    let fits = |size: u64| size <= LARGEST_COMPONENT;
    let too_long = || format!("{reference} has more than {LARGEST_COMPONENT} bytes");
    ensure!(u64::try_from(layer.size).is_ok_and(fits), too_long());
    let failed = || format!("cannot pull {reference}");
    let mut stream = client.pull_blob_stream(reference, layer).await.with_context(failed)?;
    let mut wasm = Vec::new();
    while let Some(chunk) = stream.next().await {
        wasm.extend_from_slice(&chunk.with_context(failed)?);
        ensure!(u64::try_from(wasm.len()).is_ok_and(fits), too_long());
    }
    Ok(wasm)
}

fn by_digest(reference: &Reference, digest: &Digest) -> String {
    format!("{}/{}@{digest}", reference.registry(), reference.repository())
}
