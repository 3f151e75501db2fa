use std::fmt::Write as _;
use std::io::{self, Read, Write};
use std::net::TcpStream;

use rustls::StreamOwned;
use rustls::client::ClientConnection;

use super::Response;

/// What a connection goes over.
#[derive(Debug)]
pub(super) enum Stream {
    Plain(TcpStream),
    Tls(Box<StreamOwned<ClientConnection, TcpStream>>),
}

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(stream) => stream.read(buffer),
            Self::Tls(stream) => read_tls(stream, buffer),
        }
    }
}

/// Reads what has come, also from a peer that does not read any more: `StreamOwned` would try to
/// write first, fail, and never come to an answer that is there.
fn read_tls(
    stream: &mut StreamOwned<ClientConnection, TcpStream>,
    buffer: &mut [u8],
) -> io::Result<usize> {
    loop {
        match stream.conn.reader().read(buffer) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            done => return done,
        }
        while stream.conn.wants_write() && stream.conn.write_tls(&mut stream.sock).is_ok() {}
        stream.conn.read_tls(&mut stream.sock)?;
        stream.conn.process_new_packets().map_err(io::Error::other)?;
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(stream) => stream.write(bytes),
            Self::Tls(stream) => stream.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(stream) => stream.flush(),
            Self::Tls(stream) => stream.flush(),
        }
    }
}

/// An open connection, for as many requests as the server likes.
#[derive(Debug)]
pub struct Connection {
    stream: Stream,
    authority: String,
}

impl Connection {
    pub(super) fn new(stream: Stream, authority: String) -> Self {
        Self { stream, authority }
    }

