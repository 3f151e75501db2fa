//! The errors of an offline root.

use chancery_keys::SignError;
use chancery_store::{CommitError, ReadError};
use chancery_x509::{BuildError, CertificateError, Serial};
use jiff::Timestamp;

use crate::record::Damaged;
use crate::{CrlError, OpenError};

/// Why an offline root does not do something.
#[derive(Debug, thiserror::Error)]
pub enum OfflineError {
    /// Nothing can be opened, made or signed.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// There is one already.
    #[error("there is a root here already: it is made once")]
    Exists,
    /// There is none.
    #[error("there is no root here: make one first")]
    Missing,
    /// The request is for a weak key.
    #[error("the key must not be certified: {0}")]
    WeakKey(#[from] chancery_x509::WeakKey),
    /// The certificate to cross-sign is not a CA's.
    #[error("the certificate cannot be certified once more: {0}")]
    Subject(String),
    /// The certificate to cross-sign has ended.
    #[error("the certificate ended at {0}: have the CA renewed before it is certified once more")]
    Ended(Timestamp),
    /// The certificate to cross-sign names itself as its issuer, but another key has signed it.
    #[error(
        "the certificate says that it is a root, and is not signed by its own key: this is not what the CA made"
    )]
    NotItsOwn,
    /// The root never signed a certificate with this number.
    #[error("this root has signed no certificate with the serial number {0}")]
    NotSigned(Serial),
    /// It is revoked already.
    #[error("the certificate {0} is revoked already")]
    AlreadyRevoked(Serial),
    /// It would end as it begins.
    #[error("it has to be valid for an hour at least")]
    Validity,
    /// A CA without a name.
    #[error("the request names no common name: give one")]
    NoName,
}

/// What may go wrong below is what may go wrong when a CA is opened.
macro_rules! from_below {
    ($($error:ty),*) => {
        $(impl From<$error> for OfflineError {
            fn from(error: $error) -> Self {
                Self::Open(error.into())
            }
        })*
    };
}

from_below!(ReadError, CommitError, SignError, BuildError, CertificateError, Damaged, CrlError);
