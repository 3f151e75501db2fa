//! One CA of several gateways on a store.

use std::sync::Arc;
use std::time::Duration;

use chancery_ca::{Ca, CaConfig};
use chancery_identity::Clock;
use chancery_keys::software::SoftwareSigner;
use chancery_records::{Fence, Lease, LeaseName};
use chancery_store::memory::MemoryStore;
use chancery_store::{Commit, Key, SharedStore, restored};
use chancery_x509::{RevocationReason, Serial};
use jiff::Timestamp;

use crate::harness::{DAY, config, open, read_crl, revoked, start};
use crate::small_store::SmallStore;

const HOUR: Duration = Duration::from_hours(1);
const REASON: RevocationReason = RevocationReason::Unspecified;

struct Several {
    store: SharedStore,
    signer: Arc<SoftwareSigner>,
    config: CaConfig,
}

impl Several {
    fn new() -> Self {
        Self::with(CaConfig { shared: true, ..config() })
    }

    fn with(config: CaConfig) -> Self {
        Self { store: Arc::new(MemoryStore::new()), signer: Arc::default(), config }
    }

    async fn open(&self, now: Timestamp) -> Arc<Ca> {
        open(self.config.clone(), self.store.clone(), &self.signer, now).await.unwrap()
    }
}

fn serial(number: u64) -> Serial {
    format!("{number:x}").parse().unwrap()
}

fn minutes(count: u64) -> Timestamp {
    start() + Duration::from_mins(count)
}

async fn revoke(ca: &Arc<Ca>, number: u64) {
    ca.revoke(revoked(ca, serial(number), REASON, minutes(number))).await.unwrap();
}

