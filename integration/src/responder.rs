//! Web servers for http-01 challenges.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::accepting::Accepting;
use crate::process::{self, Server};
use crate::site::Site;

/// A web server for the files that a client puts into a folder (`--webroot`), at the http-01 port of a site.
#[derive(Debug)]
pub struct Folder {
    challenges: PathBuf,
    _server: Server,
}

impl Folder {
    /// Starts it and waits until it listens.
    #[track_caller]
    #[must_use]
    pub fn serve(site: &Site) -> Self {
        let challenges = site.folder("web/.well-known/acme-challenge");
        let socket = site.socket(Site::HTTP01_PORT);
        let mut command = Command::new(process::tool("python3"));
        command
            .args(["-m", "http.server", "--bind", &socket.ip().to_string()])
            .arg("--directory")
            .arg(site.folder("web"))
            .arg(socket.port().to_string());
        let server = Server::start("http.server", &mut command, &site.file("web.log"));
        process::eventually("the web server listens", Duration::from_secs(30), || {
            TcpStream::connect(socket).ok()
        });
        Self { challenges, _server: server }
    }

    /// The folder for answers to challenges.
    #[must_use]
    pub fn challenges(&self) -> &Path {
        &self.challenges
    }
}

/// Answers http-01 challenges at the address of a site.
#[derive(Debug)]
pub struct Http01 {
    state: Arc<Mutex<State>>,
    _accepting: Accepting,
}

#[derive(Debug, Default)]
struct State {
    answers: BTreeMap<String, String>,
    asked: Vec<String>,
}

impl Http01 {
    /// Listens at the http-01 port of the site.
    #[must_use]
    pub fn start(site: &Site) -> Self {
        let socket = site.socket(Site::HTTP01_PORT);
        let listener = TcpListener::bind(socket).expect("the port of the site is free");
        let state = Arc::new(Mutex::new(State::default()));
        let shared = Arc::clone(&state);
        let accepting = Accepting::on(listener, move |stream| serve(stream, &shared));
        Self { state, _accepting: accepting }
    }

    /// From now on, answers a token with this key authorization.
    pub fn answer(&self, token: &str, authorization: &str) {
        let mut state = self.state.lock().expect("nobody panicked");
        state
            .answers
            .insert(format!("/.well-known/acme-challenge/{token}"), authorization.to_owned());
    }

    /// From now on, answers a path with a redirect.
    pub fn redirect(&self, path: &str, location: &str) {
        let mut state = self.state.lock().expect("nobody panicked");
        state.answers.insert(path.to_owned(), format!("-> {location}"));
    }

    /// The paths that were asked for, in order.
    #[must_use]
    pub fn asked(&self) -> Vec<String> {
        self.state.lock().expect("nobody panicked").asked.clone()
    }
}

fn serve(stream: TcpStream, state: &Mutex<State>) -> std::io::Result<()> {
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader.read_line(&mut line)?;
    let path = line.split(' ').nth(1).unwrap_or_default().to_owned();
    // The rest of the head, up to the empty line.
    while reader.read_line(&mut line)? > 2 {}
    let answer = {
        let mut state = state.lock().expect("nobody panicked");
        state.asked.push(path.clone());
        state.answers.get(&path).cloned()
    };
    let answer = match answer {
        Some(answer) => match answer.strip_prefix("-> ") {
            Some(location) => {
                format!("HTTP/1.1 302 Found\r\nlocation: {location}\r\ncontent-length: 0\r\n\r\n")
            }
            None => format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{answer}", answer.len()),
        },
        None => "HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n".to_owned(),
    };
    reader.get_mut().write_all(answer.as_bytes())
}
