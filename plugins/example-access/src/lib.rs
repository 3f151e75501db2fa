//! An example to copy: secrets below some prefixes are frozen, so that they can be read but not
//! changed, except by those who hold the key to the freezer.
//!
//! Bind it beside other policies. One denial denies, so it takes away from what they allow:
//!
//! ```toml
//! [[binding]]
//! name = "freeze"
//! decision = "access"
//! plugin = { file = "plugins/example-access.wasm", digest = "sha256:…" }
//! match = { operations = ["secrets.*"] }
//!
//! [binding.settings]
//! frozen = ["secret/app/release-*"]
//! except = ["spiffe://dev.chancery/admin"]
//! ```

use chancery_guest::Globs;
use chancery_guest::access::{Denial, Grant, Policy, Refusal, Request};
use serde::Deserialize;

/// The settings.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Freeze {
    /// Patterns for the resources that are frozen.
    pub frozen: Globs,
    /// Who may change them all the same.
    #[serde(default)]
    pub except: Globs,
}

chancery_guest::access_policy!(Freeze, include_str!("../settings.schema.json"));

impl Policy for Freeze {
    fn evaluate(&self, request: &Request) -> Result<Grant, Refusal> {
        let reads = matches!(request.operation.as_str(), "secrets.read" | "secrets.list");
        if reads
            || !self.frozen.matches(&request.resource)
            || self.except.matches(&request.identity)
        {
            return Ok(Grant::unlimited());
        }
        Err(Denial::new(
            "frozen",
            "this secret is frozen: it can be read but not changed",
            format!("{} on {}", request.operation, request.resource),
        )
        .into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decide(operation: &str, resource: &str, identity: &str) -> Result<Grant, Refusal> {
        let policy = Freeze { frozen: globs("secret/frozen/*"), except: globs("admin") };
        policy.evaluate(&Request {
            tenant: "default".to_owned(),
            identity: identity.to_owned(),
            operation: operation.to_owned(),
            resource: resource.to_owned(),
            attributes: Vec::new(),
        })
    }

    fn globs(pattern: &str) -> Globs {
        [pattern].into_iter().collect()
    }

    #[test]
    fn what_is_frozen_changes_for_the_excepted_only() {
        assert!(decide("secrets.read", "secret/frozen/a", "app").is_ok());
        assert!(decide("secrets.update", "secret/other", "app").is_ok());
        assert!(decide("secrets.update", "secret/frozen/a", "admin").is_ok());
        match decide("secrets.update", "secret/frozen/a", "app") {
            Err(Refusal::Denied(denial)) => assert_eq!(denial.code, "frozen"),
            other => panic!("{other:?}"),
        }
    }
}
