//! One rule: what it is about, when it applies, and what it asks for.

use core::ops::Range;
use std::collections::{BTreeMap, BTreeSet};

use chancery_guest::access::{Approval, Request};
use chancery_guest::glob::{fits, fits_label};
use chancery_guest::{Globs, Period};
use serde::Deserialize;

use crate::condition::{Condition, Holds};
use crate::texts::Texts;

/// A rule, put together from where the table has its parts.
pub(crate) struct Rule<'a> {
    pub(crate) name: &'a str,
    pub(crate) identities: &'a Globs,
    pub(crate) deed: &'a Deed,
    /// Patterns, and which of them.
    pub(crate) resources: (&'a Texts, Range<u32>),
    pub(crate) special: &'a Special,
}

/// What a rule is about besides who and where.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Deed {
    pub(crate) operations: Globs,
    pub(crate) effect: Effect,
}

/// What a rule that applies says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Effect {
    /// It may be done, unless another rule denies it.
    Allow,
    /// It may not be done, whatever other rules say.
    Deny,
}

/// Whether a rule applies to a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Applies {
    No,
    /// It allows some of what the request is about, but not all: it does not allow the request, and
    /// what it demands is demanded all the same if others do.
    Partly,
    Fully,
}

/// What few rules have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Special {
    pub(crate) roles: Vec<String>,
    pub(crate) when: Option<Condition>,
    pub(crate) unless: Option<Condition>,
    pub(crate) max_ttl: Option<Period>,
    pub(crate) approval: Option<Approvers>,
    pub(crate) obligations: BTreeMap<String, String>,
    pub(crate) reuse: Option<Period>,
}

/// Of most rules.
pub(crate) static USUAL: Special = Special {
    roles: Vec::new(),
    when: None,
    unless: None,
    max_ttl: None,
    approval: None,
    obligations: BTreeMap::new(),
    reuse: None,
};

/// Who has to approve before something may be done.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Approvers {
    /// The group whose members may.
    group: String,
    /// How many of them have to.
    #[serde(default = "one")]
    count: u32,
    /// For how long their approvals are good.
    valid: Period,
}

fn one() -> u32 {
    1
}

/// What is wrong with a rule, behind the key that it is at.
type Wrong = (String, String);

