//! A gateway inside another program, over a store that other gateways may share.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use anyhow::{Result, ensure};
use chancery_identity::Clock;
use chancery_policy::Compiler;
use chancery_seal::RootKey;
use chancery_store::SharedStore;
use metrics_exporter_prometheus::PrometheusBuilder;

use crate::audit::Chain;
use crate::cli::DevArgs;
use crate::dev::{self, DevIdentities};
use crate::foundation::Foundation;
use crate::gateway::Gateway;
use crate::gateway_name::GatewayName;
use crate::policy_compiler;
use crate::run::Running;
use crate::store::OpenStore;

/// The port at which tls-alpn-01 validation looks for the answer.
const TLS_ALPN01_PORT: u16 = 5001;

/// What a gateway inside another program is started with.
#[derive(Debug)]
pub struct Settings {
    /// Which of the gateways on the store it is.
    pub name: GatewayName,
    /// Its own directory: configuration, policies, root key, audit log. What is missing is made as `chancery dev`
    /// makes it. Gateways on one store have the same `root.key`.
    pub directory: PathBuf,
    /// The program `chancery` of the same build, which compiles policies.
    pub program: PathBuf,
    /// Where it listens, at ports that the system chooses.
    pub address: Ipv4Addr,
    /// The DNS server that ACME validation asks; none for the system's.
    pub dns: Option<SocketAddr>,
    /// The port at which http-01 validation looks for the answer.
    pub http01_port: u16,
    /// Its clock.
    pub clock: Clock,
}

/// A gateway that runs in this process, with software keys. It answers until it is stopped; one that is dropped ends
/// like a program that is killed.
pub struct Embedded {
    running: Running,
    identities: DevIdentities,
}

/// A client certificate with its key, as PEM files.
#[derive(Debug, Clone, Copy)]
pub struct Identity<'a> {
    /// The certificate, with its chain.
    pub certificate: &'a Path,
    /// The key.
    pub key: &'a Path,
}

impl Embedded {
    /// Starts a gateway over a store.
    ///
    /// # Errors
    /// Says what could not be opened and why; nothing is running then.
    pub async fn start(settings: Settings, store: SharedStore) -> Result<Self> {
        let Settings { name, directory, program, address, dns, http01_port, clock } = settings;
        let any = SocketAddr::new(IpAddr::V4(address), 0);
        let args = DevArgs {
            dir: directory,
            listen: any,
            http: any,
            metrics: any,
            dns,
            http01_port,
            tls_alpn01_port: TLS_ALPN01_PORT,
            pkcs11_module: None,
            pkcs11_token: None,
            pkcs11_pin_file: None,
            ready_json: false,
        };
        let config = dev::prepare(&args)?;
        let root = RootKey::from_file(&config.server.directory.join("root.key"), &config.trusted)?;
        let foundation = Foundation {
            hsm: None,
            sealed: OpenStore::over(store, root).await?,
            compiler: Compiler::Process(program, policy_compiler::COMMAND),
            chain: Chain::Of(name),
            clock,
        };
        let file = config.server.directory.join("chancery.toml");
        let identities = DevIdentities::in_directory(&config.server.directory);
        let sockets = Running::bind(&config).await?;
        let config = dev::located(&args, &config, sockets.addresses()?)?;
        let plain_url = Running::plain_url(&config, &sockets)?;
        let gateway = Gateway::open(&config, &plain_url, foundation).await?;
        // The program that it runs in has the recorder of metrics, if there is one.
        let metrics = PrometheusBuilder::new().build_recorder().handle();
        let running = Running::start(gateway, config, file, sockets, metrics).await?;
        identities.ensure(&running.gateway).await?;
        Ok(Self { running, identities })
    }

    /// The TLS port: ACME and `/v1`.
    pub fn api(&self) -> SocketAddr {
        self.running.addresses.api
    }

    /// The plain port: CRLs, issuer certificates, health.
    pub fn http(&self) -> SocketAddr {
        self.running.addresses.http
    }

    /// The port for monitoring: metrics, health of its parts.
    pub fn metrics(&self) -> SocketAddr {
        self.running.addresses.metrics
    }

    /// The file with the root certificate that its clients trust.
    pub fn root(&self) -> &Path {
        &self.identities.root
    }

    /// Who may do everything with secrets.
    pub fn admin(&self) -> Identity<'_> {
        Identity { certificate: &self.identities.admin_cert, key: &self.identities.admin_key }
    }

    /// Who may use the secrets of the application.
    pub fn app(&self) -> Identity<'_> {
        Identity { certificate: &self.identities.app_cert, key: &self.identities.app_key }
    }

    /// Takes the configuration and the policies into use that its directory has now, as on SIGHUP.
    ///
    /// # Errors
    /// As the log says after SIGHUP: what was in force stays in force.
    pub async fn reload(&mut self) -> Result<()> {
        self.running.reload().await.map(drop)
    }

    /// Finishes the requests under way and closes it.
    ///
    /// # Errors
    /// A part of it failed.
    pub async fn stop(self) -> Result<()> {
        ensure!(self.running.stop().await?, "the gateway did not close");
        Ok(())
    }
}

impl std::fmt::Debug for Embedded {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Embedded").field("api", &self.api()).finish_non_exhaustive()
    }
}
