//! From bytes to a CRL that a known CA signed. It takes a processor for as long as the CRL is large, so it is
//! done beside the async threads.

use std::sync::Arc;

use chancery_x509::pem::{self, PemError};
use chancery_x509::{ListError, NotTheIssuers, RevocationList, UnverifiedList};

use crate::issuer::Issuer;

/// What became of the bytes.
pub(crate) enum Placed {
    /// A CA that is known signed it.
    Signed(Signed),
    /// No CA of its issuer's name is known yet, or none of these signed it.
    Unplaced(UnverifiedList, Why),
}

/// Why nobody is known to have signed a CRL.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Why {
    #[error(
        "it is of a CA that no client has shown yet: it counts from the first client certificate of that CA on"
    )]
    Stranger,
    #[error("it is forged, or of another CA of the same name: {0}")]
    Forged(NotTheIssuers),
}

/// A CRL that its issuer signed.
pub(crate) struct Signed {
    pub(crate) list: RevocationList,
    pub(crate) issuer: Arc<Issuer>,
    pub(crate) der: Vec<u8>,
}

/// Why bytes are no CRL.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReadError {
    #[error("it is neither PEM nor DER: {0}")]
    Pem(#[from] PemError),
    #[error("it is neither PEM nor DER")]
    Neither,
    #[error("there are {0} CRLs in it: name each of them by itself")]
    Several(usize),
    #[error(transparent)]
    List(#[from] ListError),
}

/// Reads PEM or DER, and looks who of these signed it.
pub(crate) fn read(bytes: Vec<u8>, issuers: &[Arc<Issuer>]) -> Result<Placed, ReadError> {
    let der = if bytes.first() == Some(&0x30) {
        bytes
    } else {
        let text = std::str::from_utf8(&bytes).map_err(|_| ReadError::Neither)?;
        let mut found = pem::decode(pem::CRL, text)?;
        match (found.pop(), found.len()) {
            (Some(only), 0) => only,
            (_, others) => return Err(ReadError::Several(others + 1)),
        }
    };
    Ok(place(UnverifiedList::from_der(der)?, issuers))
}

/// Looks who of these signed a CRL.
pub(crate) fn place(mut list: UnverifiedList, issuers: &[Arc<Issuer>]) -> Placed {
    let mut why = Why::Stranger;
    for issuer in issuers {
        match list.verified_by(&issuer.certificate) {
            Ok((list, der)) => {
                return Placed::Signed(Signed { list, issuer: Arc::clone(issuer), der });
            }
            Err((unchanged, reason)) => {
                list = *unchanged;
                if reason != NotTheIssuers::Name {
                    why = Why::Forged(reason);
                }
            }
        }
    }
    Placed::Unplaced(list, why)
}
