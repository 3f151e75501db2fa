//! Reads the value of a version, or only its subkeys.

use chancery_access::Caller;
use chancery_identity::RequestContext;

use super::storage::{load_data, load_metadata};
use super::version::{VersionMetadata, VersionState};
use super::{Kv, KvError, KvOperation, SecretData, SecretPath};

/// How often a read starts again because the version it found in the metadata was removed before it
/// read the value.
const ATTEMPTS: usize = 8;

/// A version with its value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReadVersion {
    /// The value.
    pub data: SecretData,
    /// What is known of it.
    pub metadata: VersionMetadata,
}

impl Kv<'_> {
    /// The value of the newest version, or of the one with that number.
    ///
    /// # Errors
    /// [`KvError::Gone`] with what is left if that version is deleted or destroyed,
    /// [`KvError::NotFound`] if there is none.
    #[tracing::instrument(name = "secrets.read", skip_all)]
    pub async fn read(
        &self,
        context: &RequestContext,
        caller: &Caller,
        path: &SecretPath,
        version: Option<u64>,
    ) -> Result<ReadVersion, KvError> {
        let allowed = self.ask(context, caller, KvOperation::Read, self.resource(path)).await?;
        let result = self.find(context, caller, path, version).await;
        let allowed = match &result {
            Ok(found) => allowed
                .detail("version", found.metadata.number)
                .hashed("value", found.data.as_json().as_bytes()),
            Err(_) => allowed,
        };
        allowed.finish(result).await
    }

    /// The names in the value of the newest version, or of the one with that number: the value with null in
    /// place of everything that is no object, or that is `depth` levels down.
    ///
    /// # Errors
    /// As for [`read`](Self::read).
    pub async fn read_subkeys(
        &self,
        context: &RequestContext,
        caller: &Caller,
        path: &SecretPath,
        version: Option<u64>,
        depth: Option<u32>,
    ) -> Result<ReadVersion, KvError> {
        let operation = KvOperation::SubkeysRead;
        let allowed = self.ask(context, caller, operation, self.resource(path)).await?;
        let found = self.find(context, caller, path, version).await;
        let result = found.map(|found| ReadVersion { data: found.data.subkeys(depth), ..found });
        let allowed = match &result {
            Ok(found) => allowed.detail("version", found.metadata.number),
            Err(_) => allowed,
        };
        allowed.finish(result).await
    }

    async fn find(
        &self,
        context: &RequestContext,
        caller: &Caller,
        path: &SecretPath,
        version: Option<u64>,
    ) -> Result<ReadVersion, KvError> {
        let tenant = &caller.identity().tenant;
        let key = self.layout(tenant).metadata(path)?;
        let mut missing = key.clone();
        for _ in 0..ATTEMPTS {
            let secret = load_metadata(self.store(), &key).await?.value.ok_or(KvError::NotFound)?;
            let metadata = secret.version(version).ok_or(KvError::NotFound)?;
            if metadata.version.state(self.now()) != VersionState::Live {
                return Err(KvError::Gone(Box::new(metadata)));
            }
            let value = self.layout(tenant).version(secret.id, metadata.number)?;
            if let Some(data) = load_data(self.store(), &value).await? {
                // Here, and as the answer that is made of it.
                context.room.take(data.as_json().len().saturating_mul(2))?;
                return Ok(ReadVersion { data, metadata });
            }
            missing = value;
        }
        Err(KvError::Record(missing.to_string()))
    }
}
