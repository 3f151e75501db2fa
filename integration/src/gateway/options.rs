use std::net::SocketAddr;
use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use chancery_pkcs11_faults::PlanFile;

use super::{Gateway, Ready, START, binary, compiled};
use crate::dns::Dns;
use crate::hsm::Token;
use crate::process::{self, Outcome, Server};
use crate::site::Site;

/// How to start `chancery dev`.
#[derive(Clone, Debug)]
pub struct Options {
    directory: PathBuf,
    listen: SocketAddr,
    http: SocketAddr,
    http01_port: u16,
    arguments: Vec<String>,
    environment: Vec<(String, String)>,
    program: PathBuf,
    user: Option<u32>,
    log: PathBuf,
}

impl Options {
    /// `chancery dev` on port 0, with its state in the folder `state` of the site, and with
    /// challenges asked for at the ports of [`Site`].
    #[must_use]
    pub fn new(site: &Site) -> Self {
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        Self {
            directory: site.path().join("state"),
            listen: any,
            http: any,
            http01_port: Site::HTTP01_PORT,
            arguments: Vec::new(),
            environment: Vec::new(),
            program: binary(),
            user: None,
            log: site.file("gateway.log"),
        }
    }

    /// Runs as this user, with a copy of the program that the user can reach. Only root can do that.
    #[must_use]
    pub fn user(self, site: &Site, user: u32) -> Self {
        let program = site.file("chancery");
        std::fs::copy(binary(), &program).expect("the program can be copied");
        std::fs::create_dir_all(&self.directory).expect("the folder can be made");
        for path in [site.path(), &self.directory] {
            chown(path, Some(user), Some(user)).expect("root may give a folder away");
        }
        Self { program, user: Some(user), ..self }
    }

    /// Asks for http-01 answers at another port than the site's.
    #[must_use]
    pub fn http01_port(self, port: u16) -> Self {
        Self { http01_port: port, ..self }
    }

    /// Resolves names at this server.
    #[must_use]
    pub fn dns(self, dns: &Dns) -> Self {
        let socket = dns.socket().to_string();
        self.arguments(&["--dns", &socket])
    }

    /// Keeps the CA's keys in this token.
    #[must_use]
    pub fn token(self, token: &Token) -> Self {
        let (module, pin) = (token.module().to_string_lossy(), token.pin_file().to_string_lossy());
        let config = token.config().to_string_lossy();
        self.environment("SOFTHSM2_CONF", &config).arguments(&[
            "--pkcs11-module",
            &module,
            "--pkcs11-token",
            Token::LABEL,
            "--pkcs11-pin-file",
            &pin,
        ])
    }

    /// Keeps the CA's keys in this token, whose module fails as planned.
    #[must_use]
    pub fn faulty_token(self, token: &Token, plan: &PlanFile) -> Self {
        let directory = plan.directory().to_string_lossy();
        self.token(token).environment(PlanFile::VARIABLE, &directory)
    }

    /// Adds arguments.
    #[must_use]
    pub fn arguments(mut self, arguments: &[&str]) -> Self {
        self.arguments.extend(arguments.iter().map(ToString::to_string));
        self
    }

    /// Sets an environment variable.
    #[must_use]
    pub fn environment(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Sets the clock of the gateway off by an offset as libfaketime understands it, such as `+400d`.
    #[must_use]
    pub fn clock(self, offset: &str) -> Self {
        // Not the program `faketime`: it would stand between the gateway and its signals. Timers
        // follow the monotonic clock, which goes on as ever.
        self.environment("LD_PRELOAD", &libfaketime().to_string_lossy())
            .environment("FAKETIME", offset)
            .environment("FAKETIME_DONT_FAKE_MONOTONIC", "1")
            .environment("DONT_FAKE_MONOTONIC", "1")
    }

    /// Listens where an earlier gateway did, as a service does after a restart.
    #[must_use]
    pub fn at(mut self, ready: &Ready) -> Self {
        let socket = |url: &str| {
            let authority = url.split("//").nth(1).expect("a URL has an authority");
            authority.parse().expect("an address and a port")
        };
        self.listen = socket(&ready.api);
        self.http = socket(&ready.http);
        self
    }

    /// The folder with the state.
    #[must_use]
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Starts the gateway and waits until it serves.
    #[track_caller]
    #[must_use]
    pub fn start(self) -> Gateway {
        compiled::lend(&self.directory);
        let mut server = Server::start("chancery dev", &mut self.command(), &self.log);
        let line = server.line(START);
        let ready = serde_json::from_str(&line)
            .unwrap_or_else(|error| panic!("not the line that was promised ({error}): {line}"));
        compiled::keep(&self.directory);
        Gateway::new(server, ready, self)
    }

    /// Starts the gateway and does not wait until it serves.
    #[track_caller]
    #[must_use]
    pub fn begin(self) -> Server {
        Server::start("chancery dev", &mut self.command(), &self.log)
    }

    /// Runs a gateway that is expected to refuse to start.
    #[track_caller]
    #[must_use]
    pub fn start_fails(self) -> Outcome {
        process::run(&mut self.command()).failure()
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        if let Some(user) = self.user {
            command.uid(user).gid(user);
        }
        command
            .arg("dev")
            .arg("--dir")
            .arg(&self.directory)
            .args(["--listen", &self.listen.to_string(), "--http", &self.http.to_string()])
            .args(["--http01-port", &self.http01_port.to_string()])
            .args(["--tls-alpn01-port", &Site::TLS_ALPN01_PORT.to_string()])
            .arg("--ready-json")
            .args(&self.arguments)
            .envs(self.environment.iter().cloned());
        command
    }
}

fn libfaketime() -> PathBuf {
    let libraries = std::fs::read_dir("/usr/lib").expect("/usr/lib can be read");
    libraries
        .flatten()
        .map(|entry| entry.path().join("faketime/libfaketimeMT.so.1"))
        .find(|path| path.is_file())
        .unwrap_or_else(|| {
            panic!("faketime is not installed; 'make test' installs what the tests need")
        })
}
