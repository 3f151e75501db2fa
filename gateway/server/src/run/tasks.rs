//! What a gateway does by itself while it runs.

use std::sync::Arc;
use std::time::Duration;

use chancery_ca::OcspResponder;
use chancery_issuance::LONGEST_SIGNING;
use chancery_records::Fence;
use chancery_tls::Acceptor;
use metrics_exporter_prometheus::PrometheusHandle;
use tokio::sync::Notify;

use crate::config::ServerConfig;
use crate::credential;
use crate::gateway::Gateway;
use crate::ocsp;

/// How often the CRL's age is looked at and metrics are tidied.
const HOUSEKEEPING: Duration = Duration::from_secs(30);
/// How often challenges and orders are looked for that nobody works on.
const TAKE_UP: Duration = Duration::from_secs(2);

/// How often the age of sealing keys is looked at.
const SEALING_KEYS: Duration = Duration::from_hours(1);

/// How often certificates that end are looked at.
const INVENTORY: Duration = Duration::from_mins(10);

pub(super) async fn renew_ocsp_signer(
    gateway: Arc<Gateway>,
    responder: Arc<OcspResponder>,
    profile: String,
    names: Vec<chancery_x509::GeneralName>,
    mut renew_at: jiff::Timestamp,
) {
    loop {
        tokio::time::sleep(credential::wait(gateway.clock.now(), renew_at)).await;
        match ocsp::delegate(&gateway, &responder, &profile, &names).await {
            Ok(next) => renew_at = next,
            Err(error) => tracing::error!(error = format!("{error:#}"), "OCSP signer not renewed"),
        }
    }
}

pub(super) async fn renew_credential(
    gateway: Arc<Gateway>,
    acceptor: Acceptor,
    server: ServerConfig,
    asked: Arc<Notify>,
    mut renew_at: jiff::Timestamp,
) {
    loop {
        let pause = credential::wait(gateway.clock.now(), renew_at);
        let _ = tokio::time::timeout(pause, asked.notified()).await;
        match credential::issue(&gateway, &server).await {
            Ok(own) => {
                acceptor.replace_credential(own.credential);
                renew_at = own.renew_at;
            }
            Err(error) => {
                tracing::error!(error = format!("{error:#}"), "TLS certificate not renewed");
            }
        }
    }
}

/// Replaces the tenants' sealing keys that are in use for long.
pub(super) async fn keep_sealing_keys(gateway: Arc<Gateway>, longest: Option<Duration>) {
    let longest = longest.map_or(u64::MAX, |longest| longest.as_secs());
    let mut tick = tokio::time::interval(SEALING_KEYS);
    loop {
        tick.tick().await;
        let now = u64::try_from(gateway.clock.now().as_second()).unwrap_or(0);
        if let Err(error) = gateway.sealed.barrier.rotate_due(now, longest).await {
            tracing::error!(%error, "sealing keys were not looked after");
        }
    }
}

pub(super) async fn keep_house(gateway: Arc<Gateway>, metrics: PrometheusHandle) {
    let mut tick = tokio::time::interval(HOUSEKEEPING);
    loop {
        tick.tick().await;
        metrics.run_upkeep();
        for ca in gateway.cas() {
            if let Err(error) = ca.refresh_crl(gateway.clock.now(), &Fence::none()).await {
                tracing::error!(%error, ca = ca.name(), "a CRL was not renewed");
            }
        }
        if let Err(error) = gateway.access.sweep_expired_tokens(&Fence::none()).await {
            tracing::error!(%error, "expired tokens were not removed");
        }
        if let Err(error) = gateway.secrets.sweep_keys(&Fence::none()).await {
            tracing::error!(%error, "keys were not rotated or destroyed");
        }
        if let Err(error) =
            gateway.issuance.settle_interrupted(LONGEST_SIGNING, &Fence::none()).await
        {
            tracing::error!(%error, "certificates that were being signed were not settled");
        }
        gateway.counts.forget();
        if let Err(error) = gateway.counts.sweep(&Fence::none()).await {
            tracing::error!(%error, "old counts of certificates were not removed");
        }
        if let Err(error) = gateway.acme.sweep(&Fence::none()).await {
            tracing::error!(%error, "dead orders were not removed");
        }
    }
}

/// Takes up the challenges and orders that were put off, and those of gateways that are gone.
pub(super) async fn take_up_unfinished(gateway: Arc<Gateway>) {
    let mut tick = tokio::time::interval(TAKE_UP);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tick.tick().await;
        if let Err(error) = gateway.acme.take_up().await {
            tracing::error!(%error, "challenges and orders that were put off were not taken up");
        }
    }
}

/// Counts the certificates that end soon, and forgets those that ended long ago.
pub(super) async fn keep_inventory(gateway: Arc<Gateway>, keep_expired: Option<Duration>) {
    let mut tick = tokio::time::interval(INVENTORY);
    loop {
        tick.tick().await;
        for tenant in gateway.tenants.all().iter() {
            if let Err(error) = gateway.issuance.survey(tenant).await {
                tracing::error!(%error, %tenant, "certificates were not counted");
            }
            let Some(keep) = keep_expired else { continue };
            match gateway.issuance.prune(tenant, keep, &Fence::none()).await {
                Ok(0) => {}
                Ok(count) => tracing::info!(count, %tenant, "removed certificates that ended"),
                Err(error) => {
                    tracing::error!(%error, %tenant, "old certificates were not removed");
                }
            }
        }
    }
}