impl<'a> Rule<'a> {
    pub(crate) fn name(&self) -> &'a str {
        self.name
    }

    pub(crate) fn special(&self) -> &'a Special {
        self.special
    }

    pub(crate) fn roles(&self) -> impl Iterator<Item = &'a str> + use<'a> {
        self.special.roles.iter().map(String::as_str)
    }

    pub(crate) fn denies(&self) -> bool {
        self.deed.effect == Effect::Deny
    }

    /// Whether the caller is named, other than as a member of a role.
    pub(crate) fn names(&self, identity: &str) -> bool {
        self.identities.matches(identity)
    }

    /// Whether the operation and the resource are the rule's.
    pub(crate) fn is_about(&self, request: &Request) -> bool {
        let (patterns, which) = &self.resources;
        // What denies one of the names that a wildcard stands for denies the wildcard.
        let around = wildcard(&request.resource).filter(|_| self.denies());
        self.deed.operations.matches(&request.operation)
            && patterns.range(which.clone()).any(|pattern| {
                fits(pattern, &request.resource)
                    || around.is_some_and(|(before, behind)| fits_label(pattern, before, behind))
            })
    }

    /// Whether the rule can be meant as it is.
    pub(crate) fn check(&self) -> Result<(), Wrong> {
        let wrong = |key: &str, message: &str| Err((key.to_owned(), message.to_owned()));
        let Special { roles, when, unless, approval, .. } = self.special;
        if self.identities.is_empty() && roles.is_empty() {
            return wrong("identities", "say who is meant, in identities or roles");
        }
        if self.deed.operations.is_empty() {
            return wrong("operations", "name an operation, or \"*\" for all");
        }
        if self.resources.1.is_empty() {
            return wrong("resources", "name a resource, or \"*\" for all");
        }
        for (key, condition) in [("when", when), ("unless", unless)] {
            if let Some(Err(error)) = condition.as_ref().map(Condition::check) {
                let path = format!("{key}.{}", error.path);
                return wrong(path.trim_end_matches('.'), &error.message);
            }
        }
        if self.denies() {
            self.check_denies().or_else(|(key, message)| wrong(key, message))?;
        }
        match approval {
            Some(approvers) if approvers.group.is_empty() => {
                wrong("approval.group", "name the group")
            }
            Some(Approvers { count: 0, .. }) => {
                wrong("approval.count", "at least one has to approve")
            }
            _ => Ok(()),
        }
    }

    /// A rule that denies has nothing to say about how something is allowed.
    fn check_denies(&self) -> Result<(), (&'static str, &'static str)> {
        let Special { max_ttl, approval, obligations, reuse, .. } = self.special;
        if max_ttl.is_some() {
            return Err(("max_ttl", "a rule that denies has no ceiling"));
        }
        if approval.is_some() {
            return Err(("approval", "what a rule denies, nobody can approve"));
        }
        if !obligations.is_empty() {
            return Err(("obligations", "a rule that denies has no obligations"));
        }
        if reuse.is_some() {
            return Err(("reuse", "only a permission can be reused"));
        }
        Ok(())
    }

    /// What the circumstances make of the rule. If it cannot be told whether they are the rule's, a rule
    /// that denies applies, and one that allows does not.
    pub(crate) fn is_the_case(&self, request: &Request) -> Applies {
        let Special { when, unless, .. } = self.special;
        let when = when.as_ref().map_or(Holds::Yes, |condition| condition.holds(request));
        let unless = unless.as_ref().map_or(Holds::No, |condition| condition.holds(request));
        match (when, unless) {
            (Holds::No, _) | (_, Holds::Yes) => Applies::No,
            (Holds::Yes, Holds::No) => Applies::Fully,
            _ if self.denies() => Applies::Fully,
            (Holds::Unknown, _) | (_, Holds::Unknown) => Applies::No,
            (Holds::Yes | Holds::Partly, Holds::No | Holds::Partly) => Applies::Partly,
        }
    }

    /// The approval that the request does not have yet. Each approver counts once.
    pub(crate) fn missing_approval(&self, request: &Request) -> Option<Approval> {
        let Approvers { group, count, valid } = self.special.approval.as_ref()?;
        let approvers: BTreeSet<&str> = request
            .attributes_named("approval")
            .filter_map(|approval| approval.strip_prefix(group.as_str())?.strip_prefix(':'))
            .collect();
        let missing = usize::try_from(*count).is_ok_and(|count| approvers.len() < count);
        missing.then(|| Approval {
            group: group.clone(),
            count: *count,
            valid_seconds: valid.seconds(),
            message: format!("{count} of the group {group} have to approve"),
            audit: self.name.to_owned(),
        })
    }
}

/// What stands before and behind the star, if the resource is a name with one: `*.example.com`, or
/// `dns:*.example.com`.
pub(crate) fn wildcard(resource: &str) -> Option<(&str, &str)> {
    let (before, behind) = resource.split_once('*')?;
    (matches!(before, "" | "dns:") && behind.starts_with('.')).then_some((before, behind))
}

#[cfg(test)]
mod tests {
    use chancery_guest::glob::literal_prefix;
    use proptest::prelude::*;

    use super::*;

    /// What a pattern means, with every place tried.
    fn means(pattern: &[u8], text: &[u8]) -> bool {
        match (pattern, text) {
            ([], []) => true,
            ([b'*', rest @ ..], _) => (0..=text.len()).any(|at| means(rest, &text[at..])),
            ([one, rest @ ..], [other, more @ ..]) => one == other && means(rest, more),
            _ => false,
        }
    }

    proptest! {
        #[test]
        fn fits_what_it_means_and_begins_as_it_says(pattern in "[ab*]{0,7}", text in "[ab]{0,8}") {
            prop_assert_eq!(fits(&pattern, &text), means(pattern.as_bytes(), text.as_bytes()));
            prop_assert!(!fits(&pattern, &text) || text.starts_with(literal_prefix(&pattern)));
        }
    }
}
