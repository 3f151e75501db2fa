use chancery_identity::IdentityRules;
use chancery_tls::{AcceptError, ClientTrust};
use rustls::HandshakeKind;

use crate::harness::{Authority, Gateway, VERSIONS, credential, rules, trust};

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
        let certificate = second.unwrap().peer.certificate.unwrap();
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
    let nobody = ClientTrust::new(vec![gateway.clients.der()], IdentityRules::default()).unwrap();
    gateway.acceptor.replace_trust(nobody).unwrap();
    let (served, _connected) = gateway.connect(&client).await;
    assert_eq!(kind(&served), HandshakeKind::Resumed);
    assert!(served.unwrap().peer.certificate.unwrap().identity.is_err());
}

#[tokio::test]
async fn without_client_cas_no_certificate_is_asked_for() {
    let gateway = Gateway::start().await;
    gateway.acceptor.replace_trust(ClientTrust::new(vec![], rules()).unwrap()).unwrap();
    let leaf = Authority::new("strangers").client("/app");
    let (served, connected) = gateway.connect(&gateway.client(Some(&leaf))).await;
    assert!(served.unwrap().peer.certificate.is_none());
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
