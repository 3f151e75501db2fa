//! The TLS side of a connection, from the first byte of the handshake to the peer behind it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use chancery_identity::{Clock, Evidence, EvidenceError, Peer, Settle, StillHolds};
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{ServerSessionMemoryCache, WebPkiClientVerifier};
use rustls::time_provider::TimeProvider;
use rustls::version::{TLS12, TLS13};
use rustls::{CertificateError, ServerConfig};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::watch;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::credential::Current;
use crate::turns::Turns;
use crate::verifier::Verifier;
use crate::{AcceptError, ClientTrust, Credential, TrustError, metrics, peer};

/// How long, and how many bytes, a refused client may take to read why.
const FAREWELL: (Duration, u64) = (Duration::from_secs(1), 64 * 1024);

/// Limits of the TLS side.
#[derive(Debug, Clone)]
pub struct TlsConfig {
    /// How long a handshake may take, from the first byte expected to the last.
    pub handshake_deadline: Duration,
    /// How many sessions are remembered for resumption; the oldest go first. Each keeps the client's
    /// certificate chain, so a few kilobytes.
    pub remembered_sessions: usize,
}

impl Default for TlsConfig {
    /// 10 seconds and 4,096 sessions.
    fn default() -> Self {
        Self { handshake_deadline: Duration::from_secs(10), remembered_sessions: 4096 }
    }
}

/// Accepts TLS 1.2 and 1.3 connections, with post-quantum key exchange (X25519MLKEM768) where the
/// client can. Cheap to clone; clones share everything.
#[derive(Clone)]
pub struct Acceptor(Arc<Inner>);

struct Inner {
    config: TlsConfig,
    provider: Arc<CryptoProvider>,
    clock: Clock,
    credential: Arc<Current>,
    /// Shared with the evidence of connections, which holds by the trust that is in use.
    trust: Arc<ArcSwap<Trusted>>,
    turns: Turns,
    /// Where the server's own key is held elsewhere.
    held_turns: Turns,
}

/// A client trust in use, with what must not outlive it.
struct Trusted {
    /// Counts the trusts that there were.
    number: u64,
    trust: Arc<ClientTrust>,
    /// None if no client certificate is asked for.
    verifier: Option<Arc<Verifier>>,
    /// A session carries the verification of a client certificate, so it is good for the anchors it was
    /// verified with and no others.
    sessions: Arc<ServerSessionMemoryCache>,
    server: Arc<ServerConfig>,
    /// Dropped together with the rest, which is what the leases watch.
    alive: watch::Sender<()>,
}

/// A connection after its handshake.
pub struct Accepted<IO> {
    /// The encrypted stream.
    pub stream: TlsStream<IO>,
    /// Who is at the other end.
    pub peer: Peer,
    /// The application protocol that was negotiated.
    pub protocol: Protocol,
    /// Ends when the client trust is replaced; then close the connection when it is idle, since its
    /// peer was judged by the old one.
    pub lease: TrustLease,
}

/// The application protocols offered (ALPN, RFC 7301), the first preferred.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// HTTP/2.
    Http2,
    /// HTTP/1.1, also if the client names no protocol at all.
    Http1,
}

/// Tells when the client trust under which a connection was accepted is no longer in use.
#[derive(Debug, Clone)]
pub struct TrustLease(watch::Receiver<()>);

impl TrustLease {
    /// Waits until the trust is replaced. Cancelling the wait loses nothing.
    pub async fn ended(&mut self) {
        // Nothing is ever sent: the only change is that the sender is gone.
        while self.0.changed().await.is_ok() {}
    }

    /// Whether the trust was replaced.
    pub fn has_ended(&self) -> bool {
        self.0.has_changed().is_err()
    }
}

