use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};
use std::{fs, io};

use wasmtime::Engine;

use crate::admission::{Admission, Unasked, Versions};
use crate::artifact::{ArtifactId, Artifacts};
use crate::binding::{Binding, Mode, Scope, place, read_document};
use crate::documents::Documents;
use crate::error::Place;
use crate::evaluation::{Answer, Failure, Question};
use crate::group::{Group, Member, Node, Resolved, resolve};
use crate::known::Known;
use crate::meters::{Meters, Outcome};
use crate::plugin::Program;
use crate::schedule::Shares;
use crate::share::Share;
use crate::sources::Sources;
use crate::{
    AccessRequest, Approval, CertificateFacts, Denial, Digest, Evaluation, LoadError, Lookups,
};

/// The bindings in force, by name. Replaced as a whole, never changed.
pub(crate) struct PolicySet {
    bound: Vec<Bound>,
    /// Positions of those that are members of no group.
    alone: Vec<usize>,
    groups: Vec<Grouped>,
}

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

/// What of a set a request is put to, by position.
pub(crate) struct Matching {
    bindings: Vec<usize>,
    groups: Vec<usize>,
}

impl Matching {
    pub(crate) fn is_empty(&self) -> bool {
        self.bindings.is_empty() && self.groups.is_empty()
    }
}

struct Bound {
    binding: Binding,
    program: Arc<Program>,
    /// As evaluations name them.
    plugin: String,
    digest: String,
    share: Arc<Share>,
    /// How its answers count: members of groups count in their group only.
    mode: Mode,
    meters: Meters,
}

/// A group with its members.
struct Grouped {
    group: Group,
    node: Node,
    meters: Meters,
}

/// One policy's answer, on its way to the verdict.
pub(crate) struct Asked<T> {
    pub(crate) mode: Mode,
    pub(crate) answer: Answer<T>,
    pub(crate) evaluation: Evaluation,
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

    fn program_of(&self, binding: &Binding) -> Option<&Arc<Program>> {
        let found = self.bound.binary_search_by(|bound| bound.binding.name.cmp(&binding.name));
        found.ok().and_then(|at| self.bound.get(at)).map(|bound| &bound.program)
    }

    /// What is in force, by the bindings' names.
    pub(crate) fn in_force(&self) -> Vec<InForce> {
        self.bound.iter().map(Bound::in_force).collect()
    }

    /// Names of the bindings, sorted.
    pub(crate) fn bindings(&self) -> Vec<String> {
        self.bound.iter().map(|b| b.binding.name.clone()).collect()
    }

    /// How many different components they use.
    pub(crate) fn plugins(&self) -> usize {
        self.bound.iter().map(|b| b.binding.digest).collect::<BTreeSet<_>>().len()
    }

    /// What wants to be asked about this resource, which stands in the place of the request's own.
    pub(crate) fn for_access(&self, request: &AccessRequest, resource: &str) -> Matching {
        self.matching(|scope| scope.takes_access(request, resource))
    }

    /// What wants to be asked.
    pub(crate) fn for_certificate(&self, facts: &CertificateFacts) -> Matching {
        self.matching(|scope| scope.takes_certificate(facts))
    }

    fn matching(&self, wanted: impl Fn(&Scope) -> bool) -> Matching {
        let takes = |at: &usize| self.bound.get(*at).is_some_and(|one| wanted(&one.binding.scope));
        let bindings = self.alone.iter().copied().filter(takes).collect();
        let groups = self.groups.iter().enumerate();
        let groups = groups.filter(|(_, grouped)| wanted(&grouped.group.scope)).map(|(at, _)| at);
        Matching { bindings, groups: groups.collect() }
    }

