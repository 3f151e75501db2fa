//! Takes from a process, for good, the rights that compiling does not need.
//!
//! A compiler reads input from people whom the gateway does not trust, and runs it to configure it. If an attacker
//! takes the compiler over, they have a process that can compute and answer, and nothing else: it opens no file,
//! has no network, starts no process, sends no signal and traces no process.

/// Confines this process, and returns what the kernel could not restrict. The process must have one thread only.
#[cfg(target_os = "linux")]
pub(crate) fn confine() -> Vec<String> {
    let mut lacking = Vec::new();
    // First, since the filter allows none of its calls.
    if let Err(why) = landlock::deny() {
        lacking.push(format!("no landlock: {why}"));
    }
    if let Err(why) = seccomp::filter() {
        lacking.push(format!("no seccomp: {why}"));
    }
    lacking
}

/// Confines nothing, and says so.
#[cfg(not(target_os = "linux"))]
pub(crate) fn confine() -> Vec<String> {
    vec!["this system has no way that is known here".to_owned()]
}

#[cfg(target_os = "linux")]
mod landlock {
    use landlock::{
        ABI, Access as _, AccessFs, AccessNet, RestrictionStatus, Ruleset, RulesetAttr as _,
        RulesetError, RulesetStatus, Scope,
    };

    /// The newest interface whose rights are all denied, that of Linux 6.15. An older kernel has fewer rights, and
    /// denies those; the filter denies the rest.
    const NEWEST: ABI = ABI::V7;

    /// Denies every file, every connection and every other process, as far as the kernel can.
    pub(super) fn deny() -> Result<(), String> {
        let told = |error: RulesetError| error.to_string();
        let RestrictionStatus { ruleset, .. } = Ruleset::default()
            .handle_access(AccessFs::from_all(NEWEST))
            .and_then(|rules| rules.handle_access(AccessNet::from_all(NEWEST)))
            .and_then(|rules| rules.scope(Scope::from_all(NEWEST)))
            .and_then(Ruleset::create)
            .and_then(landlock::RulesetCreated::restrict_self)
            .map_err(told)?;
        match ruleset {
            RulesetStatus::FullyEnforced | RulesetStatus::PartiallyEnforced => Ok(()),
            RulesetStatus::NotEnforced => Err("the kernel does not have it, or it is off".into()),
        }
    }
}

#[cfg(target_os = "linux")]
mod seccomp {
    use std::collections::BTreeMap;

    use seccompiler::{
        BpfProgram, SeccompAction, SeccompCmpArgLen as Length, SeccompCmpOp as Op,
        SeccompCondition, SeccompFilter, SeccompRule, apply_filter,
    };

    /// Calls that use only what is open already, and only this process.
    const ALLOWED: &[libc::c_long] = &[
        // The pipes.
        libc::SYS_read,
        libc::SYS_readv,
        libc::SYS_write,
        libc::SYS_writev,
        libc::SYS_close,
        libc::SYS_fstat,
        libc::SYS_lseek,
        libc::SYS_ppoll,
        // Memory, and anonymous memory files.
        libc::SYS_brk,
        libc::SYS_mmap,
        libc::SYS_munmap,
        libc::SYS_mremap,
        libc::SYS_mprotect,
        libc::SYS_madvise,
        libc::SYS_memfd_create,
        libc::SYS_ftruncate,
        libc::SYS_pwrite64,
        libc::SYS_fcntl,
        // Threads.
        libc::SYS_futex,
        libc::SYS_set_robust_list,
        libc::SYS_rseq,
        libc::SYS_sched_getaffinity,
        libc::SYS_sched_yield,
        libc::SYS_membarrier,
        libc::SYS_gettid,
        libc::SYS_getpid,
        libc::SYS_exit,
        libc::SYS_exit_group,
        libc::SYS_restart_syscall,
        // Its own signals: traps of guests, and the end at a limit.
        libc::SYS_rt_sigaction,
        libc::SYS_rt_sigprocmask,
        libc::SYS_rt_sigreturn,
        libc::SYS_sigaltstack,
        libc::SYS_tgkill,
        // Time and random numbers.
        libc::SYS_clock_gettime,
        libc::SYS_clock_getres,
        libc::SYS_clock_nanosleep,
        libc::SYS_nanosleep,
        libc::SYS_gettimeofday,
        libc::SYS_getrandom,
        // Allowed here, but the first filter refuses it; the C library can do without it.
        libc::SYS_clone3,
    ];

    /// Refuses every call that is not in `ALLOWED` from now on, in all later threads too.
    pub(super) fn filter() -> Result<(), String> {
        let told = |error: seccompiler::Error| error.to_string();
        let programs = [without_clone3(), only_allowed()];
        for program in programs {
            apply_filter(&program.map_err(|error| error.to_string())?).map_err(told)?;
        }
        Ok(())
    }

