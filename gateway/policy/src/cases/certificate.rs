use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, de::Error};

use super::access::{Values, attributes};
use super::lookups::CaseLookups;
use super::{Case, Decided, Issued};
use crate::world::{certificate, types};
use crate::{CertificateTemplate, Lookups};

/// A question about a certificate and its expected answer.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct CertificateCase {
    name: String,
    request: Request,
    #[serde(default)]
    lookups: CaseLookups,
    issue: Option<Issued>,
    #[serde(default)]
    no_objection: bool,
    deny: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Request {
    #[serde(default = "default_tenant")]
    tenant: String,
    requester: String,
    identity: Option<String>,
    profile: Option<String>,
    #[serde(default = "default_key")]
    key: String,
    #[serde(default = "default_bits")]
    bits: u32,
    #[serde(default)]
    fingerprint: String,
    /// By the short names of RFC 4519.
    #[serde(default)]
    subject: BTreeMap<String, String>,
    names: Vec<Name>,
    #[serde(default)]
    validated: Vec<Proof>,
    #[serde(default)]
    extensions: Vec<Extension>,
    validity_seconds: Option<u64>,
    #[serde(default)]
    attributes: BTreeMap<String, Values>,
}

/// `KIND:NAME`.
#[derive(Debug, Clone)]
struct Name {
    kind: String,
    value: String,
}

/// `METHOD KIND:NAME`.
#[derive(Debug)]
struct Proof {
    method: String,
    name: Name,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Extension {
    oid: String,
    #[serde(default)]
    critical: bool,
    /// Hexadecimal digits.
    #[serde(deserialize_with = "bytes")]
    value: Vec<u8>,
}

pub(super) fn default_tenant() -> String {
    "default".to_owned()
}

fn default_key() -> String {
    "ecdsa-p256".to_owned()
}

fn default_bits() -> u32 {
    256
}

fn bytes<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<u8>, D::Error> {
    let text = String::deserialize(from)?;
    hex::decode(&text).map_err(|_| D::Error::custom(format!("`{text}` are not hexadecimal digits")))
}

impl Name {
    fn parse(text: &str) -> Option<Self> {
        let (kind, value) = text.split_once(':')?;
        Some(Self { kind: kind.to_owned(), value: value.to_owned() })
    }
}

impl<'de> Deserialize<'de> for Name {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        Self::parse(&text).ok_or_else(|| {
            D::Error::custom(format!("`{text}` is no KIND:NAME, as `dns:a.example`"))
        })
    }
}

impl<'de> Deserialize<'de> for Proof {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        let parsed = text.split_once(' ').and_then(|(method, name)| {
            Some(Self { method: method.to_owned(), name: Name::parse(name)? })
        });
        parsed.ok_or_else(|| {
            D::Error::custom(format!("`{text}` is no METHOD KIND:NAME, as `dns-01 dns:a.example`"))
        })
    }
}

impl Case for CertificateCase {
    type Question = certificate::Request;

    fn name(&self) -> &str {
        &self.name
    }

    fn question(&self) -> certificate::Request {
        let request = &self.request;
        let name =
            |name: &Name| certificate::Name { kind: name.kind.clone(), value: name.value.clone() };
        certificate::Request {
            tenant: request.tenant.clone(),
            requester: request.requester.clone(),
            identity: request.identity.clone(),
            profile: request.profile.clone(),
            key: certificate::KeyFacts {
                algorithm: request.key.clone(),
                bits: request.bits,
                fingerprint: request.fingerprint.clone(),
            },
            subject: request
                .subject
                .iter()
                .map(|(name, value)| types::Attribute { name: name.clone(), value: value.clone() })
                .collect(),
            names: request.names.iter().map(name).collect(),
            validated: request
                .validated
                .iter()
                .map(|proof| certificate::ValidatedName {
                    kind: proof.name.kind.clone(),
                    value: proof.name.value.clone(),
                    method: proof.method.clone(),
                })
                .collect(),
            extensions: request
                .extensions
                .iter()
                .map(|extension| certificate::Extension {
                    oid: extension.oid.clone(),
                    critical: extension.critical,
                    value: extension.value.clone(),
                })
                .collect(),
            validity_seconds: request.validity_seconds,
            attributes: attributes(&request.attributes),
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
            issue: self.issue.clone(),
            no_objection: self.no_objection,
            deny: self.deny.clone(),
            ..Decided::default()
        }
    }

    fn decided(template: Option<CertificateTemplate>) -> Decided {
        Decided::of_template(template)
    }
}
