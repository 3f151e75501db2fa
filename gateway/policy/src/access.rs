use std::time::Duration;

use chancery_identity::TenantId;

/// A question to the access policies: may this identity do this to that?
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccessRequest {
    /// The tenant that the operation addresses.
    pub tenant: TenantId,
    /// Who asks, as the audit log names it (`spiffe://…`, `dns:…`, `name:…`, `acme:ACCOUNT`).
    pub identity: String,
    /// What is asked, dotted from the general to the particular: `secrets.read`, `auth.login`.
    pub operation: String,
    /// On what: a mount and path, the names of an order, the role of a login.
    pub resource: String,
    /// Whatever else is known, by name (`address`, `role`, …). A name may occur several times.
    pub attributes: Vec<(String, String)>,
}

/// What the access policies allow, after merging every policy's answer to the strictest.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AccessGrant {
    /// Ceiling on the time-to-live of whatever is handed out; none if no policy set one.
    pub max_ttl: Option<Duration>,
}

impl AccessGrant {
    /// The grant that satisfies both.
    pub(crate) fn strictest(self, other: &Self) -> Self {
        let max_ttl = match (self.max_ttl, other.max_ttl) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (one, None) | (None, one) => one,
        };
        Self { max_ttl }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ceilings_merge_to_the_lower_and_none_is_no_ceiling() {
        let grant =
            |seconds: Option<u64>| AccessGrant { max_ttl: seconds.map(Duration::from_secs) };
        let cases = [
            (Some(1), Some(2), Some(1)),
            (Some(2), Some(1), Some(1)),
            (None, Some(3), Some(3)),
            (Some(3), None, Some(3)),
            (None, None, None),
        ];
        for (a, b, merged) in cases {
            assert_eq!(grant(a).strictest(&grant(b)), grant(merged));
        }
    }
}
