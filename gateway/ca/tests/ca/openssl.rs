use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;

use chancery_ca::{Ca, Issued, ProposedCertificate};
use chancery_keys::KeyType;
use chancery_store::memory::MemoryStore;
use chancery_x509::{
    ExtendedKeyUsage, GeneralName, KeyUsage, KeyUsages, RevocationReason, Subject, pem,
};
use tempfile::TempDir;

use crate::harness::{DAY, Software, config, proposal, public_key, revoked, start};

/// One of each kind.
const KEY_TYPES: [KeyType; 5] = [
    KeyType::EcdsaP256,
    KeyType::EcdsaP384,
    KeyType::EcdsaP521,
    KeyType::Rsa2048,
    KeyType::Ed25519,
];

/// A directory with the files that `openssl` gets to see.
pub(crate) struct Files {
    directory: TempDir,
    now: String,
}

impl Files {
    /// The root, the issuing CA and both CRLs.
    pub(crate) fn of(ca: &Ca) -> Self {
        Self::with_root_crl(ca, &ca.root_crl().unwrap())
    }

    /// The same with a CRL of the root from elsewhere.
    pub(crate) fn with_root_crl(ca: &Ca, root_crl: &[u8]) -> Self {
        let files =
            Self { directory: tempfile::tempdir().unwrap(), now: start().as_second().to_string() };
        files.write("root.pem", ca.root_pem());
        files.write("issuing.pem", pem::encode(pem::CERTIFICATE, ca.issuing_der()));
        files.write("crl.pem", pem::encode(pem::CRL, &ca.crl()));
        files.write("root-crl.pem", pem::encode(pem::CRL, root_crl));
        files
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, text: String) {
        std::fs::write(self.path(name), text).unwrap();
    }

    pub(crate) fn write_crl(&self, name: &str, der: &[u8]) {
        self.write(name, pem::encode(pem::CRL, der));
    }

    /// What `openssl` says, and whether it is content.
    pub(crate) fn openssl(&self, arguments: &[&str]) -> (bool, String) {
        let ran = Command::new("openssl")
            .args(arguments)
            .current_dir(self.directory.path())
            .output()
            .expect("these tests need the command openssl");
        let said = [ran.stdout, ran.stderr].concat();
        (ran.status.success(), String::from_utf8(said).unwrap())
    }

    /// `openssl verify`, strictly and with the CRLs of the whole chain.
    pub(crate) fn verify(&self, purpose: &str, certificate: &str) -> (bool, String) {
        self.verify_with(&[], purpose, certificate)
    }

    /// The same with further options.
    pub(crate) fn verify_with(
        &self,
        options: &[&str],
        purpose: &str,
        certificate: &str,
    ) -> (bool, String) {
        let usual = [
            "verify",
            "-attime",
            &self.now,
            "-x509_strict",
            "-check_ss_sig",
            "-policy_check",
            "-crl_check_all",
            "-CRLfile",
            "crl.pem",
            "-CRLfile",
            "root-crl.pem",
            "-CAfile",
            "root.pem",
            "-untrusted",
            "issuing.pem",
            "-purpose",
            purpose,
        ];
        let arguments: Vec<&str> =
            usual.into_iter().chain(options.iter().copied()).chain([certificate]).collect();
        self.openssl(&arguments)
    }

    pub(crate) fn text(&self, of: &str, file: &str) -> String {
        let (fine, text) = self.openssl(&[of, "-in", file, "-noout", "-text"]);
        assert!(fine, "{text}");
        text
    }
}

pub(crate) async fn issue(ca: &Ca, proposed: ProposedCertificate) -> Issued {
    ca.sign(ca.prepare(proposed, start()).unwrap()).await.unwrap()
}

async fn with_keys(key_type: KeyType) -> Arc<Ca> {
    let mut chosen = config();
    chosen.key_type = key_type;
    Software::start(chosen, MemoryStore::new(), start()).await.unwrap().ca
}

fn assert_fine(outcome: &(bool, String), what: &str) {
    assert!(outcome.0, "{what}: {}", outcome.1);
}

#[tokio::test]
async fn verifies_chains_of_every_key_type_with_their_crls() {
    for of_ca in KEY_TYPES {
        let ca = with_keys(of_ca).await;
        // So that the CRL has an entry.
        let other = issue(&ca, proposal()).await;
        ca.revoke(revoked(&ca, other.serial, RevocationReason::Superseded, start())).await.unwrap();
        let files = Files::of(&ca);
        for of_leaf in KEY_TYPES {
            let mut proposed = proposal();
            proposed.public_key = public_key(of_leaf);
            let issued = issue(&ca, proposed).await;
            files.write("leaf.pem", pem::encode(pem::CERTIFICATE, &issued.der));
            assert_fine(&files.verify("sslserver", "leaf.pem"), &format!("{of_ca}, {of_leaf}"));
        }
        assert_fine(&files.verify("any", "issuing.pem"), &format!("the issuing CA, {of_ca}"));
    }
}

