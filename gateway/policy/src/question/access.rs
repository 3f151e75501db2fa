//! Questions about access, and what the policies allow.

use std::collections::BTreeSet;
use std::time::Duration;

use chancery_identity::TenantId;

/// A question to the access policies: may this identity do this operation on this resource?
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct AccessRequest {
    /// The tenant that the operation addresses.
    pub tenant: TenantId,
    /// Who asks, as the audit log names it (`spiffe://…`, `dns:…`, `name:…`, `acme:ACCOUNT`).
    pub identity: String,
    /// The operation, dotted from the general to the particular: `secrets.read`, `auth.login`.
    pub operation: String,
    /// The resource: a mount and path, one name of an order, the role of a login.
    pub resource: String,
    /// All other facts, by name (`address`, `role`, …). A name may occur several times.
    pub attributes: Vec<(String, String)>,
}

/// What the access policies allow, after merging every policy's answer to the strictest.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AccessGrant {
    /// Ceiling on the time-to-live of a result; none if no policy set one.
    pub max_ttl: Option<Duration>,
    /// For how long the decision may be reused; none if a policy wants to be asked every time.
    pub reuse: Option<Duration>,
    /// Conditions on the use of the result, by name and value. A caller that cannot fulfil one of
    /// them has to deny.
    pub obligations: BTreeSet<(String, String)>,
}

impl AccessGrant {
    /// The grant that satisfies both.
    pub(crate) fn strictest(self, other: Self) -> Self {
        let max_ttl = match (self.max_ttl, other.max_ttl) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (one, None) | (None, one) => one,
        };
        let reuse = self.reuse.zip(other.reuse).map(|(a, b)| a.min(b));
        let mut obligations = self.obligations;
        obligations.extend(other.obligations);
        Self { max_ttl, reuse, obligations }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ceilings_merge_to_the_lower_and_none_is_no_ceiling() {
        let grant = |seconds: Option<u64>| AccessGrant {
            max_ttl: seconds.map(Duration::from_secs),
            ..AccessGrant::default()
        };
        let cases = [
            (Some(1), Some(2), Some(1)),
            (Some(2), Some(1), Some(1)),
            (None, Some(3), Some(3)),
            (Some(3), None, Some(3)),
            (None, None, None),
        ];
        for (a, b, merged) in cases {
            assert_eq!(grant(a).strictest(grant(b)), grant(merged));
        }
    }

    #[test]
    fn a_decision_is_reused_only_if_all_allow_it_and_obligations_add_up() {
        let grant = |reuse: Option<u64>, obligation: &str| AccessGrant {
            reuse: reuse.map(Duration::from_secs),
            obligations: BTreeSet::from([(obligation.to_owned(), String::new())]),
            ..AccessGrant::default()
        };
        let both = grant(Some(5), "wrap").strictest(grant(Some(3), "read-once"));
        assert_eq!(both.reuse, Some(Duration::from_secs(3)));
        assert_eq!(both.obligations.len(), 2);
        assert_eq!(grant(Some(5), "wrap").strictest(grant(None, "wrap")).reuse, None);
    }
}
