//! `chancery policy history` and `rollback`: lists earlier sets of policies and restores one.

use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use chancery_files::Trusted;
use chancery_identity::visible;
use chancery_policy::{PolicyConfig, Restored, TakenSet};
use clap::Args;

use super::{Output, print};
use crate::config::Config;
use crate::foundation::policy_config;
use crate::policy_places::policy_history;

/// `chancery policy rollback`.
#[derive(Debug, Args)]
pub(super) struct RollbackArgs {
    /// The gateway's configuration.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// The set to go back to, as `history` numbers them [default: the one before the newest].
    #[arg(long, value_name = "NUMBER")]
    to: Option<u64>,
}

fn with_history(config: &Config) -> PolicyConfig {
    PolicyConfig { history: Some(policy_history(config)), ..policy_config(config) }
}

/// `chancery policy history`.
pub(super) fn list(config: &Path, output: Output) -> Result<ExitCode> {
    let config = Config::load(config)?;
    let sets = chancery_policy::policy_history(&with_history(&config))?;
    print(output, &sets, || listed(&sets))?;
    Ok(ExitCode::SUCCESS)
}

/// Puts the files of an earlier set back. A gateway that watches its policies takes them by itself.
pub(super) fn roll_back(args: &RollbackArgs, output: Output) -> Result<ExitCode> {
    let (restored, watched) = match Config::load(&args.config) {
        Ok(config) => {
            (chancery_policy::roll_back(&with_history(&config), args.to)?, config.policy_watch)
        }
        Err(error) => match error.gateways_user() {
            Some(user) => roll_back_as_root(args, user)?,
            None => return Err(error.into()),
        },
    };
    print(output, &restored, || told(&restored, watched))?;
    Ok(ExitCode::SUCCESS)
}

/// The same for root, whose the policies are while the state is the gateway's. Root writes the policies and nothing
/// else: what is in the state directory is read and written as the gateway's user. Root finds what it writes by name,
/// so it writes only where nobody else can change what a name leads to.
fn roll_back_as_root(args: &RollbackArgs, user: u32) -> Result<(Restored, bool)> {
    let (config, earlier) = as_gateway(user, || {
        let config = Config::load(&args.config)?;
        let earlier = chancery_policy::earlier_set(&with_history(&config), args.to)?;
        Ok((config, earlier))
    })?;
    // With a slash behind it, a link would be followed.
    let directory: PathBuf = config.policy_directory.components().collect();
    let owner = fs::symlink_metadata(&directory).map(|found| found.uid());
    let put_back = |trusted| Ok(earlier.put_back(&directory, trusted)?);
    let restored = if owner.is_ok_and(|owner| owner == user) {
        as_gateway(user, || put_back(&config.trusted))?
    } else {
        // Before anything is made: nobody but root may have a hand in what root writes to.
        chancery_files::roots_alone(&directory)?;
        put_back(&Trusted::process())?
    };
    as_gateway(user, || Ok(chancery_policy::remember_earlier(&with_history(&config), &earlier)?))?;
    Ok((restored, config.policy_watch))
}

fn as_gateway<T: Send>(user: u32, work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
    chancery_files::as_user(user, work).context("cannot become the gateway's user")?
}

fn listed(sets: &[TakenSet]) -> String {
    let mut text = String::new();
    for set in sets {
        let _ = writeln!(text, "{}  {}  {}", set.number, set.taken, set.digest);
        for (binding, plugin) in set.bindings() {
            let _ = writeln!(text, "    {}: {}", visible(binding), visible(&plugin));
        }
    }
    if text.is_empty() { "no set was in force yet".to_owned() } else { text }
}

fn told(restored: &Restored, watched: bool) -> String {
    let mut text = format!("set {} is put back ({})\n", restored.number, restored.digest);
    for name in &restored.written {
        let _ = writeln!(text, "    written: {}", shown(name));
    }
    for name in &restored.set_aside {
        let _ = writeln!(text, "    set aside, as it is not in that set: {}", shown(name));
    }
    let when = if watched { "by itself" } else { "on SIGHUP" };
    let _ = writeln!(text, "a gateway that is running takes it {when}");
    text
}

fn shown(name: &Path) -> String {
    visible(&name.to_string_lossy()).into_owned()
}
