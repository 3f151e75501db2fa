//! Lists, reads, writes and deletes groups and data sets for callers, as far as the policies allow.

use std::sync::Arc;

use chancery_gate::{Authorized, Refused};
use chancery_identity::RequestContext;
use chancery_records::{Recorded, Stored};

use super::{DataSet, Group, Registry};
use crate::{Access, AccessError, Caller};

/// The most members of a group, and keys of a data set.
const MOST: usize = 10_000;
/// The longest member, key or value, in bytes.
const LONGEST: usize = 4096;

/// What callers do with groups, or with data sets. Each operation asks the policies (as
/// `group.read`, `data-set.update` and so on, on the name) and leaves a line in the audit log.
pub struct Registered<'a, T> {
    access: &'a Access,
    registry: &'a Registry<T>,
}

impl Access {
    /// Groups of identities.
    pub fn groups(&self) -> Registered<'_, Group> {
        Registered { access: self, registry: &self.directory.groups }
    }

    /// Data sets.
    pub fn data_sets(&self) -> Registered<'_, DataSet> {
        Registered { access: self, registry: &self.directory.data_sets }
    }
}

/// What has a name in the directory.
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
impl<T: Bounded + Recorded + Send + Sync + 'static> Registered<'_, T> {
    /// The names, sorted.
    ///
    /// # Errors
    /// See [`AccessError`].
    pub async fn list(
        &self,
        context: &RequestContext,
        caller: &Caller,
    ) -> Result<Vec<String>, AccessError> {
        let authorized = self.ask(context, caller, "list", "").await?;
        let names = self.registry.names(&context.tenant);
        match &names {
            Ok(_) => authorized.succeeded().await?,
            Err(_) => authorized.failed("not-known").await?,
        }
        Ok(names?)
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
    ) -> Result<Arc<Stored<T>>, AccessError> {
        let authorized = self.ask(context, caller, "read", name).await?;
        let found = self.registry.get(&context.tenant, name);
        match &found {
            Ok(Some(_)) => authorized.succeeded().await?,
            Ok(None) => authorized.failed("not-found").await?,
            Err(_) => authorized.failed("not-known").await?,
        }
        found?.ok_or(AccessError::NotFound)
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
        let authorized = self.ask(context, caller, "update", name).await?;
        let done = self.registry.put(&context.tenant, name, &item).await;
        finish(authorized, done).await
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
        let authorized = self.ask(context, caller, "delete", name).await?;
        let done = self.registry.delete(&context.tenant, name).await;
        finish(authorized, done).await
    }

    async fn ask(
        &self,
        context: &RequestContext,
        caller: &Caller,
        verb: &str,
        name: &str,
    ) -> Result<Authorized<'_>, Refused> {
        let operation = format!("{}.{verb}", self.registry.kind());
        self.access.may(context, caller, &operation, name).await
    }
}

/// Records whether it was stored.
async fn finish(
    authorized: Authorized<'_>,
    done: Result<(), AccessError>,
) -> Result<(), AccessError> {
    match &done {
        Ok(()) => authorized.succeeded().await?,
        Err(_) => authorized.failed("not-stored").await?,
    }
    done
}

fn check_name(name: &str) -> Result<(), AccessError> {
    let allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    if (1..=64).contains(&name.len()) && name.bytes().all(allowed) {
        return Ok(());
    }
    Err(AccessError::Directory("a name has 1 to 64 of a-z, 0-9 and '-'"))
}
