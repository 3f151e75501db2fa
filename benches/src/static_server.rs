//! The floor of the secrets: hyper and rustls, mutual TLS, one fixed answer.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use anyhow::Context;
use bytes::Bytes;
use chancery_integration::gateway::Ready;
use chancery_integration::http::certificates;
use chancery_integration::site::Site;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject;
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

/// First argument of the process that serves.
pub(crate) const ROLE: &str = "static-server";

/// A server in a process of its own, so that its processor time can be told from the load's.
pub(crate) struct StaticServer {
    child: Child,
    url: String,
    root: PathBuf,
}

impl StaticServer {
    /// Serves `answer` to clients that have a certificate of the gateway's CA.
    pub(crate) fn start(site: &Site, ready: &Ready, answer: &[u8]) -> Self {
        let own = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
        let body = site.write("static/answer", answer);
        let root = site.write("static/server.pem", own.cert.pem());
        let key = site.write("static/server.key", own.signing_key.serialize_pem());
        Self::spawn(&[&body, &root, &key, &ready.root], root.clone())
    }

    /// Serves `answer` to everybody, without TLS.
    pub(crate) fn start_plain(site: &Site, answer: &[u8]) -> Self {
        let body = site.write("static/plain-answer", answer);
        Self::spawn(&[&body], PathBuf::new())
    }

    fn spawn(arguments: &[&PathBuf], root: PathBuf) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .arg(ROLE)
            .args(arguments)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        let stdout = child.stdout.take().unwrap();
        std::io::BufRead::read_line(&mut std::io::BufReader::new(stdout), &mut line).unwrap();
        Self { child, url: line.trim().to_owned(), root }
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// The certificate to trust.
    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    pub(crate) fn process(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for StaticServer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The process that serves: arguments are the files of the answer, the certificate, its key and the
/// root of the clients. Prints its URL.
pub(crate) fn run(arguments: &[String]) -> anyhow::Result<()> {
    let (answer, acceptor) = match arguments {
        [answer] => (answer, None),
        [answer, chain, key, clients] => {
            (answer, Some(TlsAcceptor::from(Arc::new(tls(chain, key, clients)?))))
        }
        _ => anyhow::bail!("{ROLE} takes one file, or four"),
    };
    let body = Bytes::from(std::fs::read(answer)?);
    let runtime = tokio::runtime::Runtime::new()?;
    runtime.block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let scheme = if acceptor.is_some() { "https" } else { "http" };
        println!("{scheme}://{}", listener.local_addr()?);
        loop {
            let (socket, _) = listener.accept().await?;
            socket.set_nodelay(true)?;
            let (acceptor, body) = (acceptor.clone(), body.clone());
            tokio::spawn(async move {
                match acceptor {
                    None => serve(socket, body).await,
                    Some(acceptor) => {
                        let Ok(stream) = acceptor.accept(socket).await else { return };
                        serve(stream, body).await;
                    }
                }
            });
        }
    })
}

async fn serve(stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static, body: Bytes) {
    let service = service_fn(move |_: http::Request<Incoming>| {
        let answer = http::Response::builder()
            .header("content-type", "application/json")
            .body(Full::new(body.clone()));
        async move { answer }
    });
    let connection = auto::Builder::new(TokioExecutor::new());
    let _ = connection.serve_connection(TokioIo::new(stream), service).await;
}

fn tls(chain: &str, key: &str, clients: &str) -> anyhow::Result<ServerConfig> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut roots = RootCertStore::empty();
    for root in certificates(&std::fs::read_to_string(clients)?) {
        roots.add(root)?;
    }
    let verifier =
        WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone()).build()?;
    let key = PrivateKeyDer::from_pem_file(key).context("the key of the static server")?;
    Ok(ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_client_cert_verifier(verifier)
        .with_single_cert(certificates(&std::fs::read_to_string(chain)?), key)?)
}
