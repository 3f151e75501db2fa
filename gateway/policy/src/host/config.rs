//! What a host needs to be told.

use std::path::PathBuf;

use chancery_files::Trusted;
use chancery_identity::Clock;

use crate::binding::Known;
use crate::component::Compiler;
use crate::contract::Lookups;
use crate::set::Signers;

/// Where the policies are and how much they may occupy.
#[derive(Debug, Clone)]
pub struct PolicyConfig {
    /// Directory of the binding documents (`*.toml`); their plugin files are relative to it.
    pub directory: PathBuf,
    /// Directory for compiled components. Created with mode 0700; nobody else may write there.
    pub cache: PathBuf,
    /// Who may change the files of the policies.
    pub trusted: Trusted,
    /// Threads that evaluate, and so the number of policies that run at once. At least 1; fewer are
    /// started if the process's address space is limited.
    pub workers: usize,
    /// Decisions that may wait for a thread before further ones are denied. At least 1.
    pub queue: usize,
    /// Where components are compiled.
    pub compiler: Compiler,
    /// What policies may look up.
    pub lookups: Lookups,
    /// Whose signatures tenants require.
    pub signers: Signers,
    /// What their documents may refer to.
    pub known: Known,
    /// Directory for the sets that were in force, to go back to; none keeps none.
    pub history: Option<PathBuf>,
    /// By which the history tells when, and permissions that may be reused end.
    pub clock: Clock,
}

impl PolicyConfig {
    /// Files that root and the user of this process may change, one evaluating thread per processor, at
    /// least two, a queue of 1,024 decisions, components that are compiled in this process, nothing to look up, no signatures required, and no history.
    pub fn new(directory: PathBuf, cache: PathBuf) -> Self {
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        Self {
            directory,
            cache,
            trusted: Trusted::process(),
            workers: processors.max(2),
            queue: 1024,
            compiler: Compiler::Here,
            lookups: Lookups::unavailable(),
            signers: Signers::new(),
            known: Known::OPERATIONS,
            history: None,
            clock: Clock::system(),
        }
    }
}
