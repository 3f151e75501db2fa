//! What look-ups answer in a case.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::Deserialize;

use crate::contract::{IssuedTo, LookupError, Lookups};

/// What the look-ups of a case answer. What is not here does not exist; nothing was issued.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CaseLookups {
    /// Members of groups.
    groups: BTreeMap<String, BTreeSet<String>>,
    /// Keys and values of data sets.
    data_sets: BTreeMap<String, BTreeMap<String, String>>,
    /// Certificates issued lately, by name (`dns:a.example`) or requester (`acme:1`).
    issued: BTreeMap<String, u64>,
}

impl CaseLookups {
    /// Look-ups that have these answers, and no others.
    pub fn answer(&self) -> Lookups {
        let Self { groups, data_sets, issued } = self.clone();
        Lookups {
            group: Arc::new(move |_, group, identity| {
                let unknown = || LookupError::Unknown(format!("group `{group}`"));
                Ok(groups.get(group).ok_or_else(unknown)?.contains(identity))
            }),
            data: Arc::new(move |_, set, key| {
                let unknown = || LookupError::Unknown(format!("data set `{set}`"));
                Ok(data_sets.get(set).ok_or_else(unknown)?.get(key).cloned())
            }),
            issued: Arc::new(move |_, to, _| {
                let key = match to {
                    IssuedTo::Name { kind, value } => format!("{kind}:{value}"),
                    IssuedTo::Requester(requester) => requester.clone(),
                };
                Ok(issued.get(&key).copied().unwrap_or(0))
            }),
        }
    }
}
