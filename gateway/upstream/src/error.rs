//! Why an upstream issued no certificate, and which errors pass by themselves.

use std::time::Duration;

use chancery_records::ViewError;
use chancery_store::{CommitError, ReadError};

use crate::{BadCertificate, ConfigError};

/// The type of a problem that says no more than its status (RFC 7807 §4.2).
pub(crate) const NO_KIND: &str = "about:blank";

/// Why an upstream gave no certificate.
#[derive(Debug, thiserror::Error)]
pub enum UpstreamError {
    /// Only DNS names and IP addresses have identifiers in ACME (RFC 8555 §9.7.7, RFC 8738).
    #[error("{0} cannot be certified over ACME: only DNS names and IP addresses can")]
    UnsupportedName(String),
    /// The other CA offers no http-01 for a name, as for wildcards.
    #[error(
        "the other CA does not offer http-01 for {0}, the only challenge that is answered here"
    )]
    NoChallenge(String),
    /// The other CA could not convince itself that the name is ours.
    #[error("the other CA could not validate {name}: {detail}")]
    NotValidated {
        /// The name.
        name: String,
        /// What the other CA says.
        detail: String,
    },
    /// The other CA refused, with a problem document (RFC 8555 §6.7).
    #[error("the other CA refused: {detail} ({kind})")]
    Refused {
        /// The problem's type, such as `urn:ietf:params:acme:error:rateLimited`.
        kind: String,
        /// Its detail.
        detail: String,
        /// The status of its answer; none if it says none.
        status: Option<u16>,
    },
    /// The token of a challenge is no base64url (RFC 8555 §8.3).
    #[error("the other CA gives a challenge whose token is no base64url text")]
    BadToken,
    /// What is answered to challenges cannot be told.
    #[error("what is answered to the other CA's challenges cannot be told: {0}")]
    Responses(#[from] ViewError),
    /// It took too long.
    #[error("the other CA did not issue within {0:?}")]
    Deadline(Duration),
    /// The other CA has the CSR or is about to get it, and its certificate was not received yet. The order is on record:
    /// the next try goes on with it.
    #[error("the other CA may have issued a certificate, which was not received yet: {0}")]
    AfterFinalize(Box<Self>),
    /// Somebody else tries to get the same certificate at the same time.
    #[error("another try for the same certificate is under way at the other CA")]
    UnderWay,
    /// The other CA could not be reached, or does not speak ACME.
    #[error("the other CA cannot be used: {0}")]
    Unavailable(String),
    /// It issued something else than was asked for.
    #[error("the other CA's certificate is not used: {0}")]
    BadCertificate(#[from] BadCertificate),
    /// The configuration is not usable.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The store cannot be read.
    #[error("what is stored for the other CA cannot be read: {0}")]
    Read(#[from] ReadError),
    /// The store cannot be written.
    #[error("what the other CA needs cannot be stored: {0}")]
    Commit(#[from] CommitError),
    /// The stored account is not what was stored.
    #[error(
        "the stored account at the other CA is not readable; remove the record {0} to make a new one"
    )]
    DamagedAccount(String),
}

impl UpstreamError {
    /// Whether the same request may succeed later, with nobody doing anything: the other CA is out of reach, slow or
    /// ill, or the store is.
    pub fn is_passing(&self) -> bool {
        match self {
            Self::Unavailable(_)
            | Self::Deadline(_)
            | Self::Read(_)
            | Self::Commit(_)
            | Self::Responses(_)
            | Self::AfterFinalize(_)
            | Self::UnderWay => true,
            Self::Refused { kind, status, .. } => {
                let passing = [":badNonce", ":orderNotReady"];
                status.is_some_and(|status| status >= 500)
                    || passing.iter().any(|passing| kind.ends_with(passing))
                    // Not said by the other CA, but by what stands before it.
                    || (kind == NO_KIND && matches!(status, Some(404 | 410)))
            }
            Self::UnsupportedName(_)
            | Self::NoChallenge(_)
            | Self::NotValidated { .. }
            | Self::BadToken
            | Self::BadCertificate(_)
            | Self::Config(_)
            | Self::DamagedAccount(_) => false,
        }
    }
}

impl From<instant_acme::Error> for UpstreamError {
    fn from(error: instant_acme::Error) -> Self {
        match error {
            instant_acme::Error::Api(problem) => Self::Refused {
                kind: problem.r#type.clone().unwrap_or_else(|| NO_KIND.to_owned()),
                detail: problem.to_string(),
                status: problem.status,
            },
            other => Self::Unavailable(chain(&other)),
        }
    }
}

/// An error with its causes: HTTP clients hide the reason behind three of them.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let cause_text = cause.to_string();
        if !text.ends_with(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        next = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_passes_by_itself_is_passing() {
        let refused = |kind: &str, status| UpstreamError::Refused {
            kind: format!("urn:ietf:params:acme:error:{kind}"),
            detail: String::new(),
            status,
        };
        for passing in [
            UpstreamError::Unavailable("connection refused".to_owned()),
            UpstreamError::Deadline(Duration::from_secs(1)),
            refused("serverInternal", Some(500)),
            refused("rateLimited", Some(503)),
            refused("badNonce", Some(400)),
            refused("orderNotReady", Some(403)),
            UpstreamError::Refused {
                kind: NO_KIND.to_owned(),
                detail: String::new(),
                status: Some(404),
            },
            UpstreamError::UnderWay,
            UpstreamError::AfterFinalize(Box::new(refused("unauthorized", Some(403)))),
        ] {
            assert!(passing.is_passing(), "{passing}");
        }
        for lasting in [
            refused("rejectedIdentifier", Some(403)),
            refused("rateLimited", Some(429)),
            refused("accountDoesNotExist", None),
            UpstreamError::NoChallenge("a.example".to_owned()),
        ] {
            assert!(!lasting.is_passing(), "{lasting}");
        }
    }
}
