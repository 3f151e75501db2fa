//! The commands that do one thing and end.

use std::io::Write;
use std::path::Path;

use anyhow::{Context, Result};
use chancery_identity::visible_lines;
use chancery_policy::{Lookups, PolicyConfig, PolicyHost};

use crate::config::Config;
use crate::foundation::policy_config;

/// Says on standard error what went wrong, the cause behind it last.
pub(crate) fn complain(error: &anyhow::Error) {
    // Nothing can be done if even this cannot be written.
    let _ = writeln!(std::io::stderr(), "chancery: {}", visible_lines(&told(error)));
}

/// An error and its causes, each once: some errors have their cause in their own text, others do not.
fn told(error: &anyhow::Error) -> String {
    let mut text = String::new();
    for cause in error.chain().map(ToString::to_string) {
        if text.is_empty() {
            text = cause;
        } else if !text.contains(&cause) {
            text = format!("{text}: {cause}");
        }
    }
    if is_for_want_of_room(&text) {
        text.push_str(NO_ROOM);
    }
    text
}

/// What to do when the system says that a disk is full.
const NO_ROOM: &str = "\nThe disk is full, or a quota is used up: free some space there (`df` says which disk; old files \
                       of the audit log may be taken elsewhere), or give it a larger one. What was acknowledged is \
                       not lost.";

/// Whether the system refused for want of room. Errors of several libraries come as text, in which the system's number
/// stands.
fn is_for_want_of_room(text: &str) -> bool {
    use rustix::io::Errno;
    let numbers = [Errno::NOSPC, Errno::DQUOT].map(Errno::raw_os_error);
    numbers.iter().any(|number| text.contains(&format!("(os error {number})")))
}

/// Says something on standard output.
pub(crate) fn say(text: &str) -> Result<()> {
    let mut out = std::io::stdout().lock();
    match writeln!(out, "{text}").and_then(|()| out.flush()) {
        // A reader that closes early has the lines that it wanted.
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        said => said.context("writing to standard output"),
    }
}

/// Loads the policies of a configuration without a gateway around them: nothing can be looked up.
pub(crate) fn with_policies<T>(
    config: &Config,
    work: impl FnOnce(&PolicyHost) -> Result<T>,
) -> Result<T> {
    with_policies_in(config, &config.policy_directory, Lookups::unavailable(), work)
}

/// The same for policies in a directory, with answers to look-ups.
pub(crate) fn with_policies_in<T>(
    config: &Config,
    directory: &Path,
    lookups: Lookups,
    work: impl FnOnce(&PolicyHost) -> Result<T>,
) -> Result<T> {
    // Thrown away afterwards: the running gateway keeps its own compiled policies.
    let compiled = tempfile::tempdir().context("a temporary directory for compiled policies")?;
    let host = PolicyHost::open(PolicyConfig {
        directory: directory.to_owned(),
        cache: compiled.path().join("compiled"),
        lookups,
        ..policy_config(config)
    });
    work(&host.context("loading the policies")?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("the outer one: {0}")]
    struct Outer(#[source] std::io::Error);

    #[test]
    fn each_cause_is_told_once() {
        let inner = || std::io::Error::other("the inner one");
        let doubled = anyhow::Error::new(Outer(inner())).context("opening it");
        assert_eq!(told(&doubled), "opening it: the outer one: the inner one");
        let single = anyhow::Error::new(inner()).context("opening it");
        assert_eq!(told(&single), "opening it: the inner one");
    }

    #[test]
    fn a_full_disk_is_told_with_what_to_do() {
        let full = || std::io::Error::from_raw_os_error(rustix::io::Errno::NOSPC.raw_os_error());
        let said = told(&anyhow::Error::new(full()).context("opening it"));
        assert!(said.starts_with("opening it: ") && said.ends_with(NO_ROOM), "{said}");
        // As libraries pass it on.
        let said = told(&anyhow::anyhow!("the store cannot be opened: I/O error: {}", full()));
        assert!(said.ends_with(NO_ROOM), "{said}");
        let other = std::io::Error::from_raw_os_error(rustix::io::Errno::ACCESS.raw_os_error());
        assert!(!told(&anyhow::Error::new(other)).contains("disk"));
    }
}
