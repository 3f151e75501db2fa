//! The running gateway: `dev` and `serve` meet here, with a configuration each.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, Result};
use chancery_api::{MonitoringSources, PlainSources};
use chancery_audit::Event;
use chancery_ca::OcspResponder;
use chancery_identity::{Clock, IdentityRules, RequestContext, TenantId, Tenants};
use chancery_keys::pkcs11::Stop;
use chancery_policy::{LoadError, PolicyHost, Summary};
use chancery_revocation::CaReport;
use chancery_tls::{Acceptor, TlsConfig};
use metrics_exporter_prometheus::PrometheusHandle;
use tokio::sync::{Notify, watch};

use crate::cli::DevArgs;
use crate::commands::say;
use crate::config::{Config, ServerConfig};
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
use crate::telemetry::Telemetry;
use crate::trust;

/// How often the CRL's age is looked at and metrics are tidied.
const HOUSEKEEPING: Duration = Duration::from_secs(30);
/// How often challenges are looked for that nobody works on.
const TAKE_UP: Duration = Duration::from_secs(10);

/// Outgoing connections beside those of validations: to upstream CAs, to the OTLP collector.
const OTHERS: usize = 64;

/// How often the age of sealing keys is looked at.
const SEALING_KEYS: Duration = Duration::from_hours(1);

/// How often certificates that end are looked at.
const INVENTORY: Duration = Duration::from_mins(10);

/// `chancery dev`.
pub(crate) async fn dev(args: &DevArgs) -> Result<ExitCode> {
    let config = dev::prepare(args)?;
    let file = config.server.directory.join("chancery.toml");
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
            policy_files: policy_files(&config),
            stop,
            listeners: vec![],
            signals,
            config,
        };
        for (profile, responder, renew_at) in delegated {
            let (gateway, names) = (running.gateway.clone(), running.config.server.names.clone());
            tokio::spawn(renew_ocsp_signer(gateway, responder, profile, names, renew_at));
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
            plain: plain_sources(&self.gateway, &self.accepting),
            monitoring: monitoring_sources(&self.gateway, &self.telemetry, &self.accepting),
        };
        self.listeners = sockets.serve(config, self.acceptor.clone(), services, stop);
        tokio::spawn(renew_credential(
            self.gateway.clone(),
            self.acceptor.clone(),
            self.config.server.clone(),
            self.renew.clone(),
            renew_at,
        ));
        tokio::spawn(keep_sealing_keys(self.gateway.clone(), self.config.sealing_key_age));
        tokio::spawn(keep_house(self.gateway.clone(), self.telemetry.metrics.clone()));
        tokio::spawn(take_up_challenges(self.gateway.clone()));
        tokio::spawn(keep_inventory(self.gateway.clone(), self.config.ca.keep_expired));
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

    /// `logrotate` and its like move the file away and send SIGHUP.
    async fn reopen_audit(&self) {
        match self.gateway.audit.reopen().await {
            Ok(true) => tracing::info!("the file of the audit log was moved away: began the next"),
            Ok(false) => {}
            Err(error) => {
                tracing::error!(%error, "the audit log goes on in the file that was moved away");
            }
        }
    }

    async fn take_changed_policies(&self) {
        let before = self.gateway.policy.summary().digest;
        match self.load_policies("files", PolicyHost::reload).await {
            Ok(loaded) if loaded.digest == before => {
                tracing::info!("the files of the policies are in order, and as they were");
            }
            Ok(loaded) => tracing::info!(bindings = loaded.bindings.len(), "took changed policies"),
            Err(error) => {
                let error = format_args!("{error:#}");
                tracing::error!(
                    error,
                    "changed policies are not taken, the old set stays in force"
                );
            }
        }
    }

    /// Loads the policies, and puts on record which set is in force from now on, or why it is not.
    async fn load_policies(
        &self,
        cause: &'static str,
        load: impl FnOnce(&PolicyHost) -> Result<Summary, LoadError> + Send + 'static,
    ) -> Result<Summary> {
        let Gateway { policy, audit, clock, .. } = &*self.gateway;
        let before = policy.summary().digest;
        let loaded = policy.blocking(load).await;
        if loaded.as_ref().is_ok_and(|loaded| loaded.digest == before) {
            return Ok(loaded?);
        }
        let context = RequestContext::internal(TenantId::default_tenant(), clock.now());
        let event = Event::new(&context, "policy-set.load", cause);
        let event = match &loaded {
            Ok(loaded) => event
                .detail("set", loaded.digest.to_string())
                .detail("number", loaded.number)
                .succeeded(),
            Err(error) => event.detail("reason", error.to_string()).failed("not-taken"),
        };
        audit.record(event).await?;
        loaded.context("loading the policies")
    }

    /// Policies, the gateway's certificate, and whom it trusts. The ports, the store and the CA stay
    /// as they are until a restart. Each part is complete before it replaces what was there.
    async fn reload(&mut self) -> Result<usize> {
        let config = Config::load(&self.file)?;
        let trust = trust::of_clients(&config, &self.gateway)?;
        let foreign = trust::foreign_cas(&config)?;
        self.gateway.open_tenants(&config.tenant_ids()).await?;
        let signers = config.policy_signers.clone();
        let loaded =
            self.load_policies("signal", move |policy| policy.reload_with_signers(signers)).await?;
        // Before the trust: nobody is believed whose revocations are not looked at yet.
        self.gateway.revocation.replace(foreign).await?;
        self.acceptor.replace_trust(trust)?;
        let rules = IdentityRules::new(config.tenants.clone());
        self.gateway.tenants.replace(config.tenant_ids(), rules);
        self.gateway.access.replace_bearer_roles(config.secrets.bearer_roles);
        self.gateway.access.replace_administration(config.administration);
        self.config.tenants = config.tenants;
        self.config.clients = config.clients;
        self.renew.notify_one();
        Ok(loaded.bindings.len())
    }
}

