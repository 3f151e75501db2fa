use chancery_guest::access::Attribute;
use serde_json::json;

use super::*;

const POLICIES: &str = r#"
@max_ttl_seconds("60") @reuse_seconds("5") @obligation("wrap=120")
permit (principal in Team::"blue", action == Action::"secrets.read", resource)
when { resource in Folder::"secret/blue" };

@max_ttl_seconds("30")
permit (principal in Team::"blue", action == Action::"secrets.read", resource)
when { context.attributes has mode && context.attributes.mode.contains("short") };

@approval("managers,2,9")
permit (principal, action == Action::"secrets.update", resource);

@code("frozen") @message("not now")
forbid (principal, action, resource == Resource::"secret/frozen");

forbid (principal, action == Action::"odd", resource) when { context.nothing == 1 };
permit (principal, action == Action::"odd", resource);
"#;

fn policy(policies: &str) -> Result<Cedar, String> {
    let settings = json!({
        "policies": { "a.cedar": policies },
        "entities": [
            { "uid": { "type": "Identity", "id": "i" }, "attrs": {},
              "parents": [{ "type": "Team", "id": "blue" }] },
            { "uid": { "type": "Resource", "id": "secret/b" }, "attrs": {},
              "parents": [{ "type": "Folder", "id": "secret/blue" }] },
        ],
    });
    serde_json::from_value(settings).map_err(|error| error.to_string())
}

fn ask(operation: &str, resource: &str, attributes: &[(&str, &str)]) -> Result<Grant, Refusal> {
    let attribute =
        |(name, value): &(&str, &str)| Attribute { name: (*name).into(), value: (*value).into() };
    policy(POLICIES).unwrap().evaluate(&Request {
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
fn a_permit_allows_with_what_its_annotations_say() {
    let grant = ask("secrets.read", "secret/b", &[]).unwrap();
    assert_eq!((grant.max_ttl_seconds, grant.reuse_seconds), (Some(60), Some(5)));
    assert_eq!((&*grant.obligations[0].name, &*grant.obligations[0].value), ("wrap", "120"));
    let grant = ask("secrets.read", "secret/b", &[("mode", "long"), ("mode", "short")]).unwrap();
    assert_eq!((grant.max_ttl_seconds, grant.reuse_seconds), (Some(30), None));
}

#[test]
fn a_forbid_counts_more_and_says_why() {
    assert_eq!(denial(ask("secrets.read", "secret/other", &[])).0, "not-allowed");
    let (code, audit) = denial(ask("secrets.update", "secret/frozen", &[]));
    assert_eq!((code.as_str(), audit.as_str()), ("frozen", "a.cedar#4"));
}

#[test]
fn approvals_are_asked_for_until_there_are_enough() {
    let (ann, bob) = (("approval", "managers:ann"), ("approval", "managers:bob"));
    for few in [&[][..], &[ann, ann]] {
        match ask("secrets.update", "secret/x", few) {
            Err(Refusal::NeedsApproval(approval)) => {
                assert_eq!((approval.count, approval.audit.as_str()), (2, "a.cedar#3"));
            }
            other => panic!("{other:?}"),
        }
    }
    assert!(ask("secrets.update", "secret/x", &[ann, bob]).is_ok());
}

#[test]
fn a_forbid_that_fails_denies() {
    let (code, audit) = denial(ask("odd", "secret/x", &[]));
    assert_eq!(code, "cannot-tell");
    assert!(audit.contains("a.cedar#5"), "{audit}");
}

#[test]
fn mistakes_are_found_when_the_settings_are_read() {
    for (policies, told) in [
        ("permit (principal, action, resource", "policies.a.cedar: "),
        ("", "there has to be one"),
        (r#"@code("x") permit (principal, action, resource);"#, "only a forbid can say this"),
        (r#"@approval("x") permit (principal, action, resource);"#, "no group, number"),
        (r#"@max_ttl_seconds("1h") permit (principal, action, resource);"#, "no number of seconds"),
        ("permit (principal == ?principal, action, resource);", "templates"),
    ] {
        let error = policy(policies).unwrap_err();
        assert!(error.contains(told), "{error}");
    }
}

#[test]
fn policies_and_requests_have_to_fit_the_schema() {
    let schema = r#"
        entity Identity; entity Resource;
        action "secrets.read" appliesTo {
            principal: Identity, resource: Resource,
            context: { tenant: String, attributes: {} },
        };"#;
    let read = |condition: &str| {
        let policy = format!(
            r#"permit (principal, action == Action::"secrets.read", resource) when {{ {condition} }};"#
        );
        let settings = json!({ "policies": { "a.cedar": policy }, "schema": schema });
        serde_json::from_value::<Cedar>(settings)
    };
    let error = read("context.tennant == \"a\"").unwrap_err().to_string();
    assert!(error.contains("do not fit the schema"), "{error}");
    let cedar = read("context.tenant == \"a\"").unwrap();
    let ask = |operation: &str, tenant: &str| {
        cedar.evaluate(&Request {
            identity: "i".to_owned(),
            tenant: tenant.to_owned(),
            operation: operation.to_owned(),
            resource: "r".to_owned(),
            attributes: vec![],
        })
    };
    assert!(ask("secrets.read", "a").is_ok());
    assert_eq!(denial(ask("secrets.read", "b")).0, "not-allowed");
    assert_eq!(denial(ask("secrets.list", "a")).0, "cannot-tell");
}
