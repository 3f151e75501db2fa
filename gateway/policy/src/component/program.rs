//! From a binding to a program that can be asked.

use std::sync::Arc;
use std::sync::mpsc::Sender;

use chancery_identity::TenantId;
use wasmtime::component::Component;
use wasmtime::{Engine, Store};

use super::artifact::{Artifact, ArtifactError, ArtifactId, Artifacts};
use super::check::{self, Seen};
use super::compiler::Compiler;
use super::guest::{self, Bounds};
use super::linked::Interface;
use super::prepare::{Order, Refusal, describe};
use crate::binding::{Binding, Digest, Limits, Sources};
use crate::contract::world::Description;
use crate::contract::{Callee, Calls, Line, Lookups};

/// The largest component that is compiled, in bytes: 32 MiB.
pub const LARGEST_COMPONENT: u64 = 32 * 1024 * 1024;

/// Why there is no program for a binding.
pub(crate) enum ProgramError {
    /// The component cannot serve the binding.
    Refused(Refusal),
    /// The plugin's file is not the one that the binding pins.
    DigestMismatch { pinned: Digest, found: Digest },
    /// The directory for compiled components cannot be used.
    Artifacts(ArtifactError),
}

impl From<Refusal> for ProgramError {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl From<ArtifactError> for ProgramError {
    fn from(error: ArtifactError) -> Self {
        Self::Artifacts(error)
    }
}

/// A component ready to be asked.
pub(crate) struct Program {
    pub(crate) interface: Interface,
    /// The settings, if they could not be put into the component's memory.
    pub(crate) unconfigured: Option<String>,
    callee: Callee,
    /// What was loaded; none in a trial.
    pub(crate) artifact: Option<ArtifactId>,
    /// What the plugin says of itself.
    pub(crate) description: Description,
}

impl Program {
    /// Loads the binding's plugin from the directory, out of the artifacts if it is there. If the program
    /// that the binding had is the same in all that counts, it is that.
    pub(crate) fn load(
        engine: &Engine,
        artifacts: &Artifacts,
        lookups: &Lookups,
        sources: &Sources<'_>,
        binding: &Binding,
        before: Option<&Arc<Self>>,
    ) -> Result<Arc<Self>, ProgramError> {
        let wasm = read_pinned(sources, binding)?;
        let id = ArtifactId::new(engine, binding);
        let callee = callee(binding, lookups, false);
        let same = |before: &&Arc<Self>| {
            before.artifact.as_ref() == Some(&id) && before.callee.grants_as(&callee)
        };
        if let Some(before) = before.filter(same) {
            return Ok(before.clone());
        }
        let artifact = if let Some(artifact) = artifacts.load(&id, engine) {
            artifact
        } else {
            let order = Order::of(binding, false);
            let compiled = artifacts.compiler.compile(engine, &wasm, &order)?;
            artifacts.store(&id, &compiled)?;
            Artifact::of(engine, &compiled).map_err(Refusal::from)?
        };
        let program = Self::new(engine, &artifact, binding, callee)?;
        Ok(Arc::new(Self { artifact: Some(id), ..program }))
    }

    /// Makes a program of a component's bytes, without looking for an artifact or leaving one; `counted`
    /// if the engine [counts](chancery_sandbox::Sandbox::counting).
    pub(crate) fn from_bytes(
        engine: &Engine,
        wasm: &[u8],
        binding: &Binding,
        lookups: &Lookups,
        counted: bool,
    ) -> Result<Self, Refusal> {
        let callee = callee(binding, lookups, counted);
        let order = Order::of(binding, counted);
        let compiled = Compiler::Here.compile(engine, wasm, &order)?;
        let artifact = Artifact::of(engine, &compiled)?;
        Self::new(engine, &artifact, binding, callee)
    }

    fn new(
        engine: &Engine,
        artifact: &Artifact,
        binding: &Binding,
        callee: Callee,
    ) -> Result<Self, Refusal> {
        let unconfigured = (!artifact.configured).then(|| binding.settings.clone());
        let interface = Interface::link(engine, &artifact.component, binding.scope.decision())?;
        let (description, _) = describe(engine, &interface, &callee)?;
        Ok(Self { interface, unconfigured, callee, artifact: None, description })
    }

    /// The store of one evaluation for this tenant.
    pub(crate) fn store(&self, limits: &Limits, tenant: &TenantId) -> Store<Bounds> {
        let calls = Calls::new(self.callee.clone(), Some(tenant.clone()));
        guest::store(self.interface.engine(), limits, calls)
    }

    /// The same, with other answers to look-ups, and with somebody who gets what it writes to the log.
    pub(crate) fn store_with(
        &self,
        limits: &Limits,
        tenant: Option<&TenantId>,
        lookups: Lookups,
        lines: Sender<Line>,
    ) -> Store<Bounds> {
        let callee = Callee { lookups, lines: Some(lines), ..self.callee.clone() };
        guest::store(self.interface.engine(), limits, Calls::new(callee, tenant.cloned()))
    }
}

/// What can be seen of a component, what it says of itself, and the memory it begins with, in an
/// engine that counts.
pub(crate) fn inspect(
    engine: &Engine,
    wasm: &[u8],
    binding: &Binding,
) -> Result<(Seen, Description, usize), Refusal> {
    let component = Component::new(engine, wasm)?;
    let decision = binding.scope.decision();
    let seen = check::see(engine, &component, decision).map_err(Refusal::Plugin)?;
    let callee = callee(binding, &Lookups::unavailable(), true);
    let interface = Interface::link(engine, &component, decision)?;
    let (description, memory) = describe(engine, &interface, &callee)?;
    Ok((seen, description, memory))
}

fn callee(binding: &Binding, lookups: &Lookups, counted: bool) -> Callee {
    Callee {
        binding: binding.name.as_str().into(),
        capabilities: binding.capabilities.clone(),
        lookups: lookups.clone(),
        log: binding.limits.log,
        counted,
        lines: None,
    }
}

fn read_pinned(sources: &Sources<'_>, binding: &Binding) -> Result<Arc<[u8]>, ProgramError> {
    let wasm = sources
        .read(&binding.plugin, LARGEST_COMPONENT)
        .map_err(|error| Refusal::Plugin(error.to_string()))?;
    let found = Digest::of(&wasm);
    if found == binding.digest {
        return Ok(wasm);
    }
    Err(ProgramError::DigestMismatch { pinned: binding.digest, found })
}
