//! Who asks, and by what evidence.

use chancery_audit::Event;
use chancery_identity::{RequestContext, TenantId};

use crate::Refused;

/// Says whether the evidence of a session still holds for an operation on a resource. It answers from memory.
type Holds<'a> = Box<dyn Fn(&str, &str) -> Result<(), Refused> + Send + Sync + 'a>;

/// Adds to an event by what the caller is known, besides the certificate of the connection.
type Naming<'a> = Box<dyn Fn(Event) -> Event + Send + Sync + 'a>;

/// Somebody who asks for operations: who it is, in which tenant, by which request, and by what evidence. The
/// client certificate of the request's connection is evidence in any case.
pub struct Session<'a> {
    context: &'a RequestContext,
    tenant: TenantId,
    identity: String,
    facts: Vec<(String, String)>,
    holds: Option<Holds<'a>>,
    naming: Option<Naming<'a>>,
}

impl<'a> Session<'a> {
    /// A session of this identity, as the policies of `tenant` know it.
    pub fn new(context: &'a RequestContext, tenant: TenantId, identity: impl Into<String>) -> Self {
        let identity = identity.into();
        Self { context, tenant, identity, facts: Vec::new(), holds: None, naming: None }
    }

    /// The same with facts that policies are told about each operation.
    #[must_use]
    pub fn with_facts(mut self, facts: impl IntoIterator<Item = (String, String)>) -> Self {
        self.facts.extend(facts);
        self
    }

    /// The same with further evidence, such as a token: `holds` says, each time, whether it still holds for an
    /// operation on a resource.
    #[must_use]
    pub fn proved_by(
        self,
        holds: impl Fn(&str, &str) -> Result<(), Refused> + Send + Sync + 'a,
    ) -> Self {
        Self { holds: Some(Box::new(holds)), ..self }
    }

    /// The same with what the audit log says about the caller besides the certificate of the connection.
    #[must_use]
    pub fn named_by(self, naming: impl Fn(Event) -> Event + Send + Sync + 'a) -> Self {
        Self { naming: Some(Box::new(naming)), ..self }
    }

    /// Whether the evidence holds at this moment for an operation on a resource.
    ///
    /// # Errors
    /// Why it does not.
    pub fn still_holds(&self, operation: &str, resource: &str) -> Result<(), Refused> {
        self.context.check_evidence()?;
        self.holds.as_ref().map_or(Ok(()), |holds| holds(operation, resource))
    }

    /// The request to which it belongs.
    pub fn context(&self) -> &'a RequestContext {
        self.context
    }

    /// The tenant whose policies are asked.
    pub fn tenant(&self) -> &TenantId {
        &self.tenant
    }

    /// Who asks, as policies know it.
    pub fn identity(&self) -> &str {
        &self.identity
    }

    pub(crate) fn facts(&self) -> &[(String, String)] {
        &self.facts
    }

    pub(crate) fn named_in(&self, event: Event) -> Event {
        match &self.naming {
            Some(naming) => naming(event),
            None => event,
        }
    }
}

impl std::fmt::Debug for Session<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session")
            .field("request", &self.context.id)
            .field("tenant", &self.tenant)
            .field("identity", &self.identity)
            .finish_non_exhaustive()
    }
}
