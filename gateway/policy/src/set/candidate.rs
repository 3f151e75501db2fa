//! A set of policies on its way from the directory into force.

use std::sync::Arc;

use chancery_identity::Clock;
use chancery_sandbox::Sandbox;

use super::PolicySet;
use super::admission::{Admission, Unasked};
use super::error::LoadError;
use super::history::{self, History};
use super::load::Loaded;
use super::signature::Signers;
use crate::binding::{Digest, Files, Known, Sources};
use crate::component::Artifacts;
use crate::contract::Lookups;

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
