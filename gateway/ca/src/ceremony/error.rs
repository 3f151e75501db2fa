//! The errors of key ceremonies.

use chancery_keys::SignError;
use chancery_store::{CommitError, ReadError};
use chancery_x509::CertificateError;

use crate::OpenError;
use crate::chain::ChainFault;
use crate::record::Damaged;

/// Why a ceremony is not held.
#[derive(Debug, thiserror::Error)]
pub enum CeremonyError {
    /// Nothing can be opened or signed.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// There is no CA yet that something could follow.
    #[error("there is no CA yet: start the gateway once, or install a certificate first")]
    NoCa,
    /// The root's key is not here.
    #[error(
        "the root's key is elsewhere: make a request for the next key, have it certified there, and \
         install the chain"
    )]
    RootElsewhere,
    /// There is no key that waits for a certificate.
    #[error("no key waits for a certificate: make a request first")]
    NothingRequested,
    /// The chain is none.
    #[error("the chain is empty: give the CA's certificate and those above it, up to the root")]
    EmptyChain,
    /// There is nothing between a root and nobody.
    #[error(
        "the chain has one certificate only: it begins with the certificate that was made of the request, and those \
         above it follow, up to the root"
    )]
    OneCertificate,
    /// The certificate is for another key.
    #[error(
        "the first certificate of the chain is not for the key that was requested: its key identifier \
         would be {expected}"
    )]
    OtherKey {
        /// The key identifier of the key that was requested, in hex.
        expected: String,
    },
    /// Another certificate for the issuing key identifies the key otherwise.
    #[error(
        "the first certificate of the chain has not the subject key identifier {expected}, by which the \
         certificates that are issued name their issuer: have it made with that one"
    )]
    OtherKeyIdentifier {
        /// The one of the certificate that issues, in hex.
        expected: String,
    },
    /// The chain belongs to another CA.
    #[error(
        "the first certificate of the chain is neither for the issuing CA's key and name nor for its \
         root's: it leads from another CA"
    )]
    OtherChain,
    /// Verifiers would refuse what is issued below a certificate of the chain.
    #[error("the certificate `{certificate}` of the chain cannot be used: {fault}")]
    Refused {
        /// Its common name, or its serial number.
        certificate: String,
        /// Why.
        fault: ChainFault,
    },
    /// The certificate is not one with which certificates can be issued now.
    #[error("the chain cannot be used: {0}")]
    Unfit(&'static str),
    /// The request cannot be made.
    #[error("the request cannot be made: {0}")]
    Request(String),
}

impl From<(String, ChainFault)> for CeremonyError {
    fn from((certificate, fault): (String, ChainFault)) -> Self {
        Self::Refused { certificate, fault }
    }
}

/// What may go wrong below is what may go wrong when a CA is opened.
macro_rules! from_below {
    ($($error:ty),*) => {
        $(impl From<$error> for CeremonyError {
            fn from(error: $error) -> Self {
                Self::Open(error.into())
            }
        })*
    };
}

from_below!(ReadError, CommitError, SignError, CertificateError, Damaged);
