//! The built binary, started and stopped as an operator does it.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::Signal;
use serde::Deserialize;

use crate::acme::Account;
use crate::audit;
use crate::dns::Dns;
use crate::hsm::Token;
use crate::http::{Client, Credential};
use crate::process::{self, Outcome, Server};
use crate::site::Site;

/// How long a start may take. An unoptimised build compiles its plugins in seconds, not minutes.
const START: Duration = Duration::from_mins(2);

/// The path of the binary: `CHANCERY_BIN`, or what Cargo builds now.
#[must_use]
pub fn binary() -> PathBuf {
    if let Some(path) = std::env::var_os("CHANCERY_BIN") {
        let path = PathBuf::from(path);
        assert!(path.is_file(), "CHANCERY_BIN names {}, which is not a file", path.display());
        return path;
    }
    let output = Command::new(env!("CARGO"))
        .args(["build", "--locked", "--package", "chancery-server", "--bin", "chancery"])
        .args(["--message-format", "json-render-diagnostics"])
        .current_dir(process::repository())
        .stderr(Stdio::inherit())
        .output()
        .expect("cargo can be run");
    assert!(output.status.success(), "the gateway does not build");
    String::from_utf8(output.stdout)
        .expect("cargo writes UTF-8")
        .lines()
        .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok())
        .find_map(|message| message["executable"].as_str().map(PathBuf::from))
        .expect("cargo names the binary that it built")
}

/// Runs the binary to its end, as `chancery ARGUMENTS`.
#[track_caller]
pub fn chancery(arguments: &[&str]) -> Outcome {
    process::run(Command::new(binary()).args(arguments))
}

/// The one line that a gateway prints once it serves.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ready {
    /// `https://127.0.0.1:PORT`: ACME and `/v1`.
    pub api: String,
    /// `http://127.0.0.1:PORT`: CRLs, issuer certificates, health, metrics.
    pub http: String,
    /// The URL of the ACME directory.
    pub acme_directory: String,
    /// The root certificate, as PEM.
    pub root: PathBuf,
    /// A client certificate that may do everything with secrets, as PEM.
    pub admin_cert: PathBuf,
    /// Its key, as PEM.
    pub admin_key: PathBuf,
    /// A client certificate that may use the secrets of the application, as PEM.
    pub app_cert: PathBuf,
    /// Its key, as PEM.
    pub app_key: PathBuf,
}

