//! The TLS side of the listener: one credential of the gateway's own, client certificates wanted but
//! not required, and the facts about the peer.
//!
//! An [`Acceptor`] turns a connection into a TLS stream and a [`Peer`](chancery_identity::Peer).
//! Credential and client trust are replaced while it runs. What was negotiated under an old trust does
//! not outlive it: resumable sessions are forgotten, [`TrustLease`]s end, and the evidence that a handshake
//! gave holds only if the new trust says the same of it.

mod acceptor;
mod client_path;
mod credential;
mod error;
mod held_key;
mod metrics;
mod paths;
mod peer;
mod refusal;
mod trust;
mod turns;
mod verifier;

pub use acceptor::{Accepted, Acceptor, Protocol, TlsConfig, TrustLease};
pub use credential::{Credential, CredentialError};
pub use error::AcceptError;
pub use trust::{ChainCheck, ChainSettle, ClientCa, ClientChain, ClientTrust, TrustError};
