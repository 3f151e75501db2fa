use std::collections::BTreeSet;

use const_oid::AssociatedOid;
use der::asn1::{Any, ObjectIdentifier, SetOfVec};
use der::{AnyRef, Decode, Encode, Sequence, ValueOrd};
use x509_cert::attr::AttributeTypeAndValue;
use x509_cert::ext::Extension;
use x509_cert::ext::pkix::{BasicConstraints, SubjectAltName};
use x509_cert::name::Name;
use x509_cert::request::{ExtensionReq, Version};

use crate::extensions::{ExtensionError, der_name, encode};
use crate::signed::Signed;
use crate::{
    BuildError, GeneralName, InvalidName, KeyAlgorithm, KeyError, PublicKey, SignatureAlgorithm,
    Subject, SubjectAttribute, ToBeSigned, WeakKey, certificate, extensions, weak_key,
};

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

/// Why a request is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CsrError {
    /// Longer than [`CertificateRequest::MAX_LENGTH`].
    #[error("the certificate request has {0} bytes, at most 65,536 are accepted")]
    TooLong(usize),
    /// The DER is broken.
    #[error("the certificate request is not a DER PKCS#10 request: {0}")]
    Malformed(der::Error),
    /// The key is not one that is supported here.
    #[error("the certificate request's key is not usable: {0}")]
    Key(#[from] KeyError),
    /// The key is too weak for its signature to be looked at.
    #[error("the certificate request's key is weak: {0}")]
    WeakKey(#[from] WeakKey),
    /// The signature does not verify with the key in the request, or uses SHA-1 or another algorithm
    /// that is not accepted.
    #[error(
        "the certificate request's signature does not verify with the key in it (SHA-256, SHA-384 \
         and SHA-512 are accepted)"
    )]
    Signature,
    /// More than one common name.
    #[error("the certificate request's subject has more than one common name")]
    SeveralCommonNames,
    /// A common name that is no text.
    #[error("the certificate request's common name is not encoded as UTF-8 or printable text")]
    CommonName,
    /// A subject alternative name of a kind that is not issued here.
    #[error("the certificate request asks for a subject alternative name of the kind {0}")]
    UnsupportedName(&'static str),
    /// A name that cannot be certified.
    #[error("the certificate request asks for an impossible name: {0}")]
    Name(#[from] InvalidName),
    /// A requested extension is malformed or appears twice.
    #[error("the certificate request's extensions cannot be read: {0}")]
    Extension(#[from] ExtensionError),
    /// There are several extension requests, or one with several values (RFC 2985 §5.4.2).
    #[error("the certificate request holds more than one extension request")]
    SeveralExtensionRequests,
    /// The request is for a CA certificate.
    #[error("the certificate request asks for a CA certificate")]
    AsksForCa,
}

/// What a request shall ask for.
#[derive(Debug, Clone)]
pub struct RequestTemplate {
    /// The key to certify, which also signs the request.
    pub public_key: PublicKey,
    /// The subject's common name; the subject is empty without.
    pub common_name: Option<String>,
    /// The subject alternative names.
    pub names: Vec<GeneralName>,
}

/// `CertificationRequestInfo` (RFC 2986 §4.1). The attributes, which the RFC requires, may be absent:
/// old clients leave out the empty set.
#[derive(Sequence)]
struct Info<'a> {
    version: Version,
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
        if der.len() > Self::MAX_LENGTH {
            return Err(CsrError::TooLong(der.len()));
        }
        let signed = Signed::from_der(der).map_err(CsrError::Malformed)?;
        let info = Info::from_der(signed.content).map_err(CsrError::Malformed)?;
        let spki = info.public_key.to_der().map_err(CsrError::Malformed)?;
        let public_key = PublicKey::from_spki_der(&spki)?;
        if let KeyAlgorithm::Rsa { bits } = public_key.algorithm() {
            weak_key::check_rsa_size(bits)?;
        }
        public_key
            .verify_identified(signed.algorithm, signed.content, signed.signature)
            .map_err(|_| CsrError::Signature)?;
        let requested = requested_extensions(&info)?;
        if extensions::find::<BasicConstraints>(&requested)?.is_some_and(|(_, found)| found.ca) {
            return Err(CsrError::AsksForCa);
        }
        Ok(Self {
            der: der.to_vec(),
            public_key,
            common_name: common_name(&info.subject)?,
            subject: info.subject.iter().map(shown).collect(),
            names: names(&requested)?,
            extensions: others(&requested)?,
        })
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
    /// `OU`, `CN`) or else the object identifiers, with their values. A value that is no text in
    /// UTF-8 or printable characters is shown as `#` and its DER in hex (RFC 4514 §2.4).
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
                Ok(address) => GeneralName::Ip(address),
                Err(_) => GeneralName::dns(name)?,
            });
        }
        Ok(all)
    }
}

