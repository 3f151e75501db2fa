//! What a certificate of a ceremony would be, before anything is signed.

use chancery_x509::{KeyAlgorithm, Kind, NameConstraints, SubjectAttribute, Template};
use jiff::Timestamp;

/// A certificate that would be made. It has no serial number yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Preview {
    /// The subject's common name.
    pub subject: String,
    /// First moment of validity.
    pub not_before: Timestamp,
    /// Last second of validity.
    pub not_after: Timestamp,
    /// The kind of key.
    pub key: KeyAlgorithm,
    /// How many CAs may stand below it; no limit if none.
    pub path_length: Option<u8>,
    /// Which names may stand in certificates below it.
    pub name_constraints: NameConstraints,
}

impl Preview {
    pub(super) fn of(template: &Template) -> Self {
        Self {
            subject: template
                .subject
                .get(SubjectAttribute::CommonName)
                .unwrap_or_default()
                .to_owned(),
            not_before: second(template.not_before),
            not_after: second(template.not_after),
            key: template.public_key.algorithm(),
            path_length: match template.kind {
                Kind::Ca { path_length } => path_length,
                Kind::Leaf => Some(0),
            },
            name_constraints: template.name_constraints.clone(),
        }
    }
}

/// Certificates have no fractions of seconds.
fn second(time: Timestamp) -> Timestamp {
    Timestamp::from_second(time.as_second()).unwrap_or(time)
}
