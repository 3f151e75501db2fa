//! Authenticates callers by client certificate, by token with its certificate, or by bearer token alone.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use arc_swap::ArcSwap;
use chancery_audit::{Audit, Event};
use chancery_gate::Gate;
use chancery_identity::{
    Clock, Evidence, EvidenceError, Identity, JudgeChain, PeerCertificate, RequestContext, Sender,
    TenantId,
};
use chancery_policy::PolicyHost;
use chancery_store::SharedStore;
use ipnet::IpNet;
use jiff::Timestamp;
use subtle::ConstantTimeEq;

use crate::bearer::is_in;
use crate::logins::Logins;
use crate::token::{self, HeldToken};
use crate::{AccessError, BearerRole, Caller, Directory, TokenInfo, TokenSecret, Unauthenticated};

/// A token that was found good, and a bearer token's proof.
type Shown = (HeldToken, Option<Evidence>);

/// Authenticates and authorises. One per gateway.
pub struct Access {
    pub(crate) policy: PolicyHost,
    pub(crate) gate: Gate,
    pub(crate) store: SharedStore,
    pub(crate) clock: Clock,
    pub(crate) limits: TokenLimits,
    pub(crate) directory: Arc<Directory>,
    pub(crate) logins: Logins,
    /// The tenant that administers the installation.
    pub(crate) administration: ArcSwap<TenantId>,
    bearer_roles: ArcSwap<Vec<Arc<BearerRole>>>,
    /// None until there is a door: then no bearer token is good.
    judge: OnceLock<JudgeChain>,
    /// The second since 1970 at which the store was last put back to an earlier state.
    restored: Option<u64>,
}

/// How long tokens live where policy does not say less, and how many there may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TokenLimits {
    /// From a login, or a renewal that does not ask for more, to expiry.
    pub default_ttl: Duration,
    /// From the login to the end of the last renewal.
    pub max_ttl: Duration,
    /// How many tokens one identity may have that have not ended; none for any number.
    pub per_identity: Option<usize>,
}

impl Default for TokenLimits {
    fn default() -> Self {
        Self {
            default_ttl: Duration::from_hours(1),
            max_ttl: Duration::from_hours(24),
            per_identity: Some(1000),
        }
    }
}

impl Access {
    /// Access under these policies, with tokens in `store` (which should be sealed) and everything
    /// that was decided in `audit`.
    pub fn new(policy: PolicyHost, store: SharedStore, audit: Audit, clock: Clock) -> Self {
        let directory = Arc::new(Directory::new(store.clone()));
        let limits = TokenLimits::default();
        let (bearer_roles, judge) = (ArcSwap::default(), OnceLock::new());
        let administration = ArcSwap::from_pointee(TenantId::default_tenant());
        Self {
            gate: Gate::new(policy.clone(), audit),
            policy,
            store,
            clock,
            limits,
            directory,
            logins: Logins::default(),
            administration,
            bearer_roles,
            judge,
            restored: None,
        }
    }

    /// The same in a store that was last put back to an earlier state at this second since 1970. Tokens from before count
    /// no more: it is not known which of them were ended since that state.
    #[must_use]
    pub fn with_restored(mut self, second: Option<u64>) -> Self {
        self.restored = second;
        self
    }

    /// Whether a token's time is over at `now`.
    pub(crate) fn is_over(&self, token: &TokenInfo, now: Timestamp) -> bool {
        let issued = u64::try_from(token.issued.as_second()).unwrap_or(0);
        token.expires <= now || self.is_from_before_restore(Some(issued))
    }

    /// Whether the last restore has ended a token that was issued at this second since 1970. Of one of which that is
    /// not known, nobody can say.
    pub(crate) fn is_from_before_restore(&self, issued: Option<u64>) -> bool {
        self.restored.zip(issued).is_some_and(|(restored, issued)| issued < restored)
    }

    /// Has the chains by which bearer tokens were obtained judged by this, from now on and for good: a bearer
    /// token is worth something as long as a handshake with its chain would give the same identity. Before this
    /// is called, none is worth anything.
    pub fn judge_chains_by(&self, judge: JudgeChain) {
        // The one that is there already is as good.
        let _ = self.judge.set(judge);
    }

    /// Lets these roles give bearer tokens, and no others. Tokens of a role that is not among them count no
    /// more from now on.
    pub fn replace_bearer_roles(&self, roles: Vec<BearerRole>) {
        self.bearer_roles.store(Arc::new(roles.into_iter().map(Arc::new).collect()));
    }

    /// The role, if its logins give bearer tokens.
    pub(crate) fn bearer_role(&self, tenant: &TenantId, role: &str) -> Option<Arc<BearerRole>> {
        let roles = self.bearer_roles.load();
        roles.iter().find(|one| one.tenant == *tenant && one.role.as_str() == role).cloned()
    }

    fn gives_bearer_tokens(&self, tenant: &TenantId) -> bool {
        self.bearer_roles.load().iter().any(|role| role.tenant == *tenant)
    }

