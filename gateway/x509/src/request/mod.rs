//! Parses PKCS#10 certification requests (RFC 2986) and verifies their signatures.

mod error;
mod subject;
mod template;

pub use error::CsrError;
pub use template::RequestTemplate;

use std::collections::BTreeSet;

use const_oid::AssociatedOid;
use der::asn1::{Any, ObjectIdentifier, SetOfVec};
use der::{AnyRef, Decode, Encode, Sequence, ValueOrd};
use x509_cert::ext::Extension;
use x509_cert::ext::pkix::{BasicConstraints, SubjectAltName};
use x509_cert::name::Name;
use x509_cert::request::ExtensionReq;

use crate::extensions::ExtensionError;
use crate::signed::Signed;
use crate::{GeneralName, InvalidName, KeyAlgorithm, PublicKey, extensions, weak_key};

/// A PKCS#10 certification request (RFC 2986) whose signature verified: the sender holds the key.
///
/// What it asks for beside the key and the names (other subject attributes, key usages, extensions)
/// is for policy to look at, as it stands.
#[derive(Debug, Clone)]
pub struct CertificateRequest {
    der: Vec<u8>,
    public_key: PublicKey,
    common_name: Option<String>,
    subject: Vec<(String, String)>,
    names: Vec<GeneralName>,
    extensions: Vec<RequestedExtension>,
}

/// An extension that a request asks for, as it stands there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestedExtension {
    /// Its object identifier in dotted form.
    pub oid: String,
    /// Whether it shall be critical.
    pub critical: bool,
    /// The DER of its value.
    pub value: Vec<u8>,
}

/// The only version that there is, `v1(0)` (RFC 2986 §4.1).
const VERSION: u8 = 0;
/// The versions that libraries wrote by mistake, and that clients with them still write: certbot before 1.28
/// and Ruby's `acme-client` 2.0.9 ask for 2, as if it were a certificate. Nothing depends on it.
const MISTAKEN_VERSIONS: std::ops::RangeInclusive<u8> = 1..=2;

/// `CertificationRequestInfo` (RFC 2986 §4.1). The attributes, which the RFC requires, may be absent:
/// old clients leave out the empty set.
#[derive(Sequence)]
struct Info<'a> {
    version: u8,
    subject: Name,
    public_key: AnyRef<'a>,
    #[asn1(context_specific = "0", tag_mode = "IMPLICIT", optional = "true")]
    attributes: Option<SetOfVec<Attribute>>,
}

/// RFC 2986 §4.1.
#[derive(Clone, Debug, PartialEq, Eq, Sequence, ValueOrd)]
struct Attribute {
    oid: ObjectIdentifier,
    values: SetOfVec<Any>,
}

impl CertificateRequest {
    /// The longest request that is looked at, in bytes: 64 KiB.
    pub const MAX_LENGTH: usize = 64 * 1024;

    /// Parses a DER request and verifies its signature.
    ///
    /// # Errors
    /// See [`CsrError`]. RSA keys below 2,048 bits are refused here; other weak keys are found by
    /// [`PublicKey::check_strength`].
    pub fn from_der(der: &[u8]) -> Result<Self, CsrError> {
        let (request, asks_for_ca) = Self::read(der)?;
        if asks_for_ca { Err(CsrError::AsksForCa) } else { Ok(request) }
    }

    /// The same for the request of a CA, which may ask for a CA certificate: the CA that certifies it decides
    /// what it becomes.
    ///
    /// # Errors
    /// Those of [`from_der`](Self::from_der), but for [`CsrError::AsksForCa`].
    pub fn of_ca_from_der(der: &[u8]) -> Result<Self, CsrError> {
        Self::read(der).map(|(request, _)| request)
    }

    /// A request, and whether it asks for a CA certificate.
    fn read(der: &[u8]) -> Result<(Self, bool), CsrError> {
        if der.len() > Self::MAX_LENGTH {
            return Err(CsrError::TooLong(der.len()));
        }
        let signed = Signed::from_der(der).map_err(CsrError::Malformed)?;
        let info = Info::from_der(signed.content).map_err(CsrError::Malformed)?;
        if info.version != VERSION && !MISTAKEN_VERSIONS.contains(&info.version) {
            return Err(CsrError::Version(info.version));
        }
        let spki = info.public_key.to_der().map_err(CsrError::Malformed)?;
        let public_key = PublicKey::from_spki_der(&spki)?;
        if let KeyAlgorithm::Rsa { bits } = public_key.algorithm() {
            weak_key::check_rsa_size(bits)?;
        }
        public_key
            .verify_identified(signed.algorithm, signed.content, signed.signature)
            .map_err(|_| CsrError::Signature)?;
        let requested = requested_extensions(&info)?;
        let constraints = extensions::find::<BasicConstraints>(&requested)?;
        let request = Self {
            der: der.to_vec(),
            public_key,
            common_name: subject::common_name(&info.subject)?,
            subject: info.subject.iter().map(subject::shown).collect(),
            names: names(&requested)?,
            extensions: others(&requested)?,
        };
        Ok((request, constraints.is_some_and(|(_, found)| found.ca)))
    }

