//! How much of something one account or one address may have at once. Each quota has numbered seats, which
//! are records in the store: a taker writes one in the commit of what it is for, with the check
//! that it was free. So counts hold over all gateways of a store, and cost one scan of as many small
//! records as there are seats taken.

use std::time::Duration;

use chancery_records::Recorded;
use chancery_store::{Check, Commit, CommitError, Key, Store, Version, lenient};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::error::{Error, InternalError};
use crate::records;

/// The longest time after which somebody who was refused is told to come again: seats are mostly given
/// back before they run out.
const LATEST_RETRY: Duration = Duration::from_hours(1);

/// How many seats are looked at in one sweep.
const PAGE: usize = 500;

/// A number of seats.
pub(crate) struct Quota<'a> {
    /// What the keys of its seats begin with, up to a slash.
    pub(crate) prefix: String,
    /// How many there are; 0 for no limit.
    pub(crate) most: u16,
    /// Its name for metrics.
    pub(crate) name: &'static str,
    /// What a caller is told that finds none.
    pub(crate) message: &'a str,
}

/// A seat that was free, to be taken in a commit.
#[derive(Debug, Clone)]
pub(crate) struct FreeSeat {
    key: Key,
    expected: Option<Version>,
}

/// A seat that is taken: its key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SeatName(String);

/// What is stored at a seat.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Taken {
    /// When it becomes free by itself.
    until: Timestamp,
}

impl Recorded for Taken {}

impl Quota<'_> {
    /// A seat that is free at `now`; none if there is no limit. `lottery` is any number: those who look at
    /// the same time with different ones mostly find different seats.
    ///
    /// # Errors
    /// [`Error::RateLimited`] if none is free.
    pub(crate) async fn find(
        &self,
        store: &dyn Store,
        lottery: u64,
        now: Timestamp,
    ) -> Result<Option<FreeSeat>, Error> {
        let most = usize::from(self.most);
        if most == 0 {
            return Ok(None);
        }
        let taken = store.scan(self.prefix.as_bytes(), None, most).await?;
        let mut is_free = vec![true; most];
        let mut first: Option<Timestamp> = None;
        for record in taken {
            // One that cannot be read says nothing about its holder.
            let until = serde_json::from_slice::<Taken>(&record.value).map(|taken| taken.until);
            let until = until.unwrap_or(now);
            if until <= now {
                return Ok(Some(FreeSeat { key: record.key, expected: Some(record.version) }));
            }
            first = Some(first.map_or(until, |first| first.min(until)));
            if let Some(is_free) = number(&record.key).and_then(|at| is_free.get_mut(at)) {
                *is_free = false;
            }
        }
        let free = is_free.iter().enumerate().filter(|(_, is_free)| **is_free).map(|(at, _)| at);
        let free: Vec<usize> = free.collect();
        let place = usize::try_from(lottery % (free.len().max(1) as u64)).unwrap_or_default();
        if let Some(at) = free.get(place) {
            let key = Key::new(format!("{}{at:05}", self.prefix))?;
            return Ok(Some(FreeSeat { key, expected: None }));
        }
        metrics::counter!("chancery_acme_rate_limited_total", "limit" => self.name).increment(1);
        let wait = first.map_or(Duration::ZERO, |first| {
            first.duration_since(now).try_into().unwrap_or(Duration::ZERO)
        });
        let retry_after = wait.clamp(Duration::from_secs(1), LATEST_RETRY);
        Err(Error::RateLimited { message: self.message.to_owned(), retry_after })
    }
}

/// The quota of an account with that of its address. The address counts for an account only if the account itself has
/// taken seats lately, so that neighbours lock nobody out.
pub(crate) struct AccountQuota<'a> {
    pub(crate) of_account: Quota<'a>,
    /// None if the address of the client is not known.
    pub(crate) of_address: Option<Quota<'a>>,
}

