//! Work that only one gateway does at a time.
//!
//! A lease is two records: who owns it, and until when. A renewal writes the second only, so that it
//! disturbs no commit that checks the first. The end is a moment of the store's clock, which all
//! gateways share; how long an owner may go on is measured by its own monotonic clock from before the
//! renewal was sent.
//!
//! A lease by itself protects nothing: an owner that was paused may act after its end. So whatever
//! works under a lease puts its [`Fence`] into its commits, which then fail if the lease has a new
//! owner.

use std::time::Duration;

use chancery_store::{Commit, CommitError, InvalidKey, Key, ReadError, SharedStore, Version};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use crate::codec::{Recorded, Stored, decode, encode};

/// The name of a lease: where its two records are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeaseName {
    owner: Key,
    end: Key,
}

/// A lease that gateways ask for.
pub struct Lease {
    store: SharedStore,
    name: LeaseName,
    /// Who asks.
    gateway: String,
    length: Duration,
}

/// A lease that is owned: from when it was taken until it is given up, lost or dropped. One that is
/// dropped runs out by itself.
#[derive(Debug)]
pub struct Term {
    fence: Fence,
    /// Until when it is certainly owned, by this process's own clock.
    safe_until: Instant,
}

/// What a commit checks in order to fail if the lease has another owner by then.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fence {
    owner: Key,
    version: Version,
}

/// The lease was taken by another gateway, or ran out while the store could not be reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("another gateway may have taken over this work")]
pub struct Lost;

/// Who owns a lease. Nobody, if it was given up.
#[derive(Debug, Serialize, Deserialize)]
struct Owner {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    gateway: Option<String>,
}

#[derive(Debug, Serialize, Deserialize)]
struct End {
    at: Timestamp,
}

impl Recorded for Owner {}
impl Recorded for End {}

impl LeaseName {
    /// The lease whose records are at `PATH/owner` and `PATH/end`.
    ///
    /// # Errors
    /// If `path` is too long.
    pub fn new(path: &str) -> Result<Self, InvalidKey> {
        Ok(Self {
            owner: Key::new(format!("{path}/owner"))?,
            end: Key::new(format!("{path}/end"))?,
        })
    }
}

impl Lease {
    /// A lease of this name for this gateway, which runs for `length` after each renewal. The length
    /// has to be several times what a commit may take.
    pub fn new(
        store: SharedStore,
        name: LeaseName,
        gateway: impl Into<String>,
        length: Duration,
    ) -> Self {
        Self { store, name, gateway: gateway.into(), length }
    }

