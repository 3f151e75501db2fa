//! The subject of a request. Requests are read more generously than certificates: what the old string
//! types say is clear, and the certificate gets it in UTF-8.

use der::{Encode, Tag, Tagged};
use x509_cert::attr::AttributeTypeAndValue;
use x509_cert::name::Name;

use super::CsrError;
use crate::SubjectAttribute;

/// The common name; none if there is none, or an empty one.
pub(super) fn common_name(subject: &Name) -> Result<Option<String>, CsrError> {
    let mut found = subject.iter().filter(|attribute| {
        SubjectAttribute::from_oid(attribute.oid) == Some(SubjectAttribute::CommonName)
    });
    let Some(first) = found.next() else { return Ok(None) };
    if found.next().is_some() {
        return Err(CsrError::SeveralCommonNames);
    }
    let text = text_of(first).ok_or(CsrError::CommonName)?;
    Ok(Some(text).filter(|text| !text.is_empty()))
}

/// An attribute's short name (RFC 4519) or object identifier, and its value.
pub(super) fn shown(attribute: &AttributeTypeAndValue) -> (String, String) {
    let name = match SubjectAttribute::from_oid(attribute.oid) {
        Some(known) => known.short_name().to_owned(),
        None => attribute.oid.to_string(),
    };
    let value = text_of(attribute).unwrap_or_else(|| {
        format!("#{}", hex::encode(attribute.value.to_der().unwrap_or_default()))
    });
    (name, value)
}

/// The text of a value in one of the string types of RFC 5280 §A.1 (`DirectoryString`, `IA5String`). As
/// everybody does, PrintableString may have any ASCII (a `*`, say), and TeletexString is read as Latin-1.
fn text_of(attribute: &AttributeTypeAndValue) -> Option<String> {
    let bytes = attribute.value.value();
    match attribute.value.tag() {
        Tag::Utf8String => Some(std::str::from_utf8(bytes).ok()?.to_owned()),
        Tag::PrintableString | Tag::Ia5String if bytes.is_ascii() => {
            Some(std::str::from_utf8(bytes).ok()?.to_owned())
        }
        Tag::TeletexString => Some(bytes.iter().copied().map(char::from).collect()),
        Tag::BmpString => {
            let (pairs, []) = bytes.as_chunks::<2>() else { return None };
            // The Basic Multilingual Plane has no surrogates, which stand for characters outside of it.
            pairs.iter().map(|pair| char::from_u32(u16::from_be_bytes(*pair).into())).collect()
        }
        _ => None,
    }
}
