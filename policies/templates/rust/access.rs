//! Some secrets are frozen: they can be read and not changed.
//!
//! One denial denies, so this takes away from what other policies allow.

use chancery_guest::Globs;
use chancery_guest::access::{Denial, Grant, Policy, Refusal, Request};
use serde::Deserialize;

/// The settings of the binding.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Freeze {
    /// Patterns for the resources that are frozen; `*` stands for any characters.
    pub frozen: Globs,
    /// Patterns for the identities that may change them all the same.
    #[serde(default)]
    pub except: Globs,
}

chancery_guest::access_policy!(Freeze, include_str!("../settings.schema.json"));

impl Policy for Freeze {
    fn evaluate(&self, request: &Request) -> Result<Grant, Refusal> {
        let reads = matches!(request.operation.as_str(), "secrets.read" | "secrets.list");
        let excepted = self.except.matches(&request.identity);
        if reads || excepted || !self.frozen.matches(&request.resource) {
            return Ok(Grant::unlimited());
        }
        let message = "this secret is frozen: it can be read and not changed";
        let audit = format!("{} on {}", request.operation, request.resource);
        Err(Denial::new("frozen", message, audit).into())
    }
}
