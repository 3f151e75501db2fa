//! Access by a table of rules: who may do what to what, and for how long.
//!
//! A rule applies when the caller, the operation and the resource fit its patterns. One applicable
//! rule that denies is enough to deny; without one that allows, access is denied too. If several
//! allow, the shortest of their ceilings counts.

use std::collections::BTreeMap;

use chancery_guest::access::{Denial, Grant, Policy, Request, SettingsError};
use chancery_guest::{Globs, Period};
use serde::Deserialize;

/// The settings.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rules {
    /// Names for groups of callers, for use in rules.
    #[serde(default)]
    pub roles: BTreeMap<String, Globs>,
    /// The rules. Their order does not matter.
    pub rules: Vec<Rule>,
}

/// One rule.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// For the audit log.
    pub name: String,
    /// Patterns for callers.
    #[serde(default)]
    pub identities: Globs,
    /// Roles whose members are meant too.
    #[serde(default)]
    pub roles: Vec<String>,
    /// Patterns for operations, as `secrets.*`.
    pub operations: Globs,
    /// Patterns for resources, as `secret/app/*`.
    pub resources: Globs,
    /// What the rule says.
    pub effect: Effect,
    /// Ceiling on the time-to-live of what is handed out.
    pub max_ttl: Option<Period>,
}

/// What a rule that applies says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Effect {
    /// It may be done, unless another rule denies it.
    Allow,
    /// It may not be done, whatever other rules say.
    Deny,
}

chancery_guest::access_policy!(Rules);

impl Policy for Rules {
    fn check(&self) -> Result<(), SettingsError> {
        for (at, rule) in self.rules.iter().enumerate() {
            let wrong = |key: &str, message: String| {
                Err(SettingsError::at(format!("rules.{at}.{key}"), message))
            };
            if rule.identities.is_empty() && rule.roles.is_empty() {
                return wrong("identities", "say who is meant, in identities or roles".to_owned());
            }
            if let Some(unknown) = rule.roles.iter().find(|role| !self.roles.contains_key(*role)) {
                return wrong("roles", format!("there is no role `{unknown}` under roles"));
            }
            if rule.operations.is_empty() {
                return wrong("operations", "name an operation, or \"*\" for all".to_owned());
            }
            if rule.resources.is_empty() {
                return wrong("resources", "name a resource, or \"*\" for all".to_owned());
            }
            if rule.effect == Effect::Deny && rule.max_ttl.is_some() {
                return wrong("max_ttl", "a rule that denies has no ceiling".to_owned());
            }
        }
        Ok(())
    }

    fn evaluate(&self, request: &Request) -> Result<Grant, Denial> {
        // Whoever resolves such a path would end elsewhere than the pattern said.
        if request.resource.split('/').any(|segment| matches!(segment, "." | "..")) {
            return Err(Denial::new(
                "malformed-resource",
                "the resource has a segment `.` or `..`",
                request.resource.as_str(),
            ));
        }
        let mut grant: Option<Grant> = None;
        for rule in self.rules.iter().filter(|rule| self.applies(rule, request)) {
            if rule.effect == Effect::Deny {
                return Err(Denial::new("denied-by-rule", "a rule denies this", &*rule.name));
            }
            let so_far = grant.get_or_insert_with(Grant::unlimited);
            let ceiling = rule.max_ttl.map(Period::seconds);
            so_far.max_ttl_seconds = match (so_far.max_ttl_seconds, ceiling) {
                (Some(a), Some(b)) => Some(a.min(b)),
                (one, other) => one.or(other),
            };
        }
        grant.ok_or_else(|| Denial::new("no-rule", "no rule allows this", ""))
    }
}

impl Rules {
    fn applies(&self, rule: &Rule, request: &Request) -> bool {
        let who = &request.identity;
        rule.operations.matches(&request.operation)
            && rule.resources.matches(&request.resource)
            && (rule.identities.matches(who)
                || rule
                    .roles
                    .iter()
                    .any(|role| self.roles.get(role).is_some_and(|members| members.matches(who))))
    }
}
