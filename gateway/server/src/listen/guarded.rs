//! The stream on which HTTP is spoken, within TLS where there is TLS: it counts what of HTTP/2 asks for
//! nothing, ends what is not the protocol that was negotiated, and says good-bye when a connection is ended in
//! the middle of something.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};

use chancery_tls::Protocol;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;

use super::activity::{Activity, Ended};
use super::frames::{Allowance, Frames};

/// Reasons of GOAWAY (RFC 9113 §7).
const NO_ERROR: u32 = 0;
const PROTOCOL_ERROR: u32 = 1;
const ENHANCE_YOUR_CALM: u32 = 11;

/// The least that a server begins with (RFC 9113 §3.4).
const EMPTY_SETTINGS: &[u8] = b"\0\0\0\x04\0\0\0\0\0";

/// To a client that negotiated HTTP/2 and speaks something else. It has to be read in the midst of frames.
const NOT_HTTP2: &[u8] =
    b" h2 was negotiated (ALPN), and this is not HTTP/2: speak it, or do not offer h2 ";

/// To a client that speaks HTTP/2 and did not negotiate it (RFC 9113 §3.2).
const NOT_HTTP1: &[u8] = b"HTTP/1.1 505 HTTP Version Not Supported\r\nconnection: close\r\n\
    content-type: text/plain\r\ncontent-length: 51\r\n\r\n\
    HTTP/2 needs h2 to be negotiated by ALPN: offer it\n";

