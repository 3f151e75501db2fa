//! Only names of some domains are certified.
//!
//! This policy has something against certificates or nothing; others say what they look like.

use chancery_guest::certificate::{Denial, Policy, Proposal, Request};
use serde::Deserialize;

/// The settings of the binding.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Domains {
    /// Domains whose names, and those below them, may be certified.
    pub domains: Vec<String>,
}

chancery_guest::certificate_policy!(Domains, include_str!("../settings.schema.json"));

impl Domains {
    fn has(&self, name: &str) -> bool {
        let below = |domain: &String| {
            name.strip_suffix(domain.as_str()).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
        };
        self.domains.iter().any(below)
    }
}

impl Policy for Domains {
    fn evaluate(&self, request: &Request) -> Result<Proposal, Denial> {
        let foreign = request.names.iter().find(|name| name.kind != "dns" || !self.has(&name.value));
        match foreign {
            None => Ok(Proposal::NoObjection),
            Some(name) => {
                let message = format!("{} is not certified here", name.value);
                Err(Denial::new("name-not-allowed", &message, "no domain of the settings has it"))
            }
        }
    }
}
