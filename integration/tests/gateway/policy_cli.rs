//! `chancery policy …`, as authors and operators type it.

use std::fs;
use std::path::Path;
use std::process::Command;

use chancery_integration::gateway::Gateway;
use chancery_integration::process::{Outcome, repository, run, run_with_input};
use chancery_integration::site::Site;
use serde_json::{Value, json};

fn policy(arguments: &[&str]) -> Command {
    let mut command = Command::new(chancery_integration::gateway::binary());
    command.arg("policy").args(arguments).current_dir(repository());
    command
}

fn chancery(arguments: &[&str]) -> Outcome {
    run(&mut policy(arguments))
}

fn json_of(arguments: &[&str]) -> Value {
    let said = chancery(&[arguments, &["--output", "json"]].concat()).success().stdout;
    serde_json::from_str(&said).expect("JSON")
}

const RULES: &str = "plugins/target/components/access-rules.wasm";
const TEMPLATE: &str = "plugins/target/components/certificate-template.wasm";

#[test]
fn inspect_tells_what_a_component_is() {
    let seen = json_of(&["inspect", RULES]);
    assert_eq!(seen["name"], "access-rules");
    assert_eq!(seen["decision"], "access");
    assert_eq!(seen["contract"], "0.9.0");
    assert_eq!(seen["imports"], json!([]));
    assert_eq!(seen["exports"], json!(["chancery:policy/access@0.9.0"]));
    assert_eq!(seen["memory"], 65536);
    assert!(seen["digest"].as_str().expect("a digest").starts_with("sha256:"));
    drop(chancery(&["inspect", TEMPLATE]).says("decision   certificate"));
    drop(chancery(&["inspect", "README.md"]).failure().says("README.md"));
    drop(chancery(&["inspect", "no-such.wasm"]).failure().says("cannot read no-such.wasm"));
}

#[test]
fn the_golden_cases_hold_from_the_command_line() {
    let site = Site::new();
    for (plugin, name) in [(RULES, "access"), (TEMPLATE, "certificates")] {
        let cases = format!("policies/cases/{name}.toml");
        let settings = format!("policies/dev/{name}.toml");
        let run = || chancery(&["test", plugin, &cases, "--settings-of", &settings]).success();
        let first = run();
        assert!(first.stdout.contains("0 failed"), "{}", first.stdout);
        assert_eq!(first.stdout, run().stdout, "fuel is the same every time");
    }
    let empty = site.path().join("empty");
    fs::create_dir(&empty).expect("a folder");
    let empty = empty.display().to_string();
    drop(chancery(&["test", RULES, &empty]).failure().says("there are no cases"));
}

fn write_cases(folder: &Path) -> String {
    let cases = folder.join("cases.toml");
    let text = r#"# Written by hand.
[settings]
rules = [{ name = "all", identities = ["*"], operations = ["*"], resources = ["*"], effect = "allow", max_ttl = "1h" }]

[[case]]
name = "an hour"
request = { identity = "i", operation = "o", resource = "r" }
allow = { max_ttl_seconds = 60 } # wrong

[[case]]
name = "no way up"
request = { identity = "i", operation = "o", resource = "r/../x" }
deny = "malformed-resource"
"#;
    fs::write(&cases, text).expect("cases");
    cases.display().to_string()
}

#[test]
fn a_case_that_fails_shows_what_differs_and_can_be_accepted() {
    let site = Site::new();
    let cases = write_cases(site.path());
    let failed = chancery(&["test", RULES, &cases]).failure();
    assert!(failed.stdout.contains("FAIL  an hour"), "{}", failed.stdout);
    assert!(failed.stdout.contains("cases.toml:5"), "{}", failed.stdout);
    assert!(failed.stdout.contains("- allow.max_ttl_seconds = 60"), "{}", failed.stdout);
    assert!(failed.stdout.contains("+ allow.max_ttl_seconds = 3600"), "{}", failed.stdout);
    assert!(failed.stdout.contains("2 cases, 1 failed"), "{}", failed.stdout);

    drop(chancery(&["test", RULES, &cases, "--accept"]).success());
    let accepted = fs::read_to_string(&cases).expect("cases");
    assert!(accepted.starts_with("# Written by hand."), "{accepted}");
    assert!(accepted.contains("allow = { max_ttl_seconds = 3600 }"), "{accepted}");
    drop(chancery(&["test", RULES, &cases]).success());
}

