//! A web server that does as it is told.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::accepting::Accepting;

/// What it does with a request.
#[derive(Clone, Debug)]
pub enum Behaviour {
    /// Answers with these bytes.
    Serve(Vec<u8>),
    /// Answers with a redirect to this address.
    Redirect(String),
    /// Takes the request and says nothing.
    Hang,
}

/// The server, at a port of 127.0.0.1.
#[derive(Debug)]
pub struct Web {
    state: Arc<Mutex<State>>,
    accepting: Accepting,
}

#[derive(Debug)]
struct State {
    behaviour: Behaviour,
    requests: usize,
    hanging: Vec<TcpStream>,
}

impl Web {
    /// Listens.
    #[must_use]
    pub fn start(behaviour: Behaviour) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("there is a free port");
        let state = State { behaviour, requests: 0, hanging: vec![] };
        let state = Arc::new(Mutex::new(state));
        let shared = Arc::clone(&state);
        let accepting = Accepting::on(listener, move |stream| serve(stream, &shared));
        Self { state, accepting }
    }

    /// Its address, with this path.
    #[must_use]
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.accepting.address())
    }

    /// From now on it does this.
    pub fn behave(&self, behaviour: Behaviour) {
        self.state.lock().expect("nobody panicked").behaviour = behaviour;
    }

    /// How many requests there were.
    #[must_use]
    pub fn requests(&self) -> usize {
        self.state.lock().expect("nobody panicked").requests
    }
}

fn serve(stream: TcpStream, state: &Mutex<State>) -> std::io::Result<()> {
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    let mut reader = BufReader::new(stream);
    let (mut line, mut length) = (String::new(), 0);
    loop {
        line.clear();
        if reader.read_line(&mut line)? <= 2 {
            break;
        }
        let header = line.to_ascii_lowercase();
        if let Some(value) = header.strip_prefix("content-length:") {
            length = value.trim().parse().unwrap_or(0);
        }
    }
    reader.read_exact(&mut vec![0; length])?;
    let mut state = state.lock().expect("nobody panicked");
    state.requests += 1;
    let close = "connection: close\r\n";
    let answer = match state.behaviour.clone() {
        Behaviour::Serve(body) => {
            let head = format!("HTTP/1.1 200 OK\r\n{close}content-length: {}\r\n\r\n", body.len());
            [head.into_bytes(), body].concat()
        }
        Behaviour::Redirect(to) => {
            format!("HTTP/1.1 302 Found\r\n{close}location: {to}\r\ncontent-length: 0\r\n\r\n")
                .into()
        }
        Behaviour::Hang => {
            state.hanging.push(reader.into_inner());
            return Ok(());
        }
    };
    drop(state);
    reader.get_mut().write_all(&answer)
}
