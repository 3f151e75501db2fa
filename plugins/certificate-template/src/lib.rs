//! Certificates by profiles: which keys, which names, which usages, how long.
//!
//! The requester's wish or the settings choose a profile; the profile says who may use it, what must
//! hold, and what the certificate looks like.

mod base;
mod extensions;
mod names;
mod profile;
mod settings;
mod subject;

use std::collections::BTreeMap;

use chancery_guest::Glob;
use chancery_guest::certificate::{Denial, Policy, Proposal, Request, SettingsError};
use serde::Deserialize;

pub use base::Base;
pub use extensions::MustStaple;
pub use names::NameRules;
pub use profile::{CommonName, Profile};
pub use settings::ProfileSettings;

/// The settings.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Profiles {
    /// The profiles by name.
    pub profiles: BTreeMap<String, Profile>,
    /// Which profile applies when the requester names none. The first choice that fits counts;
    /// without one the request is denied.
    #[serde(default)]
    pub choose: Vec<Choice>,
}

/// A choice of profile for requesters that name none.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Choice {
    /// For these requesters, as `acme:*`.
    pub requester: Glob,
    /// This profile.
    pub profile: String,
}

chancery_guest::certificate_policy!(Profiles, include_str!("../settings.schema.json"));

impl Policy for Profiles {
    fn check(&self) -> Result<(), SettingsError> {
        if self.profiles.is_empty() {
            return Err(SettingsError::at("profiles", "there has to be a profile"));
        }
        for (name, profile) in &self.profiles {
            profile.check().map_err(|(key, message)| {
                SettingsError::at(format!("profiles.{name}.{key}"), message)
            })?;
        }
        for (at, choice) in self.choose.iter().enumerate() {
            if !self.profiles.contains_key(&choice.profile) {
                let message = format!("there is no profile `{}` under profiles", choice.profile);
                return Err(SettingsError::at(format!("choose.{at}.profile"), message));
            }
        }
        Ok(())
    }

    fn evaluate(&self, request: &Request) -> Result<Proposal, Denial> {
        let chosen = match &request.profile {
            Some(name) => name,
            None => self
                .choose
                .iter()
                .find(|choice| choice.requester.matches(&request.requester))
                .map(|choice| &choice.profile)
                .ok_or_else(|| {
                    Denial::new("no-profile", "name a profile", "no choice fits the requester")
                })?,
        };
        let Some(profile) = self.profiles.get(chosen) else {
            return Err(Denial::new("unknown-profile", "there is no such profile", &**chosen));
        };
        profile.apply(chosen, request).map(Proposal::Issue)
    }
}

#[cfg(test)]
mod tests;
