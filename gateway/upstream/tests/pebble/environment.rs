use std::io::Write as _;
use std::net::{Ipv4Addr, SocketAddr};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use chancery_store::memory::MemoryStore;
use chancery_upstream::{AcmeUpstream, ChallengeResponses, Purpose, Trust, UpstreamConfig};
use chancery_x509::{CertificateRequest, GeneralName};
use jiff::Timestamp;
use rcgen::{CertificateParams, KeyPair};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream, UdpSocket};

/// A running pebble, its DNS server, and the plain port at which it validates.
pub(crate) struct Pebble {
    process: Child,
    directory: String,
    certificate: Vec<u8>,
    pub(crate) responses: ChallengeResponses,
    asked: Arc<Mutex<Vec<String>>>,
    files: tempfile::TempDir,
}

/// What pebble says.
const LOG: &str = "pebble.log";

impl Pebble {
    pub(crate) async fn start() -> Self {
        let store = Arc::new(MemoryStore::new());
        let responses = ChallengeResponses::open(store).await.unwrap();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let plain = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let http_port = plain.local_addr().unwrap().port();
        tokio::spawn(serve_responses(plain, responses.clone(), Arc::clone(&asked)));
        let dns = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let dns_address = dns.local_addr().unwrap();
        tokio::spawn(answer_dns(dns));

        let tls = rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned()]).unwrap();
        let files = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| {
            let path = files.path().join(name);
            std::fs::File::create(&path).unwrap().write_all(text.as_bytes()).unwrap();
            path.to_str().unwrap().to_owned()
        };
        let certificate = write("tls.pem", &tls.cert.pem());
        let key = write("tls.key", &tls.signing_key.serialize_pem());
        let (address, management) = (free_address(), free_address());
        let config = serde_json::json!({"pebble": {
            "listenAddress": address.to_string(),
            "managementListenAddress": management.to_string(),
            "certificate": certificate,
            "privateKey": key,
            "httpPort": http_port,
            "tlsPort": 1,
        }});
        let config = write("pebble.json", &config.to_string());
        let mut process = Command::new("pebble")
            .args(["-config", &config, "-dnsserver", &dns_address.to_string()])
            // It deadlocks under concurrency with more than one processor.
            .env("GOMAXPROCS", "1")
            .env("PEBBLE_VA_NOSLEEP", "1")
            .env("PEBBLE_WFE_NONCEREJECT", "0")
            .stdout(std::fs::File::create(files.path().join(LOG)).unwrap())
            .stderr(Stdio::null())
            .spawn()
            .expect("pebble is installed (apt-get install pebble)");
        while TcpStream::connect(address).await.is_err() {
            assert!(process.try_wait().unwrap().is_none(), "pebble ended by itself");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        Self {
            process,
            directory: format!("https://{address}/dir"),
            certificate: tls.cert.der().to_vec(),
            responses,
            asked,
            files,
        }
    }

    pub(crate) fn config(&self) -> UpstreamConfig {
        UpstreamConfig {
            name: "pebble".to_owned(),
            directory: self.directory.clone(),
            contact: vec!["mailto:pki@example.com".to_owned()],
            trust: Trust::Anchors(vec![self.certificate.clone()]),
            external_account: None,
            deadline: Duration::from_mins(1),
        }
    }

    pub(crate) fn upstream(&self, store: &MemoryStore) -> Arc<AcmeUpstream> {
        self.upstream_with(self.config(), store)
    }

    pub(crate) fn upstream_with(
        &self,
        config: UpstreamConfig,
        store: &MemoryStore,
    ) -> Arc<AcmeUpstream> {
        AcmeUpstream::open(config, Arc::new(store.clone()), self.responses.clone()).unwrap()
    }

    /// How many certificates pebble has issued so far.
    pub(crate) fn issued(&self) -> usize {
        let log = std::fs::read_to_string(self.files.path().join(LOG)).unwrap();
        log.matches("Issued certificate serial").count()
    }

    /// The tokens that pebble has come for so far.
    pub(crate) fn tokens_asked_for(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

impl Drop for Pebble {
    fn drop(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}

/// A request for these DNS names with a fresh key.
pub(crate) fn request(names: &[&str]) -> CertificateRequest {
    let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
    let key = KeyPair::generate().unwrap();
    let request = CertificateParams::new(names).unwrap().serialize_request(&key).unwrap();
    CertificateRequest::from_der(request.der()).unwrap()
}

/// What a certificate is for; it may be tried for ever.
pub(crate) fn purpose(id: &str) -> Purpose {
    Purpose { id: id.to_owned(), until: Timestamp::MAX }
}

pub(crate) fn names(names: &[&str]) -> Vec<GeneralName> {
    names.iter().map(|name| GeneralName::dns(name).unwrap()).collect()
}

/// Pebble cannot be asked for port 0.
fn free_address() -> SocketAddr {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

/// The gateway's plain port, as far as http-01 is concerned.
async fn serve_responses(
    listener: TcpListener,
    responses: ChallengeResponses,
    asked: Arc<Mutex<Vec<String>>>,
) {
    loop {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut head = Vec::new();
        while !head.windows(4).any(|end| end == b"\r\n\r\n") {
            if stream.read_buf(&mut head).await.unwrap() == 0 {
                break;
            }
        }
        let head = String::from_utf8(head).unwrap();
        let path = head.split(' ').nth(1).unwrap_or_default();
        let token = path.strip_prefix("/.well-known/acme-challenge/").unwrap_or_default();
        asked.lock().unwrap().push(token.to_owned());
        let answer = match responses.get(token) {
            Some(body) => {
                let length = body.len();
                format!(
                    "HTTP/1.1 200 OK\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}"
                )
            }
            None => {
                "HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\nconnection: close\r\n\r\n".into()
            }
        };
        stream.write_all(answer.as_bytes()).await.unwrap();
        stream.shutdown().await.unwrap();
    }
}

/// Answers every A question with 127.0.0.1, but nothing below `invalid`, and no other question.
async fn answer_dns(socket: UdpSocket) {
    let mut buffer = [0; 512];
    loop {
        let (length, from) = socket.recv_from(&mut buffer).await.unwrap();
        let query = &buffer[..length];
        // Header, then the name as labels up to an empty one, then type and class.
        let name_end = 12 + query[12..].iter().position(|byte| *byte == 0).unwrap() + 1;
        let question = &query[12..name_end + 4];
        let known = !query[12..name_end].ends_with(b"\x07invalid\0");
        let is_a = query[name_end..name_end + 2] == [0, 1];
        let answers = u8::from(known && is_a);
        let code = if known { 0 } else { 3 };
        let mut answer = query[..2].to_vec();
        answer.extend([0x81, 0x80 | code, 0, 1, 0, answers, 0, 0, 0, 0]);
        answer.extend(question);
        if answers == 1 {
            // Name (a pointer to the question's), type A, class IN, 60 seconds, 4 bytes.
            answer.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4]);
            answer.extend(Ipv4Addr::LOCALHOST.octets());
        }
        socket.send_to(&answer, from).await.unwrap();
    }
}
