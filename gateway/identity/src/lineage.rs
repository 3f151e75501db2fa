//! The identifiers of a client certificate and of its CAs, for revocation checks.

use aws_lc_rs::digest::{Context, SHA256};
use serde::{Deserialize, Serialize};

use crate::Fingerprint;

/// How many distribution points of a certificate are kept, and the longest length of one.
const POINTS: (usize, usize) = (8, 512);

/// A CA by its name and key: the same in all of its certificates. Two CAs with the same name have different
/// ids.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct CaId(Fingerprint);

/// The identifiers of a certificate and of the CAs between it and the trusted one. Sources of revocation
/// data are asked about these.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lineage {
    /// The trusted CA.
    pub ca: CaId,
    /// The certificate itself first, and then those of the CAs above it, without the trusted CA's own.
    pub links: Vec<Link>,
}

/// One certificate of a [`Lineage`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Link {
    /// Who issued it.
    pub issuer: CaId,
    /// Serial number, lower-case hex without leading zeros.
    pub serial: String,
    /// Whether it is a CA's.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_ca: bool,
    /// The URLs of its CRL distribution points. The gateway fetches nothing from them: a CRL may be limited
    /// to certificates that name one of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub crl_points: Vec<String>,
}

impl CaId {
    /// The CA with this name and this `SubjectPublicKeyInfo`, both in DER.
    pub fn new(name_der: &[u8], spki_der: &[u8]) -> Self {
        let mut context = Context::new(&SHA256);
        context.update(&name_der.len().to_be_bytes());
        context.update(name_der);
        context.update(spki_der);
        let mut bytes = [0; 32];
        bytes.copy_from_slice(context.finish().as_ref());
        Self(Fingerprint::of_digest(bytes))
    }
}

impl Link {
    /// Adds these distribution points, if their number and length are within the limits.
    #[must_use]
    pub fn with_crl_points(mut self, mut points: Vec<String>) -> Self {
        let (most, longest) = POINTS;
        points.retain(|point| point.len() <= longest);
        points.truncate(most);
        self.crl_points = points;
        self
    }
}

impl std::fmt::Display for CaId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cas_of_one_name_or_of_one_key_are_told_apart() {
        let ids = [("a", "k"), ("a", "l"), ("b", "k"), ("ak", ""), ("", "ak")]
            .map(|(name, key)| CaId::new(name.as_bytes(), key.as_bytes()));
        for (at, one) in ids.iter().enumerate() {
            assert_eq!(ids.iter().position(|other| other == one), Some(at));
        }
    }

    #[test]
    fn what_a_ca_writes_into_certificates_is_kept_within_bounds() {
        let link = Link {
            issuer: CaId::new(b"a", b"k"),
            serial: "1".to_owned(),
            is_ca: false,
            crl_points: vec![],
        };
        let many = (0..100).map(|n| format!("http://a/{n}")).collect();
        assert_eq!(link.clone().with_crl_points(many).crl_points.len(), 8);
        assert!(link.with_crl_points(vec!["x".repeat(513)]).crl_points.is_empty());
    }
}
