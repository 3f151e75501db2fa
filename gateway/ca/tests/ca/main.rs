//! The private CA from outside: its life over restarts and faults, what it issues and refuses, its
//! CRLs, and what `openssl` says to all of it.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod ceremonies;
mod chains;
mod crls;
mod failing_store;
mod harness;
mod issue;
mod lifecycle;
mod ocsp;
mod openssl;
mod revocation;
mod shared;
mod small_store;
mod softhsm;
