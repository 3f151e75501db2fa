//! Threads for work that no request waits for.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use rustix::process::setpriority_process;
use rustix::thread::gettid;

/// The lowest priority that still gets a share of a busy processor (1.5 % beside one usual thread).
const LOWEST: i32 = 19;

/// Runs the work in a thread of its own at the lowest priority. The thread leaves the processor at once to
/// any other thread that needs it. Threads that the work starts have the same priority. Fails if the system
/// has no thread left.
pub(crate) fn run(name: &str, work: impl FnOnce() + Send + 'static) -> io::Result<()> {
    std::thread::Builder::new()
        .name(name.to_owned())
        .spawn(move || {
            // Linux has priorities per thread. On a system without them, the thread has the usual priority.
            let lowered = setpriority_process(Some(gettid()), LOWEST).map_err(io::Error::from);
            #[cfg(target_os = "linux")]
            let lowered = lowered.and_then(|()| slice::lengthen(LOWEST));
            if let Err(error) = lowered {
                tracing::debug!(%error, "a background thread runs like others");
            }
            work();
        })
        .map(drop)
}

/// Drops the value here, once nobody else holds it, so that the last holder need not spend the time for that.
/// No new reference to it may be made any more.
pub(crate) fn retire<T: Send + Sync + 'static>(name: &str, last: Arc<T>) {
    const LOOK: Duration = Duration::from_millis(10);
    let retired = run(name, move || {
        while Arc::strong_count(&last) > 1 {
            std::thread::park_timeout(LOOK);
        }
        drop(last);
    });
    if let Err(error) = retired {
        tracing::debug!(%error, "no background thread for the end of what is not used any more");
    }
}

/// How long a thread may run before others have their turn.
#[cfg(target_os = "linux")]
mod slice {
    use std::io;

    /// The longest slice that Linux accepts, in nanoseconds. Since 6.6, a thread that wakes up waits for the
    /// end of the running slice, even at the lowest priority (about three milliseconds), unless its own slice
    /// is shorter (since 6.12). So a thread with the longest slice is interrupted at once.
    pub(super) const SLICE: u64 = 100_000_000;

    /// `struct sched_attr` of Linux in its first version, as `sched_setattr(2)` has it.
    #[repr(C)]
    #[derive(Default)]
    pub(super) struct Attributes {
        size: u32,
        policy: u32,
        flags: u64,
        nice: i32,
        priority: u32,
        /// For threads of the usual policy: their slice, used since 6.12.
        pub(super) runtime: u64,
        deadline: u64,
        period: u64,
    }

    #[expect(clippy::cast_possible_truncation, reason = "it has 48 bytes")]
    const SIZE: u32 = size_of::<Attributes>() as u32;

    /// Gives the calling thread, which has this niceness, the longest slice.
    pub(super) fn lengthen(nice: i32) -> io::Result<()> {
        let attributes = Attributes { size: SIZE, nice, runtime: SLICE, ..Attributes::default() };
        #[expect(unsafe_code, reason = "the C library has no function for it")]
        // SAFETY: the call reads as many bytes as the structure says that it has, and 0 is the caller.
        let code = unsafe { libc::syscall(libc::SYS_sched_setattr, 0, &raw const attributes, 0) };
        if code == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
    }

    /// The attributes of the calling thread.
    #[cfg(test)]
    pub(super) fn attributes() -> Attributes {
        let mut attributes = Attributes::default();
        #[expect(unsafe_code, reason = "the C library has no function for it")]
        // SAFETY: the call writes no more than the size that it is given.
        let code =
            unsafe { libc::syscall(libc::SYS_sched_getattr, 0, &raw mut attributes, SIZE, 0) };
        assert_eq!(code, 0, "{}", io::Error::last_os_error());
        attributes
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use rustix::process::getpriority_process;

    use super::*;

    #[test]
    fn a_thread_and_those_that_it_starts_are_of_the_lowest_priority_and_no_other() {
        let (tell, told) = mpsc::channel();
        run("test", move || {
            let inner = std::thread::spawn(|| getpriority_process(Some(gettid())).unwrap());
            let own = getpriority_process(Some(gettid())).unwrap();
            tell.send((own, inner.join().unwrap())).unwrap();
        })
        .unwrap();
        assert_eq!(told.recv().unwrap(), (LOWEST, LOWEST));
        assert!(getpriority_process(Some(gettid())).unwrap() < LOWEST);
    }

    #[test]
    fn what_is_retired_ends_in_the_background_after_its_last_user() {
        /// Tells which thread ended it.
        struct Told(mpsc::Sender<Option<String>>);
        impl Drop for Told {
            fn drop(&mut self) {
                let name = std::thread::current().name().map(str::to_owned);
                self.0.send(name).unwrap();
            }
        }
        let (tell, told) = mpsc::channel();
        let user = Arc::new(Told(tell));
        retire("retire", user.clone());
        assert!(told.try_recv().is_err());
        drop(user);
        assert_eq!(told.recv().unwrap().as_deref(), Some("retire"));
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_thread_and_those_that_it_starts_leave_the_processor_at_once() {
        let (tell, told) = mpsc::channel();
        run("test", move || {
            let inner = std::thread::spawn(|| slice::attributes().runtime);
            tell.send((slice::attributes().runtime, inner.join().unwrap())).unwrap();
        })
        .unwrap();
        // Before 6.12 Linux has no slices to set.
        let usual = slice::attributes().runtime;
        let long = if usual == 0 { 0 } else { slice::SLICE };
        assert_eq!(told.recv().unwrap(), (long, long));
        assert_ne!(usual, slice::SLICE);
    }
}
