//! The built binary, started and stopped as an operator does it.

mod binary;
mod compiled;
mod options;

use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::time::Duration;

use chancery_pkcs11_faults::PlanFile;
use rustix::process::Signal;
use serde::Deserialize;

use crate::acme::Account;
use crate::audit;
use crate::hsm::Token;
use crate::http::{Client, Credential};
use crate::process::{self, Outcome, Server};
use crate::site::Site;

pub use binary::{binary, chancery};
pub use options::Options;

/// How long a start may take. An unoptimised build compiles its plugins in seconds, not minutes.
const START: Duration = Duration::from_mins(2);

/// The one line that a gateway prints once it serves.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ready {
    /// `https://127.0.0.1:PORT`: ACME and `/v1`.
    pub api: String,
    /// `http://127.0.0.1:PORT`: CRLs, issuer certificates, health.
    pub http: String,
    /// `http://127.0.0.1:PORT`: metrics, and how tokens are.
    pub metrics: String,
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
    /// Where `chancery serve` has its metrics.
    pub const SERVE_METRICS_PORT: u16 = 8081;

    fn new(server: Server, ready: Ready, options: Options) -> Self {
        let directory = options.directory().to_owned();
        Self { server, ready, directory, options: Some(options) }
    }

    /// Starts `chancery dev` with the defaults of [`Options`].
    #[track_caller]
    #[must_use]
    pub fn start(site: &Site) -> Self {
        Options::new(site).start()
    }

    /// Begins a new gateway with `chancery init` where the edited configuration says, for [`Gateway::serve`] with the
    /// same edit.
    #[track_caller]
    pub fn init(site: &Site, edit: impl FnOnce(&mut toml::Table)) {
        let config = served_config(site, &site.path().join("state"), edit);
        drop(chancery(&["init", "--config", &config.to_string_lossy()]).success());
    }

    /// Starts `chancery serve` at the address of the site, on ports 8443 and 8080, with the state and
    /// the configuration that `chancery dev` left there, after `edit` has changed the latter.
    #[track_caller]
    #[must_use]
    pub fn serve(site: &Site, edit: impl FnOnce(&mut toml::Table)) -> Self {
        Self::served_by(Command::new(binary()), site, edit)
    }

    /// The same, with as many open files as the system allows it then.
    #[track_caller]
    #[must_use]
    pub fn serve_with_open_files(
        site: &Site,
        open_files: u32,
        edit: impl FnOnce(&mut toml::Table),
    ) -> Self {
        let mut command = Command::new(process::tool("prlimit"));
        command.arg(format!("--nofile={open_files}:{open_files}")).arg(binary());
        Self::served_by(command, site, edit)
    }

    /// The same with variables in the environment and the configuration as it is.
    #[track_caller]
    #[must_use]
    pub fn serve_with(site: &Site, environment: &[(&str, &str)]) -> Self {
        let mut command = Command::new(binary());
        command.envs(environment.iter().copied());
        Self::served_by(command, site, |_| {})
    }

    /// The same with the CA's keys in a token.
    #[track_caller]
    #[must_use]
    pub fn serve_with_token(
        site: &Site,
        token: &Token,
        edit: impl FnOnce(&mut toml::Table),
    ) -> Self {
        let mut command = Command::new(binary());
        command.env("SOFTHSM2_CONF", token.config());
        Self::served_by(command, site, edit)
    }

    /// Runs `chancery serve` in the same way, with a token, where it is expected to refuse to start.
    #[track_caller]
    #[must_use]
    pub fn serve_fails_with_token(
        site: &Site,
        token: &Token,
        edit: impl FnOnce(&mut toml::Table),
    ) -> Outcome {
        let config = served_config(site, &site.path().join("state"), edit);
        let mut command = Command::new(binary());
        command.env("SOFTHSM2_CONF", token.config()).arg("serve").arg("--config").arg(config);
        process::run(&mut command).failure()
    }

    /// Begins `chancery serve` in the same way, with a token whose module fails as planned.
    #[track_caller]
    #[must_use]
    pub fn serve_begins_with_token(
        site: &Site,
        token: &Token,
        plan: &PlanFile,
        edit: impl FnOnce(&mut toml::Table),
    ) -> Server {
        let config = served_config(site, &site.path().join("state"), edit);
        let mut command = Command::new(binary());
        command.env("SOFTHSM2_CONF", token.config()).env(PlanFile::VARIABLE, plan.directory());
        command.arg("serve").arg("--config").arg(config);
        Server::start("chancery serve", &mut command, &site.file("gateway.log"))
    }

    #[track_caller]
    fn served_by(mut command: Command, site: &Site, edit: impl FnOnce(&mut toml::Table)) -> Self {
        let directory = site.path().join("state");
        let config = served_config(site, &directory, edit);
        command.arg("serve").arg("--config").arg(config);
        let mut server = Server::start("chancery serve", &mut command, &site.file("gateway.log"));
        let dev = |name: &str| directory.join("dev").join(name);
        let ready = Ready {
            api: format!("https://{}", site.socket(Gateway::SERVE_PORT)),
            http: format!("http://{}", site.socket(Gateway::SERVE_HTTP_PORT)),
            metrics: format!("http://{}", site.socket(Gateway::SERVE_METRICS_PORT)),
            acme_directory: format!("https://{}/acme/directory", site.socket(Gateway::SERVE_PORT)),
            root: directory.join("root.pem"),
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

    /// Runs `chancery` with these arguments, as its administrator would against this gateway.
    #[must_use]
    pub fn administer(&self, arguments: &[&str]) -> Outcome {
        process::run(&mut self.command(arguments, &self.ready.admin_cert, &self.ready.admin_key))
    }

    /// `chancery` with these arguments, as the administrator would run it against this gateway.
    #[must_use]
    pub fn command_of_admin(&self, arguments: &[&str]) -> Command {
        self.command(arguments, &self.ready.admin_cert, &self.ready.admin_key)
    }

    /// `chancery` with these arguments, as the application would run it against this gateway.
    #[must_use]
    pub fn command_of_app(&self, arguments: &[&str]) -> Command {
        self.command(arguments, &self.ready.app_cert, &self.ready.app_key)
    }

    fn command(&self, arguments: &[&str], certificate: &Path, key: &Path) -> Command {
        let mut command = Command::new(binary());
        command
            .args(arguments)
            .env("VAULT_ADDR", &self.ready.api)
            .env("VAULT_CACERT", &self.ready.root)
            .env("VAULT_CLIENT_CERT", certificate)
            .env("VAULT_CLIENT_KEY", key);
        command
    }

    /// A client of the plain port.
    #[must_use]
    pub fn plain(&self) -> Client {
        Client::plain(&self.ready.http)
    }

    /// A client of the address for monitoring.
    #[must_use]
    pub fn monitoring(&self) -> Client {
        Client::plain(&self.ready.metrics)
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

/// Writes the configuration of `chancery serve` and returns its file.
fn served_config(site: &Site, directory: &Path, edit: impl FnOnce(&mut toml::Table)) -> PathBuf {
    let text = std::fs::read_to_string(directory.join("chancery.toml"))
        .expect("`chancery dev` has left its configuration");
    let mut config: toml::Table = text.parse().expect("the configuration is TOML");
    let server = config["server"].as_table_mut().expect("a table");
    server.insert("listen".to_owned(), site.socket(Gateway::SERVE_PORT).to_string().into());
    server.insert("http".to_owned(), site.socket(Gateway::SERVE_HTTP_PORT).to_string().into());
    let metrics = site.socket(Gateway::SERVE_METRICS_PORT).to_string();
    server.insert("metrics".to_owned(), metrics.into());
    server["names"].as_array_mut().expect("an array").push(site.address().to_string().into());
    edit(&mut config);
    site.write("serve.toml", config.to_string())
}
