use std::collections::BTreeMap;

use cedar_policy::{Effect, Policy};
use chancery_guest::access::Approval;

/// What a policy says beyond its effect.
#[derive(Debug, Default)]
pub(crate) struct Annotations {
    pub(crate) max_ttl_seconds: Option<u64>,
    pub(crate) reuse_seconds: Option<u64>,
    pub(crate) obligations: BTreeMap<String, String>,
    pub(crate) approval: Option<Approval>,
    pub(crate) code: Option<String>,
    pub(crate) message: Option<String>,
}

impl Annotations {
    /// What those of the policy say. Ones of other names are the author's own.
    ///
    /// # Errors
    /// One cannot be read, or has no meaning at a policy of this effect.
    pub(crate) fn of(policy: &Policy) -> Result<Self, String> {
        let mut said = Self::default();
        for (key, value) in policy.annotations() {
            let wrong = |why: &str| format!("@{key}({value:?}): {why}");
            let effect = match key {
                "max_ttl_seconds" | "reuse_seconds" | "obligation" | "approval" => Effect::Permit,
                "code" | "message" => Effect::Forbid,
                _ => continue,
            };
            if policy.effect() != effect {
                return Err(wrong(&format!("only a {effect} can say this")));
            }
            let seconds =
                || value.parse().map(Some).map_err(|_| wrong("it is no number of seconds"));
            match key {
                "max_ttl_seconds" => said.max_ttl_seconds = seconds()?,
                "reuse_seconds" => said.reuse_seconds = seconds()?,
                "obligation" => {
                    for one in value.split(',') {
                        let (name, value) = one
                            .split_once('=')
                            .ok_or_else(|| wrong("obligations look like name=value"))?;
                        said.obligations.insert(name.trim().to_owned(), value.trim().to_owned());
                    }
                }
                "approval" => {
                    let approval = approval(value);
                    said.approval = Some(approval.ok_or_else(|| {
                        wrong("it is no group, number of people and number of seconds")
                    })?);
                }
                "code" => said.code = Some(value.to_owned()),
                _ => said.message = Some(value.to_owned()),
            }
        }
        Ok(said)
    }
}

/// The approval in `group,count,seconds`.
fn approval(text: &str) -> Option<Approval> {
    let mut parts = text.split(',').map(str::trim);
    let group = parts.next().filter(|group| !group.is_empty())?.to_owned();
    let count = parts.next()?.parse().ok().filter(|count| *count > 0)?;
    let valid_seconds = parts.next()?.parse().ok().filter(|seconds| *seconds > 0)?;
    let message = format!("{count} of the group {group} have to approve");
    let whole = Approval { group, count, valid_seconds, message, audit: String::new() };
    parts.next().is_none().then_some(whole)
}
