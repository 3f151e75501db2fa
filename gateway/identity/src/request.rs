//! The id and the context of a request.

use std::net::IpAddr;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{Evidence, EvidenceError, Room, TenantId, Trail};

/// Identifies one request from the outside in logs, spans, answers and the audit log. A random UUID.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RequestId(uuid::Uuid);

impl RequestId {
    /// A fresh random id.
    pub fn random() -> Self {
        Self(uuid::Uuid::new_v4())
    }
}

impl std::fmt::Display for RequestId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

/// What every operation knows about the request that asked for it: enough for policy and audit, and
/// nothing of HTTP.
#[derive(Debug, Clone)]
pub struct RequestContext {
    /// Id of the request.
    pub id: RequestId,
    /// When it arrived.
    pub received: Timestamp,
    /// The caller's address; none for what the gateway asks of itself.
    pub address: Option<IpAddr>,
    /// The tenant that the request addresses.
    pub tenant: TenantId,
    /// The caller's certificate, if it sent one. It counts as long as [`Evidence::check`] says so.
    pub evidence: Option<Evidence>,
    /// Room for what the answer is made of.
    pub room: Room,
    /// What becomes known of it.
    pub trail: Trail,
}

impl RequestContext {
    /// The context of work that the gateway does on its own behalf, at start or in the background.
    pub fn internal(tenant: TenantId, now: Timestamp) -> Self {
        let (id, room, trail) = (RequestId::random(), Room::unlimited(), Trail::default());
        Self { id, received: now, address: None, tenant, evidence: None, room, trail }
    }

    /// Whether the caller's certificate, if there is one, counts at this moment. To be asked when an
    /// operation begins.
    ///
    /// # Errors
    /// Why it does not.
    pub fn check_evidence(&self) -> Result<(), EvidenceError> {
        self.evidence.as_ref().map_or(Ok(()), |evidence| evidence.check().map(drop))
    }
}