    /// The same with the groups and data sets of a store that has some already.
    #[must_use]
    pub fn with_directory(mut self, directory: Arc<Directory>) -> Self {
        self.directory = directory;
        self
    }

    /// The same with other limits on tokens.
    #[must_use]
    pub fn with_token_limits(mut self, limits: TokenLimits) -> Self {
        self.limits = limits;
        self
    }

    /// Establishes who calls: by the certificate of the connection, and by the token if there is one,
    /// which must have been obtained with the same certificate; or by a bearer token alone. Certificates are looked at with every
    /// request because connections outlive them. A caller that waits for something after this, such as the
    /// request's body, authenticates again.
    ///
    /// A refusal of a certificate or token goes to the audit log. A request without certificate does
    /// not, it is only counted: nobody stands behind it, and anybody could fill the log with such.
    ///
    /// # Errors
    /// [`AccessError::Unauthenticated`] says what is missing; anything else means that the question
    /// could not be answered.
    #[tracing::instrument(name = "access.authenticate", skip_all)]
    pub async fn authenticate(
        &self,
        context: &RequestContext,
        token: Option<&str>,
    ) -> Result<Caller, AccessError> {
        let (certificate, identity) = match Self::certificate_of(context) {
            Ok(found) => found,
            Err(Unauthenticated::NoCertificate) => {
                return self.authenticate_bearer(context, token).await;
            }
            Err(reason) => return Err(self.refuse(context, reason).await?),
        };
        let caller = Caller::of(certificate, identity);
        let Some(token) = token else { return Ok(caller) };
        match self.token_of(context, &caller, token).await? {
            Ok((held, proof)) => Ok(caller.with_token(held, proof)),
            Err(reason) => Err(self.refuse(context, reason).await?),
        }
    }

    /// That the tenant which a caller addresses is its own. A refusal stands in the audit log of the
    /// caller's tenant: anybody may address any.
    ///
    /// # Errors
    /// [`Unauthenticated::OtherTenant`]; or the audit log did not take it.
    pub async fn check_tenant(
        &self,
        context: &RequestContext,
        caller: &Caller,
        addressed: &TenantId,
    ) -> Result<(), AccessError> {
        if caller.identity().tenant == *addressed {
            return Ok(());
        }
        let reason = Unauthenticated::OtherTenant;
        count(&reason);
        let event = Event::new(context, "auth.authenticate", "certificate")
            .detail("reason", reason.to_string())
            .detail("addressed", addressed.to_string());
        self.gate.record_refusal(context, event, reason.code()).await?;
        Err(reason.into())
    }

    /// Whether what the caller was authenticated by counts at this moment: every operation asks this
    /// when it begins. A token that was revoked since is not found out here, since that is in the store.
    ///
    /// # Errors
    /// Why it does not count.
    pub(crate) fn still_authenticated(
        &self,
        context: &RequestContext,
        caller: &Caller,
    ) -> Result<(), Unauthenticated> {
        context.check_evidence()?;
        caller.token().map_or(Ok(()), |token| self.check_token(context, token, caller.proof()))
    }

    /// Whether a token that is known counts at this moment, from where it comes and by what proves whose it is.
    fn check_token(
        &self,
        context: &RequestContext,
        token: &TokenInfo,
        proof: Option<&Evidence>,
    ) -> Result<(), Unauthenticated> {
        self.check_terms(context, token)?;
        if token.is_bound() {
            return Ok(());
        }
        let certificate = proof.ok_or(EvidenceError::Untrusted)?.check()?;
        match &certificate.identity {
            Err(why) => Err(Unauthenticated::NoIdentity(why.clone())),
            Ok(now) if now.tenant != token.identity.tenant => Err(Unauthenticated::OtherTenant),
            Ok(now) if *now != token.identity => Err(EvidenceError::Untrusted.into()),
            Ok(_) => Ok(()),
        }
    }

    /// What proves now that a bearer token is of its identity. None of a token that is bound to its certificate,
    /// which comes with it.
    async fn proof_of(
        &self,
        context: &RequestContext,
        token: &TokenInfo,
    ) -> Result<Option<Evidence>, Unauthenticated> {
        // What is no good anyhow has nothing found out about it.
        self.check_terms(context, token)?;
        let Some(bearer) = &token.bearer else { return Ok(None) };
        let judge = self.judge.get().ok_or(EvidenceError::Untrusted)?;
        let proof = judge(&bearer.chain)?;
        if let Some(settling) = proof.settle() {
            settling.await;
        }
        Ok(Some(proof))
    }

    /// Whether a token is in time, and comes from where it may.
    fn check_terms(
        &self,
        context: &RequestContext,
        token: &TokenInfo,
    ) -> Result<(), Unauthenticated> {
        if self.is_over(token, self.clock.now()) {
            return Err(Unauthenticated::TokenExpired);
        }
        let Some(bearer) = &token.bearer else { return Ok(()) };
        let role = self.bearer_role(&token.identity.tenant, &token.role);
        let role = role.ok_or(Unauthenticated::BearerRoleGone)?;
        let is_here = |networks: &[IpNet]| is_in(networks, context.address);
        if !is_here(&bearer.networks) || !is_here(&role.networks) {
            return Err(Unauthenticated::BearerElsewhere);
        }
        Ok(())
    }

