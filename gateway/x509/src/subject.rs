use const_oid::ObjectIdentifier;
use const_oid::db::rfc4519;
use der::asn1::{Any, SetOfVec, Utf8StringRef};
use x509_cert::attr::AttributeTypeAndValue;
use x509_cert::name::{Name, RdnSequence, RelativeDistinguishedName};

/// A distinguished name as issued here: possibly an organisation, possibly a common name, nothing
/// else (RFC 5280 §4.1.2.6). Leaves have a common name at most.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Subject {
    /// The organisation, at most 64 characters (RFC 5280 §A.1, ub-organization-name).
    pub organization: Option<String>,
    /// The common name, at most 64 characters (RFC 5280 §A.1, ub-common-name).
    pub common_name: Option<String>,
}

impl Subject {
    /// A subject with a common name only, or an empty one.
    pub fn common_name(name: Option<String>) -> Self {
        Self { organization: None, common_name: name }
    }

    pub(crate) fn to_name(&self) -> der::Result<Name> {
        let attributes = [
            (rfc4519::ORGANIZATION_NAME, self.organization.as_deref()),
            (rfc4519::COMMON_NAME, self.common_name.as_deref()),
        ];
        let relative = attributes
            .into_iter()
            .filter_map(|(oid, value)| value.map(|value| relative_name(oid, value)))
            .collect::<der::Result<Vec<_>>>()?;
        Ok(Name::hazmat_from_rdn_sequence(RdnSequence::from(relative)))
    }
}

fn relative_name(oid: ObjectIdentifier, value: &str) -> der::Result<RelativeDistinguishedName> {
    let value = Any::encode_from(&Utf8StringRef::new(value)?)?;
    Ok(RelativeDistinguishedName::from(SetOfVec::try_from(vec![AttributeTypeAndValue {
        oid,
        value,
    }])?))
}