    /// The flags of this call are in memory, where a filter cannot see whether it would start a process. Without
    /// it, the C library uses the older call.
    fn without_clone3() -> Result<BpfProgram, seccompiler::BackendError> {
        let rules = BTreeMap::from([(libc::SYS_clone3, vec![])]);
        program(rules, SeccompAction::Allow, SeccompAction::Errno(libc::ENOSYS.unsigned_abs()))
    }

    fn only_allowed() -> Result<BpfProgram, seccompiler::BackendError> {
        let mut rules: BTreeMap<_, _> = ALLOWED.iter().map(|call| (*call, vec![])).collect();
        let thread = libc::CLONE_THREAD.unsigned_abs().into();
        // Threads, and no processes.
        rules.insert(libc::SYS_clone, vec![when(0, Op::MaskedEq(thread), thread)?]);
        // The limits of this process only.
        rules.insert(libc::SYS_prlimit64, vec![when(0, Op::Eq, 0)?]);
        // Names of threads and of memory; nothing else that the call can do.
        let names = [libc::PR_SET_NAME, libc::PR_SET_VMA];
        let names = names.into_iter().map(|what| when(0, Op::Eq, what.unsigned_abs().into()));
        rules.insert(libc::SYS_prctl, names.collect::<Result<_, _>>()?);
        program(rules, SeccompAction::Errno(libc::EPERM.unsigned_abs()), SeccompAction::Allow)
    }

    fn when(argument: u8, op: Op, value: u64) -> Result<SeccompRule, seccompiler::BackendError> {
        SeccompRule::new(vec![SeccompCondition::new(argument, Length::Dword, op, value)?])
    }

    fn program(
        rules: BTreeMap<libc::c_long, Vec<SeccompRule>>,
        otherwise: SeccompAction,
        then: SeccompAction,
    ) -> Result<BpfProgram, seccompiler::BackendError> {
        SeccompFilter::new(rules, otherwise, then, std::env::consts::ARCH.try_into()?)?.try_into()
    }
}

#[cfg(test)]
#[cfg(target_os = "linux")]
mod tests {
    use std::fs::File;
    use std::io::ErrorKind;
    use std::net::{TcpListener, TcpStream, UdpSocket};
    use std::os::unix::net::UnixStream;
    use std::process::Command;

    use super::*;

    /// Set when this test runs again, as the confined process.
    const INSIDE: &str = "CHANCERY_TEST_CONFINED";

    /// Tries what a compiler under an attacker's control would try. It runs in a process of its own, since
    /// confinement cannot be undone, and its exit status says the result.
    #[test]
    fn a_confined_process_computes_and_reaches_nothing() {
        if std::env::var_os(INSIDE).is_some() {
            std::process::exit(attempt());
        }
        let this = std::env::current_exe().unwrap();
        let name = "component::confine::tests::a_confined_process_computes_and_reaches_nothing";
        let inside = Command::new(this)
            .args([name, "--exact", "--nocapture", "--test-threads=1"])
            .env(INSIDE, "yes")
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&inside.stderr);
        assert_eq!(inside.status.code(), Some(0), "{said}");
    }

    /// How many of the attempts ended in another way than expected.
    fn attempt() -> i32 {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let parent = rustix::process::getppid().unwrap();
        let lacking = confine();
        let refused = |what: &str, error: Option<std::io::Error>| match error {
            Some(error) if error.kind() == ErrorKind::PermissionDenied => 0,
            other => {
                eprintln!("{what}: {other:?}");
                1
            }
        };
        let mut wrong = 0;
        // If a kernel has no landlock, the filter makes up for it here.
        if lacking.iter().any(|what| what.contains("seccomp")) {
            eprintln!("{lacking:?}");
            wrong += 1;
        }
        wrong += refused("open", File::open("/etc/passwd").err());
        wrong += refused("open itself", File::open("/proc/self/maps").err());
        wrong += refused("write", File::create("/tmp/chancery-confined").err());
        wrong += refused("list", std::fs::read_dir("/").err());
        wrong += refused("link", std::fs::hard_link("/etc/passwd", "/tmp/x").err());
        wrong += refused("connect", TcpStream::connect(address).err());
        wrong += refused("accept", listener.accept().err());
        wrong += refused("bind", UdpSocket::bind("127.0.0.1:0").err());
        wrong += refused("pair", UnixStream::pair().err());
        wrong += refused("start", Command::new("/bin/true").spawn().err());
        wrong += refused("environment", std::env::set_current_dir("/").err());
        let signal = rustix::process::kill_process(parent, rustix::process::Signal::CONT);
        wrong += refused("signal", signal.err().map(Into::into));
        let raised = rustix::thread::set_no_new_privs(false);
        wrong += refused("go back", raised.err().map(Into::into));
        // The things that a compiler does.
        let sum: u64 = std::thread::spawn(|| (0..1_000_000_u64).sum()).join().unwrap();
        wrong + i32::from(sum != 499_999_500_000)
    }
}