#[test]
fn mistakes_in_cases_and_settings_are_told_with_their_place() {
    let site = Site::new();
    let cases = write_cases(site.path());
    let change = |from: &str, to: &str| {
        let text = fs::read_to_string(&cases).expect("cases");
        assert!(text.contains(from));
        let other = site.path().join("other.toml");
        fs::write(&other, text.replacen(from, to, 1)).expect("cases");
        chancery(&["test", RULES, &other.display().to_string()]).failure()
    };
    drop(change("identity =", "identiti =").says("other.toml:7: unknown field `identiti`"));
    drop(change("max_ttl_seconds", "max_ttl").says("did you mean `max_ttl_seconds`?"));
    drop(change("max_ttl = \"1h\"", "max_tll = \"1h\"").says("settings.rules.0.max_tll"));
    drop(change("deny = \"malformed-resource\"", "").says("expects one decision"));
}

#[test]
fn bench_measures_every_case() {
    let site = Site::new();
    let cases = write_cases(site.path());
    // The deadline of a loaded machine; what is measured is not looked at.
    let arguments = ["bench", RULES, &cases, "--duration-ms", "1", "--deadline-ms", "10000"];
    let figures = json_of(&arguments);
    let figures = figures.as_array().expect("a list");
    assert_eq!(figures.len(), 2);
    for row in figures {
        assert!(row["fuel"].as_u64() > Some(0), "{row}");
        assert!(row["p50_micros"].as_f64() > Some(0.0), "{row}");
        assert_eq!(row["memory_bytes"], 65536, "{row}");
    }
}

#[test]
fn list_and_explain_say_what_a_gateway_s_policies_do() {
    let site = Site::new();
    let gateway = Gateway::start(&site);
    let config = gateway.path("chancery.toml").display().to_string();
    let list = json_of(&["list", "--config", &config]);
    let names: Vec<_> =
        list.as_array().expect("a list").iter().map(|one| &one["binding"]).collect();
    assert_eq!(names, ["access", "certificates"]);
    assert_eq!(list[0]["name"], "access-rules");

    let explain = |request: &Value| {
        let mut command = policy(&["explain", "--config", &config, "-", "--output", "json"]);
        let said = run_with_input(&mut command, request.to_string().as_bytes()).success().stdout;
        serde_json::from_str::<Value>(&said).expect("JSON")
    };
    let denied = explain(&json!({ "access": {
        "identity": "spiffe://dev.chancery/app", "operation": "secrets.read", "resource": "secret/x"
    } }));
    assert_eq!(denied["decision"], json!({ "deny": "no-rule" }), "{denied}");
    assert_eq!(denied["evaluations"][0]["binding"], "access");
    let issued = explain(&json!({ "certificate": {
        "requester": "acme:1", "names": ["dns:a.example"], "validated": ["http-01 dns:a.example"]
    } }));
    assert_eq!(issued["decision"]["issue"]["profile"], "tls-server", "{issued}");
    let nobody = explain(&json!({ "access": {
        "tenant": "other", "identity": "i", "operation": "o", "resource": "r"
    } }));
    assert_eq!(nobody["decision"], json!({ "deny": "no-policy" }), "{nobody}");

    let mut command = policy(&["explain", "--config", &config, "-"]);
    drop(run_with_input(&mut command, b"{\"acces\":{}}").failure().says("expected `access` or"));
}
