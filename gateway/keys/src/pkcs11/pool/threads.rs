//! The threads that use a token. They call into its module, so the use of the module may end only after
//! all of them have ended: some modules crash the process otherwise.

use std::convert::Infallible;
use std::io;
use std::sync::Mutex;
use std::thread::{self, JoinHandle};
use std::time::Instant;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};

use crate::pkcs11::locks::lock;

pub(crate) struct Threads {
    /// Each thread holds a copy. None once no thread may be started any more.
    alive: Mutex<Option<Sender<Infallible>>>,
    /// Disconnected when the last thread has ended; nothing is ever sent.
    ended: Receiver<Infallible>,
    handles: Mutex<Vec<JoinHandle<()>>>,
}

impl Threads {
    pub(crate) fn none() -> Self {
        let (alive, ended) = bounded(0);
        Self { alive: Mutex::new(Some(alive)), ended, handles: Mutex::default() }
    }

    /// Starts a thread.
    ///
    /// # Errors
    /// The system has no thread left, or [`join`](Self::join) was called.
    pub(crate) fn start(
        &self,
        name: String,
        work: impl FnOnce() + Send + 'static,
    ) -> io::Result<()> {
        // Hold the lock until the thread is registered, so that `join` finds it.
        let alive = lock(&self.alive);
        let held = alive.clone().ok_or_else(|| io::Error::other("the signer is shutting down"))?;
        let run = move || {
            // The work's own values are dropped before this one, after a panic too.
            let _held = held;
            work();
        };
        let handle = thread::Builder::new().name(name).spawn(run)?;
        lock(&self.handles).push(handle);
        Ok(())
    }

    /// Waits for all of them to end, but not beyond `until`, since a call that hangs in a module cannot be
    /// interrupted. Returns whether all have ended; no other thread is started from now on.
    pub(crate) fn join(&self, until: Instant) -> bool {
        drop(lock(&self.alive).take());
        if !matches!(self.ended.recv_deadline(until), Err(RecvTimeoutError::Disconnected)) {
            return false;
        }
        let handles = std::mem::take(&mut *lock(&self.handles));
        for handle in handles {
            if handle.join().is_err() {
                tracing::error!("a thread of the PKCS#11 signer had panicked");
            }
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    use super::*;

    #[test]
    fn all_are_waited_for_and_none_begins_afterwards() {
        let threads = Threads::none();
        let (go, gone) = bounded::<()>(0);
        let ended = Arc::new(AtomicUsize::new(0));
        for number in 0..3 {
            let (gone, ended) = (gone.clone(), Arc::clone(&ended));
            let work = move || {
                let _ = gone.recv();
                ended.fetch_add(1, Ordering::Relaxed);
                assert!(number > 0, "one panics");
            };
            threads.start(format!("test-{number}"), work).unwrap();
        }
        assert!(!threads.join(Instant::now()), "they are at work");
        assert!(threads.start("late".to_owned(), || ()).is_err());
        drop(go);
        assert!(threads.join(Instant::now() + Duration::from_mins(1)));
        assert_eq!(ended.load(Ordering::Relaxed), 3);
        assert!(threads.join(Instant::now()), "there is nobody to wait for any more");
    }
}
