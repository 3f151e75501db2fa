//! The parsers and builders against somebody else's implementation (`openssl`) and against hostile
//! input.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod hostile;
mod ocsp_answer;
mod openssl;
mod revocation_list;
