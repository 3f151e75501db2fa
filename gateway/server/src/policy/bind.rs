use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, bail, ensure};
use chancery_policy::{Digest, Inspection, LoadError, Lookups, Place};
use clap::Args;
use serde::Serialize;

use super::{Output, print, sign};
use crate::commands::with_policies_in;
use crate::config::Config;
use crate::files::{self, Readers};

/// `chancery policy bind`.
#[derive(Debug, Args)]
pub(super) struct BindArgs {
    /// The component.
    #[arg(value_name = "COMPONENT")]
    component: PathBuf,
    /// The gateway's configuration.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Name of the binding [default: the plugin's].
    #[arg(long)]
    name: Option<String>,
    /// What it is asked about, as TOML: `operations = ["secrets.*"]`. May be given several times.
    #[arg(long = "match", value_name = "KEY=PATTERNS")]
    matches: Vec<String>,
    /// What it may look up, as TOML: `issuance_counts = true`. May be given several times.
    #[arg(long, value_name = "KEY=VALUE")]
    grants: Vec<String>,
    /// What an evaluation may use, as TOML: `memory_kib = 4096`. May be given several times.
    #[arg(long, value_name = "KEY=VALUE")]
    limits: Vec<String>,
    /// The settings, a TOML file.
    #[arg(long, value_name = "FILE")]
    settings: Option<PathBuf>,
    /// Golden cases that have to hold, a TOML file.
    #[arg(long, value_name = "FILE")]
    self_test: Option<PathBuf>,
    /// Only watch and record, do not decide.
    #[arg(long)]
    monitor: bool,
    /// Let an older version take the place of a newer one.
    #[arg(long)]
    allow_downgrade: bool,
    /// Replace a binding of this name. What is not given of match, grants, limits, settings and golden cases
    /// stays as it was; the new build decides, unless it is to `--monitor` too.
    #[arg(long)]
    replace: bool,
}

#[derive(Debug, Serialize)]
struct Bound {
    binding: String,
    document: PathBuf,
    plugin: PathBuf,
    digest: String,
}

/// Puts the plugin and a binding into the gateway's directory of policies, if the whole set with them
/// would be taken. The running gateway takes it with its next reload.
pub(super) fn run(args: &BindArgs, output: Output) -> Result<ExitCode> {
    let config = Config::load(&args.config)?;
    let wasm = std::fs::read(&args.component)
        .with_context(|| format!("cannot read {}", args.component.display()))?;
    let seen = Inspection::of(&args.component, &wasm)?;
    let name = args.name.clone().unwrap_or_else(|| seen.name.clone());
    let digest = Digest::of(&wasm);
    let signature = sign::signature_of(&args.component, &digest)?;
    let digest = digest.to_string();
    let short = digest.trim_start_matches("sha256:").get(..12).unwrap_or_default();
    // A file of its own for each build: what is in force keeps its plugin until the switch.
    let plugin = PathBuf::from(format!("plugins/{}-{short}.wasm", seen.name));
    let files = Files {
        document: PathBuf::from(format!("{name}.toml")),
        signature: signature
            .map(|signature| {
                Ok::<_, anyhow::Error>((sign::beside(&plugin), sign::text(&signature)?))
            })
            .transpose()?,
        cases: args
            .self_test
            .as_ref()
            .map(|file| (PathBuf::from(format!("cases/{name}.toml")), file.clone())),
        plugin,
    };
    let directory = &config.policy_directory;
    let document = directory.join(&files.document);
    let binding = kept_of(&document).unwrap_or_default();
    let text = text(args, &seen, &name, &files, binding)?;
    ensure!(
        args.replace || !document.exists(),
        "{} is there already: --replace takes its place",
        document.display()
    );
    // First in a copy: a set that would be refused must not be left lying there for the next reload.
    let trial = tempfile::tempdir().context("a temporary directory")?;
    copy(directory, trial.path())?;
    files.write(trial.path(), &wasm, &text)?;
    with_policies_in(&config, trial.path(), Lookups::unavailable(), |_| Ok(())).map_err(
        |error| {
            let why = refused(&error, args, &name, trial.path(), directory);
            anyhow::anyhow!("not bound, since the set would be refused: {why}")
        },
    )?;
    files.write(directory, &wasm, &text)?;
    let bound = Bound { binding: name, document, plugin: directory.join(&files.plugin), digest };
    let everybody = !text.contains("requesters");
    if seen.decision == "certificate" && everybody {
        // Whoever closed standard error does not want to know.
        let _ = writeln!(
            std::io::stderr(),
            "chancery policy bind: `{}` decides about the gateway's own certificates too (requesters \
             `internal:*`); --match 'requesters = [\"acme:*\"]' leaves them out",
            bound.binding
        );
    }
    let when = if config.policy_watch { "takes it by itself" } else { "takes it on SIGHUP" };
    print(output, &bound, || {
        format!(
            "{}: bound as `{}`; a running gateway {when}",
            bound.document.display(),
            bound.binding
        )
    })?;
    Ok(ExitCode::SUCCESS)
}

