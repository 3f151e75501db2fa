use std::collections::BTreeMap;
use std::sync::Arc;

use chancery_ca::Ca;
use chancery_upstream::AcmeUpstream;
use chancery_x509::Serial;

/// The CAs from which policy chooses by name.
#[derive(Clone)]
pub struct Issuers {
    /// The private CA, chosen by the name `private`.
    pub private: Arc<Ca>,
    /// Other CAs by name.
    pub upstreams: BTreeMap<String, Arc<AcmeUpstream>>,
    /// The name of the one that issues when policy does not choose.
    pub default: String,
}

/// There is no issuer with the name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("there is no issuer `{0}` in the configuration")]
pub struct UnknownIssuer(pub String);

/// One of the issuers.
#[derive(Clone)]
pub(crate) enum Issuer {
    Private(Arc<Ca>),
    Upstream(Arc<AcmeUpstream>),
}

impl Issuers {
    /// The name of the private CA.
    pub const PRIVATE: &'static str = "private";

    pub(crate) fn choose(&self, name: Option<&str>) -> Result<(String, Issuer), UnknownIssuer> {
        let name = name.unwrap_or(&self.default);
        let issuer = if name == Self::PRIVATE {
            Some(Issuer::Private(Arc::clone(&self.private)))
        } else {
            self.upstreams.get(name).map(|upstream| Issuer::Upstream(Arc::clone(upstream)))
        };
        let issuer = issuer.ok_or_else(|| UnknownIssuer(name.to_owned()))?;
        Ok((name.to_owned(), issuer))
    }

    pub(crate) fn is_revoked(&self, authority_key_id: &str, serial: &str) -> bool {
        authority_key_id == self.private.issuer_id()
            && serial.parse::<Serial>().is_ok_and(|serial| self.private.is_revoked(&serial))
    }
}

impl std::fmt::Debug for Issuers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Issuers")
            .field("private", &self.private.issuer_id())
            .field("upstreams", &self.upstreams)
            .field("default", &self.default)
            .finish()
    }
}
