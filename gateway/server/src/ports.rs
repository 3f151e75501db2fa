//! The ports of a running gateway: where they are bound, and what their clients may take.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::Result;
use axum::Router;
use chancery_api::{Hosts, MonitoringService, MonitoringSources, PlainService, PlainSources};
use chancery_tls::Acceptor;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::config::{ConnectionsConfig, ServerConfig};
use crate::listen::{self, Balancers, Bodies, Connections, Deadlines, Limits, Rate};

/// Connections of monitoring at once. They have file descriptors of their own, in the reserve.
const MONITORING: usize = 32;

/// What is bound before anything else is opened.
pub(crate) struct Sockets {
    tls: TcpListener,
    plain: TcpListener,
    /// None if monitoring reads at the plain port.
    monitoring: Option<TcpListener>,
    connections: Connections,
}

/// Where the ports are, with numbers in place of port 0.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Addresses {
    pub(crate) api: SocketAddr,
    pub(crate) http: SocketAddr,
    pub(crate) metrics: SocketAddr,
}

/// What is served at each port.
pub(crate) struct Services {
    pub(crate) router: Router,
    pub(crate) plain: PlainSources,
    pub(crate) monitoring: MonitoringSources,
}

impl Sockets {
    /// Binds the ports, and makes room for their connections beside `outgoing` sockets of the gateway's
    /// own.
    ///
    /// # Errors
    /// An address cannot be bound, or the system allows too few open files.
    pub(crate) async fn bind(config: &ServerConfig, outgoing: usize) -> Result<Self> {
        let limit = listen::raise_limit()?;
        let wanted = Connections { tls: config.clients.tls, plain: config.clients.plain };
        let connections = listen::fit(limit, wanted, outgoing + MONITORING)?;
        if connections == wanted {
            tracing::info!(
                open_files = limit,
                tls = wanted.tls,
                plain = wanted.plain,
                "connections"
            );
        } else {
            tracing::warn!(
                open_files = limit,
                tls = connections.tls,
                plain = connections.plain,
                "the system allows too few open files for server.connections and \
                 server.http_connections, so there are fewer connections: raise RLIMIT_NOFILE"
            );
        }
        let tls = listen::bind("server.listen", config.listen).await?;
        let plain = listen::bind("server.http", config.http).await?;
        let shared = config.metrics == config.http && config.http.port() != 0;
        let monitoring =
            if shared { None } else { Some(listen::bind("server.metrics", config.metrics).await?) };
        Ok(Self { tls, plain, monitoring, connections })
    }

    /// Where they are.
    ///
    /// # Errors
    /// The system does not tell.
    pub(crate) fn addresses(&self) -> Result<Addresses> {
        let http = self.plain.local_addr()?;
        let metrics = match &self.monitoring {
            Some(listener) => listener.local_addr()?,
            None => http,
        };
        Ok(Addresses { api: self.tls.local_addr()?, http, metrics })
    }

    /// Serves until `stop` becomes true.
    pub(crate) fn serve(
        self,
        config: &ServerConfig,
        acceptor: Acceptor,
        services: Services,
        stop: &watch::Receiver<bool>,
    ) -> Vec<JoinHandle<()>> {
        let bodies = Bodies::new(config.clients.body_memory);
        let limits = |port, connections| limits(config, port, connections, &bodies, stop);
        let Services { router, plain, monitoring } = services;
        let plain = PlainService::new(plain);
        let (plain, monitoring) = match self.monitoring {
            None => (plain.with_monitoring(monitoring), None),
            Some(listener) => (plain, Some((listener, MonitoringService::new(monitoring)))),
        };
        let tls = limits("tls", self.connections.tls);
        let mut serving = vec![
            tokio::spawn(listen::serve_tls(self.tls, acceptor, router, tls)),
            tokio::spawn(listen::serve_plain(
                self.plain,
                Arc::new(plain),
                limits("plain", self.connections.plain),
            )),
        ];
        if let Some((listener, service)) = monitoring {
            // Nothing stands before it, and its few readers are the operators'.
            let limits = Limits {
                per_address: Some(MONITORING),
                balancers: Balancers::default(),
                ..limits("metrics", MONITORING)
            };
            serving.push(tokio::spawn(listen::serve_monitoring(listener, service, limits)));
        }
        serving
    }
}

/// The names under which clients may call the TLS port at `address`.
pub(crate) fn hosts(config: &ServerConfig, address: SocketAddr) -> Hosts {
    Hosts::new(config.hosts.iter().cloned(), address.port())
}

fn limits(
    config: &ServerConfig,
    port: &'static str,
    connections: usize,
    bodies: &Bodies,
    stop: &watch::Receiver<bool>,
) -> Limits {
    let ConnectionsConfig { handshake, first_byte, headers, idle, stall, ping, pong, .. } =
        config.clients;
    let body =
        Rate { bytes_per_second: config.clients.minimum_rate, grace: config.clients.body_grace };
    Limits {
        port,
        connections,
        certificates: port == "tls",
        per_address: config.clients.per_address,
        handshakes_per_address: config.clients.handshakes_per_address,
        streams: config.clients.streams,
        deadlines: Deadlines { handshake, first_byte, headers, idle, body, stall, ping, pong },
        bodies: bodies.clone(),
        balancers: Balancers::new(config.clients.balancers.clone()),
        stop: stop.clone(),
        drain: config.drain,
    }
}
