//! Revocation (RFC 8555 §7.6): by the account that got the certificate, by an account that proved all
//! of its names, or by the holder of its private key. The `issuance` crate asks the access policies
//! and writes the audit log, since certificates can be revoked over other APIs too.

use std::collections::BTreeSet;

use chancery_audit::Event;
use chancery_identity::RequestContext;
use chancery_issuance::{InventoryEntry, Requester, RevocationRequest, RevokeError, Revoker};
use chancery_x509::{GeneralName, ParsedCertificate, RevocationReason};

use crate::Acme;
use crate::account::{Account, ActiveAccount};
use crate::authenticate::Authenticated;
use crate::authorization::Proof;
use crate::error::{Error, InternalError};
use crate::identifier::Identifier;
use crate::jws::{AccountKey, base64url};

/// A request to revoke.
#[derive(Debug, Clone)]
pub struct Revocation {
    /// The certificate, DER in base64url.
    pub certificate: String,
    /// The reason code (RFC 5280 §5.3.1); none is 0, unspecified.
    pub reason: Option<u64>,
}

impl Acme {
    /// Revokes a certificate that was issued here.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::Unauthorized`], [`Error::BadRevocationReason`],
    /// [`Error::AlreadyRevoked`], [`Error::Denied`].
    #[tracing::instrument(name = "acme.certificate.revoke", skip_all)]
    pub async fn revoke(
        &self,
        context: &RequestContext,
        signer: &Authenticated,
        request: Revocation,
    ) -> Result<(), Error> {
        let der = base64url::decode(&request.certificate)
            .map_err(|error| Error::Malformed(format!("`certificate` is {error}")))?;
        let certificate = ParsedCertificate::from_der(&der)
            .map_err(|error| Error::Malformed(format!("`certificate` cannot be read: {error}")))?;
        let code = request.reason.unwrap_or(0);
        let request = match self.may_revoke(context, signer, &certificate, &der, code).await {
            Ok(request) => request,
            Err(error) => {
                let serial = certificate.serial().to_string();
                let mut event = Event::new(context, "certificates.revoke", serial);
                event.add_detail("asked", code);
                match signer {
                    Authenticated::Account(account) => event.set_account(account.id().to_string()),
                    Authenticated::Key(key) => event.add_detail("thumbprint", key.thumbprint()),
                }
                return Err(self.refuse(context, event, error).await);
            }
        };
        // From here on, issuance writes the line in the audit log.
        self.issuance.revoke(request).await.map_err(|error| match error {
            RevokeError::AlreadyRevoked => Error::AlreadyRevoked,
            RevokeError::NotFound => Error::NotFound("certificate of this server"),
            RevokeError::BadReason(reason) => Error::BadRevocationReason(reason.to_owned()),
            RevokeError::Gate(refused) => refused.into(),
            RevokeError::Unavailable(_) => unavailable(error),
        })
    }

    /// The request to issuance, if the signer has the right to revoke this certificate.
    async fn may_revoke(
        &self,
        context: &RequestContext,
        signer: &Authenticated,
        certificate: &ParsedCertificate,
        der: &[u8],
        code: u64,
    ) -> Result<RevocationRequest, Error> {
        let serial = certificate.serial();
        let entry = self.issuance.find(&context.tenant, serial).await.map_err(unavailable)?;
        // Compare the certificate itself and not only its number: two CAs may use the same number.
        let entry = entry
            .filter(|entry| entry.der == der)
            .ok_or(Error::NotFound("certificate of this server"))?;
        let by = match signer {
            Authenticated::Account(account) => {
                self.as_account(context, account, &entry, certificate).await?
            }
            Authenticated::Key(key) => as_key_holder(key, certificate)?,
        };
        let reason = reason(code)?;
        Ok(RevocationRequest { context: context.clone(), serial: *serial, reason, by })
    }

    /// The account that got the certificate, or has proved all of its names since.
    async fn as_account(
        &self,
        context: &RequestContext,
        account: &ActiveAccount,
        entry: &InventoryEntry,
        certificate: &ParsedCertificate,
    ) -> Result<Revoker, Error> {
        let id = account.id();
        if entry.requester == Account::requester(id) {
            return Ok(Revoker::Requester(Requester::AcmeAccount { id: id.to_string() }));
        }
        let names: BTreeSet<GeneralName> = certificate.names().iter().cloned().collect();
        let mut all_proved = !names.is_empty() && certificate.other_names() == 0;
        for name in &names {
            all_proved = all_proved && self.has_proved(context, account, name).await?;
        }
        if all_proved {
            return Ok(Revoker::NamesHolder { account: id.to_string(), names });
        }
        Err(Error::Unauthorized(
            "the certificate is another account's, and this account has not proved all of its \
             names"
                .to_owned(),
        ))
    }

    async fn has_proved(
        &self,
        context: &RequestContext,
        account: &ActiveAccount,
        name: &GeneralName,
    ) -> Result<bool, Error> {
        let identifier = match name {
            GeneralName::Dns(name) => Identifier::parse("dns", name).ok(),
            GeneralName::Ip(address) => Some(Identifier::ip(*address)),
            _ => None,
        };
        let Some(identifier) = identifier else { return Ok(false) };
        let (store, now) = (self.store.as_ref(), self.clock.now());
        let proofs = Proof::find(store, &context.tenant, account.id(), &identifier).await?;
        Ok(proofs.iter().any(|proof| proof.value.until >= now))
    }
}

fn as_key_holder(key: &AccountKey, certificate: &ParsedCertificate) -> Result<Revoker, Error> {
    match certificate.public_key() {
        Ok(own) if own.spki_der() == key.spki_der() => Ok(Revoker::KeyHolder(own.clone())),
        _ => Err(Error::Unauthorized(
            "the request is not signed with the certificate's key".to_owned(),
        )),
    }
}

/// The reasons that a subscriber can give. Anybody who may revoke can say that the key is
/// compromised: that revokes this certificate and blocks no key.
fn reason(code: u64) -> Result<RevocationReason, Error> {
    let reason = RevocationReason::from_code(code)
        .map_err(|error| Error::BadRevocationReason(error.to_string()))?;
    match reason {
        RevocationReason::Unspecified
        | RevocationReason::KeyCompromise
        | RevocationReason::AffiliationChanged
        | RevocationReason::Superseded
        | RevocationReason::CessationOfOperation => Ok(reason),
        other => Err(Error::BadRevocationReason(format!(
            "the reason {} is not a subscriber's to give: use 0, 1, 3, 4 or 5",
            other.code()
        ))),
    }
}

fn unavailable(error: impl std::fmt::Display) -> Error {
    InternalError::Issuance(error.to_string()).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_subscriber_s_reasons() {
        for good in [0, 1, 3, 4, 5] {
            assert_eq!(u64::from(reason(good).unwrap().code()), good);
        }
        for bad in [2, 6, 7, 8, 9, 10, 11, u64::MAX] {
            assert!(matches!(reason(bad), Err(Error::BadRevocationReason(_))), "{bad}");
        }
    }
}
