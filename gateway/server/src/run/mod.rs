//! The running gateway: `dev` and `serve` meet here, with a configuration each.

mod reload;
mod sources;
mod tasks;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, Result};
use chancery_identity::{Clock, Tenants};
use chancery_keys::pkcs11::Stop;
use chancery_tls::{Acceptor, TlsConfig};
use tokio::sync::{Notify, watch};

use crate::cli::DevArgs;
use crate::commands::say;
use crate::config::Config;
use crate::credential;
use crate::dev::{self, DevIdentities};
use crate::files::{self, Readers};
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
    let files = DevIdentities::in_directory(&config.server.directory);
    let Some(running) = Running::start(config, file).await? else { return Ok(ExitCode::SUCCESS) };
    files.ensure(&running.gateway).await?;
    let ready = Ready::new(running.addresses, &files);
    let text = if args.ready_json { serde_json::to_string(&ready)? } else { ready.for_people() };
    say(&text)?;
    running.until_stopped().await
}

/// `chancery serve`.
pub(crate) async fn serve(file: &Path) -> Result<ExitCode> {
    let config = Config::load(file)?;
    let Some(running) = Running::start(config, file.to_owned()).await? else {
        return Ok(ExitCode::SUCCESS);
    };
    let Addresses { api, http, metrics } = running.addresses;
    tracing::info!(%api, %http, %metrics, "serving");
    service_manager::tell(service_manager::READY);
    running.until_stopped().await
}

/// A gateway that answers requests.
struct Running {
    gateway: Arc<Gateway>,
    config: Config,
    file: PathBuf,
    addresses: Addresses,
    acceptor: Acceptor,
    telemetry: Telemetry,
    accepting: Arc<AtomicBool>,
    renew: Arc<Notify>,
    policy_files: PolicyFiles,
    stop: watch::Sender<bool>,
    listeners: Vec<tokio::task::JoinHandle<()>>,
    signals: Signals,
}

impl Running {
    /// None if a signal came before the gateway was open.
    async fn start(config: Config, file: PathBuf) -> Result<Option<Self>> {
        let mut signals = Signals::take()?;
        let telemetry = Telemetry::install(&config.telemetry, Clock::system())?;
        // Each validation has a connection, and questions to DNS for both families of addresses.
        let outgoing = 4 * acme_config(&config, &Tenants::new([])).validation.concurrency + OTHERS;
        let sockets = Sockets::bind(&config.server, outgoing).await?;
        let addresses = sockets.addresses()?;
        let plain_url = config
            .server
            .public_http
            .clone()
            .unwrap_or_else(|| format!("http://{}", addresses.http));
        let stop = Stop::default();
        let opening = Gateway::open(&config, &plain_url, Clock::system(), &stop);
        let Some(gateway) = signals.unless_stopped(&stop, opening).await? else { return Ok(None) };
        let gateway = Arc::new(gateway);

        // What everybody who connects has to trust.
        let root = config.server.directory.join("root.pem");
        files::replace(&root, gateway.ca.root_pem().as_bytes(), Readers::Everybody)?;
        for ca in &gateway.further {
            let root = config.server.directory.join(format!("root-{}.pem", ca.name()));
            files::replace(&root, ca.root_pem().as_bytes(), Readers::Everybody)?;
        }
        let own = credential::issue(&gateway, &config.server).await?;
        let mut delegated = vec![];
        for (profile, responder) in ocsp::delegating(&gateway) {
            let renew_at =
                ocsp::delegate(&gateway, &responder, &profile, &config.server.names).await?;
            delegated.push((profile, responder, renew_at));
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
        let (stop, stopped) = watch::channel(false);
        let running = Self {
            gateway,
            file,
            addresses,
            acceptor,
            telemetry,
            accepting: Arc::new(AtomicBool::new(true)),
            renew: Arc::new(Notify::new()),
            policy_files: reload::policy_files(&config),
            stop,
            listeners: vec![],
            signals,
            config,
        };
        for (profile, responder, renew_at) in delegated {
            let (gateway, names) = (running.gateway.clone(), running.config.server.names.clone());
            tokio::spawn(tasks::renew_ocsp_signer(gateway, responder, profile, names, renew_at));
        }
        Ok(Some(running.listen(sockets, own.renew_at, &stopped)))
    }

    fn listen(
        mut self,
        sockets: Sockets,
        renew_at: jiff::Timestamp,
        stop: &watch::Receiver<bool>,
    ) -> Self {
        let config = &self.config.server;
        let services = Services {
            router: self.gateway.tls_router(ports::hosts(config, self.addresses.api)),
            plain: sources::plain(&self.gateway, &self.accepting),
            monitoring: sources::monitoring(&self.gateway, &self.telemetry, &self.accepting),
        };
        self.listeners = sockets.serve(config, self.acceptor.clone(), services, stop);
        tokio::spawn(tasks::renew_credential(
            self.gateway.clone(),
            self.acceptor.clone(),
            self.config.server.clone(),
            self.renew.clone(),
            renew_at,
        ));
        tokio::spawn(tasks::keep_sealing_keys(self.gateway.clone(), self.config.sealing_key_age));
        tokio::spawn(tasks::keep_house(self.gateway.clone(), self.telemetry.metrics.clone()));
        tokio::spawn(tasks::take_up_unfinished(self.gateway.clone()));
        tokio::spawn(tasks::keep_inventory(self.gateway.clone(), self.config.ca.keep_expired));
        self
    }

    /// Serves until SIGTERM or SIGINT, reloading on SIGHUP; then drains.
    async fn until_stopped(mut self) -> Result<ExitCode> {
        loop {
            tokio::select! {
                _ = self.signals.terminate.recv() => break,
                _ = self.signals.interrupt.recv() => break,
                _ = self.signals.hangup.recv() => {
                    self.reopen_audit().await;
                    match self.reload().await {
                        Ok(bindings) => tracing::info!(bindings, "reloaded"),
                        Err(error) => {
                            let error = format_args!("{error:#}");
                            tracing::error!(error, "reload failed, the old set stays in force");
                        }
                    }
                }
                () = self.policy_files.settled() => self.take_changed_policies().await,
            }
        }
        tracing::info!("stopping: requests under way are finished first");
        service_manager::tell(service_manager::STOPPING);
        self.accepting.store(false, Ordering::Relaxed);
        self.stop.send_replace(true);
        for listener in self.listeners {
            listener.await.context("a listener failed")?;
        }
        let closed = self.gateway.close().await;
        self.telemetry.shutdown();
        if !closed {
            process::abandon();
        }
        Ok(ExitCode::SUCCESS)
    }
}
