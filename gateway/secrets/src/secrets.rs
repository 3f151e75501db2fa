//! Gives access to the engine at each mount, and lists the mounts that a caller may see.

use std::sync::Arc;

use chancery_access::{Access, AccessError, Caller};
use chancery_audit::Event;
use chancery_gate::{Denied, Refused};
use chancery_identity::{Clock, RequestContext};
use chancery_issuance::Issuance;
use chancery_store::SharedStore;

use crate::environment::Environment;
use crate::kv::{Kv, KvOperation};
use crate::pki::Pki;
use crate::ssh::Ssh;
use crate::transit::{Custody, Transit};
use crate::{Mount, MountKind, MountName, Mounts};

/// The operation that shows what is mounted, as policies name it.
const READ: &str = "mounts.read";

/// All secret engines of the gateway.
pub struct Secrets {
    pub(crate) environment: Environment,
    issuance: Option<Issuance>,
    custody: Option<Custody>,
}

impl Secrets {
    /// Engines at these mounts, with their contents in `store` (which should be sealed).
    pub fn new(access: Arc<Access>, store: SharedStore, clock: Clock, mounts: Mounts) -> Self {
        let environment = Environment { access, store, clock, mounts };
        Self { environment, issuance: None, custody: None }
    }

    /// The same with the certificates that this pipeline issued behind the mounts for certificates.
    #[must_use]
    pub fn with_certificates(mut self, issuance: Issuance) -> Self {
        self.issuance = Some(issuance);
        self
    }

    /// The same with keys, held by this, behind the mounts for keys.
    #[must_use]
    pub fn with_keys(mut self, custody: Custody) -> Self {
        self.custody = Some(custody);
        self
    }

    /// The keys at the mount with this name. If there is none, its operations fail, but only for callers
    /// whom the policies would allow them.
    pub fn transit(&self, mount: MountName) -> Transit<'_> {
        Transit::new(&self.environment, self.custody.as_ref(), mount)
    }

    /// The certificates at the mount with this name. If there is none, its operations fail, but only for
    /// callers whom the policies would allow them.
    pub fn pki(&self, mount: &MountName) -> Pki<'_> {
        Pki::new(&self.environment, self.issuance.as_ref(), mount)
    }

    /// The key-value engine at the mount with this name. If there is none, its operations fail, but
    /// only for callers whom the policies would allow them.
    pub fn kv(&self, mount: MountName) -> Kv<'_> {
        Kv::new(&self.environment, mount)
    }

    /// The CA for SSH at the mount with this name, if it is there.
    pub fn ssh(&self, mount: &MountName) -> Ssh<'_> {
        Ssh::new(&self.environment, self.issuance.as_ref(), mount)
    }

    /// What is at the mount with this name, if there is one.
    pub fn kind_of(&self, mount: &MountName) -> Option<MountKind> {
        self.environment.mounts.find(mount).map(|mount| mount.kind)
    }

    /// The mounts that the caller may see: by `mounts.read`, or because it may do anything at all at
    /// their top.
    ///
    /// # Errors
    /// If the audit log does not take the event.
    pub async fn visible_mounts(
        &self,
        context: &RequestContext,
        caller: &Caller,
    ) -> Result<Vec<&Mount>, AccessError> {
        let mut event = caller.event(context, "mounts.list", "");
        let mut visible = Vec::new();
        for mount in self.environment.mounts.iter() {
            let (may, asked) = self.may_anything(event, context, caller, &mount.name, "").await;
            event = asked;
            visible.extend(may.then_some(mount));
        }
        self.environment.gate().record(event.succeeded()).await?;
        Ok(visible)
    }

    /// The mount behind a path such as `secret/app/db`, if the policies allow `mounts.read` on it or
    /// anything else on the path. Clients ask this before anything else, to learn how to build their
    /// requests, and some name the mount alone.
    ///
    /// # Errors
    /// [`AccessError::Gate`], the same whether the mount is missing or the caller may do nothing
    /// there: what is mounted is not to be found out by trying.
    pub async fn mount_behind(
        &self,
        context: &RequestContext,
        caller: &Caller,
        path: &str,
    ) -> Result<&Mount, AccessError> {
        let (name, rest) = path.split_once('/').unwrap_or((path, ""));
        let mut event = caller.event(context, READ, path);
        // The policies are asked in any case: a missing mount is not to be told by a faster answer.
        if let Ok(name) = name.parse::<MountName>() {
            let (may, asked) = self.may_anything(event, context, caller, &name, rest).await;
            event = asked;
            if let (true, Some(mount)) = (may, self.environment.mounts.find(&name)) {
                self.environment.gate().record(event.succeeded()).await?;
                return Ok(mount);
            }
        }
        self.environment.gate().record(event.denied("mount-not-visible")).await?;
        let denied =
            Denied::new("mount-not-visible", "there is no mount here that this identity may use");
        Err(Refused::from(denied).into())
    }

    /// Whether the policies allow to see `mount`, or any operation on `path` in it; the event tells
    /// what they said.
    async fn may_anything(
        &self,
        mut event: Event,
        context: &RequestContext,
        caller: &Caller,
        mount: &MountName,
        path: &str,
    ) -> (bool, Event) {
        let path = path.trim_end_matches('/');
        let top = format!("{mount}/");
        let there = KvOperation::ALL.map(|operation| {
            let resource = match (operation, path) {
                (_, "") => top.clone(),
                (KvOperation::List, path) => format!("{mount}/{path}/"),
                (_, path) => format!("{mount}/{path}"),
            };
            (operation.name(), resource)
        });
        // Those who may do something there may know where it is.
        let kind = self.environment.mounts.find(mount).map(|mount| mount.kind);
        let here: &[&'static str] = match kind {
            Some(MountKind::Pki) => &Pki::OPERATIONS,
            Some(MountKind::Ssh) => &Ssh::OPERATIONS,
            Some(MountKind::Transit) => &Transit::OPERATIONS,
            Some(MountKind::Kv) | None => &[],
        };
        let is_kv = here.is_empty();
        // Keys are named by the last part of their paths, certificates by nothing of the path.
        let key = match kind {
            Some(MountKind::Transit) => {
                format!("{mount}/{}", path.rsplit('/').next().unwrap_or_default())
            }
            _ => String::new(),
        };
        let here = here.iter().map(|name| (*name, key.clone()));
        let there = there.into_iter().filter(|_| is_kv);
        let (gate, session) = (self.environment.gate(), self.environment.session(context, caller));
        for (operation, resource) in std::iter::once((READ, top)).chain(here).chain(there) {
            let answer = gate.decide(&session, operation, &resource, vec![]).await;
            event.add_decisions(answer.decisions);
            if answer.result.is_ok() {
                return (true, event);
            }
        }
        (false, event)
    }
}

impl std::fmt::Debug for Secrets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Secrets").field("mounts", &self.environment.mounts).finish_non_exhaustive()
    }
}
