use std::collections::BTreeMap;

use serde::Deserialize;

use super::lookups::CaseLookups;
use super::{Allowed, Case, Decided, NeededApproval};
use crate::world::{access, types};
use crate::{AccessGrant, Lookups};

/// A question about access and its expected answer.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct AccessCase {
    name: String,
    request: Request,
    #[serde(default)]
    lookups: CaseLookups,
    allow: Option<Allowed>,
    needs_approval: Option<NeededApproval>,
    deny: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Request {
    #[serde(default = "super::certificate::default_tenant")]
    tenant: String,
    identity: String,
    operation: String,
    resource: String,
    #[serde(default)]
    attributes: BTreeMap<String, Values>,
}

/// An attribute's value, or several.
#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
pub(super) enum Values {
    One(String),
    Several(Vec<String>),
}

pub(super) fn attributes(given: &BTreeMap<String, Values>) -> Vec<types::Attribute> {
    given
        .iter()
        .flat_map(|(name, values)| {
            let values = match values {
                Values::One(value) => std::slice::from_ref(value),
                Values::Several(values) => values.as_slice(),
            };
            values.iter().map(|value| types::Attribute { name: name.clone(), value: value.clone() })
        })
        .collect()
}

impl Case for AccessCase {
    type Question = access::Request;

    fn name(&self) -> &str {
        &self.name
    }

    fn question(&self) -> access::Request {
        access::Request {
            tenant: self.request.tenant.clone(),
            identity: self.request.identity.clone(),
            operation: self.request.operation.clone(),
            resource: self.request.resource.clone(),
            attributes: attributes(&self.request.attributes),
        }
    }

    fn tenant(&self) -> &str {
        &self.request.tenant
    }

    fn lookups(&self) -> Lookups {
        self.lookups.answer()
    }

    fn expected(&self) -> Decided {
        Decided {
            allow: self.allow.clone(),
            needs_approval: self.needs_approval.clone(),
            deny: self.deny.clone(),
            ..Decided::default()
        }
    }

    fn decided(grant: AccessGrant) -> Decided {
        Decided::of_grant(grant)
    }
}
