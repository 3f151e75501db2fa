//! Tests of leases: ownership, renewal, fencing, and clocks that differ.

use super::*;
use chancery_identity::Clock;
use chancery_store::memory::MemoryStore;
use chancery_store::{Store as _, Version};
use std::sync::Arc;

const LENGTH: Duration = Duration::from_secs(30);

struct World {
    store: MemoryStore,
    clock: Clock,
}

impl World {
    fn new() -> Self {
        let clock = Clock::manual(Timestamp::UNIX_EPOCH);
        Self { store: MemoryStore::with_clock(clock.clone()), clock }
    }

    fn lease(&self, gateway: &str) -> Lease {
        let name = LeaseName::new("_/lease/sweep").unwrap();
        Lease::new(Arc::new(self.store.clone()), name, gateway, LENGTH)
    }

    async fn work(&self, term: &Term) -> Result<Version, CommitError> {
        let commit = Commit::new().put(Key::new("t/work").unwrap(), "done");
        self.store.commit(term.fence().guard(commit)).await
    }
}

#[tokio::test]
async fn one_at_a_time_owns_it() {
    let world = World::new();
    let (a, b) = (world.lease("a"), world.lease("b"));
    let term = a.acquire().await.unwrap().unwrap();
    assert!(b.acquire().await.unwrap().is_none());
    assert!(a.acquire().await.unwrap().is_none(), "nor a second time");
    world.work(&term).await.unwrap();
    a.release(term).await.unwrap();
    assert!(b.acquire().await.unwrap().is_some());
}

#[tokio::test]
async fn of_many_who_ask_at_once_one_gets_it() {
    let world = World::new();
    let mut tasks = tokio::task::JoinSet::new();
    for number in 0..20 {
        let lease = world.lease(&number.to_string());
        tasks.spawn(async move { lease.acquire().await.unwrap().is_some() });
    }
    assert_eq!(tasks.join_all().await.into_iter().filter(|got| *got).count(), 1);
}

#[tokio::test]
async fn a_paused_owner_cannot_commit_after_another_took_over() {
    let world = World::new();
    let (a, b) = (world.lease("a"), world.lease("b"));
    let mut old = a.acquire().await.unwrap().unwrap();
    world.clock.advance(LENGTH + Duration::from_secs(1));
    // Nobody has taken it, so that nothing is wrong yet.
    world.work(&old).await.unwrap();
    let new = b.acquire().await.unwrap().unwrap();
    let refused = world.work(&old).await;
    assert!(matches!(refused, Err(CommitError::Conflict { key }) if old.fence().is_at(&key)));
    assert!(matches!(a.renew(&mut old).await, Err(RenewError::Lost(_))));
    a.release(old).await.unwrap();
    world.work(&new).await.unwrap();
}

#[tokio::test]
async fn a_renewal_disturbs_no_commit_of_the_work_and_moves_the_end() {
    let world = World::new();
    let (a, b) = (world.lease("a"), world.lease("b"));
    let mut term = a.acquire().await.unwrap().unwrap();
    let fence = term.fence().clone();
    for _ in 0..5 {
        world.clock.advance(LENGTH / 2);
        a.renew(&mut term).await.unwrap();
        assert!(b.acquire().await.unwrap().is_none());
    }
    assert_eq!(term.fence(), &fence);
    world.work(&term).await.unwrap();
}

#[tokio::test]
async fn who_gave_it_up_can_do_nothing_under_it() {
    let world = World::new();
    let a = world.lease("a");
    let term = a.acquire().await.unwrap().unwrap();
    let fence = term.fence().clone();
    a.release(term).await.unwrap();
    let late = fence.guard(Commit::new().put(Key::new("t/late").unwrap(), ""));
    assert!(matches!(world.store.commit(late).await, Err(CommitError::Conflict { .. })));
}

#[tokio::test(start_paused = true)]
async fn long_work_is_done_under_renewals() {
    let world = World::new();
    let (a, b) = (world.lease("a"), world.lease("b"));
    let term = a.acquire().await.unwrap().unwrap();
    let clock = world.clock.clone();
    let work = async {
        for _ in 0..10 {
            tokio::time::sleep(LENGTH / 2).await;
            clock.advance(LENGTH / 2);
            assert!(b.acquire().await.unwrap().is_none());
        }
        "done"
    };
    assert_eq!(a.hold(term, work).await, Ok("done"));
    assert!(b.acquire().await.unwrap().is_some(), "it was given up");
}

#[tokio::test(start_paused = true)]
async fn work_is_dropped_before_a_lease_that_cannot_be_renewed_ends() {
    let world = World::new();
    let a = world.lease("a");
    let term = a.acquire().await.unwrap().unwrap();
    let began = Instant::now();
    world.store.set_full(true);
    assert_eq!(a.hold(term, std::future::pending::<()>()).await, Err(Lost));
    assert!(began.elapsed() < LENGTH);
}

#[tokio::test(start_paused = true)]
async fn an_owner_whose_clock_is_slower_than_the_stores_is_stopped_by_its_fence() {
    let world = World::new();
    let (a, b) = (world.lease("a"), world.lease("b"));
    let term = a.acquire().await.unwrap().unwrap();
    let fence = term.fence().clone();
    // By its own clock nothing has passed, so that it goes on.
    world.clock.advance(LENGTH);
    let taken = b.acquire().await.unwrap().unwrap();
    let late = fence.guard(Commit::new().put(Key::new("t/late").unwrap(), ""));
    assert!(matches!(world.store.commit(late).await, Err(CommitError::Conflict { .. })));
    // Its next renewal tells it.
    assert_eq!(a.hold(term, std::future::pending::<()>()).await, Err(Lost));
    world.work(&taken).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn an_owner_whose_clock_is_faster_than_the_stores_keeps_it_by_renewing() {
    let world = World::new();
    let (a, b) = (world.lease("a"), world.lease("b"));
    let term = a.acquire().await.unwrap().unwrap();
    // By the store's clock no time passes at all.
    let work = tokio::time::sleep(LENGTH * 10);
    assert_eq!(a.hold(term, work).await, Ok(()));
    assert!(b.acquire().await.unwrap().is_some());
}

#[tokio::test]
async fn a_store_under_a_lost_lease_fails_and_says_why() {
    let world = World::new();
    let (a, b) = (world.lease("a"), world.lease("b"));
    let store: SharedStore = Arc::new(world.store.clone());
    let old = a.acquire().await.unwrap().unwrap();
    let (under, free) = (old.fence().over(&store), Fence::none().over(&store));
    let put = |text| Commit::new().put(Key::new("t/work").unwrap(), text);
    under.commit(put("a")).await.unwrap();
    world.clock.advance(LENGTH);
    b.acquire().await.unwrap().unwrap();
    // With another conflict too, which alone would be tried again.
    let absent = put("late").check_absent(Key::new("t/work").unwrap());
    for commit in [put("late"), absent] {
        match under.commit(commit).await {
            Err(CommitError::Unavailable(why)) => assert_eq!(why, Lost.to_string()),
            other => panic!("{other:?}"),
        }
    }
    free.commit(put("alone")).await.unwrap();
}
