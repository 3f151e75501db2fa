//! `chancery audit verify`.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use chancery_audit::{
    AuditKey, Checkpoint, Checks, KnownMark, Mark, PublicKey, Seal, Verified, files_of, verify,
};
use clap::Args;

use super::Stopped;
use crate::commands::say;
use crate::config::Config;

/// `chancery audit verify`.
#[derive(Debug, Args)]
pub(crate) struct VerifyArgs {
    /// The log's files, in any order. The log alone (audit.jsonl) stands for all of its files that are beside it;
    /// left out with --config: those of its log.
    #[arg(value_name = "FILE", required_unless_present = "config")]
    files: Vec<PathBuf>,
    /// Check with the audit key and the mark in this gateway's store, while the gateway is stopped.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Check the checkpoints with this public key, as `chancery audit public-key` prints it: the key
    /// or a file with it.
    #[arg(long, value_name = "KEY")]
    public_key: Option<String>,
    /// Check that it is the log of which this checkpoint was made, which somebody kept.
    #[arg(long, value_name = "FILE", requires = "public_key")]
    checkpoint: Vec<PathBuf>,
    /// The first line that has to be there: the files before it are elsewhere [default: 1].
    #[arg(long, value_name = "N")]
    from_line: Option<u64>,
    /// The last line that has to be there: the files after it are elsewhere.
    #[arg(long, value_name = "N")]
    to_line: Option<u64>,
}

/// What the store says about the log.
struct FromStore {
    key: AuditKey,
    known: KnownMark,
    files: Vec<PathBuf>,
}

/// What is not sure enough is no success.
pub(super) async fn run(args: VerifyArgs) -> Result<ExitCode> {
    let stored = match &args.config {
        Some(config) => Some(from_store(config).await?),
        None => None,
    };
    let files = match &stored {
        Some(stored) if args.files.is_empty() => stored.files.clone(),
        _ => with_those_beside(&args)?,
    };
    let given = args.public_key.as_deref().map(public_key).transpose()?;
    let kept: Vec<Checkpoint> =
        args.checkpoint.iter().map(|path| kept(path)).collect::<Result<_>>()?;
    let mark = match stored.as_ref().map(|stored| &stored.known) {
        Some(KnownMark::At(mark)) => Some(mark),
        Some(KnownMark::Missing) => {
            bail!("the store had a mark of the audit log, and has none any more")
        }
        Some(KnownMark::NeverKept) | None => None,
    };
    let key = stored.as_ref().map(|stored| &stored.key);
    let public_key = given.as_ref();
    let checks = Checks {
        key,
        mark,
        public_key,
        kept: &kept,
        from: args.from_line.unwrap_or(1),
        to: args.to_line,
    };
    let verified = verify(&files, &checks)?;
    let shown: Vec<_> = files.iter().map(|file| file.display().to_string()).collect();
    let shown = shown.join(", ");
    if verified.seal == Seal::Absent && verified.lines > 0 && public_key.is_none() {
        bail!(
            "audit log {shown}: the head beside it is missing, so lines may have been removed at the \
             end; the {} lines that are there were not changed or reordered",
            verified.lines
        );
    }
    say(&report(&shown, &verified, mark, &checks))?;
    Ok(ExitCode::SUCCESS)
}

/// The files that are meant: the log alone stands for those that were closed before it too.
fn with_those_beside(args: &VerifyArgs) -> Result<Vec<PathBuf>> {
    let ([log], None, None) = (args.files.as_slice(), args.from_line, args.to_line) else {
        return Ok(args.files.clone());
    };
    // One that is missing is told when it is read.
    if !log.is_file() {
        return Ok(args.files.clone());
    }
    let found = files_of(log).with_context(|| format!("audit log {}", log.display()))?;
    let is_log = found.last().is_some_and(|last| last.file_name() == log.file_name());
    Ok(if is_log { found } else { args.files.clone() })
}

