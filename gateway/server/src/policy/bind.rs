//! `chancery policy bind`: adds a plugin and its binding to the directory of policies.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, bail, ensure};
use chancery_policy::{
    Digest, DocumentSignatures, Inspection, LoadError, Lookups, Place, SIGNATURES,
};
use clap::Args;
use serde::Serialize;

use super::sign::{self, KeyArgs};
use super::{Output, print};
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
    /// By whom the binding is signed, as a tenant with `policy_signers` wants it.
    #[command(flatten)]
    key: KeyArgs,
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
pub(super) async fn run(args: &BindArgs, output: Output) -> Result<ExitCode> {
    let config = Config::load(&args.config)?;
    let wasm = std::fs::read(&args.component)
        .with_context(|| format!("cannot read {}", args.component.display()))?;
    let seen = Inspection::of(&args.component, &wasm)?;
    let name = args.name.clone().unwrap_or_else(|| seen.name.clone());
    let digest = Digest::of(&wasm);
    // One over another build is a mistake that is better found now.
    drop(sign::signature_of(&args.component, &digest)?);
    let digest = digest.to_string();
    let short = digest.trim_start_matches("sha256:").get(..12).unwrap_or_default();
    // A file of its own for each build: what is in force keeps its plugin until the switch.
    let plugin = PathBuf::from(format!("plugins/{}-{short}.wasm", seen.name));
    let files = Files {
        document: PathBuf::from(format!("{name}.toml")),
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
        args.replace || !chancery_files::is_there(&document),
        "{} is there already: --replace takes its place",
        document.display()
    );
    let signatures = if args.key.is_given() {
        Some(signed_with(args, &config, &files.document, &text).await?)
    } else {
        None
    };
    let contents = Contents { wasm: &wasm, text: &text, signatures: signatures.as_deref() };
    // First in a copy: a set that would be refused must not be left lying there for the next reload.
    let trial = tempfile::tempdir().context("a temporary directory")?;
    copy(directory, trial.path())?;
    files.write(trial.path(), &contents)?;
    with_policies_in(&config, trial.path(), Lookups::unavailable(), |_| Ok(())).map_err(
        |error| {
            let why = refused(&error, args, &name, trial.path(), directory);
            anyhow::anyhow!("not bound, since the set would be refused: {why}")
        },
    )?;
    files.write(directory, &contents)?;
    let bound = Bound { binding: name, document, plugin: directory.join(&files.plugin), digest };
    let everybody = !text.contains("requesters");
    if seen.decision == "certificate" && everybody {
        // If standard error is closed, nobody wants to know.
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
    /// Where to, and from where.
    cases: Option<(PathBuf, PathBuf)>,
}

/// What is in the files.
struct Contents<'a> {
    wasm: &'a [u8],
    text: &'a str,
    /// Over the documents of the directory, this one included.
    signatures: Option<&'a [u8]>,
}

impl Files {
    /// The document last: until it is there, nothing refers to the others.
    fn write(&self, directory: &Path, contents: &Contents<'_>) -> Result<()> {
        let write = |file: &Path, content: &[u8]| {
            let path = directory.join(file);
            if let Some(parent) = path.parent() {
                std::fs::create_dir_all(parent)
                    .with_context(|| format!("cannot make {}", parent.display()))?;
            }
            files::replace(&path, content, Readers::Everybody)
        };
        write(&self.plugin, contents.wasm)?;
        if let Some((file, from)) = &self.cases {
            let cases = std::fs::read(from)
                .with_context(|| format!("--self-test: cannot read {}", from.display()))?;
            write(file, &cases)?;
        }
        if let Some(signatures) = contents.signatures {
            write(Path::new(SIGNATURES), signatures)?;
        }
        write(&self.document, contents.text.as_bytes())
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
        (Some(LoadError::Unsigned { tenant, reason, .. }), _) => {
            let key = if args.key.is_given() { "that signs for it" } else { "with --key" };
            format!(
                "the tenant `{tenant}` takes signed policies only: {reason}: give a key {key}, which signs the new \
                 binding; the other documents have to be signed before (`chancery policy sign {} --key FILE`)",
                shown(real)
            )
        }
        _ => format!("{error:#}").replace(&shown(trial), &shown(real)),
    }
}

/// The signatures over the documents of the directory when the new one is among them: what the key signed before, and
/// that one. Documents that others have changed meanwhile are not signed along with it.
async fn signed_with(
    args: &BindArgs,
    config: &Config,
    document: &Path,
    text: &str,
) -> Result<Vec<u8>> {
    let before = sign::signatures_in(&config.policy_directory.join(SIGNATURES))?;
    let key = args.key.open(Some(config))?;
    let signed = async {
        let mut list = before.listed_by(&key.id()).cloned().unwrap_or_default();
        list.insert(document.display().to_string(), Digest::of(text.as_bytes()));
        let one = key.sign(&DocumentSignatures::message(&list)?).await?;
        sign::text(&before.with(list, one))
    };
    let signed = signed.await;
    key.close().await?;
    signed
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
            let content = std::fs::read(entry.path())
                .with_context(|| format!("cannot copy {}", entry.path().display()))?;
            files::replace(&target, &content, Readers::Everybody)?;
        }
    }
    Ok(())
}
