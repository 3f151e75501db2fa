//! `chancery tokens …`: the HSM's tokens of a running gateway.

use std::process::ExitCode;

use anyhow::{Context, Result, ensure};
use clap::{Args, Subcommand};
use serde_json::{Value, json};

use crate::commands::say;
use crate::output::{Output, print};
use crate::remote::{Remote, RemoteArgs};

/// `chancery tokens`.
#[derive(Debug, Args)]
pub(crate) struct TokensArgs {
    /// How results are printed.
    #[arg(long, global = true, value_enum, default_value_t = Output::Text)]
    output: Output,
    #[command(flatten)]
    remote: RemoteArgs,
    #[command(subcommand)]
    command: TokensCommand,
}

#[derive(Debug, Subcommand)]
enum TokensCommand {
    /// Show how each token is.
    List,
    /// Show the private and secret keys in the tokens; fails if one can be read or taken out.
    Keys,
    /// Ask nothing new of a token, so that it can be maintained; until `resume`, or a restart.
    Drain {
        /// Its label or serial number, as the configuration has it.
        #[arg(value_name = "TOKEN")]
        token: String,
    },
    /// Use a drained token again.
    Resume {
        /// Its label or serial number, as the configuration has it.
        #[arg(value_name = "TOKEN")]
        token: String,
    },
}

/// Does what was asked.
pub(crate) async fn run(args: TokensArgs) -> Result<ExitCode> {
    let remote = args.remote.open()?;
    match args.command {
        TokensCommand::List => {
            let found = remote.read("sys/tokens", &[]).await?;
            print(args.output, &found, || lines(&found))?;
        }
        TokensCommand::Keys => list_keys(&remote, args.output).await?,
        TokensCommand::Drain { token } => {
            let drained = remote.write(&format!("sys/tokens/{token}/drain"), &json!({})).await;
            drained.with_context(|| unknown(&token))?;
            say(&format!(
                "{token}: drained; what is under way is done when `chancery tokens list` shows none"
            ))?;
        }
        TokensCommand::Resume { token } => {
            let resumed = remote.write(&format!("sys/tokens/{token}/resume"), &json!({})).await;
            resumed.with_context(|| unknown(&token))?;
            say(&format!("{token}: in use"))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// What is told with an error about a token.
fn unknown(token: &str) -> String {
    format!("the token `{token}` (`chancery tokens list` shows those there are)")
}

/// Shows the private and secret keys in the tokens.
///
/// # Errors
/// One that is used can be read or taken out.
pub(crate) async fn list_keys(remote: &Remote, output: Output) -> Result<()> {
    let found = remote.read("sys/keys", &[]).await?;
    print(output, &found, || key_lines(&found))?;
    ensure!(!keys(&found).any(is_exposed), "a key that is used can be read or taken out");
    Ok(())
}

fn keys(found: &Value) -> impl Iterator<Item = &Value> {
    found.get("keys").and_then(Value::as_array).into_iter().flatten()
}

fn is(value: &Value, name: &str) -> bool {
    value.get(name) == Some(&Value::Bool(true))
}

fn is_exposed(key: &Value) -> bool {
    is(key, "usable") && !is(key, "protected")
}

fn key_lines(found: &Value) -> String {
    let line = |key: &Value| {
        let text = |name: &str| key.get(name).and_then(Value::as_str).unwrap_or_default();
        let protection = match (is(key, "protected"), is(key, "always_protected")) {
            (true, true) => "made here, cannot be read or taken out",
            (true, false) => "cannot be read or taken out, but could be once or was made elsewhere",
            (false, _) => "CAN BE READ OR TAKEN OUT",
        };
        let use_ = if is(key, "usable") { "" } else { "; not used by this gateway" };
        format!("{}: {} ({}): {protection}{use_}", text("token"), text("label"), text("class"))
    };
    keys(found).map(line).collect::<Vec<_>>().join("\n")
}

fn lines(found: &Value) -> String {
    let tokens = found.get("tokens").and_then(Value::as_array);
    let line = |token: &Value| {
        let text = |name: &str| token.get(name).cloned().unwrap_or_default();
        let is = |name: &str| text(name) == Value::Bool(true);
        let state = match (is("up"), is("drained")) {
            (false, _) => "down",
            (true, true) => "drained",
            (true, false) => "up",
        };
        let name = text("token");
        format!(
            "{}: {state}, {} keys, {} operations under way",
            name.as_str().unwrap_or_default(),
            text("keys"),
            text("outstanding")
        )
    };
    let lines: Vec<_> = tokens.into_iter().flatten().map(line).collect();
    if lines.is_empty() { "the gateway has no HSM".to_owned() } else { lines.join("\n") }
}
