//! The gateway as a program: command line, configuration, composition, shutdown.

mod audit;
mod backup;
mod ca;
mod cas;
mod certificates;
mod check;
mod cli;
mod client_certificate;
mod commands;
mod config;
mod credential;
mod dev;
mod embedded;
mod files;
mod foundation;
mod gateway;
mod gateway_name;
mod init;
mod keys;
mod listen;
mod ocsp;
mod output;
mod pem_certificates;
mod policy;
mod policy_compiler;
mod policy_files;
mod policy_places;
mod ports;
mod process;
mod ready;
mod remote;
mod request;
mod rooms;
mod root_key;
mod run;
mod service_manager;
mod sessions;
mod signals;
mod ssh;
mod store;
mod telemetry;
mod tokens;
mod trust;

use std::process::ExitCode;

use clap::Parser;

use crate::cli::{Cli, Command};

pub use crate::embedded::{Embedded, Identity, Settings};
pub use crate::gateway_name::{GatewayName, InvalidGatewayName};

/// Runs the command that the command line names, and says what the process ends with.
pub fn run() -> ExitCode {
    match start(Cli::parse().command) {
        Ok(code) => code,
        Err(error) => {
            commands::complain(&error);
            ExitCode::FAILURE
        }
    }
}

fn start(command: Command) -> anyhow::Result<ExitCode> {
    process::harden()?;
    // Before there is a runtime: it closes what it finds open.
    if matches!(command, Command::CompilePolicy) {
        return policy_compiler::run();
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        match command {
            Command::Dev(args) => run::dev(&args).await,
            Command::Init(args) => init::run(&args.config).await,
            Command::Serve(args) => run::serve(&args.config).await,
            Command::Check(args) => check::run(&args.config).await,
            Command::RootKey(args) => root_key::run(args).await,
            Command::ClientCertificate(args) => client_certificate::run(args).await,
            Command::Backup(args) => backup::run(args).await,
            Command::Ca(args) => ca::run(args).await,
            Command::Store(args) => store::run(args).await,
            Command::Certificates(args) => certificates::run(args).await,
            Command::Keys(args) => keys::run(args).await,
            Command::Ssh(args) => ssh::run(args).await,
            Command::Tokens(args) => tokens::run(args).await,
            Command::Sessions(args) => sessions::run(args).await,
            Command::Policy(args) => policy::run(args).await,
            Command::CompilePolicy => policy_compiler::run(),
            Command::Audit { command } => audit::run(command).await,
        }
    })
}
