//! A decision of the policy `rego`, beside regorus called natively with the same module, data and input.

use std::time::Duration;

use chancery_identity::TenantId;
use chancery_policy::{AccessRequest, Digest, PolicyConfig, PolicyHost};
use regorus::{Engine, Value};
use serde_json::json;

use crate::measure;
use crate::policy::component;
use crate::report::Row;

const TIME: Duration = Duration::from_secs(1);
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
const IDENTITY: &str = "spiffe://bench/app";
const RESOURCE: &str = "secret/app/db";

pub(crate) fn rows() -> Vec<Row> {
    let directory = tempfile::tempdir().unwrap();
    let plugin = std::fs::read(component("rego")).unwrap();
    std::fs::write(directory.path().join("rego.wasm"), &plugin).unwrap();
    let digest = Digest::of(&plugin);
    let binding = format!(
        "[[binding]]\nname = \"bench\"\ndecision = \"access\"\n\
         plugin = {{ file = \"rego.wasm\", digest = \"{digest}\" }}\n\
         [binding.settings.data.prefixes]\n\"{IDENTITY}\" = \"secret/app/\"\n\
         [binding.settings.policies]\n\"bench.rego\" = '''{MODULE}'''\n"
    );
    std::fs::write(directory.path().join("bench.toml"), binding).unwrap();
    let config = PolicyConfig::new(directory.path().to_owned(), directory.path().join("cache"));
    let host = PolicyHost::open(config).unwrap();
    let question = AccessRequest {
        tenant: TenantId::default_tenant(),
        identity: IDENTITY.to_owned(),
        operation: "secrets.read".to_owned(),
        resource: RESOURCE.to_owned(),
        attributes: vec![],
    };

    let mut native = Engine::new();
    native.add_policy("bench.rego".to_owned(), MODULE.to_owned()).unwrap();
    let data = json!({ "prefixes": { IDENTITY: "secret/app/" } });
    native.add_data_json(&data.to_string()).unwrap();
    // As the policy does it, from the request's parts on.
    let mut ask = || {
        let input = json!({
            "identity": IDENTITY,
            "tenant": "default",
            "operation": "secrets.read",
            "resource": RESOURCE,
            "attributes": {},
        });
        native.set_input(Value::from(input));
        assert_eq!(native.eval_rule(RULE.to_owned()).unwrap(), Value::from(true));
    };
    let (ours, floor) = measure::pair(
        || {
            measure::micros_per_call(TIME, || {
                host.decide_access_here(&question).decision.expect("the rule allows it");
            })
        },
        || measure::micros_per_call(TIME, &mut ask),
    );
    vec![Row::new("policy: rego, in process (floor: regorus called natively)", "µs", ours, floor)]
}
