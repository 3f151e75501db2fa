//! The body of an incoming request: it has to arrive at a minimum rate, and its bytes count against a
//! budget until the request is handled.
//!
//! If a handler needs no more of a body (it is too long, or nothing handles it), the rest is read and
//! thrown away, within limits. Many clients send the whole request before they look for an answer: a
//! closed connection, or a reset HTTP/2 stream, would take the answer from them (RFC 9112 §9.6, RFC 9113
//! §8.1). After the rest is read, the connection can carry further requests.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::BoxError;
use bytes::Bytes;
use chancery_api::BodyError;
use http_body_util::BodyExt;
use hyper::body::{Body, Frame, SizeHint};
use tokio::runtime::Handle;
use tokio::time::{Instant, Sleep, sleep_until, timeout};

use super::activity::Activity;
use super::budget::Taken;
use super::meters;
use super::pace::{Pace, Rate};

/// How many bytes of a body are thrown away, and for how long: twice the longest body.
const THROWN_AWAY: (usize, Duration) = (64 * 1024 * 1024, Duration::from_mins(2));

/// A body that fails when it is too slow or there is no room for it.
pub(super) struct Inbound<B>
where
    B: Body<Data = Bytes> + Unpin + Send + 'static,
    B::Error: Into<BoxError>,
{
    /// None once it is being thrown away.
    body: Option<Paced<B>>,
    taken: Arc<Taken>,
    activity: Arc<Activity>,
    /// Whether the client waits for `100 Continue` before it sends (`Expect: 100-continue`); reading the
    /// body sends that.
    asks_first: bool,
}

/// A body that fails when it is too slow.
struct Paced<B> {
    body: B,
    pace: Pace,
    deadline: Option<Pin<Box<Sleep>>>,
    complete: bool,
    failed: bool,
    trailers: bool,
    /// Becomes true if it ends without trailers.
    ended_plainly: Option<Arc<AtomicBool>>,
}

impl<B> Inbound<B>
where
    B: Body<Data = Bytes> + Unpin + Send + 'static,
    B::Error: Into<BoxError>,
{
    /// `taken` is what the request holds; the handler keeps it alive until the request is handled.
    pub(super) fn new(
        body: B,
        rate: Rate,
        asks_first: bool,
        taken: Arc<Taken>,
        activity: Arc<Activity>,
    ) -> Self {
        let complete = body.is_end_stream();
        let body = Paced {
            body,
            pace: Pace::new(rate),
            deadline: None,
            complete,
            failed: false,
            trailers: false,
            ended_plainly: None,
        };
        Self { body: Some(body), taken, activity, asks_first }
    }

    /// The same, and says there whether it ended without trailers.
    pub(super) fn telling(mut self, ended_plainly: Arc<AtomicBool>) -> Self {
        if let Some(body) = &mut self.body {
            body.ended_plainly = Some(ended_plainly);
        }
        self
    }
}

impl<B> Paced<B> {
    fn poll_too_slow(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.pace.waits(Instant::now());
        let Some(at) = self.pace.deadline() else { return Poll::Pending };
        let deadline = self.deadline.get_or_insert_with(|| Box::pin(sleep_until(at)));
        if deadline.deadline() != at {
            deadline.as_mut().reset(at);
        }
        deadline.as_mut().poll(cx)
    }
}

impl<B> Body for Paced<B>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<BoxError>,
{
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let me = &mut *self;
        let Poll::Ready(frame) = Pin::new(&mut me.body).poll_frame(cx) else {
            ready!(me.poll_too_slow(cx));
            me.failed = true;
            return Poll::Ready(Some(Err(refused(BodyError::TooSlow))));
        };
        me.complete = me.body.is_end_stream() || !matches!(frame, Some(Ok(_)));
        if let Some(Ok(frame)) = &frame {
            let bytes = frame.data_ref().map_or(0, Bytes::len);
            me.pace.moved(Instant::now(), bytes);
            me.trailers |= frame.is_trailers();
        }
        if let (None, false, Some(told)) = (&frame, me.trailers, &me.ended_plainly) {
            told.store(true, Ordering::Relaxed);
        }
        Poll::Ready(frame.map(|frame| frame.map_err(Into::into)))
    }
}

impl<B> Body for Inbound<B>
where
    B: Body<Data = Bytes> + Unpin + Send + 'static,
    B::Error: Into<BoxError>,
{
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        self.asks_first = false;
        let Some(body) = &mut self.body else { return Poll::Ready(None) };
        let frame = ready!(Pin::new(body).poll_frame(cx));
        Poll::Ready(frame.map(|frame| {
            let frame = frame?;
            let bytes = frame.data_ref().map_or(0, Bytes::len);
            if self.taken.take(bytes) { Ok(frame) } else { Err(refused(BodyError::NoRoom)) }
        }))
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(|body| body.body.is_end_stream())
    }

    fn size_hint(&self) -> SizeHint {
        self.body.as_ref().map(|body| body.body.size_hint()).unwrap_or_default()
    }
}

fn refused(error: BodyError) -> BoxError {
    meters::body_refused(error);
    error.into()
}

impl<B> Drop for Inbound<B>
where
    B: Body<Data = Bytes> + Unpin + Send + 'static,
    B::Error: Into<BoxError>,
{
    fn drop(&mut self) {
        let Some(body) = self.body.take().filter(|body| !body.complete) else { return };
        match Handle::try_current() {
            Ok(runtime) if !self.asks_first && !body.failed => {
                runtime.spawn(throw_away(body, THROWN_AWAY, self.activity.clone()));
            }
            _ => self.activity.leaves_unread(),
        }
    }
}

