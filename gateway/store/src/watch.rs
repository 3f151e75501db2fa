//! Watches on prefixes: a bounded queue of changes for each reader, filled in the order of commits.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use tokio::sync::Notify;

use crate::{Commit, Key, Version, Write};

/// How many changes a watch holds for a reader that is behind, before it gives up on single changes.
const CAPACITY: usize = 1024;

/// Something that happened below a watched prefix.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// A record was written.
    Put {
        /// Where.
        key: Key,
        /// By which commit.
        version: Version,
    },
    /// A key was deleted (whether or not there was a record).
    Deleted {
        /// Where.
        key: Key,
        /// By which commit.
        version: Version,
    },
    /// Changes were dropped because the reader was too far behind: read everything again.
    Lagged,
}

/// Follows the changes below a prefix, in the order of commits. See [`Store::watch`](crate::Store::watch).
#[derive(Debug)]
pub struct Watch {
    queue: Arc<Queue>,
    hidden: Option<Vec<u8>>,
}

impl Watch {
    /// The next change; none once the store is closed and everything before has been returned.
    pub async fn next(&mut self) -> Option<Change> {
        loop {
            // Registered before looking, so that a change between the two is not missed.
            let changed = self.queue.changed.notified();
            {
                let mut state = self.queue.lock();
                if let Some(change) = state.take(self.hidden.as_deref()) {
                    return Some(change);
                }
                if state.closed {
                    return None;
                }
            }
            changed.await;
        }
    }

    /// The next change if there is one already. A commit that was acknowledged before this call is
    /// visible to it, so a cache that drains its watch first never serves what it knew before its
    /// caller's own write.
    pub fn try_next(&mut self) -> Option<Change> {
        self.queue.lock().take(self.hidden.as_deref())
    }

    /// Whether the store is closed, so that it tells of no changes any more. What it told of before can
    /// still be taken.
    pub fn has_ended(&self) -> bool {
        self.queue.lock().closed
    }

    /// This watch without what happens below `prefix`: for stores that keep records of their own in
    /// another store.
    #[must_use]
    pub fn hiding(self, prefix: &[u8]) -> Self {
        Self { hidden: Some(prefix.to_vec()), ..self }
    }
}

impl Change {
    /// The key that changed; none if that is not known any more.
    pub fn key(&self) -> Option<&Key> {
        match self {
            Self::Put { key, .. } | Self::Deleted { key, .. } => Some(key),
            Self::Lagged => None,
        }
    }
}

/// The watches of one store: what a backend keeps in order to implement
/// [`Store::watch`](crate::Store::watch). Dropping it ends them.
#[derive(Debug, Default)]
pub struct Watchers {
    subscriptions: Mutex<Subscriptions>,
}

/// Watches by their prefix, so that a commit costs the same however many there are: a key is looked up
/// once for each length of prefix.
#[derive(Debug, Default)]
struct Subscriptions {
    by_prefix: HashMap<Vec<u8>, Vec<Weak<Queue>>>,
    /// How many prefixes have which length.
    lengths: BTreeMap<usize, usize>,
}

#[derive(Debug, Default)]
struct Queue {
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct State {
    changes: VecDeque<Change>,
    lagged: bool,
    closed: bool,
}

impl Watchers {
    /// A watch on `prefix` from now on.
    pub fn watch(&self, prefix: &[u8]) -> Watch {
        let queue = Arc::new(Queue::default());
        self.lock().add(prefix, &queue);
        Watch { queue, hidden: None }
    }

