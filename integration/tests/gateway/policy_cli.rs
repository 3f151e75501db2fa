//! `chancery policy …`, as authors and operators type it.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use chancery_integration::gateway::{Gateway, binary};
use chancery_integration::plugin::Access;
use chancery_integration::process::{Outcome, repository, run, run_with_input, tool};
use chancery_integration::site::Site;
use serde_json::{Value, json};

fn policy(arguments: &[&str]) -> Command {
    let mut command = Command::new(binary());
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
    let profiles = "policies/cases/certificate-profiles.toml";
    drop(chancery(&["test", TEMPLATE, profiles]).success().says(" 0 failed"));
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
    let misspelt = change("max_ttl = \"1h\"", "max_tll = \"1h\"");
    let text = fs::read_to_string(site.path().join("other.toml")).expect("cases");
    let line = text.lines().position(|line| line.contains("max_tll")).expect("it is there") + 1;
    drop(misspelt.says(&format!("other.toml:{line}: ")).says("settings.rules.0.max_tll"));
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
        "tenant": "other", "identity": "i", "operation": "secrets.read", "resource": "r"
    } }));
    assert_eq!(nobody["decision"], json!({ "deny": "no-policy" }), "{nobody}");
    let mistyped = explain(&json!({ "access": {
        "identity": "i", "operation": "secrts.read", "resource": "r"
    } }));
    assert_eq!(mistyped["decision"], json!({ "deny": "unknown-operation" }), "{mistyped}");
    assert!(mistyped["audit"].to_string().contains("`secrets.read`"), "{mistyped}");

    let mut command = policy(&["explain", "--config", &config, "-"]);
    drop(run_with_input(&mut command, b"{\"acces\":{}}").failure().says("expected one of"));
    let mut command = policy(&["explain", "--config", &config, "-"]);
    drop(run_with_input(&mut command, b"{}").failure().says("either `access` or `certificate`"));

    // What a gateway would look up stands in the request.
    let guard = "plugins/target/components/rate-guard.wasm";
    let limits =
        site.write("limits.toml", "limits = [{ per = \"name\", most = 3, within = \"7d\" }]\n");
    let limits = limits.display().to_string();
    let bound = ["bind", guard, "--config", &config, "--settings", &limits];
    let granted = ["--grants", "issuance_counts = true", "--match", "requesters = [\"acme:*\"]"];
    drop(chancery(&[&bound[..], &granted].concat()).success());
    let after = |issued: u64| {
        explain(&json!({
            "certificate": {
                "requester": "acme:1",
                "names": ["dns:a.example"],
                "validated": ["http-01 dns:a.example"],
            },
            "lookups": { "issued": { "dns:a.example": issued } },
        }))
    };
    assert_eq!(after(2)["decision"]["issue"]["profile"], "tls-server");
    assert_eq!(after(3)["decision"], json!({ "deny": "rate-limited" }));
}

fn openssl(arguments: &[&str]) {
    drop(run(Command::new("openssl").args(arguments)).success());
}

/// A key pair of a signer: files with the private and the public half.
fn signer(site: &Site, name: &str, algorithm: &[&str]) -> (String, String) {
    let file = |end: &str| site.path().join(format!("{name}.{end}")).display().to_string();
    let (key, public) = (file("key"), file("pub"));
    openssl(&[&["genpkey", "-out", &key][..], algorithm].concat());
    openssl(&["pkey", "-in", &key, "-pubout", "-out", &public]);
    (key, public)
}

#[test]
fn a_signature_counts_for_one_component_and_key() {
    let site = Site::new();
    let component = site.path().join("rules.wasm");
    fs::copy(repository().join(RULES), &component).expect("the plugin is built");
    let component = component.display().to_string();
    let algorithms: [(&str, &[&str]); 4] = [
        ("p256", &["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"]),
        ("p384", &["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-384"]),
        ("rsa", &["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"]),
        ("ed25519", &["-algorithm", "ed25519"]),
    ];
    let mut before: Option<String> = None;
    for (name, algorithm) in algorithms {
        let (key, public) = signer(&site, name, algorithm);
        drop(chancery(&["sign", &component, "--key", &key]).success());
        drop(chancery(&["verify", &component, "--key", &public]).success());
        if let Some(other) = before.replace(public) {
            let refused = chancery(&["verify", &component, "--key", &other]).failure();
            drop(refused.says("none of the accepted ones"));
        }
    }
    let public = before.expect("a key");
    fs::copy(repository().join(TEMPLATE), &component).expect("the plugin is built");
    drop(chancery(&["verify", &component, "--key", &public]).failure().says("is over sha256:"));
    // A key that others can read is refused before it is looked at.
    fs::set_permissions(&public, fs::Permissions::from_mode(0o600)).expect("it is ours");
    drop(chancery(&["sign", &component, "--key", &public]).failure().says("PRIVATE KEY"));
    drop(chancery(&["sign", &component]).failure().says("--key"));
}

