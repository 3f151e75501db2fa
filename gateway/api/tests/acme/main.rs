//! ACME over the router, in-process: real CA, real policies, real validation against loopback; only
//! the TLS in front is missing. Many tests are named after what once broke a client.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "whatever a test did not expect fails it, where it happens"
)]

mod accounts;
mod audit;
mod authorizations;
mod client;
mod clients;
mod damaged;
mod earlier;
mod evidence;
mod finalizing;
mod limits;
mod orders;
/// Pebble, as the tests of the upstream room start it.
#[allow(dead_code, reason = "shared with other tests, which use more of it")]
#[path = "../../../upstream/tests/pebble/environment.rs"]
mod pebble;
mod policies;
mod refusals;
mod requests;
mod restart;
mod revocation;
mod shortage;
mod sizes;
mod steps;
#[path = "../shared/strange.rs"]
mod strange;
mod web;
mod words;
mod world;
