//! Requests are read as clients write them; weak, ambiguous and oversized ones are refused.

use der::asn1::OctetString;

use super::*;
use crate::testing::{TestKey, p256_spki, rsa_spki, sequence};
use crate::{ExtraExtension, KeyError, SignatureAlgorithm, Subject, WeakKey};

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
        Self::sign_version(0, key, subject, spki, attributes)
    }

    fn sign_version(
        version: u8,
        key: &TestKey,
        subject: &[u8],
        spki: &[u8],
        attributes: &[u8],
    ) -> Vec<u8> {
        let info = sequence(&[&[2, 1, version], subject, spki, attributes]);
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

fn attribute(oid: &str, tag: der::Tag, value: &[u8]) -> Vec<u8> {
    let oid = oid.parse::<ObjectIdentifier>().unwrap().to_der().unwrap();
    let value = AnyRef::new(tag, value).unwrap().to_der().unwrap();
    set(&sequence(&[&oid, &value]))
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
    let all: Vec<_> = request.requested_names().unwrap().iter().map(ToString::to_string).collect();
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
            key_identifier: false,
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
    // O as UTF-8, an attribute without a short name, L as a TeletexString and as what is no text.
    let attribute = |oid: &str, tag: der::Tag, text: &str| attribute(oid, tag, text.as_bytes());
    draft.subject = sequence(&[
        &attribute("2.5.4.10", der::Tag::Utf8String, "Chancery"),
        &attribute("2.5.4.5", der::Tag::PrintableString, "7"),
        &attribute("2.5.4.7", der::Tag::TeletexString, "x"),
        &attribute("2.5.4.7", der::Tag::BitString, "x"),
    ]);
    draft.extensions.push(ExtraExtension::MustStaple.to_extension().unwrap());
    let request = CertificateRequest::from_der(&draft.sign()).unwrap();
    let subject: Vec<_> =
        request.subject().iter().map(|(name, value)| format!("{name}={value}")).collect();
    assert_eq!(subject, ["O=Chancery", "2.5.4.5=7", "L=x", "L=#030178"]);
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
fn a_common_name_may_be_in_any_of_the_old_string_types() {
    let wide: Vec<u8> = "a.example".encode_utf16().flat_map(u16::to_be_bytes).collect();
    for (tag, value, read) in [
        (der::Tag::PrintableString, b"*.a.example".as_slice(), "*.a.example"),
        (der::Tag::TeletexString, b"a.example", "a.example"),
        (der::Tag::TeletexString, b"*.a.example", "*.a.example"),
        (der::Tag::Ia5String, b"a.example", "a.example"),
        (der::Tag::BmpString, &wide, "a.example"),
    ] {
        let mut draft = Draft::new().names(&[dns(read)]);
        draft.subject = sequence(&[&attribute("2.5.4.3", tag, value)]);
        let request = CertificateRequest::from_der(&draft.sign()).unwrap();
        assert_eq!(request.common_name(), Some(read), "{tag}");
        assert_eq!(request.requested_names().unwrap().len(), 1, "{tag}");
    }
    for (tag, value) in [
        (der::Tag::BmpString, b"\x00a\x00".as_slice()),
        (der::Tag::BmpString, b"\xd8\x3d\xde\x00"),
        (der::Tag::PrintableString, b"\xe4.example"),
        (der::Tag::Utf8String, b"\xe4.example"),
        (der::Tag::OctetString, b"a.example"),
    ] {
        let mut draft = Draft::new();
        draft.subject = sequence(&[&attribute("2.5.4.3", tag, value)]);
        let refused = CertificateRequest::from_der(&draft.sign()).unwrap_err();
        assert!(matches!(refused, CsrError::CommonName | CsrError::Malformed(_)), "{tag}");
    }
}

#[test]
fn the_version_may_be_mistaken_for_that_of_a_certificate() {
    let with_version = |version| {
        let draft = Draft::new();
        let (subject, spki) = (&draft.subject, &draft.spki);
        Draft::sign_version(version, &draft.key, subject, spki, &implicit_zero(&[]))
    };
    for version in 0..=2 {
        assert!(CertificateRequest::from_der(&with_version(version)).is_ok(), "{version}");
    }
    assert_eq!(refusal(&with_version(3)), CsrError::Version(3));
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
fn a_request_for_a_ca_is_refused_but_where_one_is_certified() {
    let mut draft = Draft::new().names(&[dns("a.example")]);
    let constraints = BasicConstraints { ca: true, path_len_constraint: None };
    draft.extensions.push(extensions::encode(true, &constraints).unwrap());
    let der = draft.sign();
    assert_eq!(refusal(&der), CsrError::AsksForCa);
    let request = CertificateRequest::of_ca_from_der(&der).unwrap();
    assert_eq!(request.names(), [dns("a.example")]);
    let mut other = der.clone();
    *other.last_mut().unwrap() ^= 1;
    assert!(CertificateRequest::of_ca_from_der(&other).is_err(), "everything else counts");
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
