//! Certificates that callers get by a signing request: for their own name, or for others'.
//!
//! Policies decide twice. The access policies are asked about each name, whether the caller may have it
//! certified: [`RENEW`] if the request has the caller's own name and no other, else [`SIGN`]. Then the
//! certificate policies shape the certificate, as they shape every other.

use std::time::Duration;

use chancery_access::Caller;
use chancery_identity::{IdentityName, RequestContext};
use chancery_issuance::{IssuanceRequest, IssuedCertificate, Requester, ValidatedName};
use chancery_x509::{CertificateRequest, GeneralName};
use jiff::Timestamp;

use super::operations::{RENEW, SIGN};
use super::{Pki, PkiError};

/// How many names one request may have: policies are asked about each.
const MOST_NAMES: usize = 100;

/// What somebody wants certified.
#[derive(Debug, Clone)]
pub struct Wanted {
    /// The profile that the certificate policies are asked for.
    pub profile: String,
    /// The request, whose signature has been verified by parsing it.
    pub csr: CertificateRequest,
    /// How long the certificate is to be valid; none leaves it to policy.
    pub ttl: Option<Duration>,
    /// When the certificate is to end at the latest; none leaves it to policy.
    pub not_after: Option<Timestamp>,
}

impl Pki<'_> {
    /// Has a key certified, for the names in the request. The certificate and what is above it come back,
    /// without the root.
    ///
    /// # Errors
    /// See [`PkiError`].
    pub async fn sign(
        &self,
        context: &RequestContext,
        caller: &Caller,
        wanted: Wanted,
    ) -> Result<IssuedCertificate, PkiError> {
        let names = wanted.csr.requested_names().map_err(|error| refused(&error))?;
        if names.is_empty() || names.len() > MOST_NAMES {
            let said = format!("the request has {} names: give 1 to {MOST_NAMES}", names.len());
            return Err(PkiError::Refused(said));
        }
        let own = own_name(&caller.identity().name);
        let is_own = names.iter().all(|name| Some(name) == own.as_ref());
        let (operation, method) = if is_own { (RENEW, "identity") } else { (SIGN, "operator") };
        let resources: Vec<String> = names.iter().map(ToString::to_string).collect();
        let facts = vec![("profile".to_owned(), wanted.profile.clone())];
        let session = self.environment.session(context, caller);
        let asked = self.environment.gate().ask_each(&session, operation, &resources, facts);
        let allowed = asked.await?;
        let proved = |name| ValidatedName { name, method: method.to_owned() };
        let validated = names.into_iter().map(proved).collect();
        let ceiling = allowed.max_ttl().into_iter().chain(wanted.ttl).min();
        let issued = self.issue(context, caller, wanted, validated, ceiling).await;
        let serial = issued.as_ref().ok().map(|issued| issued.serial.to_string());
        let allowed = match serial {
            Some(serial) => allowed.detail("serial", serial),
            None => allowed,
        };
        allowed.finish(issued).await
    }

    async fn issue(
        &self,
        context: &RequestContext,
        caller: &Caller,
        wanted: Wanted,
        validated: Vec<ValidatedName>,
        ceiling: Option<Duration>,
    ) -> Result<IssuedCertificate, PkiError> {
        let issuance = self.issuance.ok_or(PkiError::NoMount)?;
        let now = self.environment.now();
        let end = ceiling.map(|ceiling| now.checked_add(ceiling)).transpose();
        let end = end.map_err(|_| PkiError::Refused("ttl is too long".to_owned()))?;
        let not_after = end.into_iter().chain(wanted.not_after).min();
        if not_after.is_some_and(|end| end <= now) {
            return Err(PkiError::Refused("not_after is over".to_owned()));
        }
        let request = IssuanceRequest {
            context: context.clone(),
            requester: Requester::Identity(caller.identity().clone()),
            csr: wanted.csr,
            profile: Some(wanted.profile),
            validated,
            order: None,
            not_before: None,
            not_after,
        };
        Ok(issuance.issue(request).await?)
    }
}

/// The caller's name as it stands in certificates; a pinned one does not.
fn own_name(identity: &IdentityName) -> Option<GeneralName> {
    match identity {
        IdentityName::Spiffe(id) => Some(GeneralName::Uri(id.to_string())),
        IdentityName::Dns(name) => Some(GeneralName::Dns(name.to_string())),
        IdentityName::Pinned(_) => None,
    }
}

fn refused(error: &dyn std::fmt::Display) -> PkiError {
    PkiError::Refused(error.to_string())
}
