//! Keys and certificates for this crate's tests.

use aws_lc_rs::encoding::AsDer;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    self, ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P384_SHA384_ASN1_SIGNING,
    ECDSA_P521_SHA512_ASN1_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair, ML_DSA_44_SIGNING,
    ML_DSA_65_SIGNING, ML_DSA_87_SIGNING, PqdsaKeyPair, RsaKeyPair,
};
use der::Encode;
use der::asn1::{AnyRef, BitStringRef, UintRef};
use jiff::Timestamp;

use crate::{
    ExtendedKeyUsage, GeneralName, Issuer, KeyUsage, KeyUsages, Kind, NameConstraints,
    ParsedCertificate, PublicKey, Serial, SignatureAlgorithm, Subject, SubjectAttribute, Template,
    ToBeSigned,
};

/// A key pair that signs with one algorithm.
pub(crate) enum TestKey {
    Ecdsa(EcdsaKeyPair, SignatureAlgorithm),
    Rsa(RsaKeyPair, SignatureAlgorithm),
    Ed25519(Ed25519KeyPair),
    MlDsa(PqdsaKeyPair, SignatureAlgorithm),
}

impl TestKey {
    pub(crate) fn generate(algorithm: SignatureAlgorithm) -> Self {
        match algorithm {
            SignatureAlgorithm::EcdsaP256Sha256 => Self::Ecdsa(
                EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).unwrap(),
                algorithm,
            ),
            SignatureAlgorithm::EcdsaP384Sha384 => Self::Ecdsa(
                EcdsaKeyPair::generate(&ECDSA_P384_SHA384_ASN1_SIGNING).unwrap(),
                algorithm,
            ),
            SignatureAlgorithm::EcdsaP521Sha512 => Self::Ecdsa(
                EcdsaKeyPair::generate(&ECDSA_P521_SHA512_ASN1_SIGNING).unwrap(),
                algorithm,
            ),
            SignatureAlgorithm::Ed25519 => Self::Ed25519(Ed25519KeyPair::generate().unwrap()),
            SignatureAlgorithm::MlDsa44 => {
                Self::MlDsa(PqdsaKeyPair::generate(&ML_DSA_44_SIGNING).unwrap(), algorithm)
            }
            SignatureAlgorithm::MlDsa65 => {
                Self::MlDsa(PqdsaKeyPair::generate(&ML_DSA_65_SIGNING).unwrap(), algorithm)
            }
            SignatureAlgorithm::MlDsa87 => {
                Self::MlDsa(PqdsaKeyPair::generate(&ML_DSA_87_SIGNING).unwrap(), algorithm)
            }
            _ => Self::Rsa(RsaKeyPair::generate(KeySize::Rsa2048).unwrap(), algorithm),
        }
    }

    pub(crate) fn algorithm(&self) -> SignatureAlgorithm {
        match self {
            Self::Ecdsa(_, algorithm) | Self::Rsa(_, algorithm) | Self::MlDsa(_, algorithm) => {
                *algorithm
            }
            Self::Ed25519(_) => SignatureAlgorithm::Ed25519,
        }
    }

    pub(crate) fn public_key(&self) -> PublicKey {
        let spki = match self {
            Self::Ecdsa(key, _) => key.public_key().as_der().unwrap(),
            Self::Rsa(key, _) => key.public_key().as_der().unwrap(),
            Self::Ed25519(key) => key.public_key().as_der().unwrap(),
            Self::MlDsa(key, _) => key.public_key().as_der().unwrap(),
        };
        PublicKey::from_spki_der(spki.as_ref()).unwrap()
    }

    pub(crate) fn sign(&self, message: &[u8]) -> Vec<u8> {
        let random = SystemRandom::new();
        match self {
            Self::Ecdsa(key, _) => key.sign(&random, message).unwrap().as_ref().to_vec(),
            Self::Ed25519(key) => key.sign(message).as_ref().to_vec(),
            Self::MlDsa(key, _) => {
                let mut out = vec![0; key.algorithm().signature_len()];
                key.sign(message, &mut out).unwrap();
                out
            }
            Self::Rsa(key, algorithm) => {
                let encoding: &dyn signature::RsaEncoding = match algorithm {
                    SignatureAlgorithm::RsaPkcs1Sha256 => &signature::RSA_PKCS1_SHA256,
                    SignatureAlgorithm::RsaPkcs1Sha384 => &signature::RSA_PKCS1_SHA384,
                    SignatureAlgorithm::RsaPkcs1Sha512 => &signature::RSA_PKCS1_SHA512,
                    SignatureAlgorithm::RsaPssSha256 => &signature::RSA_PSS_SHA256,
                    other => panic!("{other:?} is no RSA algorithm"),
                };
                let mut out = vec![0; key.public_modulus_len()];
                key.sign(encoding, &random, message, &mut out).unwrap();
                out
            }
        }
    }

    pub(crate) fn assemble(&self, content: &ToBeSigned) -> Vec<u8> {
        content.assemble(&self.sign(content.der())).unwrap()
    }
}

