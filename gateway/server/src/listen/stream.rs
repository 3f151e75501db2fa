//! A connection's stream: it reports what moves on it, and closes so that the last answer arrives.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep};

use super::activity::Activity;

/// For how long a peer may go on sending after the last answer.
const LINGER: Linger = Linger { longest: Duration::from_secs(30), silence: Duration::from_secs(5) };

#[derive(Debug, Clone, Copy)]
struct Linger {
    /// In all.
    longest: Duration,
    /// Without a byte, before nobody waits any more.
    silence: Duration,
}

/// A stream that reports to an [`Activity`].
///
/// Closing lingers where the peer may not have sent all of a request: an operating system that has
/// unread bytes of a connection resets it when it is closed, and the peer loses the answer that says why
/// (RFC 9112 §9.6). So what still comes is read and thrown away, for a time.
pub(super) struct Watched<S> {
    stream: S,
    activity: Arc<Activity>,
    linger: Linger,
    closing: Option<Closing>,
}

enum Closing {
    /// Everything was sent; what still comes is thrown away.
    Lingering {
        longest: Pin<Box<Sleep>>,
        silence: Pin<Box<Sleep>>,
    },
    Done,
}

impl<S> Watched<S> {
    pub(super) fn new(stream: S, activity: Arc<Activity>) -> Self {
        Self { stream, activity, linger: LINGER, closing: None }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Watched<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = into.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(cx, into))?;
        let bytes = into.filled().len().saturating_sub(before);
        if bytes > 0 {
            self.activity.received(Instant::now(), bytes);
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + AsyncRead + Unpin> AsyncWrite for Watched<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.report(written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, parts);
        self.report(written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Self { stream, activity, linger, closing } = &mut *self;
        loop {
            match closing {
                None => {
                    ready!(Pin::new(&mut *stream).poll_shutdown(cx))?;
                    *closing = Some(if activity.may_have_left_unread() {
                        let [longest, silence] =
                            [linger.longest, linger.silence].map(|time| Box::pin(sleep(time)));
                        Closing::Lingering { longest, silence }
                    } else {
                        Closing::Done
                    });
                }
                Some(Closing::Lingering { longest, silence }) => {
                    let over = longest.as_mut().poll(cx).is_ready();
                    if over || ready!(poll_discard(stream, silence, cx)) {
                        *closing = Some(Closing::Done);
                    } else {
                        silence.as_mut().reset(Instant::now() + linger.silence);
                    }
                }
                Some(Closing::Done) => return Poll::Ready(Ok(())),
            }
        }
    }
}

impl<S> Watched<S> {
    fn report(&self, written: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        match &written {
            Poll::Ready(Ok(bytes)) => self.activity.wrote(Instant::now(), *bytes),
            Poll::Ready(Err(_)) => {}
            Poll::Pending => self.activity.waits_to_write(Instant::now()),
        }
        written
    }
}

/// Throws away what comes; ready with `true` when nothing more will come or nobody waits for it, and
/// with `false` when there may be more at once.
fn poll_discard<S: AsyncRead + Unpin>(
    stream: &mut S,
    silence: &mut Pin<Box<Sleep>>,
    cx: &mut Context<'_>,
) -> Poll<bool> {
    let mut room = [0; 16 * 1024];
    let mut into = ReadBuf::new(&mut room);
    match Pin::new(stream).poll_read(cx, &mut into) {
        Poll::Ready(Ok(())) if !into.filled().is_empty() => Poll::Ready(false),
        Poll::Ready(_) => Poll::Ready(true),
        Poll::Pending => silence.as_mut().poll(cx).map(|()| true),
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    use super::super::activity::tests::deadlines;
    use super::super::activity::{Ended, Verdict};
    use super::*;

    fn watched(linger: Linger) -> (Watched<tokio::io::DuplexStream>, tokio::io::DuplexStream) {
        let (ours, theirs) = duplex(10);
        let activity = Arc::new(Activity::new(deadlines(), Instant::now()));
        activity.begins(Instant::now(), false);
        (Watched { linger, ..Watched::new(ours, activity) }, theirs)
    }

    const FOR_EVER: Duration = Duration::from_hours(1);
    const SHORTLY: Duration = Duration::from_millis(20);

    #[tokio::test]
    async fn a_peer_that_reads_nothing_is_noticed() {
        let (mut stream, mut theirs) = watched(LINGER);
        let activity = stream.activity.clone();
        let _request = activity.request(false);
        let mut writing = Box::pin(stream.write_all(&[0; 15]));
        assert!(futures_util::poll!(&mut writing).is_pending());
        let later = |seconds| activity.verdict(Instant::now() + Duration::from_secs(seconds));
        assert!(matches!(later(29), Verdict::Fine(_)));
        assert_eq!(later(30), Verdict::End(Ended::Stalled));
        theirs.read_exact(&mut [0; 10]).await.unwrap();
        writing.await.unwrap();
        assert!(matches!(later(30), Verdict::Fine(_)), "it has read");
    }

    #[tokio::test]
    async fn closing_reads_what_is_still_on_its_way() {
        let linger = Linger { longest: FOR_EVER, silence: FOR_EVER };
        let (mut stream, mut theirs) = watched(linger);
        stream.activity.leaves_unread();
        let closing = tokio::spawn(async move { stream.shutdown().await });
        // More than fits at once.
        theirs.write_all(&[1; 500]).await.unwrap();
        assert_eq!(theirs.read(&mut [0; 10]).await.unwrap(), 0, "nothing more is sent");
        assert!(!closing.is_finished());
        drop(theirs);
        closing.await.unwrap().unwrap();
    }

    #[tokio::test]
    async fn lingering_ends_with_silence_and_after_a_time_without() {
        let (mut stream, _theirs) = watched(Linger { longest: FOR_EVER, silence: SHORTLY });
        stream.activity.leaves_unread();
        stream.shutdown().await.unwrap();

        let (mut stream, mut theirs) = watched(Linger { longest: SHORTLY, silence: FOR_EVER });
        stream.activity.leaves_unread();
        let sending = async { while theirs.write_all(&[1; 50]).await.is_ok() {} };
        tokio::select! {
            closed = stream.shutdown() => closed.unwrap(),
            () = sending => panic!("it is closed"),
        }
    }

    #[tokio::test]
    async fn a_conversation_that_is_complete_closes_at_once() {
        let (mut stream, _theirs) = watched(Linger { longest: FOR_EVER, silence: FOR_EVER });
        stream.shutdown().await.unwrap();
    }
}
