//! Access by a table of rules: who may do what to what, and for how long.
//!
//! A rule applies when the caller, the operation and the resource fit its patterns. One applicable
//! rule that denies is enough to deny; without one that allows, access is denied too. If several
//! allow, the shortest of their ceilings counts.

mod condition;
mod index;
mod settings;
mod time;

use std::collections::{BTreeMap, BTreeSet};

use chancery_guest::access::{Approval, Denial, Grant, Policy, Refusal, Request, SettingsError};
use chancery_guest::{Attribute, Glob, Globs, Period};
use serde::Deserialize;

use crate::condition::{Condition, Holds};
use crate::index::Index;

/// The rules, in as little memory as they need: with a thousand of them, each page that is touched counts.
#[derive(Debug, Clone, Deserialize)]
#[serde(from = "settings::Settings")]
pub struct Rules {
    roles: BTreeMap<String, Globs>,
    /// Lists of patterns. Most rules have theirs for callers and operations in common with others.
    lists: Vec<Globs>,
    all: Vec<Rule>,
    index: Index,
}

// SAFETY: there is nothing shared in it, and nothing is left behind when it is read.
#[expect(unsafe_code, reason = "says what the compiler cannot see")]
unsafe impl chancery_guest::Compact for Rules {}

#[derive(Debug, Clone)]
struct Rule {
    name: Box<str>,
    /// Patterns for callers, as a number of a list.
    identities: u32,
    /// Patterns for operations, as a number of a list.
    operations: u32,
    resources: Globs,
    effect: Effect,
    /// What most rules do not have.
    special: Option<Box<Special>>,
}

/// What a rule has besides who, what and where.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Special {
    roles: Vec<String>,
    when: Option<Condition>,
    unless: Option<Condition>,
    max_ttl: Option<Period>,
    approval: Option<Approvers>,
    obligations: BTreeMap<String, String>,
    reuse: Option<Period>,
}

