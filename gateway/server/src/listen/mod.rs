//! The listeners. They are bound before anything else is opened, since certificates carry the plain
//! port's address and port 0 becomes a number only here.
//!
//! A port has a [table] of connections with a share for each client address. A connection is
//! watched ([activity]) by its stream and its requests, and ends when it has done nothing good for
//! longer than its [deadlines]; the bodies of its requests come out of a [budget].

mod activity;
mod answer;
mod body;
mod budget;
mod conversation;
mod deadlines;
mod descriptors;
mod meters;
mod pace;
mod proxy;
mod stream;
mod table;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use axum::Router;
use axum::body::Body;
use chancery_api::{MonitoringService, PlainService};
use chancery_tls::{Acceptor, Protocol};
use rustix::net::sockopt;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};
use tower::ServiceExt;

use self::activity::Activity;
use self::conversation::{Caller, Http};
use self::stream::Watched;
use self::table::{Place, Share, Table};

pub(crate) use self::budget::Bodies;
pub(crate) use self::deadlines::Deadlines;
pub(crate) use self::descriptors::{Connections, fit, raise_limit};
pub(crate) use self::pace::Rate;
pub(crate) use self::proxy::Balancers;

/// After a failed accept.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// A peer that went without a word is noticed by the system: after so long without a byte it asks, so
/// often, and so many times.
const KEEPALIVE: (Duration, Duration, u32) = (Duration::from_mins(1), Duration::from_secs(15), 4);

/// Binds `address`.
///
/// # Errors
/// Says which setting's address it was and what the system answered.
pub(crate) async fn bind(setting: &str, address: SocketAddr) -> Result<TcpListener> {
    TcpListener::bind(address).await.map_err(|error| {
        let hint = match error.kind() {
            io::ErrorKind::AddrInUse => "another program is using the port",
            io::ErrorKind::AddrNotAvailable => "this machine has no such address",
            io::ErrorKind::PermissionDenied => {
                "ports below 1024 need CAP_NET_BIND_SERVICE (docs/operating/service.md)"
            }
            _ => "the system refuses",
        };
        anyhow::anyhow!("cannot listen on {address} ({setting}): {hint}: {error}")
    })
}

/// What a port allows its clients.
#[derive(Debug, Clone)]
pub(crate) struct Limits {
    /// The name of the port in metrics and logs.
    pub(crate) port: &'static str,
    /// Connections at once.
    pub(crate) connections: usize,
    /// Connections of one address at once; none for a part of the room that there is.
    pub(crate) per_address: Option<usize>,
    /// HTTP/2: requests of one connection at once.
    pub(crate) streams: u32,
    pub(crate) deadlines: Deadlines,
    /// The memory for bodies, which all ports share.
    pub(crate) bodies: Bodies,
    /// Who sends the PROXY protocol.
    pub(crate) balancers: Balancers,
    /// Becomes true when no more connections are wanted.
    pub(crate) stop: watch::Receiver<bool>,
    /// How long connections under way may take after that.
    pub(crate) drain: Duration,
}

impl Limits {
    fn share(&self) -> Share {
        self.per_address.map_or(Share::OfWhatIsFree, Share::Of)
    }
}

