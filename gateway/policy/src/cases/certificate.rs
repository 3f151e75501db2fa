//! Cases about certificates.

use std::collections::BTreeMap;
use std::time::Duration;

use chancery_identity::InvalidTenantId;
use serde::{Deserialize, Deserializer, de::Error};

use super::access::{Values, attributes};
use super::lookups::CaseLookups;
use super::{Case, Decided, Issued};
use crate::contract::Lookups;
use crate::question::{CertificateFacts, CertificateTemplate, KeyFacts, ValidatedName};

/// A question about a certificate and its expected answer.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct CertificateCase {
    name: String,
    request: CertificateQuestion,
    #[serde(default)]
    lookups: CaseLookups,
    issue: Option<Issued>,
    #[serde(default)]
    no_objection: bool,
    deny: Option<String>,
}

/// The question, as documents write it.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CertificateQuestion {
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
#[derive(Debug, Clone)]
struct Proof {
    method: String,
    name: Name,
}

#[derive(Debug, Clone, Deserialize)]
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

impl CertificateQuestion {
    /// The question as the host takes it.
    ///
    /// # Errors
    /// The tenant's name is none.
    pub fn facts(&self) -> Result<CertificateFacts, InvalidTenantId> {
        let name = |name: &Name| crate::Name { kind: name.kind.clone(), value: name.value.clone() };
        Ok(CertificateFacts {
            tenant: self.tenant.parse()?,
            requester: self.requester.clone(),
            identity: self.identity.clone(),
            profile: self.profile.clone(),
            key: KeyFacts {
                algorithm: self.key.clone(),
                bits: self.bits,
                fingerprint: self.fingerprint.clone(),
            },
            subject: self.subject.clone().into_iter().collect(),
            requested: self.names.iter().map(name).collect(),
            validated: self
                .validated
                .iter()
                .map(|proof| ValidatedName {
                    kind: proof.name.kind.clone(),
                    value: proof.name.value.clone(),
                    method: proof.method.clone(),
                })
                .collect(),
            extensions: self
                .extensions
                .iter()
                .map(|extension| crate::Extension {
                    oid: extension.oid.clone(),
                    critical: extension.critical,
                    value: extension.value.clone(),
                })
                .collect(),
            requested_validity: self.validity_seconds.map(Duration::from_secs),
            attributes: attributes(&self.attributes),
        })
    }
}

impl Case for CertificateCase {
    type Question = CertificateFacts;

    fn name(&self) -> &str {
        &self.name
    }

    fn question(&self) -> Result<CertificateFacts, InvalidTenantId> {
        self.request.facts()
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
