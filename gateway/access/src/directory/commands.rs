use std::sync::Arc;

use chancery_audit::Event;
use chancery_identity::RequestContext;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{DataSet, Group, Shelf};
use crate::{Access, AccessError, Caller};

/// The most members of a group, and keys of a data set.
const MOST: usize = 10_000;
/// The longest member, key or value, in bytes.
const LONGEST: usize = 4096;

/// What callers do with groups, or with data sets. Each operation asks the policies (as
/// `group.read`, `data-set.update` and so on, on the name) and leaves a line in the audit log.
pub struct Shelved<'a, T> {
    access: &'a Access,
    shelf: &'a Shelf<T>,
}

impl Access {
    /// Groups of identities.
    pub fn groups(&self) -> Shelved<'_, Group> {
        Shelved { access: self, shelf: &self.directory.groups }
    }

    /// Data sets.
    pub fn data_sets(&self) -> Shelved<'_, DataSet> {
        Shelved { access: self, shelf: &self.directory.data_sets }
    }
}

/// What can be put on a shelf.
trait Bounded {
    /// What is wrong with it, if anything is.
    fn check(&self) -> Result<(), &'static str>;
}

impl Bounded for Group {
    fn check(&self) -> Result<(), &'static str> {
        if self.0.len() > MOST {
            return Err("a group has at most 10,000 members");
        }
        if self.0.iter().any(|member| member.is_empty() || member.len() > LONGEST) {
            return Err("a member is an identity of 1 to 4,096 bytes");
        }
        Ok(())
    }
}

impl Bounded for DataSet {
    fn check(&self) -> Result<(), &'static str> {
        if self.0.len() > MOST {
            return Err("a data set has at most 10,000 keys");
        }
        let fits = |text: &String| text.len() <= LONGEST;
        if !self.0.iter().all(|(key, value)| fits(key) && fits(value) && !key.is_empty()) {
            return Err("keys have 1 to 4,096 bytes and values at most 4,096");
        }
        Ok(())
    }
}

#[expect(private_bounds, reason = "there are groups and data sets, and nothing else")]
impl<T: Bounded + Serialize + DeserializeOwned> Shelved<'_, T> {
    /// The names, sorted.
    ///
    /// # Errors
    /// See [`AccessError`].
    pub async fn list(
        &self,
        context: &RequestContext,
        caller: &Caller,
    ) -> Result<Vec<String>, AccessError> {
        let event = self.ask(context, caller, "list", "").await?;
        let names = self.shelf.names(&context.tenant);
        self.access.audit.record(event.succeeded()).await?;
        Ok(names)
    }

    /// What has this name.
    ///
    /// # Errors
    /// [`AccessError::NotFound`], and as for every operation.
    pub async fn read(
        &self,
        context: &RequestContext,
        caller: &Caller,
        name: &str,
    ) -> Result<Arc<T>, AccessError> {
        let event = self.ask(context, caller, "read", name).await?;
        let found = self.shelf.get(&context.tenant, name);
        let event = if found.is_some() { event.succeeded() } else { event.failed("not-found") };
        self.access.audit.record(event).await?;
        found.ok_or(AccessError::NotFound)
    }

    /// Makes this what has the name, whatever had it before.
    ///
    /// # Errors
    /// [`AccessError::Directory`] if the name or what it should stand for is out of bounds, and as for
    /// every operation.
    pub async fn write(
        &self,
        context: &RequestContext,
        caller: &Caller,
        name: &str,
        item: T,
    ) -> Result<(), AccessError> {
        check_name(name)?;
        item.check().map_err(AccessError::Directory)?;
        let event = self.ask(context, caller, "update", name).await?;
        let done = self.shelf.put(&context.tenant, name, item).await;
        self.finish(event, done).await
    }

    /// Takes away what has this name; it is no error if nothing has. Policies that look it up get an
    /// error from then on.
    ///
    /// # Errors
    /// See [`AccessError`].
    pub async fn delete(
        &self,
        context: &RequestContext,
        caller: &Caller,
        name: &str,
    ) -> Result<(), AccessError> {
        check_name(name)?;
        let event = self.ask(context, caller, "delete", name).await?;
        let done = self.shelf.delete(&context.tenant, name).await;
        self.finish(event, done).await
    }

    async fn ask(
        &self,
        context: &RequestContext,
        caller: &Caller,
        verb: &str,
        name: &str,
    ) -> Result<Event, AccessError> {
        let operation = format!("{}.{verb}", self.shelf.kind());
        self.access.may(context, caller, &operation, name).await
    }

    async fn finish<E: Into<AccessError>>(
        &self,
        event: Event,
        done: Result<(), E>,
    ) -> Result<(), AccessError> {
        let event = if done.is_ok() { event.succeeded() } else { event.failed("not-stored") };
        self.access.audit.record(event).await?;
        done.map_err(Into::into)
    }
}

fn check_name(name: &str) -> Result<(), AccessError> {
    let allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    if (1..=64).contains(&name.len()) && name.bytes().all(allowed) {
        return Ok(());
    }
    Err(AccessError::Directory("a name has 1 to 64 of a-z, 0-9 and '-'"))
}
