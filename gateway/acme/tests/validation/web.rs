use std::net::Ipv4Addr;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;

/// What a web server answers to a path, as it goes over the wire.
pub(crate) type Site = fn(port: u16, path: &str) -> String;

/// Serves the site over HTTP on a port of loopback until the test ends.
pub(crate) async fn serve<F>(site: F) -> u16
where
    F: Fn(u16, &str) -> String + Clone + Send + Sync + 'static,
{
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            tokio::spawn(answer(stream, port, site.clone()));
        }
    });
    port
}

/// Answers one request.
pub(crate) async fn answer<S, F>(mut stream: S, port: u16, site: F)
where
    S: AsyncRead + AsyncWrite + Unpin,
    F: Fn(u16, &str) -> String,
{
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await {
            Ok(byte) => request.push(byte),
            Err(_) => return,
        }
    }
    let request = String::from_utf8(request).unwrap();
    let path = request.split(' ').nth(1).unwrap();
    // The client may hang up on an answer that is too long for it.
    let _ = stream.write_all(site(port, path).as_bytes()).await;
    let _ = stream.shutdown().await;
}

pub(crate) fn ok(body: &str) -> String {
    let length = body.len();
    format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}")
}

pub(crate) fn redirect(location: &str) -> String {
    format!("HTTP/1.1 302 Found\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n")
}