    /// The certificate and identity of a request, if they are good at this moment.
    pub(crate) fn certificate_of(
        context: &RequestContext,
    ) -> Result<(&PeerCertificate, &Identity), Unauthenticated> {
        let evidence = context.evidence.as_ref().ok_or(Unauthenticated::NoCertificate)?;
        let certificate = evidence.check()?;
        let identity = certificate
            .identity
            .as_ref()
            .map_err(|why| Unauthenticated::NoIdentity(why.clone()))?;
        if identity.tenant != context.tenant {
            return Err(Unauthenticated::OtherTenant);
        }
        Ok((certificate, identity))
    }

    /// Finds the token among those of the caller's tenant and checks that it is the caller's.
    async fn token_of(
        &self,
        context: &RequestContext,
        caller: &Caller,
        text: &str,
    ) -> Result<Result<Shown, Unauthenticated>, AccessError> {
        let Some(secret) = TokenSecret::parse(text) else {
            return Ok(Err(Unauthenticated::UnknownToken));
        };
        let key = token::key(&caller.identity().tenant, &secret)?;
        let Some(held) = token::load(&*self.store, key).await? else {
            return Ok(Err(Unauthenticated::UnknownToken));
        };
        let bound_to = held.info.fingerprint.as_bytes();
        let same_certificate =
            caller.fingerprint().is_some_and(|shown| bool::from(bound_to.ct_eq(shown.as_bytes())));
        // With a bearer token may come another certificate of the same identity.
        let is_here = same_certificate || !held.info.is_bound();
        if !is_here || held.info.identity != *caller.identity() {
            return Ok(Err(Unauthenticated::TokenOfAnotherCertificate));
        }
        Ok(self.proved(context, held).await.map_err(|(_, reason)| reason))
    }

    /// Establishes who calls without a certificate: the holder of a bearer token, or nobody.
    async fn authenticate_bearer(
        &self,
        context: &RequestContext,
        token: Option<&str>,
    ) -> Result<Caller, AccessError> {
        let Some(secret) = token.and_then(TokenSecret::parse) else {
            return Err(self.refuse(context, Unauthenticated::NoCertificate).await?);
        };
        let Some(tenant) = secret.bearer_of() else {
            return Err(self.refuse(context, Unauthenticated::TokenWithoutCertificate).await?);
        };
        // Where there are none, strangers do not make the gateway look for any.
        let held = if self.gives_bearer_tokens(tenant) {
            token::load(&*self.store, token::key(tenant, &secret)?).await?
        } else {
            None
        };
        let Some(held) = held else {
            return Err(self.refuse(context, Unauthenticated::UnknownToken).await?);
        };
        let (held, reason) = match self.proved(context, held).await {
            Ok((held, proof)) => {
                context.trail.name(|| Sender::Bearer {
                    identity: held.info.identity.clone(),
                    accessor: held.info.accessor.clone(),
                });
                return Ok(Caller::bearer(held, proof));
            }
            Err((held, reason)) => (held, reason),
        };
        count(&reason);
        // Somebody known stands behind it, or has lost it.
        let context = RequestContext { tenant: tenant.clone(), ..context.clone() };
        let event = Event::new(&context, "auth.authenticate", "token")
            .identity(held.info.identity.to_string())
            .detail("accessor", held.info.accessor)
            .detail("bearer", true)
            .detail("reason", reason.to_string());
        self.gate.record_refusal(&context, event, reason.code()).await?;
        Err(reason.into())
    }

    /// The token with what proves whose it is, if it counts at this moment.
    async fn proved(
        &self,
        context: &RequestContext,
        held: HeldToken,
    ) -> Result<Shown, (HeldToken, Unauthenticated)> {
        let proof = match self.proof_of(context, &held.info).await {
            Ok(proof) => proof,
            Err(reason) => return Err((held, reason)),
        };
        match self.check_token(context, &held.info, proof.as_ref()) {
            Ok(()) => Ok((held, proof)),
            Err(reason) => Err((held, reason)),
        }
    }

    /// Records the refusal and makes the error of it.
    pub(crate) async fn refuse(
        &self,
        context: &RequestContext,
        reason: Unauthenticated,
    ) -> Result<AccessError, AccessError> {
        count(&reason);
        if context.evidence.is_some() {
            let evidence = if reason.is_about_token() { "token" } else { "certificate" };
            let event = Event::new(context, "auth.authenticate", evidence)
                .detail("reason", reason.to_string());
            self.gate.record_refusal(context, event, reason.code()).await?;
        }
        Ok(reason.into())
    }
}

fn count(reason: &Unauthenticated) {
    metrics::counter!("chancery_access_unauthenticated_total", "reason" => reason.code())
        .increment(1);
    tracing::debug!(reason = reason.code(), "not authenticated");
}

impl std::fmt::Debug for Access {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Access").field("limits", &self.limits).finish_non_exhaustive()
    }
}