    /// Whose turn has to be waited for, each once and in one order, so that the same bindings make the
    /// same lane.
    pub(crate) fn shares<'a>(&self, all: impl IntoIterator<Item = &'a Matching>) -> Shares {
        let mut asked = BTreeSet::new();
        for matching in all {
            let groups = matching.groups.iter().filter_map(|at| self.groups.get(*at));
            asked.extend(matching.bindings.iter().copied());
            asked.extend(groups.flat_map(|grouped| grouped.node.leaves()));
        }
        asked
            .into_iter()
            .filter_map(|at| self.bound.get(at))
            .map(|bound| bound.share.clone())
            .collect()
    }

    /// Asks them, one after the other.
    pub(crate) fn ask<Q: Question>(
        &self,
        matching: &Matching,
        question: &Q,
    ) -> Vec<Asked<Q::Allowed>> {
        let mut asked: Vec<_> = matching
            .bindings
            .iter()
            .filter_map(|at| self.bound.get(*at))
            .map(|bound| bound.ask(question))
            .collect();
        for grouped in matching.groups.iter().filter_map(|at| self.groups.get(*at)) {
            let Grouped { group, node, meters } = grouped;
            let begun = Instant::now();
            let mut answers = BTreeMap::new();
            for at in node.leaves() {
                let Some(bound) = self.bound.get(at) else { continue };
                let Asked { answer, evaluation, mode } = bound.ask(question);
                answers.insert(at, answer);
                // The answer is the group's to use; the trail shows who said what.
                let unused = Err(Failure::Member("used by the group".to_owned()));
                asked.push(Asked { mode, answer: unused, evaluation });
            }
            let answer = node.combine::<Q>(&mut answers);
            let (binding, mode) = (group.name.as_str(), group.mode);
            let trail = Trail { binding, mode, meters, taken: begun.elapsed() };
            let evaluation = trail.evaluation::<Q>(&answer);
            asked.push(Asked { mode: group.mode, answer, evaluation });
        }
        asked
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
    /// Whether it failed the last times that it was asked.
    pub failing: bool,
}

impl Bound {
    fn in_force(&self) -> InForce {
        InForce {
            binding: self.binding.name.clone(),
            decision: self.binding.scope.decision().word(),
            mode: self.mode.word(),
            plugin: self.plugin.clone(),
            digest: self.digest.clone(),
            name: self.program.description.name.clone(),
            version: self.program.description.version.clone(),
            place: self.binding.place.to_string(),
            failing: self.share.is_failing(),
        }
    }

    fn ask<Q: Question>(&self, question: &Q) -> Asked<Q::Allowed> {
        let Self { binding, mode, meters, .. } = self;
        let span = tracing::debug_span!("policy.evaluate", binding = binding.name);
        let _entered = span.enter();
        let begun = Instant::now();
        let mut store = self.program.store(&binding.limits, question.tenant());
        let answer = question.ask(&self.program, &mut store);
        let taken = begun.elapsed();
        self.share.ended(answer.as_ref().err());
        meters.lines_dropped(store.data().calls.dropped);
        let trail = Trail { binding: &binding.name, mode: *mode, meters, taken };
        let evaluation = Evaluation {
            plugin: self.plugin.clone(),
            digest: self.digest.clone(),
            version: self.program.description.version.clone(),
            ..trail.evaluation::<Q>(&answer)
        };
        Asked { mode: *mode, answer, evaluation }
    }
}

/// What is remembered of one answer.
struct Trail<'a> {
    binding: &'a str,
    mode: Mode,
    meters: &'a Meters,
    taken: Duration,
}

impl Trail<'_> {
    fn evaluation<Q: Question>(&self, answer: &Answer<Q::Allowed>) -> Evaluation {
        let (outcome, detail) = match answer {
            Ok(Ok(allowed)) => (Q::outcome(allowed), String::new()),
            Ok(Err(denial)) if !denial.approvals.is_empty() => {
                (Outcome::NeedsApproval, approvals_in_words(denial))
            }
            Ok(Err(denial)) if denial.audit.is_empty() => (Outcome::Deny, denial.code.clone()),
            Ok(Err(denial)) => (Outcome::Deny, format!("{}: {}", denial.code, denial.audit)),
            Err(failure) => (Outcome::Error(failure), failure.to_string()),
        };
        self.meters.count(outcome, self.taken);
        let outcome = match self.mode {
            Mode::Enforce => outcome.to_string(),
            Mode::Monitor | Mode::Member => format!("{}:{outcome}", self.mode.word()),
        };
        Evaluation {
            binding: self.binding.to_owned(),
            plugin: String::new(),
            digest: String::new(),
            version: String::new(),
            micros: u64::try_from(self.taken.as_micros()).unwrap_or(u64::MAX),
            outcome,
            detail,
        }
    }
}

