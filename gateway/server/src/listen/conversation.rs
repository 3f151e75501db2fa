//! HTTP on one connection, watched until it ends.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::body::Body;
use axum::response::Response;
use chancery_api::Held;
use http::Version;
use http::header::{CONNECTION, EXPECT, HeaderValue, TRANSFER_ENCODING};
use hyper::body::{Body as _, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{Instant, sleep_until};

use super::Limits;
use super::activity::{Activity, Verdict};
use super::answer::{Outbound, SHORT};
use super::body::Inbound;
use super::budget::{Bodies, Budget};
use super::guarded::Guarded;
use super::pace::Rate;

/// The longest head of an HTTP/1.1 request, in bytes.
const LONGEST_HEAD: usize = 64 * 1024;

/// The longest list of headers of an HTTP/2 request, in bytes as RFC 9113 §6.5.2 counts them.
const LONGEST_HEADERS: u32 = 16 * 1024;

/// HTTP/2: what a peer may send of one request, and of all requests together, before somebody reads it.
/// Unread bytes are nobody's yet, so they are in no budget: these are their bound.
const WINDOWS: (u32, u32) = (64 * 1024, 256 * 1024);

/// HTTP/2: streams that a peer resets before they are looked at, and streams that have to be reset for
/// the peer's faults, before the connection is over (CVE-2023-44487, RUSTSEC-2024-0003).
const RESETS: (usize, usize) = (20, 128);

/// How a port speaks HTTP.
pub(super) struct Http {
    builder: auto::Builder<TokioExecutor>,
    body: Rate,
    bodies: Bodies,
}

/// Whose requests these are.
pub(super) struct Caller {
    /// Without a client certificate.
    pub(super) stranger: bool,
    /// What the bodies of its address may have; none if the address is not one client's.
    pub(super) bodies: Option<Arc<Budget>>,
}

impl Http {
    pub(super) fn new(limits: &Limits) -> Self {
        let mut builder = auto::Builder::new(TokioExecutor::new());
        builder
            .http1()
            .timer(TokioTimer::new())
            // Its clock begins when the request before has ended, so it would be the idle limit too.
            .header_read_timeout(None)
            .max_buf_size(LONGEST_HEAD);
        let (stream_window, window) = WINDOWS;
        let (by_peer, for_peer) = RESETS;
        builder
            .http2()
            .timer(TokioTimer::new())
            .max_concurrent_streams(limits.streams)
            .initial_stream_window_size(stream_window)
            .initial_connection_window_size(window)
            .max_header_list_size(LONGEST_HEADERS)
            .max_pending_accept_reset_streams(by_peer)
            .max_local_error_reset_streams(for_peer)
            .keep_alive_interval(limits.deadlines.ping)
            .keep_alive_timeout(limits.deadlines.pong);
        Self { builder, body: limits.deadlines.body, bodies: limits.bodies.clone() }
    }

    /// Answers requests until the peer closes, the connection expires, or `end` comes and the requests
    /// under way then are answered.
    pub(super) async fn converse<S, F>(
        &self,
        stream: Guarded<S>,
        activity: Arc<Activity>,
        caller: Caller,
        answer: impl Fn(http::Request<Body>) -> F,
        end: impl Future<Output = ()>,
    ) where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
        F: Future<Output = Result<Response, Infallible>> + Send + 'static,
    {
        let service = service_fn(|request: http::Request<Incoming>| {
            self.answer(request, &activity, &caller, &answer)
        });
        let connection = self.builder.serve_connection(TokioIo::new(stream), service);
        let look = sleep_until(Instant::now());
        tokio::pin!(connection, end, look);
        let mut ending = false;
        let ended = loop {
            tokio::select! {
                ended = &mut connection => break ended,
                () = &mut end, if !ending => {
                    ending = true;
                    activity.parts(Instant::now());
                    connection.as_mut().graceful_shutdown();
                }
                () = &mut look => match activity.verdict(Instant::now()) {
                    Verdict::Fine(until) => look.as_mut().reset(until),
                    Verdict::Close(reason) => {
                        activity.closes(reason, Instant::now());
                        connection.as_mut().graceful_shutdown();
                    }
                    Verdict::End(reason) => return activity.end(reason),
                },
            }
        };
        if let Err(error) = ended {
            tracing::debug!(%error, "connection ended");
        }
    }

    fn answer<A, F>(
        &self,
        request: http::Request<Incoming>,
        activity: &Arc<Activity>,
        caller: &Caller,
        answer: &A,
    ) -> impl Future<Output = Result<http::Response<Outbound>, Infallible>> + Send + 'static + use<A, F>
    where
        A: Fn(http::Request<Body>) -> F,
        F: Future<Output = Result<Response, Infallible>> + Send + 'static,
    {
        let multiplexed = request.version() == Version::HTTP_2;
        let mut under_way = activity.request(multiplexed);
        // Where bytes of trailers end is read less strictly here than RFC 9112 §7.1.2 says. A proxy may see another
        // request in them, so there is no other one on the connection.
        let chunked = !multiplexed && request.headers().contains_key(TRANSFER_ENCODING);
        let ended_plainly = chunked.then(Arc::<AtomicBool>::default);
        let for_answer = Arc::new(self.bodies.account(caller.bodies.clone(), caller.stranger));
        let room = for_answer.room(SHORT);
        let mut request = if request.body().is_end_stream() {
            request.map(|_| Body::empty())
        } else {
            let taken = Arc::new(self.bodies.account(caller.bodies.clone(), caller.stranger));
            let held = Held::new(taken.clone());
            let asks_first = request.headers().contains_key(EXPECT);
            let inbound = |body| Inbound::new(body, self.body, asks_first, taken, activity.clone());
            let told = ended_plainly.clone();
            let mut request = request.map(|body| match told {
                Some(told) => Body::new(inbound(body).telling(told)),
                None => Body::new(inbound(body)),
            });
            request.extensions_mut().insert(held);
            request
        };
        request.extensions_mut().insert(room);
        let held = request.extensions().get::<Held>().cloned();
        let answer = answer(request);
        async move {
            let mut response = answer.await?;
            drop(held);
            if ended_plainly.is_some_and(|plainly| !plainly.load(Ordering::Relaxed)) {
                response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
            }
            under_way.answered();
            Ok(Outbound::response(response, under_way, multiplexed, for_answer))
        }
    }
}
