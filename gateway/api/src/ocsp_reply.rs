//! What a responder answers to an OCSP request.

use std::pin::Pin;

use bytes::Bytes;
use jiff::Timestamp;

/// What becomes of a request.
pub enum OcspOutcome {
    /// The answer was there.
    Ready(OcspReply),
    /// It is on its way.
    Pending(OcspFuture),
}

/// An answer on its way.
pub type OcspFuture = Pin<Box<dyn Future<Output = OcspReply> + Send>>;

/// An answer to an OCSP request.
#[derive(Debug, Clone)]
pub struct OcspReply {
    /// The response, DER.
    pub der: Bytes,
    /// For how long others who ask the same may be given it; none if they may not.
    pub reusable: Option<Reusable>,
}

/// The time of an answer.
#[derive(Debug, Clone, Copy)]
pub struct Reusable {
    /// When it was made.
    pub from: Timestamp,
    /// When it ends.
    pub until: Timestamp,
    /// How many seconds are left.
    pub seconds: u64,
}
