//! A small blocking HTTP/1.1 client over rustls, which sends whatever it is told to send: paths and
//! headers go out byte for byte, where a proper client would tidy or refuse them.

use std::fmt::Write as _;
use std::fs;
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rustls::client::{ClientConfig, ClientConnection, Resumption};
use rustls::time_provider::TimeProvider;
use rustls::{RootCertStore, StreamOwned};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use serde_json::Value;

/// No answer takes longer, on a machine that is busy with other tests.
const PATIENCE: Duration = Duration::from_mins(1);

/// A client certificate with its chain and key.
#[derive(Debug)]
pub struct Credential {
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
}

impl Credential {
    /// Reads PEM files.
    #[must_use]
    pub fn read(chain: &Path, key: &Path) -> Self {
        Self::from_pem(
            &fs::read_to_string(chain).expect("the certificate can be read"),
            &fs::read_to_string(key).expect("the key can be read"),
        )
    }

    /// Takes PEM texts.
    #[must_use]
    pub fn from_pem(chain: &str, key: &str) -> Self {
        Self {
            chain: certificates(chain),
            key: PrivateKeyDer::from_pem_slice(key.as_bytes()).expect("a key as PEM"),
        }
    }

    /// The same certificate and key, with these certificates (PEM) behind the first.
    #[must_use]
    pub fn with_chain(mut self, pem: &str) -> Self {
        self.chain.extend(certificates(pem));
        self
    }

    /// The certificate itself, as DER.
    #[must_use]
    pub fn certificate(&self) -> &[u8] {
        self.chain.first().expect("a chain has a certificate")
    }
}

impl Clone for Credential {
    fn clone(&self) -> Self {
        Self { chain: self.chain.clone(), key: self.key.clone_key() }
    }
}

/// The certificates in a PEM text, in its order.
#[must_use]
pub fn certificates(pem: &str) -> Vec<CertificateDer<'static>> {
    CertificateDer::pem_slice_iter(pem.as_bytes())
        .collect::<Result<_, _>>()
        .expect("certificates as PEM")
}

/// An answer.
#[derive(Clone, Debug)]
pub struct Response {
    /// The status code.
    pub status: u16,
    /// The headers, names in lower case, in the order they came.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
}

impl Response {
    /// The first header of that name (lower case).
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// The body as text.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON.
    #[track_caller]
    #[must_use]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("not JSON ({error}): {} {}", self.status, self.text()))
    }

    /// Fails unless the status is this one.
    #[track_caller]
    #[must_use = "an answer is more than its status"]
    pub fn expect(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{}", self.text());
        self
    }
}

/// Where to connect, and as whom.
#[derive(Clone, Debug)]
pub struct Client {
    authority: String,
    tls: Option<Arc<ClientConfig>>,
}

impl Client {
    /// A client of an `https` URL that trusts the certificates in the file `root` alone.
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
        // Whoever a connection is for is proved anew: no session is taken from another test step.
        config.resumption = Resumption::disabled();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Self { authority: authority(url), tls: Some(Arc::new(config)) }
    }

    /// A client of an `http` URL.
    #[must_use]
    pub fn plain(url: &str) -> Self {
        Self { authority: authority(url), tls: None }
    }

    /// Opens a connection. With TLS 1.3 a server refuses a client's certificate only after the
    /// client believes the handshake done, so a refusal may come from the first request instead.
    pub fn connect(&self) -> io::Result<Connection> {
        let socket = TcpStream::connect(&self.authority)?;
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
        Ok(Connection { stream, authority: self.authority.clone() })
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

/// The path and query of a URL.
#[must_use]
pub fn target(url: &str) -> String {
    let rest = url.split_once("//").expect("a URL has a scheme").1;
    rest.find('/').map_or_else(|| "/".to_owned(), |start| rest[start..].to_owned())
}

#[derive(Debug)]
enum Stream {
    Plain(TcpStream),
    Tls(Box<StreamOwned<ClientConnection, TcpStream>>),
}

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(stream) => stream.read(buffer),
            Self::Tls(stream) => read_tls(stream, buffer),
        }
    }
}

