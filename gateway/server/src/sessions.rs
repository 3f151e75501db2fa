//! `chancery sessions …`: who has a token of a running gateway.

use std::process::ExitCode;

use anyhow::{Result, ensure};
use clap::{Args, Subcommand};
use serde_json::{Map, Value, json};

use crate::commands::say;
use crate::output::{Output, print};
use crate::remote::{Remote, RemoteArgs};

/// `chancery sessions`.
#[derive(Debug, Args)]
pub(crate) struct SessionsArgs {
    /// How results are printed.
    #[arg(long, global = true, value_enum, default_value_t = Output::Text)]
    output: Output,
    #[command(flatten)]
    remote: RemoteArgs,
    #[command(subcommand)]
    command: SessionsCommand,
}

#[derive(Debug, Subcommand)]
enum SessionsCommand {
    /// Show the sessions that have not ended.
    List {
        /// Only those of this identity, such as `spiffe://prod.example/app`.
        #[arg(long, value_name = "ID")]
        identity: Option<String>,
    },
    /// Show one session.
    Show {
        /// Its accessor, which stands in the audit log too.
        #[arg(value_name = "ACCESSOR")]
        accessor: String,
    },
    /// End sessions: their tokens are worth nothing from then on. The certificate still is, until it is
    /// revoked (`chancery certificates revoke`) or policies say otherwise.
    Revoke {
        /// The accessors of the sessions.
        #[arg(
            value_name = "ACCESSOR",
            required_unless_present = "identity",
            conflicts_with = "identity"
        )]
        accessors: Vec<String>,
        /// All sessions of this identity.
        #[arg(long, value_name = "ID")]
        identity: Option<String>,
    },
}

/// Does what was asked.
pub(crate) async fn run(args: SessionsArgs) -> Result<ExitCode> {
    let remote = args.remote.open()?;
    match args.command {
        SessionsCommand::List { identity } => {
            let found = list(&remote, identity).await?;
            print(args.output, &found, || found.iter().map(line).collect::<Vec<_>>().join("\n"))?;
        }
        SessionsCommand::Show { accessor } => {
            let asked = json!({ "accessor": accessor });
            let found = remote.write("auth/token/lookup-accessor", &asked).await?;
            print(args.output, &found, || line(&found))?;
        }
        SessionsCommand::Revoke { identity: Some(identity), .. } => {
            let count = revoke_all(&remote, &identity).await?;
            let text = || format!("{identity}: {count} sessions ended");
            print(args.output, &json!({ "revoked": count }), text)?;
        }
        SessionsCommand::Revoke { accessors, identity: None } => {
            for accessor in accessors {
                let asked = json!({ "accessor": accessor });
                let answer = remote.write("auth/token/revoke-accessor", &asked).await?;
                let is_there = answer.get("revoked") != Some(&json!(0));
                ensure!(is_there, "{accessor}: there is no such session, or it has ended");
                say(&format!("{accessor}: ended"))?;
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// All sessions, page by page.
async fn list(remote: &Remote, identity: Option<String>) -> Result<Vec<Value>> {
    let (mut found, mut next): (Vec<Value>, Option<String>) = (vec![], None);
    loop {
        let mut query = vec![];
        query.extend(identity.clone().map(|identity| ("identity", identity)));
        query.extend(next.clone().map(|next| ("after", next)));
        let page = remote.list("auth/token/accessors", &query).await?;
        let sessions = page.get("key_info").and_then(Value::as_object).cloned().unwrap_or_default();
        found.extend(sessions.into_iter().map(|(_, session)| session));
        let after = page.get("next").and_then(Value::as_str).map(str::to_owned);
        ensure!(after.is_none() || after != next, "the gateway answers the same page again");
        next = after;
        if next.is_none() {
            return Ok(found);
        }
    }
}

/// Ends all sessions of an identity, and tells how many there were.
async fn revoke_all(remote: &Remote, identity: &str) -> Result<u64> {
    let mut count = 0_u64;
    loop {
        let asked = json!({ "identity": identity });
        let ended = remote.write("auth/token/revoke-identity", &asked).await?;
        let now = ended.get("revoked").and_then(Value::as_u64).unwrap_or_default();
        count = count.saturating_add(now);
        // Those that policies keep are there again the next time.
        if now == 0 || ended.get("more") != Some(&Value::Bool(true)) {
            return Ok(count);
        }
    }
}

fn line(session: &Value) -> String {
    let text = |name: &str| session.get(name).and_then(Value::as_str).unwrap_or_default();
    let empty = Map::new();
    let meta = session.get("meta").and_then(Value::as_object).unwrap_or(&empty);
    let about = |name: &str| meta.get(name).and_then(Value::as_str).unwrap_or_default();
    let bearer = session.get("bound_cidrs").and_then(Value::as_array).map(|networks| {
        let networks: Vec<_> = networks.iter().filter_map(Value::as_str).collect();
        format!(", a bearer token from {}", networks.join(", "))
    });
    format!(
        "{}: {} as {}, since {} until {}{}",
        text("accessor"),
        about("identity"),
        about("cert_name"),
        text("issue_time"),
        text("expire_time"),
        bearer.unwrap_or_default(),
    )
}
