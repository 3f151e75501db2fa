//! `chancery policy explain`: shows what the configured policies decide about a request, without a gateway.

use std::fmt::Write as _;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use chancery_identity::{TenantId, Tenants};
use chancery_policy::cases::{AccessQuestion, CaseLookups, CertificateQuestion, Decided};
use chancery_policy::{Evaluation, PolicyHost, Verdict};
use clap::Args;
use serde::{Deserialize, Serialize};

use super::{Output, print};
use crate::commands::{complain, with_policies_in};
use crate::config::Config;

/// `chancery policy explain`.
#[derive(Debug, Args)]
pub(super) struct ExplainArgs {
    /// The gateway's configuration.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// The request, as JSON or TOML: `access` or `certificate`, with what a golden case has as its
    /// `request`, and `lookups` as there; `-` for standard input.
    #[arg(value_name = "REQUEST")]
    request: PathBuf,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Request {
    access: Option<AccessQuestion>,
    certificate: Option<CertificateQuestion>,
    #[serde(default)]
    lookups: CaseLookups,
}

impl Request {
    /// For whom the policies are asked.
    fn tenant(&self) -> Result<TenantId> {
        Ok(match (&self.access, &self.certificate) {
            (Some(question), None) => question.request()?.tenant,
            (None, Some(question)) => question.facts()?.tenant,
            _ => bail!("a request is either `access` or `certificate`, once"),
        })
    }
}

/// What comes of a request.
#[derive(Debug, Serialize)]
struct Explanation {
    decision: Decided,
    /// Of a denial: for the caller, and for the audit log.
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    audit: Option<String>,
    evaluations: Vec<Evaluation>,
}

/// Asks the policies of the configuration, without a gateway: look-ups are answered by what the request says.
pub(super) async fn run(args: &ExplainArgs, output: Output) -> Result<ExitCode> {
    let config = Config::load(&args.config)?;
    let request = read(&args.request)?;
    let (tenant, known) = (request.tenant()?, Tenants::new(config.tenant_ids()).all());
    if !known.contains(&tenant) {
        // The answer is right all the same, and looks as if nothing was mistyped.
        complain(&anyhow::anyhow!("the configuration has no tenant `{tenant}`"));
    }
    let directory = &config.policy_directory;
    let host =
        with_policies_in(&config, directory, request.lookups.answer(), |host| Ok(host.clone()))?;
    let explanation = ask(&host, &request).await?;
    print(output, &explanation, || text(&explanation))?;
    Ok(ExitCode::SUCCESS)
}

fn read(path: &Path) -> Result<Request> {
    let mut text = String::new();
    if path == Path::new("-") {
        std::io::stdin().read_to_string(&mut text).context("cannot read standard input")?;
    } else {
        text = std::fs::read_to_string(path)
            .with_context(|| format!("cannot read {}", path.display()))?;
    }
    let name = path.display();
    if text.trim_start().starts_with('{') {
        return serde_json::from_str(&text).with_context(|| format!("{name}: not such a request"));
    }
    toml::from_str(&text).with_context(|| format!("{name}: not such a request"))
}

async fn ask(host: &PolicyHost, request: &Request) -> Result<Explanation> {
    Ok(match (&request.access, &request.certificate) {
        (Some(question), None) => {
            explain(host.decide_access(&question.request()?).await, Decided::of_grant)
        }
        (None, Some(question)) => {
            let verdict = host.decide_certificate(&question.facts()?).await;
            explain(verdict, |template| Decided::of_template(Some(template)))
        }
        _ => bail!("a request is either `access` or `certificate`, once"),
    })
}

fn explain<T>(verdict: Verdict<T>, allowed: impl FnOnce(T) -> Decided) -> Explanation {
    let evaluations = verdict.evaluations;
    match verdict.decision {
        Ok(grant) => {
            Explanation { decision: allowed(grant), message: None, audit: None, evaluations }
        }
        Err(denial) => Explanation {
            decision: Decided::of_denial(&denial),
            message: Some(denial.message),
            audit: Some(denial.audit),
            evaluations,
        },
    }
}

fn text(explanation: &Explanation) -> String {
    let mut text = String::new();
    if explanation.evaluations.is_empty() {
        text.push_str("no binding matches\n");
    }
    for one in &explanation.evaluations {
        let detail =
            if one.detail.is_empty() { String::new() } else { format!(": {}", one.detail) };
        let _ = writeln!(
            text,
            "{}  {} {} in {} µs  {}{detail}",
            one.binding, one.plugin, one.version, one.micros, one.outcome
        );
    }
    for line in Decided::default().difference(&explanation.decision).lines() {
        let _ = writeln!(text, "=> {}", line.trim_start_matches("+ "));
    }
    for (what, said) in [("caller", &explanation.message), ("audit", &explanation.audit)] {
        if let Some(said) = said.as_ref().filter(|said| !said.is_empty()) {
            let _ = writeln!(text, "   for the {what}: {said}");
        }
    }
    text
}
