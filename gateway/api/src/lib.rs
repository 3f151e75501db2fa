//! HTTP, and only HTTP: routing, extractors, and the one place where domain errors become protocol
//! answers. What the operations mean is decided in the rooms below.
//!
//! Three ports: [`tls_router`] for the port that terminates TLS (ACME and the Vault API),
//! [`PlainService`] for the plain port (CRLs, OCSP, issuer certificates, health), which needs no secrecy
//! because everything there is public or signed, and [`MonitoringService`] for metrics.

pub mod acme;
mod body;
mod coding;
mod context;
mod hosts;
mod monitoring;
mod ocsp;
mod ocsp_reply;
mod plain;
mod plain_sources;
mod refused;
mod serving;
mod url;
pub mod vault;

use axum::Router;
use axum::middleware::{from_fn, from_fn_with_state};
use chancery_identity::Clock;

pub use body::{BodyError, Held, Shared};
pub use hosts::{CalledAddress, HostName, Hosts, InvalidHostName, check as check_host};
pub use monitoring::{MonitoringService, MonitoringSources, TokenHealth};
pub use ocsp_reply::{OcspFuture, OcspOutcome, OcspReply, Reusable};
pub use plain::PlainService;
pub use plain_sources::PlainSources;
pub use serving::{Serves, Serving};

/// Everything that is served behind TLS, under the names of `hosts`. Requests must carry a
/// [`chancery_identity::Peer`] extension, which the listener puts there; without one a request counts as
/// coming from nobody. A request without a certificate is the tenant's that the ACME server has for those.
pub fn tls_router(
    acme: acme::AcmeState,
    vault: vault::VaultState,
    hosts: Hosts,
    clock: Clock,
) -> Router {
    let (tenant, access) = (acme.acme.config().tenant.clone(), vault.access.clone());
    Router::new()
        .merge(acme::router(acme))
        .merge(vault::router(vault))
        .layer(from_fn(coding::check))
        .layer(from_fn_with_state(hosts, check_host))
        .layer(from_fn_with_state(access, refused::record))
        .layer(from_fn_with_state((clock, tenant), context::attach))
}
