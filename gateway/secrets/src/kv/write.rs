//! Writes and patches secrets, with check-and-set.

use chancery_access::Caller;
use chancery_gate::Authorized;
use chancery_identity::RequestContext;

use super::storage::{Layout, Loaded, encode, encode_data, load_data, load_metadata};
use super::version::{VersionMetadata, VersionState};
use super::{Kv, KvConfig, KvError, KvOperation, SecretData, SecretMetadata, SecretPath};
use crate::id::time_ordered_id;

impl Kv<'_> {
    /// Writes a new version; `cas` is the version that it replaces, 0 to only create.
    ///
    /// # Errors
    /// [`KvError::CasMismatch`] and [`KvError::CasRequired`] among others; nothing is written then.
    #[tracing::instrument(name = "secrets.write", skip_all)]
    pub async fn write(
        &self,
        context: &RequestContext,
        caller: &Caller,
        path: &SecretPath,
        data: &SecretData,
        cas: Option<u64>,
    ) -> Result<VersionMetadata, KvError> {
        let tenant = &caller.identity().tenant;
        let layout = self.layout(tenant);
        let key = layout.metadata(path)?;
        let mut allowed: Option<Authorized<'_>> = None;
        for _ in Self::attempts() {
            // Looked at before the policies are asked, which are told apart creating and updating.
            // If that changes under the request, they are asked again.
            let loaded = load_metadata(self.store(), &key).await?;
            let operation = match &loaded.value {
                Some(secret) if secret.current_version > 0 => KvOperation::Update,
                _ => KvOperation::Create,
            };
            let may = match allowed.take() {
                Some(may) if may.operation() == operation.name() => may,
                earlier => {
                    if let Some(earlier) = earlier {
                        earlier.overtaken().await?;
                    }
                    self.ask(context, caller, operation, self.resource(path)).await?
                }
            };
            // Known to those only who may write there.
            if loaded.value.is_none()
                && let Err(error) = path.check_new()
            {
                return may.finish(Err(error.into())).await;
            }
            let config = match self.config(tenant).await {
                Ok(config) => config,
                Err(error) => return may.finish(Err(error)).await,
            };
            match self.add(layout, loaded, &config, data, cas).await {
                Ok(Some(written)) => {
                    let may = may.detail("version", written.number);
                    return may
                        .hashed("value", data.as_json().as_bytes())
                        .finish(Ok(written))
                        .await;
                }
                Ok(None) => allowed = Some(may),
                Err(error) => return may.finish(Err(error)).await,
            }
        }
        match allowed {
            Some(may) => may.finish(Err(KvError::Contended)).await,
            None => Err(KvError::Contended),
        }
    }

    /// Writes a new version that is the current one changed by `patch` (RFC 7396).
    ///
    /// # Errors
    /// [`KvError::NotFound`] or [`KvError::Gone`] if there is nothing to change, and as for a write.
    #[tracing::instrument(name = "secrets.patch", skip_all)]
    pub async fn patch(
        &self,
        context: &RequestContext,
        caller: &Caller,
        path: &SecretPath,
        patch: &SecretData,
        cas: Option<u64>,
    ) -> Result<VersionMetadata, KvError> {
        let may = self.ask(context, caller, KvOperation::Patch, self.resource(path)).await?;
        let result = self.patched(context, caller, path, patch, cas).await;
        let may = match &result {
            Ok(written) => may.detail("version", written.number),
            Err(_) => may,
        };
        may.finish(result).await
    }

    async fn patched(
        &self,
        context: &RequestContext,
        caller: &Caller,
        path: &SecretPath,
        patch: &SecretData,
        cas: Option<u64>,
    ) -> Result<VersionMetadata, KvError> {
        let tenant = &caller.identity().tenant;
        let layout = self.layout(tenant);
        let key = layout.metadata(path)?;
        let config = self.config(tenant).await?;
        let mut taken = 0;
        for _ in Self::attempts() {
            let loaded = load_metadata(self.store(), &key).await?;
            let secret = loaded.value.as_ref().ok_or(KvError::NotFound)?;
            let current = secret.version(None).ok_or(KvError::NotFound)?;
            if current.version.state(self.now()) != VersionState::Live {
                return Err(KvError::Gone(Box::new(current)));
            }
            let value = layout.version(secret.id, current.number)?;
            // Gone between the two reads: what removed it has changed the metadata as well.
            let Some(old) = load_data(self.store(), &value).await? else { continue };
            let data = old.merged(patch)?;
            let needed = old.as_json().len().saturating_add(data.as_json().len());
            context.room.take(needed.saturating_sub(taken))?;
            taken = taken.max(needed);
            if let Some(written) = self.add(layout, loaded, &config, &data, cas).await? {
                return Ok(written);
            }
        }
        Err(KvError::Contended)
    }

    /// Adds a version to the secret as it was read; none if it was changed meanwhile.
    async fn add(
        &self,
        layout: Layout<'_>,
        loaded: Loaded<Option<SecretMetadata>>,
        config: &KvConfig,
        data: &SecretData,
        cas: Option<u64>,
    ) -> Result<Option<VersionMetadata>, KvError> {
        let now = self.now();
        let mut commit = loaded.commit();
        let key = loaded.check.key;
        let mut secret =
            loaded.value.unwrap_or_else(|| SecretMetadata::new(time_ordered_id(now), now));
        secret.check_cas(cas, config)?;
        let added = secret.add_version(now, config);
        commit = commit
            .put(layout.version(secret.id, added.number)?, encode_data(data))
            .put(key.clone(), encode(&key, &secret)?);
        for number in added.dropped {
            commit = commit.delete(layout.version(secret.id, number)?);
        }
        let written = secret.version(Some(added.number)).ok_or(KvError::NotFound)?;
        Ok(self.committed(commit).await?.then_some(written))
    }
}
