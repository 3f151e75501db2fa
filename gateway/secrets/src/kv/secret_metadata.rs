//! Reads, changes and deletes the metadata of a secret.

use chancery_access::Caller;
use chancery_identity::RequestContext;

use super::engine::Change;
use super::storage::{Loaded, encode, load_metadata};
use super::{Kv, KvError, KvOperation, MetadataUpdate, SecretMetadata, SecretPath};
use crate::id::time_ordered_id;

impl Kv<'_> {
    /// Everything about a secret but its values.
    ///
    /// # Errors
    /// [`KvError::NotFound`] if there is none.
    pub async fn read_metadata(
        &self,
        context: &RequestContext,
        caller: &Caller,
        path: &SecretPath,
    ) -> Result<SecretMetadata, KvError> {
        let operation = KvOperation::MetadataRead;
        let may = self.ask(context, caller, operation, self.resource(path)).await?;
        let result = async {
            let key = self.layout(&caller.identity().tenant).metadata(path)?;
            load_metadata(self.store(), &key).await?.value.ok_or(KvError::NotFound)
        };
        may.finish(result.await).await
    }

    /// Changes the settings and notes of a secret. Makes one without versions if there is none, since
    /// some clients write the metadata before the value.
    ///
    /// # Errors
    /// If a setting is out of range; nothing is changed then.
    pub async fn write_metadata(
        &self,
        context: &RequestContext,
        caller: &Caller,
        path: &SecretPath,
        update: &MetadataUpdate,
    ) -> Result<(), KvError> {
        self.update_metadata(context, caller, path, update, |now| {
            path.check_new()?;
            Ok(SecretMetadata::new(time_ordered_id(now), now))
        })
        .await
    }

    /// Changes the settings and notes of a secret that exists.
    ///
    /// # Errors
    /// [`KvError::NotFound`] if there is none, or a setting is out of range.
    pub async fn patch_metadata(
        &self,
        context: &RequestContext,
        caller: &Caller,
        path: &SecretPath,
        update: &MetadataUpdate,
    ) -> Result<(), KvError> {
        self.update_metadata(context, caller, path, update, |_| Err(KvError::NotFound)).await
    }

    async fn update_metadata(
        &self,
        context: &RequestContext,
        caller: &Caller,
        path: &SecretPath,
        update: &MetadataUpdate,
        absent: impl Fn(jiff::Timestamp) -> Result<SecretMetadata, KvError>,
    ) -> Result<(), KvError> {
        let operation = KvOperation::MetadataUpdate;
        let may = self.ask(context, caller, operation, self.resource(path)).await?;
        let result = async {
            let key = self.layout(&caller.identity().tenant).metadata(path)?;
            self.change(&key, |loaded: &Loaded<Option<SecretMetadata>>| {
                let now = self.now();
                let mut secret = match &loaded.value {
                    Some(secret) => secret.clone(),
                    None => absent(now)?,
                };
                secret.update(update, now)?;
                let commit = loaded.commit().put(key.clone(), encode(&key, &secret)?);
                Ok(Change::Commit(commit, ()))
            })
            .await
        };
        may.finish(result.await).await
    }

    /// Removes the secret: its metadata and all values, for good. Nothing happens if there is none.
    ///
    /// # Errors
    /// See [`KvError`].
    pub async fn delete_metadata(
        &self,
        context: &RequestContext,
        caller: &Caller,
        path: &SecretPath,
    ) -> Result<(), KvError> {
        let operation = KvOperation::MetadataDelete;
        let may = self.ask(context, caller, operation, self.resource(path)).await?;
        let result = async {
            let layout = self.layout(&caller.identity().tenant);
            let key = layout.metadata(path)?;
            self.change(&key, |loaded: &Loaded<Option<SecretMetadata>>| {
                let Some(secret) = &loaded.value else { return Ok(Change::Nothing(())) };
                let mut commit = loaded.commit().delete(key.clone());
                for number in secret.versions.keys() {
                    commit = commit.delete(layout.version(secret.id, *number)?);
                }
                Ok(Change::Commit(commit, ()))
            })
            .await
        };
        may.finish(result.await).await
    }
}
