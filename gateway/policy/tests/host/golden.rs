//! The shipped plugins with the bindings of development, against the golden decisions in `policies/`.

use std::fs;

use chancery_policy::cases::Cases;
use chancery_policy::{Digest, Measure, PolicyHost, Trial, TrialLimits};

use crate::installation::{Installation, repository, shipped};

/// The settings of the only binding in a document of `policies/dev`, as JSON.
fn settings(document: &str) -> String {
    let text = fs::read_to_string(repository().join("policies/dev").join(document)).unwrap();
    let document: serde_json::Value = toml::from_str(&text).unwrap();
    document["binding"][0]["settings"].to_string()
}

/// Runs the cases in a guest that has to do with as little memory as makes evaluations cheap.
fn check(plugin: &str, document: &str, memory_kib: usize) {
    let limits = TrialLimits { memory: memory_kib << 10, ..TrialLimits::default() };
    let file = format!("{plugin}.wasm");
    let trial =
        Trial::load(file.as_ref(), &shipped(plugin), &settings(document), &limits, Measure::Fuel)
            .unwrap();
    let cases = repository().join("policies/cases").join(document);
    let cases = Cases::read(&cases, trial.case_kind()).unwrap();
    assert!(cases.len() > 10);
    let outcomes = trial.run(&cases);
    let wrong: Vec<_> = outcomes.iter().filter(|outcome| !outcome.difference.is_empty()).collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
    let again = trial.run(&cases);
    for (first, second) in outcomes.iter().zip(&again) {
        assert!(first.fuel.is_some_and(|fuel| fuel > 0), "{first:?}");
        assert_eq!(first.fuel, second.fuel, "what a policy consumes is the same every time");
        assert_eq!(first.decided, second.decided);
    }
}

#[test]
fn access_decisions_are_golden() {
    // What reading the settings takes is given up when they are read.
    check("access-rules", "access.toml", 128);
}

#[test]
fn certificate_decisions_are_golden() {
    check("certificate-template", "certificates.toml", 64);
}

/// Documents of cases that bring their settings.
#[test]
fn the_decisions_of_guards_and_conditions_are_golden() {
    for (plugin, document, memory_kib) in [
        ("rate-guard", "rate-guard.toml", 64),
        ("name-guard", "name-guard.toml", 2048),
        ("access-rules", "access-conditions.toml", 128),
        ("certificate-template", "certificate-profiles.toml", 64),
        ("rego", "rego.toml", 1024),
        ("cedar", "cedar.toml", 4096),
    ] {
        own_settings(plugin, document, memory_kib);
    }
}

fn own_settings(plugin: &str, document: &str, memory_kib: usize) {
    let cases = repository().join("policies/cases").join(document);
    let text = fs::read_to_string(&cases).unwrap();
    let settings = Cases::settings_in(&cases, &text).unwrap().unwrap();
    let limits = TrialLimits { memory: memory_kib << 10, ..TrialLimits::default() };
    let trial = Trial::load("g.wasm".as_ref(), &shipped(plugin), &settings, &limits, Measure::Fuel)
        .unwrap();
    for outcome in trial.run(&Cases::parse(&cases, &text, trial.case_kind()).unwrap()) {
        assert_eq!(outcome.difference, "", "{}", outcome.name);
    }
}

#[test]
fn a_case_that_does_not_hold_says_what_differs() {
    let plugin = shipped("access-rules");
    let settings = settings("access.toml");
    let trial =
        Trial::load("a.wasm".as_ref(), &plugin, &settings, &TrialLimits::default(), Measure::Fuel)
            .unwrap();
    let text = r#"
[[case]]
name = "wrong"
request = { identity = "spiffe://dev.chancery/app", operation = "auth.login", resource = "app/x" }
allow = { max_ttl_seconds = 60 }
"#;
    let cases = Cases::parse("c.toml".as_ref(), text, trial.case_kind()).unwrap();
    let [outcome] = &trial.run(&cases)[..] else { panic!("one case") };
    assert_eq!(outcome.difference, "- allow.max_ttl_seconds = 60\n+ allow.max_ttl_seconds = 43200");
    assert_eq!((outcome.position, outcome.line), (0, 2));
}

