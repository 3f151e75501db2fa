//! The `auth` part of answers to logins and renewals.

use std::collections::BTreeMap;
use std::time::Duration;

use chancery_access::TokenInfo;
use jiff::Timestamp;
use serde::Serialize;

/// Clients expect names of ACLs with a token. There are none here, policies see the identity; this is
/// the name that every client knows.
pub(super) const POLICIES: [&str; 1] = ["default"];

/// The `auth` part of an answer: a session that began or goes on.
#[derive(Serialize)]
pub(super) struct Session<'a> {
    client_token: &'a str,
    accessor: &'a str,
    policies: [&'a str; 1],
    token_policies: [&'a str; 1],
    metadata: BTreeMap<&'a str, String>,
    lease_duration: u64,
    renewable: bool,
    entity_id: &'a str,
    token_type: &'a str,
    orphan: bool,
    mfa_requirement: Option<()>,
    num_uses: u64,
}

impl<'a> Session<'a> {
    pub(super) fn of(token: &'a str, info: &'a TokenInfo, now: Timestamp) -> Self {
        Self {
            client_token: token,
            accessor: &info.accessor,
            policies: POLICIES,
            token_policies: POLICIES,
            metadata: metadata(info),
            lease_duration: seconds(info.ttl(now)),
            renewable: info.renewable(),
            entity_id: "",
            token_type: "service",
            orphan: true,
            mfa_requirement: None,
            num_uses: 0,
        }
    }
}

/// What a token says about who holds it.
pub(super) fn metadata(info: &TokenInfo) -> BTreeMap<&'static str, String> {
    BTreeMap::from([
        ("cert_name", info.role.clone()),
        ("identity", info.identity.to_string()),
        ("tenant", info.identity.tenant.to_string()),
    ])
}

/// Whole seconds, rounded up: to a client 0 means a token that never ends.
pub(super) fn seconds(duration: Duration) -> u64 {
    duration.as_secs().saturating_add(u64::from(duration.subsec_nanos() > 0))
}
