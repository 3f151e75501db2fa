//! A connection to a server that may send its HTTP answer before it has read the request.

use std::io::{self, ErrorKind};
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// A connection to a server that may answer before it was asked, and close without reading the request: what
/// shell scripts do that put an answer behind `socat`, `nc` or a line of Python.
///
/// What comes early is kept back until the request is written; a request that nobody takes any more counts as
/// written, and a connection that is reset after the answer counts as closed, so that the answer is read and
/// judged by what it says.
#[derive(Debug)]
pub(super) struct Early<S> {
    stream: S,
    /// Whether the request, or a part of it, was written.
    is_asked: bool,
    /// Whether something was read.
    is_answered: bool,
    /// Who wants to read and has to wait for the request.
    reader: Option<Waker>,
}

impl<S> Early<S> {
    /// A connection on which nothing was sent yet.
    pub(super) fn new(stream: S) -> Self {
        Self { stream, is_asked: false, is_answered: false, reader: None }
    }

    fn asked(&mut self) {
        self.is_asked = true;
        if let Some(reader) = self.reader.take() {
            reader.wake();
        }
    }
}

/// The other side does not read, or not any more.
fn is_closed(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::BrokenPipe
            | ErrorKind::ConnectionReset
            | ErrorKind::ConnectionAborted
            | ErrorKind::NotConnected
    )
}

impl<S: AsyncRead + Unpin> AsyncRead for Early<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if !this.is_asked {
            this.reader = Some(context.waker().clone());
            return Poll::Pending;
        }
        let before = buffer.filled().len();
        match Pin::new(&mut this.stream).poll_read(context, buffer) {
            Poll::Ready(Ok(())) => {
                this.is_answered |= buffer.filled().len() > before;
                Poll::Ready(Ok(()))
            }
            // The request came too late for a server that had said everything: the end.
            Poll::Ready(Err(error)) if this.is_answered && is_closed(&error) => Poll::Ready(Ok(())),
            other => other,
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Early<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = match Pin::new(&mut this.stream).poll_write(context, bytes) {
            Poll::Ready(Err(error)) if is_closed(&error) => Poll::Ready(Ok(bytes.len())),
            other => other,
        };
        if written.is_ready() {
            this.asked();
        }
        written
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match Pin::new(&mut self.get_mut().stream).poll_flush(context) {
            Poll::Ready(Err(error)) if is_closed(&error) => Poll::Ready(Ok(())),
            other => other,
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(context)
    }
}
