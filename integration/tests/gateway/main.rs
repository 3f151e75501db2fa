//! The built binary, from outside.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "whatever a test did not expect fails it, where it happens"
)]

mod acme_clients;
mod acme_requests;
mod attacks;
mod audit;
mod backup;
mod ceremonies;
mod certificates;
mod check;
mod client_certificates;
mod client_matrix;
mod configuration;
mod connections;
mod damage;
mod directory;
mod files;
mod foreign_revocation;
mod guards;
mod harness;
mod health;
mod hsm;
mod hsm_faults;
mod http2;
mod inventory;
mod keys;
mod lifecycle;
mod lost_keys;
mod ocsp;
mod operators;
mod packaging;
mod parked;
mod paths;
mod pki;
mod plugins;
mod policy_cli;
mod policy_languages;
mod policy_registry;
mod policy_set;
mod process;
mod readme;
mod restart;
mod revocation;
mod root_key;
mod secrets;
mod ssh;
mod start;
mod telemetry;
mod tenants;
mod tour;
mod trust;
mod upstream;
mod vault_clients;
