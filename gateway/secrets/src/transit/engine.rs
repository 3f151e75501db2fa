//! The transit engine at one mount: asks the policies about a key, loads its record and commits changes to it.

use chancery_access::Caller;
use chancery_gate::Authorized;
use chancery_identity::{RequestContext, TenantId};
use chancery_store::{Commit, CommitError, Key, SharedStore, Store};
use jiff::Timestamp;
use zeroize::Zeroizing;

use super::storage::{Layout, Loaded, secret};
use super::{Custody, TransitError, TransitKey, TransitKeyName};
use crate::MountName;
use crate::environment::Environment;
use crate::mount::MountKind;

/// How often a change of a key starts again because somebody else changed it.
const ATTEMPTS: usize = 16;

/// The keys at one mount. Cheap; made per request by [`Secrets::transit`](crate::Secrets::transit).
///
/// The operations are to be run to their end: one whose future is dropped half-way may have been done
/// and not recorded.
pub struct Transit<'a> {
    pub(super) environment: &'a Environment,
    pub(super) mount: MountName,
    pub(super) custody: Option<&'a Custody>,
    /// The store of the request, or the fenced one of a task.
    pub(super) store: &'a SharedStore,
}

/// A key that is about to be used, and what was allowed.
pub(super) struct Using<'a> {
    pub(super) allowed: Authorized<'a>,
    pub(super) found: Result<Loaded, TransitError>,
}

impl<'a> Transit<'a> {
    /// What can be done here, as policies name it, the commonest first.
    pub const OPERATIONS: [&'static str; 23] = [
        "crypto.encrypt",
        "crypto.decrypt",
        "crypto.sign",
        "crypto.verify",
        "crypto.mac",
        "crypto.verify-mac",
        "crypto.make-data-key",
        "crypto.rewrap",
        "keys.read",
        "keys.list",
        "keys.create",
        "keys.rotate",
        "keys.update",
        "keys.disable",
        "keys.enable",
        "keys.delete",
        "keys.undelete",
        "keys.purge",
        "keys.trim",
        "keys.import",
        "keys.back-up",
        "keys.export",
        "keys.restore",
    ];

    pub(crate) fn new(
        environment: &'a Environment,
        custody: Option<&'a Custody>,
        mount: MountName,
    ) -> Self {
        let is_here = environment.is_mounted(&mount, MountKind::Transit);
        let custody = custody.filter(|_| is_here);
        Self { environment, mount, custody, store: &environment.store }
    }

    pub(super) fn store(&self) -> &'a dyn Store {
        &**self.store
    }

    pub(super) fn now(&self) -> Timestamp {
        self.environment.now()
    }

    pub(super) fn custody(&self) -> Result<&'a Custody, TransitError> {
        self.custody.ok_or(TransitError::NoMount)
    }

    pub(super) fn layout<'b>(&'b self, tenant: &'b TenantId) -> Layout<'b> {
        Layout { tenant, mount: &self.mount }
    }

    /// The resource that policies are asked about for a key.
    pub(super) fn resource(&self, name: &TransitKeyName) -> String {
        format!("{}/{name}", self.mount)
    }

    /// Asks the policies. Only those whom they allow get to know whether the mount exists.
    pub(super) async fn ask(
        &self,
        context: &RequestContext,
        caller: &Caller,
        operation: &'static str,
        resource: &str,
        facts: Vec<(String, String)>,
    ) -> Result<Authorized<'a>, TransitError> {
        let resources = [resource];
        self.ask_each(context, caller, operation, &resources, facts).await
    }

    /// The same about several resources, each by itself: one denial denies.
    pub(super) async fn ask_each(
        &self,
        context: &RequestContext,
        caller: &Caller,
        operation: &'static str,
        resources: &[impl AsRef<str>],
        facts: Vec<(String, String)>,
    ) -> Result<Authorized<'a>, TransitError> {
        let session = self.environment.session(context, caller);
        let asked = self.environment.gate().ask_each(&session, operation, resources, facts);
        let may = asked.await?;
        if self.custody.is_some() { Ok(may) } else { may.finish(Err(TransitError::NoMount)).await }
    }

    /// Asks the policies about an operation on a key, which are told what kind of key it is. Whether it
    /// is there is told only to those whom they allow it.
    pub(super) async fn find(
        &self,
        context: &RequestContext,
        caller: &Caller,
        operation: &'static str,
        name: &TransitKeyName,
        facts: impl FnOnce(&TransitKey) -> Vec<(String, String)>,
    ) -> Result<Using<'a>, TransitError> {
        let layout = self.layout(&context.tenant);
        // Read before the policies are asked, because they are told about it.
        let loaded = match self.custody {
            Some(_) => layout.load(self.store(), name).await?,
            None => None,
        };
        let facts = loaded.as_ref().map_or_else(Vec::new, |loaded| {
            let mut facts = facts(&loaded.key);
            facts.push(("key-type".to_owned(), loaded.key.key_type.to_string()));
            facts.push(("protection".to_owned(), loaded.key.protection.as_str().to_owned()));
            facts
        });
        let allowed = self.ask(context, caller, operation, &self.resource(name), facts).await?;
        Ok(Using { allowed, found: loaded.ok_or(TransitError::NotFound) })
    }

    /// Changes a key's record, from the beginning again if somebody else changed it in between.
    pub(super) async fn change(
        &self,
        context: &RequestContext,
        caller: &Caller,
        operation: &'static str,
        name: &TransitKeyName,
        change: impl Fn(&mut TransitKey) -> Result<(), TransitError>,
    ) -> Result<TransitKey, TransitError> {
        let using = self.find(context, caller, operation, name, |_| vec![]).await?;
        let changed = self.changed(context, name, using.found, change).await;
        using.allowed.finish(changed).await
    }

    async fn changed(
        &self,
        context: &RequestContext,
        name: &TransitKeyName,
        found: Result<Loaded, TransitError>,
        change: impl Fn(&mut TransitKey) -> Result<(), TransitError>,
    ) -> Result<TransitKey, TransitError> {
        let layout = self.layout(&context.tenant);
        let mut loaded = found?;
        for _ in 0..ATTEMPTS {
            let mut key = loaded.key.clone();
            change(&mut key)?;
            if key == loaded.key {
                return Ok(key);
            }
            match self.store().commit(layout.put(name, Some(&loaded), &key)?).await {
                Ok(_) => return Ok(key),
                Err(error) => match error.into() {
                    TransitError::Contended => {}
                    error => return Err(error),
                },
            }
            loaded = layout.load(self.store(), name).await?.ok_or(TransitError::NotFound)?;
        }
        Err(TransitError::Contended)
    }

    /// A secret of the mount, which is made the first time that it is needed.
    pub(super) async fn own_secret(
        &self,
        at: Key,
        make: impl Future<Output = Result<Zeroizing<Vec<u8>>, TransitError>>,
    ) -> Result<Zeroizing<Vec<u8>>, TransitError> {
        self.custody()?;
        if let Some(record) = self.store().get(&at).await? {
            return Ok(Zeroizing::new(record.value.to_vec()));
        }
        let made = make.await?;
        let commit = Commit::new().check_absent(at.clone()).put(at.clone(), secret(made.clone()));
        match self.store().commit(commit).await {
            Ok(_) => Ok(made),
            // Somebody else was quicker.
            Err(CommitError::Conflict { .. }) => match self.store().get(&at).await? {
                Some(record) => Ok(Zeroizing::new(record.value.to_vec())),
                None => Err(TransitError::Contended),
            },
            Err(error) => Err(error.into()),
        }
    }
}
