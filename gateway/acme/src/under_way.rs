//! Work that is under way in this process.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};

use chancery_identity::TenantId;

use crate::id::{AuthorizationId, OrderId};

/// Work that is under way in this process.
#[derive(Debug, Default)]
pub(crate) struct UnderWay(Mutex<HashSet<(TenantId, What)>>);

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum What {
    Validation(AuthorizationId),
    Issuance(OrderId),
}

impl UnderWay {
    /// Looks at all of it, or changes it.
    pub(crate) fn change<T>(&self, change: impl FnOnce(&mut HashSet<(TenantId, What)>) -> T) -> T {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// How many certificates are being made.
    pub(crate) fn issuances(&self) -> usize {
        self.change(|all| all.iter().filter(|(_, what)| matches!(what, What::Issuance(_))).count())
    }
}
