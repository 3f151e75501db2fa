use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use chancery_identity::{Clock, IdentityRules, TenantRules, VouchesFor};
use chancery_tls::{AcceptError, Accepted, Acceptor, ClientCa, ClientTrust, Credential, TlsConfig};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DistinguishedName, DnType,
    ExtendedKeyUsagePurpose, IsCa, KeyPair, KeyUsagePurpose, SanType, date_time_ymd,
};
use rustls::client::ResolvesClientCert;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::sign::CertifiedKey;
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, RootCertStore, SignatureScheme, SupportedProtocolVersion};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use zeroize::Zeroizing;

pub(crate) const VERSIONS: [&SupportedProtocolVersion; 2] = [&TLS12, &TLS13];
const TRUST_DOMAIN: &str = "spiffe://test.example";

/// A CA for servers or clients.
pub(crate) struct Authority(CertifiedIssuer<'static, KeyPair>);

/// A certificate with its key.
pub(crate) struct Leaf {
    pub(crate) der: Vec<u8>,
    /// What is sent behind it, in DER.
    pub(crate) chain: Vec<Vec<u8>>,
    pub(crate) pkcs8: Zeroizing<Vec<u8>>,
}

impl Authority {
    pub(crate) fn new(name: &str) -> Self {
        Self::root(authority(name))
    }

    /// A root with these parameters.
    pub(crate) fn root(params: CertificateParams) -> Self {
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    /// A CA with these parameters below this one.
    pub(crate) fn below(&self, params: CertificateParams) -> Self {
        Self(CertifiedIssuer::signed_by(params, KeyPair::generate().unwrap(), &self.0).unwrap())
    }

    /// A certificate with these parameters for the name and key of another CA, signed by this one.
    pub(crate) fn cross(&self, other: &Self, params: &CertificateParams) -> Vec<u8> {
        params.signed_by(other.0.key(), &self.0).unwrap().der().to_vec()
    }

    pub(crate) fn der(&self) -> Vec<u8> {
        self.0.der().to_vec()
    }

    /// A client certificate with this path as its SPIFFE ID.
    pub(crate) fn client(&self, path: &str) -> Leaf {
        self.sign(&client(path))
    }

    pub(crate) fn sign(&self, params: &CertificateParams) -> Leaf {
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.0).unwrap();
        Leaf {
            der: certificate.der().to_vec(),
            chain: vec![],
            pkcs8: Zeroizing::new(key.serialize_der()),
        }
    }

    pub(crate) fn server(&self) -> Leaf {
        let key = KeyPair::generate().unwrap();
        Leaf {
            der: self.server_for(&key),
            chain: vec![],
            pkcs8: Zeroizing::new(key.serialize_der()),
        }
    }

    /// A server's certificate for a key that there is already.
    pub(crate) fn server_for(&self, key: &KeyPair) -> Vec<u8> {
        let mut params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        (params.not_before, params.not_after) =
            (date_time_ymd(2020, 1, 1), date_time_ymd(2049, 1, 1));
        params.signed_by(key, &self.0).unwrap().der().to_vec()
    }
}

impl Leaf {
    /// The same with the certificates of these CAs behind it.
    pub(crate) fn over(mut self, authorities: &[&Authority]) -> Self {
        self.chain.extend(authorities.iter().map(|authority| authority.der()));
        self
    }
}

/// What a CA's certificate has in it.
pub(crate) fn authority(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.use_authority_key_identifier_extension = true;
    (params.not_before, params.not_after) = (date_time_ymd(2020, 1, 1), date_time_ymd(2049, 1, 1));
    params
}

pub(crate) fn client(path: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    let id = format!("{TRUST_DOMAIN}{path}");
    params.subject_alt_names = vec![SanType::URI(id.try_into().unwrap())];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    params.use_authority_key_identifier_extension = true;
    (params.not_before, params.not_after) = (date_time_ymd(2020, 1, 1), date_time_ymd(2049, 1, 1));
    params
}

pub(crate) fn credential(leaf: &Leaf) -> Credential {
    Credential::new(vec![leaf.der.clone()], &leaf.pkcs8).unwrap()
}

pub(crate) fn trust(authorities: &[&Authority]) -> ClientTrust {
    let cas = authorities.iter().map(|authority| believed(authority.der())).collect();
    ClientTrust::new(cas, rules()).unwrap()
}

/// A CA that vouches for everybody, and whose certificates are never revoked.
pub(crate) fn believed(certificate: Vec<u8>) -> ClientCa {
    ClientCa {
        certificate,
        origin: "the test".to_owned(),
        vouches_for: VouchesFor::Everybody,
        allow_no_extended_key_usage: false,
        check: Arc::new(|_| Ok(())),
    }
}

pub(crate) fn rules() -> IdentityRules {
    IdentityRules::new(vec![TenantRules {
        tenant: "default".parse().unwrap(),
        trust_domains: vec!["test.example".to_owned()],
        dns_suffixes: vec![],
        pinned: vec![],
    }])
}

/// A gateway's acceptor behind a listener, with a CA each for its own and for its clients'
/// certificates. Its clock stands at the start of 2026.
pub(crate) struct Gateway {
    pub(crate) acceptor: Acceptor,
    pub(crate) servers: Authority,
    pub(crate) clients: Authority,
    pub(crate) clock: Clock,
    listener: TcpListener,
}

pub(crate) type Served = Result<Accepted<TcpStream>, AcceptError>;

impl Gateway {
    pub(crate) async fn start() -> Self {
        // A loaded machine must not fail a test.
        Self::start_with(Duration::from_mins(1)).await
    }

    pub(crate) async fn start_with(handshake_deadline: Duration) -> Self {
        let (servers, clients) = (Authority::new("servers"), Authority::new("clients"));
        let config = TlsConfig { handshake_deadline, ..TlsConfig::default() };
        let clock = Clock::manual("2026-01-01T00:00:00Z".parse().unwrap());
        let acceptor =
            Acceptor::new(config, credential(&servers.server()), trust(&[&clients]), clock.clone())
                .unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        Self { acceptor, servers, clients, clock, listener }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.listener.local_addr().unwrap()
    }

    /// Accepts one connection; a good one gets two bytes, so that the client has seen the tickets.
    pub(crate) async fn serve(&self) -> Served {
        let (stream, address) = self.listener.accept().await.unwrap();
        let mut accepted = self.acceptor.accept(stream, address).await?;
        accepted.stream.write_all(b"ok").await.unwrap();
        accepted.stream.flush().await.unwrap();
        Ok(accepted)
    }

    /// One connection from both ends. The client's end is its error as text, or its stream.
    pub(crate) async fn connect(&self, client: &Client) -> (Served, Result<Connected, String>) {
        tokio::join!(self.serve(), client.connect(self.address()))
    }

    /// A client that trusts this gateway.
    pub(crate) fn client(&self, certificate: Option<&Leaf>) -> Client {
        self.client_with(certificate, &VERSIONS)
    }

    pub(crate) fn client_with(
        &self,
        certificate: Option<&Leaf>,
        versions: &[&'static SupportedProtocolVersion],
    ) -> Client {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from(self.servers.der())).unwrap();
        let config =
            ClientConfig::builder_with_protocol_versions(versions).with_root_certificates(roots);
        let config = match certificate {
            None => config.with_no_client_auth(),
            Some(leaf) => config
                .with_client_auth_cert(
                    std::iter::once(&leaf.der)
                        .chain(&leaf.chain)
                        .map(|der| CertificateDer::from(der.clone()))
                        .collect(),
                    PrivateKeyDer::try_from(leaf.pkcs8.to_vec()).unwrap(),
                )
                .unwrap(),
        };
        Client(config)
    }
}

/// What a client is told about the CAs that may have issued its certificate. It sends none.
#[derive(Debug)]
pub(crate) struct Told(Hints);

/// The names of CAs, in DER.
type Hints = Arc<Mutex<Vec<Vec<u8>>>>;

impl Told {
    pub(crate) fn new() -> (Hints, Arc<Self>) {
        let told = Hints::default();
        (told.clone(), Arc::new(Self(told)))
    }
}

impl ResolvesClientCert for Told {
    fn resolve(&self, hints: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        *self.0.lock().unwrap() = hints.iter().map(|hint| hint.to_vec()).collect();
        None
    }

    fn has_certs(&self) -> bool {
        true
    }
}

/// Connects any number of times and remembers sessions.
pub(crate) struct Client(pub(crate) ClientConfig);

pub(crate) struct Connected {
    pub(crate) stream: TlsStream<TcpStream>,
}

impl Client {
    pub(crate) async fn connect(&self, address: SocketAddr) -> Result<Connected, String> {
        let stream = TcpStream::connect(address).await.unwrap();
        let name = ServerName::try_from("localhost").unwrap();
        let connector = TlsConnector::from(Arc::new(self.0.clone()));
        let mut stream =
            connector.connect(name, stream).await.map_err(|error| error.to_string())?;
        // With TLS 1.3 the client learns only now whether its certificate was accepted.
        let mut greeting = [0; 2];
        stream.read_exact(&mut greeting).await.map_err(|error| error.to_string())?;
        Ok(Connected { stream })
    }
}
