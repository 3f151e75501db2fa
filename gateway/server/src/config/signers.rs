//! Reads the keys that must sign a tenant's policies: `tenants.policy_signers`.

use std::path::Path;

use anyhow::{Context, Result};
use chancery_policy::{SignerKey, Signers};
use chancery_x509::{PublicKey, pem};

use super::document::Tenant;
use super::validate::Check;

impl Check<'_> {
    /// The keys whose signatures tenants require. A tenant of which a file cannot be used is left with
    /// too few keys, but then the configuration is refused anyway.
    pub(super) fn policy_signers(&mut self, tenants: &[Tenant]) -> Signers {
        let mut signers = Signers::new();
        for tenant in tenants.iter().filter(|tenant| !tenant.policy_signers.is_empty()) {
            let mut keys = vec![];
            for path in &tenant.policy_signers {
                let path = self.existing_file("tenants.policy_signers", path);
                match public_keys(&path) {
                    Ok(found) => keys.extend(found),
                    Err(error) => {
                        let what = format!("{}: {error:#}", path.display());
                        self.refuse::<()>("tenants.policy_signers", what);
                    }
                }
            }
            if let Ok(id) = tenant.id.parse() {
                signers.insert(id, keys);
            }
        }
        signers
    }
}

/// The public keys in a PEM file.
///
/// # Errors
/// If there is none, or one is of no supported kind or weak.
pub(crate) fn public_keys(path: &Path) -> Result<Vec<SignerKey>> {
    let text = std::fs::read_to_string(path).context("it cannot be read")?;
    let mut keys = vec![];
    for spki in pem::decode(pem::PUBLIC_KEY, &text)? {
        PublicKey::from_spki_der(&spki)?.check_strength()?;
        keys.push(SignerKey { spki });
    }
    Ok(keys)
}
