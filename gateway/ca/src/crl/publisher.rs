use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arc_swap::ArcSwap;
use bytes::Bytes;
use jiff::Timestamp;

/// One CRL as it is served, and whether it has to be replaced.
pub(crate) struct CrlPublisher {
    name: String,
    current: ArcSwap<Published>,
    /// How many revocations were made; a CRL is outdated if it was made at a lower count.
    revisions: AtomicU64,
}

#[derive(Default)]
struct Published {
    der: Bytes,
    /// When a new one is due, without any revocation.
    renew_at: Timestamp,
    revision: u64,
}

impl CrlPublisher {
    pub(crate) fn new(name: String) -> Self {
        Self { name, current: ArcSwap::default(), revisions: AtomicU64::new(0) }
    }

    /// Its file's name without `.crl`.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn current(&self) -> Bytes {
        self.current.load().der.clone()
    }

    /// A revocation was added: the current CRL does not have it.
    pub(crate) fn mark_outdated(&self) {
        self.revisions.fetch_add(1, Ordering::SeqCst);
    }

    /// To be read before the entries are: what is added in between makes one CRL too many, not one too
    /// few.
    pub(crate) fn revision(&self) -> u64 {
        self.revisions.load(Ordering::SeqCst)
    }

    pub(crate) fn is_due(&self, now: Timestamp) -> bool {
        let current = self.current.load();
        current.renew_at <= now || current.revision < self.revision()
    }

    pub(crate) fn publish(&self, der: Vec<u8>, renew_at: Timestamp, revision: u64) {
        self.current.store(Arc::new(Published { der: der.into(), renew_at, revision }));
    }
}