/// Serves `router` behind TLS until stopped and drained. Each request carries its
/// [`Peer`](chancery_identity::Peer) and the address it was sent to. When the client trust is replaced,
/// connections end after the requests they have under way: their peers were judged by the old one.
pub(crate) async fn serve_tls(
    listener: TcpListener,
    acceptor: Acceptor,
    router: Router,
    limits: Limits,
) {
    let http = Arc::new(Http::new(&limits));
    serve(listener, limits, move |connection| {
        let (acceptor, router, http) = (acceptor.clone(), router.clone(), http.clone());
        async move {
            let Connection { stream, client, local, activity, place, stop } = connection;
            let accepted = match acceptor.accept(stream, client).await {
                Ok(accepted) => accepted,
                Err(error) => {
                    tracing::info!(target: "chancery::tls", address = %client, %error, "handshake failed");
                    return;
                }
            };
            activity.begins(Instant::now(), accepted.protocol == Protocol::Http2);
            let mut lease = accepted.lease;
            let end = async {
                tokio::select! { () = lease.ended() => {}, () = stopped(stop) => {} }
            };
            let peer = accepted.peer;
            if peer.evidence.is_some() {
                activity.is_known();
            }
            let caller = Caller { stranger: peer.evidence.is_none(), bodies: place.bodies() };
            let answer = move |mut request: http::Request<Body>| {
                request.extensions_mut().insert(peer.clone());
                request.extensions_mut().insert(chancery_api::CalledAddress(local));
                // What has to be found out about the certificate first, which is nothing mostly.
                let settling = peer.evidence.as_ref().and_then(chancery_identity::Evidence::settle);
                let router = router.clone();
                async move {
                    if let Some(settling) = settling {
                        settling.await;
                    }
                    router.oneshot(request).await
                }
            };
            http.converse(accepted.stream, activity, caller, answer, end).await;
        }
    })
    .await;
}

/// Serves the plain port until stopped and drained.
pub(crate) async fn serve_plain(listener: TcpListener, service: Arc<PlainService>, limits: Limits) {
    let http = Arc::new(Http::new(&limits));
    serve(listener, limits, move |connection| {
        let (service, http) = (service.clone(), http.clone());
        async move {
            let Connection { stream, activity, place, stop, .. } = connection;
            let caller = Caller { stranger: true, bodies: place.bodies() };
            let answer = move |request| {
                let service = service.clone();
                async move { Ok(service.call(request).await) }
            };
            http.converse(stream, activity, caller, answer, stopped(stop)).await;
        }
    })
    .await;
}

/// Serves what monitoring asks until stopped and drained.
pub(crate) async fn serve_monitoring(
    listener: TcpListener,
    service: MonitoringService,
    limits: Limits,
) {
    let http = Arc::new(Http::new(&limits));
    serve(listener, limits, move |connection| {
        let (service, http) = (service.clone(), http.clone());
        async move {
            let Connection { stream, activity, place, stop, .. } = connection;
            let caller = Caller { stranger: true, bodies: place.bodies() };
            let answer = move |request| {
                let service = service.clone();
                async move { Ok(service.call(request).await) }
            };
            http.converse(stream, activity, caller, answer, stopped(stop)).await;
        }
    })
    .await;
}

async fn stopped(mut stop: watch::Receiver<bool>) {
    // An error means that the sender is gone, which is a stop as well.
    let _ = stop.wait_for(|stop| *stop).await;
}

/// A connection that has its place.
struct Connection {
    stream: Watched<TcpStream>,
    /// The client, which is the peer unless that is a load balancer.
    client: SocketAddr,
    /// What the client connected to, as far as that is known here.
    local: Option<SocketAddr>,
    activity: Arc<Activity>,
    place: Place,
    stop: watch::Receiver<bool>,
}

async fn serve<F, Fut>(listener: TcpListener, limits: Limits, conversation: F)
where
    F: Fn(Connection) -> Fut + Clone + Send + Sync + 'static,
    Fut: Future<Output = ()> + Send + 'static,
{
    let table = Table::new(limits.connections, limits.share(), limits.bodies.clone());
    let mut connections = JoinSet::new();
    let limits = Arc::new(limits);
    let stop = stopped(limits.stop.clone());
    tokio::pin!(stop);
    'accepting: loop {
        // Kept over the ends of connections: it holds the one that was accepted while it waits for room.
        let accepting = accept(&listener, &table, &limits);
        tokio::pin!(accepting);
        let accepted = loop {
            tokio::select! {
                accepted = &mut accepting => break accepted,
                Some(_) = connections.join_next() => {}
                () = &mut stop => break 'accepting,
            }
        };
        if let Some((stream, peer, place)) = accepted {
            connections.spawn(connection(
                stream,
                peer,
                place,
                limits.clone(),
                conversation.clone(),
            ));
        }
    }
    drop(listener);
    let finished = async { while connections.join_next().await.is_some() {} };
    if timeout(limits.drain, finished).await.is_err() {
        let port = limits.port;
        tracing::warn!(port, "requests were still under way when the drain time ended");
    }
}