async fn from_store(file: &Path) -> Result<FromStore> {
    let config = Config::load(file)?;
    let stopped = Stopped::open(&config).await?;
    let sealed = stopped.sealed().await?;
    stopped.close().await?;
    let path = &config.audit.file;
    let files = files_of(path).with_context(|| format!("audit log {}", path.display()))?;
    let key = sealed.audit_key()?;
    Ok(FromStore { key, known: sealed.marks.known, files })
}

fn public_key(given: &str) -> Result<PublicKey> {
    if let Ok(key) = given.parse() {
        return Ok(key);
    }
    let text = std::fs::read_to_string(given)
        .with_context(|| format!("--public-key: `{given}` is neither a key nor a file"))?;
    text.parse().with_context(|| format!("--public-key: {given}"))
}

fn kept(path: &Path) -> Result<Checkpoint> {
    let shown = path.display();
    let text = std::fs::read_to_string(path).with_context(|| format!("--checkpoint: {shown}"))?;
    text.parse().with_context(|| format!("--checkpoint: {shown}"))
}

/// What holds, a line each.
fn report(shown: &str, verified: &Verified, mark: Option<&Mark>, checks: &Checks<'_>) -> String {
    let Verified { lines, last, last_hash, without_mac, checkpoints, .. } = verified;
    let mut said = vec![format!(
        "{shown}: {lines} lines{}, {}; last hash {last_hash}",
        if lines == last { String::new() } else { format!(" (up to line {last})") },
        if verified.losses.is_empty() {
            "none removed, changed or reordered"
        } else {
            "none changed or reordered, and none missing but what an operator accepted as lost (below)"
        },
    )];
    said.push(match (checks.key, without_mac) {
        (None, _) => "MACs: not checked (--config has the key)".to_owned(),
        (Some(_), 0) => "MACs: each line was written with the audit key".to_owned(),
        (Some(_), count) => format!(
            "MACs: each line was written with the audit key, but the first {count}, which are from before \
             there were MACs: line {} has one and pins them",
            count + 1
        ),
    });
    let end = match verified.seal {
        Seal::Authentic => "its end is authentic: the head beside it was made with the audit key",
        Seal::Unchecked => {
            "its end agrees with the head beside it, which was not checked with the audit key (use \
             --config for that)"
        }
        Seal::Closed => "its last file was closed, and ends as it was",
        Seal::Absent if *lines == 0 => "it is empty",
        Seal::Absent => "there is no head: lines after the last checkpoint may have been removed",
    };
    said.push(format!("end: {end}"));
    said.push(match mark {
        Some(mark) if mark.lines() > *last => format!(
            "mark: the store says that there are {} lines; those after line {last} were not asked for",
            mark.lines()
        ),
        Some(mark) => format!("mark: line {}, which the store's mark names, is in it", mark.lines()),
        None if checks.key.is_some() => "mark: the store has none yet".to_owned(),
        None => "mark: not checked (--config has the store)".to_owned(),
    });
    said.push(match checks.public_key {
        Some(_) => format!(
            "checkpoints: {} of {} are signed by the public key, the last of them about lines up to {}",
            checkpoints.signed, checkpoints.all, checkpoints.lines
        ),
        None => format!(
            "checkpoints: {}, which agree with the lines; their signatures were not checked (use \
             --public-key)",
            checkpoints.all
        ),
    });
    if !checks.kept.is_empty() {
        said.push(format!("kept checkpoints: {}, all of this log", checks.kept.len()));
    }
    for loss in &verified.losses {
        let what = if loss.to < loss.from {
            format!("lines after line {} may be missing", loss.from - 1)
        } else {
            format!("lines {} to {} are missing", loss.from, loss.to)
        };
        said.push(format!(
            "loss: {what}; an operator accepted that in line {} ({}): {}",
            loss.line, loss.time, loss.reason
        ));
    }
    if verified.torn_bytes > 0 {
        said.push(format!(
            "{} bytes of an unfinished line follow, as a crash leaves them",
            verified.torn_bytes
        ));
    }
    said.join("\n")
}