    /// What kind of key a DER request is for, without verifying anything: whether
    /// [`from_der`](Self::from_der) will take long ([`KeyAlgorithm::is_expensive`]). None if it is no request,
    /// or the key is of a kind not supported here.
    pub fn key_algorithm_in(der: &[u8]) -> Option<KeyAlgorithm> {
        let signed = Signed::from_der(der).ok().filter(|_| der.len() <= Self::MAX_LENGTH)?;
        let info = Info::from_der(signed.content).ok()?;
        PublicKey::algorithm_in(&info.public_key.to_der().ok()?)
    }

    /// The request itself.
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    /// The key to certify. That the sender holds it is proven; that it is strong is not.
    pub fn public_key(&self) -> &PublicKey {
        &self.public_key
    }

    /// The subject's common name as it stands in the request; none if it is empty or missing.
    pub fn common_name(&self) -> Option<&str> {
        self.common_name.as_deref()
    }

    /// The subject's attributes in their order: the short names of RFC 4519 (`C`, `ST`, `L`, `O`,
    /// `OU`, `CN`) or else the object identifiers, with their values. A value that is no text is shown as
    /// `#` and its DER in hex (RFC 4514 §2.4).
    pub fn subject(&self) -> &[(String, String)] {
        &self.subject
    }

    /// The extensions asked for, but the subject alternative names, in the request's order. Each
    /// appears once.
    pub fn extensions(&self) -> &[RequestedExtension] {
        &self.extensions
    }

    /// The subject alternative names in the request's order, checked, without repetitions.
    pub fn names(&self) -> &[GeneralName] {
        &self.names
    }

    /// All names that are asked for: the subject alternative names and the common name, read as an
    /// address or a DNS name. RFC 8555 §7.4 lets clients put names in either place.
    ///
    /// # Errors
    /// The common name is neither an address nor a DNS name.
    pub fn requested_names(&self) -> Result<BTreeSet<GeneralName>, InvalidName> {
        let mut all: BTreeSet<_> = self.names.iter().cloned().collect();
        if let Some(name) = self.common_name() {
            all.insert(match name.parse() {
                Ok(address) => GeneralName::ip(address),
                Err(_) => GeneralName::dns(name)?,
            });
        }
        Ok(all)
    }
}

fn requested_extensions(info: &Info<'_>) -> Result<Vec<Extension>, CsrError> {
    let attributes = info.attributes.iter().flat_map(SetOfVec::iter);
    let mut requests = attributes.filter(|attribute| attribute.oid == ExtensionReq::OID);
    let Some(request) = requests.next() else { return Ok(Vec::new()) };
    let mut values = request.values.iter();
    let (Some(value), None, None) = (values.next(), values.next(), requests.next()) else {
        return Err(CsrError::SeveralExtensionRequests);
    };
    let ExtensionReq(extensions) = value.decode_as().map_err(CsrError::Malformed)?;
    Ok(extensions)
}

fn names(requested: &[Extension]) -> Result<Vec<GeneralName>, CsrError> {
    let Some((_, decoded)) = extensions::find::<SubjectAltName>(requested)? else {
        return Ok(Vec::new());
    };
    let (found, others) = extensions::alternative_names(&decoded);
    if let Some(kind) = others.first() {
        return Err(CsrError::UnsupportedName(kind));
    }
    let mut seen = BTreeSet::new();
    let mut names = Vec::with_capacity(found.len());
    for name in found {
        let checked = GeneralName::from_parts(name.kind(), &name.value())?;
        if seen.insert(checked.clone()) {
            names.push(checked);
        }
    }
    Ok(names)
}

fn others(requested: &[Extension]) -> Result<Vec<RequestedExtension>, CsrError> {
    let mut seen = BTreeSet::new();
    if let Some(twice) = requested.iter().find(|one| !seen.insert(one.extn_id)) {
        return Err(ExtensionError::Duplicate(twice.extn_id).into());
    }
    let others = requested.iter().filter(|one| one.extn_id != SubjectAltName::OID);
    Ok(others
        .map(|one| RequestedExtension {
            oid: one.extn_id.to_string(),
            critical: one.critical,
            value: one.extn_value.as_bytes().to_vec(),
        })
        .collect())
}

#[cfg(test)]
mod tests;
