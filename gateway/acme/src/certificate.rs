//! Certificates (RFC 8555 §7.4.2): what a valid order points to. They are kept by issuance; an
//! account can download those that it got.

use chancery_identity::RequestContext;
use chancery_x509::Serial;

use crate::Acme;
use crate::account::{Account, ActiveAccount};
use crate::error::Error;

impl Acme {
    /// The PEM chain of the certificate with this serial number, leaf first and without the root.
    ///
    /// # Errors
    /// [`Error::NotFound`] if there is none or another requester got it.
    pub async fn certificate(
        &self,
        context: &RequestContext,
        account: &ActiveAccount,
        serial: &str,
    ) -> Result<String, Error> {
        let not_found = || Error::NotFound("certificate");
        let serial: Serial = serial.parse().map_err(|_| not_found())?;
        let entry = self.issuance.find(&context.tenant, &serial).await?;
        entry
            .filter(|entry| entry.requester == Account::requester(account.id()))
            .ok_or_else(not_found)?;
        let issued = self.issuance.certificate(&context.tenant, &serial).await?;
        Ok(issued.ok_or_else(not_found)?.pem())
    }
}