impl Acceptor {
    /// An acceptor with this credential and this trust to start with. The clock decides whether
    /// client certificates are in date, in the handshake and at each use of the evidence that it gives.
    ///
    /// # Errors
    /// A client CA cannot be used as a trust anchor.
    pub fn new(
        config: TlsConfig,
        credential: Credential,
        trust: ClientTrust,
        clock: Clock,
    ) -> Result<Self, TrustError> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let credential = Arc::new(Current::new(credential));
        let sessions = ServerSessionMemoryCache::new(config.remembered_sessions);
        let context = Common { provider: &provider, clock: &clock, credential: &credential };
        let trust = Arc::new(ArcSwap::from_pointee(context.trusting(0, trust, sessions)?));
        let (turns, held_turns) = (Turns::computing(), Turns::of_held_key());
        let inner = Inner { config, provider, clock, credential, trust, turns, held_turns };
        Ok(Self(Arc::new(inner)))
    }

    /// Shows this certificate from the next handshake on. Resumable sessions stay: they do not
    /// depend on it.
    pub fn replace_credential(&self, credential: Credential) {
        self.0.credential.replace(credential);
    }

    /// Judges clients by this trust from the next handshake on and ends the leases of the connections
    /// there are. If other CAs are trusted than before, resumable sessions are forgotten.
    ///
    /// # Errors
    /// A client CA cannot be used as a trust anchor; nothing has changed.
    pub fn replace_trust(&self, trust: ClientTrust) -> Result<(), TrustError> {
        let inner = &*self.0;
        let before = inner.trust.load();
        let sessions = if trust.verifies_as(&before.trust) {
            Arc::clone(&before.sessions)
        } else {
            ServerSessionMemoryCache::new(inner.config.remembered_sessions)
        };
        let Inner { provider, clock, credential, .. } = inner;
        let context = Common { provider, clock, credential };
        let trusted = context.trusting(before.number.wrapping_add(1), trust, sessions)?;
        inner.trust.store(Arc::new(trusted));
        tracing::info!("the client trust was replaced");
        Ok(())
    }

    /// Does the handshake on a fresh connection from `address`. Refusals are counted, logged, and
    /// told to the peer by a TLS alert.
    ///
    /// # Errors
    /// See [`AcceptError`].
    #[tracing::instrument(name = "tls.accept", skip_all, fields(%address))]
    pub async fn accept<IO>(
        &self,
        stream: IO,
        address: SocketAddr,
    ) -> Result<Accepted<IO>, AcceptError>
    where
        IO: AsyncRead + AsyncWrite + Unpin,
    {
        let since = Instant::now();
        // One look at the trust: verifier, rules and lease are of the same one.
        let trusted = self.0.trust.load_full();
        match self.handshake(&trusted, stream, address).await {
            Ok(accepted) => {
                metrics::accepted(since, accepted.stream.get_ref().1);
                Ok(accepted)
            }
            Err(error) => {
                metrics::refused(&error);
                match &error {
                    AcceptError::Certificate(_) | AcceptError::Unreadable(_) => {
                        tracing::warn!(%error, "refused a client certificate");
                    }
                    _ => tracing::info!(%error, "a handshake failed"),
                }
                Err(error)
            }
        }
    }

    async fn handshake<IO>(
        &self,
        trusted: &Trusted,
        stream: IO,
        address: SocketAddr,
    ) -> Result<Accepted<IO>, AcceptError>
    where
        IO: AsyncRead + AsyncWrite + Unpin,
    {
        let deadline = self.0.config.handshake_deadline;
        let shaking = TlsAcceptor::from(Arc::clone(&trusted.server)).accept(stream);
        let shaking = async {
            // A handshake that waits for a token has its turn all the while.
            let held = self.0.credential.is_held();
            let turns = if held { &self.0.held_turns } else { &self.0.turns };
            turns.take(address.ip(), shaking.into_fallible()).await
        };
        let stream = match timeout(deadline, shaking).await {
            Ok(Ok(stream)) => stream,
            Ok(Err((error, stream))) => {
                farewell(stream).await;
                return Err(error.into());
            }
            Err(_) => return Err(AcceptError::TimedOut { after: deadline }),
        };
        let connection = stream.get_ref().1;
        let protocol = match connection.alpn_protocol() {
            Some(HTTP2) => Protocol::Http2,
            _ => Protocol::Http1,
        };
        let evidence = match (connection.peer_certificates(), &trusted.verifier) {
            (Some(chain), Some(verifier)) => Some(self.evidence(trusted, verifier, chain)),
            _ => None,
        };
        let evidence = match evidence.transpose() {
            Ok(evidence) => evidence,
            Err(error) => {
                farewell(stream).await;
                return Err(error);
            }
        };
        let peer = Peer { address, evidence };
        let lease = TrustLease(trusted.alive.subscribe());
        Ok(Accepted { stream, peer, protocol, lease })
    }

    /// What this chain proves by the trust that is in use: the certificate of a client first, then those of the
    /// CAs above it, in DER. It is judged as in a handshake, but for the proof that the client has the key: ask
    /// only about a chain that was shown in a handshake before. Verified chains are remembered.
    ///
    /// # Errors
    /// [`EvidenceError::Expired`] and [`EvidenceError::NotYetValid`] if the certificate is out of date;
    /// [`EvidenceError::Untrusted`] if a handshake with it would fail otherwise.
    pub fn judge(&self, chain: &[Vec<u8>]) -> Result<Evidence, EvidenceError> {
        let trusted = self.0.trust.load_full();
        let verifier = trusted.verifier.as_ref().ok_or(EvidenceError::Untrusted)?;
        let chain: Vec<_> = chain.iter().map(|der| CertificateDer::from(der.clone())).collect();
        self.evidence(&trusted, verifier, &chain).map_err(|error| {
            tracing::debug!(%error, "a chain that was shown before does not hold now");
            match error {
                AcceptError::Certificate(CertificateError::ExpiredContext { .. }) => {
                    EvidenceError::Expired
                }
                AcceptError::Certificate(CertificateError::NotValidYetContext { .. }) => {
                    EvidenceError::NotYetValid
                }
                _ => EvidenceError::Untrusted,
            }
        })
    }

    /// What the chain of a connection proves, by the trust that it was accepted with. In a full handshake
    /// the verifier has just seen it; in a resumed one that may be long ago.
    fn evidence(
        &self,
        trusted: &Trusted,
        verifier: &Verifier,
        chain: &[CertificateDer<'static>],
    ) -> Result<Evidence, AcceptError> {
        let clock = &self.0.clock;
        let path = verifier.path(chain, unix_time(clock)).map_err(AcceptError::Certificate)?;
        let leaf = chain.first().map(AsRef::as_ref).unwrap_or_default();
        let facts = peer::facts(leaf, &trusted.trust, &path);
        let (certificate, names) = facts.map_err(AcceptError::Unreadable)?;
        let above = Arc::clone(&path.intermediates);
        let (in_use, of_path) = (Arc::clone(&self.0.trust), Arc::clone(&path));
        let settle: Settle =
            Arc::new(move |certificate| in_use.load().trust.settle(certificate, &of_path));
        let (number, in_use, now) = (trusted.number, Arc::clone(&self.0.trust), clock.clone());
        let still_holds: StillHolds = Arc::new(move |certificate| {
            // Those of CAs above it; its own dates are looked at already.
            if now.now() > path.not_after {
                return Err(EvidenceError::Expired);
            }
            let in_use = in_use.load();
            in_use.trust.still_holds(certificate, &path, &names, in_use.number != number)
        });
        let evidence = Evidence::new(Arc::new(certificate), clock.clone(), still_holds);
        Ok(evidence.below(above).settled_by(settle))
    }
}