/// A host with a document of `policies/dev`.
fn development(plugin: &str, document: &str) -> (Installation, PolicyHost) {
    let installation = Installation::new();
    let mut text = fs::read_to_string(repository().join("policies/dev").join(document)).unwrap();
    let wasm = shipped(plugin);
    installation.plugin(&format!("{plugin}.wasm"), &wasm);
    text = text.replace(&format!("@{plugin}@"), &Digest::of(&wasm).to_string());
    installation.document(document, &text);
    let host = installation.open().unwrap();
    (installation, host)
}

#[tokio::test]
async fn another_tenant_has_no_policy_at_all() {
    let (_installation, host) = development("access-rules", "access.toml");
    let mut question = crate::installation::request("secrets.read", "secret/app/db");
    assert!(host.decide_access(&question).await.decision.is_ok());
    question.tenant = "other".parse().unwrap();
    let denial = host.decide_access(&question).await.decision.unwrap_err();
    assert_eq!(denial.code, chancery_policy::Denial::NO_POLICY);
}

#[tokio::test]
async fn an_evaluation_says_which_policy_at_which_digest_said_what() {
    let (_installation, host) = development("access-rules", "access.toml");
    let verdict = host.decide_access(&crate::installation::request("secrets.read", "no")).await;
    let [evaluation] = &verdict.evaluations[..] else { panic!("one evaluation") };
    assert_eq!(evaluation.binding, "access");
    assert_eq!(evaluation.plugin, "plugins/access-rules.wasm");
    assert_eq!(evaluation.digest, Digest::of(&shipped("access-rules")).to_string());
    assert_eq!(evaluation.version, "0.1.0");
    assert_eq!(evaluation.outcome, "deny");
    assert!(evaluation.detail.starts_with("no-rule"), "{}", evaluation.detail);
}

/// Settings are packed when they are taken, in other places of memory depending on how much there is of them.
#[tokio::test]
async fn rules_of_any_number_are_what_was_written() {
    use std::fmt::Write as _;
    for count in [1_usize, 12, 40, 150, 1000] {
        let mut text = "limits = { memory_kib = 8192, deadline_ms = 5000 }\n[binding.settings]\n\
                        roles = { team = [\"spiffe://dev.chancery/*\"] }\n"
            .to_owned();
        for number in 0..count {
            let _ = write!(
                text,
                "[[binding.settings.rules]]\nname = \"rule {number}\"\nroles = [\"team\"]\n\
                 operations = [\"read\", \"op-{number}\"]\nresources = [\"r/{number}/*\", \"s/{number}\"]\n\
                 effect = \"allow\"\nmax_ttl = \"{}s\"\n\
                 when = {{ attributes = {{ level = [\"{number}\"] }} }}\n",
                number + 1
            );
        }
        let installation = Installation::new();
        installation.bind_access("rules", &shipped("access-rules"), &text);
        let host = installation.open().unwrap();
        for number in [0, count / 2, count - 1] {
            let mut question = crate::installation::request("read", &format!("r/{number}/x"));
            let attribute = |name: &str, value: String| (name.to_owned(), value);
            question.attributes = vec![attribute("level", number.to_string())];
            // More than there is room for before what is kept.
            question.attributes.extend((0..100).map(|_| attribute("other", "x".repeat(2000))));
            for _ in 0..3 {
                let grant = host.decide_access(&question).await.decision.unwrap();
                assert_eq!(grant.max_ttl.unwrap().as_secs(), number as u64 + 1, "of {count}");
            }
            question.attributes[0].1 = "else".to_owned();
            let denial = host.decide_access(&question).await.decision.unwrap_err();
            assert_eq!(denial.code, "no-rule");
        }
    }
}
