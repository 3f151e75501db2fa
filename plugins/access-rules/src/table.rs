//! All rules, in as little memory as they need: each page of it costs every evaluation.

use std::collections::BTreeMap;

use chancery_guest::Globs;
use chancery_guest::access::Request;
use serde::Deserialize;

use crate::index::Index;
use crate::rule::{Applies, Deed, Rule, Special, USUAL, wildcard};
use crate::texts::Texts;

/// The rules of a binding.
#[derive(Debug, Clone, Deserialize)]
#[serde(from = "crate::settings::Settings")]
pub struct Rules {
    pub(crate) roles: BTreeMap<String, Globs>,
    /// Patterns for callers. Most rules have theirs in common with others.
    pub(crate) callers: Vec<Globs>,
    /// So it is with what they may do.
    pub(crate) deeds: Vec<Deed>,
    /// A name for each row.
    pub(crate) names: Texts,
    /// The patterns of all rows.
    pub(crate) resources: Texts,
    pub(crate) rows: Vec<Row>,
    pub(crate) index: Index,
}

// SAFETY: there is nothing shared in it, and nothing is left behind when it is read.
#[expect(unsafe_code, reason = "says what the compiler cannot see")]
unsafe impl chancery_guest::Compact for Rules {}

/// What the table has of a rule.
#[derive(Debug, Clone)]
pub(crate) struct Row {
    /// A number among the callers.
    pub(crate) callers: u32,
    /// A number among the deeds.
    pub(crate) deed: u32,
    /// Where its resources end. They begin where those of the row before it end.
    pub(crate) resources_end: u32,
    /// What most rules do not have.
    pub(crate) special: Option<Box<Special>>,
}

impl Rules {
    /// All of them, as they were written.
    pub(crate) fn rules(&self) -> impl Iterator<Item = Rule<'_>> {
        (0..self.names.count()).filter_map(|at| self.rule(at))
    }

    /// Those that may be about the resource, in order.
    pub(crate) fn about(&self, resource: &str) -> impl Iterator<Item = Rule<'_>> {
        let row_of = |pattern| self.rows.partition_point(|row| row.resources_end <= pattern);
        let candidates = self.index.candidates(resource, &self.resources);
        let mut rows: Vec<u32> =
            candidates.filter_map(|pattern| u32::try_from(row_of(pattern)).ok()).collect();
        rows.sort_unstable();
        if wildcard(resource).is_some() {
            // It stands for names that begin with anything.
            rows = (0..self.names.count()).collect();
        }
        rows.dedup();
        rows.into_iter().filter_map(|at| self.rule(at))
    }

    fn rule(&self, at: u32) -> Option<Rule<'_>> {
        let row = self.rows.get(at as usize)?;
        let before = at.checked_sub(1).and_then(|before| self.rows.get(before as usize));
        let start = before.map_or(0, |row| row.resources_end);
        Some(Rule {
            name: self.names.get(at)?,
            identities: self.callers.get(row.callers as usize)?,
            deed: self.deeds.get(row.deed as usize)?,
            resources: (&self.resources, start..row.resources_end),
            special: row.special.as_deref().unwrap_or(&USUAL),
        })
    }

    pub(crate) fn has_role(&self, role: &str) -> bool {
        self.roles.contains_key(role)
    }

    pub(crate) fn applies(&self, rule: &Rule<'_>, request: &Request) -> Applies {
        let is_member = |role: &str| {
            self.roles.get(role).is_some_and(|members| members.matches(&request.identity))
        };
        let is_meant = || rule.names(&request.identity) || rule.roles().any(is_member);
        if !rule.is_about(request) || !is_meant() {
            return Applies::No;
        }
        rule.is_the_case(request)
    }
}
