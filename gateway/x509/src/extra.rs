//! The extensions that a request may add: TLS features, OCSP no-check and certificate policies.

use std::collections::BTreeSet;
use std::str::FromStr;

use const_oid::{AssociatedOid, ObjectIdentifier};
use der::asn1::OctetString;
use der::{Decode, Encode};
use x509_cert::ext::Extension;
use x509_cert::ext::pkix::CertificatePolicies;
use x509_cert::ext::pkix::certpolicy::PolicyInformation;

/// TLS features (RFC 7633 §4).
pub(crate) const TLS_FEATURE: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.1.24");
/// id-pkix-ocsp-nocheck (RFC 6960 §4.2.2.2.1).
pub(crate) const OCSP_NO_CHECK: ObjectIdentifier =
    ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.48.1.5");
/// A SEQUENCE of one INTEGER: 5, `status_request` (RFC 7633 §6).
const STATUS_REQUEST: [u8; 5] = [0x30, 0x03, 0x02, 0x01, 0x05];
const NULL: [u8; 2] = [0x05, 0x00];
const ANY_POLICY: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.32.0");

/// An extension that may be asked for beyond those that every certificate has. All others are
/// refused: what an unknown extension says, nobody here could vouch for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum ExtraExtension {
    /// The server has to staple the answer of an OCSP responder (RFC 7633).
    MustStaple,
    /// The status of this OCSP signer's certificate is not to be checked (RFC 6960 §4.2.2.2.1). For
    /// certificates with the purpose `ocsp-signing` only.
    OcspNoCheck,
    /// The policies that the certificate was issued under, without qualifiers (RFC 5280 §4.2.1.4).
    Policies(Vec<PolicyId>),
}

/// The object identifier of a certificate policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct PolicyId(ObjectIdentifier);

/// Why an extension is not written into a certificate.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidExtra {
    /// It is none of [`ExtraExtension`].
    #[error(
        "the extension {0} is not written here; must-staple (1.3.6.1.5.5.7.1.24), ocsp-nocheck \
         (1.3.6.1.5.5.7.48.1.5) and certificate policies (2.5.29.32) are"
    )]
    Unknown(String),
    /// It has another value than it may have.
    #[error("the extension {oid} does not have the value {expected}")]
    Value {
        /// Which extension.
        oid: ObjectIdentifier,
        /// What it has to hold.
        expected: &'static str,
    },
    /// It is marked critical.
    #[error("the extension {0} must not be critical")]
    Critical(ObjectIdentifier),
}

impl std::fmt::Display for ExtraExtension {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::MustStaple => "must-staple",
            Self::OcspNoCheck => "ocsp-nocheck",
            Self::Policies(_) => "certificate-policies",
        })
    }
}

impl FromStr for PolicyId {
    type Err = const_oid::Error;

    fn from_str(text: &str) -> Result<Self, const_oid::Error> {
        text.parse().map(Self)
    }
}

impl ExtraExtension {
    /// Reads an extension from its parts: the identifier in dotted form and the DER of the value.
    ///
    /// # Errors
    /// It is none of those that are written here, or not as they are.
    pub fn from_parts(oid: &str, critical: bool, value: &[u8]) -> Result<Self, InvalidExtra> {
        let unknown = || InvalidExtra::Unknown(oid.to_owned());
        let oid: ObjectIdentifier = oid.parse().map_err(|_| unknown())?;
        let (extra, expected) = match oid {
            TLS_FEATURE => {
                ((value == STATUS_REQUEST).then_some(Self::MustStaple), "{status_request}")
            }
            OCSP_NO_CHECK => ((value == NULL).then_some(Self::OcspNoCheck), "NULL"),
            CertificatePolicies::OID => {
                (policies(value), "a list of policies without anyPolicy and qualifiers")
            }
            _ => return Err(unknown()),
        };
        if critical {
            return Err(InvalidExtra::Critical(oid));
        }
        extra.ok_or(InvalidExtra::Value { oid, expected })
    }

