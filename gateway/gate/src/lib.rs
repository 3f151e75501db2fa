//! The one way to the policies and the audit log.
//!
//! A caller asks for operations with a [`Session`], which says who asks, in which request, and with what evidence.
//! The [`Gate`] checks the evidence and asks the policies. It returns a permission or a [`Refused`]. There are two
//! ways to ask:
//!
//! - [`Gate::ask`] is for an operation that asks once. It records a refusal by itself. A permission is an
//!   [`Authorized`], which gives the operation's result out only after the audit log has it.
//! - [`Gate::decide`] and [`Gate::decide_each`] are for an operation that asks several times and has one line in
//!   the audit log in the end. [`Gate::decide_certificate`] asks what a certificate may say.

mod authorized;
mod decide;
mod refused;
mod session;

pub use authorized::{Authorized, Coded};
pub use chancery_policy::AccessGrant as Grant;
pub use decide::{Answer, EachAnswer};
pub use refused::{Denied, Refused};
pub use session::Session;

use chancery_audit::{Audit, AuditError, Event};
use chancery_identity::RequestContext;
use chancery_policy::PolicyHost;

/// Asks the policies and writes the audit log. Cheap to clone.
#[derive(Clone)]
pub struct Gate {
    policy: PolicyHost,
    audit: Audit,
}

impl Gate {
    /// A gate under these policies, with everything that happens in this audit log.
    pub fn new(policy: PolicyHost, audit: Audit) -> Self {
        Self { policy, audit }
    }

    /// Puts an event on record.
    ///
    /// # Errors
    /// The audit log did not take it, so the operation must not be answered as done.
    pub async fn record(&self, event: Event) -> Result<(), AuditError> {
        self.audit.record(event).await
    }

    /// Puts on record that a request was refused before any operation began. A client has a hundred such lines in an
    /// hour; the next line says how many were left out.
    ///
    /// # Errors
    /// The audit log did not take it.
    pub async fn record_refusal(
        &self,
        context: &RequestContext,
        event: Event,
        code: &str,
    ) -> Result<(), AuditError> {
        self.audit.record_refusal(context, event, code).await
    }

    /// Puts on record, within the same bound, that an operation came to nothing: one that a client can ask for without
    /// end. The event says how it ended. What the gateway does by itself has no bound.
    ///
    /// # Errors
    /// The audit log did not take it.
    pub async fn record_unsuccessful(
        &self,
        context: &RequestContext,
        event: Event,
    ) -> Result<(), AuditError> {
        self.audit.record_unsuccessful(context, event).await
    }

    /// The audit log, for what has no session: what the gateway does by itself.
    pub fn audit(&self) -> &Audit {
        &self.audit
    }

    /// A keyed hash of a secret, for the audit log: the holder of the log's key can tell where a leaked value was
    /// written and read, and nobody learns the value from the log.
    pub fn keyed_hash(&self, secret: &[u8]) -> String {
        self.audit.keyed_hash(secret)
    }
}

impl std::fmt::Debug for Gate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Gate").finish_non_exhaustive()
    }
}
