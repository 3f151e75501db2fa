//! Threads for what nobody waits for with a request in hand.

use std::io;

use rustix::process::setpriority_process;
use rustix::thread::gettid;

/// The lowest priority that still gets a share of a busy processor (1.5 % beside one usual thread).
const LOWEST: i32 = 19;

/// Runs it in a thread of its own at the lowest priority. Threads that it starts are of that priority
/// too. Fails if there is no thread to be had.
pub(crate) fn run(name: &str, work: impl FnOnce() + Send + 'static) -> io::Result<()> {
    std::thread::Builder::new()
        .name(name.to_owned())
        .spawn(move || {
            // Linux has priorities by thread. Where the system has none, it is as busy as others.
            if let Err(error) = setpriority_process(Some(gettid()), LOWEST) {
                tracing::debug!(%error, "a background thread runs at the usual priority");
            }
            work();
        })
        .map(drop)
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
}
