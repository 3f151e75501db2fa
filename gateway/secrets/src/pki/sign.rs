//! Certificates that callers get by a signing request: for their own name, or for others'.
//!
//! Policies decide twice. The access policies are asked about each name, whether the caller may have it
//! certified: its own name ([`RENEW`]), or another one ([`SIGN`]). Then the certificate policies shape the
//! certificate, as they shape every other.

use std::time::Duration;

use chancery_access::Caller;
use chancery_identity::{IdentityName, RequestContext};
use chancery_issuance::{IssuanceRequest, IssueError, IssuedCertificate, Requester, ValidatedName};
use chancery_x509::{CertificateRequest, GeneralName};

use super::{Pki, PkiError};
use crate::allowed::Allowed;

/// To have the caller's own name certified anew, as policies name it.
pub(super) const RENEW: &str = "certificates.renew";
/// To have another name certified.
pub(super) const SIGN: &str = "certificates.sign";

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
        let mut allowed: Vec<Allowed<'_>> = Vec::new();
        let mut validated = Vec::new();
        for name in names {
            let (operation, method) =
                if Some(&name) == own.as_ref() { (RENEW, "identity") } else { (SIGN, "operator") };
            let facts = vec![("profile".to_owned(), wanted.profile.clone())];
            match self.ask(context, caller, operation, &name.to_string(), facts).await {
                Ok(one) => allowed.push(one),
                Err(refusal) => {
                    // The names that were allowed came to nothing with this one.
                    for one in allowed {
                        one.overtaken_by_denial().await?;
                    }
                    return Err(refusal);
                }
            }
            validated.push(ValidatedName { name, method: method.to_owned() });
        }
        let ceiling = allowed.iter().filter_map(Allowed::max_ttl).chain(wanted.ttl).min();
        let result = self.issue(context, caller, wanted, validated, ceiling).await;
        let serial = result.as_ref().ok().map(|issued| issued.serial.to_string());
        for mut one in allowed {
            if let Some(serial) = &serial {
                one = one.detail("serial", serial.clone());
            }
            one.record(result.as_ref().err()).await?;
        }
        result
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
        let now = self.secrets.clock.now();
        let end = ceiling.map(|ceiling| now.checked_add(ceiling)).transpose();
        let request = IssuanceRequest {
            context: context.clone(),
            requester: Requester::Identity(caller.identity().clone()),
            csr: wanted.csr,
            profile: Some(wanted.profile),
            validated,
            not_before: None,
            not_after: end.map_err(|_| PkiError::Refused("ttl is too long".to_owned()))?,
        };
        Ok(issuance.issue(request).await?)
    }
}

/// The caller's name as it stands in certificates; a pinned one does not.
fn own_name(identity: &IdentityName) -> Option<GeneralName> {
    match identity {
        IdentityName::Spiffe(id) => Some(GeneralName::Uri(id.to_string())),
        IdentityName::Dns(name) => Some(GeneralName::Dns(name.clone())),
        IdentityName::Pinned(_) => None,
    }
}

fn refused(error: &dyn std::fmt::Display) -> PkiError {
    PkiError::Refused(error.to_string())
}

impl From<IssueError> for PkiError {
    fn from(error: IssueError) -> Self {
        let code = error.code().to_owned();
        match error {
            IssueError::Denied { .. } if code == chancery_issuance::OVERLOADED => Self::Overloaded,
            IssueError::Denied { message, .. } => Self::Denied { code, message },
            IssueError::Unavailable(error) => error.into(),
            IssueError::WeakKey(_)
            | IssueError::CompromisedKey
            | IssueError::BadName(_)
            | IssueError::NamesNotValidated(_)
            | IssueError::NotPermitted(_)
            | IssueError::Dates(_) => Self::Refused(error.to_string()),
            // The policy or the CA is at fault: the log says how.
            other => Self::NotIssued(other),
        }
    }
}
