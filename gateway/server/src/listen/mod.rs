//! The listeners. They are bound before anything else is opened, since certificates carry the plain
//! port's address and port 0 becomes a number only here.
//!
//! A port has a [table] of connections with a share for each client address, of which a part is reserved
//! for clients with a certificate. A connection is
//! watched ([activity]) by its stream and its requests, and ends when it has done nothing good for
//! longer than its [deadlines]; the bodies of its requests come out of a [budget].

mod activity;
mod answer;
mod body;
mod budget;
mod conversation;
mod deadlines;
mod denied;
mod descriptors;
mod displacing;
mod frames;
mod guarded;
mod handshakes;
mod meters;
mod pace;
mod places;
mod proxy;
mod recently;
mod stream;
mod table;
mod trials;

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
use tokio::time::{Instant, sleep_until, timeout};
use tower::ServiceExt;

use self::activity::Activity;
use self::conversation::{Caller, Http};
use self::denied::Denied;
use self::guarded::Guarded;
use self::handshakes::Handshakes;
use self::places::{Share, Sizes};
use self::stream::Watched;
use self::table::{Place, Table};

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
    /// Whether clients may show a certificate, so that places are reserved for those who do.
    pub(crate) certificates: bool,
    /// Connections of one address at once; none for a part of the room that there is.
    pub(crate) per_address: Option<usize>,
    /// TLS handshakes that one address may begin in a second.
    pub(crate) handshakes_per_address: u32,
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

    fn sizes(&self) -> Sizes {
        if self.certificates {
            Sizes::with_reserve(self.connections)
        } else {
            Sizes::without_reserve(self.connections)
        }
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
    let handshakes = Arc::new(Handshakes::new(limits.handshakes_per_address));
    let patience = limits.deadlines.handshake;
    serve(listener, limits, move |connection| {
        let (acceptor, router, http) = (acceptor.clone(), router.clone(), http.clone());
        let handshakes = handshakes.clone();
        async move {
            let Connection { stream, client, local, activity, mut place, stop } = connection;
            match handshakes.next(client.ip(), Instant::now()) {
                Some(begin) => sleep_until(begin).await,
                None => return refuse("tls", client, Denied::Handshakes),
            }
            // Why it failed is in the log already.
            let Ok(accepted) = acceptor.accept(stream, client).await else { return };
            // Before anything else, so that one who is refused from here on is told as well.
            let protocol = accepted.protocol;
            let stream = Guarded::new(accepted.stream, activity.clone(), Some(protocol));
            let peer = accepted.peer;
            if peer.evidence.is_some() {
                activity.is_known();
                place.is_known();
            } else if let Err(denied) = place.is_stranger(&activity) {
                return refuse("tls", client, denied);
            } else if !is_granted(&mut place, &activity, patience, stop.clone()).await {
                return refuse("tls", client, Denied::Full);
            }
            activity.begins(Instant::now(), protocol == Protocol::Http2);
            let mut lease = accepted.lease;
            let asked = activity.clone();
            let end = async {
                // The first request of a client that has just connected may be on its way, and closing now would
                // lose it. What its certificate is worth is looked at anew when it is there.
                let replaced = async {
                    lease.ended().await;
                    asked.asked().await;
                };
                tokio::select! { () = replaced => {}, () = stopped(stop) => {} }
            };
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
            http.converse(stream, activity, caller, answer, end).await;
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
            let stream = Guarded::new(stream, activity.clone(), None);
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
            let stream = Guarded::new(stream, activity.clone(), None);
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
    let table = Table::new(limits.port, limits.sizes(), limits.share(), limits.bodies.clone());
    let mut connections = JoinSet::new();
    let limits = Arc::new(limits);
    let stop = stopped(limits.stop.clone());
    tokio::pin!(stop);
    loop {
        let accepted = tokio::select! {
            accepted = accept(&listener, &table, &limits) => accepted,
            Some(_) = connections.join_next() => continue,
            () = &mut stop => break,
        };
        if let Some(arrived) = accepted {
            connections.spawn(connection(arrived, limits.clone(), conversation.clone()));
        }
    }
    drop(listener);
    let finished = async { while connections.join_next().await.is_some() {} };
    if timeout(limits.drain, finished).await.is_err() {
        let port = limits.port;
        tracing::warn!(port, "requests were still under way when the drain time ended");
    }
}

/// A connection that was accepted, and has a place or waits for one.
struct Arrived {
    stream: TcpStream,
    peer: SocketAddr,
    activity: Arc<Activity>,
    place: Place,
}

/// The next connection. None if there was none, or it gets no place. Never waits but for a connection: those
/// that come behind it may have a place.
async fn accept(listener: &TcpListener, table: &Arc<Table>, limits: &Limits) -> Option<Arrived> {
    let (stream, peer) = match listener.accept().await {
        Ok(accepted) => accepted,
        Err(error) => {
            // Out of descriptors, most likely: without a pause this would spin until one is closed.
            tracing::warn!(port = limits.port, %error, "cannot accept a connection");
            tokio::time::sleep(ACCEPT_PAUSE).await;
            return None;
        }
    };
    let activity = Arc::new(Activity::new(limits.deadlines, Instant::now()));
    let mut place = table.place();
    let placed = if limits.balancers.contain(peer.ip()) {
        place.ask(&activity)
    } else {
        place.belongs_to(peer.ip()).and_then(|()| place.ask(&activity))
    };
    if let Err(denied) = placed {
        refuse(limits.port, peer, denied);
        return None;
    }
    prepare(&stream);
    Some(Arrived { stream, peer, activity, place })
}

fn refuse(port: &'static str, client: SocketAddr, denied: Denied) {
    meters::refused(port, denied);
    let client = client.ip();
    tracing::warn!(port, %client, "refused a connection: {denied}");
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

async fn connection<F, Fut>(arrived: Arrived, limits: Arc<Limits>, conversation: F)
where
    F: Fn(Connection) -> Fut,
    Fut: Future<Output = ()>,
{
    let Arrived { stream, peer, activity, mut place } = arrived;
    let patience = limits.deadlines.handshake;
    if !is_granted(&mut place, &activity, patience, limits.stop.clone()).await {
        return refuse(limits.port, peer, Denied::Full);
    }
    let _open = meters::open(limits.port);
    activity.begins(Instant::now(), false);
    let work = async {
        let identified = identify(stream, peer, place, &activity, &limits).await;
        let Some(Identified { stream, client, local, place }) = identified else { return };
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

/// Waits for the place that was asked for, but not for longer than this.
async fn is_granted(
    place: &mut Place,
    activity: &Arc<Activity>,
    patience: Duration,
    stop: watch::Receiver<bool>,
) -> bool {
    let granted = timeout(patience, place.granted(activity));
    tokio::select! {
        granted = granted => granted.is_ok(),
        () = stopped(stop) => false,
    }
}

/// A connection of which is known whose it is.
struct Identified {
    stream: TcpStream,
    client: SocketAddr,
    local: Option<SocketAddr>,
    place: Place,
}

/// Reads whose connection it is, if it is a load balancer's.
async fn identify(
    mut stream: TcpStream,
    peer: SocketAddr,
    mut place: Place,
    activity: &Arc<Activity>,
    limits: &Limits,
) -> Option<Identified> {
    let local = stream.local_addr().ok();
    if !limits.balancers.contain(peer.ip()) {
        return Some(Identified { stream, client: peer, local, place });
    }
    let (port, balancer) = (limits.port, peer.ip());
    let client = match timeout(limits.deadlines.handshake, proxy::client(&mut stream)).await {
        Ok(Ok(Some(client))) => client,
        Ok(Ok(None)) => return Some(Identified { stream, client: peer, local, place }),
        Ok(Err(error)) => {
            tracing::warn!(port, peer = %balancer, %error, "refused a load balancer's connection");
            return None;
        }
        Err(_) => {
            tracing::warn!(port, peer = %balancer, "a load balancer sent no PROXY header in time");
            return None;
        }
    };
    let placed = place.belongs_to(client.ip()).and_then(|()| place.ask(activity));
    let (patience, stop) = (limits.deadlines.handshake, limits.stop.clone());
    let placed = match placed {
        Ok(()) if is_granted(&mut place, activity, patience, stop).await => Ok(()),
        Ok(()) => Err(Denied::Full),
        Err(denied) => Err(denied),
    };
    match placed {
        Ok(()) => Some(Identified { stream, client, local: None, place }),
        Err(denied) => {
            refuse(port, client, denied);
            None
        }
    }
}
