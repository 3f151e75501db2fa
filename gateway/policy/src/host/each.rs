//! One question for each of several resources that belong together, such as the names of an order.

use std::collections::HashMap;
use std::sync::Arc;

use chancery_identity::TenantId;
use wasmtime::Store;

use crate::component::{Bounds, Program};
use crate::contract::request;
use crate::decide::{
    self, Answer, Asked, Evaluation, Outcome, Question, Verdict, Workers, ask_access, no_policy,
    not_run, strictest, without_obligations,
};
use crate::question::{AccessGrant, AccessRequest, Denial};
use crate::set::{Matching, PolicySet};

/// How many questions are put without a break. A thread that evaluates is held for so many evaluations,
/// so this is how long others wait for their turn.
pub(crate) const BATCH: usize = 16;

/// How many different details of one policy's answers the trail keeps.
const DETAILS: usize = 8;

/// The outcome of asking about several resources.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EachVerdict {
    /// What is allowed for all of the resources: the shortest times and every obligation; or the denial
    /// that counts. No resource at all is a denial.
    pub decision: Result<AccessGrant, Denial>,
    /// The resources that were denied, by their positions, in ascending order. Once a policy has failed or
    /// too many decisions wait, the resources that follow are not asked about, since it is denied anyway.
    pub denied: Vec<(usize, Denial)>,
    /// What each policy said. Of several resources, answers that are the same make one entry, whose
    /// detail begins with how many they are and whose time is that of all of them.
    pub evaluations: Vec<Evaluation>,
}

/// Questions that are put without a break.
pub(crate) struct Batch {
    set: Arc<PolicySet>,
    common: Arc<AccessRequest>,
    places: Vec<Place>,
}

enum Place {
    /// There is nothing to ask.
    Known(Verdict<AccessGrant>),
    Open(About, Matching),
}

/// A question about one of the resources.
struct About {
    common: Arc<AccessRequest>,
    resource: String,
}

impl Question for About {
    type Allowed = AccessGrant;

    fn ask(&self, program: &Program, store: &mut Store<Bounds>) -> Answer<AccessGrant> {
        ask_access(&request::Access::about(&self.common, &self.resource), program, store)
    }

    fn tenant(&self) -> &TenantId {
        &self.common.tenant
    }

    fn merge(allowed: Vec<AccessGrant>) -> Result<AccessGrant, Denial> {
        AccessRequest::merge(allowed)
    }

    fn unobjected() -> AccessGrant {
        AccessRequest::unobjected()
    }

    fn outcome(allowed: &AccessGrant) -> Outcome<'static> {
        AccessRequest::outcome(allowed)
    }
}

impl Batch {
    pub(crate) fn new(set: &Arc<PolicySet>, common: &Arc<AccessRequest>) -> Self {
        Self { set: Arc::clone(set), common: Arc::clone(common), places: Vec::with_capacity(BATCH) }
    }

    /// Adds a resource, with the permission that may be used again if there is one.
    pub(crate) fn add(&mut self, resource: &str, reused: Option<Verdict<AccessGrant>>) {
        let matching = self.set.for_access(&self.common, resource);
        self.places.push(match reused {
            Some(verdict) => Place::Known(verdict),
            None if matching.is_empty() => Place::Known(nobody()),
            None => {
                let about =
                    About { common: Arc::clone(&self.common), resource: resource.to_owned() };
                Place::Open(about, matching)
            }
        });
    }

    /// Puts the questions, and gives the verdicts in their order with whether each was made anew. They end
    /// with the first that came of a failure: there may be fewer than questions.
    pub(crate) async fn run(self, workers: &Workers) -> Vec<(Verdict<AccessGrant>, bool)> {
        let Self { set, places, .. } = self;
        let open = places.iter().filter_map(|place| match place {
            Place::Open(_, matching) => Some(matching),
            Place::Known(_) => None,
        });
        let shares = set.shares(open);
        if shares.is_empty() {
            return decide(&set, places);
        }
        match workers.run(shares, move || decide(&set, places)).await {
            Ok(verdicts) => verdicts,
            Err(why) => vec![(not_run(why), false)],
        }
    }
}

fn decide(set: &PolicySet, places: Vec<Place>) -> Vec<(Verdict<AccessGrant>, bool)> {
    let mut verdicts = Vec::with_capacity(places.len());
    for place in places {
        let (verdict, is_new) = match place {
            Place::Known(verdict) => (verdict, false),
            Place::Open(about, matching) => (put(set, &about, &matching), true),
        };
        let failed = is_failure(&verdict);
        verdicts.push((verdict, is_new));
        if failed {
            break;
        }
    }
    verdicts
}

fn put(set: &PolicySet, about: &About, matching: &Matching) -> Verdict<AccessGrant> {
    let asked: Vec<Asked<AccessGrant>> = set.ask(matching, about);
    decide::conclude(asked, |allowed| About::merge(allowed).and_then(without_obligations))
}

fn nobody() -> Verdict<AccessGrant> {
    Verdict { decision: Err(no_policy()), evaluations: Vec::new() }
}

/// Whether asking on is pointless: a policy that failed will fail again and takes its deadline each time.
pub(crate) fn is_failure(verdict: &Verdict<AccessGrant>) -> bool {
    let code = verdict.decision.as_ref().err().map(|denial| denial.code.as_str());
    matches!(code, Some(Denial::POLICY_FAILED | Denial::OVERLOADED))
}

