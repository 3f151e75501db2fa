//! What a gateway does by itself while it runs: a file for each task, and the registry of all of them.
//!
//! A task of the gateway is done by each gateway: it is about what this one has in memory or on its disk. A
//! task of the installation is done by one of the gateways on a store, the owner of a lease; the fence of the
//! lease is in the task's commits. A gateway that is alone on its store needs no lease.

mod certificates;
mod counts;
mod crls;
mod expired_tokens;
mod failures;
mod fitness;
mod interrupted;
mod memory;
mod ocsp_signer;
mod orders;
mod owner;
mod pause;
mod registry;
mod sealing_keys;
mod survey;
mod task;
mod tls_certificate;
mod transit_keys;
mod unfinished;
mod upkeep;

use std::sync::Arc;
use std::time::Duration;

use chancery_store::redb::Fitness;
use chancery_tls::Acceptor;
use jiff::Timestamp;
use metrics_exporter_prometheus::PrometheusHandle;
use tokio::sync::{Notify, watch};

use crate::config::Config;
use crate::gateway::Gateway;

pub(super) use self::ocsp_signer::Signer;
pub(super) use self::owner::lease;
pub(super) use self::registry::{Registry, Tasks};

/// How often most of them look whether something is due.
const HOUSEKEEPING: Duration = Duration::from_secs(30);

/// What the tasks of a gateway need.
pub(super) struct Needs<'a> {
    pub(super) gateway: &'a Arc<Gateway>,
    pub(super) config: &'a Config,
    pub(super) metrics: PrometheusHandle,
    pub(super) acceptor: Acceptor,
    /// Asks for another TLS certificate.
    pub(super) renew: Arc<Notify>,
    /// When the TLS certificate has to be renewed.
    pub(super) renew_at: Timestamp,
    /// The signers of OCSP answers.
    pub(super) signers: Vec<Signer>,
    /// Is told how the store is.
    pub(super) fitness: watch::Sender<Fitness>,
}

/// The registry of all tasks.
pub(super) fn registry(needs: Needs<'_>) -> Registry {
    let Needs { gateway, config, metrics, acceptor, renew, renew_at, signers, fitness } = needs;
    let mut tasks = vec![
        crls::task(gateway),
        crls::own(gateway),
        expired_tokens::task(gateway),
        transit_keys::task(gateway),
        interrupted::task(gateway),
        counts::task(gateway),
        orders::task(gateway),
        sealing_keys::task(gateway, config.sealing_key_age),
        unfinished::task(gateway),
        survey::task(gateway),
        memory::task(gateway),
        fitness::task(gateway, fitness),
        upkeep::task(metrics),
        tls_certificate::task(gateway, acceptor, config.server.clone(), renew, renew_at),
    ];
    tasks.extend(config.ca.keep_expired.map(|keep| certificates::task(gateway, keep)));
    let signers = signers.into_iter();
    tasks.extend(signers.map(|signer| ocsp_signer::task(gateway, signer, &config.server.names)));
    Registry::new(tasks)
}
