//! What the plain port and monitoring read of a gateway.

use std::sync::Arc;

use chancery_api::{MonitoringSources, PlainSources, Serves};
use chancery_audit::Patrolled;
use chancery_revocation::CaReport;
use metrics_exporter_prometheus::PrometheusHandle;
use tokio::sync::watch;

use super::tasks::Registry;
use crate::audit;
use crate::gateway::Gateway;
use crate::ocsp;

pub(super) fn plain(gateway: &Arc<Gateway>, serving: Serves) -> PlainSources {
    let (for_crl, for_issuer, for_challenge) = (gateway.clone(), gateway.clone(), gateway.clone());
    let (for_ocsp, for_ssh) = (gateway.clone(), gateway.clone());
    PlainSources {
        crl: Arc::new(move |id| for_crl.crl(id)),
        issuer: Arc::new(move |id| for_issuer.issuer(id)),
        challenge_response: Arc::new(move |token| for_challenge.challenge_response(token)),
        ssh_ca: Arc::new(move |name| for_ssh.ssh_ca(name)),
        serving,
        ocsp: Arc::new(move |issuer, request| ocsp::answer(&for_ocsp, issuer, request)),
    }
}

pub(super) fn monitoring(
    gateway: &Arc<Gateway>,
    metrics: PrometheusHandle,
    serving: Serves,
    tasks: Registry,
    patrolled: Option<watch::Receiver<Patrolled>>,
) -> MonitoringSources {
    let (revocation, gateway) = (gateway.revocation.clone(), gateway.clone());
    MonitoringSources {
        metrics: Arc::new(move || metrics.render()),
        serving,
        tokens: Arc::new(move || gateway.tokens()),
        tasks: Arc::new(move || tasks.health()),
        audit: Arc::new(move || audit::health(patrolled.as_ref())),
        client_cas: Arc::new(move || {
            let cas = revocation.report();
            (cas.iter().all(CaReport::is_well), serde_json::json!({ "client_cas": cas }))
        }),
    }
}