impl RequestTemplate {
    /// The request's content, to be signed with the key in it.
    ///
    /// # Errors
    /// A value cannot be encoded, or the algorithm is not one for the key.
    pub fn to_be_signed(&self, algorithm: SignatureAlgorithm) -> Result<ToBeSigned, BuildError> {
        if !algorithm.fits(self.public_key.algorithm()) {
            return Err(BuildError::Algorithm(algorithm));
        }
        let mut attributes = SetOfVec::new();
        if !self.names.is_empty() {
            let names = self.names.iter().map(der_name).collect::<der::Result<Vec<_>>>()?;
            let critical = self.common_name.is_none();
            let request = ExtensionReq(vec![encode(critical, &SubjectAltName(names))?]);
            let value = Any::encode_from(&request)?;
            attributes.insert(Attribute {
                oid: ExtensionReq::OID,
                values: SetOfVec::try_from(vec![value])?,
            })?;
        }
        let info = Info {
            version: Version::V1,
            subject: Subject::common_name(self.common_name.clone()).to_name()?,
            public_key: AnyRef::from_der(self.public_key.spki_der())?,
            attributes: Some(attributes),
        };
        Ok(ToBeSigned::new(info.to_der()?, algorithm))
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

fn shown(attribute: &AttributeTypeAndValue) -> (String, String) {
    let name = match SubjectAttribute::from_oid(attribute.oid) {
        Some(known) => known.short_name().to_owned(),
        None => attribute.oid.to_string(),
    };
    let value = certificate::text_of(attribute).unwrap_or_else(|| {
        format!("#{}", hex::encode(attribute.value.to_der().unwrap_or_default()))
    });
    (name, value)
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

fn common_name(subject: &Name) -> Result<Option<String>, CsrError> {
    let mut found = certificate::common_names(subject);
    let first = found.next();
    if found.next().is_some() {
        return Err(CsrError::SeveralCommonNames);
    }
    match first {
        None => Ok(None),
        Some(None) => Err(CsrError::CommonName),
        Some(Some(text)) => Ok(Some(text).filter(|text| !text.is_empty())),
    }
}

#[cfg(test)]
mod tests {
    use der::asn1::OctetString;

    use super::*;
    use crate::ExtraExtension;
    use crate::testing::{TestKey, p256_spki, rsa_spki, sequence};

    /// A request under construction; `sign` completes it.
    struct Draft {
        subject: Vec<u8>,
        spki: Vec<u8>,
        extensions: Vec<Extension>,
        key: TestKey,
    }

    impl Draft {
        fn new() -> Self {
            let key = TestKey::generate(SignatureAlgorithm::EcdsaP256Sha256);
            let subject = Subject::common_name(Some("Example.com".to_owned()));
            Self {
                subject: subject.to_name().unwrap().to_der().unwrap(),
                spki: key.public_key().spki_der().to_vec(),
                extensions: vec![],
                key,
            }
        }

        fn names(mut self, names: &[GeneralName]) -> Self {
            let names = names.iter().map(|name| extensions::der_name(name).unwrap()).collect();
            self.extensions.push(extensions::encode(false, &SubjectAltName(names)).unwrap());
            self
        }

        fn sign(self) -> Vec<u8> {
            let request = ExtensionReq(self.extensions).to_der().unwrap();
            let attribute = sequence(&[&ExtensionReq::OID.to_der().unwrap(), &set(&request)]);
            Self::sign_with(&self.key, &self.subject, &self.spki, &implicit_zero(&attribute))
        }

        fn sign_with(key: &TestKey, subject: &[u8], spki: &[u8], attributes: &[u8]) -> Vec<u8> {
            let info = sequence(&[&[2, 1, 0], subject, spki, attributes]);
            let signature = der::asn1::BitString::from_bytes(&key.sign(&info)).unwrap();
            let algorithm = key.algorithm().algorithm_identifier();
            sequence(&[&info, algorithm, &signature.to_der().unwrap()])
        }
    }

    fn set(element: &[u8]) -> Vec<u8> {
        AnyRef::new(der::Tag::Set, element).unwrap().to_der().unwrap()
    }

    /// `[0] IMPLICIT SET OF` around encoded attributes.
    fn implicit_zero(attributes: &[u8]) -> Vec<u8> {
        let mut encoded = sequence(&[attributes]);
        encoded[0] = 0xa0;
        encoded
    }

    fn dns(name: &str) -> GeneralName {
        GeneralName::Dns(name.to_owned())
    }

    #[test]
    fn reads_the_key_and_the_names() {
        let names = [
            dns("WWW.example.com"),
            dns("www.example.com"),
            GeneralName::Ip("::1".parse().unwrap()),
            GeneralName::Uri("spiffe://a/b".to_owned()),
        ];
        let der = Draft::new().names(&names).sign();
        let request = CertificateRequest::from_der(&der).unwrap();
        assert_eq!(request.common_name(), Some("Example.com"));
        let read: Vec<_> = request.names().iter().map(ToString::to_string).collect();
        assert_eq!(read, ["dns:www.example.com", "ip:::1", "uri:spiffe://a/b"]);
        let all: Vec<_> =
            request.requested_names().unwrap().iter().map(ToString::to_string).collect();
        assert_eq!(all, ["dns:example.com", "dns:www.example.com", "ip:::1", "uri:spiffe://a/b"]);
        assert_eq!(request.der(), der);
    }

    #[test]
    fn reads_what_a_template_asks_for() {
        for (common_name, names) in [
            (Some("a.example".to_owned()), vec![]),
            (None, vec![dns("a.example"), GeneralName::Uri("spiffe://a/b".to_owned())]),
        ] {
            let key = TestKey::generate(SignatureAlgorithm::Ed25519);
            let template = RequestTemplate {
                public_key: key.public_key(),
                common_name: common_name.clone(),
                names: names.clone(),
            };
            let content = template.to_be_signed(key.algorithm()).unwrap();
            let request = CertificateRequest::from_der(&key.assemble(&content)).unwrap();
            assert_eq!(request.public_key(), &template.public_key);
            assert_eq!(request.common_name(), common_name.as_deref());
            assert_eq!(request.names(), names);
            assert!(template.to_be_signed(SignatureAlgorithm::EcdsaP256Sha256).is_err());
        }
    }

    #[test]
    fn a_common_name_may_be_an_address_or_missing() {
        let mut draft = Draft::new().names(&[dns("a.example")]);
        let subject = Subject::common_name(Some("192.0.2.1".to_owned()));
        draft.subject = subject.to_name().unwrap().to_der().unwrap();
        let request = CertificateRequest::from_der(&draft.sign()).unwrap();
        let names = request.requested_names().unwrap();
        assert!(names.contains(&GeneralName::Ip("192.0.2.1".parse().unwrap())), "{names:?}");

        for empty in [Subject::default(), Subject::common_name(Some(String::new()))] {
            let mut draft = Draft::new().names(&[dns("a.example")]);
            draft.subject = empty.to_name().unwrap().to_der().unwrap();
            let request = CertificateRequest::from_der(&draft.sign()).unwrap();
            assert_eq!(request.common_name(), None);
            assert_eq!(request.requested_names().unwrap().len(), 1);
        }
    }

    #[test]
    fn shows_what_else_is_asked_for_as_it_stands() {
        let mut draft = Draft::new().names(&[dns("a.example")]);
        // O as UTF-8, an attribute without a short name, L as a TeletexString.
        let attribute = |oid: &str, tag: der::Tag, text: &str| {
            let oid = oid.parse::<ObjectIdentifier>().unwrap().to_der().unwrap();
            let value = AnyRef::new(tag, text.as_bytes()).unwrap().to_der().unwrap();
            set(&sequence(&[&oid, &value]))
        };
        draft.subject = sequence(&[
            &attribute("2.5.4.10", der::Tag::Utf8String, "Chancery"),
            &attribute("2.5.4.5", der::Tag::PrintableString, "7"),
            &attribute("2.5.4.7", der::Tag::TeletexString, "x"),
        ]);
        draft.extensions.push(ExtraExtension::MustStaple.to_extension().unwrap());
        let request = CertificateRequest::from_der(&draft.sign()).unwrap();
        let subject: Vec<_> =
            request.subject().iter().map(|(name, value)| format!("{name}={value}")).collect();
        assert_eq!(subject, ["O=Chancery", "2.5.4.5=7", "L=#140178"]);
        let staple = RequestedExtension {
            oid: "1.3.6.1.5.5.7.1.24".to_owned(),
            critical: false,
            value: hex::decode("3003020105").unwrap(),
        };
        assert_eq!(request.extensions(), [staple]);

        let mut draft = Draft::new();
        for _ in 0..2 {
            draft.extensions.push(ExtraExtension::MustStaple.to_extension().unwrap());
        }
        assert!(matches!(refusal(&draft.sign()), CsrError::Extension(_)));
    }

    #[test]
    fn attributes_may_be_absent() {
        let draft = Draft::new();
        let der = Draft::sign_with(&draft.key, &draft.subject, &draft.spki, &[]);
        assert_eq!(CertificateRequest::from_der(&der).unwrap().names(), []);
        let der = Draft::sign_with(&draft.key, &draft.subject, &draft.spki, &implicit_zero(&[]));
        assert_eq!(CertificateRequest::from_der(&der).unwrap().names(), []);
    }

    #[test]
    fn a_request_for_another_s_key_is_refused() {
        let mut draft = Draft::new();
        draft.spki = Draft::new().spki;
        assert_eq!(refusal(&draft.sign()), CsrError::Signature);
    }

    #[test]
    fn names_that_cannot_be_certified_are_refused() {
        for bad in ["a b", "*", "", "192.0.2.1", "a_b.example", "\u{7f}"] {
            let der = Draft::new().names(&[dns("good.example"), dns(bad)]).sign();
            assert!(matches!(refusal(&der), CsrError::Name(_)), "{bad}");
        }
        let mut draft = Draft::new();
        // directoryName, then an address of three bytes.
        for (name, kind) in [
            ("3004a4023000", "directoryName"),
            ("30058703010203", "an IP address of neither 4 nor 16 bytes"),
        ] {
            draft.extensions = vec![Extension {
                extn_id: SubjectAltName::OID,
                critical: false,
                extn_value: OctetString::new(hex::decode(name).unwrap()).unwrap(),
            }];
            let der = Draft { extensions: draft.extensions.clone(), ..Draft::new() }.sign();
            assert_eq!(refusal(&der), CsrError::UnsupportedName(kind));
        }
    }

    #[test]
    fn weak_and_impossible_keys_are_refused_before_the_signature_is_looked_at() {
        let with_key = |spki: Vec<u8>| refusal(&Draft { spki, ..Draft::new() }.sign());
        let small = format!("c{}1", "0".repeat(254));
        let weak = WeakKey::RsaTooSmall { bits: 1024 };
        assert_eq!(with_key(rsa_spki(&small, 65_537)), CsrError::WeakKey(weak));
        let mut off_curve = vec![4];
        off_curve.extend([1; 64]);
        assert_eq!(with_key(p256_spki(&off_curve)), CsrError::Key(KeyError::InvalidPoint));
        // An even exponent: such a key verifies nothing, whatever its strength.
        let even = rsa_spki(weak_key::moduli::GOOD, 65_536);
        assert_eq!(with_key(even), CsrError::Signature);
    }

    #[test]
    fn a_request_for_a_ca_is_refused() {
        let mut draft = Draft::new().names(&[dns("a.example")]);
        let constraints = BasicConstraints { ca: true, path_len_constraint: None };
        draft.extensions.push(extensions::encode(true, &constraints).unwrap());
        assert_eq!(refusal(&draft.sign()), CsrError::AsksForCa);
    }

    #[test]
    fn ambiguous_requests_are_refused() {
        let twice = Draft::new().names(&[dns("a.example")]).names(&[dns("b.example")]).sign();
        let duplicate = ExtensionError::Duplicate(SubjectAltName::OID);
        assert_eq!(refusal(&twice), CsrError::Extension(duplicate));

        let mut draft = Draft::new();
        let names = [draft.subject.clone(), Draft::new().subject];
        let inner: Vec<_> =
            names.iter().map(|name| Any::from_der(name).unwrap().value().to_vec()).collect();
        draft.subject = sequence(&[&inner[0], &inner[1]]);
        assert_eq!(refusal(&draft.sign()), CsrError::SeveralCommonNames);

        let draft = Draft::new();
        let request = ExtensionReq(vec![]).to_der().unwrap();
        let attribute = sequence(&[&ExtensionReq::OID.to_der().unwrap(), &set(&request)]);
        let both = implicit_zero(&[attribute.clone(), attribute].concat());
        let der = Draft::sign_with(&draft.key, &draft.subject, &draft.spki, &both);
        assert_eq!(refusal(&der), CsrError::SeveralExtensionRequests);
    }

    #[test]
    fn oversized_and_trailing_bytes_are_refused() {
        let mut der = Draft::new().sign();
        der.push(0);
        assert!(matches!(refusal(&der), CsrError::Malformed(_)));
        assert_eq!(refusal(&vec![0x30; 65_537]), CsrError::TooLong(65_537));
    }

    fn refusal(der: &[u8]) -> CsrError {
        CertificateRequest::from_der(der).unwrap_err()
    }
}
