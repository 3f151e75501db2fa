//! The acceptor against real clients, over loopback sockets.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod certificates;
mod chains;
mod evidence;
mod handshake;
mod harness;
mod hostile;
mod replacing;
