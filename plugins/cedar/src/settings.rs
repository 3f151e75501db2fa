use std::collections::BTreeMap;

use cedar_policy::{Entities, Policy, PolicyId, PolicySet, Schema, ValidationMode, Validator};
use serde::Deserialize;

use crate::Cedar;
use crate::annotations::Annotations;

/// The settings.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Settings {
    /// Texts in Cedar, each of one policy or more, by a name for messages.
    policies: BTreeMap<String, String>,
    /// Entities, as Cedar has them in JSON: attributes and groups.
    #[serde(default)]
    entities: Vec<serde_json::Value>,
    /// A schema in Cedar. Policies, entities and requests have to fit it.
    #[serde(default)]
    schema: Option<String>,
    #[serde(default)]
    types: Types,
}

/// Of which entity types principals, actions and resources are.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Types {
    principal: String,
    action: String,
    resource: String,
}

impl Default for Types {
    fn default() -> Self {
        Self {
            principal: "Identity".to_owned(),
            action: "Action".to_owned(),
            resource: "Resource".to_owned(),
        }
    }
}

impl TryFrom<Settings> for Cedar {
    type Error = String;

    fn try_from(settings: Settings) -> Result<Self, String> {
        let Settings { policies, entities, schema, types } = settings;
        let schema = schema.map(|text| read_schema(&text)).transpose()?;
        let policies = read_policies(&policies)?;
        if let Some(schema) = &schema {
            validate(&policies, schema)?;
        }
        let entities = serde_json::Value::Array(entities);
        let entities = Entities::from_json_value(entities, schema.as_ref())
            .map_err(|error| format!("entities: {}", whole(&error)))?;
        let named = |key: &str, name: &str| {
            name.parse().map_err(|error| format!("types.{key}: {name}: {error}"))
        };
        Ok(Self {
            policies,
            entities,
            schema,
            principal: named("principal", &types.principal)?,
            action: named("action", &types.action)?,
            resource: named("resource", &types.resource)?,
        })
    }
}

fn read_schema(text: &str) -> Result<Schema, String> {
    let read = Schema::from_cedarschema_str(text);
    read.map(|(schema, _)| schema).map_err(|error| format!("schema: {}", whole(&error)))
}

/// Each policy gets the name of its text with its place in it, so that decisions can be traced.
fn read_policies(texts: &BTreeMap<String, String>) -> Result<PolicySet, String> {
    let mut all = PolicySet::new();
    for (name, text) in texts {
        let wrong = |why: String| format!("policies.{name}: {why}");
        let read: PolicySet = text.parse().map_err(|error| wrong(whole(&error)))?;
        if read.templates().next().is_some() {
            return Err(wrong("templates (`?principal`) have nothing to be linked to".to_owned()));
        }
        // The parser counts policies from 0 on.
        let mut policies: Vec<&Policy> = read.policies().collect();
        policies.sort_by_key(|policy| place(policy));
        for (at, policy) in policies.into_iter().enumerate() {
            let id = PolicyId::new(format!("{name}#{}", at + 1));
            Annotations::of(policy).map_err(|why| wrong(format!("policy {}: {why}", at + 1)))?;
            all.add(policy.new_id(id)).map_err(|error| wrong(error.to_string()))?;
        }
    }
    if all.is_empty() {
        return Err("policies: there has to be one".to_owned());
    }
    Ok(all)
}

fn place(policy: &Policy) -> usize {
    let id: &str = policy.id().as_ref();
    id.trim_start_matches("policy").parse().unwrap_or(usize::MAX)
}

fn validate(policies: &PolicySet, schema: &Schema) -> Result<(), String> {
    let result = Validator::new(schema.clone()).validate(policies, ValidationMode::Strict);
    match result.validation_errors().next() {
        None => Ok(()),
        Some(error) => Err(format!("policies: they do not fit the schema: {error}")),
    }
}

/// An error with its causes.
fn whole(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}
