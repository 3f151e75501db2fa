//! The running gateway: `dev` and `serve` meet here, with a configuration each.

mod reload;
mod serving;
mod sources;
mod tasks;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, Result};
use chancery_audit::Patrolled;
use chancery_identity::{Clock, Tenants};
use chancery_keys::pkcs11::Stop;
use chancery_store::redb::Fitness;
use chancery_tls::{Acceptor, TlsConfig};
use metrics_exporter_prometheus::PrometheusHandle;
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;

use self::tasks::{Needs, Registry, Signer, Tasks};
use crate::audit;
use crate::cli::DevArgs;
use crate::commands::say;
use crate::config::Config;
use crate::credential;
use crate::dev::{self, DevIdentities};
use crate::files::{self, Readers};
use crate::foundation::Foundation;
use crate::gateway::Gateway;
use crate::ocsp;
use crate::policy_files::PolicyFiles;
use crate::ports::{self, Addresses, Services, Sockets};
use crate::process;
use crate::ready::Ready;
use crate::rooms::acme_config;
use crate::service_manager;
use crate::signals::Signals;
use crate::store;
use crate::telemetry::Telemetry;
use crate::trust;

/// Outgoing connections beside those of validations: to upstream CAs, to the OTLP collector.
const OTHERS: usize = 64;

/// `chancery dev`.
pub(crate) async fn dev(args: &DevArgs) -> Result<ExitCode> {
    let config = dev::prepare(args)?;
    let file = config.server.directory.join("chancery.toml");
    store::begin(&config, None).await?;
    let mut process = Process::begin(&config)?;
    let files = DevIdentities::in_directory(&config.server.directory);
    let sockets = Running::bind(&config).await?;
    let config = dev::located(args, &config, sockets.addresses()?)?;
    let Some(running) = process.start(config, file, sockets).await? else {
        return Ok(ExitCode::SUCCESS);
    };
    files.ensure(&running.gateway).await?;
    let ready = Ready::new(running.addresses, &files);
    let text = if args.ready_json { serde_json::to_string(&ready)? } else { ready.for_people() };
    say(&text)?;
    process.until_stopped(running).await
}

/// `chancery serve`.
pub(crate) async fn serve(file: &Path) -> Result<ExitCode> {
    let config = Config::load(file)?;
    let mut process = Process::begin(&config)?;
    let sockets = Running::bind(&config).await?;
    let Some(running) = process.start(config, file.to_owned(), sockets).await? else {
        return Ok(ExitCode::SUCCESS);
    };
    let Addresses { api, http, metrics } = running.addresses;
    tracing::info!(%api, %http, %metrics, "serving");
    service_manager::tell(service_manager::READY);
    process.until_stopped(running).await
}

/// What a process has once, and a gateway in it uses.
struct Process {
    signals: Signals,
    telemetry: Telemetry,
}

impl Process {
    fn begin(config: &Config) -> Result<Self> {
        let signals = Signals::take()?;
        Ok(Self { signals, telemetry: Telemetry::install(&config.telemetry, Clock::system())? })
    }

    /// None if a signal came before the gateway was open.
    async fn start(
        &mut self,
        config: Config,
        file: PathBuf,
        sockets: Sockets,
    ) -> Result<Option<Running>> {
        let stop = Stop::default();
        let plain_url = Running::plain_url(&config, &sockets)?;
        let opening = async {
            let foundation = Foundation::open(&config, &stop).await?;
            Gateway::open(&config, &plain_url, foundation).await
        };
        let Some(gateway) = self.signals.unless_stopped(&stop, opening).await? else {
            return Ok(None);
        };
        let metrics = self.telemetry.metrics.clone();
        Running::start(gateway, config, file, sockets, metrics).await.map(Some)
    }

