//! Several gateways on one store: what one of them does counts at the others.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "whatever a test did not expect fails it, where it happens"
)]

mod acme;
mod background;
mod certificates;
mod secrets;
mod world;