/// A stream that counts frames. Dropped, it tells the peer that nothing more will come, as far as that is
/// possible without waiting: by GOAWAY (RFC 9113 §6.8) and by TLS's `close_notify` (RFC 8446 §6.1).
pub(super) struct Guarded<S: AsyncRead + AsyncWrite + Unpin> {
    stream: S,
    activity: Arc<Activity>,
    /// None where each may be spoken.
    negotiated: Option<Protocol>,
    received: Frames,
    sent: Frames,
    allowance: Allowance,
    closing: bool,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Guarded<S> {
    /// A stream on which this was negotiated, or nothing.
    pub(super) fn new(stream: S, activity: Arc<Activity>, negotiated: Option<Protocol>) -> Self {
        Self {
            stream,
            activity,
            negotiated,
            received: Frames::of_client(),
            sent: Frames::of_server(),
            allowance: Allowance::new(Instant::now()),
            closing: false,
        }
    }

    fn wrote(&mut self, bytes: &[u8]) {
        if self.received.are_http2() || self.negotiated == Some(Protocol::Http2) {
            self.allowance.wrote(bytes.len());
            self.sent.read(bytes, |_| {});
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for Guarded<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = into.filled().len();
        let Self { stream, activity, negotiated, received, allowance, .. } = &mut *self;
        ready!(Pin::new(stream).poll_read(cx, into))?;
        let now = Instant::now();
        let mut calm = true;
        let bytes = into.filled().get(before..).unwrap_or_default();
        if !bytes.is_empty() {
            activity.delivered();
        }
        received.read(bytes, |head| calm &= allowance.allows(head, now));
        let other = match negotiated {
            Some(Protocol::Http2) => received.are_something_else(),
            Some(Protocol::Http1) => received.are_http2(),
            None => false,
        };
        if other {
            activity.end(Ended::OtherProtocol);
            return Poll::Ready(Err(io::Error::other("not the protocol that was negotiated")));
        }
        if !calm {
            activity.end(Ended::Noisy);
            return Poll::Ready(Err(io::Error::other("too many frames that ask for nothing")));
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Guarded<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.stream).poll_write(cx, bytes))?;
        self.wrote(bytes.get(..written).unwrap_or(bytes));
        Poll::Ready(Ok(written))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.stream).poll_write_vectored(cx, parts))?;
        let mut left = written;
        for part in parts {
            let taken = left.min(part.len());
            self.wrote(part.get(..taken).unwrap_or(part));
            left -= taken;
        }
        Poll::Ready(Ok(written))
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.closing = true;
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Drop for Guarded<S> {
    fn drop(&mut self) {
        if self.closing {
            return;
        }
        // Nobody waits for it: what does not go out at once does not go out.
        let cx = &mut Context::from_waker(Waker::noop());
        let mut stream = Pin::new(&mut self.stream);
        let ended = self.activity.ended();
        let (reason, details) = match ended {
            Some(Ended::Noisy | Ended::GivingUp) => (ENHANCE_YOUR_CALM, &b""[..]),
            Some(Ended::OtherProtocol) => (PROTOCOL_ERROR, NOT_HTTP2),
            _ => (NO_ERROR, &b""[..]),
        };
        let is_other = ended == Some(Ended::OtherProtocol);
        let frames = match self.negotiated {
            Some(Protocol::Http1) => false,
            Some(Protocol::Http2) if is_other => true,
            _ => self.received.are_http2(),
        };
        let last = if !frames && is_other {
            NOT_HTTP1.to_owned()
        } else if frames && self.sent.at_boundary() {
            // Its preface may have been waited for before anything was sent, and SETTINGS come first.
            let first = if is_other { EMPTY_SETTINGS } else { &[] };
            [first, &go_away(self.allowance.last_stream(), reason, details)].concat()
        } else {
            vec![]
        };
        if !last.is_empty() {
            let _ = stream.as_mut().poll_write(cx, &last);
            let _ = stream.as_mut().poll_flush(cx);
        }
        let _ = stream.poll_shutdown(cx);
    }
}

/// A GOAWAY frame.
fn go_away(last_stream: u32, reason: u32, details: &[u8]) -> Vec<u8> {
    let length = u8::try_from(details.len() + 8).unwrap_or(u8::MAX);
    let head = [0, 0, length, 7, 0, 0, 0, 0, 0];
    [&head[..], &last_stream.to_be_bytes(), &reason.to_be_bytes(), details].concat()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

    use super::super::activity::tests::deadlines;
    use super::*;

    /// The preface, SETTINGS and the head of a request on stream 7.
    const REQUEST: &[u8] =
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0\0\0\x01\x01\x05\0\0\0\x07\x82";

    fn guarded() -> (Guarded<DuplexStream>, DuplexStream, Arc<Activity>) {
        let (ours, theirs) = duplex(1 << 20);
        let activity = Arc::new(Activity::new(deadlines(), Instant::now()));
        (Guarded::new(ours, activity.clone(), None), theirs, activity)
    }

    async fn rest(mut stream: DuplexStream) -> Vec<u8> {
        let mut rest = vec![];
        stream.read_to_end(&mut rest).await.unwrap();
        rest
    }

    #[tokio::test]
    async fn too_many_pings_end_a_connection_and_the_peer_is_told_why() {
        let (mut ours, mut theirs, activity) = guarded();
        theirs.write_all(REQUEST).await.unwrap();
        for _ in 0..5000 {
            theirs.write_all(b"\0\0\x08\x06\0\0\0\0\0abcdefgh").await.unwrap();
        }
        let error = tokio::io::copy(&mut ours, &mut tokio::io::sink()).await.unwrap_err();
        assert_eq!(error.to_string(), "too many frames that ask for nothing");
        assert_eq!(activity.ended(), Some(Ended::Noisy));
        drop(ours);
        assert_eq!(rest(theirs).await, go_away(7, ENHANCE_YOUR_CALM, b""));
    }

    #[tokio::test]
    async fn a_connection_that_is_ended_says_so_between_frames_only() {
        for (written, said) in [
            (&b"\0\0\0\x04\0\0\0\0\0"[..], true),
            (b"\0\0\0\x04\0", false),
            (b"\0\0\x02\x06\0\0\0\0\0a", false),
        ] {
            let (mut ours, mut theirs, activity) = guarded();
            theirs.write_all(REQUEST).await.unwrap();
            ours.read_exact(&mut vec![0; REQUEST.len()]).await.unwrap();
            ours.write_all(written).await.unwrap();
            activity.end(Ended::Displaced);
            drop(ours);
            let mut expected = written.to_vec();
            expected.extend(said.then(|| go_away(7, NO_ERROR, b"")).into_iter().flatten());
            assert_eq!(rest(theirs).await, expected);
        }
    }

    #[tokio::test]
    async fn what_was_negotiated_has_to_be_spoken() {
        let refusal = [EMPTY_SETTINGS, &go_away(0, PROTOCOL_ERROR, NOT_HTTP2)].concat();
        for (negotiated, sent, told) in [
            (Protocol::Http2, &b"GET / HTTP/1.1\r\n\r\n"[..], refusal.clone()),
            (Protocol::Http2, b"PRI * HTTP/1.1\r\n\r\n", refusal.clone()),
            (Protocol::Http1, REQUEST, NOT_HTTP1.to_owned()),
        ] {
            let (mut ours, mut theirs, activity) = guarded();
            ours.negotiated = Some(negotiated);
            theirs.write_all(sent).await.unwrap();
            let error = tokio::io::copy(&mut ours, &mut tokio::io::sink()).await.unwrap_err();
            assert_eq!(error.to_string(), "not the protocol that was negotiated");
            assert_eq!(activity.ended(), Some(Ended::OtherProtocol));
            drop(ours);
            assert_eq!(rest(theirs).await, told);
        }
        for (negotiated, sent) in
            [(Protocol::Http2, REQUEST), (Protocol::Http1, b"GET / HTTP/1.1\r\n\r\n")]
        {
            let (mut ours, mut theirs, activity) = guarded();
            ours.negotiated = Some(negotiated);
            theirs.write_all(sent).await.unwrap();
            ours.read_exact(&mut vec![0; sent.len()]).await.unwrap();
            assert_eq!(activity.ended(), None);
        }
        let body = NOT_HTTP1.split(|byte| *byte == b'\n').rev().nth(1).unwrap();
        assert!(NOT_HTTP1.ends_with(b"\n") && body.len() + 1 == 51, "{}", body.len());
    }

    #[tokio::test]
    async fn whoever_has_closed_says_nothing_more_and_http1_has_nothing_to_say() {
        let (mut ours, mut theirs, _) = guarded();
        theirs.write_all(REQUEST).await.unwrap();
        ours.read_exact(&mut vec![0; REQUEST.len()]).await.unwrap();
        ours.shutdown().await.unwrap();
        drop(ours);
        assert!(rest(theirs).await.is_empty());

        let (mut ours, mut theirs, activity) = guarded();
        theirs.write_all(b"GET / HTTP/1.1\r\n").await.unwrap();
        ours.read_exact(&mut [0; 16]).await.unwrap();
        activity.end(Ended::Stalled);
        drop(ours);
        assert!(rest(theirs).await.is_empty());
    }

    #[tokio::test]
    async fn nobody_waits_for_the_peer_to_take_the_good_bye() {
        let (ours, _theirs) = duplex(1);
        let activity = Arc::new(Activity::new(deadlines(), Instant::now()));
        let mut ours = Guarded::new(ours, activity, None);
        ours.received.read(REQUEST, |_| {});
        ours.write_all(b"\0").await.unwrap();
        let dropped = tokio::task::spawn_blocking(move || drop(ours));
        tokio::time::timeout(Duration::from_mins(1), dropped).await.unwrap().unwrap();
    }
}
