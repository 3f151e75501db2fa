//! What a rule may say, and what it means.

use std::collections::BTreeMap;

use chancery_guest::access::{Approval, Attribute, Denial, Grant, Refusal};
use serde::Deserialize;

/// The value of the rule: a boolean, or an object with one of the decisions.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub(crate) enum Said {
    Plain(bool),
    Whole(Box<Whole>),
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Whole {
    allow: Option<bool>,
    max_ttl_seconds: Option<u64>,
    reuse_seconds: Option<u64>,
    obligations: BTreeMap<String, String>,
    deny: Option<Denied>,
    needs_approval: Option<Approvals>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Denied {
    code: String,
    #[serde(default)]
    message: String,
    #[serde(default)]
    audit: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Approvals {
    group: String,
    count: u32,
    valid_seconds: u64,
    #[serde(default)]
    message: String,
    #[serde(default)]
    audit: String,
}

impl Said {
    /// The decision. A denial counts more than a need for approval, and that more than a permission.
    pub(crate) fn decide(self, rule: &str) -> Result<Grant, Refusal> {
        let whole = match self {
            Self::Plain(allow) => Box::new(Whole { allow: Some(allow), ..Whole::default() }),
            Self::Whole(whole) => whole,
        };
        if let Some(Denied { code, message, audit }) = whole.deny {
            return Err(Denial::new(&code, &message, audit).into());
        }
        if let Some(Approvals { group, count, valid_seconds, message, audit }) =
            whole.needs_approval
        {
            return Err(Approval { group, count, valid_seconds, message, audit }.into());
        }
        if whole.allow != Some(true) {
            return Err(denied(format!("{rule} does not allow it")));
        }
        let obligations = whole.obligations.into_iter();
        Ok(Grant {
            max_ttl_seconds: whole.max_ttl_seconds,
            reuse_seconds: whole.reuse_seconds,
            obligations: obligations.map(|(name, value)| Attribute { name, value }).collect(),
        })
    }
}

/// The denial that no rule gave the words for.
pub(crate) fn denied(audit: String) -> Refusal {
    Denial::new("not-allowed", "the policy does not allow this", audit).into()
}