/// What is written, relative to the directory of policies.
struct Files {
    document: PathBuf,
    plugin: PathBuf,
    /// Where to, and the signature that lies beside the component.
    signature: Option<(PathBuf, Vec<u8>)>,
    /// Where to, and from where.
    cases: Option<(PathBuf, PathBuf)>,
}

impl Files {
    /// The document last: until it is there, nothing refers to the others.
    fn write(&self, directory: &Path, wasm: &[u8], text: &str) -> Result<()> {
        let write = |file: &Path, content: &[u8]| {
            let path = directory.join(file);
            if let Some(parent) = path.parent() {
                std::fs::create_dir_all(parent)
                    .with_context(|| format!("cannot make {}", parent.display()))?;
            }
            files::replace(&path, content, Readers::Everybody)
        };
        write(&self.plugin, wasm)?;
        if let Some((file, signature)) = &self.signature {
            write(file, signature)?;
        }
        if let Some((file, from)) = &self.cases {
            let cases = std::fs::read(from)
                .with_context(|| format!("--self-test: cannot read {}", from.display()))?;
            write(file, &cases)?;
        }
        write(&self.document, text.as_bytes())
    }
}

/// Why the set would be refused, in the terms of what was given: nothing of it stands in the directory yet.
fn refused(
    error: &anyhow::Error,
    args: &BindArgs,
    name: &str,
    trial: &Path,
    real: &Path,
) -> String {
    let shown = |path: &Path| path.display().to_string();
    match (error.downcast_ref::<LoadError>(), &args.settings) {
        (Some(LoadError::Settings { subject, path, message }), Some(file))
            if subject.binding == name =>
        {
            let text = std::fs::read_to_string(file).unwrap_or_default();
            let place = Place::of_setting(file, &text, &[], path);
            let place = place.map_or_else(|| shown(file), |place| place.to_string());
            format!("{place}: {path}: {message}")
        }
        _ => format!("{error:#}").replace(&shown(trial), &shown(real)),
    }
}

/// What a binding that is to be replaced says, but for whether it decides and may be older: who does not repeat
/// that does not mean it any more. Of everything else, the silence of whoever replaces a build means that it stays.
fn kept_of(document: &Path) -> Option<toml::Table> {
    let document: toml::Table = std::fs::read_to_string(document).ok()?.parse().ok()?;
    let [binding] = document.get("binding")?.as_array()?.as_slice() else { return None };
    let mut kept = binding.as_table()?.clone();
    kept.remove("mode");
    kept.remove("plugin");
    Some(kept)
}

/// The binding's document.
fn text(
    args: &BindArgs,
    seen: &Inspection,
    name: &str,
    files: &Files,
    mut binding: toml::Table,
) -> Result<String> {
    use toml::Value;
    let text = |path: &Path| Value::from(path.display().to_string());
    let mut plugin = toml::Table::new();
    plugin.insert("file".to_owned(), text(&files.plugin));
    plugin.insert("digest".to_owned(), seen.digest.clone().into());
    if let Some((file, _)) = &files.signature {
        plugin.insert("signature".to_owned(), text(file));
    }
    if args.allow_downgrade {
        plugin.insert("allow_downgrade".to_owned(), true.into());
    }
    binding.insert("name".to_owned(), name.into());
    binding.insert("decision".to_owned(), seen.decision.into());
    if args.monitor {
        binding.insert("mode".to_owned(), "monitor".into());
    }
    if let Some((file, _)) = &files.cases {
        binding.insert("self_test".to_owned(), text(file));
    }
    binding.insert("plugin".to_owned(), plugin.into());
    for (key, given) in
        [("match", &args.matches), ("grants", &args.grants), ("limits", &args.limits)]
    {
        let table = table(key, given)?;
        if !table.is_empty() {
            binding.insert(key.to_owned(), table.into());
        }
    }
    if let Some(file) = &args.settings {
        let shown = file.display();
        let settings = std::fs::read_to_string(file)
            .with_context(|| format!("--settings: cannot read {shown}"))?;
        let settings: toml::Table =
            settings.parse().with_context(|| format!("--settings: {shown}"))?;
        binding.insert("settings".to_owned(), settings.into());
    }
    let mut document = toml::Table::new();
    document.insert("binding".to_owned(), Value::Array(vec![binding.into()]));
    Ok(toml::to_string(&document)?)
}

/// The table that several options of one kind make together.
fn table(option: &str, given: &[String]) -> Result<toml::Table> {
    let mut table = toml::Table::new();
    for text in given {
        let parsed: toml::Table = text
            .parse()
            .with_context(|| format!("--{option} {text}: not `KEY = VALUE` as TOML has it"))?;
        for (key, value) in parsed {
            if table.insert(key.clone(), value).is_some() {
                bail!("--{option}: `{key}` is given twice");
            }
        }
    }
    Ok(table)
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    let entries = std::fs::read_dir(from);
    for entry in entries.with_context(|| format!("cannot list {}", from.display()))? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            std::fs::create_dir(&target)?;
            copy(&entry.path(), &target)?;
        } else {
            std::fs::copy(entry.path(), &target)
                .with_context(|| format!("cannot copy {}", entry.path().display()))?;
        }
    }
    Ok(())
}
