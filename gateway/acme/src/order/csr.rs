//! Reads the CSR of a finalize request and compares it with the order (RFC 8555 §7.4).

use std::collections::BTreeSet;

use chancery_x509::{CertificateRequest, CsrError, GeneralName, KeyAlgorithm};

use crate::Acme;
use crate::error::Error;
use crate::identifier::Identifier;
use crate::jws::{AccountKey, base64url};

/// Compares the CSR of a finalize request with the order (RFC 8555 §7.4): exactly the order's names, in the
/// common name, the subject alternative names or both, and not the account's key. Everything that can be seen
/// without a policy is refused here, while the order is still ready and the client may send another CSR.
pub(super) fn check(
    csr: &CertificateRequest,
    identifiers: &[Identifier],
    account_key: &AccountKey,
) -> Result<(), Error> {
    csr.public_key()
        .check_strength()
        .map_err(|weak| Error::BadCsr(format!("the key of the CSR is weak: {weak}")))?;
    if csr.public_key().spki_der() == account_key.spki_der() {
        return Err(Error::BadCsr("the CSR has the account's key (RFC 8555 §11.1)".to_owned()));
    }
    let ordered: BTreeSet<GeneralName> = identifiers.iter().map(Identifier::general_name).collect();
    let asked = csr.requested_names().map_err(|error| Error::BadCsr(error.to_string()))?;
    let extra = list(asked.difference(&ordered));
    let missing = list(ordered.difference(&asked));
    match (extra.as_str(), missing.as_str()) {
        ("", "") => Ok(()),
        (extra, "") => {
            Err(Error::BadCsr(format!("the CSR has names that the order has not: {extra}")))
        }
        ("", missing) => Err(Error::BadCsr(format!("the CSR lacks names of the order: {missing}"))),
        (extra, missing) => Err(Error::BadCsr(format!(
            "the CSR has names that the order has not ({extra}) and lacks some ({missing})"
        ))),
    }
}

impl Acme {
    /// The CSR that this base64url spells, its signature verified and its key looked at, where that may take
    /// long.
    pub(super) async fn read_csr(&self, text: &str) -> Result<CertificateRequest, Error> {
        let der = base64url::decode(text)
            .map_err(|error| Error::Malformed(format!("`csr` is {error}")))?;
        let is_expensive =
            CertificateRequest::key_algorithm_in(&der).is_some_and(KeyAlgorithm::is_expensive);
        let read = move || {
            let csr = CertificateRequest::from_der(&der)?;
            // The key remembers the outcome.
            let _ = csr.public_key().check_strength();
            Ok::<_, CsrError>(csr)
        };
        let csr = if is_expensive { self.compute.run(read).await? } else { read() };
        csr.map_err(|error| Error::BadCsr(error.to_string()))
    }
}

fn list<'a>(names: impl Iterator<Item = &'a GeneralName>) -> String {
    names.map(|name| name.value().into_owned()).collect::<Vec<_>>().join(", ")
}
