//! Callers choose some of the values of attributes, such as the names of a certificate. One more of them
//! must never bring a permission about, nor take away what is demanded.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use access_rules::Rules;
use chancery_guest::Attribute;
use chancery_guest::access::{Grant, Policy, Refusal, Request};
use proptest::prelude::*;
use serde_json::{Value, json};

fn rules(rules: &[Value]) -> Rules {
    let rules: Rules = serde_json::from_value(json!({ "rules": rules })).unwrap();
    assert!(rules.check().is_ok(), "{:?}", rules.check());
    rules
}

fn rule(effect: &str, more: &Value) -> Value {
    let mut rule = json!({
        "name": "r", "identities": ["*"], "operations": ["*"], "resources": ["*"], "effect": effect,
    });
    let members = more.as_object().unwrap().clone();
    rule.as_object_mut().unwrap().extend(members);
    rule
}

fn request(name: &str, values: &[String]) -> Request {
    // The gateway joins the values of this one.
    let values = if name == "names" { vec![values.join(",")] } else { values.to_vec() };
    Request {
        tenant: "default".to_owned(),
        identity: "me".to_owned(),
        operation: "certificates.revoke".to_owned(),
        resource: "1".to_owned(),
        attributes: values
            .into_iter()
            .map(|value| Attribute { name: name.to_owned(), value })
            .collect(),
    }
}

/// How a rule about names decides about these.
fn decide(rules: &Rules, names: &[&str]) -> Result<Grant, Refusal> {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    rules.evaluate(&request("name", &names))
}

#[test]
fn a_rule_allows_what_it_allows_for_every_name() {
    let team = json!({ "attributes": { "name": ["*.team"] } });
    let allow = rules(&[rule("allow", &json!({ "when": team }))]);
    assert!(decide(&allow, &["a.team", "b.team"]).is_ok());
    assert!(decide(&allow, &["a.team", "evil"]).is_err());
    assert!(decide(&allow, &["evil", "a.team"]).is_err());

    let but = rules(&[rule("allow", &json!({ "unless": team }))]);
    assert!(decide(&but, &["other"]).is_ok());
    assert!(decide(&but, &["other", "a.team"]).is_err());
}

#[test]
fn a_rule_denies_what_it_denies_for_one_name() {
    let team = json!({ "attributes": { "name": ["*.team"] } });
    let all = rule("allow", &json!({}));
    let deny = rules(&[all.clone(), rule("deny", &json!({ "when": team }))]);
    assert!(decide(&deny, &["other"]).is_ok());
    assert!(decide(&deny, &["other", "a.team"]).is_err());

    let others = rules(&[all, rule("deny", &json!({ "unless": team }))]);
    assert!(decide(&others, &["a.team", "b.team"]).is_ok());
    assert!(decide(&others, &["a.team", "evil"]).is_err());
}

#[test]
fn what_is_demanded_for_one_name_is_demanded_beside_others() {
    let vault = json!({ "attributes": { "name": ["vault"] } });
    let rules = rules(&[
        rule("allow", &json!({ "max_ttl": "2h", "reuse": "1m" })),
        rule("allow", &json!({ "when": vault, "max_ttl": "1h", "obligations": { "wrap": "120" } })),
    ]);
    for names in [&["vault"][..], &["vault", "other"], &["other", "vault"]] {
        let grant = decide(&rules, names).unwrap();
        assert_eq!(grant.max_ttl_seconds, Some(3600), "{names:?}");
        assert_eq!(grant.obligations.len(), 1, "{names:?}");
        assert_eq!(grant.reuse_seconds, None, "{names:?}");
    }
    let grant = decide(&rules, &["other"]).unwrap();
    assert_eq!((grant.max_ttl_seconds, grant.obligations.len()), (Some(7200), 0));
    assert_eq!(grant.reuse_seconds, Some(60));
}

/// A permission, ever less of one.
fn severity(said: &Result<Grant, Refusal>) -> (u8, u64, usize) {
    match said {
        Ok(grant) => {
            let ttl = grant.max_ttl_seconds.unwrap_or(u64::MAX);
            (0, u64::MAX - ttl, grant.obligations.len())
        }
        Err(Refusal::NeedsApproval(_)) => (1, 0, 0),
        Err(Refusal::Denied(_)) => (2, 0, 0),
    }
}

fn condition() -> impl Strategy<Value = Value> {
    let patterns = || prop::collection::vec("[ab*]{1,2}", 1..3);
    prop_oneof![
        patterns().prop_map(|one| json!({ "attributes": { "name": one } })),
        patterns().prop_map(|one| json!({ "attributes": { "names": one } })),
        (patterns(), patterns())
            .prop_map(|(one, two)| json!({ "attributes": { "name": one, "names": two } })),
    ]
}

fn any_rule() -> impl Strategy<Value = Value> {
    let circumstances = (prop::option::of(condition()), prop::option::of(condition()));
    let demands = (prop::option::of(1..9_u32), any::<bool>(), prop::option::of("[xy]"));
    (any::<bool>(), circumstances, demands).prop_map(
        |(denies, (when, unless), (hours, approval, obligation))| {
            let mut more = serde_json::Map::new();
            more.extend(when.map(|when| ("when".to_owned(), when)));
            more.extend(unless.map(|unless| ("unless".to_owned(), unless)));
            if denies {
                return rule("deny", &Value::Object(more));
            }
            more.extend(hours.map(|hours| ("max_ttl".to_owned(), json!(format!("{hours}h")))));
            if approval {
                more.insert("approval".to_owned(), json!({ "group": "g", "valid": "1h" }));
            }
            more.extend(obligation.map(|name| ("obligations".to_owned(), json!({ name: "1" }))));
            rule("allow", &Value::Object(more))
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2048, ..ProptestConfig::default() })]

    #[test]
    fn one_more_name_never_allows_more(
        table in prop::collection::vec(any_rule(), 1..6),
        joined in any::<bool>(),
        names in prop::collection::vec("[ab]{1,2}", 1..4),
        more in "[ab]{1,2}",
        at in any::<prop::sample::Index>(),
    ) {
        let rules = rules(&table);
        let attribute = if joined { "names" } else { "name" };
        let before = rules.evaluate(&request(attribute, &names));
        let mut longer = names.clone();
        longer.insert(at.index(names.len() + 1), more);
        let after = rules.evaluate(&request(attribute, &longer));
        let (was, is) = (severity(&before), severity(&after));
        // As long as it is allowed, each of the demands counts by itself.
        let holds = if is.0 == 0 { was.0 == 0 && was.1 <= is.1 && was.2 <= is.2 } else { was.0 <= is.0 };
        prop_assert!(holds, "{names:?}: {before:?}; {longer:?}: {after:?}; {table:?}");
    }
}