/// Waits until both publish the same CRLs.
async fn agree(a: &Ca, b: &Ca) {
    while a.crl() != b.crl() || a.root_crl() != b.root_crl() {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn what_one_has_made_all_publish() {
    let world = Several::new();
    let (a, b) = (world.open(start()).await, world.open(start()).await);
    assert_eq!((a.crl(), a.root_crl()), (b.crl(), b.root_crl()), "the second one makes none");
    let first = read_crl(&a.crl()).number;
    revoke(&a, 7).await;
    agree(&a, &b).await;
    assert_eq!(read_crl(&b.crl()).revoked, ["7"]);
    // What it lists is known at both, so that nobody makes another one.
    for ca in [&a, &b] {
        while !ca.is_revoked(ca.issuer_id(), &serial(7)) {
            tokio::task::yield_now().await;
        }
        ca.refresh_crl(minutes(8), &Fence::none()).await.unwrap();
    }
    assert_eq!((read_crl(&a.crl()).number, a.crl()), (first + 1, b.crl()));
    // The next period, and the next half-year of the root.
    let later = start() + DAY * 183;
    b.refresh_crl(later, &Fence::none()).await.unwrap();
    agree(&a, &b).await;
    a.refresh_crl(later, &Fence::none()).await.unwrap();
    assert_eq!(read_crl(&a.crl()).number, first + 2);
    assert_eq!(a.crl(), b.crl());
}

#[tokio::test]
async fn revocations_at_several_gateways_at_once_are_all_on_the_crl() {
    let world = Several::with(CaConfig {
        shared: true,
        crl_shards: 4,
        delta_crl_validity: Some(HOUR),
        ..config()
    });
    let cas = [world.open(start()).await, world.open(start()).await, world.open(start()).await];
    let mut tasks = tokio::task::JoinSet::new();
    for number in 1..=15 {
        let ca = cas[usize::try_from(number).unwrap() % cas.len()].clone();
        tasks.spawn(async move { revoke(&ca, number).await });
    }
    tasks.join_all().await;
    for ca in &cas {
        ca.refresh_crl(minutes(20), &Fence::none()).await.unwrap();
    }
    for ca in &cas {
        while read_crl(&ca.crl()).revoked.len() < 15 {
            tokio::task::yield_now().await;
        }
        agree(ca, &cas[0]).await;
        for shard in 0..4 {
            let name = format!("{}-{shard}-of-4", ca.issuer_id());
            while ca.crl_named(&name) != cas[0].crl_named(&name) {
                tokio::task::yield_now().await;
            }
        }
        let delta = format!("{}-delta", ca.issuer_id());
        while ca.crl_named(&delta) != cas[0].crl_named(&delta) {
            tokio::task::yield_now().await;
        }
    }
    let delta = cas[0].crl_named(&format!("{}-delta", cas[0].issuer_id())).unwrap();
    assert_eq!(read_crl(&delta).revoked.len(), 15);
}

#[tokio::test]
async fn one_that_starts_takes_up_what_there_is_and_makes_a_new_one_after_a_restore() {
    let world = Several::new();
    let a = world.open(start()).await;
    revoke(&a, 7).await;
    let published = a.crl();
    drop(a);
    let a = world.open(minutes(10)).await;
    assert_eq!(a.crl(), published);
    drop(a);
    let second = u64::try_from(minutes(11).as_second()).unwrap();
    world.store.commit(restored::mark(Commit::new(), second).unwrap()).await.unwrap();
    let a = world.open(minutes(12)).await;
    assert!(read_crl(&a.crl()).number >= second);
    assert_eq!(read_crl(&a.crl()).revoked, ["7"]);
}

#[tokio::test]
async fn one_that_lost_its_lease_publishes_nothing() {
    let clock = Clock::manual(start());
    let store = Arc::new(MemoryStore::with_clock(clock.clone()));
    let world = Several { store, ..Several::new() };
    let (a, b) = (world.open(start()).await, world.open(start()).await);
    let lease = |gateway: &str| {
        let name = LeaseName::new("_/lease/crls").unwrap();
        Lease::new(world.store.clone(), name, gateway, HOUR)
    };
    let paused = lease("a").acquire().await.unwrap().unwrap();
    clock.advance(HOUR * 2);
    let owner = lease("b").acquire().await.unwrap().unwrap();
    let (number, due) = (read_crl(&a.crl()).number, start() + DAY);
    let refused = a.refresh_crl(due, paused.fence()).await.unwrap_err();
    assert!(refused.to_string().contains("another gateway"), "{refused}");
    assert_eq!(read_crl(&a.crl()).number, number);
    b.refresh_crl(due, owner.fence()).await.unwrap();
    agree(&a, &b).await;
    assert_eq!(read_crl(&a.crl()).number, number + 1);
}

#[tokio::test]
async fn one_that_is_too_large_to_be_shared_each_makes_for_itself() {
    let store = SmallStore::new();
    let world = Several { store: Arc::new(store.clone()), ..Several::new() };
    let (a, b) = (world.open(start()).await, world.open(start()).await);
    store.set_small(true);
    revoke(&a, 7).await;
    assert_eq!(read_crl(&a.crl()).revoked, ["7"]);
    // As soon as it is told of the revocation and of the CRL.
    while read_crl(&b.crl()).revoked.is_empty() {
        b.refresh_own_crls(minutes(8)).await.unwrap();
        tokio::task::yield_now().await;
    }
    assert_ne!(a.crl(), b.crl());
    let (of_a, of_b) = (read_crl(&a.crl()).number, read_crl(&b.crl()).number);
    for ca in [&a, &b] {
        ca.refresh_own_crls(minutes(9)).await.unwrap();
    }
    assert_eq!((read_crl(&a.crl()).number, read_crl(&b.crl()).number), (of_a, of_b), "none is due");
    // One that starts finds none, and in time each makes another one.
    let c = world.open(minutes(10)).await;
    assert_eq!(read_crl(&c.crl()).revoked, ["7"]);
    b.refresh_own_crls(start() + DAY).await.unwrap();
    assert!(read_crl(&b.crl()).number > of_b);
    assert_eq!(read_crl(&a.crl()).number, of_a);
    // It is smaller again.
    store.set_small(false);
    a.refresh_crl(start() + DAY, &Fence::none()).await.unwrap();
    agree(&a, &b).await;
    b.refresh_own_crls(start() + DAY * 2).await.unwrap();
    assert_eq!(a.crl(), b.crl(), "only the owner of the lease makes what is shared");
}

#[tokio::test]
async fn what_nobody_makes_any_more_is_removed_when_another_one_was_due() {
    let several =
        Several::with(CaConfig { shared: true, delta_crl_validity: Some(HOUR), ..config() });
    let a = several.open(start()).await;
    let delta = Key::new(format!("_/ca/private/published/{}-delta", a.issuer_id())).unwrap();
    let is_there = async || several.store.get(&delta).await.unwrap().is_some();
    a.forget_former_crls(start() + DAY, &Fence::none()).await.unwrap();
    assert!(is_there().await, "it is made");
    let without = CaConfig { delta_crl_validity: None, ..several.config.clone() };
    let b = open(without, several.store.clone(), &several.signer, minutes(1)).await.unwrap();
    b.forget_former_crls(minutes(1), &Fence::none()).await.unwrap();
    assert!(is_there().await, "another gateway may make it");
    b.forget_former_crls(start() + HOUR, &Fence::none()).await.unwrap();
    assert!(!is_there().await);
    assert!(!a.crl().is_empty() && !b.crl().is_empty());
}
