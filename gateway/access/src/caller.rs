//! The authenticated caller of one request: its identity, its certificate and its token.

use chancery_audit::Event;
use chancery_identity::{Evidence, Fingerprint, Identity, PeerCertificate, RequestContext};
use jiff::Timestamp;

use crate::TokenInfo;
use crate::token::HeldToken;

/// Somebody whose certificate, or bearer token, or both, were found good for one request. Made only by
/// [`Access::authenticate`](crate::Access::authenticate).
#[derive(Debug)]
pub struct Caller {
    identity: Identity,
    /// None of a bearer token that came without one.
    certificate: Option<Shown>,
    token: Option<HeldToken>,
    /// What proves that the token is of that identity, if it is a bearer token.
    proof: Option<Evidence>,
}

/// The certificate that was shown.
#[derive(Debug)]
struct Shown {
    fingerprint: Fingerprint,
    not_after: Timestamp,
}

impl Caller {
    /// The holder of this certificate, which was found good.
    pub(crate) fn of(certificate: &PeerCertificate, identity: &Identity) -> Self {
        Self {
            identity: identity.clone(),
            certificate: Some(Shown {
                fingerprint: certificate.fingerprint,
                not_after: certificate.not_after,
            }),
            token: None,
            proof: None,
        }
    }

    /// The holder of this bearer token, which was found good by this proof, and of no certificate.
    pub(crate) fn bearer(held: HeldToken, proof: Option<Evidence>) -> Self {
        let identity = held.info.identity.clone();
        Self { identity, certificate: None, token: Some(held), proof }
    }

    /// The same with a token, which was found good too: a bearer token by this proof.
    pub(crate) fn with_token(self, held: HeldToken, proof: Option<Evidence>) -> Self {
        Self { token: Some(held), proof, ..self }
    }

    /// Who it is.
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// The certificate that proved it, if one was shown.
    pub fn fingerprint(&self) -> Option<Fingerprint> {
        self.certificate.as_ref().map(|shown| shown.fingerprint)
    }

    /// Whether a bearer token was shown, which limits what can be done even if a certificate came with it.
    pub fn is_bearer(&self) -> bool {
        self.token().is_some_and(|token| !token.is_bound())
    }

    /// The event of an operation of the caller's, which names it also where no certificate does, and its
    /// token.
    pub fn event(
        &self,
        context: &RequestContext,
        operation: impl Into<String>,
        resource: impl Into<String>,
    ) -> Event {
        self.named_in(Event::new(context, operation, resource))
    }

    /// The same event with the caller named in it.
    pub fn named_in(&self, event: Event) -> Event {
        let Some(token) = self.token() else { return event };
        let event = event.detail("accessor", token.accessor.clone());
        if token.is_bound() {
            return event;
        }
        event.identity(self.identity.to_string()).detail("bearer", true)
    }

    /// The token that was shown, if any.
    pub fn token(&self) -> Option<&TokenInfo> {
        self.token.as_ref().map(|held| &held.info)
    }

    /// Last moment at which the certificate is valid, if one was shown.
    pub(crate) fn not_after(&self) -> Option<Timestamp> {
        self.certificate.as_ref().map(|shown| shown.not_after)
    }

    /// What proves that the token is of the identity, if it is a bearer token.
    pub(crate) fn proof(&self) -> Option<&Evidence> {
        self.proof.as_ref()
    }

    pub(crate) fn held_token(&self) -> Option<&HeldToken> {
        self.token.as_ref()
    }

    /// By what it was proved, as policies are told.
    pub(crate) fn evidence(&self) -> &'static str {
        if self.token.is_some() { "token" } else { "certificate" }
    }
}
