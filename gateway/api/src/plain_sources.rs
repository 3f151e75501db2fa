//! Where the plain port gets what it serves.

use std::sync::Arc;

use bytes::Bytes;

use crate::OcspOutcome;
use crate::serving::Serves;

/// Finds something public by its id.
type Lookup<T> = Arc<dyn Fn(&str) -> Option<T> + Send + Sync>;

/// Answers requests about the issuer with an id.
type Responder = dyn Fn(&str, Bytes) -> Option<OcspOutcome> + Send + Sync;

/// Where the plain port gets what it serves. Closures, because the rooms that know (the CA, the
/// upstreams, the metrics recorder) are not this room's to import.
#[derive(Clone)]
pub struct PlainSources {
    /// The current CRL (DER) of the issuer with this id.
    pub crl: Lookup<Bytes>,
    /// The certificate (DER) of the issuer with this id.
    pub issuer: Lookup<Bytes>,
    /// The answer to an upstream CA's http-01 challenge with this token (RFC 8555 §8.3).
    pub challenge_response: Lookup<String>,
    /// The public key of the CA for SSH, `user-ca` or `host-ca`, as one line.
    pub ssh_ca: Lookup<String>,
    /// What is done with requests.
    pub serving: Serves,
    /// Answers an OCSP request (DER) about the issuer with this id; none if there is no responder for it.
    pub ocsp: Arc<Responder>,
}
