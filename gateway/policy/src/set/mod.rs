//! Sets of policies: reading and loading them, what a set has to pass, which one is in force, and going back.

mod admission;
mod bound;
mod candidate;
mod documents;
mod earlier;
mod error;
mod history;
mod load;
mod signature;
mod signed;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Instant;

pub use admission::Unasked;
pub use bound::InForce;
use bound::{Bound, Grouped, Trail};
pub use candidate::Summary;
pub(crate) use candidate::{Candidate, Current};
pub use documents::documents;
pub use earlier::{EarlierSet, Restored};
pub use error::{LoadError, Subject};
pub use history::TakenSet;
pub(crate) use history::{History, digest};
pub use signature::{InvalidSignature, KeySignature, PolicySignature, SignerKey, Signers};
pub use signed::{DocumentSignatures, Documents, NotSigned, SIGNATURES};

use crate::binding::{Binding, Scope};
use crate::component::{Failure, Program};
use crate::decide::{Asked, Question, Shares};
use crate::question::{AccessRequest, CertificateFacts};

/// The bindings in force, by name. Replaced as a whole, never changed.
pub(crate) struct PolicySet {
    bound: Vec<Bound>,
    /// Positions of those that are members of no group.
    alone: Vec<usize>,
    groups: Vec<Grouped>,
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

impl PolicySet {
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
