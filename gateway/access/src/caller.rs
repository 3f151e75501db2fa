use chancery_identity::{Fingerprint, Identity, PeerCertificate};
use jiff::Timestamp;

use crate::TokenInfo;
use crate::token::HeldToken;

/// Somebody whose certificate, and token if one was shown, were found good for one request. Made only
/// by [`Access::authenticate`](crate::Access::authenticate).
#[derive(Debug)]
pub struct Caller {
    identity: Identity,
    fingerprint: Fingerprint,
    not_after: Timestamp,
    token: Option<HeldToken>,
}

impl Caller {
    /// The holder of this certificate, which was found good.
    pub(crate) fn of(certificate: &PeerCertificate, identity: &Identity) -> Self {
        Self {
            identity: identity.clone(),
            fingerprint: certificate.fingerprint,
            not_after: certificate.not_after,
            token: None,
        }
    }

    /// The same with a token, which was found good too.
    pub(crate) fn with_token(self, held: HeldToken) -> Self {
        Self { token: Some(held), ..self }
    }

    /// Who it is.
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// The certificate that proved it.
    pub fn fingerprint(&self) -> Fingerprint {
        self.fingerprint
    }

    /// The token that was shown, if any.
    pub fn token(&self) -> Option<&TokenInfo> {
        self.token.as_ref().map(|held| &held.info)
    }

    /// Last moment at which the certificate is valid.
    pub(crate) fn not_after(&self) -> Timestamp {
        self.not_after
    }

    pub(crate) fn held_token(&self) -> Option<&HeldToken> {
        self.token.as_ref()
    }

    /// By what it was proved, as policies are told.
    pub(crate) fn evidence(&self) -> &'static str {
        if self.token.is_some() { "token" } else { "certificate" }
    }
}
