//! What a document of bindings and groups says.

use std::collections::BTreeSet;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use toml::Spanned;

use super::{
    Binding, Digest, Group, InvalidDocument, Known, Limits, Mode, Place, Rule, Scope,
    settings_as_json,
};
use crate::contract::{Capabilities, Decision, Granted};
use crate::question::Patterns;

/// What one document says.
pub(crate) struct Read {
    pub(crate) bindings: Vec<Binding>,
    pub(crate) groups: Vec<Group>,
}

/// Reads one document.
pub(crate) fn read_document(
    file: &Path,
    text: &str,
    known: &Known,
) -> Result<Read, InvalidDocument> {
    let document: Document =
        toml::from_str(text).map_err(|error| InvalidDocument::with_nearest(file, text, &error))?;
    let wrong = |(span, message): Wrong| InvalidDocument {
        place: Place::at(file, text, span.start),
        message,
    };
    let place = |name: &Spanned<String>| Place::at(file, text, name.span().start);
    let bindings = document.binding.into_iter().map(|raw| {
        let place = place(&raw.name);
        raw.into_binding(place, known).map_err(wrong)
    });
    let groups = document.group.into_iter().map(|raw| {
        let place = place(&raw.name);
        raw.into_group(place, known).map_err(wrong)
    });
    Ok(Read {
        bindings: bindings.collect::<Result<_, _>>()?,
        groups: groups.collect::<Result<_, _>>()?,
    })
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    #[serde(default)]
    binding: Vec<RawBinding>,
    #[serde(default)]
    group: Vec<RawGroup>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawGroup {
    name: Spanned<String>,
    decision: Decision,
    #[serde(default)]
    mode: RawMode,
    #[serde(default, rename = "match")]
    scope: RawScope,
    all: Option<Spanned<BTreeSet<String>>>,
    any: Option<Spanned<BTreeSet<String>>>,
    not: Option<Spanned<String>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawBinding {
    name: Spanned<String>,
    decision: Decision,
    #[serde(default)]
    mode: RawMode,
    plugin: RawPlugin,
    #[serde(rename = "match")]
    scope: Option<RawScope>,
    #[serde(default)]
    limits: RawLimits,
    #[serde(default)]
    grants: RawGrants,
    self_test: Option<Spanned<PathBuf>>,
    #[serde(default)]
    settings: toml::Table,
}

#[derive(Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
enum RawMode {
    #[default]
    Enforce,
    Monitor,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawPlugin {
    file: Spanned<PathBuf>,
    digest: Spanned<String>,
    signature: Option<Spanned<PathBuf>>,
    #[serde(default)]
    allow_downgrade: bool,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawScope {
    tenants: Option<Spanned<Patterns>>,
    operations: Option<Spanned<Patterns>>,
    resources: Option<Spanned<Patterns>>,
    requesters: Option<Spanned<Patterns>>,
    profiles: Option<Spanned<Patterns>>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawLimits {
    deadline_ms: Option<Spanned<u64>>,
    memory_kib: Option<Spanned<u64>>,
    answer_kib: Option<Spanned<u64>>,
    log_bytes: Option<Spanned<u64>>,
    concurrent: Option<Spanned<u64>>,
}

/// What the policy may look up.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawGrants {
    #[serde(default)]
    groups: BTreeSet<String>,
    #[serde(default)]
    data_sets: BTreeSet<String>,
    #[serde(default)]
    issuance_counts: bool,
}

/// What is wrong, and the bytes of the document that say so.
type Wrong = (Range<usize>, String);

impl RawBinding {
    fn into_binding(self, place: Place, known: &Known) -> Result<Binding, Wrong> {
        let name = check_name(self.name)?;
        let digest = self.plugin.digest;
        Ok(Binding {
            name,
            place,
            has_match: self.scope.is_some(),
            scope: self.scope.unwrap_or_default().for_decision(self.decision, known)?,
            mode: self.mode.into(),
            plugin: check_file(self.plugin.file)?,
            signature: self.plugin.signature.map(check_file).transpose()?,
            allow_downgrade: self.plugin.allow_downgrade,
            self_test: self.self_test.map(check_file).transpose()?,
            digest: digest
                .get_ref()
                .parse::<Digest>()
                .map_err(|e| (digest.span(), e.to_string()))?,
            limits: self.limits.check()?,
            capabilities: Arc::new(Capabilities {
                groups: Granted::Only(self.grants.groups),
                data_sets: Granted::Only(self.grants.data_sets),
                issuance_counts: self.grants.issuance_counts,
            }),
            settings: settings_as_json(&self.settings),
        })
    }
}

impl RawGroup {
    fn into_group(self, place: Place, known: &Known) -> Result<Group, Wrong> {
        let span = self.name.span();
        let rules = [
            self.all.map(|members| (members.span(), Rule::All(members.into_inner()))),
            self.any.map(|members| (members.span(), Rule::Any(members.into_inner()))),
            self.not.map(|member| (member.span(), Rule::Not(member.into_inner()))),
        ];
        let mut rules = rules.into_iter().flatten();
        let one_of_them =
            "a group has one of `all`, `any` and `not`, with the names of its members";
        let (at, rule) = rules.next().ok_or_else(|| (span, one_of_them.to_owned()))?;
        if let Some((other, _)) = rules.next() {
            return Err((other, one_of_them.to_owned()));
        }
        if rule.members().is_empty() {
            return Err((at, "a group has at least one member".to_owned()));
        }
        Ok(Group {
            name: check_name(self.name)?,
            place,
            scope: self.scope.for_decision(self.decision, known)?,
            mode: self.mode.into(),
            rule,
        })
    }
}

impl From<RawMode> for Mode {
    fn from(mode: RawMode) -> Self {
        match mode {
            RawMode::Enforce => Self::Enforce,
            RawMode::Monitor => Self::Monitor,
        }
    }
}

fn check_name(name: Spanned<String>) -> Result<String, Wrong> {
    let allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    let text = name.get_ref();
    if (1..=64).contains(&text.len()) && text.bytes().all(allowed) {
        return Ok(name.into_inner());
    }
    Err((name.span(), format!("`{text}` is not a binding's name: use 1 to 64 of a-z, 0-9 and '-'")))
}

fn check_file(file: Spanned<PathBuf>) -> Result<PathBuf, Wrong> {
    let inside = file.get_ref().components().all(|c| matches!(c, std::path::Component::Normal(_)));
    if inside && !file.get_ref().as_os_str().is_empty() {
        return Ok(file.into_inner());
    }
    let message = "a plugin's file, and what belongs to it, is named relative to the directory of the \
                   bindings, without `..`";
    Err((file.span(), message.to_owned()))
}

impl RawScope {
    fn for_decision(self, decision: Decision, known: &Known) -> Result<Scope, Wrong> {
        let of_other = |found: [(&str, Option<&Spanned<Patterns>>); 2], kind: &str, own: &str| {
            let mut found = found.into_iter().filter_map(|(key, given)| given.map(|g| (key, g)));
            found.next().map_or(Ok(()), |(key, given)| {
                let message = format!("a binding about {kind} is matched by {own}, not by `{key}`");
                Err((given.span(), message))
            })
        };
        let or_all =
            |given: Option<Spanned<Patterns>>| given.map(Spanned::into_inner).unwrap_or_default();
        if let Some(given) = &self.tenants {
            let checked = given.get_ref().check(|pattern| known.check_tenants(pattern));
            checked.map_err(|message| (given.span(), message))?;
        }
        match decision {
            Decision::Access => {
                let others = [
                    ("requesters", self.requesters.as_ref()),
                    ("profiles", self.profiles.as_ref()),
                ];
                of_other(others, "access", "tenants, operations and resources")?;
                if let Some(given) = &self.operations {
                    let checked = given.get_ref().check(|pattern| known.operations.check(pattern));
                    checked.map_err(|message| (given.span(), message))?;
                }
                Ok(Scope::Access {
                    tenants: or_all(self.tenants),
                    operations: or_all(self.operations),
                    resources: or_all(self.resources),
                })
            }
            Decision::Certificate => {
                let others = [
                    ("operations", self.operations.as_ref()),
                    ("resources", self.resources.as_ref()),
                ];
                of_other(others, "certificates", "tenants, requesters and profiles")?;
                if let Some(given) = &self.requesters {
                    let checked = given.get_ref().check(|pattern| known.check_requesters(pattern));
                    checked.map_err(|message| (given.span(), message))?;
                }
                Ok(Scope::Certificate {
                    tenants: or_all(self.tenants),
                    requesters: or_all(self.requesters),
                    profiles: or_all(self.profiles),
                })
            }
        }
    }
}

impl RawLimits {
    fn check(self) -> Result<Limits, Wrong> {
        let deadline = within("deadline_ms", self.deadline_ms, 20, 1..=10_000)?;
        let memory = within("memory_kib", self.memory_kib, 1024, 64..=65_536)?;
        let answer = within("answer_kib", self.answer_kib, 64, 1..=1024)?;
        let log = within("log_bytes", self.log_bytes, 4096, 0..=65_536)?;
        let concurrent = self.concurrent.map(|given| within("concurrent", Some(given), 1, 1..=256));
        let bytes = |kib: u64| usize::try_from(kib * 1024).unwrap_or(usize::MAX);
        Ok(Limits {
            deadline: Duration::from_millis(deadline),
            memory: bytes(memory),
            answer: bytes(answer),
            log: usize::try_from(log).unwrap_or(usize::MAX),
            concurrent: concurrent.transpose()?.and_then(|count| usize::try_from(count).ok()),
        })
    }
}

fn within(
    key: &str,
    given: Option<Spanned<u64>>,
    default: u64,
    range: std::ops::RangeInclusive<u64>,
) -> Result<u64, Wrong> {
    match given {
        None => Ok(default),
        Some(value) if range.contains(value.get_ref()) => Ok(value.into_inner()),
        Some(value) => {
            let message = format!(
                "{key} is from {} to {}, not {}",
                range.start(),
                range.end(),
                value.get_ref()
            );
            Err((value.span(), message))
        }
    }
}

#[cfg(test)]
mod tests;