impl AccountQuota<'_> {
    /// The seats that are free at `now`, as [`Quota::find`] finds them.
    ///
    /// # Errors
    /// [`Error::RateLimited`] if one of them has none.
    pub(crate) async fn find(
        &self,
        store: &dyn Store,
        lottery: u64,
        now: Timestamp,
    ) -> Result<Vec<FreeSeat>, Error> {
        let Self { of_account, of_address } = self;
        let mut seats: Vec<_> = of_account.find(store, lottery, now).await?.into_iter().collect();
        let Some(of_address) = of_address else { return Ok(seats) };
        // Where accounts have no limit of their own, nobody knows which have taken seats.
        let is_counted = of_account.most > 0;
        match of_address.find(store, lottery, now).await {
            Err(Error::RateLimited { .. })
                if is_counted && !of_account.has_taken(store, now).await? => {}
            found => seats.extend(found?),
        }
        Ok(seats)
    }
}

impl Quota<'_> {
    /// Whether any seat is taken at `now`.
    ///
    /// # Errors
    /// The store cannot be read.
    async fn has_taken(&self, store: &dyn Store, now: Timestamp) -> Result<bool, Error> {
        let most = usize::from(self.most);
        let records = store.scan(self.prefix.as_bytes(), None, most).await?;
        let until = |value: &[u8]| serde_json::from_slice::<Taken>(value).map(|taken| taken.until);
        Ok(records.iter().any(|record| until(&record.value).is_ok_and(|until| until > now)))
    }
}

impl FreeSeat {
    /// Takes it in this commit, until then.
    pub(crate) fn take(&self, commit: Commit, until: Timestamp) -> Result<Commit, Error> {
        let check = Check { key: self.key.clone(), expected: self.expected };
        Ok(commit.check(check).put(self.key.clone(), records::encode(&Taken { until })?))
    }

    /// Whether this is the key of its record.
    pub(crate) fn is_at(&self, key: &Key) -> bool {
        self.key == *key
    }

    /// To give it back later.
    pub(crate) fn name(&self) -> SeatName {
        SeatName(self.key.to_string())
    }
}

impl SeatName {
    fn key(&self) -> Result<Key, Error> {
        let wrong = |_| InternalError::Inconsistent(format!("seat {}", self.0));
        Ok(Key::new(self.0.clone()).map_err(wrong)?)
    }

    /// Gives it back in this commit.
    pub(crate) fn give_back(&self, commit: Commit) -> Result<Commit, Error> {
        Ok(commit.delete(self.key()?))
    }

    /// Keeps it in this commit, until then.
    pub(crate) fn keep(&self, commit: Commit, until: Timestamp) -> Result<Commit, Error> {
        Ok(commit.put(self.key()?, records::encode(&Taken { until })?))
    }
}

