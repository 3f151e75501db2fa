//! Access by a table of rules: who may do what to what, and for how long.
//!
//! A rule applies when the caller, the operation and the resource fit its patterns. One applicable
//! rule that denies is enough to deny; without one that allows, access is denied too. If several
//! allow, the shortest of their ceilings counts.
//!
//! An attribute may have several values, and a caller may choose some of them: the names of a
//! certificate. An added value never turns a denial into a permission: a rule that allows has to fit
//! every value, and a rule that denies or demands something has to fit only one.

mod condition;
mod index;
mod rule;
mod settings;
mod table;
mod texts;
mod time;

use std::collections::BTreeSet;

use chancery_guest::access::{Denial, Grant, Policy, Refusal, Request, SettingsError};
use chancery_guest::{Attribute, Period};

use crate::rule::{Applies, Rule};
pub use crate::table::Rules;

chancery_guest::access_policy!(compact Rules, include_str!("../settings.schema.json"));

impl Policy for Rules {
    fn check(&self) -> Result<(), SettingsError> {
        for (at, rule) in self.rules().enumerate() {
            let wrong = |(key, message): (String, String)| {
                SettingsError::at(format!("rules.{at}.{key}"), message)
            };
            rule.check().map_err(wrong)?;
            if let Some(unknown) = rule.roles().find(|role| !self.has_role(role)) {
                let message = format!("there is no role `{unknown}` under roles");
                return Err(wrong(("roles".to_owned(), message)));
            }
        }
        Ok(())
    }

    fn evaluate(&self, request: &Request) -> Result<Grant, Refusal> {
        // A server that resolves such a path would end elsewhere than the pattern said.
        if request.resource.split('/').any(|segment| matches!(segment, "." | "..")) {
            return Err(Denial::new(
                "malformed-resource",
                "the resource has a segment `.` or `..`",
                request.resource.as_str(),
            )
            .into());
        }
        let mut allowed = false;
        let mut demanding: Vec<Rule<'_>> = Vec::new();
        for rule in self.about(&request.resource) {
            let applies = self.applies(&rule, request);
            if applies == Applies::No {
                continue;
            }
            if rule.denies() {
                return Err(Denial::new("denied-by-rule", "a rule denies this", rule.name()).into());
            }
            allowed |= applies == Applies::Fully;
            demanding.push(rule);
        }
        if !allowed {
            return Err(Denial::new("no-rule", "no rule allows this", "").into());
        }
        match demanding.iter().find_map(|rule| rule.missing_approval(request)) {
            Some(approval) => Err(approval.into()),
            None => Ok(strictest(&demanding)),
        }
    }
}

/// The demands of all rules together: the shortest times, and every obligation.
fn strictest(rules: &[Rule<'_>]) -> Grant {
    let rules = || rules.iter().map(Rule::special);
    let obligations: BTreeSet<_> = rules().flat_map(|rule| &rule.obligations).collect();
    // A rule without `reuse` may decide otherwise the next time.
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
        let inside = r#"{"addresses":["::ffff:10.0.0.0/104"]}"#;
        for (key, address, denied) in [
            ("when", Some("10.0.0.1"), true),
            ("when", Some("::ffff:10.0.0.1"), true),
            ("when", Some("11.0.0.1"), false),
            ("when", None, true),
            ("unless", Some("10.0.0.1"), false),
            ("unless", Some("::ffff:10.0.0.1"), false),
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
