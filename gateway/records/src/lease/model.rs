//! Random histories of two and three gateways that ask for one lease, compared with what a lease promises.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use chancery_identity::Clock;
use chancery_store::memory::MemoryStore;
use chancery_store::{Commit, CommitError, Key, SharedStore};
use jiff::Timestamp;
use proptest::prelude::*;

use super::*;

const LENGTH: u64 = 30;

#[derive(Debug, Clone, Copy)]
enum Step {
    Acquire(usize),
    Renew(usize),
    Release(usize),
    Work(usize),
    /// Time passes by the store's clock. The gateways' own clocks do not matter.
    Pass(u64),
}

fn steps(gateways: usize) -> impl Strategy<Value = Vec<Step>> {
    let one = 0..gateways;
    let step = prop_oneof![
        3 => one.clone().prop_map(Step::Acquire),
        3 => one.clone().prop_map(Step::Renew),
        1 => one.clone().prop_map(Step::Release),
        4 => one.prop_map(Step::Work),
        3 => (1..2 * LENGTH).prop_map(Step::Pass),
    ];
    prop::collection::vec(step, 1..60)
}

/// What is true of the lease by its promise.
#[derive(Default)]
struct Expected {
    /// Which term counts, and until when.
    owner: Option<(usize, u64)>,
    now: u64,
}

struct World {
    store: SharedStore,
    clock: Clock,
    expected: Expected,
    /// The terms that gateways believe to have. A gateway that was paused has one that counts no more.
    terms: BTreeMap<usize, Term>,
    done: u64,
}

impl World {
    fn new() -> Self {
        let clock = Clock::manual(Timestamp::UNIX_EPOCH);
        let store = Arc::new(MemoryStore::with_clock(clock.clone()));
        Self { store, clock, expected: Expected::default(), terms: BTreeMap::new(), done: 0 }
    }

    fn lease(&self, gateway: usize) -> Lease {
        let name = LeaseName::new("_/lease/model").unwrap();
        Lease::new(self.store.clone(), name, gateway.to_string(), Duration::from_secs(LENGTH))
    }

    fn owns(&self, gateway: usize) -> bool {
        self.expected.owner.is_some_and(|(owner, _)| owner == gateway)
    }

    async fn step(&mut self, step: Step) {
        match step {
            Step::Pass(seconds) => {
                self.clock.advance(Duration::from_secs(seconds));
                self.expected.now += seconds;
            }
            Step::Acquire(gateway) => {
                let free = self.expected.owner.is_none_or(|(_, end)| end <= self.expected.now);
                let term = self.lease(gateway).acquire().await.unwrap();
                assert_eq!(term.is_some(), free);
                if let Some(term) = term {
                    self.expected.owner = Some((gateway, self.expected.now + LENGTH));
                    self.terms.insert(gateway, term);
                }
            }
            Step::Renew(gateway) => {
                let owns = self.owns(gateway);
                let lease = self.lease(gateway);
                let Some(term) = self.terms.get_mut(&gateway) else { return };
                match lease.renew(term).await {
                    // One that nobody took meanwhile is renewed after its end too.
                    Ok(()) => {
                        assert!(owns);
                        self.expected.owner = Some((gateway, self.expected.now + LENGTH));
                    }
                    Err(RenewError::Lost(_)) => assert!(!owns),
                    Err(RenewError::Store(error)) => panic!("{error}"),
                }
            }
            Step::Release(gateway) => {
                let Some(term) = self.terms.remove(&gateway) else { return };
                self.lease(gateway).release(term).await.unwrap();
                if self.owns(gateway) {
                    self.expected.owner = None;
                }
            }
            Step::Work(gateway) => self.work(gateway).await,
        }
    }

    /// Work that its owner does, or wakes up in: it counts if nobody else has the lease by then.
    async fn work(&mut self, gateway: usize) {
        let Some(term) = self.terms.get(&gateway) else { return };
        let owns = self.owns(gateway);
        let key = Key::new("t/work").unwrap();
        let commit = Commit::new().put(key.clone(), gateway.to_string());
        let guarded = self.store.commit(term.fence().guard(commit.clone())).await;
        assert_eq!(guarded.is_ok(), owns, "{guarded:?}");
        if let Err(CommitError::Conflict { key }) = guarded {
            assert!(term.fence().is_at(&key));
        }
        let over = term.fence().over(&self.store);
        match over.commit(commit.check_absent(Key::new("t/never").unwrap())).await {
            Ok(_) => assert!(owns),
            Err(CommitError::Unavailable(_)) => assert!(!owns),
            Err(error) => panic!("{error}"),
        }
        self.done += u64::from(owns);
    }
}

fn check(steps: Vec<Step>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    runtime.block_on(async {
        let mut world = World::new();
        for step in steps {
            world.step(step).await;
        }
    });
}

proptest! {
    #[test]
    fn of_two_gateways_one_owns_it_and_only_its_commits_count(steps in steps(2)) {
        check(steps);
    }

    #[test]
    fn of_three_gateways_one_owns_it_and_only_its_commits_count(steps in steps(3)) {
        check(steps);
    }
}
