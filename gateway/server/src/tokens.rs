//! `chancery tokens …`: the HSM's tokens of a running gateway.

use std::process::ExitCode;

use anyhow::Result;
use clap::{Args, Subcommand};
use serde_json::{Value, json};

use crate::commands::say;
use crate::output::{Output, print};
use crate::remote::RemoteArgs;

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
            let found = remote.read("sys/tokens").await?;
            print(args.output, &found, || lines(&found))?;
        }
        TokensCommand::Drain { token } => {
            remote.write(&format!("sys/tokens/{token}/drain"), &json!({})).await?;
            say(&format!(
                "{token}: drained; what is under way is done when `chancery tokens list` shows none"
            ))?;
        }
        TokensCommand::Resume { token } => {
            remote.write(&format!("sys/tokens/{token}/resume"), &json!({})).await?;
            say(&format!("{token}: in use"))?;
        }
    }
    Ok(ExitCode::SUCCESS)
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
    tokens.into_iter().flatten().map(line).collect::<Vec<_>>().join("\n")
}
