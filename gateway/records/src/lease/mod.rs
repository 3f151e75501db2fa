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

mod fence;
#[cfg(test)]
mod model;
#[cfg(test)]
mod tests;

use std::time::Duration;

use chancery_store::{Commit, CommitError, InvalidKey, Key, ReadError, SharedStore};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

pub use self::fence::Fence;
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
        // An end that no renewal can have set is of a clock that was set back since.
        let latest = now + self.length.saturating_mul(2);
        let is_current = |end: &End| end.at > now && end.at <= latest;
        if is_owned && end.as_ref().is_some_and(|end| is_current(&end.value)) {
            return Ok(None);
        }
        // The end is checked too: the owner may be renewing at this moment.
        let commit = unchanged(Commit::new(), &self.name.owner, owner.as_ref());
        let commit = unchanged(commit, &self.name.end, end.as_ref());
        let owner = Owner { gateway: Some(self.gateway.clone()) };
        let commit = commit.put(self.name.owner.clone(), encode(&self.name.owner, &owner)?);
        match self.store.commit(self.until(commit, now)?).await {
            Ok(version) => {
                let fence = Fence::new(self.name.owner.clone(), version);
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
