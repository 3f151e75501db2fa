use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use wasmtime::Engine;

use crate::artifact::{ArtifactId, Artifacts};
use crate::binding::{Binding, Mode, Scope, read_document};
use crate::evaluation::{Answer, Question};
use crate::plugin::Program;
use crate::{AccessRequest, CertificateFacts, Evaluation, LoadError, Lookups, Summary};

/// The bindings in force, by name. Replaced as a whole, never changed.
pub(crate) struct PolicySet {
    bound: Vec<Bound>,
}

struct Bound {
    binding: Binding,
    program: Program,
    /// As evaluations name them.
    plugin: String,
    digest: String,
}

/// One policy's answer, on its way to the verdict.
pub(crate) struct Asked<T> {
    pub(crate) mode: Mode,
    pub(crate) answer: Answer<T>,
    pub(crate) evaluation: Evaluation,
}

impl PolicySet {
    /// Loads every document of the directory, and says which artifacts the set uses.
    pub(crate) fn load(
        engine: &Engine,
        artifacts: &Artifacts,
        lookups: &Lookups,
        directory: &Path,
    ) -> Result<(Self, BTreeSet<ArtifactId>), LoadError> {
        let mut bindings: BTreeMap<String, Binding> = BTreeMap::new();
        for file in documents(directory)? {
            let text = fs::read_to_string(&file).map_err(LoadError::io("read", &file))?;
            for binding in read_document(&file, &text)? {
                if let Some(other) = bindings.get(&binding.name) {
                    let message =
                        format!("binding `{}` is there already, at {}", binding.name, other.place);
                    return Err(LoadError::Document { place: binding.place, message });
                }
                bindings.insert(binding.name.clone(), binding);
            }
        }
        let mut ids = BTreeSet::new();
        let mut bound = Vec::new();
        for binding in bindings.into_values() {
            let (program, id) = Program::load(engine, artifacts, lookups, directory, &binding)?;
            ids.insert(id);
            let plugin = binding.plugin.display().to_string();
            let digest = binding.digest.to_string();
            bound.push(Bound { binding, program, plugin, digest });
        }
        Ok((Self { bound }, ids))
    }

    /// What is in force, by the bindings' names.
    pub(crate) fn in_force(&self) -> Vec<InForce> {
        self.bound.iter().map(Bound::in_force).collect()
    }

    pub(crate) fn summary(&self) -> Summary {
        let plugins: BTreeSet<_> = self.bound.iter().map(|b| b.binding.digest).collect();
        Summary {
            bindings: self.bound.iter().map(|b| b.binding.name.clone()).collect(),
            plugins: plugins.len(),
        }
    }

    /// Positions of the bindings that want to be asked.
    pub(crate) fn for_access(&self, request: &AccessRequest) -> Vec<usize> {
        self.positions(|binding| binding.scope.takes_access(request))
    }

    /// Positions of the bindings that want to be asked.
    pub(crate) fn for_certificate(&self, facts: &CertificateFacts) -> Vec<usize> {
        self.positions(|binding| binding.scope.takes_certificate(facts))
    }

    fn positions(&self, wanted: impl Fn(&Binding) -> bool) -> Vec<usize> {
        let all = self.bound.iter().enumerate();
        all.filter(|(_, bound)| wanted(&bound.binding)).map(|(at, _)| at).collect()
    }

    /// Asks the bindings at these positions, one after the other.
    pub(crate) fn ask<Q: Question>(&self, at: &[usize], question: &Q) -> Vec<Asked<Q::Allowed>> {
        at.iter().filter_map(|at| self.bound.get(*at)).map(|bound| bound.ask(question)).collect()
    }
}

/// A binding that is in force.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct InForce {
    /// Its name.
    pub binding: String,
    /// `access` or `certificate`.
    pub decision: &'static str,
    /// `enforce` or `monitor`.
    pub mode: &'static str,
    /// File of the plugin, as the binding names it.
    pub plugin: String,
    /// Digest of the plugin.
    pub digest: String,
    /// Name of the plugin, as it says itself.
    pub name: String,
    /// Version of the plugin, as it says itself.
    pub version: String,
    /// The document and line where the binding stands.
    pub place: String,
}

impl Bound {
    fn in_force(&self) -> InForce {
        InForce {
            binding: self.binding.name.clone(),
            decision: match self.binding.scope {
                Scope::Access { .. } => "access",
                Scope::Certificate { .. } => "certificate",
            },
            mode: match self.binding.mode {
                Mode::Enforce => "enforce",
                Mode::Monitor => "monitor",
            },
            plugin: self.plugin.clone(),
            digest: self.digest.clone(),
            name: self.program.description.name.clone(),
            version: self.program.description.version.clone(),
            place: self.binding.place.to_string(),
        }
    }

    fn ask<Q: Question>(&self, question: &Q) -> Asked<Q::Allowed> {
        let binding = &self.binding;
        let begun = Instant::now();
        let mut store = self.program.store(&binding.limits, question.tenant());
        let answer = question.ask(&self.program, &mut store);
        let taken = begun.elapsed();
        let (outcome, detail) = match &answer {
            Ok(Ok(_)) => ("allow".to_owned(), String::new()),
            Ok(Err(denial)) => ("deny".to_owned(), format!("{}: {}", denial.code, denial.audit)),
            Err(failure) => (format!("error:{}", failure.cause()), failure.to_string()),
        };
        let outcome = match binding.mode {
            Mode::Enforce => outcome,
            Mode::Monitor => format!("monitor:{outcome}"),
        };
        metrics::counter!(
            "chancery_policy_evaluations_total",
            "binding" => binding.name.clone(),
            "outcome" => outcome.clone(),
        )
        .increment(1);
        metrics::histogram!(
            "chancery_policy_evaluation_seconds",
            "binding" => binding.name.clone(),
        )
        .record(taken.as_secs_f64());
        let evaluation = Evaluation {
            binding: binding.name.clone(),
            plugin: self.plugin.clone(),
            digest: self.digest.clone(),
            version: self.program.description.version.clone(),
            micros: u64::try_from(taken.as_micros()).unwrap_or(u64::MAX),
            outcome,
            detail,
        };
        Asked { mode: binding.mode, answer, evaluation }
    }
}

/// The directory's `*.toml` files, sorted.
fn documents(directory: &Path) -> Result<Vec<PathBuf>, LoadError> {
    let mut files = Vec::new();
    for entry in fs::read_dir(directory).map_err(LoadError::io("list", directory))? {
        let path = entry.map_err(LoadError::io("list", directory))?.path();
        if path.extension().is_some_and(|extension| extension == "toml") && path.is_file() {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}
