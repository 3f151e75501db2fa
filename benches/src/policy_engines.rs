//! A decision by the policies `rego` and `cedar`, beside the same engine called natively with the same
//! rules, data and input.

use std::io::Write;
use std::process::{Command, Stdio};
use std::time::Duration;

use chancery_identity::TenantId;
use chancery_policy::{AccessRequest, Digest, PolicyConfig, PolicyHost};
use regorus::{Engine, Value};
use serde_json::json;

use crate::measure;
use crate::policy::component;
use crate::report::Row;

const TIME: Duration = Duration::from_secs(1);
const IDENTITY: &str = "spiffe://bench/app";
const OPERATION: &str = "secrets.read";
const RESOURCE: &str = "secret/app/db";

const RULE: &str = "data.chancery.decision";
const MODULE: &str = r#"
package chancery
import rego.v1
default decision := false
decision := true if {
    input.operation in {"secrets.read", "secrets.list"}
    startswith(input.resource, data.prefixes[input.identity])
    not glob.match("secret/*/frozen-*", ["/"], input.resource)
}
"#;

const POLICIES: &str = r#"
permit (
    principal in Team::"app",
    action in [Action::"secrets.read", Action::"secrets.list"],
    resource in Folder::"app"
);
forbid (principal, action, resource) when { resource has frozen && resource.frozen };
"#;

pub(crate) fn rows() -> Vec<Row> {
    vec![rego(), cedar()]
}

/// The policy with these settings, asked the question of which both are about.
fn asked(plugin: &str, settings: &str) -> impl FnMut() + use<> {
    let directory = tempfile::tempdir().unwrap();
    let wasm = std::fs::read(component(plugin)).unwrap();
    std::fs::write(directory.path().join("plugin.wasm"), &wasm).unwrap();
    let digest = Digest::of(&wasm);
    let binding = format!(
        "[[binding]]\nname = \"bench\"\ndecision = \"access\"\n\
         limits = {{ memory_kib = 8192 }}\n\
         plugin = {{ file = \"plugin.wasm\", digest = \"{digest}\" }}\n{settings}"
    );
    std::fs::write(directory.path().join("bench.toml"), binding).unwrap();
    let config = PolicyConfig::new(directory.path().to_owned(), directory.path().join("cache"));
    let host = PolicyHost::open(config).unwrap();
    let question = AccessRequest {
        tenant: TenantId::default_tenant(),
        identity: IDENTITY.to_owned(),
        operation: OPERATION.to_owned(),
        resource: RESOURCE.to_owned(),
        attributes: vec![],
    };
    move || {
        host.decide_access_here(&question).decision.expect("the rules allow it");
    }
}

fn beside(name: &str, mut policy: impl FnMut(), mut native: impl FnMut()) -> Row {
    let (ours, floor) = measure::pair(
        || measure::micros_per_call(TIME, &mut policy),
        || measure::micros_per_call(TIME, &mut native),
    );
    Row::new(name, "µs", ours, floor)
}

fn rego() -> Row {
    let policy = asked(
        "rego",
        &format!(
            "[binding.settings.data.prefixes]\n\"{IDENTITY}\" = \"secret/app/\"\n\
             [binding.settings.policies]\n\"bench.rego\" = '''{MODULE}'''\n"
        ),
    );
    let mut native = Engine::new();
    native.add_policy("bench.rego".to_owned(), MODULE.to_owned()).unwrap();
    let data = json!({ "prefixes": { IDENTITY: "secret/app/" } });
    native.add_data_json(&data.to_string()).unwrap();
    // As the policy does it, from the request's parts on.
    let ask = || {
        let input = json!({
            "identity": IDENTITY,
            "tenant": "default",
            "operation": OPERATION,
            "resource": RESOURCE,
            "attributes": {},
        });
        native.set_input(Value::from(input));
        assert_eq!(native.eval_rule(RULE.to_owned()).unwrap(), Value::from(true));
    };
    beside("policy: rego, in process (floor: regorus called natively)", policy, ask)
}

fn cedar() -> Row {
    let mut policy = asked(
        "cedar",
        &format!(
            "[binding.settings.policies]\n\"bench.cedar\" = '''{POLICIES}'''\n\
             [[binding.settings.entities]]\n\
             uid = {{ type = \"Identity\", id = \"{IDENTITY}\" }}\nattrs = {{}}\n\
             parents = [{{ type = \"Team\", id = \"app\" }}]\n\
             [[binding.settings.entities]]\n\
             uid = {{ type = \"Resource\", id = \"{RESOURCE}\" }}\nattrs = {{ frozen = false }}\n\
             parents = [{{ type = \"Folder\", id = \"app\" }}]\n"
        ),
    );
    let settings = json!({
        "policies": { "bench.cedar": POLICIES },
        "entities": [
            { "uid": { "type": "Identity", "id": IDENTITY }, "attrs": {},
              "parents": [{ "type": "Team", "id": "app" }] },
            { "uid": { "type": "Resource", "id": RESOURCE }, "attrs": { "frozen": false },
              "parents": [{ "type": "Folder", "id": "app" }] },
        ],
    });
    let question = json!({
        "settings": settings,
        "identity": IDENTITY,
        "operation": OPERATION,
        "resource": RESOURCE,
    });
    let (ours, floor) =
        measure::pair(|| measure::micros_per_call(TIME, &mut policy), || natively(&question));
    let name = "policy: cedar, in process (floor: cedar-policy called natively)";
    Row::new(name, "µs", ours, floor)
}

/// Microseconds of a decision by the plugin's own code outside the sandbox. It is built with the plugins,
/// because Cedar would bring features of other crates into the gateway's build.
fn natively(question: &serde_json::Value) -> f64 {
    let plugins = chancery_integration::process::repository().join("plugins/Cargo.toml");
    let mut native = Command::new(env!("CARGO"))
        .args(["run", "--quiet", "--release", "--locked", "--package", "cedar"])
        .args(["--example", "natively", "--manifest-path"])
        .arg(plugins)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    native.stdin.take().unwrap().write_all(question.to_string().as_bytes()).unwrap();
    let output = native.wait_with_output().unwrap();
    assert!(output.status.success(), "the native measurement failed");
    String::from_utf8(output.stdout).unwrap().trim().parse().unwrap()
}
