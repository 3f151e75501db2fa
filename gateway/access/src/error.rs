//! Why access is refused or could not be decided, and the stable codes of failed authentication.

use chancery_audit::AuditError;
use chancery_gate::Refused;
use chancery_identity::{EvidenceError, NoIdentity};
use chancery_policy::LoadError;
use chancery_records::ViewError;
use chancery_store::{CommitError, InvalidKey, ReadError};

/// Why access was not given, or could not be decided.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AccessError {
    /// Nobody known is calling.
    #[error(transparent)]
    Unauthenticated(#[from] Unauthenticated),
    /// The gate refused the operation.
    #[error(transparent)]
    Gate(#[from] Refused),
    /// Nothing has the name.
    #[error("there is no such thing")]
    NotFound,
    /// A group or data set, or its name, is out of bounds.
    #[error("{0}")]
    Directory(&'static str),
    /// The policies were not taken into use; the set before stays in force.
    #[error("the policies stay as they are: {0}")]
    Policies(LoadError),
    /// The operation is about a token, and none was shown.
    #[error("this needs a token: log in with the certificate first")]
    TokenNeeded,
    /// The token lives as long as it may already. In Vault's words, which clients look for.
    #[error("lease is not renewable")]
    NotRenewable,
    /// The token has lived as long as it may.
    #[error("the token has reached the end of its longest lifetime: log in again")]
    TokenAtItsEnd,
    /// The identity has as many tokens as it may have.
    #[error(
        "this identity has {most} tokens that have not ended, and may have no more: use a token for many \
         requests, and give it up (auth/token/revoke-self) when you are done"
    )]
    TooManyTokens {
        /// How many it may have.
        most: usize,
    },
    /// The store could not be read.
    #[error("tokens cannot be read: {0}")]
    Read(#[from] ReadError),
    /// The store could not be written.
    #[error("tokens cannot be written: {0}")]
    Commit(#[from] CommitError),
    /// What is in memory of the directory may be out of date, or is damaged.
    #[error(transparent)]
    View(#[from] ViewError),
    /// A token's record is not what this release writes.
    #[error("the token record {0} cannot be understood: was it written by a newer release?")]
    Record(String),
    /// The system's random number generator failed.
    #[error("no random numbers are available for a token")]
    Random,
}

impl AccessError {
    /// Whether there is no room for it on the store's disk.
    pub fn is_full(&self) -> bool {
        matches!(self, Self::Commit(CommitError::Full))
    }
}

/// What is wrong with a caller's credentials.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unauthenticated {
    /// The connection has none.
    #[error("a client certificate is required")]
    NoCertificate,
    /// The connection has none, and the token that was shown is worth nothing without it.
    #[error(
        "the token is bound to the client certificate that obtained it, and this connection presents none: \
         present the certificate with every request, not only at login (VAULT_CLIENT_CERT and \
         VAULT_CLIENT_KEY), or log in under a role that gives bearer tokens"
    )]
    TokenWithoutCertificate,
    /// It was good when the connection was made and does not count any more.
    #[error(transparent)]
    Certificate(#[from] EvidenceError),
    /// It is good, but names nobody.
    #[error("the client certificate gives no identity: {0}")]
    NoIdentity(NoIdentity),
    /// It names somebody of another tenant.
    #[error("the client certificate belongs to another tenant")]
    OtherTenant,
    /// No such token, or not one at all.
    #[error("the token is unknown, or has ended: log in again")]
    UnknownToken,
    /// The token was obtained with another certificate.
    #[error(
        "the token is bound to another client certificate than the one of this connection: log in with this one"
    )]
    TokenOfAnotherCertificate,
    /// A bearer token, or a login for one, comes from an address for which it is not.
    #[error("the role's bearer tokens are not good from this address")]
    BearerElsewhere,
    /// The configuration lets the role give no bearer tokens any more.
    #[error("the role gives no bearer tokens any more: log in again")]
    BearerRoleGone,
    /// The token's time is over.
    #[error("the token has expired: log in again")]
    TokenExpired,
}

impl Unauthenticated {
    /// Stable code, for the audit log and metrics.
    pub fn code(&self) -> &'static str {
        match self {
            Self::NoCertificate => "no-certificate",
            Self::TokenWithoutCertificate => "token-without-certificate",
            Self::Certificate(why) => why.code(),
            Self::NoIdentity(_) => "no-identity",
            Self::OtherTenant => "other-tenant",
            Self::UnknownToken => "unknown-token",
            Self::TokenOfAnotherCertificate => "token-of-another-certificate",
            Self::BearerElsewhere => "bearer-elsewhere",
            Self::BearerRoleGone => "bearer-role-gone",
            Self::TokenExpired => "token-expired",
        }
    }

    /// Whether the certificate was good and the token was not.
    pub fn is_about_token(&self) -> bool {
        matches!(
            self,
            Self::UnknownToken
                | Self::TokenOfAnotherCertificate
                | Self::TokenExpired
                | Self::BearerElsewhere
                | Self::BearerRoleGone
        )
    }
}

impl From<InvalidKey> for AccessError {
    fn from(error: InvalidKey) -> Self {
        Self::Read(error.into())
    }
}

impl From<AuditError> for AccessError {
    fn from(error: AuditError) -> Self {
        Refused::from(error).into()
    }
}