/// Reads what has come, also from a peer that does not read any more: `StreamOwned` would try to
/// write first, fail, and never come to an answer that is there.
fn read_tls(
    stream: &mut StreamOwned<ClientConnection, TcpStream>,
    buffer: &mut [u8],
) -> io::Result<usize> {
    loop {
        match stream.conn.reader().read(buffer) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            done => return done,
        }
        while stream.conn.wants_write() && stream.conn.write_tls(&mut stream.sock).is_ok() {}
        stream.conn.read_tls(&mut stream.sock)?;
        stream.conn.process_new_packets().map_err(io::Error::other)?;
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(stream) => stream.write(bytes),
            Self::Tls(stream) => stream.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(stream) => stream.flush(),
            Self::Tls(stream) => stream.flush(),
        }
    }
}

/// An open connection, for as many requests as the server likes.
#[derive(Debug)]
pub struct Connection {
    stream: Stream,
    authority: String,
}

impl Connection {
    /// Sends a request and reads its answer.
    pub fn send(
        &mut self,
        method: &str,
        target: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> io::Result<Response> {
        let mut head = format!("{method} {target} HTTP/1.1\r\nhost: {}\r\n", self.authority);
        for (name, value) in headers {
            let _ = write!(head, "{name}: {value}\r\n");
        }
        if !body.is_empty() || !matches!(method, "GET" | "HEAD" | "LIST" | "DELETE") {
            let _ = write!(head, "content-length: {}\r\n", body.len());
        }
        head.push_str("\r\n");
        // A server may answer and close before it has read all of a body that is too large.
        let sent = self.write(&[head.as_bytes(), body].concat());
        match self.read(method == "HEAD") {
            Ok(response) => Ok(response),
            Err(error) => Err(sent.err().unwrap_or(error)),
        }
    }

    /// Writes bytes as they are.
    pub fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes)?;
        self.stream.flush()
    }

    /// Reads an answer; `bodiless` for the answer to HEAD.
    pub fn read(&mut self, bodiless: bool) -> io::Result<Response> {
        let mut buffer = Vec::new();
        let (mut response, start) = loop {
            if let Some(head) = parse_head(&buffer)? {
                break head;
            }
            self.more(&mut buffer)?;
        };
        let mut body = buffer.split_off(start);
        if bodiless || response.status == 204 || response.status == 304 {
            return Ok(response);
        }
        if response.header("transfer-encoding").is_some_and(|value| value.contains("chunked")) {
            response.body = self.chunks(body)?;
        } else if let Some(length) = response.header("content-length") {
            let length: usize = length.parse().map_err(io::Error::other)?;
            while body.len() < length {
                self.more(&mut body)?;
            }
            response.body = body;
        } else {
            self.stream.read_to_end(&mut body)?;
            response.body = body;
        }
        Ok(response)
    }

    fn more(&mut self, buffer: &mut Vec<u8>) -> io::Result<()> {
        let mut part = [0; 16 * 1024];
        match self.stream.read(&mut part)? {
            0 => Err(io::Error::new(
                io::ErrorKind::UnexpectedEof,
                "the server closed the connection",
            )),
            read => {
                buffer.extend_from_slice(&part[..read]);
                Ok(())
            }
        }
    }

    fn chunks(&mut self, mut buffer: Vec<u8>) -> io::Result<Vec<u8>> {
        let mut body = Vec::new();
        loop {
            match httparse::parse_chunk_size(&buffer)
                .map_err(|_| io::Error::other("a broken chunk"))?
            {
                httparse::Status::Complete((start, size)) => {
                    let size = usize::try_from(size).map_err(io::Error::other)?;
                    while buffer.len() < start + size + 2 {
                        self.more(&mut buffer)?;
                    }
                    body.extend_from_slice(&buffer[start..start + size]);
                    buffer.drain(..start + size + 2);
                    if size == 0 {
                        return Ok(body);
                    }
                }
                httparse::Status::Partial => self.more(&mut buffer)?,
            }
        }
    }
}

fn parse_head(buffer: &[u8]) -> io::Result<Option<(Response, usize)>> {
    let mut headers = [httparse::EMPTY_HEADER; 64];
    let mut head = httparse::Response::new(&mut headers);
    match head.parse(buffer).map_err(io::Error::other)? {
        httparse::Status::Partial => Ok(None),
        httparse::Status::Complete(start) => {
            let headers = head
                .headers
                .iter()
                .map(|header| {
                    (header.name.to_lowercase(), String::from_utf8_lossy(header.value).into_owned())
                })
                .collect();
            let status = head.code.expect("a whole head has a status");
            Ok(Some((Response { status, headers, body: Vec::new() }, start)))
        }
    }
}
