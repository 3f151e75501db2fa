//! Access by a table of rules: who may do what to what, and for how long.
//!
//! A rule applies when the caller, the operation and the resource fit its patterns. One applicable
//! rule that denies is enough to deny; without one that allows, access is denied too. If several
//! allow, the shortest of their ceilings counts.

mod index;

use std::collections::BTreeMap;

use chancery_guest::access::{Denial, Grant, Policy, Refusal, Request, SettingsError};
use chancery_guest::{Globs, Period};
use serde::Deserialize;

use index::Index;

/// The settings, with an index over the rules.
#[derive(Debug, Deserialize)]
#[serde(from = "Settings")]
pub struct Rules {
    settings: Settings,
    index: Index,
}

impl From<Settings> for Rules {
    fn from(settings: Settings) -> Self {
        let resources = settings.rules.iter().map(|rule| &rule.resources);
        let index = Index::new(resources);
        Self { settings, index }
    }
}

/// The settings.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
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

chancery_guest::access_policy!(Rules, r#"{"type":"object"}"#);

impl Policy for Rules {
    fn check(&self) -> Result<(), SettingsError> {
        let Settings { roles, rules } = &self.settings;
        for (at, rule) in rules.iter().enumerate() {
            let wrong = |key: &str, message: String| {
                Err(SettingsError::at(format!("rules.{at}.{key}"), message))
            };
            if rule.identities.is_empty() && rule.roles.is_empty() {
                return wrong("identities", "say who is meant, in identities or roles".to_owned());
            }
            if let Some(unknown) = rule.roles.iter().find(|role| !roles.contains_key(*role)) {
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

    fn evaluate(&self, request: &Request) -> Result<Grant, Refusal> {
        // Whoever resolves such a path would end elsewhere than the pattern said.
        if request.resource.split('/').any(|segment| matches!(segment, "." | "..")) {
            return Err(Denial::new(
                "malformed-resource",
                "the resource has a segment `.` or `..`",
                request.resource.as_str(),
            )
            .into());
        }
        let mut grant: Option<Grant> = None;
        let settings = &self.settings;
        let candidates = self.index.candidates(&request.resource);
        let candidates = candidates.iter().filter_map(|at| settings.rules.get(*at));
        for rule in candidates.filter(|rule| settings.applies(rule, request)) {
            if rule.effect == Effect::Deny {
                return Err(Denial::new("denied-by-rule", "a rule denies this", &*rule.name).into());
            }
            let so_far = grant.get_or_insert_with(Grant::unlimited);
            let ceiling = rule.max_ttl.map(Period::seconds);
            so_far.max_ttl_seconds = match (so_far.max_ttl_seconds, ceiling) {
                (Some(a), Some(b)) => Some(a.min(b)),
                (one, other) => one.or(other),
            };
        }
        grant.ok_or_else(|| Denial::new("no-rule", "no rule allows this", "").into())
    }
}

impl Settings {
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

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(json: &str) -> Rules {
        serde_json::from_str(json).unwrap()
    }

    fn ask(
        rules: &Rules,
        identity: &str,
        operation: &str,
        resource: &str,
    ) -> Result<Option<u64>, String> {
        let request = Request {
            tenant: "default".to_owned(),
            identity: identity.to_owned(),
            operation: operation.to_owned(),
            resource: resource.to_owned(),
            attributes: Vec::new(),
        };
        let said = rules.evaluate(&request);
        said.map(|grant| grant.max_ttl_seconds).map_err(|refusal| match refusal {
            Refusal::Denied(denial) => denial.code,
            Refusal::NeedsApproval(approval) => approval.group,
        })
    }

    #[test]
    fn a_rule_that_denies_wins_over_all_that_allow() {
        let rules = rules(
            r#"{"rules":[
                {"name":"all","identities":["*"],"operations":["*"],"resources":["*"],"effect":"allow"},
                {"name":"not x","identities":["*"],"operations":["*"],"resources":["x/*"],"effect":"deny"},
                {"name":"x","identities":["*"],"operations":["*"],"resources":["x/*"],"effect":"allow"}
            ]}"#,
        );
        assert_eq!(ask(&rules, "a", "read", "y"), Ok(None));
        assert_eq!(ask(&rules, "a", "read", "x/1"), Err("denied-by-rule".to_owned()));
    }

    #[test]
    fn the_shortest_ceiling_of_all_rules_that_allow_counts() {
        let rules = rules(
            r#"{"rules":[
                {"name":"1","identities":["*"],"operations":["*"],"resources":["*"],"effect":"allow"},
                {"name":"2","identities":["*"],"operations":["*"],"resources":["*"],"effect":"allow","max_ttl":"2h"},
                {"name":"3","identities":["a"],"operations":["*"],"resources":["*"],"effect":"allow","max_ttl":"1h"}
            ]}"#,
        );
        assert_eq!(ask(&rules, "a", "login", "r"), Ok(Some(3600)));
        assert_eq!(ask(&rules, "b", "login", "r"), Ok(Some(7200)));
    }

    #[test]
    fn who_what_and_where_all_have_to_fit() {
        let rules = rules(
            r#"{"roles":{"team":["t1","t2"]},"rules":[
                {"name":"1","identities":["i"],"roles":["team"],"operations":["read"],"resources":["r"],"effect":"allow"}
            ]}"#,
        );
        for who in ["i", "t1", "t2"] {
            assert_eq!(ask(&rules, who, "read", "r"), Ok(None));
        }
        for (who, what, on) in [("x", "read", "r"), ("i", "write", "r"), ("i", "read", "s")] {
            assert_eq!(ask(&rules, who, what, on), Err("no-rule".to_owned()));
        }
    }

    #[test]
    fn a_resource_that_climbs_is_refused_before_any_rule() {
        let rules = rules(
            r#"{"rules":[{"name":"1","identities":["*"],"operations":["*"],"resources":["*"],"effect":"allow"}]}"#,
        );
        for resource in ["a/../b", "..", "./a", "a/."] {
            assert_eq!(ask(&rules, "i", "o", resource), Err("malformed-resource".to_owned()));
        }
        assert_eq!(ask(&rules, "i", "o", "a/..b/c..d/...e"), Ok(None));
    }

    #[test]
    fn settings_that_cannot_be_meant_are_refused_with_their_place() {
        let refused = |rule: &str| {
            let rules = rules(&format!(r#"{{"roles":{{"team":["t"]}},"rules":[{rule}]}}"#));
            rules.check().unwrap_err().path
        };
        let rule = |change: &str| {
            let whole = r#"{"name":"1","identities":["*"],"operations":["*"],"resources":["*"],"effect":"deny"}"#;
            let (from, to) = change.split_once('>').unwrap();
            assert!(whole.contains(from));
            refused(&whole.replace(from, to))
        };
        assert_eq!(rule(r#""identities":["*"],>"#), "rules.0.identities");
        assert_eq!(rule(r#""identities":["*"]>"roles":["other"]"#), "rules.0.roles");
        assert_eq!(rule(r#""operations":["*"]>"operations":[]"#), "rules.0.operations");
        assert_eq!(rule(r#""resources":["*"]>"resources":[]"#), "rules.0.resources");
        assert_eq!(rule(r#""name":"1">"name":"1","max_ttl":"1h""#), "rules.0.max_ttl");
    }
}
