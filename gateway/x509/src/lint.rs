//! The last look before signing: is what was built a certificate (or CRL) that RFC 5280 and this CA's
//! own rules allow? Lints decode the bytes afresh, with another decoder than the code that built them,
//! so that a mistake there does not excuse itself here.

mod certificate;
mod context;
mod crl;
mod extensions;
mod names;
#[cfg(test)]
mod tests;

pub use certificate::certificate;
pub use crl::crl;

/// One thing that is wrong with a certificate or CRL.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{code}: {message}")]
pub struct Finding {
    /// A stable name for the rule.
    pub code: &'static str,
    /// What is wrong, and which rule says so.
    pub message: String,
}

/// Collects findings.
#[derive(Default)]
struct Findings(Vec<Finding>);

impl Findings {
    /// Notes a finding unless the rule holds.
    fn require(&mut self, holds: bool, code: &'static str, message: &str) {
        if !holds {
            self.0.push(Finding { code, message: message.to_owned() });
        }
    }

    /// Notes a finding.
    fn note(&mut self, code: &'static str, message: String) {
        self.0.push(Finding { code, message });
    }
}