pub(crate) fn sequence(parts: &[&[u8]]) -> Vec<u8> {
    AnyRef::new(der::Tag::Sequence, &parts.concat()).unwrap().to_der().unwrap()
}

/// A `SubjectPublicKeyInfo` of an RSA key with this modulus (hex) and exponent.
pub(crate) fn rsa_spki(modulus: &str, exponent: u64) -> Vec<u8> {
    let modulus = hex::decode(modulus).unwrap();
    let exponent = exponent.to_be_bytes();
    let key = sequence(&[
        &UintRef::new(&modulus).unwrap().to_der().unwrap(),
        &UintRef::new(&exponent).unwrap().to_der().unwrap(),
    ]);
    let algorithm = hex::decode("300d06092a864886f70d0101010500").unwrap();
    sequence(&[&algorithm, &BitStringRef::from_bytes(&key).unwrap().to_der().unwrap()])
}

/// A `SubjectPublicKeyInfo` of a P-256 key with these point bytes.
pub(crate) fn p256_spki(point: &[u8]) -> Vec<u8> {
    let algorithm = hex::decode("301306072a8648ce3d020106082a8648ce3d030107").unwrap();
    sequence(&[&algorithm, &BitStringRef::from_bytes(point).unwrap().to_der().unwrap()])
}

pub(crate) fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

pub(crate) fn serial() -> Serial {
    Serial::random(&SystemRandom::new()).unwrap()
}

pub(crate) fn root_template(key: &PublicKey) -> Template {
    Template {
        serial: serial(),
        subject: Subject::new([
            (SubjectAttribute::Organization, "Test".to_owned()),
            (SubjectAttribute::CommonName, "Test Root".to_owned()),
        ]),
        names: vec![],
        public_key: key.clone(),
        key_usages: [KeyUsage::KeyCertSign, KeyUsage::CrlSign].into_iter().collect(),
        extended_key_usages: vec![],
        extra: vec![],
        not_before: at("2026-01-01T00:00:00Z"),
        not_after: at("2055-12-31T23:59:59Z"),
        kind: Kind::Ca { path_length: None },
        name_constraints: NameConstraints::default(),
        certified_before: None,
        crl_url: None,
        issuer_url: None,
        ocsp_url: None,
    }
}

pub(crate) fn leaf_template(key: &PublicKey) -> Template {
    Template {
        serial: serial(),
        subject: Subject::common_name(Some("www.example.com".to_owned())),
        names: vec![
            GeneralName::dns("www.example.com").unwrap(),
            GeneralName::Ip("192.0.2.1".parse().unwrap()),
        ],
        public_key: key.clone(),
        key_usages: KeyUsages::NONE.with(KeyUsage::DigitalSignature),
        extended_key_usages: vec![ExtendedKeyUsage::ServerAuth],
        extra: vec![],
        not_before: at("2026-03-01T00:00:00Z"),
        not_after: at("2026-05-29T23:59:59Z"),
        kind: Kind::Leaf,
        name_constraints: NameConstraints::default(),
        certified_before: None,
        crl_url: Some("http://127.0.0.1:8080/crl/x.crl".to_owned()),
        issuer_url: Some("http://127.0.0.1:8080/issuers/x.der".to_owned()),
        ocsp_url: Some("http://127.0.0.1:8080/ocsp/x".to_owned()),
    }
}

/// A self-signed root.
pub(crate) fn root(key: &TestKey) -> ParsedCertificate {
    let template = root_template(&key.public_key());
    let issuer = Issuer::self_signed(&template).unwrap();
    let content = template.build(&issuer, key.algorithm()).unwrap();
    ParsedCertificate::from_der(&key.assemble(&content)).unwrap()
}
