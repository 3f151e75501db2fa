//! Stands before an ACME server and loses what passes, as the test wants it: what a CA looks like whose answers do not
//! arrive.

use std::collections::VecDeque;
use std::io::{self, Read as _, Write as _};
use std::net::TcpListener;
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread;
use std::time::Duration;

use rustls::{ServerConfig, ServerConnection, StreamOwned};
use rustls_pki_types::PrivateKeyDer;
use rustls_pki_types::pem::PemObject as _;

use crate::accepting::Accepting;
use crate::clients::AcmeServer;
use crate::foreign::ForeignCa;
use crate::http::{Client, certificates};
use crate::site::Site;

type Stream = StreamOwned<ServerConnection, std::net::TcpStream>;

/// What becomes of a request.
#[derive(Clone, Debug)]
pub enum Fate {
    /// The server does not get it, and the client no answer.
    HoldRequest,
    /// The server gets it, and the client no answer.
    HoldAnswer,
    /// The server gets it, and the client's connection is closed.
    Cut,
    /// The client gets this status, and a body of this media type.
    Answer(u16, &'static str, String),
}

/// The proxy, at a port of 127.0.0.1.
#[derive(Debug)]
pub struct AcmeProxy {
    state: Arc<Mutex<State>>,
    acme: AcmeServer,
    _accepting: Accepting,
}

#[derive(Debug, Default)]
struct State {
    /// What becomes of requests whose path has this in it. The first applies; the last one stays.
    rules: VecDeque<(String, Fate)>,
    /// The paths of the requests that the server got.
    passed: Vec<String>,
    /// How many requests met one of them.
    met: usize,
    held: Vec<Stream>,
}

impl AcmeProxy {
    /// Stands before this server, with a certificate of its own.
    #[must_use]
    pub fn before(site: &Site, server: &AcmeServer) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("there is a free port");
        let address = listener.local_addr().expect("it is bound");
        let ca = ForeignCa::new("The proxy's own TLS");
        let root = site.write("proxy/root.pem", ca.pem());
        let (certificate, key) = ca.server(address.ip());
        let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).expect("a key as PEM");
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("the provider has the usual protocols")
            .with_no_client_auth()
            .with_single_cert(certificates(&certificate), key)
            .expect("the key fits the certificate");
        let config = Arc::new(config);
        let server = Client::new(&server.directory, &server.root, None);
        let state = Arc::<Mutex<State>>::default();
        let shared = Arc::clone(&state);
        let accepting = Accepting::on(listener, move |stream| {
            stream.set_read_timeout(Some(Duration::from_secs(30)))?;
            let tls = ServerConnection::new(Arc::clone(&config)).map_err(io::Error::other)?;
            let (server, state) = (server.clone(), Arc::clone(&shared));
            // Each connection is for one request. A client may open one and not use it.
            thread::spawn(move || serve(StreamOwned::new(tls, stream), &server, &state));
            Ok(())
        });
        let acme = AcmeServer { directory: format!("https://{address}/dir"), root };
        Self { state, acme, _accepting: accepting }
    }

    /// What a client needs to know. The server makes its URLs of the name under which it is asked: all lead here.
    #[must_use]
    pub fn acme(&self) -> &AcmeServer {
        &self.acme
    }

    /// From now on this becomes of requests whose path has this in it: the first is for one request, then the next
    /// one applies. The last one is for all that follow.
    pub fn lose<const N: usize>(&self, rules: [(&str, Fate); N]) {
        let mut state = self.lock();
        state.rules = rules.into_iter().map(|(path, fate)| (path.to_owned(), fate)).collect();
        state.met = 0;
    }

    /// From now on everything passes.
    pub fn pass(&self) {
        self.lock().rules.clear();
    }

    /// How many requests met what was last [lost](Self::lose).
    #[must_use]
    pub fn met(&self) -> usize {
        self.lock().met
    }

    /// How many requests the server got whose path has this in it.
    #[must_use]
    pub fn passed(&self, path: &str) -> usize {
        self.lock().passed.iter().filter(|passed| passed.contains(path)).count()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("nobody panicked")
    }
}

fn serve(mut stream: Stream, server: &Client, state: &Mutex<State>) -> io::Result<()> {
    let (head, body) = request(&mut stream)?;
    let (line, headers) = head.split_once("\r\n").unwrap_or((&head, ""));
    let path = line.split(' ').nth(1).unwrap_or_default();
    let rule = state.lock().expect("nobody panicked").rules.front().cloned();
    let fate = rule.filter(|(part, _)| path.contains(part)).map(|(_, fate)| fate);
    let answer = match &fate {
        Some(Fate::HoldRequest) => Vec::new(),
        Some(Fate::Answer(status, kind, body)) => {
            let length = body.len();
            format!(
                "HTTP/1.1 {status} As told\r\ncontent-type: {kind}\r\n\
                 content-length: {length}\r\nconnection: close\r\n\r\n{body}"
            )
            .into()
        }
        None | Some(Fate::HoldAnswer | Fate::Cut) => {
            state.lock().expect("nobody panicked").passed.push(path.to_owned());
            let mut connection = server.connect()?;
            let head = format!("{line}\r\nconnection: close\r\n{headers}");
            connection.write(&[head.as_bytes(), &body].concat())?;
            connection.until_closed()?
        }
    };
    if let Some(fate) = fate {
        let mut state = state.lock().expect("nobody panicked");
        // Only now: the server has done what it was asked.
        state.met += 1;
        if state.rules.len() > 1 {
            state.rules.pop_front();
        }
        match fate {
            Fate::HoldRequest | Fate::HoldAnswer => {
                state.held.push(stream);
                return Ok(());
            }
            Fate::Cut => return Ok(()),
            Fate::Answer(..) => {}
        }
    }
    stream.write_all(&answer)?;
    stream.conn.send_close_notify();
    stream.flush()
}

/// The head of a request with its empty line, and its body.
fn request(stream: &mut Stream) -> io::Result<(String, Vec<u8>)> {
    let (mut said, mut part) = (Vec::new(), [0; 16 * 1024]);
    let mut more = |said: &mut Vec<u8>| match stream.read(&mut part)? {
        0 => Err(io::Error::from(io::ErrorKind::UnexpectedEof)),
        read => {
            said.extend_from_slice(&part[..read]);
            Ok(())
        }
    };
    let end = loop {
        match said.windows(4).position(|end| end == b"\r\n\r\n") {
            Some(at) => break at + 4,
            None => more(&mut said)?,
        }
    };
    let head = String::from_utf8_lossy(&said[..end]).into_owned();
    let length = head.to_ascii_lowercase().lines().find_map(|line| {
        line.strip_prefix("content-length:").and_then(|length| length.trim().parse().ok())
    });
    while said.len() < end + length.unwrap_or(0) {
        more(&mut said)?;
    }
    Ok((head, said.split_off(end)))
}
