//! Certificates that the operator issues by hand to identities: the first administrator's, and
//! those of `chancery dev`. They pass policy, lint, inventory and audit like all others.

use std::path::Path;

use anyhow::{Context, Result};
use chancery_identity::SpiffeId;
use chancery_x509::{GeneralName, pem};

use crate::files::{self, Readers};
use crate::gateway::Gateway;
use crate::request::{Wanted, certified};

/// Who the policies see as the requester.
const OPERATOR: &str = "operator";

/// The profile that is asked for.
const PROFILE: &str = "service";

/// Makes a key and has a certificate for `id` issued; writes both.
///
/// # Errors
/// If policy denies it, or a file cannot be written.
pub(crate) async fn issue(gateway: &Gateway, id: &SpiffeId, cert: &Path, key: &Path) -> Result<()> {
    let names = [GeneralName::Uri(id.to_string())];
    let wanted =
        Wanted { requester: OPERATOR, profile: PROFILE, names: &names, method: "operator" };
    let made = certified(gateway, wanted).await;
    let own = made.with_context(|| format!("issuing a certificate for {id}"))?;
    let pem = pem::encode(pem::PRIVATE_KEY, &own.key);
    files::replace(key, pem.as_bytes(), Readers::Owner)?;
    files::replace(cert, own.issued.pem().as_bytes(), Readers::Everybody)
}
