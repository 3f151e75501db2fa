//! Deletes, undeletes and destroys versions of a secret.

use chancery_access::Caller;
use chancery_identity::RequestContext;

use super::engine::Change;
use super::storage::{Loaded, encode};
use super::{Kv, KvConfig, KvError, KvOperation, SecretMetadata, SecretPath};

/// Naming more versions than a secret can have serves nobody.
const MAX_NAMED: usize = 1000;

impl Kv<'_> {
    /// Deletes the newest version, so that it can be brought back. Nothing happens if there is none.
    ///
    /// # Errors
    /// See [`KvError`].
    pub async fn delete_latest(
        &self,
        context: &RequestContext,
        caller: &Caller,
        path: &SecretPath,
    ) -> Result<(), KvError> {
        let may = self.ask(context, caller, KvOperation::Delete, self.resource(path)).await?;
        let result = self
            .mark(caller, path, |secret, _| {
                secret.delete(&[secret.current_version], self.now());
                Vec::new()
            })
            .await;
        may.finish(result).await
    }

    /// Deletes these versions, so that they can be brought back. Those that do not exist are passed
    /// over.
    ///
    /// # Errors
    /// [`KvError::NoVersions`] if none are named.
    pub async fn delete_versions(
        &self,
        context: &RequestContext,
        caller: &Caller,
        path: &SecretPath,
        versions: &[u64],
    ) -> Result<(), KvError> {
        let operation = KvOperation::Delete;
        self.on_versions(context, caller, path, versions, operation, |secret, _| {
            secret.delete(versions, self.now());
            Vec::new()
        })
        .await
    }

    /// Brings these versions back, for as long as if they were written now. Those that do not exist or were
    /// destroyed are passed over.
    ///
    /// # Errors
    /// [`KvError::NoVersions`] if none are named.
    pub async fn undelete_versions(
        &self,
        context: &RequestContext,
        caller: &Caller,
        path: &SecretPath,
        versions: &[u64],
    ) -> Result<(), KvError> {
        let operation = KvOperation::Undelete;
        self.on_versions(context, caller, path, versions, operation, |secret, config| {
            secret.undelete(versions, self.now(), config);
            Vec::new()
        })
        .await
    }

    /// Removes the values of these versions for good. Those that do not exist are passed over.
    ///
    /// # Errors
    /// [`KvError::NoVersions`] if none are named.
    pub async fn destroy_versions(
        &self,
        context: &RequestContext,
        caller: &Caller,
        path: &SecretPath,
        versions: &[u64],
    ) -> Result<(), KvError> {
        let operation = KvOperation::Destroy;
        self.on_versions(context, caller, path, versions, operation, |secret, _| {
            secret.destroy(versions, self.now())
        })
        .await
    }

    async fn on_versions(
        &self,
        context: &RequestContext,
        caller: &Caller,
        path: &SecretPath,
        versions: &[u64],
        operation: KvOperation,
        mark: impl Fn(&mut SecretMetadata, &KvConfig) -> Vec<u64>,
    ) -> Result<(), KvError> {
        let may = self.ask(context, caller, operation, self.resource(path)).await?;
        let result = match versions.len() {
            0 => Err(KvError::NoVersions),
            1..=MAX_NAMED => self.mark(caller, path, mark).await,
            _ => Err(KvError::TooManyVersions),
        };
        let named: Vec<u64> = versions.iter().take(MAX_NAMED).copied().collect();
        let may = may.detail("versions", named);
        may.finish(result).await
    }

    /// Lets `mark` change the secret, if there is one, and removes the values that it names.
    async fn mark(
        &self,
        caller: &Caller,
        path: &SecretPath,
        mark: impl Fn(&mut SecretMetadata, &KvConfig) -> Vec<u64>,
    ) -> Result<(), KvError> {
        let layout = self.layout(&caller.identity().tenant);
        let key = layout.metadata(path)?;
        let config = self.config(&caller.identity().tenant).await?;
        self.change(&key, |loaded: &Loaded<Option<SecretMetadata>>| {
            let Some(before) = &loaded.value else { return Ok(Change::Nothing(())) };
            let mut secret = before.clone();
            let removed = mark(&mut secret, &config);
            if secret == *before {
                return Ok(Change::Nothing(()));
            }
            let mut commit = loaded.commit().put(key.clone(), encode(&key, &secret)?);
            for number in removed {
                commit = commit.delete(layout.version(secret.id, number)?);
            }
            Ok(Change::Commit(commit, ()))
        })
        .await
    }
}