    /// Takes the lease if nobody owns it or its end is past. None if somebody owns it: this gateway
    /// too, since a term is not shared.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn acquire(&self) -> Result<Option<Term>, CommitError> {
        let began = Instant::now();
        let now = self.store.now().await?;
        let owner = self.read::<Owner>(&self.name.owner).await?;
        let end = self.read::<End>(&self.name.end).await?;
        let is_owned = owner.as_ref().is_some_and(|owner| owner.value.gateway.is_some());
        if is_owned && end.as_ref().is_some_and(|end| end.value.at > now) {
            return Ok(None);
        }
        // The end is checked too: the owner may be renewing at this moment.
        let commit = unchanged(Commit::new(), &self.name.owner, owner.as_ref());
        let commit = unchanged(commit, &self.name.end, end.as_ref());
        let owner = Owner { gateway: Some(self.gateway.clone()) };
        let commit = commit.put(self.name.owner.clone(), encode(&self.name.owner, &owner)?);
        match self.store.commit(self.until(commit, now)?).await {
            Ok(version) => {
                let fence = Fence { owner: self.name.owner.clone(), version };
                Ok(Some(Term { fence, safe_until: began + self.length }))
            }
            Err(CommitError::Conflict { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Moves the end of a term, if it is still owned.
    ///
    /// # Errors
    /// [`RenewError::Lost`] if it has another owner, and if the store fails.
    pub async fn renew(&self, term: &mut Term) -> Result<(), RenewError> {
        let began = Instant::now();
        let now = self.store.now().await.map_err(CommitError::from)?;
        let commit = self.until(term.fence.guard(Commit::new()), now)?;
        match self.store.commit(commit).await {
            Ok(_) => {
                term.safe_until = began + self.length;
                Ok(())
            }
            Err(CommitError::Conflict { .. }) => Err(Lost.into()),
            Err(error) => Err(error.into()),
        }
    }

    /// Gives a term up, so that another gateway can take the lease at once. What still carries its
    /// fence fails from now on.
    ///
    /// # Errors
    /// If the store fails; the term then runs out by itself. It is no error if it was lost before.
    pub async fn release(&self, term: Term) -> Result<(), CommitError> {
        let nobody = encode(&self.name.owner, &Owner { gateway: None })?;
        let commit = term.fence.guard(Commit::new());
        let commit = commit.put(self.name.owner.clone(), nobody).delete(self.name.end.clone());
        match self.store.commit(commit).await {
            Ok(_) | Err(CommitError::Conflict { .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Does `work` under a term and renews it meanwhile, then gives it up. `work` is dropped before
    /// the term can have run out.
    ///
    /// # Errors
    /// [`Lost`] if the work was dropped.
    pub async fn hold<R>(&self, mut term: Term, work: impl Future<Output = R>) -> Result<R, Lost> {
        let mut work = std::pin::pin!(work);
        let result = loop {
            // A sixth is left for what the work still has under way when it is dropped.
            let stop = term.safe_until - self.length / 6;
            let next = Instant::now() + self.length / 3;
            tokio::select! {
                result = &mut work => break result,
                () = tokio::time::sleep_until(stop) => return Err(Lost),
                () = tokio::time::sleep_until(next.min(stop)) => {}
            }
            tokio::select! {
                result = &mut work => break result,
                () = tokio::time::sleep_until(stop) => return Err(Lost),
                renewed = self.renew(&mut term) => match renewed {
                    Ok(()) => {}
                    Err(RenewError::Lost(lost)) => return Err(lost),
                    // Tried again until the term is nearly over.
                    Err(RenewError::Store(error)) => {
                        tracing::warn!(target: "records", lease = %self.name.owner, %error, "cannot renew a lease");
                    }
                }
            }
        };
        if let Err(error) = self.release(term).await {
            tracing::warn!(target: "records", lease = %self.name.owner, %error, "cannot give a lease up");
        }
        Ok(result)
    }

    async fn read<T: Recorded>(&self, key: &Key) -> Result<Option<Stored<T>>, ReadError> {
        self.store.get(key).await?.as_ref().map(decode).transpose()
    }

    /// Puts an end into the commit.
    fn until(&self, commit: Commit, now: Timestamp) -> Result<Commit, CommitError> {
        let at = now.checked_add(self.length).unwrap_or(Timestamp::MAX);
        Ok(commit.put(self.name.end.clone(), encode(&self.name.end, &End { at })?))
    }
}

/// Why a term was not renewed.
#[derive(Debug, thiserror::Error)]
pub enum RenewError {
    /// It is not owned any more.
    #[error(transparent)]
    Lost(#[from] Lost),
    /// The store failed. It may be owned still.
    #[error(transparent)]
    Store(#[from] CommitError),
}

impl Term {
    /// What to put into every commit of the work.
    pub fn fence(&self) -> &Fence {
        &self.fence
    }
}

impl Fence {
    /// Makes the commit fail with a conflict if the lease has another owner by then.
    #[must_use]
    pub fn guard(&self, commit: Commit) -> Commit {
        commit.check_version(self.owner.clone(), self.version)
    }

    /// Whether a conflict at this key means that the lease was lost.
    pub fn is_at(&self, key: &Key) -> bool {
        self.owner == *key
    }
}

impl std::fmt::Debug for Lease {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Lease").field("name", &self.name).finish_non_exhaustive()
    }
}

fn unchanged<T>(commit: Commit, key: &Key, before: Option<&Stored<T>>) -> Commit {
    match before {
        Some(before) => commit.check_version(key.clone(), before.version),
        None => commit.check_absent(key.clone()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use chancery_identity::Clock;
    use chancery_store::Store as _;
    use chancery_store::memory::MemoryStore;
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
}
