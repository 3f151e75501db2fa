//! The PKCS#11 signer against SoftHSM, each test with a token of its own.
//!
//! SoftHSM reads where its tokens are from the environment, and a module exists once per process. So
//! each test starts this binary again for itself alone, with `SOFTHSM2_CONF` set; see [`harness`].

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod devices;
mod faults;
mod harness;
mod opening;
mod pins;
mod signing;
mod wrapping;
