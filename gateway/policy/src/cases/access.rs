//! Cases about access.

use std::collections::BTreeMap;

use chancery_identity::InvalidTenantId;
use serde::Deserialize;

use super::lookups::CaseLookups;
use super::{Allowed, Case, Decided, NeededApproval};
use crate::contract::Lookups;
use crate::question::{AccessGrant, AccessRequest};

/// A question about access and its expected answer.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct AccessCase {
    name: String,
    request: AccessQuestion,
    #[serde(default)]
    lookups: CaseLookups,
    allow: Option<Allowed>,
    needs_approval: Option<NeededApproval>,
    deny: Option<String>,
}

/// The question, as documents write it.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AccessQuestion {
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
#[serde(untagged, expecting = "expected a text or a list of texts")]
pub(super) enum Values {
    One(String),
    Several(Vec<String>),
}

pub(super) fn attributes(given: &BTreeMap<String, Values>) -> Vec<(String, String)> {
    given
        .iter()
        .flat_map(|(name, values)| {
            let values = match values {
                Values::One(value) => std::slice::from_ref(value),
                Values::Several(values) => values.as_slice(),
            };
            values.iter().map(|value| (name.clone(), value.clone()))
        })
        .collect()
}

impl AccessQuestion {
    /// The question as the host takes it.
    ///
    /// # Errors
    /// The tenant's name is none.
    pub fn request(&self) -> Result<AccessRequest, InvalidTenantId> {
        Ok(AccessRequest {
            tenant: self.tenant.parse()?,
            identity: self.identity.clone(),
            operation: self.operation.clone(),
            resource: self.resource.clone(),
            attributes: attributes(&self.attributes),
        })
    }
}

impl Case for AccessCase {
    type Question = AccessRequest;

    fn name(&self) -> &str {
        &self.name
    }

    fn question(&self) -> Result<AccessRequest, InvalidTenantId> {
        self.request.request()
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
