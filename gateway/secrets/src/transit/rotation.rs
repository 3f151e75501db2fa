//! Rotates transit keys, and trims their old versions.

use chancery_access::Caller;
use chancery_identity::RequestContext;

use super::record::KeyVersion;
use super::storage::{Layout, Loaded};
use super::{Transit, TransitError, TransitKey, TransitKeyName};

impl Transit<'_> {
    /// Adds a version, `keys.rotate`, which encrypts and signs from now on. Earlier ones decrypt and verify.
    ///
    /// # Errors
    /// See [`TransitError`].
    pub async fn rotate(
        &self,
        context: &RequestContext,
        caller: &Caller,
        name: &TransitKeyName,
    ) -> Result<TransitKey, TransitError> {
        let using = self.find(context, caller, "keys.rotate", name, |_| vec![]).await?;
        let layout = self.layout(&context.tenant);
        let rotated = match using.found {
            Ok(loaded) => self.rotated(&layout, name, loaded).await,
            Err(error) => Err(error),
        };
        let version = rotated.as_ref().map_or(0, |key| key.latest);
        using.allowed.detail("version", version).finish(rotated).await
    }

    pub(super) async fn rotated(
        &self,
        layout: &Layout<'_>,
        name: &TransitKeyName,
        loaded: Loaded,
    ) -> Result<TransitKey, TransitError> {
        loaded.key.expect_enabled()?;
        if loaded.key.imported && !loaded.key.settings.allow_rotation {
            return Err(TransitError::Refused(
                "the key was brought in without allow_rotation: bring the next version in too"
                    .into(),
            ));
        }
        let mut key = loaded.key.clone();
        let version = KeyVersion::new(self.now())?;
        let made = self.custody()?.make(key.key_type, key.protection, &version.held_as).await?;
        key.add(version.with_public(made.public.as_ref()));
        self.keep(layout, name, Some(&loaded), &key, made.material).await?;
        Ok(key)
    }

    /// Destroys all versions before `least`, `keys.trim`: nothing that they made can be opened again.
    ///
    /// # Errors
    /// See [`TransitError`].
    pub async fn trim(
        &self,
        context: &RequestContext,
        caller: &Caller,
        name: &TransitKeyName,
        least: u64,
    ) -> Result<TransitKey, TransitError> {
        let using = self.find(context, caller, "keys.trim", name, |_| vec![]).await?;
        let trimmed = match using.found {
            Ok(loaded) => self.trimmed(context, name, &loaded, least).await,
            Err(error) => Err(error),
        };
        using.allowed.detail("least", least).finish(trimmed).await
    }

    async fn trimmed(
        &self,
        context: &RequestContext,
        name: &TransitKeyName,
        loaded: &Loaded,
        least: u64,
    ) -> Result<TransitKey, TransitError> {
        let settings = &loaded.key.settings;
        let used = match settings.min_encryption_version {
            0 => settings.min_decryption_version,
            encryption => encryption.min(settings.min_decryption_version),
        };
        if least > used {
            return Err(TransitError::Refused(
                format!(
                    "versions from {used} on are in use: raise min_decryption_version and \
                     min_encryption_version first"
                )
                .into(),
            ));
        }
        if settings.purge_protection {
            return Err(TransitError::Refused(
                "the key is protected from being purged, and so are its versions".into(),
            ));
        }
        let mut key = loaded.key.clone();
        let kept = key.versions.split_off(&least);
        let gone = std::mem::replace(&mut key.versions, kept);
        let layout = self.layout(&context.tenant);
        let mut commit = layout.put(name, Some(loaded), &key)?;
        for version in gone.values() {
            commit = commit.delete(layout.material(version)?);
        }
        self.store().commit(commit).await?;
        for version in gone.values() {
            let destroyed = self.custody()?.destroy(key.protection, version).await;
            destroyed.inspect_err(|_| {
                let label = &version.held_as;
                tracing::error!(%label, "a version that was trimmed stays in the HSM: remove it there");
            })?;
        }
        Ok(key)
    }
}
