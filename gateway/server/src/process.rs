//! What this process gives up before it does anything else.

use std::io::Write as _;

use anyhow::{Context, Result};
use rustix::process::{DumpableBehavior, Resource, Rlimit, set_dumpable_behavior, setrlimit};

/// Keeps others out of the memory of this process, which holds keys, and lets nothing that it starts become more
/// than it is. The process leaves no image of its memory when it crashes, no debugger of the same user can look
/// into it, and no program that it starts gains rights by its file. To be called while there is one thread.
///
/// # Errors
/// If the system refuses.
pub(crate) fn harden() -> Result<()> {
    let none = Rlimit { current: Some(0), maximum: Some(0) };
    setrlimit(Resource::Core, none).context("cannot forbid images of this process's memory")?;
    #[cfg(target_os = "linux")]
    {
        // Not only the limit: where images are piped to a program, the kernel passes over it.
        set_dumpable_behavior(DumpableBehavior::NotDumpable)
            .context("cannot keep others out of the memory of this process")?;
        rustix::thread::set_no_new_privs(true).context("cannot give up new privileges")?;
    }
    Ok(())
}

/// Ends the process at once, without running what libraries have for its end: while a call into a PKCS#11 module
/// hangs, the module is in use, and cannot be finalised (PKCS#11 v3.0 §5.4).
pub(crate) fn abandon() -> ! {
    let _ = std::io::stdout().flush();
    #[expect(unsafe_code, reason = "the standard library ends a process by running destructors")]
    // SAFETY: it takes any number, and nothing of this process runs after it.
    unsafe {
        libc::_exit(1)
    }
}
