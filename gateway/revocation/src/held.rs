//! The CRLs of one place that are in use: the newest of each issuer and scope. What one CA says takes nothing
//! back of what another one said, and a CRL for some certificates nothing of one for others.

use std::sync::Arc;

use chancery_identity::CaId;
use chancery_x509::RevocationList;
use jiff::Timestamp;

use crate::issuer::Issuer;

/// How many CRLs of one place are in use at most.
pub(crate) const MOST: u8 = 8;

/// A CRL that is in use.
#[derive(Debug)]
pub(crate) struct Held {
    pub(crate) list: RevocationList,
    pub(crate) issuer: CaId,
    /// When the issuer's own certificate ends. After that no certificate of it counts.
    issuer_until: Timestamp,
    /// Where among the others of the place it is kept.
    pub(crate) slot: u8,
}

/// Those of one place.
#[derive(Debug, Clone, Default)]
pub(crate) struct Lists(Vec<Arc<Held>>);

/// Why a CRL is not used.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NotTaken {
    #[error(
        "it is older than the one that is in use, of {held}: somebody may have put an old one back"
    )]
    Older { held: Timestamp },
    #[error(
        "CRLs of {MOST} other issuers or scopes are in use from here, and count until their issuers' \
         certificates end: name each CRL that you need by an address of its own"
    )]
    TooMany,
}

impl Lists {
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Held> {
        self.0.iter().map(|held| &**held)
    }

    /// The one that was made last.
    pub(crate) fn newest(&self) -> Option<&Held> {
        self.iter().max_by_key(|held| held.list.this_update())
    }

    /// The slot that a CRL takes, and the lists with it. None if it is in use already.
    pub(crate) fn with(
        &self,
        list: RevocationList,
        issuer: &Issuer,
        now: Timestamp,
    ) -> Result<Option<(u8, Self)>, NotTaken> {
        let (id, issuer_until) = (issuer.id, issuer.certificate.not_after());
        let is_before = |held: &Held| held.issuer == id && held.list.scope() == list.scope();
        let before = self.iter().find(|held| is_before(held));
        if let Some(Held { list: before, .. }) = before {
            if list.is_older_than(before) {
                return Err(NotTaken::Older { held: before.this_update() });
            }
            let same = (before.number(), before.this_update());
            if (list.number(), list.this_update()) == same {
                return Ok(None);
            }
        }
        let slot = match before {
            Some(before) => before.slot,
            None => self.free_slot(now).ok_or(NotTaken::TooMany)?,
        };
        let others = self.0.iter().filter(|held| held.slot != slot).cloned();
        let held = Arc::new(Held { list, issuer: id, issuer_until, slot });
        Ok(Some((slot, Self(others.chain([held]).collect()))))
    }

    /// One that nobody has, or that of an issuer that has ended.
    fn free_slot(&self, now: Timestamp) -> Option<u8> {
        let owner = |slot| self.iter().find(|held| held.slot == slot);
        let mut slots = 0..MOST;
        let free = slots.clone().find(|slot| owner(*slot).is_none());
        free.or_else(|| slots.find(|slot| owner(*slot).is_some_and(|held| held.issuer_until < now)))
    }
}
