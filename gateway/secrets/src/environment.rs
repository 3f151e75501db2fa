//! What all engines share.

use std::sync::Arc;

use chancery_access::{Access, Caller};
use chancery_gate::{Gate, Session};
use chancery_identity::{Clock, RequestContext};
use chancery_store::SharedStore;
use jiff::Timestamp;

use crate::{MountKind, MountName, Mounts};

/// Who calls, where the contents are, and what is mounted where.
pub(crate) struct Environment {
    pub(crate) access: Arc<Access>,
    pub(crate) store: SharedStore,
    pub(crate) clock: Clock,
    pub(crate) mounts: Mounts,
}

impl Environment {
    /// Where operations ask for leave.
    pub(crate) fn gate(&self) -> &Gate {
        self.access.gate()
    }

    /// The caller's session at the gate.
    pub(crate) fn session<'a>(
        &'a self,
        context: &'a RequestContext,
        caller: &'a Caller,
    ) -> Session<'a> {
        self.access.session_of(context, caller)
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Whether an engine of this kind is mounted at this name.
    pub(crate) fn is_mounted(&self, mount: &MountName, kind: MountKind) -> bool {
        self.mounts.find(mount).is_some_and(|mount| mount.kind == kind)
    }
}

impl std::fmt::Debug for Environment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Environment").field("mounts", &self.mounts).finish_non_exhaustive()
    }
}