/// Watches the directory of policies if that is asked for and possible.
fn policy_files(config: &Config) -> PolicyFiles {
    if !config.policy_watch {
        return PolicyFiles::unwatched();
    }
    PolicyFiles::watch(&config.policy_directory).unwrap_or_else(|error| {
        tracing::warn!(
            %error,
            directory = %config.policy_directory.display(),
            "changes of the policies cannot be noticed: they are loaded on SIGHUP and by the API only"
        );
        PolicyFiles::unwatched()
    })
}

fn plain_sources(gateway: &Arc<Gateway>, accepting: &Arc<AtomicBool>) -> PlainSources {
    let (for_crl, for_issuer, for_challenge) = (gateway.clone(), gateway.clone(), gateway.clone());
    let (for_ocsp, for_ssh, accepting) = (gateway.clone(), gateway.clone(), accepting.clone());
    PlainSources {
        crl: Arc::new(move |id| for_crl.crl(id)),
        issuer: Arc::new(move |id| for_issuer.issuer(id)),
        challenge_response: Arc::new(move |token| for_challenge.challenge_response(token)),
        ssh_ca: Arc::new(move |name| for_ssh.ssh_ca(name)),
        ready: Arc::new(move || accepting.load(Ordering::Relaxed)),
        ocsp: Arc::new(move |issuer, request| ocsp::answer(&for_ocsp, issuer, request)),
    }
}

fn monitoring_sources(
    gateway: &Arc<Gateway>,
    telemetry: &Telemetry,
    accepting: &Arc<AtomicBool>,
) -> MonitoringSources {
    let (revocation, gateway) = (gateway.revocation.clone(), gateway.clone());
    let (metrics, accepting) = (telemetry.metrics.clone(), accepting.clone());
    MonitoringSources {
        metrics: Arc::new(move || metrics.render()),
        ready: Arc::new(move || accepting.load(Ordering::Relaxed)),
        tokens: Arc::new(move || gateway.tokens()),
        client_cas: Arc::new(move || {
            let cas = revocation.report();
            (cas.iter().all(CaReport::is_well), serde_json::json!({ "client_cas": cas }))
        }),
    }
}