    /// Serves until SIGTERM or SIGINT, reloading on SIGHUP; then drains.
    async fn until_stopped(mut self, mut running: Running) -> Result<ExitCode> {
        loop {
            tokio::select! {
                _ = self.signals.terminate.recv() => break,
                _ = self.signals.interrupt.recv() => break,
                _ = self.signals.hangup.recv() => {
                    running.reopen_audit().await;
                    match running.reload().await {
                        Ok(bindings) => tracing::info!(bindings, "reloaded"),
                        Err(error) => {
                            let error = format_args!("{error:#}");
                            tracing::error!(error, "reload failed, the old set stays in force");
                        }
                    }
                }
                () = running.policy_files.settled() => running.take_changed_policies().await,
            }
        }
        tracing::info!("stopping: requests under way are finished first");
        service_manager::tell(service_manager::STOPPING);
        let closed = running.stop().await?;
        self.telemetry.shutdown();
        if !closed {
            process::abandon();
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// A gateway that answers requests.
pub(crate) struct Running {
    pub(crate) gateway: Arc<Gateway>,
    config: Config,
    file: PathBuf,
    pub(crate) addresses: Addresses,
    acceptor: Acceptor,
    metrics: PrometheusHandle,
    accepting: Arc<AtomicBool>,
    renew: Arc<Notify>,
    policy_files: PolicyFiles,
    stop: watch::Sender<bool>,
    listeners: Vec<JoinHandle<()>>,
    /// What the gateway does by itself. It ends with the gateway.
    tasks: Tasks,
    registry: Registry,
}

impl Running {
    /// Binds the ports of a gateway.
    ///
    /// # Errors
    /// As for [`Sockets::bind`].
    pub(crate) async fn bind(config: &Config) -> Result<Sockets> {
        // Each validation has a connection, and questions to DNS for both families of addresses.
        let outgoing = 4 * acme_config(config, &Tenants::new([])).validation.concurrency + OTHERS;
        Sockets::bind(&config.server, outgoing).await
    }

    /// Where others reach the plain port.
    ///
    /// # Errors
    /// The system does not tell where it is.
    pub(crate) fn plain_url(config: &Config, sockets: &Sockets) -> Result<String> {
        let addresses = sockets.addresses()?;
        let public = config.server.public_http.clone();
        Ok(public.unwrap_or_else(|| format!("http://{}", addresses.http)))
    }

    /// Serves an open gateway at these ports.
    ///
    /// # Errors
    /// A file that others need cannot be written, or the gateway's own certificate is not issued.
    pub(crate) async fn start(
        gateway: Gateway,
        config: Config,
        file: PathBuf,
        sockets: Sockets,
        metrics: PrometheusHandle,
    ) -> Result<Self> {
        let addresses = sockets.addresses()?;
        let gateway = Arc::new(gateway);
        // What everybody who connects has to trust.
        let root = config.server.directory.join("root.pem");
        files::replace(&root, gateway.ca.root_pem().as_bytes(), Readers::Everybody)?;
        for ca in &gateway.further {
            let root = config.server.directory.join(format!("root-{}.pem", ca.name()));
            files::replace(&root, ca.root_pem().as_bytes(), Readers::Everybody)?;
        }
        let own = credential::issue(&gateway, &config.server).await?;
        let mut signers = vec![];
        for (profile, responder) in ocsp::delegating(&gateway) {
            let names = &config.server.names;
            let renew_at = ocsp::delegate(&gateway, &responder, &profile, names).await?;
            signers.push(Signer { responder, profile, renew_at });
        }
        gateway.revocation.replace(trust::foreign_cas(&config)?).await?;
        let acceptor = Acceptor::new(
            TlsConfig {
                handshake_deadline: config.server.clients.handshake,
                ..TlsConfig::default()
            },
            own.credential,
            trust::of_clients(&config, &gateway)?,
            gateway.clock.clone(),
        )?;
        let patrolled = audit::verify_always(&config, &gateway.audit)?;
        let judge = acceptor.clone();
        gateway.access.judge_chains_by(Arc::new(move |chain| judge.judge(chain)));
        let renew = Arc::new(Notify::new());
        let (fitness, fitness_now) = watch::channel(Fitness::Well);
        let registry = tasks::registry(Needs {
            gateway: &gateway,
            config: &config,
            metrics: metrics.clone(),
            acceptor: acceptor.clone(),
            renew: renew.clone(),
            renew_at: own.renew_at,
            signers,
            fitness,
        });
        let store = gateway.sealed.store();
        let lease = gateway.name.as_ref().map(|name| tasks::lease(store, name)).transpose()?;
        let tasks = registry.begin(&gateway.clock, lease);
        let (stop, stopped) = watch::channel(false);
        let running = Self {
            gateway,
            file,
            addresses,
            acceptor,
            metrics,
            accepting: Arc::new(AtomicBool::new(true)),
            renew,
            registry,
            policy_files: reload::policy_files(&config),
            stop,
            listeners: vec![],
            tasks,
            config,
        };
        Ok(running.listen(sockets, fitness_now, patrolled, &stopped))
    }

    fn listen(
        mut self,
        sockets: Sockets,
        store: watch::Receiver<Fitness>,
        patrolled: Option<watch::Receiver<Patrolled>>,
        stop: &watch::Receiver<bool>,
    ) -> Self {
        let config = &self.config.server;
        let serving = serving::serves(&self.gateway, &self.accepting, store);
        let services = Services {
            router: self
                .gateway
                .tls_router(ports::hosts(config, self.addresses.api), serving.clone()),
            plain: sources::plain(&self.gateway, serving.clone()),
            monitoring: sources::monitoring(
                &self.gateway,
                self.metrics.clone(),
                serving,
                self.registry.clone(),
                patrolled,
            ),
        };
        self.listeners = sockets.serve(config, self.acceptor.clone(), services, stop);
        self
    }

    /// Finishes the requests under way, then closes the gateway. Whether it closed: false if a call into a PKCS#11
    /// module hangs.
    ///
    /// # Errors
    /// A listener failed.
    pub(crate) async fn stop(self) -> Result<bool> {
        self.accepting.store(false, Ordering::Relaxed);
        self.stop.send_replace(true);
        for listener in self.listeners {
            listener.await.context("a listener failed")?;
        }
        self.tasks.stop().await;
        Ok(self.gateway.close().await)
    }
}
