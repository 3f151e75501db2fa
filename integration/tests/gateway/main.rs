//! The built binary, from outside.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "whatever a test did not expect fails it, where it happens"
)]

mod harness;
