use chancery_access::{Caller, Refusal};
use chancery_audit::Event;
use chancery_identity::RequestContext;

use super::{KvError, SecretData};
use crate::Secrets;

/// What can be done with key-value secrets, as policies name it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KvOperation {
    /// Read a value.
    Read,
    /// See the names in a folder.
    List,
    /// Write the first version.
    Create,
    /// Write a further version.
    Update,
    /// Change parts of the value.
    Patch,
    /// Delete versions, so that they can be brought back.
    Delete,
    /// Bring versions back.
    Undelete,
    /// Remove values for good.
    Destroy,
    /// Read everything but values.
    MetadataRead,
    /// Change settings and notes.
    MetadataUpdate,
    /// Remove the secret with all its versions.
    MetadataDelete,
    /// Read the mount's settings.
    ConfigRead,
    /// Change the mount's settings.
    ConfigUpdate,
}

impl KvOperation {
    /// All of them, the commonest first.
    pub const ALL: [Self; 13] = [
        Self::Read,
        Self::List,
        Self::Create,
        Self::Update,
        Self::Patch,
        Self::Delete,
        Self::MetadataRead,
        Self::MetadataUpdate,
        Self::MetadataDelete,
        Self::Undelete,
        Self::Destroy,
        Self::ConfigRead,
        Self::ConfigUpdate,
    ];

    /// The name in policies, audit log and metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::Read => "secrets.read",
            Self::List => "secrets.list",
            Self::Create => "secrets.create",
            Self::Update => "secrets.update",
            Self::Patch => "secrets.patch",
            Self::Delete => "secrets.delete",
            Self::Undelete => "secrets.undelete",
            Self::Destroy => "secrets.destroy",
            Self::MetadataRead => "secrets.metadata.read",
            Self::MetadataUpdate => "secrets.metadata.update",
            Self::MetadataDelete => "secrets.metadata.delete",
            Self::ConfigRead => "secrets.config.read",
            Self::ConfigUpdate => "secrets.config.update",
        }
    }
}

/// An operation that the policies allowed and whose end is still to be recorded. Its result is
/// reached only through [`finish`](Self::finish), so nothing is answered that the audit log does not
/// have.
#[must_use]
pub(crate) struct Allowed<'a> {
    secrets: &'a Secrets,
    operation: KvOperation,
    event: Event,
}

impl<'a> Allowed<'a> {
    /// Asks the policies; a refusal is recorded and returned.
    pub(crate) async fn ask(
        secrets: &'a Secrets,
        context: &RequestContext,
        caller: &Caller,
        operation: KvOperation,
        resource: String,
    ) -> Result<Self, KvError> {
        let event = Event::new(context, operation.name(), resource.clone());
        let event = match caller.token() {
            Some(token) => event.detail("accessor", token.accessor.clone()),
            None => event,
        };
        let asked =
            secrets.access.authorize(context, caller, operation.name(), &resource, vec![]).await;
        match asked {
            Ok(grant) => Ok(Self { secrets, operation, event: event.decisions(grant.decisions) }),
            Err(refusal) => {
                count(operation, "denied");
                secrets.audit.record(refusal.recorded_in(event)).await?;
                Err(denied(refusal))
            }
        }
    }

    pub(crate) fn operation(&self) -> KvOperation {
        self.operation
    }

    /// Adds a fact to the record. Never a value.
    pub(crate) fn detail(mut self, name: &str, value: impl Into<serde_json::Value>) -> Self {
        self.event = self.event.detail(name, value);
        self
    }

    /// Adds the version and a keyed hash of its value: whoever holds the audit log's key can tell
    /// where a value that leaked was written and read, and nobody learns it from the log.
    pub(crate) fn version(self, number: u64, data: &SecretData) -> Self {
        let hash = self.secrets.audit.keyed_hash(data.as_json().as_bytes());
        self.detail("version", number).detail("value", hash)
    }

    /// Records that it came to nothing because another request was quicker, before the policies are
    /// asked about what it has become: no decision goes unrecorded.
    pub(crate) async fn overtaken(self) -> Result<(), KvError> {
        Ok(self.secrets.audit.record(self.event.failed("overtaken")).await?)
    }

    /// Records how it ended, and only then lets the result go.
    pub(crate) async fn finish<T>(self, result: Result<T, KvError>) -> Result<T, KvError> {
        let event = match &result {
            Ok(_) => self.event.succeeded(),
            Err(error) => self.event.failed(error.code()),
        };
        count(self.operation, if result.is_ok() { "success" } else { "failed" });
        self.secrets.audit.record(event).await?;
        result
    }
}

fn denied(refusal: Refusal) -> KvError {
    if refusal.is_overload() {
        return KvError::Overloaded;
    }
    KvError::Denied { code: refusal.code, message: refusal.message }
}

fn count(operation: KvOperation, outcome: &'static str) {
    metrics::counter!(
        "chancery_secrets_operations_total",
        "operation" => operation.name(), "outcome" => outcome
    )
    .increment(1);
}