#[test]
fn a_component_is_bound_if_the_set_with_it_would_be_taken() {
    let site = Site::new();
    let gateway = Gateway::start(&site);
    let config = gateway.path("chancery.toml").display().to_string();
    let example = "plugins/target/components/example-access.wasm";
    let settings = site.path().join("settings.toml");
    fs::write(&settings, "frozen = [\"secret/app/release-*\"]\n").expect("settings");
    let settings = settings.display().to_string();
    let cases = site.path().join("cases.toml");
    let case = |decision: &str| {
        format!(
            "[[case]]\nname = \"frozen\"\nrequest = {{ identity = \"i\", operation = \
             \"secrets.create\", resource = \"secret/app/release-1\" }}\n{decision}\n"
        )
    };
    fs::write(&cases, case("allow = {}")).expect("cases");
    let cases_file = cases.display().to_string();
    let bind = |more: &[&str]| {
        let fixed = [
            "bind",
            example,
            "--config",
            &config,
            "--match",
            "operations = [\"secrets.*\"]",
            "--self-test",
            &cases_file,
        ];
        chancery(&[&fixed, more].concat())
    };
    // Nothing is left behind by what is refused.
    drop(bind(&[]).failure().says("settings: missing field `frozen`"));
    let misspelt = site.write("misspelt.toml", "\nfrozzen = []\n").display().to_string();
    let refused = bind(&["--settings", &misspelt]).failure();
    drop(refused.says("misspelt.toml:2: frozzen: unknown field"));
    let refused = bind(&["--settings", &settings]).failure();
    drop(refused.says("case `frozen` does not hold: - allow = {}; + deny = \"frozen\""));
    assert!(!gateway.path("policies/example-access.toml").exists());
    assert!(!gateway.reload().contains("reload failed"));

    fs::write(&cases, case("deny = \"frozen\"")).expect("cases");
    drop(bind(&["--settings", &settings]).success());
    drop(bind(&["--settings", &settings]).failure().says("--replace"));
    drop(bind(&["--settings", &settings, "--replace"]).success());
    assert!(!gateway.reload().contains("reload failed"));
    let body = json!({ "data": { "a": "b" } });
    drop(gateway.app().post("/v1/secret/data/app/db", &body).expect(200));
    let denied = gateway.app().post("/v1/secret/data/app/release-1", &body).expect(403);
    assert!(denied.text().contains("frozen"), "{}", denied.text());
    let line = gateway.audit().pop().expect("a line");
    assert!(line.to_string().contains("\"version\":\"0.1.0\""), "{line}");

    // What is not said when it is replaced stays as it was.
    let document = || {
        let text = fs::read_to_string(gateway.path("policies/example-access.toml"));
        text.expect("the document").parse::<toml::Table>().expect("TOML")
    };
    let before = document();
    let again = ["bind", example, "--config", &config, "--replace"];
    drop(chancery(&again).success());
    assert_eq!(document(), before);
    drop(
        chancery(&[&again[..], &["--match", "operations = [\"secrets.read\"]"]].concat()).success(),
    );
    let after = document();
    let of = |document: &toml::Table, key: &str| document["binding"][0].get(key).cloned();
    assert_ne!(of(&after, "match"), of(&before, "match"));
    assert_eq!(of(&after, "self_test"), of(&before, "self_test"));
    assert_eq!(of(&after, "settings"), of(&before, "settings"));
}

#[test]
fn a_signature_over_another_build_is_not_bound() {
    let site = Site::new();
    let gateway = Gateway::start(&site);
    let config = gateway.path("chancery.toml").display().to_string();
    let component = site.write("guard.wasm", Access::Allows.component()).display().to_string();
    let key = site.path().join("signer.key").display().to_string();
    let made = ["genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", &key];
    drop(run(Command::new(tool("openssl")).args(made)).success());
    drop(chancery(&["sign", &component, "--key", &key]).success());
    fs::write(&component, Access::Denies.component()).expect("another build");
    drop(chancery(&["bind", &component, "--config", &config]).failure().says("sign it anew"));
}

