use std::sync::Arc;

use chancery_identity::IdentityRules;
use chancery_keys::software::{SoftwareSigner, generate};
use chancery_keys::{BoxFuture, KeyName, KeyType, SignError, Signer};
use chancery_tls::{AcceptError, ClientTrust, Credential, CredentialError};
use chancery_x509::{PublicKey, SignatureAlgorithm};
use rcgen::KeyPair;
use rustls::HandshakeKind;
use rustls::pki_types::PrivatePkcs8KeyDer;

use crate::harness::{Authority, Gateway, VERSIONS, believed, credential, rules, trust};

fn kind(served: &crate::harness::Served) -> HandshakeKind {
    served.as_ref().unwrap().stream.get_ref().1.handshake_kind().unwrap()
}

#[tokio::test]
async fn sessions_are_resumed_with_the_facts_about_the_peer() {
    let gateway = Gateway::start().await;
    let leaf = gateway.clients.client("/app");
    for version in VERSIONS {
        let client = gateway.client_with(Some(&leaf), &[version]);
        let (first, _connected) = gateway.connect(&client).await;
        assert_eq!(kind(&first), HandshakeKind::Full);
        let (second, _connected) = gateway.connect(&client).await;
        assert_eq!(kind(&second), HandshakeKind::Resumed);
        let evidence = second.unwrap().peer.evidence.unwrap();
        let certificate = evidence.check().unwrap();
        assert_eq!(certificate.der, leaf.der);
        assert!(certificate.identity.is_ok());
    }
}

#[tokio::test]
async fn a_change_of_client_cas_forgets_resumable_sessions() {
    for version in VERSIONS {
        let gateway = Gateway::start().await;
        let leaf = gateway.clients.client("/app");
        let client = gateway.client_with(Some(&leaf), &[version]);
        gateway.connect(&client).await.0.unwrap();

        // One more CA: the client is still welcome, but has to prove itself again.
        let more = Authority::new("more");
        gateway.acceptor.replace_trust(trust(&[&gateway.clients, &more])).unwrap();
        let (again, _connected) = gateway.connect(&client).await;
        assert_eq!(kind(&again), HandshakeKind::Full, "{version:?}");
        let (resumed, _connected) = gateway.connect(&client).await;
        assert_eq!(kind(&resumed), HandshakeKind::Resumed, "{version:?}");

        // Its own CA is gone: no session brings it back in.
        gateway.acceptor.replace_trust(trust(&[&more])).unwrap();
        let (refused, connected) = gateway.connect(&client).await;
        assert!(matches!(refused, Err(AcceptError::Certificate(_))), "{version:?}");
        assert!(connected.is_err());
    }
}

#[tokio::test]
async fn other_rules_with_the_same_cas_apply_to_resumed_sessions() {
    let gateway = Gateway::start().await;
    let leaf = gateway.clients.client("/app");
    let client = gateway.client(Some(&leaf));
    gateway.connect(&client).await.0.unwrap();
    let nobody =
        ClientTrust::new(vec![believed(gateway.clients.der())], IdentityRules::default()).unwrap();
    gateway.acceptor.replace_trust(nobody).unwrap();
    let (served, _connected) = gateway.connect(&client).await;
    assert_eq!(kind(&served), HandshakeKind::Resumed);
    let evidence = served.unwrap().peer.evidence.unwrap();
    assert!(evidence.check().unwrap().identity.is_err());
}

#[tokio::test]
async fn without_client_cas_no_certificate_is_asked_for() {
    let gateway = Gateway::start().await;
    gateway.acceptor.replace_trust(ClientTrust::new(vec![], rules()).unwrap()).unwrap();
    let leaf = Authority::new("strangers").client("/app");
    let (served, connected) = gateway.connect(&gateway.client(Some(&leaf))).await;
    assert!(served.unwrap().peer.evidence.is_none());
    connected.unwrap();
}

#[tokio::test]
async fn leases_end_when_the_trust_is_replaced() {
    let gateway = Gateway::start().await;
    let (before, _connected) = gateway.connect(&gateway.client(None)).await;
    let mut before = before.unwrap().lease;
    assert!(!before.has_ended());
    gateway.acceptor.replace_trust(trust(&[&gateway.clients])).unwrap();
    before.ended().await;
    assert!(before.has_ended());
    let (after, _connected) = gateway.connect(&gateway.client(None)).await;
    assert!(!after.unwrap().lease.has_ended());
}

