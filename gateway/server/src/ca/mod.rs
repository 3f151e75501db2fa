//! `chancery ca …`: the ceremonies of roots that are kept offline, and of the gateway's own CAs.

mod offline;
mod own;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result};
use clap::{Args, Subcommand};

use crate::files::{self, Readers};

/// `chancery ca`.
#[derive(Debug, Args)]
pub(crate) struct CaArgs {
    #[command(subcommand)]
    command: CaCommand,
}

#[derive(Debug, Subcommand)]
enum CaCommand {
    /// Make a root on this machine, which needs no gateway and no network.
    Init(offline::InitArgs),
    /// Have a root certify the key of a CA below it, from its request.
    Intermediate(offline::IntermediateArgs),
    /// Have a root certify a CA that has a certificate already, so that chains can go either way.
    CrossSign(offline::CrossSignArgs),
    /// Revoke what a root has certified; `crl` publishes it.
    Revoke(offline::RevokeArgs),
    /// Have a root sign its CRL.
    Crl(offline::CrlArgs),
    /// Check the transcript of a root's ceremonies.
    VerifyTranscript(offline::VerifyTranscriptArgs),
    /// Make the request for the next issuing key of a gateway that is stopped.
    Request(own::RequestArgs),
    /// Install the certificate that was made of the request, while the gateway is stopped.
    Install(own::InstallArgs),
    /// Have a gateway's own root certify a new issuing key, while the gateway is stopped.
    Rotate(own::RotateArgs),
}

/// Does what was asked.
pub(crate) async fn run(args: CaArgs) -> Result<ExitCode> {
    match args.command {
        CaCommand::Init(args) => offline::init(args).await,
        CaCommand::Intermediate(args) => offline::intermediate(args).await,
        CaCommand::CrossSign(args) => offline::cross_sign(args).await,
        CaCommand::Revoke(args) => offline::revoke(args).await,
        CaCommand::Crl(args) => offline::crl(args).await,
        CaCommand::VerifyTranscript(args) => offline::verify_transcript(&args),
        CaCommand::Request(args) => own::request(args).await,
        CaCommand::Install(args) => own::install(args).await,
        CaCommand::Rotate(args) => own::rotate(args).await,
    }?;
    Ok(ExitCode::SUCCESS)
}

fn days(count: u32) -> Duration {
    Duration::from_hours(u64::from(count) * 24)
}

fn read(path: &Path) -> Result<String> {
    std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))
}

fn publish(path: &Path, content: &[u8]) -> Result<()> {
    files::replace(path, content, Readers::Everybody)
}

/// Where to write, if it is said; else standard output.
fn deliver(out: Option<&PathBuf>, text: &str) -> Result<()> {
    match out {
        Some(path) => publish(path, text.as_bytes()),
        None => crate::commands::say(text.trim_end()),
    }
}
