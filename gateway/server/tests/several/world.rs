//! Gateways in this process on one store, each with a directory, ports and an audit log of its own.

use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use chancery::{Embedded, Identity, Settings};
use chancery_identity::Clock;
use chancery_integration::acme::Account;
use chancery_integration::dns::Dns;
use chancery_integration::http::{Client, Credential};
use chancery_integration::jws::Key;
use chancery_integration::process;
use chancery_integration::site::Site;
use chancery_store::Store as _;
use chancery_store::memory::MemoryStore;
use tokio::runtime::Runtime;

/// How long what one gateway did may take to count at another: far more than a watch needs.
pub(crate) const PATIENCE: Duration = Duration::from_mins(1);

/// One store, and where the gateways on it are.
pub(crate) struct World {
    pub(crate) site: Site,
    pub(crate) dns: Dns,
    store: MemoryStore,
    clock: Clock,
}

/// One of the gateways. It has threads of its own, as a process has.
pub(crate) struct One {
    gateway: Embedded,
    runtime: Runtime,
    directory: PathBuf,
}

impl World {
    pub(crate) fn new() -> Self {
        Self::with_clock(Clock::system())
    }

    /// One whose store and gateways have this clock.
    pub(crate) fn with_clock(clock: Clock) -> Self {
        let site = Site::new();
        let dns = Dns::start(&site);
        Self { site, dns, store: MemoryStore::with_clock(clock.clone()), clock }
    }

    /// How many records there are whose keys begin with this.
    pub(crate) fn count(&self, prefix: &str) -> usize {
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        let keys = self.store.keys(prefix.as_bytes(), None, 1000);
        runtime.block_on(keys).expect("the keys").len()
    }

    /// Starts the gateway with this name. The first one makes the root key that the others are given.
    pub(crate) fn start(&self, name: &str) -> One {
        self.start_at(name, self.clock.clone())
    }

    /// The same with this clock.
    pub(crate) fn start_at(&self, name: &str, clock: Clock) -> One {
        let directory = self.site.folder(name);
        let (root_key, own) = (self.site.path().join("root.key"), directory.join("root.key"));
        if root_key.exists() && !own.exists() {
            std::fs::copy(&root_key, &own).expect("the root key is copied with its mode");
        }
        let settings = Settings {
            name: name.parse().expect("a name"),
            directory: directory.clone(),
            program: env!("CARGO_BIN_EXE_chancery").into(),
            address: self.site.address(),
            dns: Some(self.dns.socket()),
            http01_port: Site::HTTP01_PORT,
            clock,
        };
        let starting = Embedded::start(settings, Arc::new(self.store.clone()));
        let runtime = Runtime::new().expect("a runtime");
        let gateway = runtime.block_on(starting).expect("the gateway starts");
        if !root_key.exists() {
            std::fs::copy(&own, &root_key).expect("the root key is copied");
        }
        One { gateway, runtime, directory }
    }
}

impl One {
    fn url(&self) -> String {
        format!("https://{}", self.gateway.api())
    }

    /// A client without a certificate.
    pub(crate) fn anonymous(&self) -> Client {
        Client::new(&self.url(), self.gateway.root(), None)
    }

    /// A client with this certificate.
    pub(crate) fn client(&self, credential: &Credential) -> Client {
        Client::new(&self.url(), self.gateway.root(), Some(credential))
    }

    /// The administrator.
    pub(crate) fn admin(&self) -> Client {
        self.client(&credential(self.gateway.admin()))
    }

    /// The application.
    pub(crate) fn app(&self) -> Client {
        self.client(&self.app_credential())
    }

    /// The application's certificate.
    pub(crate) fn app_credential(&self) -> Credential {
        credential(self.gateway.app())
    }

    /// A client of the port for monitoring.
    pub(crate) fn monitoring(&self) -> Client {
        Client::plain(&format!("http://{}", self.gateway.metrics()))
    }

    /// A client of the plain port.
    pub(crate) fn plain(&self) -> Client {
        Client::plain(&format!("http://{}", self.gateway.http()))
    }

    /// An ACME account with this key, made if there is none.
    pub(crate) fn account(&self, key: &Key) -> Account {
        let directory = format!("{}/acme/directory", self.url());
        Account::register_with(self.anonymous(), &directory, key.clone())
    }

    /// The same resource at this gateway, whose URL another one gave.
    pub(crate) fn here(&self, url: &str) -> String {
        format!("{}{}", self.url(), chancery_integration::http::target(url))
    }

    /// Where its audit log is.
    pub(crate) fn audit_file(&self) -> PathBuf {
        self.directory.join("audit/audit.jsonl")
    }

    /// Binds a plugin beside its policies and takes it into use.
    pub(crate) fn bind(&mut self, plugin: &str, grants: &str, settings: &str) {
        let file = self.directory.join("settings.toml");
        std::fs::write(&file, settings).expect("a file");
        let component = format!("plugins/target/components/{plugin}.wasm");
        let mut command = Command::new(env!("CARGO_BIN_EXE_chancery"));
        command.args(["policy", "bind"]).arg(process::repository().join(component));
        command.arg("--config").arg(self.directory.join("chancery.toml"));
        command.args(["--match", "requesters = [\"acme:*\"]", "--grants", grants]);
        drop(process::run(command.arg("--settings").arg(file)).success());
        self.runtime.block_on(self.gateway.reload()).expect("the policies are taken");
    }

    /// Stops it as SIGTERM would.
    pub(crate) fn stop(self) {
        self.runtime.block_on(self.gateway.stop()).expect("it stops");
    }

    /// Ends it as if it were killed: nothing that it was doing comes to its end.
    pub(crate) fn vanish(self) {
        self.runtime.shutdown_background();
    }
}

fn credential(identity: Identity<'_>) -> Credential {
    Credential::read(identity.certificate, identity.key)
}

/// Waits until something is so.
#[track_caller]
pub(crate) fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
    process::eventually(what, PATIENCE, || is_so().then_some(()));
}
