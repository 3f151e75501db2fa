//! Lists the secrets and folders in a folder.

use chancery_access::Caller;
use chancery_identity::{RequestContext, Room, TenantId};
use chancery_store::{InvalidKey, Key};

use super::{Folder, Kv, KvError, KvOperation};
use crate::Page;
use crate::listing::size_of_name;

/// How many keys are read at once.
const BATCH: usize = 256;

impl Kv<'_> {
    /// The names in a folder in the order of their bytes: secrets, and folders with a `/` behind.
    /// Secrets are listed as long as their metadata exists, deleted versions or not.
    ///
    /// # Errors
    /// [`KvError::NotFound`] if there is nothing in it, or nothing in the page.
    #[tracing::instrument(name = "secrets.list", skip_all)]
    pub async fn list(
        &self,
        context: &RequestContext,
        caller: &Caller,
        folder: &Folder,
        page: &Page,
    ) -> Result<Vec<String>, KvError> {
        // With the slash behind, so that a rule for everything below a path covers listing it.
        let resource = format!("{}/{}", self.mount, folder.as_str());
        let may = self.ask(context, caller, KvOperation::List, resource).await?;
        let tenant = &caller.identity().tenant;
        let result = self.names(tenant, folder, page, &context.room).await;
        let may = match &result {
            Ok(names) => may.detail("names", names.len()),
            Err(_) => may,
        };
        may.finish(result).await
    }

    async fn names(
        &self,
        tenant: &TenantId,
        folder: &Folder,
        page: &Page,
        room: &Room,
    ) -> Result<Vec<String>, KvError> {
        let prefix = self.layout(tenant).folder(folder);
        let mut names: Vec<String> = Vec::new();
        // What is too long to be a key is looked for from the beginning: it may be before others all the same.
        let mut after = page.after.as_ref().and_then(|name| last_key_of(&prefix, name).ok());
        loop {
            // Of a secret that is damaged, the name is there all the same.
            let keys = self.store().keys(prefix.as_bytes(), after.as_ref(), BATCH).await?;
            let mut seen = None;
            for key in &keys {
                let name = name_in(&prefix, key)?;
                if seen.as_ref() != Some(&name) && page.has(&name) && !page.is_full(names.len()) {
                    room.take(size_of_name(&name))?;
                    names.push(name.clone());
                }
                seen = Some(name);
            }
            match seen {
                Some(name) if keys.len() == BATCH && !page.is_full(names.len()) => {
                    after = Some(last_key_of(&prefix, &name)?);
                }
                _ => break,
            }
        }
        if names.is_empty() { Err(KvError::NotFound) } else { Ok(names) }
    }
}

/// The first segment behind the prefix, with its slash if more follows.
fn name_in(prefix: &str, key: &Key) -> Result<String, KvError> {
    let not_ours = || KvError::Record(key.to_string());
    let text = std::str::from_utf8(key.as_bytes()).map_err(|_| not_ours())?;
    let rest = text.strip_prefix(prefix).ok_or_else(not_ours)?;
    let name = rest.split_inclusive('/').next().ok_or_else(not_ours)?;
    Ok(name.to_owned())
}

/// A key at or after all keys of this name: those of a folder need not be read one by one.
fn last_key_of(prefix: &str, name: &str) -> Result<Key, InvalidKey> {
    let mut key = format!("{prefix}{name}").into_bytes();
    if name.ends_with('/') {
        // No UTF-8 text contains this byte.
        key.push(0xff);
    }
    Key::new(key)
}