    /// Tells the watches about the writes of `commit`. To be called in the order of commits, before
    /// the commit is acknowledged. A watch gets all changes of a commit at once.
    pub fn publish(&self, commit: &Commit, version: Version) {
        let mut subscriptions = self.lock();
        let lengths: Vec<usize> = subscriptions.lengths.keys().copied().collect();
        for length in lengths {
            let keys = commit.writes().iter().filter_map(|(key, write)| {
                key.as_bytes().get(..length).map(|prefix| (prefix, key, write))
            });
            let mut keys = keys.peekable();
            // Keys are in order, so that those with the same prefix stand together.
            while let Some((prefix, key, write)) = keys.next() {
                let mut changes = vec![change(key, write, version)];
                while let Some((_, key, write)) = keys.next_if(|(next, _, _)| *next == prefix) {
                    changes.push(change(key, write, version));
                }
                subscriptions.tell(prefix, &changes);
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Subscriptions> {
        self.subscriptions.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Subscriptions {
    fn add(&mut self, prefix: &[u8], queue: &Arc<Queue>) {
        let queues = self.by_prefix.entry(prefix.to_vec()).or_insert_with(|| {
            *self.lengths.entry(prefix.len()).or_default() += 1;
            Vec::new()
        });
        queues.retain(|queue| queue.strong_count() > 0);
        queues.push(Arc::downgrade(queue));
    }

    fn tell(&mut self, prefix: &[u8], changes: &[Change]) {
        let Some(queues) = self.by_prefix.get_mut(prefix) else { return };
        queues.retain(|queue| {
            let Some(queue) = queue.upgrade() else { return false };
            queue.push(changes);
            true
        });
        if queues.is_empty() {
            self.by_prefix.remove(prefix);
            if let Some(count) = self.lengths.get_mut(&prefix.len()) {
                *count -= 1;
                if *count == 0 {
                    self.lengths.remove(&prefix.len());
                }
            }
        }
    }
}

fn change(key: &Key, write: &Write, version: Version) -> Change {
    let key = key.clone();
    match write {
        Write::Put(_) => Change::Put { key, version },
        Write::Delete => Change::Deleted { key, version },
    }
}

impl Drop for Watchers {
    fn drop(&mut self) {
        let subscriptions = self.lock();
        for queue in subscriptions.by_prefix.values().flatten().filter_map(Weak::upgrade) {
            queue.lock().closed = true;
            queue.changed.notify_one();
        }
    }
}

impl Queue {
    /// Adds changes that are taken together.
    fn push(&self, changes: &[Change]) {
        let mut state = self.lock();
        for change in changes {
            state.push(change.clone());
        }
        drop(state);
        self.changed.notify_one();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn push(&mut self, change: Change) {
        if self.lagged {
            return;
        }
        if self.changes.len() == CAPACITY {
            self.changes.clear();
            self.lagged = true;
        } else {
            self.changes.push_back(change);
        }
    }

    fn take(&mut self, hidden: Option<&[u8]>) -> Option<Change> {
        if std::mem::take(&mut self.lagged) {
            return Some(Change::Lagged);
        }
        let is_hidden = |change: &Change| {
            change.key().zip(hidden).is_some_and(|(key, hidden)| key.as_bytes().starts_with(hidden))
        };
        while let Some(change) = self.changes.pop_front() {
            if !is_hidden(&change) {
                return Some(change);
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(text: &str) -> Key {
        Key::new(text).unwrap()
    }

    #[tokio::test]
    async fn a_reader_that_is_too_far_behind_is_told_so_and_then_continues() {
        let watchers = Watchers::default();
        let mut watch = watchers.watch(b"a/");
        for number in 0..=CAPACITY as u64 {
            watchers.publish(&Commit::new().put(key("a/x"), ""), Version::new(number));
        }
        watchers.publish(&Commit::new().put(key("a/unseen"), ""), Version::new(5000));
        assert_eq!(watch.next().await, Some(Change::Lagged));
        assert_eq!(watch.try_next(), None);
        watchers.publish(&Commit::new().delete(key("a/y")), Version::new(5001));
        assert_eq!(
            watch.next().await,
            Some(Change::Deleted { key: key("a/y"), version: Version::new(5001) })
        );
    }

    #[tokio::test]
    async fn a_waiting_reader_is_woken_and_the_end_of_the_store_ends_it() {
        let watchers = Arc::new(Watchers::default());
        let mut watch = watchers.watch(b"");
        let reader = tokio::spawn(async move { (watch.next().await, watch.next().await) });
        watchers.publish(&Commit::new().put(key("k"), ""), Version::new(1));
        drop(watchers);
        let expected = Change::Put { key: key("k"), version: Version::new(1) };
        assert_eq!(reader.await.unwrap(), (Some(expected), None));
    }

    #[test]
    fn what_is_hidden_is_passed_over() {
        let watchers = Watchers::default();
        let mut watch = watchers.watch(b"a/").hiding(b"a/own/");
        let commit = Commit::new().put(key("a/own/x"), "").put(key("a/x"), "");
        watchers.publish(&commit, Version::new(1));
        assert_eq!(watch.try_next().unwrap().key(), Some(&key("a/x")));
        assert_eq!(watch.try_next(), None);
    }

    #[test]
    fn a_dropped_watch_is_forgotten() {
        let watchers = Watchers::default();
        drop(watchers.watch(b"k"));
        drop(watchers.watch(b""));
        let kept = watchers.watch(b"");
        watchers.publish(&Commit::new().put(key("k"), ""), Version::new(1));
        assert_eq!(watchers.lock().by_prefix.len(), 1);
        assert_eq!(watchers.lock().lengths.keys().collect::<Vec<_>>(), [&0]);
        drop(kept);
        watchers.publish(&Commit::new().put(key("k"), ""), Version::new(2));
        assert!(watchers.lock().by_prefix.is_empty() && watchers.lock().lengths.is_empty());
    }

    #[test]
    fn each_watch_is_told_of_its_prefix_whatever_the_others_watch() {
        let watchers = Watchers::default();
        let prefixes = ["", "a/", "a/b", "a/b/", "b/", "a/b/c/d"];
        let mut watches = prefixes.map(|prefix| watchers.watch(prefix.as_bytes()));
        let keys = ["a", "a/", "a/b", "a/b/1", "a/b/2", "a/bc", "a/c", "b/1"];
        let commit = keys.iter().fold(Commit::new(), |commit, text| commit.put(key(text), ""));
        watchers.publish(&commit, Version::new(1));
        for (prefix, watch) in prefixes.iter().zip(&mut watches) {
            let told: Vec<String> = std::iter::from_fn(|| watch.try_next())
                .map(|change| change.key().unwrap().to_string())
                .collect();
            let expected: Vec<&str> =
                keys.iter().copied().filter(|key| key.starts_with(prefix)).collect();
            assert_eq!(told, expected, "below {prefix:?}");
        }
    }
}
