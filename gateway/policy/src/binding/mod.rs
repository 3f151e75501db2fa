//! Bindings: which component decides about which requests, with what settings, within what limits.

pub(crate) mod document;
pub(crate) mod place;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use chancery_identity::TenantId;
pub(crate) use document::read_document;
use serde::{Deserialize, Serialize};

use crate::engine::LARGEST_MEMORY;
use crate::error::Place;
use crate::lookups::Capabilities;
use crate::pattern::Patterns;
use crate::{AccessRequest, CertificateFacts, Digest, world};

/// One binding, as its document says it.
#[derive(Debug, Clone)]
pub(crate) struct Binding {
    pub(crate) name: String,
    pub(crate) place: Place,
    pub(crate) scope: Scope,
    /// Whether the document says so, or it matches everything because it says nothing.
    pub(crate) has_match: bool,
    pub(crate) mode: Mode,
    /// As the document names it, relative to the document's directory.
    pub(crate) plugin: PathBuf,
    pub(crate) digest: Digest,
    /// The signature over the plugin, relative to the document's directory.
    pub(crate) signature: Option<PathBuf>,
    /// Whether an older version may take the place of a newer one.
    pub(crate) allow_downgrade: bool,
    /// Golden cases that have to hold, relative to the document's directory.
    pub(crate) self_test: Option<PathBuf>,
    pub(crate) limits: Limits,
    /// What the policy may look up.
    pub(crate) capabilities: Arc<Capabilities>,
    /// A JSON object.
    pub(crate) settings: String,
}

/// What a policy decides about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Decision {
    Access,
    Certificate,
}

impl Decision {
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Access => "access",
            Self::Certificate => "certificate",
        }
    }

    /// The interface of the contract that answers such requests.
    pub(crate) fn interface(self) -> &'static str {
        match self {
            Self::Access => world::ACCESS,
            Self::Certificate => world::CERTIFICATE,
        }
    }
}

/// Which requests a binding is asked about.
#[derive(Debug, Clone)]
pub(crate) enum Scope {
    Access { tenants: Patterns, operations: Patterns, resources: Patterns },
    Certificate { tenants: Patterns, requesters: Patterns, profiles: Patterns },
}

/// Whether the answer counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    Enforce,
    Monitor,
    /// It counts in a group only.
    Member,
}

impl Mode {
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Enforce => "enforce",
            Self::Monitor => "monitor",
            Self::Member => "member",
        }
    }
}

/// What an evaluation may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Limits {
    /// Of the processor's time; ten times as much by the clock on the wall.
    pub(crate) deadline: Duration,
    /// Linear memory, in bytes.
    pub(crate) memory: usize,
    /// What an answer occupies in the host, in bytes.
    pub(crate) answer: usize,
    /// What it may log, in bytes.
    pub(crate) log: usize,
    /// How many evaluations may run at once; none leaves that to the host.
    pub(crate) concurrent: Option<usize>,
}

impl Limits {
    /// The most that a binding may be given.
    pub(crate) const LARGEST: Self = Self {
        deadline: Duration::from_secs(10),
        memory: LARGEST_MEMORY,
        answer: 1 << 20,
        log: 64 << 10,
        concurrent: None,
    };
}

impl Scope {
    pub(crate) const ANY_ACCESS: Self = Self::Access {
        tenants: Patterns::ALL,
        operations: Patterns::ALL,
        resources: Patterns::ALL,
    };
    pub(crate) const ANY_CERTIFICATE: Self = Self::Certificate {
        tenants: Patterns::ALL,
        requesters: Patterns::ALL,
        profiles: Patterns::ALL,
    };

    pub(crate) fn decision(&self) -> Decision {
        match self {
            Self::Access { .. } => Decision::Access,
            Self::Certificate { .. } => Decision::Certificate,
        }
    }

    /// Whether the binding may be asked for this tenant.
    pub(crate) fn reaches(&self, tenant: &TenantId) -> bool {
        match self {
            Self::Access { tenants, .. } | Self::Certificate { tenants, .. } => {
                tenants.matches(tenant.as_str())
            }
        }
    }

    /// Whether it is asked about this resource, which stands in the place of the request's own.
    pub(crate) fn takes_access(&self, request: &AccessRequest, resource: &str) -> bool {
        match self {
            Self::Access { tenants, operations, resources } => {
                tenants.matches(request.tenant.as_str())
                    && operations.matches(&request.operation)
                    && resources.matches(resource)
            }
            Self::Certificate { .. } => false,
        }
    }

    /// A request that names no profile is matched as if it named the empty one.
    pub(crate) fn takes_certificate(&self, facts: &CertificateFacts) -> bool {
        match self {
            Self::Certificate { tenants, requesters, profiles } => {
                tenants.matches(facts.tenant.as_str())
                    && requesters.matches(&facts.requester)
                    && profiles.matches(facts.profile.as_deref().unwrap_or_default())
            }
            Self::Access { .. } => false,
        }
    }
}
