//! Subject names and their attributes (RFC 5280 §4.1.2.6).

use std::str::FromStr;

use const_oid::ObjectIdentifier;
use const_oid::db::rfc4519;
use der::asn1::{Any, PrintableStringRef, SetOfVec, Utf8StringRef};
use x509_cert::attr::AttributeTypeAndValue;
use x509_cert::name::{Name, RdnSequence, RelativeDistinguishedName};

/// An attribute that subjects issued here may have (RFC 5280 §4.1.2.6), in the order in which they
/// stand in a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SubjectAttribute {
    /// `C`: two capital letters (ISO 3166).
    Country,
    /// `ST`: the state or province.
    State,
    /// `L`: the locality.
    Locality,
    /// `O`: the organization.
    Organization,
    /// `OU`: a unit of the organization; the only one that may stand more than once.
    OrganizationalUnit,
    /// `CN`: the common name.
    CommonName,
}

/// No attribute that subjects issued here may have.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is none of the attributes of a subject: C, ST, L, O, OU, CN")]
pub struct UnknownAttribute(String);

impl SubjectAttribute {
    pub(crate) const ALL: [Self; 6] = [
        Self::Country,
        Self::State,
        Self::Locality,
        Self::Organization,
        Self::OrganizationalUnit,
        Self::CommonName,
    ];

    /// The short name of RFC 4519: `CN`, `O`, ….
    pub fn short_name(self) -> &'static str {
        match self {
            Self::Country => "C",
            Self::State => "ST",
            Self::Locality => "L",
            Self::Organization => "O",
            Self::OrganizationalUnit => "OU",
            Self::CommonName => "CN",
        }
    }

    /// How many characters its value may have (the upper bounds of RFC 5280 §A.1).
    pub fn longest(self) -> usize {
        match self {
            Self::Country => 2,
            Self::State | Self::Locality => 128,
            Self::Organization | Self::OrganizationalUnit | Self::CommonName => 64,
        }
    }

    pub(crate) fn oid(self) -> ObjectIdentifier {
        match self {
            Self::Country => rfc4519::COUNTRY_NAME,
            Self::State => rfc4519::ST,
            Self::Locality => rfc4519::LOCALITY_NAME,
            Self::Organization => rfc4519::ORGANIZATION_NAME,
            Self::OrganizationalUnit => rfc4519::ORGANIZATIONAL_UNIT_NAME,
            Self::CommonName => rfc4519::COMMON_NAME,
        }
    }

    pub(crate) fn from_oid(oid: ObjectIdentifier) -> Option<Self> {
        Self::ALL.into_iter().find(|one| one.oid() == oid)
    }
}

impl FromStr for SubjectAttribute {
    type Err = UnknownAttribute;

    fn from_str(text: &str) -> Result<Self, UnknownAttribute> {
        let found = Self::ALL.into_iter().find(|one| one.short_name() == text);
        found.ok_or_else(|| UnknownAttribute(text.to_owned()))
    }
}

/// A distinguished name as issued here: attributes in the order of [`SubjectAttribute`], each in a
/// relative name of its own. That the values are possible ones is for
/// [lint](crate::lint::certificate) to see.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Subject(Vec<(SubjectAttribute, String)>);

impl Subject {
    /// A subject of these attributes, in whatever order they are given; empty values are left out.
    pub fn new(attributes: impl IntoIterator<Item = (SubjectAttribute, String)>) -> Self {
        let mut attributes: Vec<_> =
            attributes.into_iter().filter(|(_, value)| !value.is_empty()).collect();
        // Stable: several of a kind keep their order.
        attributes.sort_by_key(|(attribute, _)| *attribute);
        Self(attributes)
    }

    /// A subject with a common name only, or an empty one.
    pub fn common_name(name: Option<String>) -> Self {
        Self(name.map(|name| (SubjectAttribute::CommonName, name)).into_iter().collect())
    }

    /// The first value of an attribute.
    pub fn get(&self, wanted: SubjectAttribute) -> Option<&str> {
        let mut all = self.0.iter();
        all.find(|(attribute, _)| *attribute == wanted).map(|(_, value)| value.as_str())
    }

    /// The attributes in their order.
    pub fn iter(&self) -> impl Iterator<Item = (SubjectAttribute, &str)> {
        self.0.iter().map(|(attribute, value)| (*attribute, value.as_str()))
    }

    pub(crate) fn to_name(&self) -> der::Result<Name> {
        let relative = self
            .0
            .iter()
            .map(|(attribute, value)| relative_name(*attribute, value))
            .collect::<der::Result<Vec<_>>>()?;
        Ok(Name::hazmat_from_rdn_sequence(RdnSequence::from(relative)))
    }
}

fn relative_name(
    attribute: SubjectAttribute,
    value: &str,
) -> der::Result<RelativeDistinguishedName> {
    let value = match attribute {
        // RFC 5280 §A.1: X520countryName is a PrintableString.
        SubjectAttribute::Country => Any::encode_from(&PrintableStringRef::new(value)?)?,
        _ => Any::encode_from(&Utf8StringRef::new(value)?)?,
    };
    Ok(RelativeDistinguishedName::from(SetOfVec::try_from(vec![AttributeTypeAndValue {
        oid: attribute.oid(),
        value,
    }])?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_stand_in_one_order_and_units_in_their_own() {
        use SubjectAttribute::{CommonName, Country, Organization, OrganizationalUnit};
        let given = [
            (CommonName, "cn"),
            (OrganizationalUnit, "second"),
            (OrganizationalUnit, "a"),
            (Country, "DE"),
            (Organization, ""),
        ];
        let subject = Subject::new(given.map(|(one, value)| (one, value.to_owned())));
        let text = subject.to_name().unwrap().to_string();
        // RFC 4514 writes a name from its end.
        assert_eq!(text, "CN=cn,OU=a,OU=second,C=DE");
        assert_eq!(subject.get(OrganizationalUnit), Some("second"));
        assert_eq!(subject.get(Organization), None);
    }

    #[test]
    fn short_names_are_read_as_they_are_written() {
        for one in SubjectAttribute::ALL {
            assert_eq!(one.short_name().parse(), Ok(one));
            assert_eq!(SubjectAttribute::from_oid(one.oid()), Some(one));
        }
        assert!("cn".parse::<SubjectAttribute>().is_err());
    }

    #[test]
    fn a_country_that_is_no_printable_text_cannot_be_encoded() {
        let subject = Subject::new([(SubjectAttribute::Country, "Ü".to_owned())]);
        assert!(subject.to_name().is_err());
    }
}