/// How to start `chancery dev`.
#[derive(Clone, Debug)]
pub struct Options {
    directory: PathBuf,
    listen: SocketAddr,
    http: SocketAddr,
    http01_port: u16,
    arguments: Vec<String>,
    environment: Vec<(String, String)>,
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
            log: site.file("gateway.log"),
        }
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
        let mut server = Server::start("chancery dev", &mut self.command(), &self.log);
        let line = server.line(START);
        let ready = serde_json::from_str(&line)
            .unwrap_or_else(|error| panic!("not the line that was promised ({error}): {line}"));
        Gateway { server, ready, directory: self.directory.clone(), options: Some(self) }
    }

    /// Runs a gateway that is expected to refuse to start.
    #[track_caller]
    #[must_use]
    pub fn start_fails(self) -> Outcome {
        process::run(&mut self.command()).failure()
    }

    fn command(&self) -> Command {
        let mut command = Command::new(binary());
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

/// Writes the configuration of `chancery serve` and returns its file.
fn served_config(site: &Site, directory: &Path, edit: impl FnOnce(&mut toml::Table)) -> PathBuf {
    let text = std::fs::read_to_string(directory.join("chancery.toml"))
        .expect("`chancery dev` has left its configuration");
    let mut config: toml::Table = text.parse().expect("the configuration is TOML");
    let server = config["server"].as_table_mut().expect("a table");
    server.insert("listen".to_owned(), site.socket(Gateway::SERVE_PORT).to_string().into());
    server.insert("http".to_owned(), site.socket(Gateway::SERVE_HTTP_PORT).to_string().into());
    server["names"].as_array_mut().expect("an array").push(site.address().to_string().into());
    edit(&mut config);
    site.write("serve.toml", config.to_string())
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

/// A gateway that serves. Dropping it ends it at once.
#[derive(Debug)]
pub struct Gateway {
    server: Server,
    ready: Ready,
    directory: PathBuf,
    options: Option<Options>,
}

impl Gateway {
    /// Where `chancery serve` listens at the address of its site.
    pub const SERVE_PORT: u16 = 8443;
    /// The plain port of `chancery serve`.
    pub const SERVE_HTTP_PORT: u16 = 8080;

    /// Starts `chancery dev` with the defaults of [`Options`].
    #[track_caller]
    #[must_use]
    pub fn start(site: &Site) -> Self {
        Options::new(site).start()
    }

    /// Starts `chancery serve` at the address of the site, on ports 8443 and 8080, with the state and
    /// the configuration that `chancery dev` left there, after `edit` has changed the latter.
    #[track_caller]
    #[must_use]
    pub fn serve(site: &Site, edit: impl FnOnce(&mut toml::Table)) -> Self {
        let directory = site.path().join("state");
        let config = served_config(site, &directory, edit);
        let mut command = Command::new(binary());
        command.arg("serve").arg("--config").arg(config);
        let mut server = Server::start("chancery serve", &mut command, &site.file("gateway.log"));
        let dev = |name: &str| directory.join("dev").join(name);
        let ready = Ready {
            api: format!("https://{}", site.socket(Gateway::SERVE_PORT)),
            http: format!("http://{}", site.socket(Gateway::SERVE_HTTP_PORT)),
            acme_directory: format!("https://{}/acme/directory", site.socket(Gateway::SERVE_PORT)),
            root: dev("root.pem"),
            admin_cert: dev("admin.pem"),
            admin_key: dev("admin.key"),
            app_cert: dev("app.pem"),
            app_key: dev("app.key"),
        };
        let plain = Client::plain(&ready.http);
        process::eventually("chancery serve is ready", START, || {
            assert!(server.ended().is_none(), "it has ended; its log:\n{}", server.log());
            plain.try_send("GET", "/health", &[], b"").ok().filter(|answer| answer.status == 200)
        });
        Self { server, ready, directory, options: None }
    }

    /// What it said when it was ready.
    #[must_use]
    pub fn ready(&self) -> &Ready {
        &self.ready
    }

    /// The folder with its state.
    #[must_use]
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// A file or folder below the folder with its state.
    #[must_use]
    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    /// An HTTPS client without a certificate.
    #[must_use]
    pub fn anonymous(&self) -> Client {
        Client::new(&self.ready.api, &self.ready.root, None)
    }

    /// An HTTPS client with a certificate.
    #[must_use]
    pub fn client(&self, credential: &Credential) -> Client {
        Client::new(&self.ready.api, &self.ready.root, Some(credential))
    }

    /// An HTTPS client with the administrator's certificate.
    #[must_use]
    pub fn admin(&self) -> Client {
        self.client(&self.admin_credential())
    }

    /// An HTTPS client with the application's certificate.
    #[must_use]
    pub fn app(&self) -> Client {
        self.client(&self.app_credential())
    }

    /// The administrator's certificate and key.
    #[must_use]
    pub fn admin_credential(&self) -> Credential {
        Credential::read(&self.ready.admin_cert, &self.ready.admin_key)
    }

    /// The application's certificate and key.
    #[must_use]
    pub fn app_credential(&self) -> Credential {
        Credential::read(&self.ready.app_cert, &self.ready.app_key)
    }

    /// A client of the plain port.
    #[must_use]
    pub fn plain(&self) -> Client {
        Client::plain(&self.ready.http)
    }

    /// A new ACME account.
    #[track_caller]
    #[must_use]
    pub fn account(&self) -> Account {
        Account::register(self.anonymous(), &self.ready.acme_directory)
    }

    /// The audit file.
    #[must_use]
    pub fn audit_file(&self) -> PathBuf {
        self.path("audit/audit.jsonl")
    }

    /// The audit lines so far.
    #[track_caller]
    #[must_use]
    pub fn audit(&self) -> Vec<audit::Line> {
        audit::read(&self.audit_file())
    }

    /// What it wrote to its standard error, in this and earlier runs on the same site.
    #[must_use]
    pub fn log(&self) -> String {
        self.server.log()
    }

    /// Its process id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.server.id()
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) {
        self.server.signal(signal);
    }

    /// Fails unless it still runs and answers.
    #[track_caller]
    pub fn assert_up(&mut self) {
        if let Some(status) = self.server.ended() {
            panic!("the gateway ended with {status}; its log:\n{}", self.server.log());
        }
        assert_eq!(self.anonymous().get("/v1/sys/health").status, 200, "the gateway is not well");
    }

    /// Stops it with SIGTERM and waits for its end. Returns how it ended, and what it said on
    /// standard output after the one line.
    #[track_caller]
    pub fn stop(mut self) -> (ExitStatus, Vec<String>) {
        self.server.signal(Signal::TERM);
        let rest = self.server.rest();
        (self.server.wait(), rest)
    }

    /// Kills it with SIGKILL and starts it again with the same state at the same ports.
    #[track_caller]
    #[must_use]
    pub fn kill_and_restart(mut self) -> Self {
        self.server.kill();
        self.options.take().expect("`chancery dev` was started").at(&self.ready).start()
    }

    /// Sends SIGHUP and waits until it says in its log what came of it: `reloaded`, or `reload failed`.
    /// Returns what it said.
    #[track_caller]
    pub fn reload(&self) -> String {
        let before = self.log().len();
        self.signal(Signal::HUP);
        process::eventually("the gateway reloads", START, || {
            let said = self.log().split_off(before);
            let done = said
                .lines()
                .any(|line| line.contains("reloaded") || line.contains("reload failed"));
            done.then_some(said)
        })
    }

    /// Waits for its end without a signal. Returns how it ended.
    pub fn wait(&mut self) -> ExitStatus {
        self.server.wait()
    }
}
