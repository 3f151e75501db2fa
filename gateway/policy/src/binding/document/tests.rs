//! Tests of reading binding documents: defaults, refused keys and values, matching.

use super::*;
use crate::{AccessRequest, CertificateFacts, KeyFacts};

const DOCUMENT: &str = r#"# a comment
[[binding]]
name = "kv-access"
decision = "access"
mode = "enforce"
plugin = { file = "plugins/access-rules.wasm", digest = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855" }
match = { tenants = ["default"], operations = ["secrets.*"], resources = ["*"] }
limits = { deadline_ms = 20, memory_kib = 1024, answer_kib = 64, log_bytes = 512, concurrent = 3 }
grants = { groups = ["ops"], data_sets = ["names"], issuance_counts = true }

[binding.settings]
rules = [{ name = "a", number = 1, since = 2026-01-01 }]
"#;

fn read(text: &str) -> Result<Vec<Binding>, String> {
    let read = read_document(Path::new("a.toml"), text, &Known::OPERATIONS)
        .map_err(|error| error.to_string())?;
    Ok(read.bindings)
}

/// The document with one change.
fn changed(from: &str, to: &str) -> Result<Vec<Binding>, String> {
    assert!(DOCUMENT.contains(from), "{from}");
    read(&DOCUMENT.replacen(from, to, 1))
}

#[test]
fn reads_a_whole_binding() {
    let [binding] = &read(DOCUMENT).unwrap()[..] else { panic!("one binding") };
    assert_eq!(binding.name, "kv-access");
    assert_eq!(binding.place.to_string(), "a.toml:3");
    assert_eq!(binding.mode, Mode::Enforce);
    assert_eq!(binding.plugin, Path::new("plugins/access-rules.wasm"));
    assert_eq!(binding.limits.deadline, Duration::from_millis(20));
    assert_eq!((binding.limits.memory, binding.limits.answer), (1 << 20, 64 << 10));
    assert_eq!((binding.limits.log, binding.limits.concurrent), (512, Some(3)));
    assert!(binding.capabilities.groups.contains("ops"));
    assert!(binding.capabilities.data_sets.contains("names"));
    assert!(binding.capabilities.issuance_counts);
    assert_eq!(binding.settings, r#"{"rules":[{"name":"a","number":1,"since":"2026-01-01"}]}"#);
}

#[test]
fn mode_match_limits_and_settings_have_defaults() {
    let (head, _) = DOCUMENT.split_once("match =").unwrap();
    let [binding] = &read(&head.replace("mode = \"enforce\"\n", "")).unwrap()[..] else {
        panic!("one binding")
    };
    assert_eq!(binding.mode, Mode::Enforce);
    assert_eq!(binding.limits.deadline, Duration::from_millis(20));
    assert_eq!(binding.settings, "{}");
    let request = AccessRequest {
        tenant: "any".parse().unwrap(),
        identity: String::new(),
        operation: "x".to_owned(),
        resource: String::new(),
        attributes: vec![],
    };
    assert!(binding.scope.takes_access(&request, ""));
}

#[test]
fn every_wrong_key_and_value_is_refused_with_its_line() {
    let cases = [
        ("[[binding]]", "[[bindin]]", "2: unknown field `bindin`", "did you mean `binding`?"),
        ("mode =", "mod =", "5: unknown field `mod`", "did you mean `mode`?"),
        ("file =", "fil =", "6: unknown field `fil`", "did you mean `file`?"),
        ("tenants =", "tenant =", "7: unknown field `tenant`", "did you mean `tenants`?"),
        ("deadline_ms", "deadline", "8: unknown field `deadline`", "did you mean `deadline_ms`?"),
        ("\"access\"", "\"acces\"", "4: unknown variant `acces`", "did you mean `access`?"),
        ("\"enforce\"", "\"monitr\"", "5: unknown variant `monitr`", "did you mean `monitor`?"),
        ("\"kv-access\"", "\"KV access\"", "3: `KV access`", "a-z, 0-9 and '-'"),
        ("\"kv-access\"", "\"\"", "3: ``", "1 to 64"),
        ("\"kv-access\"", "7", "3: ", "expected a string"),
        ("sha256:e3", "sha256:e", "6: a digest is", "64 hexadecimal digits"),
        ("sha256:", "sha512:", "6: a digest is", "`sha256:`"),
        ("plugins/access-rules", "../access-rules", "6: a plugin's file", "without `..`"),
        ("plugins/access-rules", "/access-rules", "6: a plugin's file", "relative"),
        ("plugins/access-rules.wasm", "", "6: a plugin's file", "relative"),
        ("[\"secrets.*\"]", "[]", "7: an empty list matches nothing", "leave the key out"),
        ("operations =", "profiles =", "7: a binding about access", "not by `profiles`"),
        ("\"access\"", "\"certificate\"", "7: a binding about certificates", "not by `operations`"),
        ("= 20", "= 0", "8: deadline_ms is from 1 to 10000, not 0", ""),
        ("= 20", "= 10001", "8: deadline_ms is from", ""),
        ("= 1024", "= 63", "8: memory_kib is from 64 to 65536, not 63", ""),
        ("= 1024", "= 65537", "8: memory_kib is from", ""),
        ("= 64,", "= 0,", "8: answer_kib is from 1 to 1024, not 0", ""),
        ("= 64,", "= -1,", "8: ", ""),
        ("= 3 }", "= 0 }", "8: concurrent is from 1 to 256, not 0", ""),
        ("= 512", "= 65537", "8: log_bytes is from 0 to 65536, not 65537", ""),
        ("groups =", "group =", "9: unknown field `group`", "did you mean `groups`?"),
        ("= 20", "= \"20ms\"", "8: invalid type: string \"20ms\"", ""),
        ("[binding.settings]", "[binding.settings", "11: ", ""),
        ("decision = \"access\"\n", "", "2: missing field `decision`", ""),
        ("\"kv-access\"", "\"kv-access\"\nname = \"b\"", "4: duplicate key", ""),
    ];
    for (from, to, begins, contains) in cases {
        let message = changed(from, to).map(|_| ()).expect_err(to);
        assert!(message.starts_with(&format!("a.toml:{begins}")), "{to}: {message}");
        assert!(message.contains(contains), "{to}: {message}");
    }
}

#[test]
fn a_key_that_resembles_none_gets_no_suggestion() {
    let message = changed("mode =", "zzzzzzzzzzzz =").unwrap_err();
    assert!(message.contains("unknown field") && !message.contains("did you mean"), "{message}");
}

#[test]
fn a_request_is_matched_by_all_of_tenant_operation_and_resource() {
    let [binding] = &changed("[\"*\"]", "[\"secret/app/*\"]").unwrap()[..] else { panic!("one") };
    let takes = |tenant: &str, operation: &str, resource: &str| {
        let request = AccessRequest {
            tenant: tenant.parse().unwrap(),
            identity: String::new(),
            operation: operation.to_owned(),
            resource: String::new(),
            attributes: vec![],
        };
        binding.scope.takes_access(&request, resource)
    };
    assert!(takes("default", "secrets.read", "secret/app/x"));
    assert!(!takes("other", "secrets.read", "secret/app/x"));
    assert!(!takes("default", "auth.login", "secret/app/x"));
    assert!(!takes("default", "secrets.read", "secret/web/x"));
}

#[test]
fn a_certificate_is_matched_by_all_of_tenant_requester_and_profile() {
    let text = DOCUMENT.replace("\"access\"", "\"certificate\"").replace(
        "operations = [\"secrets.*\"], resources = [\"*\"]",
        "requesters = [\"acme:*\"], profiles = [\"tls-*\", \"\"]",
    );
    let [binding] = &read(&text).unwrap()[..] else { panic!("one binding") };
    let takes = |tenant: &str, requester: &str, profile: Option<&str>| {
        binding.scope.takes_certificate(&CertificateFacts {
            tenant: tenant.parse().unwrap(),
            requester: requester.to_owned(),
            identity: None,
            profile: profile.map(str::to_owned),
            key: KeyFacts { algorithm: String::new(), bits: 0, fingerprint: String::new() },
            subject: vec![],
            requested: vec![],
            validated: vec![],
            extensions: vec![],
            requested_validity: None,
            attributes: vec![],
        })
    };
    assert!(takes("default", "acme:1", Some("tls-server")));
    assert!(takes("default", "acme:1", None));
    assert!(!takes("other", "acme:1", None));
    assert!(!takes("default", "internal:x", None));
    assert!(!takes("default", "acme:1", Some("service")));
}

#[test]
fn a_group_has_one_rule_and_members() {
    let group = |rule: &str| {
        let text = format!("[[group]]\nname = \"g\"\ndecision = \"access\"\n{rule}\n");
        read_document(Path::new("a.toml"), &text, &Known::OPERATIONS)
            .map(|read| read.groups)
            .map_err(|error| error.to_string())
    };
    let groups = group("any = [\"b\", \"a\", \"b\"]").unwrap();
    assert_eq!(groups[0].rule, Rule::Any(BTreeSet::from(["a".to_owned(), "b".to_owned()])));
    assert_eq!(groups[0].place.to_string(), "a.toml:2");
    assert!(group("").unwrap_err().starts_with("a.toml:2: a group has one of"));
    let two = group("all = [\"a\"]\nnot = \"b\"").unwrap_err();
    assert!(two.starts_with("a.toml:5: a group has one of"), "{two}");
    assert!(group("all = []").unwrap_err().starts_with("a.toml:4: a group has at least one"));
    assert!(group("some = []").unwrap_err().contains("unknown field `some`"));
    let other = group("all = [\"a\"]\nmatch = { profiles = [\"p\"] }").unwrap_err();
    assert!(other.contains("not by `profiles`"), "{other}");
}
