//! The gateway's own TLS certificate, certified for a short time by the gateway's CA, renewed at two thirds
//! of its life and at each reload: for a key that lives in memory only and is another one each time, or for
//! one that stays in the HSM.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use chancery_identity::TenantId;
use chancery_keys::pkcs11::Pkcs11Signer;
use chancery_keys::{KeyName, KeyType};
use chancery_tls::Credential;
use chancery_x509::GeneralName;
use jiff::Timestamp;

use crate::config::ServerConfig;
use crate::gateway::Gateway;
use crate::request::{Certified, Wanted, certified, certified_held};

/// Who the policies see as the requester; also the profile that is asked for.
const GATEWAY: &str = "gateway";

/// A credential and when to renew it.
pub(crate) struct OwnCredential {
    pub(crate) credential: Credential,
    pub(crate) renew_at: Timestamp,
}

/// Has a certificate for the gateway's own names issued.
pub(crate) async fn issue(gateway: &Gateway, server: &ServerConfig) -> Result<OwnCredential> {
    const WHAT: &str = "issuing the gateway's own TLS certificate, which certificate policies decide about \
                        too (requester `internal:gateway`, profile `gateway`)";
    let now = gateway.clock.now();
    let wanted = wanted(&server.names);
    let (credential, not_after) = if let Some(name) = &server.tls_hsm_key {
        let hsm = in_hsm(gateway, name).await?;
        let issued = certified_held(gateway, wanted, &*hsm, name).await.context(WHAT)?;
        (Credential::held(issued.chain, hsm, name.clone())?, issued.not_after)
    } else {
        let Certified { key, issued } = certified(gateway, wanted).await.context(WHAT)?;
        (Credential::new(issued.chain, &key)?, issued.not_after)
    };
    let life = not_after.duration_since(now);
    Ok(OwnCredential { credential, renew_at: now + (life / 3 * 2) })
}

/// What the gateway wants for itself.
pub(crate) fn wanted(names: &[GeneralName]) -> Wanted<'_> {
    let tenant = TenantId::default_tenant();
    Wanted { tenant, requester: GATEWAY, profile: GATEWAY, names, method: "configuration" }
}

/// The HSM that has this key, which is made on the first start.
async fn in_hsm(gateway: &Gateway, name: &KeyName) -> Result<Arc<Pkcs11Signer>> {
    let hsm = gateway.hsm.clone().context("server.tls_hsm_key needs an HSM: configure [pkcs11]")?;
    if !hsm.contains(name) {
        hsm.generate(name, KeyType::EcdsaP256).await.context("making server.tls_hsm_key")?;
    }
    Ok(hsm)
}

/// `renew_at`, but at least a minute from now, so that a policy with absurdly short certificates cannot make the
/// gateway spin.
pub(crate) fn not_before_a_minute(now: Timestamp, renew_at: Timestamp) -> Timestamp {
    renew_at.max(now + Duration::from_mins(1))
}
