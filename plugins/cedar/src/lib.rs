//! Access by policies in Cedar, as they are written for its authorizer. What they are asked:
//!
//! - the principal is the identity, the action the operation, the resource the resource; `types` says
//!   of which entity types;
//! - `context.tenant`, and `context.attributes`: each attribute with the set of its values.
//!
//! Cedar decides: one `forbid` that applies denies, and without a `permit` access is denied. Annotations
//! of the policies that decide say more: `@max_ttl_seconds("60")`, `@reuse_seconds("5")`,
//! `@obligation("wrap=120")`, `@approval("managers,2,1800")` (group, how many, for how many seconds) at a
//! `permit`, `@code("frozen")` and `@message("…")` at a `forbid`. Of several, the strictest counts.
//!
//! Cedar leaves out a policy that fails. Here, a `forbid` that fails denies.

mod annotations;
mod decision;
mod settings;

use std::collections::{BTreeMap, HashMap};

use cedar_policy::{
    Authorizer, Context, Entities, EntityId, EntityTypeName, EntityUid, PolicySet,
    Request as Question, RestrictedExpression, Schema,
};
use chancery_guest::access::{Grant, Policy, Refusal, Request};
use serde::Deserialize;

use crate::decision::failed;
use crate::settings::Settings;

/// The policies, ready to be asked.
#[derive(Debug, Deserialize)]
#[serde(try_from = "Settings")]
pub struct Cedar {
    policies: PolicySet,
    entities: Entities,
    schema: Option<Schema>,
    principal: EntityTypeName,
    action: EntityTypeName,
    resource: EntityTypeName,
}

chancery_guest::access_policy!(Cedar, include_str!("../settings.schema.json"));

impl Policy for Cedar {
    fn evaluate(&self, request: &Request) -> Result<Grant, Refusal> {
        let question = self.question(request).map_err(failed)?;
        let answer = Authorizer::new().is_authorized(&question, &self.policies, &self.entities);
        decision::of(&answer, &self.policies, request)
    }
}

impl Cedar {
    fn question(&self, request: &Request) -> Result<Question, String> {
        let uid = |kind: &EntityTypeName, id: &str| {
            EntityUid::from_type_name_and_id(kind.clone(), EntityId::new(id))
        };
        let mut attributes = BTreeMap::<&str, Vec<RestrictedExpression>>::new();
        for attribute in &request.attributes {
            let value = RestrictedExpression::new_string(attribute.value.clone());
            attributes.entry(&attribute.name).or_default().push(value);
        }
        let sets: HashMap<String, RestrictedExpression> = attributes
            .into_iter()
            .map(|(name, values)| (name.to_owned(), RestrictedExpression::new_set(values)))
            .collect();
        let attributes =
            RestrictedExpression::new_record(sets).map_err(|error| error.to_string())?;
        let tenant = RestrictedExpression::new_string(request.tenant.clone());
        let context = Context::from_pairs([
            ("tenant".to_owned(), tenant),
            ("attributes".to_owned(), attributes),
        ]);
        Question::new(
            uid(&self.principal, &request.identity),
            uid(&self.action, &request.operation),
            uid(&self.resource, &request.resource),
            context.map_err(|error| error.to_string())?,
            self.schema.as_ref(),
        )
        .map_err(|error| error.to_string())
    }
}

#[cfg(test)]
mod tests;
