//! A set of policies on its way from the directory into force, and back again.

use std::sync::Arc;

use chancery_identity::Clock;

use crate::admission::{Admission, Unasked};
use crate::artifact::Artifacts;
use crate::engine::Sandbox;
use crate::history::{self, EarlierSet, History};
use crate::set::{Loaded, PolicySet};
use crate::sources::{Files, Sources};
use crate::{Digest, Known, LoadError, Lookups, PolicyConfig, Restored, Signers, TakenSet};

/// What a load brought into force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Summary {
    /// Names of the bindings, sorted.
    pub bindings: Vec<String>,
    /// How many different components they use.
    pub plugins: usize,
    /// Over all of the set's files.
    pub digest: Digest,
    /// The set's number in the history, if there is one.
    pub number: Option<u64>,
    /// Tenants that take signed policies and have none.
    pub unasked: Vec<Unasked>,
}

/// What is in force.
pub(crate) struct Current {
    pub(crate) set: Arc<PolicySet>,
    pub(crate) summary: Summary,
}

/// A set that may come into force, with its files.
pub(crate) struct Candidate {
    pub(crate) loaded: Loaded,
    pub(crate) files: Files,
}

impl Candidate {
    pub(crate) fn load(
        sandbox: &Sandbox,
        artifacts: &Artifacts,
        lookups: &Lookups,
        sources: Sources<'_>,
        (signers, known): (&Signers, &Known),
        in_force: Option<&PolicySet>,
    ) -> Result<Self, LoadError> {
        // Read anew each time: going back to an earlier set leaves its versions there.
        let before = artifacts.versions()?;
        let admission = Admission { sources: &sources, signers, known, before: &before };
        let loaded = PolicySet::load(&sandbox.engine, artifacts, lookups, &admission, in_force)?;
        Ok(Self { loaded, files: sources.into_files() })
    }

    /// Remembers it as the one that is in force from now on.
    pub(crate) fn take(
        self,
        artifacts: &Artifacts,
        history: Option<&History>,
        clock: &Clock,
    ) -> Result<Current, LoadError> {
        let Self { loaded: Loaded { set, versions, unasked, .. }, files } = self;
        artifacts.remember(&versions)?;
        let kept =
            history.map(|history| history.keep(&files, &versions, clock.now())).transpose()?;
        let summary = Summary {
            bindings: set.bindings(),
            plugins: set.plugins(),
            digest: history::digest(&files),
            number: kept.map(|set| set.number),
            unasked,
        };
        Ok(Current { set: Arc::new(set), summary })
    }
}

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
