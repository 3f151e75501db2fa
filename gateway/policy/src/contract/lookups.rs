//! What policies may look up besides the request: provided by the program, granted by the binding.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use chancery_identity::TenantId;

/// Why a look-up gave no answer. The policy gets the code and the text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LookupError {
    /// The binding does not grant it.
    #[error("the binding does not grant {0}")]
    NotGranted(String),
    /// There is no such group or data set.
    #[error("there is no {0}")]
    Unknown(String),
    /// The answer is not available at the moment.
    #[error("it cannot be told now: {0}")]
    Unavailable(String),
}

impl LookupError {
    /// The code in the contract.
    pub(crate) fn code(&self) -> &'static str {
        match self {
            Self::NotGranted(_) => "not-granted",
            Self::Unknown(_) => "unknown",
            Self::Unavailable(_) => "unavailable",
        }
    }
}

/// Whose certificates are counted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum IssuedTo {
    /// Those with this subject alternative name.
    Name {
        /// `dns`, `ip`, `uri` or `email`.
        kind: String,
        /// The name in its usual text form.
        value: String,
    },
    /// Those of this requester, as [`CertificateFacts`](crate::CertificateFacts) names it.
    Requester(String),
}

/// Says whether an identity is a member of a tenant's group.
pub type GroupLookup =
    Arc<dyn Fn(&TenantId, &str, &str) -> Result<bool, LookupError> + Send + Sync>;
/// Gives the value of a key in a tenant's data set.
pub type DataLookup =
    Arc<dyn Fn(&TenantId, &str, &str) -> Result<Option<String>, LookupError> + Send + Sync>;
/// Counts the certificates that were issued in the given time before now.
pub type IssuedLookup =
    Arc<dyn Fn(&TenantId, &IssuedTo, Duration) -> Result<u64, LookupError> + Send + Sync>;

/// The look-ups. They are called on the threads that evaluate policies, while a policy's deadline
/// runs, so they answer from memory or within a limit of their own.
#[derive(Clone)]
pub struct Lookups {
    /// `groups.contains`.
    pub group: GroupLookup,
    /// `data-sets.get`.
    pub data: DataLookup,
    /// `issuance-counts`.
    pub issued: IssuedLookup,
}

impl Lookups {
    /// Answers no look-up: for tools that look at policies without a gateway.
    pub fn unavailable() -> Self {
        let why = || LookupError::Unavailable("there is no gateway behind this policy".to_owned());
        Self {
            group: Arc::new(move |_, _, _| Err(why())),
            data: Arc::new(move |_, _, _| Err(why())),
            issued: Arc::new(move |_, _, _| Err(why())),
        }
    }
}

impl std::fmt::Debug for Lookups {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Lookups")
    }
}

/// What a binding grants its policy.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Capabilities {
    pub(crate) groups: Granted,
    pub(crate) data_sets: Granted,
    pub(crate) issuance_counts: bool,
}

/// Which groups or data sets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Granted {
    /// Every one: for a trial, where there is nothing to protect.
    All,
    /// These.
    Only(BTreeSet<String>),
}

impl Granted {
    pub(crate) fn contains(&self, name: &str) -> bool {
        match self {
            Self::All => true,
            Self::Only(names) => names.contains(name),
        }
    }
}

impl Default for Granted {
    fn default() -> Self {
        Self::Only(BTreeSet::new())
    }
}
