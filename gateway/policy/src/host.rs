use std::path::PathBuf;

use crate::{
    AccessGrant, AccessRequest, CertificateFacts, CertificateTemplate, Denial, LoadError, Verdict,
};

/// Where the policies are and how much they may occupy.
#[derive(Debug, Clone)]
pub struct PolicyConfig {
    /// Directory of the binding documents (`*.toml`); their plugin files are relative to it.
    pub directory: PathBuf,
    /// Directory for compiled components. Created with mode 0700; must not be anybody else's.
    pub cache: PathBuf,
    /// Threads that evaluate, and so the number of policies that run at once. At least 1.
    pub workers: usize,
    /// Decisions that may wait for a thread before further ones are denied. At least 1.
    pub queue: usize,
}

impl PolicyConfig {
    /// One evaluating thread per processor, at least two, and a queue of 1,024 decisions.
    pub fn new(directory: PathBuf, cache: PathBuf) -> Self {
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        Self { directory, cache, workers: processors.max(2), queue: 1024 }
    }
}

/// What a load brought into force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Summary {
    /// Names of the bindings, sorted.
    pub bindings: Vec<String>,
    /// How many different components they use.
    pub plugins: usize,
}

/// Asks the policies. Cheap to clone; clones share everything.
#[derive(Clone)]
pub struct PolicyHost {}

impl PolicyHost {
    /// Loads every binding in the directory and starts the evaluating threads.
    ///
    /// # Errors
    /// The first thing that is wrong with a binding, a plugin or a directory; nothing is running then.
    pub fn open(config: PolicyConfig) -> Result<Self, LoadError> {
        let _ = config;
        Ok(Self {})
    }

    /// Loads the directory again and takes the new set into use in one step. Decisions that have begun
    /// end by the old set. Blocks while components are compiled: call it off the request path.
    ///
    /// # Errors
    /// As [`open`](Self::open); the old set then stays in force, whole.
    pub fn reload(&self) -> Result<Summary, LoadError> {
        Ok(Summary { bindings: Vec::new(), plugins: 0 })
    }

    /// Asks the access policies.
    pub async fn decide_access(&self, request: &AccessRequest) -> Verdict<AccessGrant> {
        let _ = request;
        Verdict {
            decision: Err(Denial::new(Denial::NO_POLICY, "no policy allows this", "")),
            evaluations: Vec::new(),
        }
    }

    /// Asks the certificate policies.
    pub async fn decide_certificate(
        &self,
        facts: &CertificateFacts,
    ) -> Verdict<CertificateTemplate> {
        let _ = facts;
        Verdict {
            decision: Err(Denial::new(Denial::NO_POLICY, "no policy allows this", "")),
            evaluations: Vec::new(),
        }
    }
}
