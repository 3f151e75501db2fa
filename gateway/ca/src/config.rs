//! The settings of a private CA.

use std::time::Duration;

use chancery_keys::KeyType;
use chancery_x509::Serial;

use crate::crl::{Scope, Shard};

/// How a private CA is made and where its CRL and certificates are published.
#[derive(Debug, Clone)]
pub struct CaConfig {
    /// Its name: 1 to 40 of `a-z`, `0-9` and `-`. Part of storage keys and of key names in a token.
    pub name: String,
    /// Who certifies the issuing CA; first start and ceremonies only.
    pub parent: Parent,
    /// The kind of both CA keys; first start and ceremonies only.
    pub key_type: KeyType,
    /// Common name of the root, 1 to 64 characters; first start only.
    pub root_common_name: String,
    /// Common name of the issuing CA, another one; first start only.
    pub issuing_common_name: String,
    /// How long the root is valid; first start only.
    pub root_validity: Duration,
    /// How long the issuing CA is valid, within the root's validity; first start only.
    pub issuing_validity: Duration,
    /// How long a CRL of the issuing CA is valid. A new one is made when half of that has passed, and
    /// after each revocation.
    pub crl_validity: Duration,
    /// Over how many CRLs the revocations of the issuing CA are spread, 1 to 1024. With more than one,
    /// new certificates name the one that they belong to; the complete CRL is published all the same.
    pub crl_shards: u32,
    /// How long a delta CRL is valid; none if there are to be no deltas.
    pub delta_crl_validity: Option<Duration>,
    /// Whether several gateways on the store have this CA: what one of them publishes, all of them publish, and so a
    /// CRL is made by one of them and kept in the store.
    pub shared: bool,
    /// Where CRLs will be fetched: `http://HOST:PORT/crl`, to which `/ID.crl` is added. May change
    /// between starts; certificates keep what they were issued with.
    pub crl_url_base: String,
    /// Where CA certificates will be fetched: `http://HOST:PORT/issuers`, to which `/ID.der` is added.
    pub issuer_url_base: String,
    /// Where the OCSP responder is: `http://HOST:PORT/ocsp`, to which `/ID` is added; none if there is
    /// none.
    pub ocsp_url_base: Option<String>,
}

/// Who certifies an issuing CA.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Parent {
    /// A root of its own, made on the first start.
    OwnRoot,
    /// Another CA: an offline root, or somebody else's. See [`Ceremony`](crate::Ceremony).
    Elsewhere,
}

impl CaConfig {
    /// Where the CRL with this name is: of a complete one, the key identifier of its CA.
    pub(crate) fn crl_url(&self, name: &str) -> String {
        Self::crl_url_at(&self.crl_url_base, name)
    }

    /// The same for another base.
    pub(crate) fn crl_url_at(base: &str, name: &str) -> String {
        format!("{base}/{name}.crl")
    }

    /// Where the issuing CA's CRL is that will list the certificate with this serial number.
    pub(crate) fn crl_url_of(&self, issuer: &str, serial: &Serial) -> String {
        let scope = match self.crl_shards {
            0 | 1 => Scope::Complete,
            several => Scope::Shard(Shard::of(serial, several)),
        };
        self.crl_url(&scope.name(issuer))
    }

    /// Where the OCSP responder of the CA with this key identifier is.
    pub(crate) fn ocsp_url(&self, id: &str) -> Option<String> {
        self.ocsp_url_base.as_ref().map(|base| format!("{base}/{id}"))
    }

    /// Where the certificate of the CA with this key identifier is.
    pub(crate) fn issuer_url(&self, id: &str) -> String {
        format!("{}/{id}.der", self.issuer_url_base)
    }
}