/// Reads the rest of a body, up to `most` bytes and for the time `longest`.
fn throw_away<B>(
    mut body: Paced<B>,
    (most, longest): (usize, Duration),
    activity: Arc<Activity>,
) -> impl Future<Output = ()>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<BoxError>,
{
    // Meanwhile, arriving bytes are not a new request, and the connection is not idle.
    let mut under_way = activity.request(false);
    under_way.answered();
    async move {
        let mut left = most;
        let rest = async {
            while let Some(Ok(frame)) = body.frame().await {
                left = left.saturating_sub(frame.data_ref().map_or(0, Bytes::len));
                if left == 0 {
                    break;
                }
            }
        };
        // The state of the body shows the outcome.
        let _ = timeout(longest, rest).await;
        if !body.complete {
            activity.leaves_unread();
        }
        drop(under_way);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use http_body_util::{BodyExt, Full, StreamBody};
    use tokio::sync::mpsc;

    use super::super::activity::tests::deadlines;
    use super::super::budget::Bodies;
    use super::*;

    type Received = Result<Frame<Bytes>, std::convert::Infallible>;

    /// A body whose parts are sent by hand.
    fn by_hand() -> (mpsc::UnboundedSender<Bytes>, impl Body<Data = Bytes, Error = BoxError> + Unpin)
    {
        let (send, mut parts) = mpsc::unbounded_channel();
        let stream = futures_util::stream::poll_fn(move |cx| {
            parts.poll_recv(cx).map(|part| part.map(|part| Received::Ok(Frame::data(part))))
        });
        (send, StreamBody::new(stream).map_err(Into::into))
    }

    fn inbound<B>(body: B, limit: usize) -> (Inbound<B>, Bodies, Arc<Activity>)
    where
        B: Body<Data = Bytes> + Unpin + Send + 'static,
        B::Error: Into<BoxError>,
    {
        let bodies = Bodies::new(limit);
        let activity = Arc::new(Activity::new(deadlines(), Instant::now()));
        activity.begins(Instant::now(), false);
        let taken = Arc::new(bodies.account(None, false));
        let rate = Rate { bytes_per_second: 512, grace: Duration::from_millis(50) };
        (Inbound::new(body, rate, false, taken, activity.clone()), bodies, activity)
    }

    fn error(frame: Option<Result<Frame<Bytes>, BoxError>>) -> BodyError {
        *frame.unwrap().unwrap_err().downcast::<BodyError>().unwrap()
    }

    #[tokio::test]
    async fn a_body_that_stops_fails() {
        let (send, body) = by_hand();
        let (mut body, _, activity) = inbound(body, 1000);
        send.send(Bytes::from_static(b"x")).unwrap();
        body.frame().await.unwrap().unwrap();
        assert_eq!(error(body.frame().await), BodyError::TooSlow);
        drop(body);
        assert!(activity.idle_since().is_some() && activity.may_have_left_unread());
    }

    /// Waits until nothing is under way.
    async fn quiet(activity: &Activity) {
        while activity.idle_since().is_none() {
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn the_rest_of_a_body_is_thrown_away() {
        let (send, body) = by_hand();
        let (body, bodies, activity) = inbound(body, 10);
        drop(body);
        assert_eq!(activity.idle_since(), None, "it is being read");
        for _ in 0..100 {
            send.send(Bytes::from_static(&[0; 1000])).unwrap();
        }
        drop(send);
        quiet(&activity).await;
        assert!(!activity.may_have_left_unread());
        assert!(bodies.account(None, false).take(10), "that needs no room");
    }

    #[tokio::test]
    async fn no_more_of_a_body_is_thrown_away_than_is_reasonable() {
        let (send, body) = by_hand();
        let (mut inbound, _, activity) = inbound(body, 10);
        let body = inbound.body.take().unwrap();
        let away =
            tokio::spawn(throw_away(body, (2500, Duration::from_hours(1)), activity.clone()));
        while send.send(Bytes::from_static(&[0; 1000])).is_ok() {
            tokio::task::yield_now().await;
        }
        away.await.unwrap();
        assert!(activity.may_have_left_unread());
    }

    #[tokio::test]
    async fn a_client_that_asks_before_it_sends_is_not_told_to_send() {
        let (_send, body) = by_hand();
        let (mut body, _, activity) = inbound(body, 10);
        body.asks_first = true;
        drop(body);
        assert!(activity.idle_since().is_some() && activity.may_have_left_unread());
    }

    #[tokio::test]
    async fn bytes_come_out_of_the_budget_until_the_request_is_handled() {
        let (mut body, bodies, _) = inbound(Full::new(Bytes::from_static(&[0; 60])), 100);
        let taken = body.taken.clone();
        body.frame().await.unwrap().unwrap();
        drop(body);
        let other = bodies.account(None, false);
        assert!(!other.take(41), "the handler has the bytes");
        drop(taken);
        assert!(other.take(100));
    }

    #[tokio::test]
    async fn a_body_that_finds_no_room_fails() {
        let (mut body, ..) = inbound(Full::new(Bytes::from_static(&[0; 101])), 100);
        assert_eq!(error(body.frame().await), BodyError::NoRoom);
    }

    #[tokio::test]
    async fn a_body_that_was_read_leaves_nothing() {
        let (body, _, activity) = inbound(Full::new(Bytes::from_static(b"all of it")), 100);
        assert_eq!(body.collect().await.unwrap().to_bytes(), "all of it");
        assert!(!activity.may_have_left_unread());
        let (body, _, activity) = inbound(Full::new(Bytes::new()), 100);
        drop(body);
        assert!(!activity.may_have_left_unread(), "there was nothing to read");
    }
}
