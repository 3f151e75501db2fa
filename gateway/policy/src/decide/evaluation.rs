//! Asking one policy.

use chancery_identity::TenantId;
use wasmtime::Store;

use super::merge::{narrowest, strictest};
use super::meters::Outcome;
use crate::component::{Bounds, Failure, Interface, Program, failure};
use crate::contract::world::types;
use crate::contract::{answer, request};
use crate::question::{AccessGrant, AccessRequest, CertificateFacts, CertificateTemplate, Denial};

/// What one policy said.
pub(crate) type Answer<T> = Result<Result<T, Denial>, Failure>;

/// A question that programs of one world answer.
pub(crate) trait Question {
    /// The answer, as this crate hands it out.
    type Allowed;

    /// Puts the question to a fresh instance of the program in a store that nothing was in before.
    fn ask(&self, program: &Program, store: &mut Store<Bounds>) -> Answer<Self::Allowed>;

    /// The tenant whose question it is.
    fn tenant(&self) -> &TenantId;

    /// What is allowed if all of these are.
    fn merge(allowed: Vec<Self::Allowed>) -> Result<Self::Allowed, Denial>;

    /// What is allowed if nothing speaks against it.
    fn unobjected() -> Self::Allowed;

    /// What kind of answer this is.
    fn outcome(allowed: &Self::Allowed) -> Outcome<'static>;
}

impl Question for AccessRequest {
    type Allowed = AccessGrant;

    fn tenant(&self) -> &TenantId {
        &self.tenant
    }

    fn merge(allowed: Vec<AccessGrant>) -> Result<AccessGrant, Denial> {
        Ok(strictest(allowed))
    }

    fn unobjected() -> AccessGrant {
        AccessGrant::default()
    }

    fn outcome(_: &AccessGrant) -> Outcome<'static> {
        Outcome::Allow
    }

    fn ask(&self, program: &Program, store: &mut Store<Bounds>) -> Answer<AccessGrant> {
        ask_access(&request::Access::about(self, &self.resource), program, store)
    }
}

/// Puts a question about access.
pub(crate) fn ask_access(
    request: &request::Access<'_>,
    program: &Program,
    store: &mut Store<Bounds>,
) -> Answer<AccessGrant> {
    let Interface::Access(policy) = &program.interface else { return wrong_world() };
    let said = policy.ask(program.unconfigured.as_deref(), request, &mut *store);
    let decision = said.map_err(|error| failure(store.data(), &error))?;
    answer::accept_access(decision.map_err(|e| refused_settings(&e))?).map_err(Failure::Answer)
}

impl Question for CertificateFacts {
    type Allowed = Option<CertificateTemplate>;

    fn tenant(&self) -> &TenantId {
        &self.tenant
    }

    fn merge(
        allowed: Vec<Option<CertificateTemplate>>,
    ) -> Result<Option<CertificateTemplate>, Denial> {
        narrowest(allowed)
    }

    fn unobjected() -> Option<CertificateTemplate> {
        None
    }

    fn outcome(template: &Option<CertificateTemplate>) -> Outcome<'static> {
        if template.is_some() { Outcome::Allow } else { Outcome::NoObjection }
    }

    fn ask(
        &self,
        program: &Program,
        store: &mut Store<Bounds>,
    ) -> Answer<Option<CertificateTemplate>> {
        let Interface::Certificate(policy) = &program.interface else { return wrong_world() };
        let request = request::Certificate::from(self);
        let said = policy.ask(program.unconfigured.as_deref(), &request, &mut *store);
        let decision = said.map_err(|error| failure(store.data(), &error))?;
        let decision = decision.map_err(|e| refused_settings(&e))?;
        answer::accept_certificate(decision).map_err(Failure::Answer)
    }
}

fn refused_settings(error: &types::SettingsError) -> Failure {
    Failure::Settings(format!("{}: {}", error.path, error.message))
}

/// Bindings are kept apart by decision when they are loaded.
fn wrong_world<T>() -> Answer<T> {
    Err(Failure::Answer("the plugin is of another world".to_owned()))
}
