//! Certificates (RFC 8555 §7.4.2): what a valid order points to. They are kept by issuance; an
//! account can download those that it got.

use chancery_identity::RequestContext;
use chancery_x509::{Serial, pem};

use crate::Acme;
use crate::account::{Account, ActiveAccount};
use crate::error::Error;

/// A certificate with those above it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Download {
    /// In PEM, the certificate first.
    pub chain: String,
    /// How many other chains there are, to other roots. They have the numbers from 0 on.
    pub alternates: usize,
}

impl Acme {
    /// The PEM chain of the certificate with this serial number, leaf first and without the root; with a
    /// number, the alternate chain that has it.
    ///
    /// # Errors
    /// [`Error::NotFound`] if there is none or another requester got it.
    pub async fn certificate(
        &self,
        context: &RequestContext,
        account: &ActiveAccount,
        serial: &str,
        alternate: Option<usize>,
    ) -> Result<Download, Error> {
        let not_found = || Error::NotFound("certificate");
        let serial: Serial = serial.parse().map_err(|_| not_found())?;
        let entry = self.issuance.find(&context.tenant, &serial).await?;
        entry
            .filter(|entry| entry.requester == Account::requester(account.id()))
            .ok_or_else(not_found)?;
        let issued = self.issuance.certificate(&context.tenant, &serial).await?;
        let issued = issued.ok_or_else(not_found)?;
        let alternates = self.issuance.alternate_chains(&issued);
        let chain = match alternate {
            None => &issued.chain,
            Some(number) => alternates.get(number).ok_or_else(not_found)?,
        };
        Ok(Download { chain: pem::encode_chain(chain), alternates: alternates.len() })
    }
}
