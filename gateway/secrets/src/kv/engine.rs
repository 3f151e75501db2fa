//! The key-value engine at a mount: asks the gate, and retries changes that conflict.

use chancery_access::Caller;
use chancery_gate::Authorized;
use chancery_identity::{RequestContext, TenantId};
use chancery_store::{Commit, CommitError, Key, Store};
use jiff::Timestamp;

use super::storage::{self, Layout, Loaded};
use super::{KvConfig, KvError, KvOperation, SecretMetadata, SecretPath};
use crate::environment::Environment;
use crate::{MountKind, MountName};

/// How often a change starts again because somebody else changed the same secret. Each time, one of
/// the others got through, so as many writers as this can meet at one secret.
const ATTEMPTS: usize = 256;

/// The key-value engine at one mount. Cheap; made per request by [`Secrets::kv`](crate::Secrets::kv).
///
/// The operations are to be run to their end: one whose future is dropped half-way may have been done
/// and not recorded.
#[derive(Debug, Clone)]
pub struct Kv<'a> {
    pub(crate) environment: &'a Environment,
    pub(crate) mount: MountName,
    exists: bool,
}

/// What a change makes of a secret.
pub(crate) enum Change<T> {
    /// Nothing had to be done.
    Nothing(T),
    /// This is to be committed, on top of the check that the secret is as it was read.
    Commit(Commit, T),
}

impl<'a> Kv<'a> {
    pub(crate) fn new(environment: &'a Environment, mount: MountName) -> Self {
        let exists = environment.is_mounted(&mount, MountKind::Kv);
        Self { environment, mount, exists }
    }

    pub(crate) fn store(&self) -> &'a dyn Store {
        &*self.environment.store
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.environment.now()
    }

    pub(crate) fn layout<'b>(&'b self, tenant: &'b TenantId) -> Layout<'b> {
        Layout { tenant, mount: &self.mount }
    }

    /// The resource that policies are asked about for a secret.
    pub(crate) fn resource(&self, path: &SecretPath) -> String {
        format!("{}/{path}", self.mount)
    }

    /// The resource that policies are asked about for the mount as a whole.
    pub(crate) fn mount_resource(&self) -> String {
        format!("{}/", self.mount)
    }

    /// Asks the policies. Only those whom they allow get to know whether the mount exists.
    pub(crate) async fn ask(
        &self,
        context: &RequestContext,
        caller: &Caller,
        operation: KvOperation,
        resource: String,
    ) -> Result<Authorized<'a>, KvError> {
        let session = self.environment.session(context, caller);
        let asked = self.environment.gate().ask(&session, operation.name(), &resource, vec![]);
        let may = asked.await?;
        if self.exists { Ok(may) } else { may.finish(Err(KvError::NoMount)).await }
    }

    pub(crate) async fn config(&self, tenant: &TenantId) -> Result<KvConfig, KvError> {
        let key = self.layout(tenant).config()?;
        Ok(storage::load_config(self.store(), &key).await?.value)
    }

    /// Reads the secret's metadata, lets `change` decide on it, and commits what it decided; again
    /// from the beginning if the secret was changed in between.
    pub(crate) async fn change<T>(
        &self,
        key: &Key,
        change: impl Fn(&Loaded<Option<SecretMetadata>>) -> Result<Change<T>, KvError>,
    ) -> Result<T, KvError> {
        for _ in 0..ATTEMPTS {
            let loaded = storage::load_metadata(self.store(), key).await?;
            match change(&loaded)? {
                Change::Nothing(result) => return Ok(result),
                Change::Commit(commit, result) => {
                    if self.committed(commit).await? {
                        return Ok(result);
                    }
                }
            }
        }
        Err(KvError::Contended)
    }

    /// Whether the commit happened; it did not if somebody else was faster.
    pub(crate) async fn committed(&self, commit: Commit) -> Result<bool, KvError> {
        match self.store().commit(commit).await {
            Ok(_) => Ok(true),
            Err(CommitError::Conflict { .. }) => {
                metrics::counter!("chancery_secrets_conflicts_total").increment(1);
                Ok(false)
            }
            Err(error) => Err(error.into()),
        }
    }

    /// The attempts that an operation with a loop of its own has.
    pub(crate) fn attempts() -> std::ops::Range<usize> {
        0..ATTEMPTS
    }
}