/// Removes seats that have become free by themselves, of those whose keys begin with `prefix` and come after `after`;
/// after which key to go on, unless that was the end.
pub(crate) async fn sweep(
    store: &dyn Store,
    prefix: &str,
    after: Option<&Key>,
    now: Timestamp,
) -> Result<Option<Key>, Error> {
    let found = lenient::scan(store, prefix.as_bytes(), after, PAGE).await?;
    let mut commit = Commit::new();
    let mut any = false;
    for record in found.records {
        let taken = serde_json::from_slice::<Taken>(&record.value);
        if taken.is_ok_and(|taken| taken.until <= now) {
            any = true;
            commit = commit.check_version(record.key.clone(), record.version).delete(record.key);
        }
    }
    if any {
        match store.commit(commit).await {
            // Some were taken again: the others have time.
            Ok(_) | Err(CommitError::Conflict { .. }) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(found.next)
}

/// The number of the seat at this key.
fn number(key: &Key) -> Option<usize> {
    key.to_string().rsplit('/').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use chancery_store::memory::MemoryStore;

    use super::*;

    const MINUTE: Duration = Duration::from_mins(1);
    const START: Timestamp = Timestamp::UNIX_EPOCH;

    fn quota(most: u16) -> Quota<'static> {
        Quota { prefix: "default/q/".to_owned(), most, name: "q", message: "too many" }
    }

    async fn take(store: &MemoryStore, most: u16, now: Timestamp) -> Result<SeatName, Duration> {
        match quota(most).find(store, 7, now).await {
            Ok(seat) => {
                let seat = seat.unwrap();
                store.commit(seat.take(Commit::new(), now + MINUTE).unwrap()).await.unwrap();
                Ok(seat.name())
            }
            Err(Error::RateLimited { retry_after, message }) => {
                assert_eq!(message, "too many");
                Err(retry_after)
            }
            Err(other) => panic!("{other}"),
        }
    }

    #[tokio::test]
    async fn there_are_so_many_seats_until_they_run_out_or_are_given_back() {
        let store = MemoryStore::new();
        let mut seats = Vec::new();
        for _ in 0..3 {
            seats.push(take(&store, 3, START).await.unwrap());
        }
        assert_eq!(take(&store, 3, START).await, Err(MINUTE));
        let later = START + Duration::from_secs(50);
        assert_eq!(take(&store, 3, later).await, Err(Duration::from_secs(10)));
        let back = seats.pop().unwrap();
        store.commit(back.give_back(Commit::new()).unwrap()).await.unwrap();
        assert_eq!(take(&store, 3, later).await, Ok(back), "the one that was given back");
        take(&store, 3, START + MINUTE).await.unwrap();
        take(&store, 3, START + MINUTE).await.unwrap();
        assert!(take(&store, 3, START + MINUTE).await.is_err(), "one was taken later");
        let kept = seats.pop().unwrap();
        store.commit(kept.keep(Commit::new(), START + MINUTE).unwrap()).await.unwrap();
        assert_eq!(take(&store, 3, START + MINUTE).await, Ok(kept), "until then and no longer");
    }

    #[tokio::test]
    async fn seats_that_ran_out_are_removed_page_by_page() {
        let store = MemoryStore::new();
        for number in 0..PAGE + 10 {
            let until = if number % 2 == 0 { START } else { START + MINUTE };
            let key = Key::new(format!("default/q/{number:05}")).unwrap();
            let value = records::encode(&Taken { until }).unwrap();
            store.commit(Commit::new().put(key, value)).await.unwrap();
        }
        let next = sweep(&store, "default/q/", None, START).await.unwrap();
        assert!(next.is_some());
        let next = sweep(&store, "default/q/", next.as_ref(), START).await.unwrap();
        assert_eq!(next, None);
        let left = store.keys(b"default/q/", None, 2 * PAGE).await.unwrap();
        assert_eq!(left.len(), PAGE / 2 + 5);
        assert!(left.iter().all(|key| number(key).unwrap() % 2 == 1));
    }

    #[tokio::test]
    async fn of_two_who_find_the_same_seat_one_gets_it() {
        let store = MemoryStore::new();
        let find = async || quota(9).find(&store, 4, START).await.unwrap().unwrap();
        let (one, other) = (find().await, find().await);
        store.commit(one.take(Commit::new(), START + MINUTE).unwrap()).await.unwrap();
        let refused = store.commit(other.take(Commit::new(), START + MINUTE).unwrap()).await;
        let Err(CommitError::Conflict { key }) = refused else { panic!("{refused:?}") };
        assert!(other.is_at(&key));
        assert_ne!(find().await.name(), one.name());
    }

    #[tokio::test]
    async fn no_limit_has_no_seats_and_a_lower_one_counts_those_that_are_taken() {
        let store = MemoryStore::new();
        assert!(quota(0).find(&store, 0, START).await.unwrap().is_none());
        for _ in 0..5 {
            take(&store, 5, START).await.unwrap();
        }
        assert!(take(&store, 2, START).await.is_err());
    }
}
