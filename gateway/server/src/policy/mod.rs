//! `chancery policy …`: what authors and operators of policies do from the command line.

mod bench;
mod bind;
mod build;
mod explain;
mod history;
mod inspect;
mod list;
mod new;
mod project;
mod registry;
mod settings;
mod sign;
mod test;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result};
use chancery_policy::TrialLimits;
use clap::{Args, Subcommand};

use crate::output::{Output, print};

/// `chancery policy`.
#[derive(Debug, Args)]
pub(crate) struct PolicyArgs {
    /// How results are printed.
    #[arg(long, global = true, value_enum, default_value_t = Output::Text)]
    output: Output,
    #[command(subcommand)]
    command: PolicyCommand,
}

#[derive(Debug, Subcommand)]
enum PolicyCommand {
    /// Make a folder with a policy to begin with, in Rust, JavaScript or Python.
    New(new::NewArgs),
    /// Build the component of such a folder.
    Build(build::BuildArgs),
    /// Show what a component is: its decision, version, imports, size, and the schema of its settings.
    Inspect {
        /// The component.
        #[arg(value_name = "COMPONENT")]
        file: PathBuf,
    },
    /// Run golden cases against a component, and show what differs.
    Test(test::TestArgs),
    /// Measure a component with golden cases: time, memory, fuel, against its deadline.
    Bench(bench::BenchArgs),
    /// Sign a component, so that gateways may require it.
    Sign(sign::SignArgs),
    /// Check the signature over a component.
    Verify(sign::VerifyArgs),
    /// Put a component, with its signature, into an OCI registry.
    Push(registry::PushArgs),
    /// Get a component, with its signature, out of an OCI registry.
    Pull(registry::PullArgs),
    /// Bind a component in a gateway's directory of policies, if the set with it would be taken.
    Bind(bind::BindArgs),
    /// List the bindings of a gateway's configuration.
    List {
        /// The gateway's configuration.
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
    },
    /// List the sets of policies that were in force in a gateway, the newest first.
    History {
        /// The gateway's configuration.
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
    },
    /// Put an earlier set of policies back.
    Rollback(history::RollbackArgs),
    /// Ask a gateway's policies about a request: which bindings match, what each says, what comes of it.
    Explain(explain::ExplainArgs),
}

/// The component and what it is run with.
#[derive(Debug, Args)]
struct SubjectArgs {
    /// The component.
    #[arg(value_name = "COMPONENT")]
    component: PathBuf,
    /// Documents of golden cases, or folders of them.
    #[arg(value_name = "CASES", required = true)]
    cases: Vec<PathBuf>,
    /// Take the settings from a binding document, if the cases give none; `FILE#NAME` if it has several
    /// bindings.
    #[arg(long, value_name = "FILE[#NAME]")]
    settings_of: Option<String>,
    /// Processor time of an evaluation, in milliseconds.
    #[arg(long, value_name = "MS", default_value_t = 20, value_parser = clap::value_parser!(u64).range(1..=10_000))]
    deadline_ms: u64,
    /// Memory of an evaluation, in KiB.
    #[arg(long, value_name = "KIB", default_value_t = 1024, value_parser = clap::value_parser!(u64).range(64..=65_536))]
    memory_kib: u64,
}

impl SubjectArgs {
    fn limits(&self) -> TrialLimits {
        TrialLimits {
            deadline: Duration::from_millis(self.deadline_ms),
            memory: usize::try_from(self.memory_kib * 1024).unwrap_or(usize::MAX),
        }
    }

    fn wasm(&self) -> Result<Vec<u8>> {
        std::fs::read(&self.component)
            .with_context(|| format!("cannot read {}", self.component.display()))
    }
}

/// Does what was asked.
pub(crate) async fn run(args: PolicyArgs) -> Result<ExitCode> {
    let output = args.output;
    match args.command {
        PolicyCommand::New(args) => new::run(&args, output),
        PolicyCommand::Build(args) => build::run(&args, output),
        PolicyCommand::Inspect { file } => inspect::run(&file, output),
        PolicyCommand::Test(args) => test::run(&args, output),
        PolicyCommand::Bench(args) => bench::run(&args, output),
        PolicyCommand::Sign(args) => sign::sign(&args, output).await,
        PolicyCommand::Verify(args) => sign::verify(&args, output),
        PolicyCommand::Push(args) => registry::push(&args, output).await,
        PolicyCommand::Pull(args) => registry::pull(&args, output).await,
        PolicyCommand::Bind(args) => bind::run(&args, output).await,
        PolicyCommand::List { config } => list::run(&config, output),
        PolicyCommand::History { config } => history::list(&config, output),
        PolicyCommand::Rollback(args) => history::roll_back(&args, output),
        PolicyCommand::Explain(args) => explain::run(&args, output).await,
    }
}
