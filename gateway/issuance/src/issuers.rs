//! The configured issuers, by name.

use std::collections::BTreeMap;
use std::sync::Arc;

use chancery_ca::Ca;
use chancery_upstream::AcmeUpstream;
use chancery_x509::Serial;

use crate::SshIssuer;

/// The CAs from which policy chooses by name.
#[derive(Clone)]
pub struct Issuers {
    /// The private CA, chosen by the name `private`.
    pub private: Arc<Ca>,
    /// Further private CAs, each chosen by [its name](Ca::name).
    pub further: Vec<Arc<Ca>>,
    /// The CA for SSH, if there is one.
    pub ssh: Option<SshIssuer>,
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
        let private = if name == Self::PRIVATE {
            Some(&self.private)
        } else {
            self.further.iter().find(|ca| ca.name() == name)
        };
        let upstream = || self.upstreams.get(name).cloned().map(Issuer::Upstream);
        let issuer = private.cloned().map(Issuer::Private).or_else(upstream);
        let issuer = issuer.ok_or_else(|| UnknownIssuer(name.to_owned()))?;
        Ok((name.to_owned(), issuer))
    }

    pub(crate) fn is_revoked(&self, authority_key_id: &str, serial: &str) -> bool {
        let serial = serial.parse::<Serial>();
        serial.is_ok_and(|serial| {
            self.all_private().any(|ca| ca.is_revoked(authority_key_id, &serial))
        })
    }

    pub(crate) fn all_private(&self) -> impl Iterator<Item = &Arc<Ca>> {
        std::iter::once(&self.private).chain(&self.further)
    }
}

impl std::fmt::Debug for Issuers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Issuers")
            .field("private", &self.private.issuer_id())
            .field("further", &self.further)
            .field("ssh", &self.ssh)
            .field("upstreams", &self.upstreams)
            .field("default", &self.default)
            .finish()
    }
}
