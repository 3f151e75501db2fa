//! `chancery certificates …`: what a running gateway has issued, found and revoked.

use std::collections::BTreeMap;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use clap::{ArgGroup, Args, Subcommand};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::commands::{complain, say};
use crate::output::{Output, print};
use crate::remote::{Remote, RemoteArgs};

/// How many certificates are asked for at once.
const PAGE: usize = 1000;

/// `chancery certificates`.
#[derive(Debug, Args)]
pub(crate) struct CertificatesArgs {
    /// How results are printed.
    #[arg(long, global = true, value_enum, default_value_t = Output::Text)]
    output: Output,
    /// Where the gateway has its certificates: `secrets.certificates` in its configuration.
    #[arg(long, global = true, value_name = "MOUNT", default_value = "pki")]
    mount: String,
    #[command(flatten)]
    remote: RemoteArgs,
    #[command(subcommand)]
    command: CertificatesCommand,
}

#[derive(Debug, Subcommand)]
enum CertificatesCommand {
    /// List the certificates that fit, the first to end first.
    List {
        #[command(flatten)]
        search: SearchArgs,
        /// Show at most so many.
        #[arg(long, value_name = "N", default_value_t = 100)]
        limit: usize,
    },
    /// Write all certificates that fit to standard output: a JSON object a line, with the PEM.
    Export {
        #[command(flatten)]
        search: SearchArgs,
    },
    /// Show one certificate.
    Show {
        /// Its serial number in hex.
        #[arg(value_name = "SERIAL")]
        serial: String,
    },
    /// Revoke one certificate, or all that fit.
    Revoke(RevokeArgs),
}

/// Which certificates: those that fit all that is given.
#[derive(Debug, Args)]
struct SearchArgs {
    /// With this name: `dns:a.example`, `uri:spiffe://a/b`, `ip:192.0.2.1`, `email:a@b.example`.
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// With a DNS name that is this one or below it.
    #[arg(long, value_name = "DOMAIN")]
    domain: Option<String>,
    /// Of this requester: an identity such as `spiffe://a/b`, or `acme:ACCOUNT`.
    #[arg(long, value_name = "IDENTITY")]
    requester: Option<String>,
    /// For the key with this SHA-256 of its `SubjectPublicKeyInfo`, in hex.
    #[arg(long, value_name = "SHA256")]
    key: Option<String>,
    /// From this issuer: `private`, or the name of an upstream.
    #[arg(long, value_name = "ISSUER")]
    issuer: Option<String>,
    /// Ending within this time from now, such as `7d`.
    #[arg(long, value_name = "TIME", conflicts_with_all = ["expires_from", "expires_until"])]
    expires_within: Option<String>,
    /// Ending at this time or later, such as `2027-01-31T00:00:00Z`.
    #[arg(long, value_name = "TIME")]
    expires_from: Option<String>,
    /// Ending at this time or earlier.
    #[arg(long, value_name = "TIME")]
    expires_until: Option<String>,
    /// Revoked (`true`), or not.
    #[arg(long, value_name = "BOOL")]
    revoked: Option<bool>,
    /// Whether each of its names has a later certificate that is not revoked.
    #[arg(long, value_name = "BOOL")]
    replaced: Option<bool>,
}

#[derive(Debug, Args)]
#[command(group = ArgGroup::new("which").required(true).multiple(true)
    .args(["serial", "name", "domain", "requester", "key", "issuer"]))]
struct RevokeArgs {
    /// The serial number of the one certificate, in hex.
    #[arg(
        value_name = "SERIAL",
        conflicts_with_all = ["name", "domain", "requester", "key", "issuer"]
    )]
    serial: Option<String>,
    #[command(flatten)]
    search: SearchArgs,
    /// Why: unspecified, keyCompromise (the key is then never certified again, and all certificates for it
    /// go), affiliationChanged, superseded, cessationOfOperation or privilegeWithdrawn.
    #[arg(long, value_name = "REASON", default_value = "unspecified")]
    reason: String,
    /// Only list what would be revoked.
    #[arg(long, conflicts_with = "serial")]
    dry_run: bool,
}

/// A certificate as the gateway shows it.
#[derive(Debug, Serialize, Deserialize)]
struct Certificate {
    serial_number: String,
    names: Vec<String>,
    requester: String,
    issuer: String,
    not_after: String,
    revocation_time: i64,
    #[serde(flatten)]
    more: Map<String, Value>,
}

#[derive(Debug, Deserialize)]
struct Page {
    keys: Vec<String>,
    key_info: BTreeMap<String, Certificate>,
    #[serde(default)]
    damaged: Vec<String>,
}

/// What is told with an error about a certificate.
fn unknown(serial: &str) -> String {
    format!(
        "the certificate `{serial}` (`chancery certificates list` shows the serial numbers of your tenant's certificates)"
    )
}

/// Does what was asked.
pub(crate) async fn run(args: CertificatesArgs) -> Result<ExitCode> {
    let CertificatesArgs { output, mount, remote, command } = args;
    let remote = remote.open()?;
    match command {
        CertificatesCommand::List { search, limit } => {
            list(&remote, &mount, &search, limit, output).await
        }
        CertificatesCommand::Export { search } => export(&remote, &mount, &search).await,
        CertificatesCommand::Show { serial } => {
            let found = remote.read(&format!("{mount}/cert/{serial}"), &[]).await;
            let found = found.with_context(|| unknown(&serial))?;
            print(output, &found, || show(&found))?;
            Ok(ExitCode::SUCCESS)
        }
        CertificatesCommand::Revoke(args) => revoke(&remote, &mount, args, output).await,
    }
}