/// The next connection, with its place. None if there was none, or its client has too many.
async fn accept(
    listener: &TcpListener,
    table: &Arc<Table>,
    limits: &Limits,
) -> Option<(TcpStream, SocketAddr, Place)> {
    let (stream, peer) = match listener.accept().await {
        Ok(accepted) => accepted,
        Err(error) => {
            // Out of descriptors, most likely: without a pause this would spin until one is closed.
            tracing::warn!(port = limits.port, %error, "cannot accept a connection");
            tokio::time::sleep(ACCEPT_PAUSE).await;
            return None;
        }
    };
    let mut place = table.place();
    if !limits.balancers.contain(peer.ip()) && !place.belongs_to(peer.ip()) {
        refuse(limits, peer);
        return None;
    }
    if table.is_full() {
        let port = limits.port;
        tracing::warn!(
            port,
            "every place is taken: new connections wait for those that are idle, or strangers' and slow"
        );
    }
    place.enter().await;
    prepare(&stream);
    Some((stream, peer, place))
}

fn refuse(limits: &Limits, client: SocketAddr) {
    meters::refused(limits.port);
    let (port, client) = (limits.port, client.ip());
    tracing::warn!(
        port,
        %client,
        "refused a connection: its address has too many (server.connections_per_address)"
    );
}

/// Options that make no connection worse if the system refuses them.
fn prepare(stream: &TcpStream) {
    let (idle, interval, count) = KEEPALIVE;
    let set = stream.set_nodelay(true).and_then(|()| {
        sockopt::set_socket_keepalive(stream, true)?;
        sockopt::set_tcp_keepidle(stream, idle)?;
        sockopt::set_tcp_keepintvl(stream, interval)?;
        sockopt::set_tcp_keepcnt(stream, count)?;
        Ok(())
    });
    if let Err(error) = set {
        tracing::debug!(%error, "cannot set options of a connection");
    }
}

async fn connection<F, Fut>(
    mut stream: TcpStream,
    peer: SocketAddr,
    mut place: Place,
    limits: Arc<Limits>,
    conversation: F,
) where
    F: Fn(Connection) -> Fut,
    Fut: Future<Output = ()>,
{
    let _open = meters::open(limits.port);
    let activity = Arc::new(Activity::new(limits.deadlines, Instant::now()));
    place.watch(&activity);
    let work = async {
        let mut client = peer;
        let mut local = stream.local_addr().ok();
        if limits.balancers.contain(peer.ip()) {
            match timeout(limits.deadlines.handshake, proxy::client(&mut stream)).await {
                Ok(Ok(Some(passed_on))) => {
                    if !place.belongs_to(passed_on.ip()) {
                        return refuse(&limits, passed_on);
                    }
                    client = passed_on;
                    local = None;
                }
                Ok(Ok(None)) => {}
                Ok(Err(error)) => {
                    let (port, peer) = (limits.port, peer.ip());
                    tracing::warn!(port, %peer, %error, "refused a load balancer's connection");
                    return;
                }
                Err(_) => {
                    let (port, peer) = (limits.port, peer.ip());
                    tracing::warn!(port, %peer, "a load balancer sent no PROXY header in time");
                    return;
                }
            }
        }
        let stream = Watched::new(stream, activity.clone());
        activity.begins(Instant::now(), false);
        let (activity, stop) = (activity.clone(), limits.stop.clone());
        conversation(Connection { stream, client, local, activity, place, stop }).await;
    };
    tokio::select! {
        () = work => {}
        () = activity.over() => {}
    }
    if let Some(reason) = activity.ended() {
        meters::ended(limits.port, reason);
        tracing::debug!(port = limits.port, %peer, %reason, "ended a connection");
    }
}
