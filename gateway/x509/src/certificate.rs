//! Parses X.509 certificates (RFC 5280 §4.1).

use const_oid::AssociatedOid;
use const_oid::db::rfc4519;
use der::asn1::{BitStringRef, IntRef, PrintableStringRef, Utf8StringRef};
use der::{AnyRef, Decode, Encode, Sequence};
use jiff::Timestamp;
use x509_cert::Version;
use x509_cert::attr::AttributeTypeAndValue;
use x509_cert::certificate::Raw;
use x509_cert::ext::Extension;
use x509_cert::ext::pkix::name::{DistributionPointName, GeneralName as DerName};
use x509_cert::ext::pkix::{
    AuthorityKeyIdentifier, BasicConstraints, CrlDistributionPoints,
    ExtendedKeyUsage as DerExtendedKeyUsage, KeyUsage as DerKeyUsage, SubjectAltName,
    SubjectKeyIdentifier,
};
use x509_cert::name::Name;
use x509_cert::time::Validity;

use crate::extensions::ExtensionError;
use crate::pem::{self, PemError};
use crate::signed::Signed;
use crate::{ExtendedKeyUsage, GeneralName, InvalidSignature, KeyError, KeyUsages};
use crate::{PublicKey, Serial, extensions, time};

/// A certificate (RFC 5280 §4.1) read from DER: one of ours, or one that a client presents. Parsing
/// says nothing about trust: the chain is verified elsewhere, or by
/// [`verify_signed_by`](Self::verify_signed_by).
#[derive(Debug, Clone)]
pub struct ParsedCertificate {
    der: Vec<u8>,
    serial: Serial,
    not_before: Timestamp,
    not_after: Timestamp,
    issuer_der: Vec<u8>,
    subject_der: Vec<u8>,
    subject_common_name: Option<String>,
    names: Vec<GeneralName>,
    other_names: usize,
    public_key: Result<PublicKey, KeyError>,
    subject_key_id: Option<String>,
    authority_key_id: Option<String>,
    constraints: Option<BasicConstraints>,
    key_usages: Option<KeyUsages>,
    extended_key_usages: Vec<ExtendedKeyUsage>,
    extensions: Vec<Extension>,
}

/// An extension as the certificate contains it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RawExtension<'a> {
    /// Whether software that does not understand it must refuse the certificate.
    pub critical: bool,
    /// The DER inside.
    pub value: &'a [u8],
}

/// Why a certificate cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CertificateError {
    /// The DER is broken.
    #[error("the certificate is not a DER X.509 certificate: {0}")]
    Malformed(der::Error),
    /// The two fields that name the signature's algorithm differ (RFC 5280 §4.1.1.2).
    #[error("the certificate names two different signature algorithms")]
    AlgorithmMismatch,
    /// An extension is malformed or appears twice.
    #[error("the certificate's extensions cannot be read: {0}")]
    Extension(#[from] ExtensionError),
    /// The serial number is negative or longer than 20 bytes (RFC 5280 §4.1.2.2).
    #[error("the certificate's serial number is negative or longer than 20 bytes")]
    Serial,
    /// A time that cannot be represented.
    #[error("the certificate's validity is not a possible time")]
    Validity,
    /// The text around the certificate is broken.
    #[error("{0}")]
    Pem(#[from] PemError),
}

/// `TBSCertificate` (RFC 5280 §4.1.2). The parts that must be kept byte for byte are not parsed.
#[derive(Sequence)]
pub(crate) struct TbsCertificate<'a> {
    #[asn1(context_specific = "0", tag_mode = "EXPLICIT", default = "Default::default")]
    pub(crate) version: Version,
    pub(crate) serial: IntRef<'a>,
    pub(crate) signature: AnyRef<'a>,
    pub(crate) issuer: AnyRef<'a>,
    pub(crate) validity: Validity<Raw>,
    pub(crate) subject: AnyRef<'a>,
    pub(crate) public_key: AnyRef<'a>,
    #[asn1(context_specific = "1", tag_mode = "IMPLICIT", optional = "true")]
    pub(crate) issuer_unique_id: Option<BitStringRef<'a>>,
    #[asn1(context_specific = "2", tag_mode = "IMPLICIT", optional = "true")]
    pub(crate) subject_unique_id: Option<BitStringRef<'a>>,
    #[asn1(context_specific = "3", tag_mode = "EXPLICIT", optional = "true")]
    pub(crate) extensions: Option<Vec<Extension>>,
}

impl ParsedCertificate {
    /// Reads a DER certificate.
    ///
    /// # Errors
    /// See [`CertificateError`]. A key of an unsupported kind is an error only in
    /// [`public_key`](Self::public_key).
    pub fn from_der(der: &[u8]) -> Result<Self, CertificateError> {
        let signed = Signed::from_der(der).map_err(CertificateError::Malformed)?;
        let tbs = TbsCertificate::from_der(signed.content).map_err(CertificateError::Malformed)?;
        if tbs.signature.to_der().ok().as_deref() != Some(signed.algorithm) {
            return Err(CertificateError::AlgorithmMismatch);
        }
        Self::from_parts(der, &tbs)
    }

