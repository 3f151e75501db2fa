//! Loads a set from its directory.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use wasmtime::Engine;

use super::PolicySet;
use super::admission::{Admission, Unasked};
use super::bound::{Bound, Grouped};
use super::documents::{Read, read};
use super::error::LoadError;
use crate::binding::{Binding, Member, Mode, Place, Resolved, Sources, resolve};
use crate::component::{ArtifactId, Artifacts, Program, Versions};
use crate::contract::Lookups;
use crate::decide::{Meters, Share};

/// A set that may come into force.
pub(crate) struct Loaded {
    pub(crate) set: PolicySet,
    /// The artifacts that it uses.
    pub(crate) used: BTreeSet<ArtifactId>,
    /// The version that each binding has in it.
    pub(crate) versions: Versions,
    /// Tenants with signers for whom nobody is asked.
    pub(crate) unasked: Vec<Unasked>,
}

impl PolicySet {
    /// Loads every document of the directory. What is the same as in the set before is not loaded
    /// again.
    pub(crate) fn load(
        engine: &Engine,
        artifacts: &Artifacts,
        lookups: &Lookups,
        admission: &Admission<'_>,
        before: Option<&Self>,
    ) -> Result<Loaded, LoadError> {
        let read = read(admission.sources, admission.known)?;
        let unasked = admission.check_signatures(&read)?;
        let Read { bindings, groups, .. } = read;
        let members = bindings.values().enumerate().map(|(position, binding)| {
            let Binding { name, scope, has_match, mode, .. } = binding;
            (name.as_str(), Member { position, scope, has_match: *has_match, mode: *mode })
        });
        let Resolved { groups: nodes, bindings: alone } = resolve(&groups, &members.collect())?;
        let (mut used, mut versions) = (BTreeSet::new(), Versions::new());
        let (mut bound, mut wrong) = (Vec::new(), Vec::new());
        for binding in bindings.into_values() {
            let same = before.and_then(|before| before.program_of(&binding));
            let loaded =
                Program::load(engine, artifacts, lookups, admission.sources, &binding, same)
                    .map_err(|error| LoadError::of_program(error, &binding))
                    .and_then(|program| Ok((admission.admit(&binding, &program)?, program)));
            let (admitted, program) = match loaded {
                Ok(loaded) => loaded,
                Err(error) => {
                    wrong.push(at_setting(error, admission.sources));
                    continue;
                }
            };
            used.extend(program.artifact.clone());
            versions.insert(binding.name.clone(), admitted);
            let plugin = binding.plugin.display().to_string();
            let digest = binding.digest.to_string();
            let share = Arc::new(Share::new(&binding.name, binding.limits.concurrent));
            let mode = if alone.contains(&bound.len()) { binding.mode } else { Mode::Member };
            let meters = Meters::new(&binding.name, mode);
            bound.push(Bound { binding, program, plugin, digest, share, mode, meters });
        }
        LoadError::all(wrong)?;
        let groups = nodes
            .into_iter()
            .filter_map(|(at, node)| {
                let group = groups.get(at)?.clone();
                let meters = Meters::new(&group.name, group.mode);
                Some(Grouped { group, node, meters })
            })
            .collect();
        Ok(Loaded { set: Self { bound, alone, groups }, used, versions, unasked })
    }
}

/// A setting that is not taken is told with its own line.
fn at_setting(mut error: LoadError, sources: &Sources<'_>) -> LoadError {
    if let LoadError::Settings { subject, path, .. } = &mut error {
        let file = &subject.place.file;
        let text = file.file_name().and_then(|name| sources.read_text(Path::new(name)).ok());
        let place = text.and_then(|text| Place::of_binding(file, &text, &subject.binding, path));
        subject.place = place.unwrap_or_else(|| subject.place.clone());
    }
    error
}
