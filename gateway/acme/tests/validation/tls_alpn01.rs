use std::net::Ipv4Addr;
use std::sync::Arc;

use aws_lc_rs::digest::{SHA256, digest};
use chancery_acme::challenge::ChallengeType::TlsAlpn01;
use chancery_acme::{Failure, FailureKind, ValidationConfig};
use rcgen::{CertificateParams, CustomExtension, KeyPair};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::version::{TLS12, TLS13};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use crate::nameserver::Zone;
use crate::{config, key_authorization, task, validator};

const OID: [u64; 9] = [1, 3, 6, 1, 5, 5, 7, 1, 31];

/// A server that answers `acme-tls/1`, with what can be wrong with it.
struct Responder {
    names: Vec<&'static str>,
    extension: Option<CustomExtension>,
    protocol: &'static [u8],
    version: &'static rustls::SupportedProtocolVersion,
}

fn extension(oid: &[u64], digest: &[u8], critical: bool) -> CustomExtension {
    let content = [&[4, u8::try_from(digest.len()).unwrap()], digest].concat();
    let mut extension = CustomExtension::from_oid_content(oid, content);
    extension.set_criticality(critical);
    extension
}

fn expected() -> Vec<u8> {
    digest(&SHA256, key_authorization().as_bytes()).as_ref().to_vec()
}

fn good() -> Responder {
    Responder {
        names: vec!["a.example"],
        extension: Some(extension(&OID, &expected(), true)),
        protocol: b"acme-tls/1",
        version: &TLS13,
    }
}

async fn look_at(responder: Responder, name: &str) -> Result<(), Failure> {
    let names: Vec<_> = responder.names.iter().map(|&name| name.to_owned()).collect();
    let mut params = CertificateParams::new(names).unwrap();
    params.custom_extensions.extend(responder.extension);
    let key = KeyPair::generate().unwrap();
    let certificate = CertificateDer::from(params.self_signed(&key).unwrap());
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let private = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    let private = provider.key_provider.load_private_key(private).unwrap();
    // By a resolver, because the direct way checks the certificate and refuses its extension.
    let credential = SingleCertAndKey::from(CertifiedKey::new(vec![certificate], private));
    let mut server = rustls::ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[responder.version])
        .unwrap()
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(credential));
    server.alpn_protocols = vec![responder.protocol.to_vec()];
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let acceptor = TlsAcceptor::from(Arc::new(server));
    tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        let _ = acceptor.accept(stream).await;
    });
    let dns = Zone::default().address("a.example.", Ipv4Addr::LOCALHOST).serve().await;
    let settings = ValidationConfig { tls_alpn01_port: port, ..config(dns) };
    validator(&settings).validate(&task(TlsAlpn01, name)).await
}

async fn refused(responder: Responder) -> Failure {
    look_at(responder, "a.example").await.unwrap_err()
}

#[tokio::test]
async fn takes_the_certificate_of_the_specification() {
    look_at(good(), "a.example").await.unwrap();
    look_at(Responder { version: &TLS12, ..good() }, "a.example").await.unwrap();
    look_at(Responder { names: vec!["127.0.0.1"], ..good() }, "127.0.0.1").await.unwrap();
}

#[tokio::test]
async fn exactly_one_san() {
    for names in [vec![], vec!["b.example"], vec!["a.example", "b.example"], vec!["127.0.0.1"]] {
        let failure = refused(Responder { names: names.clone(), ..good() }).await;
        assert_eq!(failure.kind, FailureKind::IncorrectResponse, "{names:?}: {failure}");
    }
}

#[tokio::test]
async fn acme_identifier_is_critical_and_of_this_key_authorization() {
    let other = vec![7; 32];
    for extension in [
        None,
        Some(extension(&OID, &expected(), false)),
        Some(extension(&OID, &other, true)),
        Some(extension(&OID, &expected()[..31], true)),
    ] {
        let failure = refused(Responder { extension, ..good() }).await;
        assert_eq!(failure.kind, FailureKind::IncorrectResponse, "{failure}");
    }
}

#[tokio::test]
async fn the_identifier_of_the_drafts_is_rejected() {
    let draft = [1, 3, 6, 1, 5, 5, 7, 1, 30, 1];
    let extension = Some(extension(&draft, &expected(), true));
    let failure = refused(Responder { extension, ..good() }).await;
    assert_eq!(failure.kind, FailureKind::IncorrectResponse, "{failure}");
}

#[tokio::test]
async fn a_server_of_another_protocol_is_not_a_responder() {
    let failure = refused(Responder { protocol: b"h2", ..good() }).await;
    assert_eq!(failure.kind, FailureKind::Tls, "{failure}");
}
