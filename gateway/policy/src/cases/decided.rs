//! What a case expects, and what the policy decided.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::question::{AccessGrant, CertificateTemplate, Denial};

/// A decision as documents of cases write it: one of the members is there.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Decided {
    /// It may be done.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub allow: Option<Allowed>,
    /// This may be certified.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub issue: Option<Issued>,
    /// Nothing speaks against it.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub no_objection: bool,
    /// It may be done once others have approved.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub needs_approval: Option<NeededApproval>,
    /// It may not be done, with this code.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deny: Option<String>,
}

/// What a permission says.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Allowed {
    /// Ceiling on the time-to-live, in seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_ttl_seconds: Option<u64>,
    /// For how many seconds the decision may be reused.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reuse_seconds: Option<u64>,
    /// Obligations by name, with their values.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub obligations: BTreeMap<String, String>,
}

/// What a template says.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Issued {
    /// The profile that was applied.
    pub profile: String,
    /// The subject, by the short names of RFC 4519.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub subject: BTreeMap<String, String>,
    /// The names, as `dns:a.example`.
    pub names: Vec<String>,
    /// Key usages.
    pub key_usages: Vec<String>,
    /// Extended key usages.
    pub extended_key_usages: Vec<String>,
    /// Validity in seconds.
    pub validity_seconds: u64,
    /// Further extensions: the object identifier, `critical` if it is, and the value in hexadecimal
    /// digits, with a space between.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub extensions: Vec<String>,
    /// The issuer that was chosen.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub issuer: Option<String>,
}

/// Whose approval is needed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NeededApproval {
    /// The group whose members may approve.
    pub group: String,
    /// How many of them have to.
    pub count: u32,
    /// For how long their approvals are good.
    pub valid_seconds: u64,
}

impl Decided {
    /// How many decisions are there.
    pub(crate) fn count(&self) -> usize {
        [
            self.allow.is_some(),
            self.issue.is_some(),
            self.no_objection,
            self.needs_approval.is_some(),
            self.deny.is_some(),
        ]
        .into_iter()
        .filter(|there| *there)
        .count()
    }

    /// A permission.
    pub fn of_grant(grant: AccessGrant) -> Self {
        let allow = Allowed {
            max_ttl_seconds: grant.max_ttl.map(|ttl| ttl.as_secs()),
            reuse_seconds: grant.reuse.map(|reuse| reuse.as_secs()),
            obligations: grant.obligations.into_iter().collect(),
        };
        Self { allow: Some(allow), ..Self::default() }
    }

    /// A template, or no objection.
    pub fn of_template(template: Option<CertificateTemplate>) -> Self {
        let Some(template) = template else {
            return Self { no_objection: true, ..Self::default() };
        };
        let names = template.names.iter().map(|name| format!("{}:{}", name.kind, name.value));
        let extensions = template.extensions.iter().map(|extension| {
            let critical = if extension.critical { "critical " } else { "" };
            format!("{} {critical}{}", extension.oid, hex::encode(&extension.value))
        });
        let issue = Issued {
            subject: template.subject.into_iter().collect(),
            names: names.collect(),
            key_usages: template.key_usages,
            extended_key_usages: template.extended_key_usages,
            validity_seconds: template.validity.as_secs(),
            extensions: extensions.collect(),
            profile: template.profile,
            issuer: template.issuer,
        };
        Self { issue: Some(issue), ..Self::default() }
    }

    /// A denial, or the first approval that would change it.
    pub fn of_denial(denial: &Denial) -> Self {
        match denial.approvals.first() {
            None => Self { deny: Some(denial.code.clone()), ..Self::default() },
            Some(approval) => {
                let needed = NeededApproval {
                    group: approval.group.clone(),
                    count: approval.count,
                    valid_seconds: approval.valid_for.as_secs(),
                };
                Self { needs_approval: Some(needed), ..Self::default() }
            }
        }
    }

    /// What this has and the other has not, with `-`, and the other way round with `+`; empty if they
    /// are the same.
    pub fn difference(&self, other: &Self) -> String {
        let (expected, got) = (self.leaves(), other.leaves());
        let mut text = String::new();
        for (path, value) in &expected {
            if got.get(path) != Some(value) {
                let _ = writeln!(text, "- {path} = {value}");
            }
        }
        for (path, value) in &got {
            if expected.get(path) != Some(value) {
                let _ = writeln!(text, "+ {path} = {value}");
            }
        }
        text.truncate(text.trim_end().len());
        text
    }

    /// Each value by its path.
    fn leaves(&self) -> BTreeMap<String, String> {
        fn walk(path: String, value: &Value, leaves: &mut BTreeMap<String, String>) {
            match value {
                Value::Object(members) if !members.is_empty() => {
                    for (name, member) in members {
                        let inner =
                            if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                        walk(inner, member, leaves);
                    }
                }
                // Nothing decided has no value.
                Value::Object(_) if path.is_empty() => {}
                other => {
                    leaves.insert(path, other.to_string());
                }
            }
        }
        let mut leaves = BTreeMap::new();
        let value = serde_json::to_value(self).unwrap_or_default();
        walk(String::new(), &value, &mut leaves);
        leaves
    }
}
