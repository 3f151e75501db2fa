//! Whether the client certificates of other people's CAs were revoked: by the CRLs of these CAs, and by their
//! OCSP responders.
//!
//! [`Revocation`] answers [from memory](Revocation::check), at each use of a certificate. What it answers from
//! is fetched in the background, from the addresses of the configuration and from nowhere else: never from
//! those that a certificate names. What a responder says of a certificate that is seen for the first time is
//! [waited for](Revocation::settle) after the handshake, and not for long.

mod authority;
mod fetch;
mod foreign_ca;
mod held;
mod issuer;
mod keep;
mod list;
mod meters;
mod ocsp;
mod read;
mod registry;
mod report;
mod settings;
mod source;

pub use foreign_ca::ForeignCa;
pub use registry::{InvalidCa, Revocation};
pub use report::{CaReport, CrlReport, Freshness, OcspReport};
pub use settings::{InvalidSource, Responder, Settings, Source, WhenUnknown};