    /// Sends a request and reads its answer.
    pub fn send(
        &mut self,
        method: &str,
        target: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> io::Result<Response> {
        let mut head = format!("{method} {target} HTTP/1.1\r\nhost: {}\r\n", self.authority);
        for (name, value) in headers {
            let _ = write!(head, "{name}: {value}\r\n");
        }
        if !body.is_empty() || !matches!(method, "GET" | "HEAD" | "LIST" | "DELETE") {
            let _ = write!(head, "content-length: {}\r\n", body.len());
        }
        head.push_str("\r\n");
        // A server may answer and close before it has read all of a body that is too large.
        let sent = self.write(&[head.as_bytes(), body].concat());
        match self.read(method == "HEAD") {
            Ok(response) => Ok(response),
            Err(error) => Err(sent.err().unwrap_or(error)),
        }
    }

    /// Sends the headers of a request whose body has `length` bytes, and waits until the server asks for
    /// it (RFC 9110, section 10.1.1). The body is [written](Self::write) later.
    pub fn park(
        &mut self,
        method: &str,
        target: &str,
        headers: &[(&str, &str)],
        length: usize,
    ) -> io::Result<()> {
        let mut head = format!("{method} {target} HTTP/1.1\r\nhost: {}\r\n", self.authority);
        for (name, value) in headers {
            let _ = write!(head, "{name}: {value}\r\n");
        }
        let _ = write!(head, "content-length: {length}\r\nexpect: 100-continue\r\n\r\n");
        self.write(head.as_bytes())?;
        let mut buffer = Vec::new();
        while parse_head(&buffer)?.is_none() {
            self.more(&mut buffer)?;
        }
        match parse_head(&buffer)? {
            Some((answer, end)) if answer.status == 100 && end == buffer.len() => Ok(()),
            _ => Err(io::Error::other(String::from_utf8_lossy(&buffer).into_owned())),
        }
    }

    /// Writes bytes as they are.
    pub fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes)?;
        self.stream.flush()
    }

    /// Waits until the server closes the connection. Returns what it sent before.
    ///
    /// # Errors
    /// It does not, as long as the client is patient.
    pub fn until_closed(&mut self) -> io::Result<Vec<u8>> {
        let mut said = Vec::new();
        let mut part = [0; 16 * 1024];
        loop {
            match self.stream.read(&mut part) {
                Ok(0) => return Ok(said),
                Ok(read) => said.extend_from_slice(&part[..read]),
                Err(error) if is_closed(error.kind()) => return Ok(said),
                Err(error) => return Err(error),
            }
        }
    }

    /// Reads until what came is enough. Returns it.
    ///
    /// # Errors
    /// The connection ends before.
    pub fn until(&mut self, enough: impl Fn(&[u8]) -> bool) -> io::Result<Vec<u8>> {
        let mut said = Vec::new();
        while !enough(&said) {
            self.more(&mut said)?;
        }
        Ok(said)
    }

    /// Waits until the server closes the connection, and expects that it says so where it has to: over TLS, a
    /// connection that ends without `close_notify` may have been cut (RFC 8446, section 6.1).
    ///
    /// # Errors
    /// It is cut, or the server does not close it as long as the client is patient.
    pub fn until_told(&mut self) -> io::Result<Vec<u8>> {
        let mut said = Vec::new();
        self.stream.read_to_end(&mut said).map(|_| said)
    }

    /// Reads an answer; `bodiless` for the answer to HEAD.
    pub fn read(&mut self, bodiless: bool) -> io::Result<Response> {
        let mut buffer = Vec::new();
        let (mut response, start) = loop {
            if let Some(head) = parse_head(&buffer)? {
                break head;
            }
            self.more(&mut buffer)?;
        };
        let mut body = buffer.split_off(start);
        if bodiless || response.status == 204 || response.status == 304 {
            return Ok(response);
        }
        if response.header("transfer-encoding").is_some_and(|value| value.contains("chunked")) {
            response.body = self.chunks(body)?;
        } else if let Some(length) = response.header("content-length") {
            let length: usize = length.parse().map_err(io::Error::other)?;
            while body.len() < length {
                self.more(&mut body)?;
            }
            response.body = body;
        } else {
            self.stream.read_to_end(&mut body)?;
            response.body = body;
        }
        Ok(response)
    }

    fn more(&mut self, buffer: &mut Vec<u8>) -> io::Result<()> {
        let mut part = [0; 16 * 1024];
        match self.stream.read(&mut part)? {
            0 => Err(io::Error::new(
                io::ErrorKind::UnexpectedEof,
                "the server closed the connection",
            )),
            read => {
                buffer.extend_from_slice(&part[..read]);
                Ok(())
            }
        }
    }

    fn chunks(&mut self, mut buffer: Vec<u8>) -> io::Result<Vec<u8>> {
        let mut body = Vec::new();
        loop {
            match httparse::parse_chunk_size(&buffer)
                .map_err(|_| io::Error::other("a broken chunk"))?
            {
                httparse::Status::Complete((start, size)) => {
                    let size = usize::try_from(size).map_err(io::Error::other)?;
                    while buffer.len() < start + size + 2 {
                        self.more(&mut buffer)?;
                    }
                    body.extend_from_slice(&buffer[start..start + size]);
                    buffer.drain(..start + size + 2);
                    if size == 0 {
                        return Ok(body);
                    }
                }
                httparse::Status::Partial => self.more(&mut buffer)?,
            }
        }
    }
}

/// How a peer ends a connection, politely or not.
fn is_closed(kind: io::ErrorKind) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, UnexpectedEof};
    matches!(kind, BrokenPipe | ConnectionAborted | ConnectionReset | UnexpectedEof)
}

fn parse_head(buffer: &[u8]) -> io::Result<Option<(Response, usize)>> {
    let mut headers = [httparse::EMPTY_HEADER; 64];
    let mut head = httparse::Response::new(&mut headers);
    match head.parse(buffer).map_err(io::Error::other)? {
        httparse::Status::Partial => Ok(None),
        httparse::Status::Complete(start) => {
            let headers = head
                .headers
                .iter()
                .map(|header| {
                    (header.name.to_lowercase(), String::from_utf8_lossy(header.value).into_owned())
                })
                .collect();
            let status = head.code.expect("a whole head has a status");
            Ok(Some((Response { status, headers, body: Vec::new() }, start)))
        }
    }
}
