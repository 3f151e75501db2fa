use chancery_identity::{Fingerprint, NoIdentity};
use chancery_tls::{AcceptError, ClientCa, ClientTrust, Credential, CredentialError, TrustError};
use rcgen::{
    BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, KeyPair, KeyUsagePurpose,
    SanType, date_time_ymd,
};
use zeroize::Zeroizing;

use crate::harness::{Authority, Gateway, Leaf, VERSIONS, believed, client, rules};

#[tokio::test]
async fn a_good_certificate_becomes_facts_about_the_peer() {
    let gateway = Gateway::start().await;
    let leaf = gateway.clients.client("/app");
    for version in VERSIONS {
        let (served, connected) =
            gateway.connect(&gateway.client_with(Some(&leaf), &[version])).await;
        let peer = served.unwrap().peer;
        let connected = connected.unwrap();
        assert_eq!(peer.address, connected.stream.get_ref().0.local_addr().unwrap());
        let evidence = peer.evidence.unwrap();
        let certificate = evidence.check().unwrap();
        assert_eq!(certificate.der, leaf.der);
        assert_eq!(certificate.fingerprint, Fingerprint::of_certificate(&leaf.der));
        let identity = certificate.identity.as_ref().unwrap();
        assert_eq!(identity.to_string(), "spiffe://test.example/app");
        assert_eq!(identity.tenant.as_str(), "default");
        assert_eq!(certificate.not_before.to_string(), "2020-01-01T00:00:00Z");
        assert_eq!(certificate.not_after.to_string(), "2049-01-01T00:00:00Z");
        let issuer = chancery_x509::ParsedCertificate::from_der(&gateway.clients.der()).unwrap();
        assert_eq!(Some(certificate.authority_key_id.as_str()), issuer.subject_key_id());
        assert!(!certificate.serial.is_empty());
    }
}

#[tokio::test]
async fn a_certificate_without_a_known_name_is_accepted_and_nobody() {
    let gateway = Gateway::start().await;
    let mut params = client("/x");
    params.subject_alt_names =
        vec![SanType::URI("spiffe://elsewhere.example/x".try_into().unwrap())];
    let leaf = gateway.clients.sign(&params);
    let (served, _connected) = gateway.connect(&gateway.client(Some(&leaf))).await;
    let evidence = served.unwrap().peer.evidence.unwrap();
    let certificate = evidence.check().unwrap();
    assert_eq!(certificate.identity, Err(NoIdentity::Unrecognised));
}

/// Connects with each version and expects both ends to name the same reason.
pub(crate) async fn refused(gateway: &Gateway, leaf: &Leaf, ours: &str, alert: &str) {
    for version in VERSIONS {
        let client = gateway.client_with(Some(leaf), &[version]);
        let (served, connected) = gateway.connect(&client).await;
        let Err(error @ AcceptError::Certificate(_)) = served else {
            panic!("{version:?}: not refused for its certificate");
        };
        assert!(error.to_string().contains(ours), "{version:?}: {error}");
        let told = connected.err().unwrap();
        assert!(told.contains(alert), "{version:?}: {told}");
    }
    // Nobody else suffers from it.
    gateway.connect(&gateway.client(None)).await.0.unwrap();
}

#[tokio::test]
async fn a_certificate_of_another_ca_is_refused() {
    let gateway = Gateway::start().await;
    let leaf = Authority::new("strangers").client("/app");
    refused(&gateway, &leaf, "no client CA issued it", "UnknownCA").await;
}

#[tokio::test]
async fn a_ca_of_the_same_name_is_another_ca() {
    let gateway = Gateway::start().await;
    let leaf = Authority::new("clients").client("/app");
    refused(&gateway, &leaf, "was not signed with the key of the CA", "Decrypt").await;
}

#[tokio::test]
async fn an_expired_certificate_is_refused() {
    let gateway = Gateway::start().await;
    let mut params = client("/app");
    params.not_after = date_time_ymd(2025, 12, 31);
    let leaf = gateway.clients.sign(&params);
    refused(&gateway, &leaf, "expired at 2025-12-31T00:00:00Z", "CertificateExpired").await;
}

#[tokio::test]
async fn a_certificate_from_the_future_is_refused() {
    let gateway = Gateway::start().await;
    let mut params = client("/app");
    params.not_before = date_time_ymd(2026, 1, 2);
    let leaf = gateway.clients.sign(&params);
    refused(&gateway, &leaf, "not valid before 2026-01-02T00:00:00Z", "CertificateExpired").await;
}

#[tokio::test]
async fn a_server_s_certificate_does_not_make_a_client() {
    let gateway = Gateway::start().await;
    let mut params = client("/app");
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let leaf = gateway.clients.sign(&params);
    refused(&gateway, &leaf, "lacks clientAuth", "UnsupportedCertificate").await;
}

fn self_signed(params: &CertificateParams) -> Vec<u8> {
    params.self_signed(&KeyPair::generate().unwrap()).unwrap().der().to_vec()
}

#[test]
fn only_ca_certificates_are_anchors() {
    let leaf = self_signed(&client("/app"));
    let mut ca_that_signs_no_certificates = client("/app");
    ca_that_signs_no_certificates.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    ca_that_signs_no_certificates.key_usages = vec![KeyUsagePurpose::CrlSign];
    let good = Authority::new("clients").der();
    for bad in [leaf, self_signed(&ca_that_signs_no_certificates)] {
        let bad = ClientCa { origin: "bad.pem".to_owned(), ..believed(bad) };
        let refused = ClientTrust::new(vec![believed(good.clone()), bad], rules()).unwrap_err();
        assert!(matches!(refused, TrustError::NotACa { .. }), "{refused}");
        assert!(refused.to_string().contains("of bad.pem is not a CA's"), "{refused}");
    }
    let refused = ClientTrust::new(vec![believed(b"none".to_vec())], rules()).unwrap_err();
    assert!(matches!(refused, TrustError::Unreadable { .. }), "{refused}");
    ClientTrust::new(vec![believed(good.clone()), believed(good)], rules()).unwrap();
}

#[test]
fn a_credential_is_a_chain_and_its_own_key() {
    let servers = Authority::new("servers");
    let (one, two) = (servers.server(), servers.server());
    let refused = |chain, key| Credential::new(chain, key).unwrap_err();
    let chain = || vec![one.der.clone()];
    assert!(matches!(refused(chain(), &two.pkcs8), CredentialError::Mismatch));
    assert!(matches!(refused(vec![], &one.pkcs8), CredentialError::Empty));
    assert!(matches!(refused(vec![vec![1]], &one.pkcs8), CredentialError::Certificate(_)));
    assert!(matches!(refused(chain(), &Zeroizing::new(vec![1])), CredentialError::Key));
    let good = Credential::new(chain(), &one.pkcs8).unwrap();
    assert_eq!(good.certificate().der(), one.der);
}