#[test]
fn a_policy_that_fails_says_why_where_its_author_looks() {
    let site = Site::new();
    let component = site.write("fails.wasm", Access::SaysWhyAndTraps.component());
    let component = component.display().to_string();
    let case = "[[case]]\nname = \"one\"\nrequest = { identity = \"i\", operation = \"o\", \
                resource = \"r\" }\nallow = {}\n";
    let cases = site.write("cases.toml", case).display().to_string();
    let tested = chancery(&["test", &component, &cases]).failure();
    drop(tested.says("after it wrote: warn: by hand").says("log warn: by hand"));
    drop(chancery(&["bench", &component, &cases]).failure().says("case `one`: the policy failed"));
}

#[test]
fn a_tenant_that_names_signers_takes_signed_policies_only() {
    let site = Site::new();
    let gateway = Gateway::start(&site);
    let policies = gateway.path("policies");
    let text = fs::read_to_string(gateway.path("chancery.toml")).expect("the configuration");
    drop(gateway.stop());
    let (key, public) = signer(&site, "policy", &["-algorithm", "ed25519"]);
    let mut config: toml::Table = text.parse().expect("TOML");
    let tenant = config["tenants"][0].as_table_mut().expect("a table");
    tenant.insert("policy_signers".to_owned(), vec![public.clone()].into());
    let file = site.write("signed.toml", config.to_string().as_bytes()).display().to_string();
    let check = || run(Command::new(binary()).args(["check", "--config", &file]));
    drop(check().failure().says("`default` takes signed policies only").says("policy sign"));
    let access = policies.join("access.toml");
    // What bindings were signed with before covers the component, and not its settings.
    let text = fs::read_to_string(&access).expect("the binding");
    let named = "signature = \"plugins/access-rules.wasm.sig\", digest =";
    fs::write(&access, text.replace("digest =", named)).expect("the binding");
    let component = policies.join("plugins/access-rules.wasm").display().to_string();
    drop(chancery(&["sign", &component, "--key", &key]).success());
    drop(check().failure().says("`plugin.signature` covers the component only"));
    let directory = policies.display().to_string();
    let sign = ["sign", &directory, "--key", &key];
    drop(chancery(&sign).success().says("new: access.toml").says("new: certificates.toml"));
    let verify = |public: &str| chancery(&["verify", &directory, "--key", public]);
    drop(verify(&public).success());
    drop(check().success());
    // Another rule is another document.
    let text = fs::read_to_string(&access).expect("the binding");
    fs::write(&access, text.replace("secret/app/*", "secret/*")).expect("the binding");
    drop(check().failure().says("access.toml is not as it was signed"));
    drop(verify(&public).failure().says("access.toml is not as it was signed"));
    drop(chancery(&sign).success().says("changed: access.toml"));
    drop(check().success());
    // One that is not there is noticed.
    let (certificates, aside) = (policies.join("certificates.toml"), site.path().join("aside"));
    fs::rename(&certificates, &aside).expect("the binding");
    drop(check().failure().says("certificates.toml was signed, and is not there any more"));
    fs::rename(&aside, &certificates).expect("the binding");
    // Several may sign.
    let (second, second_public) = signer(&site, "second", &["-algorithm", "ed25519"]);
    drop(verify(&second_public).failure().says("by an accepted key"));
    drop(chancery(&["sign", &directory, "--key", &second, "--tenant", "default"]).success());
    drop(verify(&second_public).success());
    drop(verify(&public).success());

    // To bind is to sign, but nothing else than what is bound.
    let example = repository().join("plugins/target/components/example-access.wasm");
    let example = example.display().to_string();
    let settings = site.write("settings.toml", "frozen = []").display().to_string();
    let bind = ["bind", &example, "--config", &file, "--settings", &settings];
    let bind_signed = [&bind[..], &["--key", &key]].concat();
    drop(chancery(&bind).failure().says("give a key with --key"));
    let text = fs::read_to_string(&access).expect("the binding");
    fs::write(&access, text.replace("secret/*", "*")).expect("the binding");
    drop(chancery(&bind_signed).failure().says("access.toml is not as it was signed"));
    assert!(!policies.join("example-access.toml").exists());
    fs::write(&access, text).expect("the binding");
    drop(chancery(&bind_signed).success());
    drop(check().success());
    // A file of signers that holds none is a mistake in the configuration.
    drop(site.write("policy.pub", "no key"));
    drop(check().failure().says("tenants.policy_signers"));
}