/// What the documents of a directory say.
pub(crate) struct Read {
    pub(crate) bindings: BTreeMap<String, Binding>,
    pub(crate) groups: Vec<Group>,
    pub(crate) digests: Documents,
}

/// Reads every document of the directory.
pub(crate) fn read(sources: &Sources<'_>, known: &Known) -> Result<Read, LoadError> {
    let (mut bindings, mut groups) = (BTreeMap::new(), Vec::new());
    let mut digests = Documents::new();
    let mut places: BTreeMap<String, Place> = BTreeMap::new();
    let mut take = |name: &str, place: &Place| match places.insert(name.to_owned(), place.clone()) {
        None => Ok(()),
        Some(other) => {
            let message = format!("binding `{name}` is there already, at {other}");
            Err(LoadError::Document { place: place.clone(), message })
        }
    };
    let mut wrong = Vec::new();
    for name in documents(sources)? {
        let file = sources.directory.join(&name);
        let text = sources.read_text(&name)?;
        let document = match read_document(&file, &text, known) {
            Ok(document) => document,
            Err(error) => {
                wrong.push(error);
                continue;
            }
        };
        digests.insert(in_words(&name)?, Digest::of(text.as_bytes()));
        for binding in document.bindings {
            take(&binding.name, &binding.place)?;
            bindings.insert(binding.name.clone(), binding);
        }
        for group in document.groups {
            take(&group.name, &group.place)?;
            groups.push(group);
        }
    }
    LoadError::all(wrong)?;
    groups.sort_by(|one, two| one.name.cmp(&two.name));
    Ok(Read { bindings, groups, digests })
}

/// Whose approvals are missing, for the audit log.
fn approvals_in_words(denial: &Denial) -> String {
    let words = denial.approvals.iter().map(|one| {
        let Approval { group, count, valid_for } = one;
        format!("{count} of the group `{group}`, good for {} seconds", valid_for.as_secs())
    });
    format!("{}: {}", words.collect::<Vec<_>>().join("; "), denial.audit)
}

/// A setting that is not taken is told with its own line.
fn at_setting(mut error: LoadError, sources: &Sources<'_>) -> LoadError {
    if let LoadError::Settings { subject, path, .. } = &mut error {
        let file = &subject.place.file;
        let text = file.file_name().and_then(|name| sources.read_text(Path::new(name)).ok());
        let place = text.and_then(|text| place::of_binding(file, &text, &subject.binding, path));
        subject.place = place.unwrap_or_else(|| subject.place.clone());
    }
    error
}

/// The name of a document, which has to be text: by that it is signed.
fn in_words(name: &Path) -> Result<String, LoadError> {
    let not_text = || LoadError::io("name", name)(io::ErrorKind::InvalidFilename.into());
    name.to_str().map(str::to_owned).ok_or_else(not_text)
}

/// The names of the directory's `*.toml` files, sorted.
fn documents(sources: &Sources<'_>) -> Result<Vec<PathBuf>, LoadError> {
    let directory = sources.directory;
    sources.trusted.directory(directory)?;
    let mut files = Vec::new();
    for entry in fs::read_dir(directory).map_err(LoadError::io("list", directory))? {
        let path = entry.map_err(LoadError::io("list", directory))?.path();
        if path.extension().is_some_and(|extension| extension == "toml") && path.is_file() {
            files.extend(path.file_name().map(PathBuf::from));
        }
    }
    files.sort();
    Ok(files)
}