/// Of most rules.
static USUAL: Special = Special {
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
struct Approvers {
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

/// What a rule that applies says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Effect {
    /// It may be done, unless another rule denies it.
    Allow,
    /// It may not be done, whatever other rules say.
    Deny,
}

chancery_guest::access_policy!(compact Rules, include_str!("../settings.schema.json"));

impl Policy for Rules {
    fn check(&self) -> Result<(), SettingsError> {
        for (at, rule) in self.all.iter().enumerate() {
            let Special { roles, when, unless, approval, .. } = rule.special();
            let wrong = |key: &str, message: String| {
                Err(SettingsError::at(format!("rules.{at}.{key}"), message))
            };
            if self.list(rule.identities).is_empty() && roles.is_empty() {
                return wrong("identities", "say who is meant, in identities or roles".to_owned());
            }
            if let Some(unknown) = roles.iter().find(|role| !self.roles.contains_key(*role)) {
                return wrong("roles", format!("there is no role `{unknown}` under roles"));
            }
            if self.list(rule.operations).is_empty() {
                return wrong("operations", "name an operation, or \"*\" for all".to_owned());
            }
            if rule.resources.is_empty() {
                return wrong("resources", "name a resource, or \"*\" for all".to_owned());
            }
            for (key, condition) in [("when", when), ("unless", unless)] {
                if let Some(Err(error)) = condition.as_ref().map(Condition::check) {
                    let path = format!("{key}.{}", error.path);
                    return wrong(path.trim_end_matches('.'), error.message);
                }
            }
            if rule.effect == Effect::Deny {
                rule.check_denies().map_err(|(key, message)| {
                    SettingsError::at(format!("rules.{at}.{key}"), message)
                })?;
            }
            match approval {
                Some(approvers) if approvers.group.is_empty() => {
                    return wrong("approval.group", "name the group".to_owned());
                }
                Some(Approvers { count: 0, .. }) => {
                    return wrong("approval.count", "at least one has to approve".to_owned());
                }
                _ => {}
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
        let mut allowed: Vec<&Rule> = Vec::new();
        let candidates =
            self.index.candidates(&request.resource, |at| Some(&self.all.get(at)?.resources));
        let candidates = candidates.iter().filter_map(|at| self.all.get(*at));
        for rule in candidates.filter(|rule| self.applies(rule, request)) {
            if rule.effect == Effect::Deny {
                return Err(Denial::new("denied-by-rule", "a rule denies this", &*rule.name).into());
            }
            allowed.push(rule);
        }
        if allowed.is_empty() {
            return Err(Denial::new("no-rule", "no rule allows this", "").into());
        }
        match allowed.iter().find_map(|rule| rule.missing_approval(request)) {
            Some(approval) => Err(approval.into()),
            None => Ok(strictest(&allowed)),
        }
    }
}

/// What all of the rules allow: the shortest times, and every obligation.
fn strictest(rules: &[&Rule]) -> Grant {
    let rules = || rules.iter().map(|rule| rule.special());
    let obligations: BTreeSet<_> = rules().flat_map(|rule| &rule.obligations).collect();
    // Some rule may decide otherwise the next time.
    let reusable = rules().all(|rule| rule.reuse.is_some());
    let reuse = rules().filter_map(|rule| rule.reuse).min().filter(|_| reusable);
    Grant {
        max_ttl_seconds: rules().filter_map(|rule| rule.max_ttl).min().map(Period::seconds),
        reuse_seconds: reuse.map(Period::seconds),
        obligations: obligations
            .into_iter()
            .map(|(name, value)| Attribute { name: name.clone(), value: value.clone() })
            .collect(),
    }
}

impl Rule {
    fn special(&self) -> &Special {
        self.special.as_deref().unwrap_or(&USUAL)
    }

    /// A rule that denies has nothing to say about how something is allowed.
    fn check_denies(&self) -> Result<(), (&'static str, &'static str)> {
        let Special { max_ttl, approval, obligations, reuse, .. } = self.special();
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

    /// Whether the circumstances are the rule's. If it cannot be told, a rule that denies applies, and one
    /// that allows does not.
    fn is_the_case(&self, request: &Request) -> bool {
        let unknown = self.effect == Effect::Deny;
        let told = |condition: Option<&Condition>, otherwise: Holds, unknown: bool| match condition
            .map_or(otherwise, |condition| condition.holds(request))
        {
            Holds::Yes => true,
            Holds::No => false,
            Holds::Unknown => unknown,
        };
        let Special { when, unless, .. } = self.special();
        told(when.as_ref(), Holds::Yes, unknown) && !told(unless.as_ref(), Holds::No, !unknown)
    }

    /// The approval that the request does not have yet. Each approver counts once.
    fn missing_approval(&self, request: &Request) -> Option<Approval> {
        let Approvers { group, count, valid } = self.special().approval.as_ref()?;
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
            audit: self.name.to_string(),
        })
    }
}

impl Rules {
    fn list(&self, number: u32) -> &[Glob] {
        self.lists.get(number as usize).map_or(&[], Globs::as_slice)
    }

    fn applies(&self, rule: &Rule, request: &Request) -> bool {
        let matches = |list: u32, text: &str| self.list(list).iter().any(|glob| glob.matches(text));
        let is_member = |role: &String| {
            self.roles.get(role).is_some_and(|members| members.matches(&request.identity))
        };
        matches(rule.operations, &request.operation)
            && rule.resources.matches(&request.resource)
            && rule.is_the_case(request)
            && (matches(rule.identities, &request.identity)
                || rule.special().roles.iter().any(is_member))
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

    fn ask_with(rules: &Rules, attributes: &[(&str, &str)]) -> Result<Grant, Refusal> {
        let attributes = attributes.iter();
        rules.evaluate(&Request {
            tenant: "default".to_owned(),
            identity: "me".to_owned(),
            operation: "read".to_owned(),
            resource: "x".to_owned(),
            attributes: attributes
                .map(|(name, value)| Attribute {
                    name: (*name).to_owned(),
                    value: (*value).to_owned(),
                })
                .collect(),
        })
    }

    fn one_rule(effect: &str, more: &str) -> Rules {
        let rules = rules(&format!(
            r#"{{"rules":[
                {{"name":"all","identities":["*"],"operations":["*"],"resources":["*"],"effect":"allow"}},
                {{"name":"r","identities":["*"],"operations":["*"],"resources":["*"],"effect":"{effect}",{more}}}
            ]}}"#
        ));
        assert!(rules.check().is_ok(), "{:?}", rules.check());
        rules
    }

    #[test]
    fn a_rule_that_denies_applies_if_its_circumstances_cannot_be_told() {
        let inside = r#"{"addresses":["10.0.0.0/8"]}"#;
        for (key, address, denied) in [
            ("when", Some("10.0.0.1"), true),
            ("when", Some("11.0.0.1"), false),
            ("when", None, true),
            ("unless", Some("10.0.0.1"), false),
            ("unless", Some("11.0.0.1"), true),
            ("unless", None, true),
        ] {
            let rules = one_rule("deny", &format!(r#""{key}":{inside}"#));
            let attributes: Vec<_> = address.map(|one| ("address", one)).into_iter().collect();
            assert_eq!(ask_with(&rules, &attributes).is_err(), denied, "{key} {address:?}");
        }
    }

    #[test]
    fn a_rule_that_allows_does_not_apply_if_its_circumstances_cannot_be_told() {
        for key in ["when", "unless"] {
            let rules = rules(&format!(
                r#"{{"rules":[{{"name":"r","identities":["*"],"operations":["*"],"resources":["*"],
                    "effect":"allow","{key}":{{"addresses":["10.0.0.0/8"]}}}}]}}"#
            ));
            assert!(ask_with(&rules, &[]).is_err(), "{key}");
            let address = if key == "when" { "10.0.0.1" } else { "11.0.0.1" };
            assert!(ask_with(&rules, &[("address", address)]).is_ok(), "{key}");
        }
    }

    #[test]
    fn approvals_are_asked_for_until_enough_have_given_theirs() {
        let more = r#""approval":{"group":"on-call","count":2,"valid":"1h"}"#;
        let rules = one_rule("allow", more);
        let missing = |attributes: &[(&str, &str)]| match ask_with(&rules, attributes) {
            Err(Refusal::NeedsApproval(approval)) => Some((approval.group, approval.count)),
            Ok(_) => None,
            other => panic!("{other:?}"),
        };
        let (ann, bob) = (("approval", "on-call:ann"), ("approval", "on-call:bob"));
        for few in [&[][..], &[ann], &[ann, ann], &[ann, ("approval", "other:bob")]] {
            assert_eq!(missing(few), Some(("on-call".to_owned(), 2)), "{few:?}");
        }
        assert_eq!(missing(&[ann, bob]), None);
    }

    #[test]
    fn what_several_rules_allow_is_merged_to_the_strictest() {
        let more = r#""max_ttl":"1h","reuse":"30s","obligations":{"wrap":"120"}"#;
        let rules = one_rule("allow", more);
        let grant = ask_with(&rules, &[]).unwrap();
        assert_eq!(grant.max_ttl_seconds, Some(3600));
        assert_eq!(grant.reuse_seconds, None, "the other rule does not say so");
        assert_eq!((&*grant.obligations[0].name, &*grant.obligations[0].value), ("wrap", "120"));
    }

    #[test]
    fn what_a_rule_that_denies_cannot_have_is_refused_with_its_place() {
        for (more, path) in [
            (r#""approval":{"group":"g","valid":"1h"}"#, "rules.1.approval"),
            (r#""obligations":{"wrap":"1"}"#, "rules.1.obligations"),
            (r#""reuse":"1s""#, "rules.1.reuse"),
            (r#""when":{}"#, "rules.1.when"),
            (r#""unless":{"attributes":{"a":[]}}"#, "rules.1.unless.attributes.a"),
        ] {
            let rules = rules(&format!(
                r#"{{"rules":[
                    {{"name":"all","identities":["*"],"operations":["*"],"resources":["*"],"effect":"allow"}},
                    {{"name":"r","identities":["*"],"operations":["*"],"resources":["*"],"effect":"deny",{more}}}
                ]}}"#
            ));
            assert_eq!(rules.check().unwrap_err().path, path, "{more}");
        }
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
