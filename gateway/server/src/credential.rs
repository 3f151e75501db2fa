//! The gateway's own TLS certificate: a software key that lives in memory only, certified for a
//! short time by the gateway's CA, renewed at two thirds of its life and at each reload.

use std::time::Duration;

use anyhow::{Context, Result};
use chancery_tls::Credential;
use chancery_x509::GeneralName;
use jiff::Timestamp;

use crate::gateway::Gateway;
use crate::request::{Certified, Wanted, certified};

/// Who the policies see as the requester; also the profile that is asked for.
const GATEWAY: &str = "gateway";

/// A credential and when to renew it.
pub(crate) struct OwnCredential {
    pub(crate) credential: Credential,
    pub(crate) renew_at: Timestamp,
}

/// Has a certificate for the gateway's own names issued.
pub(crate) async fn issue(gateway: &Gateway, names: &[GeneralName]) -> Result<OwnCredential> {
    let now = gateway.clock.now();
    let wanted = Wanted { requester: GATEWAY, profile: GATEWAY, names, method: "configuration" };
    let Certified { key, issued } =
        certified(gateway, wanted).await.context("issuing the gateway's own TLS certificate")?;
    let life = issued.not_after.duration_since(now);
    let renew_at = now + (life / 3 * 2);
    Ok(OwnCredential { credential: Credential::new(issued.chain, &key)?, renew_at })
}

/// How long to wait before `renew_at`; at least a minute, so that a policy with absurdly short
/// certificates cannot make the gateway spin.
pub(crate) fn wait(now: Timestamp, renew_at: Timestamp) -> Duration {
    let left = renew_at.duration_since(now);
    Duration::try_from(left).unwrap_or_default().max(Duration::from_mins(1))
}
