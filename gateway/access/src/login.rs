//! Logs in the holder of a client certificate: asks the policies, then issues a token within their limits.

use std::time::Duration;

use chancery_audit::Event;
use chancery_identity::{Evidence, Identity, PeerCertificate, RequestContext};
use chancery_store::Commit;
use jiff::Timestamp;

use crate::bearer::is_in;
use crate::session::TOKEN_BOUND;
use crate::{
    Access, AccessError, Bearer, BearerRole, Caller, Role, TokenInfo, TokenLimits, TokenSecret,
    Unauthenticated, token,
};

/// A fresh token. This is the only time that it is seen.
#[derive(Debug)]
pub struct Login {
    /// The token.
    pub token: TokenSecret,
    /// What is known of it.
    pub info: TokenInfo,
}

/// The operation of a login, as policies name it.
pub(crate) const LOGIN: &str = "auth.login";

impl Access {
    /// Gives the holder of the connection's certificate a token, if the policies allow `auth.login` on
    /// `ROLE/IDENTITY`. It lives for [`TokenLimits::default_ttl`](crate::TokenLimits), or less if a
    /// policy says so or the certificate ends earlier. Under a [`BearerRole`] it is a bearer token, of which
    /// policies are told `token.bound=false`. An identity has [`TokenLimits::per_identity`](crate::TokenLimits)
    /// tokens at most.
    ///
    /// # Errors
    /// [`AccessError::Unauthenticated`], [`AccessError::Gate`], or why it could not be done.
    #[tracing::instrument(name = "access.login", skip_all)]
    pub async fn login_with_certificate(
        &self,
        context: &RequestContext,
        role: &Role,
    ) -> Result<Login, AccessError> {
        let (certificate, identity) = match Self::certificate_of(context) {
            Ok(found) => found,
            Err(reason) => return Err(self.refuse(context, reason).await?),
        };
        let caller = Caller::of(certificate, identity);
        let bearer = self.bearer_role(&identity.tenant, role.as_str());
        let attributes = vec![
            ("role".to_owned(), role.as_str().to_owned()),
            (TOKEN_BOUND.to_owned(), bearer.is_none().to_string()),
        ];
        let resource = login_resource(role.as_str(), identity);
        let event = Event::new(context, LOGIN, resource.clone());
        let session = self.session_of(context, &caller);
        let asked = self.gate.ask_for(&session, event, LOGIN, &[&resource], attributes).await;
        let authorized = asked?;
        if bearer.as_ref().is_some_and(|role| !is_in(&role.networks, context.address)) {
            let reason = Unauthenticated::BearerElsewhere;
            authorized.detail("reason", reason.to_string()).denied(reason.code()).await?;
            return Err(reason.into());
        }
        let bearer = bearer.as_deref().map(|role| {
            let chain = context.evidence.as_ref().map(Evidence::chain).unwrap_or_default();
            (role, Bearer { networks: role.networks.clone(), chain })
        });
        match self.issue(certificate, identity, role, authorized.max_ttl(), bearer).await {
            Ok(login) => {
                authorized
                    .detail("bound", login.info.is_bound())
                    .detail("accessor", login.info.accessor.clone())
                    .detail("token", self.gate.keyed_hash(login.token.expose().as_bytes()))
                    .detail("expires", login.info.expires.to_string())
                    .succeeded()
                    .await?;
                metrics::counter!("chancery_access_logins_total").increment(1);
                Ok(login)
            }
            Err(error) => {
                match error {
                    AccessError::TooManyTokens { .. } => {
                        authorized.denied("too-many-tokens").await?;
                    }
                    _ => authorized.failed("not-issued").await?,
                }
                Err(error)
            }
        }
    }

    async fn issue(
        &self,
        certificate: &PeerCertificate,
        identity: &Identity,
        role: &Role,
        most: Option<Duration>,
        bearer: Option<(&BearerRole, Bearer)>,
    ) -> Result<Login, AccessError> {
        let issued = self.clock.now();
        let limits = bearer.as_ref().map_or(self.limits, |(role, _)| TokenLimits {
            default_ttl: role.ttl,
            max_ttl: role.max_ttl,
            ..self.limits
        });
        let _under_way = self.room_for_token(identity).await?;
        let until = |limit: Duration| {
            let limit = most.map_or(limit, |policy| policy.min(limit));
            issued.checked_add(limit).unwrap_or(Timestamp::MAX).min(certificate.not_after)
        };
        let expires = until(limits.default_ttl);
        let token = TokenSecret::generate(issued, bearer.as_ref().map(|(role, _)| &role.tenant))?;
        let info = TokenInfo {
            accessor: token.accessor(),
            identity: identity.clone(),
            fingerprint: certificate.fingerprint,
            role: role.as_str().to_owned(),
            issued,
            creation_ttl: Duration::try_from(expires.duration_since(issued)).unwrap_or_default(),
            expires,
            ceiling: until(limits.max_ttl),
            bearer: bearer.map(|(_, bearer)| bearer),
        };
        let key = token::key(&identity.tenant, &token)?;
        let commit = token::put(Commit::new().check_absent(key.clone()), &key, &info)?;
        self.store.commit(commit).await?;
        Ok(Login { token, info })
    }
}

/// What policies are asked about, and the audit log names, for a login and all that follows from it.
pub(crate) fn login_resource(role: &str, identity: &Identity) -> String {
    format!("{role}/{identity}")
}