async fn list(
    remote: &Remote,
    mount: &str,
    search: &SearchArgs,
    limit: usize,
    output: Output,
) -> Result<ExitCode> {
    let mut found: Vec<Certificate> = vec![];
    while found.len() < limit {
        let after = found.last().map(|last| last.serial_number.clone());
        let wanted = PAGE.min(limit - found.len());
        let page = page(remote, mount, search, after, wanted, false).await?;
        let is_last = page.len() < wanted;
        found.extend(page);
        if is_last {
            break;
        }
    }
    print(output, &found, || found.iter().map(line).collect::<Vec<_>>().join("\n"))?;
    if found.len() == limit {
        // Not among the results: programs read those.
        complain(&anyhow::anyhow!("there may be more than {limit}: see --limit"));
    }
    Ok(ExitCode::SUCCESS)
}

async fn export(remote: &Remote, mount: &str, search: &SearchArgs) -> Result<ExitCode> {
    let mut after = None;
    loop {
        let page = page(remote, mount, search, after, PAGE, true).await?;
        for certificate in &page {
            say(&serde_json::to_string(certificate)?)?;
        }
        match page.last() {
            Some(last) if page.len() == PAGE => after = Some(last.serial_number.clone()),
            _ => return Ok(ExitCode::SUCCESS),
        }
    }
}

async fn revoke(
    remote: &Remote,
    mount: &str,
    args: RevokeArgs,
    output: Output,
) -> Result<ExitCode> {
    let RevokeArgs { serial, search, reason, dry_run } = args;
    if dry_run {
        let search = SearchArgs { revoked: Some(false), ..search };
        return list(remote, mount, &search, usize::MAX, output).await;
    }
    if let Some(serial) = serial {
        let body = json!({ "serial_number": serial, "reason": reason });
        let done = remote.write(&format!("{mount}/revoke"), &body).await;
        let done = done.with_context(|| unknown(&serial))?;
        let at = done.get("revocation_time_rfc3339").and_then(Value::as_str).unwrap_or_default();
        print(output, &done, || format!("{serial}: revoked at {at}"))?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut body: Map<String, Value> =
        search.pairs().into_iter().map(|(name, value)| (name.to_owned(), value.into())).collect();
    body.insert("reason".to_owned(), reason.into());
    let done = remote.write(&format!("{mount}/revoke-matching"), &body.into()).await?;
    let count = |name: &str| done.get(name).and_then(Value::as_u64).unwrap_or_default();
    let (refused, failed) = (count("refused"), count("failed"));
    print(output, &done, || {
        format!("{} revoked, {refused} kept by policy, {failed} failed", count("revoked"))
    })?;
    if count("revoked") + refused + failed == 0 {
        complain(&anyhow::anyhow!("no certificate matches that is not revoked"));
    }
    if refused > 0 || failed > 0 {
        bail!("not all were revoked: the audit log says why for each");
    }
    Ok(ExitCode::SUCCESS)
}

async fn page(
    remote: &Remote,
    mount: &str,
    search: &SearchArgs,
    after: Option<String>,
    limit: usize,
    with_pem: bool,
) -> Result<Vec<Certificate>> {
    let mut query = search.pairs();
    query.push(("limit", limit.to_string()));
    query.extend(after.map(|after| ("after", after)));
    query.extend(with_pem.then(|| ("pem", "true".to_owned())));
    let found = remote.list(&format!("{mount}/certs"), &query).await?;
    let mut page: Page = serde_json::from_value(found).context("the gateway's answer")?;
    if !page.damaged.is_empty() {
        // Not among the results: programs read those.
        complain(&anyhow::anyhow!(
            "the records of these certificates are damaged, and they were passed over: {}",
            page.damaged.join(", ")
        ));
    }
    Ok(page.keys.iter().filter_map(|serial| page.key_info.remove(serial)).collect())
}

impl SearchArgs {
    /// What is given, by the API's names.
    fn pairs(&self) -> Vec<(&'static str, String)> {
        let given = [
            ("name", self.name.clone()),
            ("domain", self.domain.clone()),
            ("requester", self.requester.clone()),
            ("key", self.key.clone()),
            ("issuer", self.issuer.clone()),
            ("expires_within", self.expires_within.clone()),
            ("expires_from", self.expires_from.clone()),
            ("expires_until", self.expires_until.clone()),
            ("revoked", self.revoked.map(|revoked| revoked.to_string())),
            ("replaced", self.replaced.map(|replaced| replaced.to_string())),
        ];
        given.into_iter().filter_map(|(name, value)| Some((name, value?))).collect()
    }
}

fn line(certificate: &Certificate) -> String {
    let Certificate { serial_number, names, requester, issuer, not_after, .. } = certificate;
    // Each of its own: when it was revoked is not when it would have ended.
    let state = match Timestamp::from_second(certificate.revocation_time) {
        Ok(at) if certificate.revocation_time > 0 => format!("revoked {at}, ends {not_after}"),
        _ => format!("valid until {not_after}"),
    };
    format!("{serial_number}  {state}  {issuer}  {requester}  {}", names.join(" "))
}

fn show(certificate: &Value) -> String {
    let mut text = String::new();
    // What says that it is not revoked reads as if it were.
    let is_said = |name: &str, value: &Value| {
        !name.starts_with("revocation_time") || *value != json!(0) && *value != json!("")
    };
    let fields = certificate.as_object().into_iter().flatten();
    for (name, value) in fields.filter(|(name, value)| is_said(name, value)) {
        let value = match value {
            Value::String(value) if name == "certificate" => value.trim_end().to_owned(),
            Value::String(value) => format!("{name}: {value}"),
            other => format!("{name}: {other}"),
        };
        text.push_str(&value);
        text.push('\n');
    }
    text
}
