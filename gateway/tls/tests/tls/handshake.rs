use chancery_tls::Protocol;
use rustls::{NamedGroup, ProtocolVersion};

use crate::harness::{Gateway, VERSIONS};

#[tokio::test]
async fn both_versions_and_the_newer_by_choice() {
    let gateway = Gateway::start().await;
    for (offered, expected) in [
        (&VERSIONS[..1], ProtocolVersion::TLSv1_2),
        (&VERSIONS[1..], ProtocolVersion::TLSv1_3),
        (&VERSIONS[..], ProtocolVersion::TLSv1_3),
    ] {
        let client = gateway.client_with(None, offered);
        let (served, connected) = gateway.connect(&client).await;
        let served = served.unwrap();
        assert_eq!(served.stream.get_ref().1.protocol_version(), Some(expected));
        assert!(served.peer.evidence.is_none());
        connected.unwrap();
    }
}

#[tokio::test]
async fn post_quantum_key_exchange_is_preferred() {
    let gateway = Gateway::start().await;
    let (_served, connected) = gateway.connect(&gateway.client(None)).await;
    let stream = connected.unwrap().stream;
    let group = stream.get_ref().1.negotiated_key_exchange_group().unwrap();
    assert_eq!(group.name(), NamedGroup::X25519MLKEM768);
}

#[tokio::test]
async fn the_application_protocol_is_told() {
    let gateway = Gateway::start().await;
    for (offered, expected) in [
        (&["h2", "http/1.1"][..], Protocol::Http2),
        (&["http/1.1", "h2"], Protocol::Http2),
        (&["http/1.1"], Protocol::Http1),
        (&[], Protocol::Http1),
    ] {
        let mut client = gateway.client(None);
        client.0.alpn_protocols = offered.iter().map(|name| name.as_bytes().to_vec()).collect();
        let (served, _connected) = gateway.connect(&client).await;
        assert_eq!(served.unwrap().protocol, expected, "{offered:?}");
    }
}

#[tokio::test]
async fn an_unknown_application_protocol_is_refused_with_its_alert() {
    let gateway = Gateway::start().await;
    let mut client = gateway.client(None);
    client.0.alpn_protocols = vec![b"smtp".to_vec()];
    let (served, connected) = gateway.connect(&client).await;
    assert!(served.is_err());
    let told = connected.err().unwrap();
    assert!(told.contains("NoApplicationProtocol"), "{told}");
}
