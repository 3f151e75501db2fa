use std::collections::HashMap;
use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

/// The web server of every name below `localhost`: answers http-01.
#[derive(Clone)]
pub(crate) struct Web(Arc<Inner>);

struct Inner {
    port: u16,
    pages: Mutex<HashMap<String, String>>,
    requests: AtomicUsize,
    /// How many requests may be answered before the others wait.
    gate: Semaphore,
}

impl Web {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let web = Self(Arc::new(Inner {
            port: listener.local_addr().unwrap().port(),
            pages: Mutex::default(),
            requests: AtomicUsize::new(0),
            gate: Semaphore::new(Semaphore::MAX_PERMITS / 2),
        }));
        let serving = web.clone();
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let web = serving.clone();
                tokio::spawn(async move { web.answer(stream).await });
            }
        });
        web
    }

    pub(crate) fn port(&self) -> u16 {
        self.0.port
    }

    /// Shows the key authorization of a token.
    pub(crate) fn show(&self, token: &str, thumbprint: &str) {
        let path = format!("/.well-known/acme-challenge/{token}");
        self.0.pages.lock().unwrap().insert(path, format!("{token}.{thumbprint}"));
    }

    /// How many requests have come.
    pub(crate) fn requests(&self) -> usize {
        self.0.requests.load(Ordering::SeqCst)
    }

    /// Waits until so many requests have come.
    pub(crate) async fn came(&self, count: usize) {
        while self.requests() < count {
            tokio::task::yield_now().await;
        }
    }

    /// From now on no request is answered until [`open`](Self::open).
    pub(crate) fn close(&self) {
        self.0.gate.forget_permits(Semaphore::MAX_PERMITS);
    }

    pub(crate) fn open(&self) {
        self.0.gate.add_permits(1000);
    }

    async fn answer(&self, mut stream: TcpStream) {
        let mut request = Vec::new();
        while !request.ends_with(b"\r\n\r\n") {
            match stream.read_u8().await {
                Ok(byte) => request.push(byte),
                Err(_) => return,
            }
        }
        self.0.requests.fetch_add(1, Ordering::SeqCst);
        drop(self.0.gate.acquire().await);
        let request = String::from_utf8(request).unwrap();
        let path = request.split(' ').nth(1).unwrap();
        let page = self.0.pages.lock().unwrap().get(path).cloned();
        let answer = match page {
            Some(page) => {
                format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{page}", page.len())
            }
            None => "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n".to_owned(),
        };
        let _ = stream.write_all(answer.as_bytes()).await;
    }
}