const HTTP2: &[u8] = b"h2";
const HTTP1: &[u8] = b"http/1.1";

/// What trusts that follow each other have in common.
struct Common<'a> {
    provider: &'a Arc<CryptoProvider>,
    clock: &'a Clock,
    credential: &'a Arc<Current>,
}

impl Common<'_> {
    /// A trust to be used, with these sessions to be resumed.
    fn trusting(
        &self,
        number: u64,
        trust: ClientTrust,
        sessions: Arc<ServerSessionMemoryCache>,
    ) -> Result<Trusted, TrustError> {
        let trust = Arc::new(trust);
        let verifier = match trust.anchors() {
            [] => None,
            _ => Some(Arc::new(Verifier::new(Arc::clone(&trust), self.provider)?)),
        };
        let verify: Arc<dyn ClientCertVerifier> = match &verifier {
            None => WebPkiClientVerifier::no_client_auth(),
            Some(verifier) => Arc::clone(verifier) as _,
        };
        let time = Arc::new(Time(self.clock.clone()));
        let mut server = ServerConfig::builder_with_details(Arc::clone(self.provider), time)
            .with_protocol_versions(&[&TLS13, &TLS12])
            .map_err(|error| TrustError::Library { reason: error.to_string() })?
            .with_client_cert_verifier(verify)
            .with_cert_resolver(Arc::clone(self.credential) as _);
        server.alpn_protocols = vec![HTTP2.to_vec(), HTTP1.to_vec()];
        server.session_storage = Arc::clone(&sessions) as _;
        // Without RFC 7627 a TLS 1.2 session can be spliced into somebody else's connection. Clients that
        // do not know it are refused.
        server.require_ems = true;
        let (server, alive) = (Arc::new(server), watch::Sender::new(()));
        Ok(Trusted { number, trust, verifier, sessions, server, alive })
    }
}

/// Lets the peer read the alert. Closing at once, with bytes of the peer's still unread, would reset
/// the connection, and the reason would be lost on the way.
async fn farewell<IO: AsyncRead + AsyncWrite + Unpin>(mut stream: IO) {
    let (longest, most) = FAREWELL;
    let drain = async {
        stream.shutdown().await?;
        tokio::io::copy(&mut (&mut stream).take(most), &mut tokio::io::sink()).await
    };
    // It was a courtesy: nothing depends on whether it worked.
    let _ = timeout(longest, drain).await;
}

/// The gateway's clock as the TLS library wants it.
#[derive(Debug)]
struct Time(Clock);

impl TimeProvider for Time {
    fn current_time(&self) -> Option<UnixTime> {
        Some(unix_time(&self.0))
    }
}

/// The present moment; before 1970 it is 1970.
fn unix_time(clock: &Clock) -> UnixTime {
    let seconds = u64::try_from(clock.now().as_second()).unwrap_or(0);
    UnixTime::since_unix_epoch(Duration::from_secs(seconds))
}
