use std::sync::OnceLock;

use chancery_x509::{CertificateRequest, ParsedCertificate, PublicKey, pem};
use proptest::prelude::*;

use crate::openssl::OpenSsl;

/// Good documents for mutation to begin with.
struct Seeds {
    requests: Vec<Vec<u8>>,
    certificates: Vec<Vec<u8>>,
    keys: Vec<Vec<u8>>,
}

fn seeds() -> &'static Seeds {
    static SEEDS: OnceLock<Seeds> = OnceLock::new();
    SEEDS.get_or_init(|| {
        let mut seeds = Seeds { requests: vec![], certificates: vec![], keys: vec![] };
        let options = "-subj /C=CH/O=Example/CN=www.example.com -addext \
             subjectAltName=DNS:www.example.com,IP:192.0.2.1,URI:spiffe://a/b,email:a@b.example";
        for generate in [
            "-algorithm EC -pkeyopt ec_paramgen_curve:P-256",
            "-algorithm RSA -pkeyopt rsa_keygen_bits:2048",
            "-algorithm ED25519",
        ] {
            let openssl = OpenSsl::new();
            openssl.run(&format!("genpkey {generate} -out key.pem"));
            seeds.requests.push(openssl.request(options));
            openssl.run(&format!("req -x509 -new -key key.pem -outform DER -out c.der {options}"));
            seeds.certificates.push(openssl.read("c.der"));
            openssl.run("pkey -in key.pem -pubout -outform DER -out public.der");
            seeds.keys.push(openssl.read("public.der"));
        }
        seeds
    })
}

#[derive(Debug, Clone)]
enum Mutation {
    Set(prop::sample::Index, u8),
    FlipBit(prop::sample::Index, u8),
    Cut(prop::sample::Index),
    Remove(prop::sample::Index, u8),
    Repeat(prop::sample::Index, u8),
    Insert(prop::sample::Index, Vec<u8>),
}

fn mutation() -> impl Strategy<Value = Mutation> {
    let at = any::<prop::sample::Index>;
    prop_oneof![
        (at(), any::<u8>()).prop_map(|(i, b)| Mutation::Set(i, b)),
        (at(), 0..8_u8).prop_map(|(i, b)| Mutation::FlipBit(i, b)),
        at().prop_map(Mutation::Cut),
        (at(), any::<u8>()).prop_map(|(i, n)| Mutation::Remove(i, n)),
        (at(), any::<u8>()).prop_map(|(i, n)| Mutation::Repeat(i, n)),
        (at(), proptest::collection::vec(any::<u8>(), 1..20))
            .prop_map(|(i, bytes)| Mutation::Insert(i, bytes)),
    ]
}

fn mutate(seed: &[u8], mutations: &[Mutation]) -> Vec<u8> {
    let mut bytes = seed.to_vec();
    for mutation in mutations {
        if bytes.is_empty() {
            break;
        }
        let length = bytes.len();
        match mutation {
            Mutation::Set(i, to) => bytes[i.index(length)] = *to,
            Mutation::FlipBit(i, bit) => bytes[i.index(length)] ^= 1 << bit,
            Mutation::Cut(i) => bytes.truncate(i.index(length)),
            Mutation::Remove(i, count) => {
                let from = i.index(length);
                bytes.drain(from..(from + usize::from(*count)).min(length));
            }
            Mutation::Repeat(i, count) => {
                let from = i.index(length);
                let part = bytes[from..(from + usize::from(*count)).min(length)].to_vec();
                bytes.splice(from..from, part);
            }
            Mutation::Insert(i, part) => {
                let from = i.index(length);
                bytes.splice(from..from, part.iter().copied());
            }
        }
    }
    bytes
}

/// A seed's index and what to do to it.
fn damage() -> impl Strategy<Value = (usize, Vec<Mutation>)> {
    (0..3_usize, proptest::collection::vec(mutation(), 1..4))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    /// A damaged request is refused, unless the damage did not touch what it says: the signature
    /// itself, for instance, has more than one encoding in ECDSA.
    #[test]
    fn a_damaged_request_never_says_anything_else((seed, mutations) in damage()) {
        let original = &seeds().requests[seed];
        if let Ok(read) = CertificateRequest::from_der(&mutate(original, &mutations)) {
            let original = CertificateRequest::from_der(original).unwrap();
            prop_assert_eq!(read.public_key(), original.public_key());
            prop_assert_eq!(read.names(), original.names());
            prop_assert_eq!(read.common_name(), original.common_name());
        }
    }

    #[test]
    fn a_damaged_certificate_never_panics_and_no_longer_verifies((seed, mutations) in damage()) {
        let original = ParsedCertificate::from_der(&seeds().certificates[seed]).unwrap();
        let key = original.public_key().unwrap();
        let damaged = mutate(original.der(), &mutations);
        if let Ok(read) = ParsedCertificate::from_der(&damaged) {
            prop_assert_eq!(read.der(), &damaged[..]);
            if read.verify_signed_by(key).is_ok() {
                prop_assert_eq!(read.names(), original.names());
                prop_assert_eq!(read.serial(), original.serial());
                prop_assert_eq!(read.not_after(), original.not_after());
                prop_assert_eq!(read.is_ca(), original.is_ca());
            }
        }
    }

    #[test]
    fn a_damaged_key_never_panics((seed, mutations) in damage()) {
        let damaged = mutate(&seeds().keys[seed], &mutations);
        if let Ok(key) = PublicKey::from_spki_der(&damaged) {
            prop_assert_eq!(key.spki_der(), &damaged[..]);
            let _ = key.check_strength();
        }
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        let _ = CertificateRequest::from_der(&bytes);
        let _ = ParsedCertificate::from_der(&bytes);
        let _ = PublicKey::from_spki_der(&bytes);
    }
}

/// Nesting as deep as the length allows: a parser that recurses would run out of stack.
#[test]
fn deep_nesting_is_refused() {
    let mut nested = Vec::new();
    while nested.len() < 60_000 {
        let length = u32::try_from(nested.len()).unwrap().to_be_bytes();
        let mut outer = vec![0x30, 0x83];
        outer.extend(&length[1..]);
        outer.append(&mut nested);
        nested = outer;
    }
    assert!(CertificateRequest::from_der(&nested).is_err());
    assert!(ParsedCertificate::from_der(&nested).is_err());
    assert!(PublicKey::from_spki_der(&nested).is_err());
}

#[test]
fn every_prefix_of_a_document_is_refused() {
    for request in &seeds().requests {
        for end in 0..request.len() {
            assert!(CertificateRequest::from_der(&request[..end]).is_err());
        }
    }
    for certificate in &seeds().certificates {
        for end in 0..certificate.len() {
            assert!(ParsedCertificate::from_der(&certificate[..end]).is_err());
        }
        let text = pem::encode(pem::CERTIFICATE, certificate);
        for end in 0..text.len() - 1 {
            assert!(ParsedCertificate::from_pem(&text[..end]).is_err());
        }
    }
}
