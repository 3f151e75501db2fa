//! Creates, lists, reads, updates, disables, deletes and purges transit keys.

use chancery_access::Caller;
use chancery_identity::RequestContext;
use chancery_store::Key;
use jiff::Timestamp;
use zeroize::Zeroizing;

use super::record::KeyVersion;
use super::storage::{Layout, Loaded, secret};
use super::{
    KeySettings, Protection, SettingsUpdate, State, Transit, TransitError, TransitKey,
    TransitKeyName, TransitKeyType,
};
use crate::Page;
use crate::listing::size_of_name;

/// How many names are read at once.
const PAGE: usize = 1000;

/// A key that somebody wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NewKey {
    /// What kind; none takes the one that is there, else AES.
    pub key_type: Option<TransitKeyType>,
    /// Where it is kept; none takes the one that is there, else software.
    pub protection: Option<Protection>,
    /// What differs from the usual settings.
    pub settings: SettingsUpdate,
}

impl Transit<'_> {
    /// Makes a key: `keys.create`. One that is there already, and of the kind that is asked for, stays as it
    /// is.
    ///
    /// # Errors
    /// See [`TransitError`].
    pub async fn create(
        &self,
        context: &RequestContext,
        caller: &Caller,
        name: &TransitKeyName,
        wanted: NewKey,
    ) -> Result<TransitKey, TransitError> {
        let layout = self.layout(&context.tenant);
        // Read before the policies are asked, because they are told what a wish without a type comes to.
        let known = match self.custody {
            Some(_) => layout.load(self.store(), name).await?.map(|loaded| loaded.key),
            None => None,
        };
        let known_kind = known.as_ref().map(|key| (key.key_type, key.protection));
        let usual = known_kind.unwrap_or((TransitKeyType::Aes256Gcm96, Protection::Software));
        let kind = (wanted.key_type.unwrap_or(usual.0), wanted.protection.unwrap_or(usual.1));
        let facts = vec![
            ("key-type".to_owned(), kind.0.to_string()),
            ("protection".to_owned(), kind.1.as_str().to_owned()),
            ("exportable".to_owned(), wanted.settings.exportable.unwrap_or(false).to_string()),
        ];
        let resource = self.resource(name);
        let allowed = self.ask(context, caller, "keys.create", &resource, facts).await?;
        let created = match known {
            // Vault destroys at once and would make a new one here. This one can still be brought back.
            Some(key) if matches!(key.state, State::Deleted { .. }) => Err(TransitError::Refused(
                "a deleted key has this name until it is destroyed: bring it back, or take another name".into(),
            )),
            Some(key) if (key.key_type, key.protection) == kind => Ok(key),
            Some(key) => Err(TransitError::Refused(
                format!("there is another key with this name, of type {}", key.key_type).into(),
            )),
            None => self.created(context, name, kind, wanted.settings).await,
        };
        allowed.finish(created).await
    }

    async fn created(
        &self,
        context: &RequestContext,
        name: &TransitKeyName,
        (key_type, protection): (TransitKeyType, Protection),
        settings: SettingsUpdate,
    ) -> Result<TransitKey, TransitError> {
        let layout = self.layout(&context.tenant);
        let settings = KeySettings::default().changed(settings, 1, 1)?;
        let version = KeyVersion::new(self.now())?;
        let made = self.custody()?.make(key_type, protection, &version.held_as).await?;
        let version = version.with_public(made.public.as_ref());
        let key = TransitKey::new((key_type, protection), settings, version);
        self.keep(&layout, name, None, &key, made.material).await?;
        Ok(key)
    }

    /// Commits a key whose latest version was just made; if that fails, the version is destroyed again.
    pub(super) async fn keep(
        &self,
        layout: &Layout<'_>,
        name: &TransitKeyName,
        before: Option<&Loaded>,
        key: &TransitKey,
        material: Option<Zeroizing<Vec<u8>>>,
    ) -> Result<(), TransitError> {
        let version = key.version(key.latest)?;
        let mut commit = layout.put(name, before, key)?;
        if let Some(material) = material {
            commit = commit.put(layout.material(version)?, secret(material));
        }
        let committed = self.store().commit(commit).await;
        if committed.is_err()
            && let Err(error) = self.custody()?.destroy(key.protection, version).await
        {
            let label = &version.held_as;
            tracing::warn!(%error, %label, "a key that nobody uses stays in the HSM");
        }
        committed?;
        Ok(())
    }

    /// The names of keys, in order: `keys.list`, on the mount.
    ///
    /// # Errors
    /// See [`TransitError`].
    pub async fn list(
        &self,
        context: &RequestContext,
        caller: &Caller,
        page: &Page,
    ) -> Result<Vec<String>, TransitError> {
        let resource = format!("{}/", self.mount);
        let allowed = self.ask(context, caller, "keys.list", &resource, vec![]).await?;
        let names = self.names(context, page).await;
        allowed.finish(names).await
    }

    async fn names(
        &self,
        context: &RequestContext,
        page: &Page,
    ) -> Result<Vec<String>, TransitError> {
        let prefix = self.layout(&context.tenant).keys();
        let mut names: Vec<String> = vec![];
        // What is too long to be a key is looked for from the beginning: it may be before others all the same.
        let mut after =
            page.after.as_ref().and_then(|name| Key::new(format!("{prefix}{name}")).ok());
        loop {
            // Of a key that is damaged, the name is there all the same.
            let keys = self.store().keys(prefix.as_bytes(), after.as_ref(), PAGE).await?;
            let is_last = keys.len() < PAGE;
            after = keys.last().cloned();
            let name = |key: &Key| {
                let name = key.as_bytes().strip_prefix(prefix.as_bytes())?;
                String::from_utf8(name.to_vec()).ok()
            };
            let wanted = keys.iter().filter_map(name).filter(|name| page.has(name));
            let missing = page.limit.map_or(usize::MAX, |limit| limit.saturating_sub(names.len()));
            for name in wanted.take(missing) {
                context.room.take(size_of_name(&name))?;
                names.push(name);
            }
            if is_last || page.is_full(names.len()) {
                return Ok(names);
            }
        }
    }

    /// What there is to know about a key but its secrets: `keys.read`.
    ///
    /// # Errors
    /// See [`TransitError`].
    pub async fn read(
        &self,
        context: &RequestContext,
        caller: &Caller,
        name: &TransitKeyName,
    ) -> Result<TransitKey, TransitError> {
        let using = self.find(context, caller, "keys.read", name, |_| vec![]).await?;
        using.allowed.finish(using.found.map(|loaded| loaded.key)).await
    }

    /// Changes settings: `keys.update`.
    ///
    /// # Errors
    /// See [`TransitError`].
    pub async fn update(
        &self,
        context: &RequestContext,
        caller: &Caller,
        name: &TransitKeyName,
        update: SettingsUpdate,
    ) -> Result<TransitKey, TransitError> {
        let change = |key: &mut TransitKey| {
            key.settings = key.settings.changed(update, key.oldest(), key.latest)?;
            Ok(())
        };
        self.change(context, caller, "keys.update", name, change).await
    }

    /// Takes a key out of use, `keys.disable`, until it is enabled again.
    ///
    /// # Errors
    /// See [`TransitError`].
    pub async fn disable(
        &self,
        context: &RequestContext,
        caller: &Caller,
        name: &TransitKeyName,
    ) -> Result<TransitKey, TransitError> {
        let change = |key: &mut TransitKey| move_to(key, State::Disabled);
        self.change(context, caller, "keys.disable", name, change).await
    }

    /// Puts a disabled key back into use: `keys.enable`.
    ///
    /// # Errors
    /// See [`TransitError`].
    pub async fn enable(
        &self,
        context: &RequestContext,
        caller: &Caller,
        name: &TransitKeyName,
    ) -> Result<TransitKey, TransitError> {
        let change = |key: &mut TransitKey| move_to(key, State::Enabled);
        self.change(context, caller, "keys.enable", name, change).await
    }

    /// Deletes a key, `keys.delete`: it cannot be used from now on, and is destroyed once it has waited.
    ///
    /// # Errors
    /// See [`TransitError`].
    pub async fn delete(
        &self,
        context: &RequestContext,
        caller: &Caller,
        name: &TransitKeyName,
    ) -> Result<TransitKey, TransitError> {
        let now = self.now();
        let change = |key: &mut TransitKey| {
            if matches!(key.state, State::Deleted { .. }) {
                return Ok(());
            }
            if !key.settings.deletion_allowed {
                return Err(TransitError::Refused(
                    "deletion is not allowed for this key: set deletion_allowed first".into(),
                ));
            }
            let wait = key.settings.deletion_wait;
            let destroyed_at = now.checked_add(wait).unwrap_or(Timestamp::MAX);
            key.state = State::Deleted { destroyed_at };
            Ok(())
        };
        self.change(context, caller, "keys.delete", name, change).await
    }

    /// Brings a deleted key back, `keys.undelete`, as a disabled one.
    ///
    /// # Errors
    /// See [`TransitError`].
    pub async fn undelete(
        &self,
        context: &RequestContext,
        caller: &Caller,
        name: &TransitKeyName,
    ) -> Result<TransitKey, TransitError> {
        let now = self.now();
        let change = |key: &mut TransitKey| match key.state {
            // Its destruction may have begun.
            State::Deleted { destroyed_at } if destroyed_at <= now => Err(TransitError::NotFound),
            State::Deleted { .. } => {
                key.state = State::Disabled;
                Ok(())
            }
            _ => Err(TransitError::Refused("the key is not deleted".into())),
        };
        self.change(context, caller, "keys.undelete", name, change).await
    }

    /// Destroys a deleted key before its time: `keys.purge`.
    ///
    /// # Errors
    /// See [`TransitError`]; [`TransitError::Refused`] under purge protection.
    pub async fn purge(
        &self,
        context: &RequestContext,
        caller: &Caller,
        name: &TransitKeyName,
    ) -> Result<(), TransitError> {
        let using = self.find(context, caller, "keys.purge", name, |_| vec![]).await?;
        let purged = match using.found {
            Ok(loaded) => self.purged(context, name, loaded).await,
            Err(error) => Err(error),
        };
        using.allowed.finish(purged).await
    }

    async fn purged(
        &self,
        context: &RequestContext,
        name: &TransitKeyName,
        loaded: Loaded,
    ) -> Result<(), TransitError> {
        let State::Deleted { .. } = loaded.key.state else {
            return Err(TransitError::Refused(
                "only a deleted key is purged: delete it first".into(),
            ));
        };
        if loaded.key.settings.purge_protection {
            return Err(TransitError::Refused(
                "the key is protected from being purged: it is destroyed at its time".into(),
            ));
        }
        // From here on nobody brings it back, should it be destroyed half-way only.
        let destroyed_at = self.now();
        let mut key = loaded.key.clone();
        key.state = State::Deleted { destroyed_at };
        let layout = self.layout(&context.tenant);
        self.store().commit(layout.put(name, Some(&loaded), &key)?).await?;
        let loaded = layout.load(self.store(), name).await?.ok_or(TransitError::NotFound)?;
        self.destroy(&layout, name, &loaded).await
    }
}

fn move_to(key: &mut TransitKey, state: State) -> Result<(), TransitError> {
    if matches!(key.state, State::Deleted { .. }) {
        return Err(TransitError::NotEnabled("deleted: bring it back first"));
    }
    key.state = state;
    Ok(())
}
