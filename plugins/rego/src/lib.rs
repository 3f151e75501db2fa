//! Access by policies in Rego, as they are written for Open Policy Agent. What they can see:
//!
//! - `input.identity`, `input.tenant`, `input.operation`, `input.resource`;
//! - `input.attributes`: the context, each attribute with the list of its values;
//! - `data`: what the settings say.
//!
//! One rule decides. It is a boolean, or an object: `{"allow": true, "max_ttl_seconds": 60}`,
//! `{"deny": {"code": "frozen", "message": "…", "audit": "…"}}`,
//! `{"needs_approval": {"group": "managers", "count": 1, "valid_seconds": 1800}}`. A rule that is
//! undefined denies, and so does one that fails.
//!
//! There is no clock, no network and no randomness: time comes as the attribute `time`.

mod decision;

use std::collections::BTreeMap;

use chancery_guest::access::{Grant, Policy, Refusal, Request};
use regorus::{Engine, Value};
use serde::Deserialize;
use serde_json::json;

use decision::{Said, denied};

/// The settings.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    /// Modules by a name for messages.
    policies: BTreeMap<String, String>,
    /// What the modules see as `data`.
    #[serde(default)]
    data: serde_json::Map<String, serde_json::Value>,
    /// The rule that decides.
    #[serde(default = "rule")]
    rule: String,
}

fn rule() -> String {
    "data.chancery.decision".to_owned()
}

/// The modules, ready to be asked.
#[derive(Debug, Deserialize)]
#[serde(try_from = "Settings")]
pub struct Rego {
    engine: Engine,
    rule: String,
}

chancery_guest::access_policy!(Rego, include_str!("../settings.schema.json"));

impl TryFrom<Settings> for Rego {
    type Error = String;

    fn try_from(settings: Settings) -> Result<Self, String> {
        if settings.policies.is_empty() {
            return Err("policies: there has to be a module".to_owned());
        }
        let mut engine = Engine::new();
        for (name, module) in settings.policies {
            let added = engine.add_policy(name.clone(), module);
            added.map_err(|error| format!("policies.{name}: {error}"))?;
        }
        let data = serde_json::Value::Object(settings.data).to_string();
        engine.add_data_json(&data).map_err(|error| format!("data: {error}"))?;
        // What can be prepared is, and a rule that is not there is found now.
        engine.set_input(Value::new_object());
        let asked = engine.eval_rule(settings.rule.clone());
        asked.map_err(|error| format!("rule: {}: {error}", settings.rule))?;
        Ok(Self { engine, rule: settings.rule })
    }
}

impl Policy for Rego {
    fn evaluate(&self, request: &Request) -> Result<Grant, Refusal> {
        let mut attributes = BTreeMap::<&str, Vec<&str>>::new();
        for attribute in &request.attributes {
            attributes.entry(&attribute.name).or_default().push(&attribute.value);
        }
        let input = json!({
            "identity": request.identity,
            "tenant": request.tenant,
            "operation": request.operation,
            "resource": request.resource,
            "attributes": attributes,
        });
        let mut engine = self.engine.clone();
        engine.set_input(Value::from(input));
        let said = engine
            .eval_rule(self.rule.clone())
            .map_err(|error| denied(format!("{} fails: {error}", self.rule)))?;
        if said == Value::Undefined {
            return Err(denied(format!("{} is undefined", self.rule)));
        }
        let said = said.to_json_str().map_err(|error| error.to_string());
        let said: Result<Said, String> =
            said.and_then(|text| serde_json::from_str(&text).map_err(|error| error.to_string()));
        match said {
            Ok(said) => said.decide(&self.rule),
            Err(error) => Err(denied(format!("{} is no decision: {error}", self.rule))),
        }
    }
}

#[cfg(test)]
mod tests;
