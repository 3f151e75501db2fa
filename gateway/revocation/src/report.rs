//! The report on the CRLs and the OCSP responder of a client CA, for operators.

use jiff::Timestamp;
use serde::Serialize;

use crate::WhenUnknown;
pub use crate::list::Freshness;

/// What is known of the revocations of one client CA.
#[derive(Debug, Clone, Serialize)]
pub struct CaReport {
    /// The file with its certificates.
    pub ca: String,
    /// What happens with certificates whose status is unknown.
    pub when_unknown: &'static str,
    /// Each of its CRLs.
    pub crls: Vec<CrlReport>,
    /// Its responder, if it has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ocsp: Option<OcspReport>,
}

/// What is known of one place with a CRL.
#[derive(Debug, Clone, Serialize)]
pub struct CrlReport {
    /// Where it is.
    pub source: String,
    /// Whether there is one that counts.
    pub status: Freshness,
    /// When it was made.
    pub this_update: Option<Timestamp>,
    /// When the next one is there at the latest.
    pub next_update: Option<Timestamp>,
    /// Its number, in hex.
    pub number: Option<String>,
    /// How many certificates are in it.
    pub revoked: Option<usize>,
    /// When it was last looked for with success.
    pub looked: Option<Timestamp>,
    /// Why the last look gave nothing.
    pub error: Option<String>,
}

/// What is known of a responder.
#[derive(Debug, Clone, Serialize)]
pub struct OcspReport {
    /// Where it is.
    pub responder: String,
    /// Of how many certificates an answer is remembered, or that there was none.
    pub remembered: usize,
    /// Why the last question was not answered, if it was not.
    pub error: Option<String>,
}

impl CaReport {
    /// Whether there is something for an operator to see to: a CRL that does not count, or a question
    /// without an answer.
    pub fn is_well(&self) -> bool {
        let ocsp = self.ocsp.as_ref().is_none_or(|ocsp| ocsp.error.is_none());
        ocsp && self.crls.iter().all(|crl| crl.status.is_current())
    }
}

pub(crate) fn name(when_unknown: WhenUnknown) -> &'static str {
    match when_unknown {
        WhenUnknown::Refuse => "refuse",
        WhenUnknown::Accept => "accept",
    }
}
