//! Drives the built `chancery` binary from outside, with real clients: certbot, lego, dehydrated, acme.sh,
//! HAProxy, Apache and the libraries of several languages, curl, hvac, `openssl`, pkilint, SoftHSM, and a
//! small ACME client of its own for the requests that no real client would send.
//!
//! Every test has a [`site::Site`]: a loopback address and a directory that no other test uses. On
//! it the test starts a [`gateway::Gateway`] (the binary, on port 0), and, where names must resolve,
//! a [`dns::Dns`] (an authoritative server). Nothing is shared between tests, so they run side by
//! side. What a failed test leaves behind is kept, and its path printed.
//!
//! A missing client is a failure that names the command that installs it, never a skipped test.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stderr,
    clippy::missing_panics_doc,
    reason = "this crate is test code: whatever it did not expect fails the test, where it happens"
)]

mod accepting;
pub mod acme;
pub mod acme_proxy;
pub mod audit;
pub mod clients;
pub mod dns;
pub mod foreign;
pub mod gateway;
pub mod hsm;
pub mod http;
pub mod jws;
pub mod lint;
pub mod pebble;
pub mod plugin;
pub mod process;
pub mod registry;
pub mod responder;
pub mod site;
pub mod their_ca;
pub mod web;
