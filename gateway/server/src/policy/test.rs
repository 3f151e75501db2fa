//! `chancery policy test`: runs golden cases, and can write a policy's decisions into them.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, ensure};
use chancery_policy::cases::{CaseOutcome, Cases, Decided};
use chancery_policy::{LoadError, Measure, Place, Trial};
use clap::Args;
use serde::Serialize;
use toml_edit::{DocumentMut, Item, Table};

use super::{Output, SubjectArgs, print, settings};
use crate::files::{self, Readers};

/// `chancery policy test`.
#[derive(Debug, Args)]
pub(super) struct TestArgs {
    #[command(flatten)]
    subject: SubjectArgs,
    /// Write what the policy decides into the cases that do not hold.
    #[arg(long)]
    accept: bool,
}

/// A document of cases with the component that they are about, in the document's settings.
pub(super) struct Loaded {
    file: PathBuf,
    trial: Trial,
    cases: Cases,
}

/// How the cases of one document came out.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    file: PathBuf,
    pub(super) cases: Vec<CaseOutcome>,
}

impl Loaded {
    pub(super) fn run(&self) -> Report {
        Report { file: self.file.clone(), cases: self.trial.run(&self.cases) }
    }
}

/// Runs the cases; the exit code says whether they hold.
pub(super) fn run(args: &TestArgs, output: Output) -> Result<ExitCode> {
    let loaded = load(&args.subject, Measure::Fuel)?;
    let reports: Vec<Report> = loaded.iter().map(Loaded::run).collect();
    let failed = |report: &Report| report.cases.iter().filter(|c| !c.difference.is_empty()).count();
    let mut wrong: usize = reports.iter().map(failed).sum();
    if args.accept {
        for report in reports.iter().filter(|report| failed(report) > 0) {
            wrong -= accept(report)?;
        }
    }
    print(output, &reports, || text(&reports, args.accept))?;
    Ok(if wrong == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Loads every document of cases and the component for it.
pub(super) fn load(subject: &SubjectArgs, measure: Measure) -> Result<Vec<Loaded>> {
    let wasm = subject.wasm()?;
    let given = subject.settings_of.as_deref().map(settings::of_binding).transpose()?;
    let mut loaded = Vec::new();
    for file in documents(&subject.cases)? {
        let text = std::fs::read_to_string(&file)
            .with_context(|| format!("cannot read {}", file.display()))?;
        let own = Cases::settings_in(&file, &text)?;
        let settings = own.or_else(|| given.clone()).unwrap_or_else(|| "{}".to_owned());
        let trial = Trial::load(&subject.component, &wasm, &settings, &subject.limits(), measure)
            .map_err(|error| in_cases(error, &file, &text))?;
        let cases = Cases::parse(&file, &text, trial.case_kind())?;
        loaded.push(Loaded { file, trial, cases });
    }
    Ok(loaded)
}

/// A setting of the cases that is not taken is told with its line there.
fn in_cases(mut error: LoadError, file: &Path, text: &str) -> LoadError {
    if let LoadError::Settings { subject, path, .. } = &mut error
        && let Some(place) = Place::of_setting(file, text, &["settings"], path)
    {
        subject.place = place;
    }
    error
}

/// The documents, with those in folders, sorted.
fn documents(given: &[PathBuf]) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for path in given {
        if !path.is_dir() {
            files.push(path.clone());
            continue;
        }
        let before = files.len();
        let entries = std::fs::read_dir(path);
        for entry in entries.with_context(|| format!("cannot list {}", path.display()))? {
            let file = entry?.path();
            if file.extension().is_some_and(|extension| extension == "toml") {
                files.push(file);
            }
        }
        ensure!(files.len() > before, "{}: there are no cases (*.toml) in it", path.display());
        if let Some(new) = files.get_mut(before..) {
            new.sort();
        }
    }
    Ok(files)
}

fn text(reports: &[Report], accepted: bool) -> String {
    let mut text = String::new();
    let (mut all, mut wrong) = (0, 0);
    for report in reports {
        let _ = writeln!(text, "{}", report.file.display());
        for case in &report.cases {
            all += 1;
            let fuel = case.fuel.map_or_else(String::new, |fuel| format!("  fuel {fuel}"));
            if case.difference.is_empty() {
                let _ = writeln!(text, "  ok    {}{fuel}", case.name);
            } else {
                wrong += 1;
                let place = format!("{}:{}", report.file.display(), case.line);
                let _ = writeln!(text, "  FAIL  {} ({place}){fuel}", case.name);
            }
            let logged = case.log.iter().map(|line| format!("log {line}"));
            for line in case.difference.lines().map(str::to_owned).chain(logged) {
                let _ = writeln!(text, "        {line}");
            }
        }
    }
    let verb = if accepted { "differed and were accepted" } else { "failed" };
    let _ = writeln!(text, "{all} cases, {wrong} {verb}");
    text
}

/// Writes what was decided into the document, and says how many cases that settled: one in which the
/// policy failed has no decision.
fn accept(report: &Report) -> Result<usize> {
    let name = report.file.display();
    let text =
        std::fs::read_to_string(&report.file).with_context(|| format!("cannot read {name}"))?;
    let mut document: DocumentMut = text.parse().with_context(|| format!("{name}"))?;
    let cases = document.get_mut("case").and_then(Item::as_array_of_tables_mut);
    let cases = cases.with_context(|| format!("{name}: the cases are not written as [[case]]"))?;
    let mut settled = 0;
    for outcome in report.cases.iter().filter(|case| !case.difference.is_empty()) {
        if let (Some(decided), Some(case)) = (&outcome.decided, cases.get_mut(outcome.position)) {
            replace(case, decided)?;
            settled += 1;
        }
    }
    files::replace(&report.file, document.to_string().as_bytes(), Readers::Everybody)?;
    Ok(settled)
}

fn replace(case: &mut Table, decided: &Decided) -> Result<()> {
    for decision in ["allow", "issue", "no_objection", "needs_approval", "deny"] {
        case.remove(decision);
    }
    let written = toml::to_string(decided)?;
    let written: DocumentMut = written.parse()?;
    for (key, item) in written.iter() {
        // Written beside the request, as people write it, and not as a table of its own.
        if let Ok(value) = item.clone().into_value() {
            case.insert(key, Item::Value(value));
        }
    }
    Ok(())
}