    /// Reads the first certificate in a PEM text.
    ///
    /// # Errors
    /// There is no certificate in it, or it cannot be read.
    pub fn from_pem(text: &str) -> Result<Self, CertificateError> {
        let blocks = pem::decode(pem::CERTIFICATE, text)?;
        Self::from_der(blocks.first().map(Vec::as_slice).unwrap_or_default())
    }

    fn from_parts(der: &[u8], tbs: &TbsCertificate<'_>) -> Result<Self, CertificateError> {
        let malformed = CertificateError::Malformed;
        let subject_der = tbs.subject.to_der().map_err(malformed)?;
        let subject = Name::from_der(&subject_der).map_err(malformed)?;
        let spki = tbs.public_key.to_der().map_err(malformed)?;
        let list = tbs.extensions.as_deref().unwrap_or_default();
        let alternative = find::<SubjectAltName>(list)?;
        let (names, others) =
            alternative.as_ref().map(extensions::alternative_names).unwrap_or_default();
        let key_purposes = find::<DerExtendedKeyUsage>(list)?.map(|found| found.0);
        Ok(Self {
            der: der.to_vec(),
            serial: serial(tbs.serial.as_bytes())?,
            not_before: time::from_der(&tbs.validity.not_before)
                .ok_or(CertificateError::Validity)?,
            not_after: time::from_der(&tbs.validity.not_after).ok_or(CertificateError::Validity)?,
            issuer_der: tbs.issuer.to_der().map_err(malformed)?,
            subject_der,
            subject_common_name: common_names(&subject).flatten().last(),
            names,
            other_names: others.len(),
            public_key: PublicKey::from_spki_der(&spki),
            subject_key_id: find::<SubjectKeyIdentifier>(list)?
                .map(|id| hex::encode(id.0.as_bytes())),
            authority_key_id: find::<AuthorityKeyIdentifier>(list)?
                .and_then(|id| id.key_identifier)
                .map(|id| hex::encode(id.as_bytes())),
            constraints: find::<BasicConstraints>(list)?,
            key_usages: find::<DerKeyUsage>(list)?.map(KeyUsages::from_der),
            extended_key_usages: key_purposes
                .unwrap_or_default()
                .into_iter()
                .filter_map(ExtendedKeyUsage::from_oid)
                .collect(),
            extensions: list.to_vec(),
        })
    }

    /// The certificate itself.
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    /// The serial number.
    pub fn serial(&self) -> &Serial {
        &self.serial
    }

    /// First moment of validity.
    pub fn not_before(&self) -> Timestamp {
        self.not_before
    }

    /// Last second of validity, inclusive (RFC 5280 §4.1.2.5).
    pub fn not_after(&self) -> Timestamp {
        self.not_after
    }

    /// The DER of the issuer's name.
    pub fn issuer_der(&self) -> &[u8] {
        &self.issuer_der
    }

    /// The DER of the subject's name.
    pub fn subject_der(&self) -> &[u8] {
        &self.subject_der
    }

    /// The subject's common name, the last one if there are several.
    pub fn subject_common_name(&self) -> Option<&str> {
        self.subject_common_name.as_deref()
    }

    /// The subject alternative names of the four kinds of [`GeneralName`], in order. They are not
    /// checked; DNS names are in lower case.
    pub fn names(&self) -> &[GeneralName] {
        &self.names
    }

    /// How many subject alternative names of other kinds there are.
    pub fn other_names(&self) -> usize {
        self.other_names
    }

    /// The key.
    ///
    /// # Errors
    /// It is of a kind that is not supported here.
    pub fn public_key(&self) -> Result<&PublicKey, &KeyError> {
        self.public_key.as_ref()
    }

    /// The subject key identifier in lower-case hex, if there is one.
    pub fn subject_key_id(&self) -> Option<&str> {
        self.subject_key_id.as_deref()
    }

    /// The authority key identifier in lower-case hex, if there is one.
    pub fn authority_key_id(&self) -> Option<&str> {
        self.authority_key_id.as_deref()
    }

