//! `chancery policy bench`: measures golden cases against the deadline of a policy.

use std::fmt::Write as _;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use chancery_policy::Measure;
use chancery_policy::cases::CaseOutcome;
use clap::Args;
use serde::Serialize;

use super::test::{Loaded, Report, load};
use super::{Output, SubjectArgs, print};

/// `chancery policy bench`.
#[derive(Debug, Args)]
pub(super) struct BenchArgs {
    #[command(flatten)]
    subject: SubjectArgs,
    /// For how long the cases are put to the policy, over and over.
    #[arg(long, value_name = "MS", default_value_t = 2000, value_parser = clap::value_parser!(u64).range(1..=600_000))]
    duration_ms: u64,
}

#[derive(Debug, Serialize)]
struct Figures {
    case: String,
    evaluations: usize,
    p50_micros: f64,
    p99_micros: f64,
    memory_bytes: usize,
    fuel: Option<u64>,
    /// The share of the deadline that the 99th percentile takes.
    p99_of_deadline: f64,
}

/// Measures each case; the exit code says whether all of them keep within the deadline. A policy that fails in
/// one of them is not measured.
pub(super) fn run(args: &BenchArgs, output: Output) -> Result<ExitCode> {
    let fuel: Vec<Report> = load(&args.subject, Measure::Fuel)?.iter().map(Loaded::run).collect();
    let loaded = load(&args.subject, Measure::Time)?;
    let begun = Instant::now();
    let mut rounds: Vec<Vec<Report>> = Vec::new();
    while rounds.is_empty() || begun.elapsed() < Duration::from_millis(args.duration_ms) {
        rounds.push(loaded.iter().map(Loaded::run).collect());
    }
    let deadline = Duration::from_millis(args.subject.deadline_ms);
    let mut figures = Vec::new();
    for (at, report) in fuel.iter().enumerate() {
        for (position, counted) in report.cases.iter().enumerate() {
            let runs: Vec<&CaseOutcome> =
                rounds.iter().filter_map(|round| round.get(at)?.cases.get(position)).collect();
            figures.push(Figures::of(counted, &runs, deadline));
        }
    }
    let failing = fuel.iter().flat_map(|report| &report.cases).find(|case| case.decided.is_none());
    if let Some(case) = failing {
        // The time of what traps says nothing about the policy.
        bail!("case `{}`: {}: see `chancery policy test`", case.name, case.difference);
    }
    print(output, &figures, || text(&figures, deadline))?;
    let fits = figures.iter().all(|figures| figures.p99_of_deadline <= 1.0);
    Ok(if fits { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

impl Figures {
    fn of(counted: &CaseOutcome, runs: &[&CaseOutcome], deadline: Duration) -> Self {
        let mut times: Vec<Duration> = runs.iter().map(|run| run.took).collect();
        times.sort();
        let at = |percent: usize| {
            let time = times.get(times.len() * percent / 100).or(times.last());
            time.map_or(0.0, |time| time.as_secs_f64() * 1e6)
        };
        Self {
            case: counted.name.clone(),
            evaluations: runs.len(),
            p50_micros: at(50),
            p99_micros: at(99),
            memory_bytes: runs.iter().map(|run| run.memory).max().unwrap_or(0),
            fuel: counted.fuel,
            p99_of_deadline: at(99) / (deadline.as_secs_f64() * 1e6),
        }
    }
}

fn text(figures: &[Figures], deadline: Duration) -> String {
    let mut text = format!(
        "{:>9}  {:>9}  {:>10}  {:>9}  {:>9}  case (deadline {} ms)\n",
        "p50 µs",
        "p99 µs",
        "memory KiB",
        "fuel",
        "runs",
        deadline.as_millis()
    );
    for row in figures {
        let fuel = row.fuel.map_or_else(|| "-".to_owned(), |fuel| fuel.to_string());
        let _ = writeln!(
            text,
            "{:>9.1}  {:>9.1}  {:>10}  {fuel:>9}  {:>9}  {}",
            row.p50_micros,
            row.p99_micros,
            row.memory_bytes / 1024,
            row.evaluations,
            row.case,
        );
    }
    text
}
