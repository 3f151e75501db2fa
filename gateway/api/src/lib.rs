//! HTTP, and only HTTP: routing, extractors, and the one place where domain errors become protocol
//! answers. What the operations mean is decided in the rooms below.
//!
//! Two ports: [`tls_router`] for the port that terminates TLS (ACME and the Vault API), and
//! [`PlainService`] for the plain port (CRLs, issuer certificates, health, metrics), which needs no
//! secrecy because everything there is public or signed.

pub mod acme;
mod context;
mod ocsp;
mod plain;
pub mod vault;

use axum::Router;
use chancery_identity::Clock;

pub use ocsp::{OcspFuture, OcspOutcome, OcspReply, Reusable};
pub use plain::{PlainService, PlainSources, TokenHealth};

/// Everything that is served behind TLS. Requests must carry a [`chancery_identity::Peer`]
/// extension, which the listener puts there; without one a request counts as coming from nobody.
pub fn tls_router(acme: acme::AcmeState, vault: vault::VaultState, clock: Clock) -> Router {
    Router::new()
        .merge(acme::router(acme))
        .merge(vault::router(vault))
        .layer(axum::middleware::from_fn_with_state(clock, context::attach))
}
