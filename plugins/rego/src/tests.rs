use chancery_guest::access::Attribute;

use super::*;

const MODULE: &str = r#"
package chancery
import rego.v1

default decision := false
decision := {"allow": true, "max_ttl_seconds": 60} if {
    input.operation == "secrets.read"
    startswith(input.resource, data.prefixes[input.identity])
}
decision := {"deny": {"code": "frozen", "message": "not now"}} if input.resource == "secret/frozen"
decision := {"needs_approval": {"group": "managers", "count": 2, "valid_seconds": 9}} if {
    "approve" in input.attributes.mode
}
decision := "perhaps" if input.resource == "secret/odd"
"#;

fn policy(module: &str) -> Result<Rego, String> {
    let settings = json!({
        "policies": { "m.rego": module },
        "data": { "prefixes": { "i": "secret/i/" } },
    });
    serde_json::from_value(settings).map_err(|error| error.to_string())
}

fn ask(operation: &str, resource: &str, attributes: &[(&str, &str)]) -> Result<Grant, Refusal> {
    let attribute =
        |(name, value): &(&str, &str)| Attribute { name: (*name).into(), value: (*value).into() };
    policy(MODULE).unwrap().evaluate(&Request {
        identity: "i".to_owned(),
        tenant: "default".to_owned(),
        operation: operation.to_owned(),
        resource: resource.to_owned(),
        attributes: attributes.iter().map(attribute).collect(),
    })
}

fn denial(said: Result<Grant, Refusal>) -> (String, String) {
    match said {
        Err(Refusal::Denied(denial)) => (denial.code, denial.audit),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_rule_allows_denies_and_asks_for_approval() {
    let grant = ask("secrets.read", "secret/i/a", &[]).unwrap();
    assert_eq!(grant.max_ttl_seconds, Some(60));
    assert_eq!(denial(ask("secrets.read", "secret/other", &[])).0, "not-allowed");
    assert_eq!(denial(ask("secrets.update", "secret/frozen", &[])).0, "frozen");
    match ask("secrets.update", "secret/x", &[("mode", "a"), ("mode", "approve")]) {
        Err(Refusal::NeedsApproval(approval)) => assert_eq!(approval.count, 2),
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_is_no_decision_is_a_denial_that_says_so() {
    let (code, audit) = denial(ask("secrets.update", "secret/odd", &[]));
    assert_eq!(code, "not-allowed");
    assert!(audit.contains("data.chancery.decision is no decision"), "{audit}");
    // Two rules of different opinion.
    let (_, audit) = denial(ask("secrets.update", "secret/frozen", &[("mode", "approve")]));
    assert!(audit.contains("fails"), "{audit}");
}

#[test]
fn mistakes_are_found_when_the_settings_are_read() {
    let error = policy("package chancery\nallow if {").unwrap_err();
    assert!(error.contains("policies.m.rego"), "{error}");
    let error = policy("package chancery\nimport rego.v1\nallow := true").unwrap_err();
    assert!(error.contains("data.chancery.decision"), "{error}");
}
