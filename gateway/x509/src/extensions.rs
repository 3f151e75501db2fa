//! Finds, decodes and encodes X.509 extensions (RFC 5280 §4.2), and converts subject alternative names.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use const_oid::{AssociatedOid, ObjectIdentifier};
use der::asn1::{Ia5String, OctetString};
use der::{Decode, Encode};
use x509_cert::ext::Extension;
use x509_cert::ext::pkix::SubjectAltName;
use x509_cert::ext::pkix::name::GeneralName as DerName;

use crate::GeneralName;

/// Why an extension cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ExtensionError {
    /// An extension may appear once (RFC 5280 §4.2).
    #[error("the extension {0} appears more than once")]
    Duplicate(ObjectIdentifier),
    /// The contents are not what the extension's definition says.
    #[error("the extension {oid} is malformed: {reason}")]
    Malformed {
        /// Which extension.
        oid: ObjectIdentifier,
        /// What is wrong with it.
        reason: der::Error,
    },
}

/// The extension of this type and whether it is critical.
pub(crate) fn find<'a, T>(extensions: &'a [Extension]) -> Result<Option<(bool, T)>, ExtensionError>
where
    T: AssociatedOid + Decode<'a, Error = der::Error>,
{
    let mut matching = extensions.iter().filter(|extension| extension.extn_id == T::OID);
    let Some(found) = matching.next() else { return Ok(None) };
    if matching.next().is_some() {
        return Err(ExtensionError::Duplicate(T::OID));
    }
    match T::from_der(found.extn_value.as_bytes()) {
        Ok(value) => Ok(Some((found.critical, value))),
        Err(reason) => Err(ExtensionError::Malformed { oid: T::OID, reason }),
    }
}

pub(crate) fn encode<T: AssociatedOid + Encode>(
    critical: bool,
    value: &T,
) -> der::Result<Extension> {
    Ok(Extension { extn_id: T::OID, critical, extn_value: OctetString::new(value.to_der()?)? })
}

/// The subject alternative names of the kinds known here as they stand (DNS names lowered, nothing
/// checked), and the kinds of the others.
pub(crate) fn alternative_names(decoded: &SubjectAltName) -> (Vec<GeneralName>, Vec<&'static str>) {
    let mut names = Vec::new();
    let mut others = Vec::new();
    for name in &decoded.0 {
        match name {
            DerName::DnsName(text) => {
                names.push(GeneralName::Dns(text.as_str().to_ascii_lowercase()));
            }
            DerName::UniformResourceIdentifier(text) => {
                names.push(GeneralName::Uri(text.as_str().to_owned()));
            }
            DerName::Rfc822Name(text) => names.push(GeneralName::Email(text.as_str().to_owned())),
            DerName::IpAddress(bytes) => match ip_address(bytes.as_bytes()) {
                Some(address) => names.push(GeneralName::ip(address)),
                None => others.push("an IP address of neither 4 nor 16 bytes"),
            },
            DerName::OtherName(_) => others.push("otherName"),
            DerName::DirectoryName(_) => others.push("directoryName"),
            DerName::EdiPartyName(_) => others.push("ediPartyName"),
            DerName::RegisteredId(_) => others.push("registeredID"),
        }
    }
    (names, others)
}

pub(crate) fn der_name(name: &GeneralName) -> der::Result<DerName> {
    Ok(match name {
        GeneralName::Dns(text) => DerName::DnsName(Ia5String::new(text)?),
        GeneralName::Uri(text) => DerName::UniformResourceIdentifier(Ia5String::new(text)?),
        GeneralName::Email(text) => DerName::Rfc822Name(Ia5String::new(text)?),
        GeneralName::Ip(address) => DerName::IpAddress(match address.to_canonical() {
            IpAddr::V4(v4) => OctetString::new(v4.octets())?,
            IpAddr::V6(v6) => OctetString::new(v6.octets())?,
        }),
    })
}

fn ip_address(bytes: &[u8]) -> Option<IpAddr> {
    if let Ok(v4) = <[u8; 4]>::try_from(bytes) {
        return Some(Ipv4Addr::from(v4).into());
    }
    <[u8; 16]>::try_from(bytes).ok().map(|v6| Ipv6Addr::from(v6).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mapped_ipv4_address_is_read_and_written_as_the_ipv4_address() {
        let mapped = [[0; 10].as_slice(), &[0xff, 0xff, 192, 0, 2, 1]].concat();
        let name = DerName::IpAddress(OctetString::new(mapped).unwrap());
        let (names, others) = alternative_names(&SubjectAltName(vec![name]));
        assert_eq!(names, [GeneralName::Ip("192.0.2.1".parse().unwrap())]);
        assert!(others.is_empty());
        let made_otherwise = GeneralName::Ip("::ffff:192.0.2.1".parse().unwrap());
        let DerName::IpAddress(bytes) = der_name(&made_otherwise).unwrap() else { panic!() };
        assert_eq!(bytes.as_bytes(), [192, 0, 2, 1]);
    }
}
