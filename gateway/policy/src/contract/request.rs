//! The requests of the contract, as a view of the facts: to hand one over copies no text but into the
//! guest's memory.

use wasmtime::component::{ComponentType, Lower};

use crate::question::{AccessRequest, CertificateFacts};

#[derive(Debug, Clone, Copy, ComponentType, Lower)]
#[component(record)]
pub(crate) struct Attribute<'a> {
    name: &'a str,
    value: &'a str,
}

/// What `access.evaluate` is called with.
#[derive(Debug, ComponentType, Lower)]
#[component(record)]
pub(crate) struct Access<'a> {
    tenant: &'a str,
    identity: &'a str,
    operation: &'a str,
    resource: &'a str,
    attributes: Vec<Attribute<'a>>,
}

/// What `certificate.evaluate` is called with.
#[derive(Debug, ComponentType, Lower)]
#[component(record)]
pub(crate) struct Certificate<'a> {
    tenant: &'a str,
    requester: &'a str,
    identity: Option<&'a str>,
    profile: Option<&'a str>,
    key: KeyFacts<'a>,
    subject: Vec<Attribute<'a>>,
    names: Vec<Name<'a>>,
    validated: Vec<ValidatedName<'a>>,
    extensions: Vec<Extension<'a>>,
    #[component(name = "validity-seconds")]
    validity_seconds: Option<u64>,
    attributes: Vec<Attribute<'a>>,
}

#[derive(Debug, ComponentType, Lower)]
#[component(record)]
pub(crate) struct KeyFacts<'a> {
    algorithm: &'a str,
    bits: u32,
    fingerprint: &'a str,
}

#[derive(Debug, ComponentType, Lower)]
#[component(record)]
pub(crate) struct Name<'a> {
    kind: &'a str,
    value: &'a str,
}

#[derive(Debug, ComponentType, Lower)]
#[component(record)]
pub(crate) struct ValidatedName<'a> {
    kind: &'a str,
    value: &'a str,
    method: &'a str,
}

#[derive(Debug, ComponentType, Lower)]
#[component(record)]
pub(crate) struct Extension<'a> {
    oid: &'a str,
    critical: bool,
    value: &'a [u8],
}

impl<'a> Access<'a> {
    /// The request with this resource in the place of its own.
    pub(crate) fn about(request: &'a AccessRequest, resource: &'a str) -> Self {
        Self {
            tenant: request.tenant.as_str(),
            identity: &request.identity,
            operation: &request.operation,
            resource,
            attributes: attributes(&request.attributes),
        }
    }
}

impl<'a> From<&'a CertificateFacts> for Certificate<'a> {
    fn from(facts: &'a CertificateFacts) -> Self {
        Self {
            tenant: facts.tenant.as_str(),
            requester: &facts.requester,
            identity: facts.identity.as_deref(),
            profile: facts.profile.as_deref(),
            key: KeyFacts {
                algorithm: &facts.key.algorithm,
                bits: facts.key.bits,
                fingerprint: &facts.key.fingerprint,
            },
            subject: attributes(&facts.subject),
            names: facts
                .requested
                .iter()
                .map(|name| Name { kind: &name.kind, value: &name.value })
                .collect(),
            validated: facts
                .validated
                .iter()
                .map(|name| ValidatedName {
                    kind: &name.kind,
                    value: &name.value,
                    method: &name.method,
                })
                .collect(),
            extensions: facts
                .extensions
                .iter()
                .map(|extension| Extension {
                    oid: &extension.oid,
                    critical: extension.critical,
                    value: &extension.value,
                })
                .collect(),
            validity_seconds: facts.requested_validity.map(|validity| validity.as_secs()),
            attributes: attributes(&facts.attributes),
        }
    }
}

fn attributes(pairs: &[(String, String)]) -> Vec<Attribute<'_>> {
    pairs.iter().map(|(name, value)| Attribute { name, value }).collect()
}