    /// Whether the authority key identifier can stand for `issuer` (RFC 5280 §4.2.1.1): by its key
    /// identifier, and by the name and serial number of its own certificate's issuer, as far as these
    /// are there. Without the extension every issuer can.
    pub fn names_as_issuer(&self, issuer: &Self) -> bool {
        let Ok(Some(id)) = find::<AuthorityKeyIdentifier>(&self.extensions) else {
            // The extension could be read before, so there is none.
            return true;
        };
        let key = id.key_identifier.is_none_or(|id| {
            issuer.subject_key_id().is_none_or(|other| other == hex::encode(id.as_bytes()))
        });
        let serial = id.authority_cert_serial_number.is_none_or(|number| {
            Serial::from_be_bytes(number.as_bytes()).is_ok_and(|number| number == issuer.serial)
        });
        let names = id.authority_cert_issuer.unwrap_or_default();
        let mut directories = names.iter().filter_map(|name| match name {
            DerName::DirectoryName(name) => name.to_der().ok(),
            _ => None,
        });
        key && serial && directories.next().is_none_or(|name| name == issuer.issuer_der)
    }

    /// Where its issuer's CRLs are (RFC 5280 §4.2.1.13), as far as they have URLs.
    pub fn crl_urls(&self) -> Vec<String> {
        let points = find::<CrlDistributionPoints>(&self.extensions).ok().flatten();
        let names = points.into_iter().flat_map(|points| points.0).filter_map(|point| {
            let DistributionPointName::FullName(names) = point.distribution_point? else {
                return None;
            };
            Some(names)
        });
        let urls = names.flatten().filter_map(|name| match name {
            DerName::UniformResourceIdentifier(url) => Some(url.as_str().to_owned()),
            _ => None,
        });
        urls.collect()
    }

    /// The object identifiers of the critical extensions: software that does not understand one must
    /// refuse the certificate.
    pub fn critical_extensions(&self) -> impl Iterator<Item = String> {
        let critical = self.extensions.iter().filter(|extension| extension.critical);
        critical.map(|extension| extension.extn_id.to_string())
    }

    /// Whether basic constraints say that this is a CA's certificate.
    pub fn is_ca(&self) -> bool {
        self.constraints.as_ref().is_some_and(|constraints| constraints.ca)
    }

    /// How many further CAs may follow in a chain, if limited.
    pub fn path_length(&self) -> Option<u8> {
        self.constraints.as_ref().and_then(|constraints| constraints.path_len_constraint)
    }

    /// The key usages; none if the extension is missing, which allows all.
    pub fn key_usages(&self) -> Option<KeyUsages> {
        self.key_usages
    }

    /// The extended key usages known here.
    pub fn extended_key_usages(&self) -> &[ExtendedKeyUsage] {
        &self.extended_key_usages
    }

    /// The extension with this object identifier (`1.3.6.1.5.5.7.1.31`); none if there is none, or if
    /// there are several, which RFC 5280 §4.2 forbids.
    pub fn extension(&self, oid: &str) -> Option<RawExtension<'_>> {
        let mut all = self.extensions.iter().filter(|one| one.extn_id.to_string() == oid);
        let (only, None) = (all.next()?, all.next()) else { return None };
        Some(RawExtension { critical: only.critical, value: only.extn_value.as_bytes() })
    }

    /// Whether there is an extension with this object identifier.
    pub fn has_extension(&self, oid: &str) -> bool {
        self.extensions.iter().any(|one| one.extn_id.to_string() == oid)
    }

    pub(crate) fn extensions(&self) -> &[Extension] {
        &self.extensions
    }

    /// Verifies that this certificate was signed with the private half of `key`. Looks at nothing
    /// else: no names, dates or constraints.
    ///
    /// # Errors
    /// The signature does not verify.
    pub fn verify_signed_by(&self, key: &PublicKey) -> Result<(), InvalidSignature> {
        let signed = Signed::from_der(&self.der).map_err(|_| InvalidSignature)?;
        key.verify_identified(signed.algorithm, signed.content, signed.signature)
    }
}

/// The values of a name's common names; none for one in an encoding other than UTF-8 or printable.
pub(crate) fn common_names(name: &Name) -> impl Iterator<Item = Option<String>> {
    name.iter().filter(|attribute| attribute.oid == rfc4519::COMMON_NAME).map(text_of)
}

/// The value of an attribute; none if it is in an encoding other than UTF-8 or printable.
pub(crate) fn text_of(attribute: &AttributeTypeAndValue) -> Option<String> {
    let value = attribute.value.to_ref();
    let text = value.decode_as::<Utf8StringRef<'_>>().map(|s| s.as_str().to_owned());
    text.or_else(|_| value.decode_as::<PrintableStringRef<'_>>().map(|s| s.as_str().to_owned()))
        .ok()
}

fn find<'a, T>(list: &'a [Extension]) -> Result<Option<T>, CertificateError>
where
    T: AssociatedOid + Decode<'a, Error = der::Error>,
{
    Ok(extensions::find::<T>(list)?.map(|(_, value)| value))
}

fn serial(bytes: &[u8]) -> Result<Serial, CertificateError> {
    if bytes.first().is_some_and(|first| first & 0x80 != 0) {
        return Err(CertificateError::Serial);
    }
    Serial::from_be_bytes(bytes).map_err(|_| CertificateError::Serial)
}
