//! The settings as they are written, before they are put together as rules.

use std::collections::BTreeMap;

use chancery_guest::{Globs, Period};
use serde::Deserialize;

use crate::condition::Condition;
use crate::index::Index;
use crate::{Approvers, Effect, Rules, Special, USUAL};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Settings {
    /// Names for groups of callers, for use in rules.
    #[serde(default)]
    roles: BTreeMap<String, Globs>,
    /// The rules. Their order does not matter.
    rules: Vec<Rule>,
}

/// One rule.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Rule {
    /// For the audit log.
    name: Box<str>,
    /// Patterns for callers.
    #[serde(default)]
    identities: Globs,
    /// Roles whose members are meant too.
    #[serde(default)]
    roles: Vec<String>,
    /// Patterns for operations, as `secrets.*`.
    operations: Globs,
    /// Patterns for resources, as `secret/app/*`.
    resources: Globs,
    /// What the rule says.
    effect: Effect,
    /// Circumstances under which alone the rule applies.
    #[serde(default)]
    when: Option<Condition>,
    /// Circumstances under which the rule does not apply.
    #[serde(default)]
    unless: Option<Condition>,
    /// Ceiling on the time-to-live of what is handed out.
    #[serde(default)]
    max_ttl: Option<Period>,
    /// Who has to approve first.
    #[serde(default)]
    approval: Option<Approvers>,
    /// What has to be done with what is handed out.
    #[serde(default)]
    obligations: BTreeMap<String, String>,
    /// For how long the permission may be reused for the same request.
    #[serde(default)]
    reuse: Option<Period>,
}

impl From<Settings> for Rules {
    fn from(settings: Settings) -> Self {
        let mut lists = Lists::default();
        let all: Vec<crate::Rule> =
            settings.rules.into_iter().map(|rule| rule.packed(&mut lists)).collect();
        let index = Index::new(all.iter().map(|rule| &rule.resources));
        Self { roles: settings.roles, lists: lists.all, all, index }
    }
}

impl Rule {
    fn packed(self, lists: &mut Lists) -> crate::Rule {
        let Self { name, identities, operations, resources, effect, roles, .. } = self;
        let Self { when, unless, max_ttl, approval, obligations, reuse, .. } = self;
        let special = Special { roles, when, unless, max_ttl, approval, obligations, reuse };
        crate::Rule {
            name,
            identities: lists.number(identities),
            operations: lists.number(operations),
            resources,
            effect,
            special: (special != USUAL).then(|| Box::new(special)),
        }
    }
}

/// Lists of patterns, each once.
#[derive(Default)]
struct Lists {
    all: Vec<Globs>,
    numbers: BTreeMap<Globs, u32>,
}

impl Lists {
    fn number(&mut self, list: Globs) -> u32 {
        if let Some(known) = self.numbers.get(&list) {
            return *known;
        }
        let number = u32::try_from(self.all.len()).unwrap_or(u32::MAX);
        self.numbers.insert(list.clone(), number);
        self.all.push(list);
        number
    }
}
