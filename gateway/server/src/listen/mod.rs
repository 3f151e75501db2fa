//! The two listeners. They are bound before anything else is opened, since certificates carry the
//! plain port's address and port 0 becomes a number only here.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use axum::Router;
use axum::body::Body;
use axum::response::Response;
use chancery_api::PlainService;
use chancery_tls::Acceptor;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinSet;
use tower::ServiceExt;

/// A slow sender of headers is cut off after this long.
const HEADER_TIMEOUT: Duration = Duration::from_secs(15);

/// Requests of one h2 connection that may be under way at once.
const H2_STREAMS: u32 = 128;

/// After a failed accept.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Binds `address`.
///
/// # Errors
/// Says which setting's address it was and what the system answered.
pub(crate) async fn bind(setting: &str, address: SocketAddr) -> Result<TcpListener> {
    TcpListener::bind(address).await.with_context(|| {
        format!("cannot listen on {address} ({setting}): is another program using the port?")
    })
}

/// What both listeners share.
#[derive(Clone)]
pub(crate) struct Limits {
    /// One permit per connection.
    pub(crate) connections: Arc<Semaphore>,
    /// Becomes true when no more connections are wanted.
    pub(crate) stop: watch::Receiver<bool>,
    /// How long connections under way may take after that.
    pub(crate) drain: Duration,
}

/// Serves `router` behind TLS until stopped and drained. Each request carries its [`Peer`](chancery_identity::Peer). When the
/// client trust is replaced, connections end after the requests they have under way: their peers
/// were judged by the old one.
pub(crate) async fn serve_tls(
    listener: TcpListener,
    acceptor: Acceptor,
    router: Router,
    limits: Limits,
) {
    serve(listener, &limits, |stream, address, stop| {
        let (acceptor, router) = (acceptor.clone(), router.clone());
        async move {
            match acceptor.accept(stream, address).await {
                Ok(accepted) => {
                    let mut lease = accepted.lease;
                    let end = async {
                        tokio::select! { () = lease.ended() => {}, () = stopped(stop) => {} }
                    };
                    let peer = accepted.peer;
                    let answer = move |mut request: http::Request<Body>| {
                        request.extensions_mut().insert(peer.clone());
                        router.clone().oneshot(request)
                    };
                    converse(accepted.stream, answer, end).await;
                }
                Err(error) => {
                    tracing::info!(target: "chancery::tls", %address, %error, "handshake failed");
                }
            }
        }
    })
    .await;
}

/// Serves the plain port until stopped and drained.
pub(crate) async fn serve_plain(listener: TcpListener, service: Arc<PlainService>, limits: Limits) {
    serve(listener, &limits, |stream, _, stop| {
        let service = service.clone();
        let answer = move |request| {
            let service = service.clone();
            async move { Ok(service.call(request).await) }
        };
        converse(stream, answer, stopped(stop))
    })
    .await;
}

async fn stopped(mut stop: watch::Receiver<bool>) {
    // An error means that the sender is gone, which is a stop as well.
    let _ = stop.wait_for(|stop| *stop).await;
}

async fn serve<F, Fut>(listener: TcpListener, limits: &Limits, connection: F)
where
    F: Fn(TcpStream, SocketAddr, watch::Receiver<bool>) -> Fut,
    Fut: Future<Output = ()> + Send + 'static,
{
    let mut connections = JoinSet::new();
    let stop = stopped(limits.stop.clone());
    tokio::pin!(stop);
    loop {
        let accepted = tokio::select! {
            accepted = accept(&listener, &limits.connections) => accepted,
            Some(_) = connections.join_next() => continue,
            () = &mut stop => break,
        };
        if let Some((stream, address, permit)) = accepted {
            let work = connection(stream, address, limits.stop.clone());
            connections.spawn(async move {
                work.await;
                drop(permit);
            });
        }
    }
    drop(listener);
    let finished = async { while connections.join_next().await.is_some() {} };
    if tokio::time::timeout(limits.drain, finished).await.is_err() {
        tracing::warn!("requests were still under way when the drain time ended");
    }
}

/// The next connection, once there is room for it. Cancelling this loses no connection: one that
/// was not accepted yet waits in the system's queue.
async fn accept(
    listener: &TcpListener,
    room: &Arc<Semaphore>,
) -> Option<(TcpStream, SocketAddr, OwnedSemaphorePermit)> {
    let permit = room.clone().acquire_owned().await.ok()?;
    match listener.accept().await {
        Ok((stream, address)) => {
            if let Err(error) = stream.set_nodelay(true) {
                tracing::debug!(%error, "cannot set TCP_NODELAY");
            }
            Some((stream, address, permit))
        }
        Err(error) => {
            // Out of descriptors, most likely: without a pause this would spin until one is closed.
            tracing::warn!(%error, "cannot accept a connection");
            tokio::time::sleep(ACCEPT_PAUSE).await;
            None
        }
    }
}

async fn converse<S, F>(
    stream: S,
    answer: impl Fn(http::Request<Body>) -> F,
    end: impl Future<Output = ()>,
) where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    F: Future<Output = Result<Response, Infallible>> + Send + 'static,
{
    let service = service_fn(|request: http::Request<Incoming>| answer(request.map(Body::new)));
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(HEADER_TIMEOUT);
    builder.http2().timer(TokioTimer::new()).max_concurrent_streams(H2_STREAMS);
    let connection = builder.serve_connection(TokioIo::new(stream), service);
    tokio::pin!(connection, end);
    let ended = tokio::select! {
        ended = &mut connection => ended,
        () = &mut end => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "connection ended");
    }
}
