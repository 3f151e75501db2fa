//! A policy without a gateway around it: for its author, and for others who want to inspect it.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use chancery_sandbox::Sandbox;
use serde::Serialize;

use crate::binding::{Binding, Digest, Limits, Mode, Place, Scope};
use crate::cases::{CaseKind, CaseOutcome, Cases};
use crate::component::{Program, decision_of, inspect};
use crate::contract::{Capabilities, Granted, Lookups, VERSION};
use crate::set::{LoadError, Subject};

/// What a trial allows the policy.
#[derive(Debug, Clone)]
pub struct TrialLimits {
    /// Processor time of an evaluation.
    pub deadline: Duration,
    /// Linear memory, in bytes.
    pub memory: usize,
}

impl Default for TrialLimits {
    /// The limits of a binding that sets none.
    fn default() -> Self {
        Self { deadline: Duration::from_millis(20), memory: 1 << 20 }
    }
}

/// What a trial measures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Measure {
    /// What the policy consumes, in a unit that is the same on every machine. The policy runs slower
    /// with it.
    Fuel,
    /// The time that it takes, as in a gateway.
    Time,
}

/// A component with settings, ready for questions.
pub struct Trial {
    program: Program,
    limits: Limits,
    // Last, so that it outlives the program.
    _sandbox: Sandbox,
}

/// The visible properties of a component.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Inspection {
    /// Digest of its bytes.
    pub digest: String,
    /// Its size in bytes.
    pub bytes: usize,
    /// `access` or `certificate`.
    pub decision: &'static str,
    /// Version of the contract that it was built against.
    pub contract: String,
    /// Its name, as it reports it.
    pub name: String,
    /// Its version, as it reports it.
    pub version: String,
    /// Its description of itself.
    pub summary: String,
    /// What it imports.
    pub imports: Vec<String>,
    /// What it exports.
    pub exports: Vec<String>,
    /// Linear memory that it begins with, in bytes.
    pub memory: usize,
    /// JSON Schema of its settings; null if it gives no valid JSON.
    pub settings_schema: serde_json::Value,
}

impl Trial {
    /// Loads a component with its settings, a JSON object. All look-ups are granted; the cases answer
    /// them.
    ///
    /// # Errors
    /// The component is not a policy, or does not take the settings; the message says where.
    pub fn load(
        file: &Path,
        wasm: &[u8],
        settings: &str,
        limits: &TrialLimits,
        measure: Measure,
    ) -> Result<Self, LoadError> {
        let counted = measure == Measure::Fuel;
        let sandbox = if counted { Sandbox::counting() } else { Sandbox::new(1) }?;
        let limits = Limits { deadline: limits.deadline, memory: limits.memory, ..Limits::LARGEST };
        let binding = binding(file, wasm, settings, limits)?;
        let program =
            Program::from_bytes(&sandbox.engine, wasm, &binding, &Lookups::unavailable(), counted)
                .map_err(|refusal| LoadError::refused(refusal, &binding))?;
        Ok(Self { program, limits, _sandbox: sandbox })
    }

    /// Which cases fit the component.
    pub fn case_kind(&self) -> CaseKind {
        self.program.case_kind()
    }

    /// Runs each case in a fresh instance.
    pub fn run(&self, cases: &Cases) -> Vec<CaseOutcome> {
        cases.run(&self.program, &self.limits)
    }
}

impl std::fmt::Debug for Trial {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Trial").field("limits", &self.limits).finish_non_exhaustive()
    }
}

impl Inspection {
    /// Inspects a component, without settings.
    ///
    /// # Errors
    /// It is not a policy of a version that this host has.
    pub fn of(file: &Path, wasm: &[u8]) -> Result<Self, LoadError> {
        let sandbox = Sandbox::counting()?;
        let binding = binding(file, wasm, "{}", Limits::LARGEST)?;
        let (seen, description, memory) = inspect(&sandbox.engine, wasm, &binding)
            .map_err(|refusal| LoadError::refused(refusal, &binding))?;
        Ok(Self {
            digest: binding.digest.to_string(),
            bytes: wasm.len(),
            decision: binding.scope.decision().word(),
            contract: VERSION.to_owned(),
            name: description.name,
            version: description.version,
            summary: description.summary,
            imports: seen.imports,
            exports: seen.exports,
            memory,
            settings_schema: serde_json::from_str(&description.settings_schema).unwrap_or_default(),
        })
    }
}

/// A binding that matches everything the component decides about.
fn binding(file: &Path, wasm: &[u8], settings: &str, limits: Limits) -> Result<Binding, LoadError> {
    let name = file.file_stem().map_or_else(String::new, |stem| stem.display().to_string());
    let place = Place { file: file.to_owned(), line: 1 };
    let subject = || {
        Box::new(Subject { place: place.clone(), binding: name.clone(), plugin: file.to_owned() })
    };
    let decision =
        decision_of(wasm).map_err(|reason| LoadError::Plugin { subject: subject(), reason })?;
    Ok(Binding {
        name: name.clone(),
        place: place.clone(),
        scope: Scope::any(decision),
        has_match: false,
        mode: Mode::Enforce,
        plugin: file.to_owned(),
        digest: Digest::of(wasm),
        signature: None,
        allow_downgrade: false,
        self_test: None,
        limits,
        capabilities: Arc::new(Capabilities {
            groups: Granted::All,
            data_sets: Granted::All,
            issuance_counts: true,
        }),
        settings: settings.to_owned(),
    })
}
