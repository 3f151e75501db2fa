//! Tests of policy cases: their syntax, and the differences that they report.

use super::*;

fn parse(text: &str, kind: CaseKind) -> Result<Cases, String> {
    Cases::parse(Path::new("c.toml"), text, kind).map_err(|error| error.to_string())
}

const ACCESS: &str = r#"
[[case]]
name = "a"
request = { identity = "i", operation = "o", resource = "r", attributes = { address = "::1", approval = ["x:1", "x:2"] } }
allow = { max_ttl_seconds = 60 }
"#;

#[test]
fn a_case_expects_exactly_one_decision() {
    assert_eq!(parse(ACCESS, CaseKind::Access).unwrap().len(), 1);
    let none = parse(&ACCESS.replace("allow = {", "lookups = {}\n#"), CaseKind::Access);
    assert!(none.unwrap_err().starts_with("c.toml:2: case `a` expects one decision"));
    let two = parse(&format!("{ACCESS}deny = \"x\""), CaseKind::Access);
    assert!(two.unwrap_err().contains("expects one decision"));
}

#[test]
fn mistakes_are_told_with_their_line() {
    let wrong = |from: &str, to: &str| {
        assert!(ACCESS.contains(from));
        parse(&ACCESS.replace(from, to), CaseKind::Access).unwrap_err()
    };
    assert!(wrong("identity", "identiti").starts_with("c.toml:4: unknown field `identiti`"));
    assert!(wrong("max_ttl_seconds", "max_ttl").contains("did you mean `max_ttl_seconds`?"));
    let certificate = r#"
[[case]]
name = "c"
request = { requester = "acme:1", names = ["a.example"] }
deny = "x"
"#;
    let message = parse(certificate, CaseKind::Certificate).unwrap_err();
    assert!(message.starts_with("c.toml:4: `a.example` is no KIND:NAME"), "{message}");
    let proof = certificate.replace("[\"a.example\"]", "[\"dns:a\"], validated = [\"dns:a\"]");
    let message = parse(&proof, CaseKind::Certificate).unwrap_err();
    assert!(message.contains("`dns:a` is no METHOD KIND:NAME"), "{message}");
}

#[test]
fn a_difference_names_what_changed_and_nothing_else() {
    let allowed = |ttl| Decided {
        allow: Some(Allowed { max_ttl_seconds: Some(ttl), ..Allowed::default() }),
        ..Decided::default()
    };
    assert_eq!(allowed(1).difference(&allowed(1)), "");
    assert_eq!(
        allowed(1).difference(&allowed(2)),
        "- allow.max_ttl_seconds = 1\n+ allow.max_ttl_seconds = 2"
    );
    let denied = Decided { deny: Some("no".to_owned()), ..Decided::default() };
    assert_eq!(allowed(1).difference(&denied), "- allow.max_ttl_seconds = 1\n+ deny = \"no\"");
}
