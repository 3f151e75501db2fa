use std::fs;
use std::io::{self, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rustix::net::{self, AddressFamily, SocketType};
use rustls::client::{ClientConfig, ClientConnection, Resumption};
use rustls::time_provider::TimeProvider;
use rustls::{RootCertStore, StreamOwned};
use rustls_pki_types::{ServerName, UnixTime};
use serde_json::Value;

use super::connection::{Connection, Stream};
use super::{Credential, Response, certificates};

/// The longest time for an answer, even on a machine that is busy with other tests.
const PATIENCE: Duration = Duration::from_mins(1);

/// Where to connect, and with which certificate.
#[derive(Clone, Debug)]
pub struct Client {
    authority: String,
    tls: Option<Arc<ClientConfig>>,
    source: Option<Ipv4Addr>,
    preamble: Vec<u8>,
}

impl Client {
    /// A client of an `https` URL that trusts only the certificates in the file `root`.
    #[must_use]
    pub fn new(url: &str, root: &Path, credential: Option<&Credential>) -> Self {
        Self::at(url, root, credential, 0)
    }

    /// The same, for a client whose clock is some days ahead.
    #[must_use]
    pub fn at(url: &str, root: &Path, credential: Option<&Credential>, days: u64) -> Self {
        let mut roots = RootCertStore::empty();
        for certificate in certificates(&fs::read_to_string(root).expect("the root can be read")) {
            roots.add(certificate).expect("a root certificate");
        }
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_details(provider, Arc::new(Ahead { days }))
            .with_safe_default_protocol_versions()
            .expect("the provider has the usual protocols")
            .with_root_certificates(roots);
        let mut config = match credential.cloned() {
            Some(Credential { chain, key }) => {
                builder.with_client_auth_cert(chain, key).expect("the key fits the certificate")
            }
            None => builder.with_no_client_auth(),
        };
        // Each connection proves its identity anew: it resumes no session of another test step.
        config.resumption = Resumption::disabled();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Self { tls: Some(Arc::new(config)), ..Self::plain(url) }
    }

    /// A client of an `http` URL.
    #[must_use]
    pub fn plain(url: &str) -> Self {
        Self { authority: authority(url), tls: None, source: None, preamble: Vec::new() }
    }

    /// The same, for connections that [write bytes](Connection::write) of HTTP/2.
    #[must_use]
    pub fn http2(mut self) -> Self {
        if let Some(config) = &mut self.tls {
            Arc::make_mut(config).alpn_protocols = vec![b"h2".to_vec()];
        }
        self
    }

    /// The same, from this address, with these bytes first on each connection: what a load balancer
    /// does.
    #[must_use]
    pub fn through(self, source: Ipv4Addr, preamble: &[u8]) -> Self {
        Self { source: Some(source), preamble: preamble.to_owned(), ..self }
    }

    /// Opens a connection. With TLS 1.3 a server refuses a client's certificate only after the
    /// client believes the handshake done, so a refusal may come from the first request instead.
    pub fn connect(&self) -> io::Result<Connection> {
        let mut socket = match self.source {
            None => TcpStream::connect(&self.authority)?,
            Some(source) => connect_from(source, &self.authority)?,
        };
        socket.write_all(&self.preamble)?;
        socket.set_read_timeout(Some(PATIENCE))?;
        socket.set_write_timeout(Some(PATIENCE))?;
        socket.set_nodelay(true)?;
        let stream = match &self.tls {
            None => Stream::Plain(socket),
            Some(config) => {
                let host = self.authority.rsplit_once(':').expect("a host and a port").0;
                let name = ServerName::try_from(host.to_owned()).expect("a host name or address");
                let mut tls =
                    ClientConnection::new(Arc::clone(config), name).map_err(io::Error::other)?;
                let mut socket = socket;
                while tls.is_handshaking() {
                    tls.complete_io(&mut socket)?;
                }
                Stream::Tls(Box::new(StreamOwned::new(tls, socket)))
            }
        };
        Ok(Connection::new(stream, self.authority.clone()))
    }

    /// Sends one request on a connection of its own.
    pub fn try_send(
        &self,
        method: &str,
        target: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> io::Result<Response> {
        self.connect()?.send(method, target, headers, body)
    }

    /// Sends one request on a connection of its own, and expects an answer of some kind.
    #[track_caller]
    pub fn send(
        &self,
        method: &str,
        target: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Response {
        self.try_send(method, target, headers, body)
            .unwrap_or_else(|error| panic!("{method} {target}: {error}"))
    }

    /// GET.
    #[track_caller]
    pub fn get(&self, target: &str) -> Response {
        self.send("GET", target, &[], b"")
    }

    /// POST of JSON.
    #[track_caller]
    pub fn post(&self, target: &str, body: &Value) -> Response {
        let body = serde_json::to_vec(body).expect("JSON can be written");
        self.send("POST", target, &[("content-type", "application/json")], &body)
    }
}

/// A connection from one of the addresses of this machine.
fn connect_from(source: Ipv4Addr, authority: &str) -> io::Result<TcpStream> {
    let target: SocketAddr = authority.parse().map_err(io::Error::other)?;
    let socket = net::socket(AddressFamily::INET, SocketType::STREAM, None)?;
    net::bind(&socket, &SocketAddr::from((source, 0)))?;
    net::connect(&socket, &target)?;
    Ok(socket.into())
}

/// A clock that is some days ahead.
#[derive(Debug)]
struct Ahead {
    days: u64,
}

impl TimeProvider for Ahead {
    fn current_time(&self) -> Option<UnixTime> {
        let ahead = Duration::from_hours(24 * self.days);
        Some(UnixTime::since_unix_epoch(Duration::from_secs(UnixTime::now().as_secs()) + ahead))
    }
}

fn authority(url: &str) -> String {
    let rest = url.split_once("//").expect("a URL has a scheme").1;
    rest.split('/').next().expect("a split has a first part").to_owned()
}
