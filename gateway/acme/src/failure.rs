//! Why a challenge or an order failed: stored with it, and shown to the client.

use serde::{Deserialize, Serialize};

/// Why a challenge or an order came to nothing: stored with it and shown to the client.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{detail}")]
pub struct Failure {
    /// What kind of failure.
    pub kind: FailureKind,
    /// For the client: what was tried and what came of it.
    pub detail: String,
}

/// The kinds of [`Failure`], after the error types of RFC 8555 §6.7.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FailureKind {
    /// The client's server could not be reached.
    Connection,
    /// A DNS query failed.
    Dns,
    /// The client's server does not speak TLS as it should.
    Tls,
    /// What was found is not what the challenge asked for.
    IncorrectResponse,
    /// The client may not have this.
    Unauthorized,
    /// The name is not certified here.
    RejectedIdentifier,
    /// The CSR cannot be certified.
    BadCsr,
    /// The order asks for what is not possible.
    Malformed,
    /// Time ran out, or the client gave up an authorization.
    Abandoned,
    /// It is the gateway's fault.
    Internal,
}

impl Failure {
    /// A failure of this kind.
    pub fn new(kind: FailureKind, detail: impl Into<String>) -> Self {
        Self { kind, detail: detail.into() }
    }
}

impl FailureKind {
    /// A stable code for the audit log.
    pub fn code(self) -> &'static str {
        match self {
            Self::Connection => "connection",
            Self::Dns => "dns",
            Self::Tls => "tls",
            Self::IncorrectResponse => "incorrect-response",
            Self::Unauthorized => "unauthorized",
            Self::RejectedIdentifier => "rejected-identifier",
            Self::BadCsr => "bad-csr",
            Self::Malformed => "malformed",
            Self::Abandoned => "abandoned",
            Self::Internal => "internal",
        }
    }
}
