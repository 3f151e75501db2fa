//! The body of a request on its way in: it has to keep up a least rate, and its bytes come out of a
//! budget until the request was handled.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use axum::BoxError;
use bytes::Bytes;
use chancery_api::BodyError;
use hyper::body::{Body, Frame, SizeHint};
use tokio::time::{Instant, Sleep, sleep_until};

use super::activity::Activity;
use super::budget::Taken;
use super::pace::{Pace, Rate};

/// A body that fails when it is too slow or there is no room for it.
pub(super) struct Inbound<B: Body> {
    body: B,
    pace: Pace,
    deadline: Option<Pin<Box<Sleep>>>,
    taken: Arc<Taken>,
    activity: Arc<Activity>,
    complete: bool,
}

impl<B: Body> Inbound<B> {
    /// `taken` is what the request holds; whoever handles it keeps it alive until that is done.
    pub(super) fn new(body: B, rate: Rate, taken: Arc<Taken>, activity: Arc<Activity>) -> Self {
        let complete = body.is_end_stream();
        Self { body, pace: Pace::new(rate), deadline: None, taken, activity, complete }
    }

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

impl<B> Body for Inbound<B>
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
            return Poll::Ready(Some(Err(BodyError::TooSlow.into())));
        };
        Poll::Ready(match frame {
            Some(Ok(frame)) => {
                let bytes = frame.data_ref().map_or(0, Bytes::len);
                me.pace.moved(Instant::now(), bytes);
                me.complete = me.body.is_end_stream();
                let fits = me.taken.take(bytes);
                Some(if fits { Ok(frame) } else { Err(BodyError::NoRoom.into()) })
            }
            Some(Err(error)) => Some(Err(error.into())),
            None => {
                me.complete = true;
                None
            }
        })
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl<B: Body> Drop for Inbound<B> {
    fn drop(&mut self) {
        if !self.complete {
            self.activity.leaves_unread();
        }
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

    fn inbound<B: Body>(body: B, limit: usize) -> (Inbound<B>, Bodies, Arc<Activity>) {
        let bodies = Bodies::new(limit);
        let activity = Arc::new(Activity::new(deadlines(), Instant::now()));
        activity.begins(Instant::now(), false);
        let taken = Arc::new(bodies.account(None, false));
        let rate = Rate { bytes_per_second: 512, grace: Duration::from_millis(50) };
        (Inbound::new(body, rate, taken, activity.clone()), bodies, activity)
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
        assert!(activity.may_have_left_unread());
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
