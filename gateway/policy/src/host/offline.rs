//! Going back without the gateway's help: the history of a gateway that may be running, or not.

use super::PolicyConfig;
use crate::component::Artifacts;
use crate::set::{EarlierSet, History, LoadError, Restored, TakenSet};

/// The sets that were in force in the gateway with this configuration, the newest first. Works beside
/// a gateway that is running.
///
/// # Errors
/// If there is no history or it cannot be read.
pub fn policy_history(config: &PolicyConfig) -> Result<Vec<TakenSet>, LoadError> {
    history_of(config)?.sets()
}

/// The set `number`, or the one before the newest if there is none, to be
/// [put back](EarlierSet::put_back).
///
/// # Errors
/// If there is no such set, or it cannot be read.
pub fn earlier_set(config: &PolicyConfig, number: Option<u64>) -> Result<EarlierSet, LoadError> {
    history_of(config)?.earlier(number)
}

/// Remembers the versions that the plugins of a set have which was put back: they are no downgrade then. A gateway
/// takes the set at its next reload.
///
/// # Errors
/// If they cannot be written.
pub fn remember_earlier(config: &PolicyConfig, earlier: &EarlierSet) -> Result<(), LoadError> {
    Artifacts::open(&config.cache, config.compiler.clone(), &config.trusted)?
        .remember(&earlier.set.bindings)?;
    history_of(config)?.mark_put_back(&earlier.set)
}

/// All of it: puts a set back that [`earlier_set`] finds, and has it [remembered](remember_earlier).
///
/// # Errors
/// If there is no such set, or a file cannot be written.
pub fn roll_back(config: &PolicyConfig, number: Option<u64>) -> Result<Restored, LoadError> {
    let earlier = earlier_set(config, number)?;
    let restored = earlier.put_back(&config.directory, &config.trusted)?;
    remember_earlier(config, &earlier)?;
    Ok(restored)
}

fn history_of(config: &PolicyConfig) -> Result<History, LoadError> {
    match &config.history {
        Some(directory) => History::open(directory, &config.trusted),
        None => Err(LoadError::NoSuchSet { asked: None, kept: Vec::new() }),
    }
}
