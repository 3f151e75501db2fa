//! The settings as they are written, before they are put together as rules.

use std::collections::BTreeMap;

use chancery_guest::{Globs, Period};
use serde::Deserialize;

use crate::condition::Condition;
use crate::index::Index;
use crate::rule::{Approvers, Deed, Effect, Special, USUAL};
use crate::table::{Row, Rules};
use crate::texts::{Texts, number};

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
        let (mut names, mut resources) = (Texts::default(), Texts::default());
        let (mut callers, mut deeds) = (Once::new(), Once::new());
        let row = |rule: Rule| {
            names.push(&rule.name);
            for glob in rule.resources.as_slice() {
                resources.push(glob.as_str());
            }
            let Rule { identities, operations, effect, roles, when, unless, .. } = rule;
            let Rule { max_ttl, approval, obligations, reuse, .. } = rule;
            let special = Special { roles, when, unless, max_ttl, approval, obligations, reuse };
            Row {
                callers: callers.number(identities),
                deed: deeds.number(Deed { operations, effect }),
                resources_end: resources.count(),
                special: (special != USUAL).then(|| Box::new(special)),
            }
        };
        let rows = settings.rules.into_iter().map(row).collect();
        let index = Index::new(&resources);
        let (callers, deeds) = (callers.all, deeds.all);
        Self { roles: settings.roles, callers, deeds, names, resources, rows, index }
    }
}

/// Things, each once.
struct Once<T> {
    all: Vec<T>,
    numbers: BTreeMap<T, u32>,
}

impl<T: Ord + Clone> Once<T> {
    fn new() -> Self {
        Self { all: Vec::new(), numbers: BTreeMap::new() }
    }

    fn number(&mut self, thing: T) -> u32 {
        if let Some(known) = self.numbers.get(&thing) {
            return *known;
        }
        let number = number(self.all.len());
        self.numbers.insert(thing.clone(), number);
        self.all.push(thing);
        number
    }
}