async fn renew_ocsp_signer(
    gateway: Arc<Gateway>,
    responder: Arc<OcspResponder>,
    profile: String,
    names: Vec<chancery_x509::GeneralName>,
    mut renew_at: jiff::Timestamp,
) {
    loop {
        tokio::time::sleep(credential::wait(gateway.clock.now(), renew_at)).await;
        match ocsp::delegate(&gateway, &responder, &profile, &names).await {
            Ok(next) => renew_at = next,
            Err(error) => tracing::error!(error = format!("{error:#}"), "OCSP signer not renewed"),
        }
    }
}

async fn renew_credential(
    gateway: Arc<Gateway>,
    acceptor: Acceptor,
    server: ServerConfig,
    asked: Arc<Notify>,
    mut renew_at: jiff::Timestamp,
) {
    loop {
        let pause = credential::wait(gateway.clock.now(), renew_at);
        let _ = tokio::time::timeout(pause, asked.notified()).await;
        match credential::issue(&gateway, &server).await {
            Ok(own) => {
                acceptor.replace_credential(own.credential);
                renew_at = own.renew_at;
            }
            Err(error) => {
                tracing::error!(error = format!("{error:#}"), "TLS certificate not renewed");
            }
        }
    }
}

/// Replaces the tenants' sealing keys that are in use for long.
async fn keep_sealing_keys(gateway: Arc<Gateway>, longest: Option<Duration>) {
    let longest = longest.map_or(u64::MAX, |longest| longest.as_secs());
    let mut tick = tokio::time::interval(SEALING_KEYS);
    loop {
        tick.tick().await;
        let now = u64::try_from(gateway.clock.now().as_second()).unwrap_or(0);
        if let Err(error) = gateway.sealed.barrier.rotate_due(now, longest).await {
            tracing::error!(%error, "sealing keys were not looked after");
        }
    }
}

async fn keep_house(gateway: Arc<Gateway>, metrics: PrometheusHandle) {
    let mut tick = tokio::time::interval(HOUSEKEEPING);
    loop {
        tick.tick().await;
        metrics.run_upkeep();
        for ca in gateway.cas() {
            if let Err(error) = ca.refresh_crl(gateway.clock.now()).await {
                tracing::error!(%error, ca = ca.name(), "a CRL was not renewed");
            }
        }
        if let Err(error) = gateway.access.sweep_expired_tokens().await {
            tracing::error!(%error, "expired tokens were not removed");
        }
        if let Err(error) = gateway.secrets.sweep_keys().await {
            tracing::error!(%error, "keys were not rotated or destroyed");
        }
        if let Err(error) = gateway.counts.sweep().await {
            tracing::error!(%error, "old counts of certificates were not removed");
        }
        if let Err(error) = gateway.acme.sweep().await {
            tracing::error!(%error, "dead orders were not removed");
        }
    }
}

/// Takes up the challenges that were put off, and those of gateways that are gone.
async fn take_up_challenges(gateway: Arc<Gateway>) {
    let mut tick = tokio::time::interval(TAKE_UP);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tick.tick().await;
        if let Err(error) = gateway.acme.take_up().await {
            tracing::error!(%error, "challenges that were put off were not taken up");
        }
    }
}

/// Counts the certificates that end soon, and forgets those that ended long ago.
async fn keep_inventory(gateway: Arc<Gateway>, keep_expired: Option<Duration>) {
    let mut tick = tokio::time::interval(INVENTORY);
    loop {
        tick.tick().await;
        for tenant in gateway.tenants.all().iter() {
            if let Err(error) = gateway.issuance.survey(tenant).await {
                tracing::error!(%error, %tenant, "certificates were not counted");
            }
            let Some(keep) = keep_expired else { continue };
            match gateway.issuance.prune(tenant, keep).await {
                Ok(0) => {}
                Ok(count) => tracing::info!(count, %tenant, "removed certificates that ended"),
                Err(error) => {
                    tracing::error!(%error, %tenant, "old certificates were not removed");
                }
            }
        }
    }
}
