//! The body of an answer on its way out: its request is under way until the peer has taken it.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use axum::body::Body as AxumBody;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use chancery_api::Shared;
use http::{StatusCode, header};
use hyper::body::{Body, Frame, SizeHint};
use tokio::time::Instant;

use super::activity::UnderWay;
use super::budget::Taken;
use super::meters;

/// How much of an answer HTTP is given at a time, in bytes. It keeps what it was given until the peer
/// takes it, where no budget counts it and, in HTTP/2, nobody can see that the peer does not.
const PART: usize = 16 * 1024;

/// So many bytes of an answer need no room in the budget: it tells what became of a change, and streams are few
/// enough.
pub(super) const SHORT: usize = PART;

/// The body of an answer.
pub(super) struct Outbound {
    body: AxumBody,
    /// What of a frame was not handed over yet.
    rest: Bytes,
    under_way: UnderWay,
    multiplexed: bool,
    /// What the answer holds of the budget.
    _taken: Arc<Taken>,
}

impl Outbound {
    /// The answer, or that there is no room for it. `taken` is what was taken while it was made.
    pub(super) fn response(
        response: Response,
        under_way: UnderWay,
        multiplexed: bool,
        taken: Arc<Taken>,
    ) -> http::Response<Self> {
        let bytes = usize::try_from(response.body().size_hint().lower()).unwrap_or(usize::MAX);
        // A file that is in memory anyhow takes no room for each who reads it.
        let shared = response.extensions().get::<Shared>().is_some();
        let own = if shared { bytes.min(SHORT) } else { bytes };
        let fits = taken.settle(own) || own <= SHORT;
        let response = if fits { response } else { no_room() };
        let new = |body| Self { body, rest: Bytes::new(), under_way, multiplexed, _taken: taken };
        response.map(new)
    }
}

fn no_room() -> Response {
    const BODY: &str =
        r#"{"errors":["too many answers are waiting to be read: read them, then try again"]}"#;
    meters::answer_refused();
    let headers = [(header::CONTENT_TYPE, "application/json"), (header::RETRY_AFTER, "1")];
    (StatusCode::SERVICE_UNAVAILABLE, headers, BODY).into_response()
}

impl Body for Outbound {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let me = &mut *self;
        if me.multiplexed {
            // In HTTP/1.1 it shows at the stream whether the peer takes it.
            me.under_way.taken();
        }
        if me.rest.is_empty() {
            match ready!(Pin::new(&mut me.body).poll_frame(cx)) {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => me.rest = data,
                    Err(trailers) => return Poll::Ready(Some(Ok(trailers))),
                },
                other => return Poll::Ready(other),
            }
        }
        // A copy: a part of the whole would keep all of it.
        let part = Bytes::copy_from_slice(&me.rest.split_to(me.rest.len().min(PART)));
        if me.multiplexed {
            me.under_way.handed(Instant::now());
        }
        Poll::Ready(Some(Ok(Frame::data(part))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let rest = u64::try_from(self.rest.len()).unwrap_or(u64::MAX);
        let of_body = self.body.size_hint();
        let mut hint = SizeHint::new();
        hint.set_lower(of_body.lower().saturating_add(rest));
        if let Some(upper) = of_body.upper() {
            hint.set_upper(upper.saturating_add(rest));
        }
        hint
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use http_body_util::BodyExt;

    use super::super::activity::tests::deadlines;
    use super::super::activity::{Activity, Ended, Verdict};
    use super::super::budget::Bodies;
    use super::*;

    fn outbound(bytes: usize, multiplexed: bool) -> (Outbound, Arc<Activity>) {
        let activity = Arc::new(Activity::new(deadlines(), Instant::now()));
        let under_way = activity.request(false);
        let taken = Arc::new(Bodies::new(1_000_000).account(None, false));
        let response = Response::new(AxumBody::from(vec![7; bytes]));
        (Outbound::response(response, under_way, multiplexed, taken).into_body(), activity)
    }

    #[tokio::test]
    async fn an_answer_is_the_same_in_parts() {
        for multiplexed in [false, true] {
            for bytes in [0, 1, PART, PART + 1, 5 * PART + 3] {
                let (mut body, activity) = outbound(bytes, multiplexed);
                let mut received = 0;
                while let Some(frame) = {
                    let left = u64::try_from(bytes - received).unwrap();
                    assert_eq!(body.size_hint().exact(), Some(left));
                    assert_eq!(body.is_end_stream(), left == 0);
                    body.frame().await
                } {
                    let data = frame.unwrap().into_data().unwrap();
                    assert!(data.len() <= PART);
                    received += data.len();
                }
                assert_eq!(received, bytes);
                drop(body);
                assert!(activity.idle_since().is_some());
            }
        }
    }

    #[tokio::test]
    async fn answers_come_out_of_the_budget_until_they_are_taken() {
        let bodies = Bodies::new(5 * PART);
        let activity = Arc::new(Activity::new(deadlines(), Instant::now()));
        let answer = |bytes: usize| {
            let (under_way, taken) =
                (activity.request(true), Arc::new(bodies.account(None, false)));
            let response = Response::new(AxumBody::from(vec![7; bytes]));
            Outbound::response(response, under_way, true, taken)
        };
        let first = answer(4 * PART);
        assert_eq!(first.status(), StatusCode::OK);
        let second = answer(2 * PART);
        assert_eq!(second.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(second.headers()[header::RETRY_AFTER], "1");
        assert_eq!(answer(PART).status(), StatusCode::OK, "a short one always goes out");
        drop((first, second));
        assert_eq!(answer(5 * PART).status(), StatusCode::OK);
    }

    #[tokio::test]
    async fn what_was_taken_while_an_answer_was_made_counts_once() {
        let bodies = Bodies::new(5 * PART);
        let activity = Arc::new(Activity::new(deadlines(), Instant::now()));
        let taken = Arc::new(bodies.account(None, false));
        assert!(taken.take(4 * PART));
        let response = Response::new(AxumBody::from(vec![7; 3 * PART]));
        let answer = Outbound::response(response, activity.request(true), true, taken);
        assert_eq!(answer.status(), StatusCode::OK);
        assert!(bodies.account(None, false).take(2 * PART), "only what it has is left");
    }

    #[tokio::test]
    async fn a_file_that_is_shared_takes_no_room_for_each_reader() {
        let bodies = Bodies::new(2 * PART);
        let activity = Arc::new(Activity::new(deadlines(), Instant::now()));
        let shared = Bytes::from(vec![7; 10 * PART]);
        let answers = [1, 2].map(|_| {
            let mut response = Response::new(AxumBody::from(shared.clone()));
            response.extensions_mut().insert(Shared);
            let taken = Arc::new(bodies.account(None, true));
            Outbound::response(response, activity.request(true), true, taken)
        });
        assert!(answers.iter().all(|answer| answer.status() == StatusCode::OK));
    }

    #[tokio::test]
    async fn a_part_that_is_not_taken_in_time_ends_the_connection() {
        let (mut body, activity) = outbound(3 * PART, true);
        for _ in 0..2 {
            body.frame().await.unwrap().unwrap();
            let handed = Instant::now();
            let soon = activity.verdict(handed + Duration::from_secs(29));
            assert!(matches!(soon, Verdict::Fine(_)), "{soon:?}");
            let late = activity.verdict(handed + Duration::from_secs(30));
            assert_eq!(late, Verdict::End(Ended::Stalled));
        }
        drop(body);
        let over = activity.verdict(Instant::now() + Duration::from_secs(29));
        assert!(matches!(over, Verdict::Fine(_)), "{over:?}");
    }
}