/// One verdict about all of the resources.
pub(crate) fn conclude(verdicts: Vec<Verdict<AccessGrant>>) -> EachVerdict {
    let (mut allowed, mut denied) = (Vec::new(), Vec::new());
    let mut trail = Trail::new(verdicts.len());
    for (at, Verdict { decision, evaluations }) in verdicts.into_iter().enumerate() {
        trail.add(evaluations);
        match decision {
            Ok(grant) => allowed.push(grant),
            Err(denial) => denied.push((at, denial)),
        }
    }
    // What policy denies for good is no reason to come again.
    let is_overload = |denial: &Denial| denial.code == Denial::OVERLOADED;
    let (later, now): (Vec<_>, Vec<_>) =
        denied.iter().map(|(_, denial)| denial.clone()).partition(is_overload);
    let denial = now.into_iter().reduce(Denial::worse).or_else(|| later.into_iter().next());
    let decision = match denial {
        Some(denial) => Err(denial),
        None if allowed.is_empty() => Err(no_policy()),
        None => Ok(strictest(allowed)),
    };
    EachVerdict { decision, denied, evaluations: trail.evaluations() }
}

/// What the policies said, with answers that are the same as one.
struct Trail {
    resources: usize,
    entries: Vec<(Evaluation, usize)>,
    /// Where the entry of a binding, outcome and detail is.
    places: HashMap<(String, String, String), usize>,
    /// How many details there are of a binding and outcome.
    details: HashMap<(String, String), usize>,
}

impl Trail {
    fn new(resources: usize) -> Self {
        Self { resources, entries: Vec::new(), places: HashMap::new(), details: HashMap::new() }
    }

    fn add(&mut self, evaluations: Vec<Evaluation>) {
        for mut one in evaluations {
            let of = (one.binding.clone(), one.outcome.clone());
            let mut key = (of.0.clone(), of.1.clone(), one.detail.clone());
            if !self.places.contains_key(&key) {
                let details = self.details.entry(of).or_default();
                if *details >= DETAILS {
                    "further details are left out".clone_into(&mut one.detail);
                    key.2.clone_from(&one.detail);
                } else {
                    *details += 1;
                }
            }
            let entry = self.places.get(&key).and_then(|at| self.entries.get_mut(*at));
            if let Some((entry, count)) = entry {
                entry.micros = entry.micros.saturating_add(one.micros);
                *count += 1;
            } else {
                self.places.insert(key, self.entries.len());
                self.entries.push((one, 1));
            }
        }
    }

    fn evaluations(self) -> Vec<Evaluation> {
        let Self { resources, entries, .. } = self;
        let whole = |(mut one, count): (Evaluation, usize)| {
            if resources > 1 {
                let colon = if one.detail.is_empty() { "" } else { ": " };
                one.detail = format!("{count} of {resources}{colon}{}", one.detail);
            }
            one
        };
        entries.into_iter().map(whole).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::time::Duration;

    use super::*;

    fn evaluation(outcome: &str, detail: &str) -> Evaluation {
        Evaluation {
            binding: "b".to_owned(),
            plugin: String::new(),
            digest: String::new(),
            version: String::new(),
            micros: 3,
            outcome: outcome.to_owned(),
            detail: detail.to_owned(),
        }
    }

    fn allowed(seconds: u64, obligation: &str) -> Verdict<AccessGrant> {
        let grant = AccessGrant {
            max_ttl: Some(Duration::from_secs(seconds)),
            reuse: None,
            obligations: BTreeSet::from([(obligation.to_owned(), String::new())]),
        };
        Verdict { decision: Ok(grant), evaluations: vec![evaluation("allow", "")] }
    }

    fn denied(code: &str, detail: &str) -> Verdict<AccessGrant> {
        let denial = Denial::new(code, "", "");
        Verdict { decision: Err(denial), evaluations: vec![evaluation("deny", detail)] }
    }

    #[test]
    fn obligations_unite_and_the_shortest_time_counts() {
        let grant = conclude(vec![allowed(9, "a"), allowed(5, "b")]).decision.unwrap();
        assert_eq!(grant.max_ttl, Some(Duration::from_secs(5)));
        let names: Vec<_> = grant.obligations.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["a", "b"]);
    }

    #[test]
    fn one_denial_denies_the_whole_and_says_of_what() {
        let verdict = conclude(vec![allowed(9, "a"), denied("no", "x"), denied("no", "x")]);
        assert_eq!(verdict.decision.unwrap_err().code, "no");
        let positions: Vec<_> = verdict.denied.iter().map(|(at, _)| *at).collect();
        assert_eq!(positions, [1, 2]);
        let said: Vec<_> = verdict
            .evaluations
            .iter()
            .map(|one| (one.outcome.as_str(), one.detail.as_str(), one.micros))
            .collect();
        assert_eq!(said, [("allow", "1 of 3", 3), ("deny", "2 of 3: x", 6)]);
    }

    #[test]
    fn nothing_to_ask_about_is_a_denial() {
        assert_eq!(conclude(vec![]).decision.unwrap_err().code, Denial::NO_POLICY);
    }

    #[test]
    fn a_denial_for_good_counts_more_than_one_for_now() {
        let later = || denied(Denial::OVERLOADED, "");
        let code = |verdicts| conclude(verdicts).decision.unwrap_err().code;
        assert_eq!(code(vec![later(), denied("no", "")]), "no");
        assert_eq!(code(vec![allowed(1, "a"), later()]), Denial::OVERLOADED);
    }

    #[test]
    fn one_resource_leaves_the_trail_as_it_is_and_many_details_are_cut() {
        assert_eq!(conclude(vec![denied("no", "x")]).evaluations, [evaluation("deny", "x")]);
        let many = (0..100).map(|at| denied("no", &at.to_string())).collect();
        let trail = conclude(many).evaluations;
        assert_eq!(trail.len(), DETAILS + 1);
        assert_eq!(trail.last().unwrap().detail, "92 of 100: further details are left out");
    }
}