#[tokio::test]
async fn refuses_a_revoked_leaf_by_the_crl() {
    let ca = with_keys(KeyType::EcdsaP256).await;
    let issued = issue(&ca, proposal()).await;
    ca.revoke(revoked(&ca, issued.serial, RevocationReason::KeyCompromise, start())).await.unwrap();
    let files = Files::of(&ca);
    files.write("leaf.pem", pem::encode(pem::CERTIFICATE, &issued.der));
    let (accepted, said) = files.verify("sslserver", "leaf.pem");
    assert!(!accepted && said.contains("certificate revoked"), "{said}");

    let text = files.text("crl", "crl.pem");
    for expected in ["Version 2", "X509v3 CRL Number", "Key Compromise", "Revoked Certificates"] {
        assert!(text.contains(expected), "{expected} in {text}");
    }
    let (_, verified) =
        files.openssl(&["crl", "-in", "crl.pem", "-noout", "-CAfile", "issuing.pem"]);
    assert!(verified.contains("verify OK"), "{verified}");
    let (_, verified) =
        files.openssl(&["crl", "-in", "root-crl.pem", "-noout", "-CAfile", "root.pem"]);
    assert!(verified.contains("verify OK"), "{verified}");
}

#[tokio::test]
async fn accepts_client_and_service_certificates_for_their_purposes_only() {
    let ca = with_keys(KeyType::EcdsaP256).await;
    let files = Files::of(&ca);
    let service = ProposedCertificate {
        subject: Subject::default(),
        names: vec![GeneralName::uri("spiffe://dev.chancery/app").unwrap()],
        extended_key_usages: vec![ExtendedKeyUsage::ClientAuth, ExtendedKeyUsage::ServerAuth],
        ..proposal()
    };
    let client = ProposedCertificate {
        extended_key_usages: vec![ExtendedKeyUsage::ClientAuth],
        names: vec![
            GeneralName::dns("www.example.com").unwrap(),
            GeneralName::email("ops@example.com").unwrap(),
            GeneralName::Ip("192.0.2.7".parse().unwrap()),
            GeneralName::Ip("2001:db8::7".parse().unwrap()),
        ],
        ..proposal()
    };
    for (proposed, purposes) in [
        (service, [("sslclient", true), ("sslserver", true)]),
        (client, [("sslclient", true), ("sslserver", false)]),
    ] {
        let issued = issue(&ca, proposed).await;
        files.write("leaf.pem", pem::encode(pem::CERTIFICATE, &issued.der));
        for (purpose, accepted) in purposes {
            let outcome = files.verify(purpose, "leaf.pem");
            assert_eq!(outcome.0, accepted, "{purpose}: {}", outcome.1);
        }
    }
}

#[tokio::test]
async fn reads_the_leaf_as_it_was_meant() {
    let ca = with_keys(KeyType::EcdsaP256).await;
    let mut proposed = proposal();
    proposed.public_key = public_key(KeyType::Rsa2048);
    proposed.key_usages =
        KeyUsages::NONE.with(KeyUsage::DigitalSignature).with(KeyUsage::KeyEncipherment);
    proposed.names.push(GeneralName::dns("*.example.com").unwrap());
    proposed.not_after = start() + DAY;
    let issued = issue(&ca, proposed).await;
    let files = Files::of(&ca);
    files.write("leaf.pem", pem::encode(pem::CERTIFICATE, &issued.der));
    let text = files.text("x509", "leaf.pem");
    let id = ca.issuer_id();
    for expected in [
        "Version: 3 (0x2)",
        "Issuer: CN = Test Issuing CA",
        "Subject: CN = www.example.com",
        "CA:FALSE",
        "Digital Signature, Key Encipherment",
        "TLS Web Server Authentication",
        "DNS:www.example.com, DNS:*.example.com",
        "Not Before: Mar  1 12:00:00 2026 GMT",
        &format!("URI:http://127.0.0.1:8080/crl/{id}.crl"),
        &format!("CA Issuers - URI:http://127.0.0.1:8080/issuers/{id}.der"),
    ] {
        assert!(text.contains(expected), "{expected} in {text}");
    }
    let (_, serial) = files.openssl(&["x509", "-in", "leaf.pem", "-noout", "-serial"]);
    let shown = serial.trim().trim_start_matches("serial=").to_lowercase();
    assert_eq!(shown.parse::<chancery_x509::Serial>().unwrap(), issued.serial);
}