    pub(crate) fn is_one(oid: ObjectIdentifier) -> bool {
        [TLS_FEATURE, OCSP_NO_CHECK, CertificatePolicies::OID].contains(&oid)
    }

    pub(crate) fn to_extension(&self) -> der::Result<Extension> {
        let (extn_id, value) = match self {
            Self::MustStaple => (TLS_FEATURE, STATUS_REQUEST.to_vec()),
            Self::OcspNoCheck => (OCSP_NO_CHECK, NULL.to_vec()),
            Self::Policies(list) => {
                let list = list.iter().map(|policy| PolicyInformation {
                    policy_identifier: policy.0,
                    policy_qualifiers: None,
                });
                (CertificatePolicies::OID, CertificatePolicies(list.collect()).to_der()?)
            }
        };
        Ok(Extension { extn_id, critical: false, extn_value: OctetString::new(value)? })
    }
}

fn policies(value: &[u8]) -> Option<ExtraExtension> {
    let CertificatePolicies(list) = CertificatePolicies::from_der(value).ok()?;
    let usual = |one: &PolicyInformation| {
        one.policy_qualifiers.is_none() && one.policy_identifier != ANY_POLICY
    };
    let found: Vec<_> = list.iter().map(|one| PolicyId(one.policy_identifier)).collect();
    // RFC 5280 §4.2.1.4: no policy appears more than once.
    let distinct = found.iter().collect::<BTreeSet<_>>().len() == found.len();
    let possible = !list.is_empty() && distinct && list.iter().all(usual);
    possible.then_some(ExtraExtension::Policies(found))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_reads_back_as_it_was_written() {
        let policies = ["2.23.140.1.2.1", "1.3.6.1.4.1.99999.1"];
        let policies = policies.map(|one| one.parse().unwrap()).to_vec();
        for extra in [
            ExtraExtension::MustStaple,
            ExtraExtension::OcspNoCheck,
            ExtraExtension::Policies(policies),
        ] {
            let written = extra.to_extension().unwrap();
            assert!(ExtraExtension::is_one(written.extn_id));
            let (oid, value) = (written.extn_id.to_string(), written.extn_value.as_bytes());
            assert_eq!(ExtraExtension::from_parts(&oid, false, value), Ok(extra));
            let critical = ExtraExtension::from_parts(&oid, true, value).unwrap_err();
            assert_eq!(critical, InvalidExtra::Critical(written.extn_id));
        }
    }

    #[test]
    fn nothing_else_is_taken() {
        let refused = |oid: &str, value: &str| {
            ExtraExtension::from_parts(oid, false, &hex::decode(value).unwrap()).unwrap_err()
        };
        for (oid, value) in [
            // status_request_v2; two features; trailing bytes.
            ("1.3.6.1.5.5.7.1.24", "3003020111"),
            ("1.3.6.1.5.5.7.1.24", "3006020105020111"),
            ("1.3.6.1.5.5.7.1.24", "300302010500"),
            ("1.3.6.1.5.5.7.48.1.5", ""),
            // No policy at all, anyPolicy, a policy twice, a qualifier.
            ("2.5.29.32", "3000"),
            ("2.5.29.32", "300830060604551d2000"),
            ("2.5.29.32", "300c3004060227013004060227 01".replace(' ', "").as_str()),
            (
                "2.5.29.32",
                "301730150602270130 0f300d06082b0601050507020116 01".replace(' ', "").as_str(),
            ),
        ] {
            assert!(matches!(refused(oid, value), InvalidExtra::Value { .. }), "{oid} {value}");
        }
        for oid in ["2.5.29.19", "2.5.29.30", "1.2.3", "basicConstraints", ""] {
            assert!(matches!(refused(oid, "3000"), InvalidExtra::Unknown(_)), "{oid}");
        }
    }
}