#[tokio::test]
async fn a_new_credential_is_shown_from_the_next_handshake_on() {
    let gateway = Gateway::start().await;
    let client = gateway.client(None);
    let (_served, connected) = gateway.connect(&client).await;
    let stream = connected.unwrap().stream;
    let old = stream.get_ref().1.peer_certificates().unwrap()[0].to_vec();

    let fresh = gateway.servers.server();
    gateway.acceptor.replace_credential(credential(&fresh));
    let (_served, connected) = gateway.connect(&gateway.client(None)).await;
    let stream = connected.unwrap().stream;
    let new = stream.get_ref().1.peer_certificates().unwrap()[0].to_vec();
    assert_eq!(new, fresh.der);
    assert_ne!(new, old);
    // Who has a session may use it: nothing about the client has changed.
    let (resumed, _connected) = gateway.connect(&client).await;
    assert_eq!(kind(&resumed), HandshakeKind::Resumed);
}

/// A server's certificate for a key of this type, which a signer holds.
fn held(gateway: &Gateway, key_type: KeyType) -> Credential {
    let (signer, name) = (SoftwareSigner::new(), "held".parse::<KeyName>().unwrap());
    let pkcs8 = generate(key_type).unwrap();
    let pair = PrivatePkcs8KeyDer::from(pkcs8.to_vec());
    let leaf = gateway.servers.server_for(&KeyPair::try_from(&pair).unwrap());
    signer.insert_pkcs8(name.clone(), pkcs8).unwrap();
    Credential::held(vec![leaf], Arc::new(signer), name).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_somebody_holds_signs_the_handshake_in_both_versions() {
    let gateway = Gateway::start().await;
    for key_type in [KeyType::EcdsaP256, KeyType::EcdsaP384, KeyType::Ed25519, KeyType::Rsa2048] {
        gateway.acceptor.replace_credential(held(&gateway, key_type));
        for version in VERSIONS {
            let client = gateway.client_with(None, &[version]);
            let (served, connected) = gateway.connect(&client).await;
            assert_eq!(kind(&served), HandshakeKind::Full, "{key_type} {version:?}");
            connected.unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_its_holder_has_lost_fails_the_handshake_and_nothing_else() {
    struct Lost(SoftwareSigner);
    impl Signer for Lost {
        fn sign<'a>(
            &'a self,
            key: &'a KeyName,
            _: SignatureAlgorithm,
            _: &'a [u8],
        ) -> BoxFuture<'a, Result<Vec<u8>, SignError>> {
            Box::pin(async { Err(SignError::UnknownKey { key: key.clone() }) })
        }

        fn public_key(&self, key: &KeyName) -> Result<PublicKey, SignError> {
            self.0.public_key(key)
        }

        fn kind(&self) -> &'static str {
            "lost"
        }
    }
    let gateway = Gateway::start().await;
    let (signer, name) = (SoftwareSigner::new(), "held".parse::<KeyName>().unwrap());
    let pkcs8 = generate(KeyType::EcdsaP256).unwrap();
    let pair = PrivatePkcs8KeyDer::from(pkcs8.to_vec());
    let leaf = gateway.servers.server_for(&KeyPair::try_from(&pair).unwrap());
    signer.insert_pkcs8(name.clone(), pkcs8).unwrap();
    let other = Credential::held(vec![leaf.clone()], Arc::new(Lost(signer)), "x".parse().unwrap());
    assert!(matches!(other, Err(CredentialError::Key)));

    let (signer, pkcs8) = (SoftwareSigner::new(), generate(KeyType::EcdsaP256).unwrap());
    signer.insert_pkcs8(name.clone(), pkcs8).unwrap();
    let mismatch = Credential::held(vec![leaf], Arc::new(Lost(signer)), name.clone());
    assert!(matches!(mismatch, Err(CredentialError::Mismatch)));

    let (signer, pkcs8) = (SoftwareSigner::new(), generate(KeyType::EcdsaP256).unwrap());
    let pair = PrivatePkcs8KeyDer::from(pkcs8.to_vec());
    let leaf = gateway.servers.server_for(&KeyPair::try_from(&pair).unwrap());
    signer.insert_pkcs8(name.clone(), pkcs8).unwrap();
    let lost = Credential::held(vec![leaf], Arc::new(Lost(signer)), name).unwrap();
    gateway.acceptor.replace_credential(lost);
    let client = gateway.client(None);
    let (refused, connected) = gateway.connect(&client).await;
    assert!(refused.is_err() && connected.is_err());
    gateway.acceptor.replace_credential(credential(&gateway.servers.server()));
    gateway.connect(&client).await.0.unwrap();
}
