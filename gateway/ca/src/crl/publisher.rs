//! Holds the CRL that is served under a name, and decides when it has to be replaced.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use arc_swap::ArcSwap;
use bytes::Bytes;
use chancery_store::Version;
use jiff::Timestamp;

use crate::record::PublishedCrl;

/// One CRL as it is served, and whether it has to be replaced.
pub(crate) struct CrlPublisher {
    name: String,
    current: ArcSwap<PublishedCrl>,
    /// The newest revocation that belongs on it, by the number of its commit. Such numbers mean the same at all
    /// gateways on the store.
    newest: AtomicU64,
    /// Each gateway makes its own, since it is too large to be kept for others.
    own: AtomicBool,
}

impl CrlPublisher {
    pub(crate) fn new(name: String) -> Self {
        Self {
            name,
            current: ArcSwap::default(),
            newest: AtomicU64::new(0),
            own: AtomicBool::new(false),
        }
    }

    /// Its file's name without `.crl`.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn current(&self) -> Arc<PublishedCrl> {
        self.current.load_full()
    }

    pub(crate) fn der(&self) -> Bytes {
        self.current.load().der.clone()
    }

    /// A revocation was added by this commit: a CRL that was made before does not have it.
    pub(crate) fn mark_outdated(&self, revoked: Version) {
        self.newest.fetch_max(revoked.get(), Ordering::SeqCst);
    }

    /// Up to which commit a CRL will have the revocations. To be read before whatever keeps the revocations has
    /// caught up: what is added in between makes one CRL too many, not one too few.
    pub(crate) fn newest(&self) -> u64 {
        self.newest.load(Ordering::SeqCst)
    }

    /// Whether each gateway makes its own.
    pub(crate) fn is_own(&self) -> bool {
        self.own.load(Ordering::SeqCst)
    }

    /// Says whether each gateway makes its own; returns whether that was so before.
    pub(crate) fn set_own(&self, own: bool) -> bool {
        self.own.swap(own, Ordering::SeqCst)
    }

    pub(crate) fn is_due(&self, now: Timestamp) -> bool {
        let current = self.current.load();
        current.renew_at <= now || current.covers < self.newest()
    }

    /// Serves this CRL from now on if its number is higher than the current one's.
    pub(crate) fn publish(&self, crl: PublishedCrl) {
        let crl = Arc::new(crl);
        self.current.rcu(
            |current| {
                if crl.number > current.number { crl.clone() } else { current.clone() }
            },
        );
    }
}
