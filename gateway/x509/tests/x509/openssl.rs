use std::path::PathBuf;
use std::process::Command;

use chancery_x509::{
    CertificateRequest, CsrError, GeneralName, KeyAlgorithm, KeyError, ParsedCertificate,
    PublicKey, SignatureAlgorithm, WeakKey, pem,
};
use tempfile::TempDir;

/// Runs `openssl` in a directory of its own.
pub(crate) struct OpenSsl(TempDir);

impl OpenSsl {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub(crate) fn run(&self, command: &str) {
        let ran = Command::new("openssl")
            .args(command.split_whitespace())
            .current_dir(self.0.path())
            .output()
            .expect("these tests need the command openssl");
        assert!(ran.status.success(), "{command}: {}", String::from_utf8_lossy(&ran.stderr));
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub(crate) fn read(&self, name: &str) -> Vec<u8> {
        std::fs::read(self.path(name)).unwrap()
    }

    pub(crate) fn write(&self, name: &str, content: &[u8]) {
        std::fs::write(self.path(name), content).unwrap();
    }

    /// A DER request signed with `key.pem`.
    pub(crate) fn request(&self, options: &str) -> Vec<u8> {
        self.run(&format!("req -new -key key.pem -outform DER -out csr.der {options}"));
        self.read("csr.der")
    }
}

const RSA: &str = "-algorithm RSA -pkeyopt rsa_keygen_bits:2048";
const P256: &str = "-algorithm EC -pkeyopt ec_paramgen_curve:P-256";
const P384: &str = "-algorithm EC -pkeyopt ec_paramgen_curve:P-384";
const SUBJECT: &str = "-subj /C=CH/O=Example/CN=WWW.example.com -addext \
     subjectAltName=DNS:www.example.com,DNS:*.Example.com,IP:192.0.2.1,IP:2001:db8::1,\
     URI:spiffe://a/b,email:ops@example.com";

/// Every request that openssl makes for keys and hashes that are accepted.
#[test]
fn reads_requests_with_every_key_and_hash() {
    let pss = "-sigopt rsa_padding_mode:pss -sigopt rsa_pss_saltlen:digest";
    for (generate, sign, algorithm) in [
        (RSA, "-sha256", KeyAlgorithm::Rsa { bits: 2048 }),
        (RSA, "-sha384", KeyAlgorithm::Rsa { bits: 2048 }),
        (RSA, "-sha512", KeyAlgorithm::Rsa { bits: 2048 }),
        (RSA, &format!("-sha256 {pss}"), KeyAlgorithm::Rsa { bits: 2048 }),
        (RSA, &format!("-sha384 {pss}"), KeyAlgorithm::Rsa { bits: 2048 }),
        (RSA, &format!("-sha512 {pss}"), KeyAlgorithm::Rsa { bits: 2048 }),
        (P256, "-sha256", KeyAlgorithm::EcdsaP256),
        (P256, "-sha384", KeyAlgorithm::EcdsaP256),
        (P256, "-sha512", KeyAlgorithm::EcdsaP256),
        (P384, "-sha256", KeyAlgorithm::EcdsaP384),
        (P384, "-sha384", KeyAlgorithm::EcdsaP384),
        (P384, "-sha512", KeyAlgorithm::EcdsaP384),
        ("-algorithm ED25519", "", KeyAlgorithm::Ed25519),
    ] {
        let openssl = OpenSsl::new();
        openssl.run(&format!("genpkey {generate} -out key.pem"));
        openssl.run("pkey -in key.pem -pubout -outform DER -out public.der");
        let request = CertificateRequest::from_der(&openssl.request(&format!("{sign} {SUBJECT}")))
            .unwrap_or_else(|error| panic!("{generate} {sign}: {error}"));
        assert_eq!(request.public_key().algorithm(), algorithm);
        assert_eq!(request.public_key().spki_der(), openssl.read("public.der"));
        assert_eq!(request.public_key().check_strength(), Ok(()));
        assert_eq!(request.common_name(), Some("WWW.example.com"));
        let names: Vec<_> = request.names().iter().map(ToString::to_string).collect();
        assert_eq!(
            names,
            [
                "dns:www.example.com",
                "dns:*.example.com",
                "ip:192.0.2.1",
                "ip:2001:db8::1",
                "uri:spiffe://a/b",
                "email:ops@example.com"
            ]
        );
        // The common name is one of them, in other letters.
        assert_eq!(request.requested_names().unwrap().len(), names.len());
    }
}

#[test]
fn refuses_requests_with_sha1_weak_or_unsupported_keys() {
    type Expected = fn(&CsrError) -> bool;
    let cases: [(&str, &str, Expected); 6] = [
        (RSA, "-sha1", |e| *e == CsrError::Signature),
        (P256, "-sha1", |e| *e == CsrError::Signature),
        ("-algorithm RSA -pkeyopt rsa_keygen_bits:1024", "-sha256", |e| {
            *e == CsrError::WeakKey(WeakKey::RsaTooSmall { bits: 1024 })
        }),
        ("-algorithm EC -pkeyopt ec_paramgen_curve:secp256k1", "-sha256", |e| {
            matches!(e, CsrError::Key(KeyError::Unsupported { .. }))
        }),
        (
            "-algorithm EC -pkeyopt ec_paramgen_curve:P-256 -pkeyopt ec_param_enc:explicit",
            "-sha256",
            |e| matches!(e, CsrError::Key(KeyError::Parameters { .. })),
        ),
        ("-algorithm ED448", "", |e| matches!(e, CsrError::Key(KeyError::Unsupported { .. }))),
    ];
    for (generate, sign, expected) in cases {
        let openssl = OpenSsl::new();
        openssl.run(&format!("genpkey {generate} -out key.pem"));
        let der = openssl.request(&format!("{sign} -subj /CN=a.example"));
        let error = CertificateRequest::from_der(&der).unwrap_err();
        assert!(expected(&error), "{generate} {sign}: {error:?}");
    }
}

#[test]
fn an_exponent_of_three_is_weak() {
    let openssl = OpenSsl::new();
    openssl.run(&format!("genpkey {RSA} -pkeyopt rsa_keygen_pubexp:3 -out key.pem"));
    let der = openssl.request("-sha256 -subj /CN=a.example");
    let request = CertificateRequest::from_der(&der).unwrap();
    assert_eq!(request.public_key().check_strength(), Err(WeakKey::RsaExponent));
}

#[test]
fn refuses_requests_for_a_ca_or_with_other_kinds_of_names() {
    let openssl = OpenSsl::new();
    openssl.run(&format!("genpkey {P256} -out key.pem"));
    let refusal = |extension: &str| {
        let der = openssl.request(&format!("-subj /CN=a.example -addext {extension}"));
        CertificateRequest::from_der(&der).unwrap_err()
    };
    assert_eq!(refusal("basicConstraints=critical,CA:TRUE"), CsrError::AsksForCa);
    assert_eq!(
        refusal("subjectAltName=DNS:a.example,otherName:1.2.3.4;UTF8:x"),
        CsrError::UnsupportedName("otherName")
    );
    assert_eq!(refusal("subjectAltName=RID:1.2.3"), CsrError::UnsupportedName("registeredID"));
    assert!(matches!(refusal("subjectAltName=DNS:a_b.example"), CsrError::Name(_)));
}

#[test]
fn other_attributes_of_a_request_do_no_harm() {
    let openssl = OpenSsl::new();
    openssl.run(&format!("genpkey {P256} -out key.pem"));
    // What browsers' and appliances' request forms send along.
    let config = b"[req]\nprompt = no\ndistinguished_name = dn\nattributes = extra\n\
        req_extensions = ext\n[dn]\nCN = a.example\nOU = one\n0.OU = two\n[extra]\n\
        challengePassword = secret\nunstructuredName = box\n[ext]\nkeyUsage = keyCertSign\n\
        tlsfeature = status_request\nsubjectAltName = DNS:a.example\n";
    openssl.write("req.cnf", config);
    let request = CertificateRequest::from_der(&openssl.request("-config req.cnf")).unwrap();
    assert_eq!(request.names(), [GeneralName::dns("a.example").unwrap()]);
}

#[test]
fn reads_foreign_certificates() {
    for (generate, sign) in [(RSA, "-sha256"), (P384, "-sha384"), ("-algorithm ED25519", "")] {
        let openssl = OpenSsl::new();
        openssl.run(&format!("genpkey {generate} -out key.pem"));
        openssl.run(&format!(
            "req -x509 -new -key key.pem -out cert.pem -days 30 -set_serial 0x0123456789abcdef \
             {sign} {SUBJECT},otherName:1.2.3.4;UTF8:x -addext keyUsage=digitalSignature \
             -addext extendedKeyUsage=clientAuth,1.2.3.4"
        ));
        let text = String::from_utf8(openssl.read("cert.pem")).unwrap();
        let certificate = ParsedCertificate::from_pem(&text).unwrap();
        assert_eq!(certificate.serial().to_string(), "123456789abcdef");
        assert_eq!(certificate.subject_common_name(), Some("WWW.example.com"));
        assert_eq!(certificate.names().len(), 6);
        assert_eq!(certificate.other_names(), 1);
        assert_eq!(certificate.issuer_der(), certificate.subject_der());
        assert!(certificate.is_ca());
        assert_eq!(certificate.extended_key_usages().len(), 1);
        assert_eq!(certificate.subject_key_id(), certificate.authority_key_id());
        assert_eq!(
            (certificate.not_after().as_second() - certificate.not_before().as_second()) % 86_400,
            0
        );
        let key = certificate.public_key().unwrap().clone();
        assert_eq!(certificate.verify_signed_by(&key), Ok(()));
        let other = OpenSsl::new();
        other.run(&format!("genpkey {generate} -out key.pem"));
        other.run("pkey -in key.pem -pubout -outform DER -out public.der");
        let other = PublicKey::from_spki_der(&other.read("public.der")).unwrap();
        assert!(certificate.verify_signed_by(&other).is_err());
        assert_eq!(pem::certificates(&text).unwrap(), [certificate.der().to_vec()]);
    }
}

#[test]
fn a_foreign_certificate_with_an_unsupported_key_can_be_read_but_for_the_key() {
    let openssl = OpenSsl::new();
    openssl.run("genpkey -algorithm EC -pkeyopt ec_paramgen_curve:secp256k1 -out key.pem");
    openssl.run("req -x509 -new -key key.pem -outform DER -out cert.der -subj /CN=a.example");
    let certificate = ParsedCertificate::from_der(&openssl.read("cert.der")).unwrap();
    assert_eq!(certificate.subject_common_name(), Some("a.example"));
    assert!(matches!(certificate.public_key(), Err(KeyError::Unsupported { .. })));
}

/// The fixed encodings of the algorithms, against those that openssl writes.
#[test]
fn algorithm_identifiers_are_those_of_openssl() {
    let pss = "-sigopt rsa_padding_mode:pss -sigopt rsa_pss_saltlen:digest";
    for (algorithm, generate, sign) in [
        (SignatureAlgorithm::EcdsaP256Sha256, P256, "-sha256"),
        (SignatureAlgorithm::EcdsaP384Sha384, P384, "-sha384"),
        (SignatureAlgorithm::RsaPkcs1Sha256, RSA, "-sha256"),
        (SignatureAlgorithm::RsaPkcs1Sha384, RSA, "-sha384"),
        (SignatureAlgorithm::RsaPkcs1Sha512, RSA, "-sha512"),
        (SignatureAlgorithm::RsaPssSha256, RSA, &format!("-sha256 {pss}")),
        (SignatureAlgorithm::Ed25519, "-algorithm ED25519", ""),
    ] {
        let openssl = OpenSsl::new();
        openssl.run(&format!("genpkey {generate} -out key.pem"));
        let request = openssl.request(&format!("-subj /CN=a.example {sign}"));
        let expected = algorithm.algorithm_identifier();
        let found = request.windows(expected.len()).any(|window| window == expected);
        assert!(found, "{algorithm:?}");
    }
}
