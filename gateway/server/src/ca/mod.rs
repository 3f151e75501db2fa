//! `chancery ca …`: the ceremonies of roots that are kept offline, and of the gateway's own CAs.

mod offline;
mod own;
mod shown;

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result};
use chancery_files::Draft;
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

/// Where a result goes: to a file, if it is said, else to standard output. It is looked at before the ceremony, since
/// what was signed is signed, wherever it can be written.
struct Delivery(Option<Draft>);

impl Delivery {
    fn to(out: Option<&PathBuf>) -> Result<Self> {
        let draft = out.map(|path| files::draft(path, Readers::Everybody)).transpose()?;
        Ok(Self(draft))
    }

    fn deliver(self, text: &str) -> Result<()> {
        let Some(mut draft) = self.0 else { return crate::commands::say(text.trim_end()) };
        let path = draft.path().to_owned();
        let named = || format!("cannot write {}", path.display());
        draft.write_all(text.as_bytes()).with_context(named)?;
        draft.keep().with_context(named)?;
        crate::commands::say(&format!("{}: written", path.display()))
    }
}
