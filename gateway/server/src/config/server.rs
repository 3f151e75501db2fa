//! Checks `[server]`: addresses, host names, and the limits on connections.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use chancery_x509::GeneralName;

use super::validate::Check;
use super::{ConnectionsConfig, ServerConfig, document};

impl Check<'_> {
    pub(super) fn server(
        &mut self,
        server: &document::Server,
        directory: PathBuf,
        has_hsm: bool,
    ) -> Option<ServerConfig> {
        let socket = "an address with a port, such as 127.0.0.1:8443";
        let listen: Option<SocketAddr> = self.parsed("server.listen", &server.listen, socket);
        let http: Option<SocketAddr> = self.parsed("server.http", &server.http, socket);
        if let (Some(listen), Some(http)) = (listen, http)
            && listen == http
            && listen.port() != 0
        {
            self.refuse::<()>("server.http", "is the same address as server.listen");
        }
        let metrics: Option<SocketAddr> = self.parsed("server.metrics", &server.metrics, socket);
        if let (Some(listen), Some(metrics)) = (listen, metrics)
            && listen == metrics
            && listen.port() != 0
        {
            self.refuse::<()>("server.metrics", "is the same address as server.listen");
        }
        let public_http = server.public_http.as_ref().and_then(|url| match url::Url::parse(url) {
            Ok(parsed) if parsed.scheme() == "http" && parsed.host().is_some() => {
                Some(url.trim_end_matches('/').to_owned())
            }
            // RFC 5280 §4.2.1.13: a CRL behind https could need itself to be fetched.
            _ => self.refuse("server.public_http", format!("`{url}` is not an http:// URL")),
        });
        if server.names.is_empty() {
            self.refuse::<()>("server.names", "needs at least one name or address");
        }
        let names: Vec<GeneralName> =
            server.names.iter().filter_map(|name| self.host("server.names", name)).collect();
        let tls_hsm_key = server.tls_hsm_key.as_ref().and_then(|name| {
            if !has_hsm {
                return self.refuse("server.tls_hsm_key", "needs an HSM: add a [pkcs11] table");
            }
            self.parsed("server.tls_hsm_key", name, "a label of 1 to 64 of a-z, 0-9, '.' and '-'")
        });
        let own: Vec<_> = names.iter().map(|name| name.value().into_owned()).collect();
        let hosts = own.iter().chain(&server.hosts).filter_map(|host| {
            let wanted = "a host name, such as ca.example.com, ca.example.com:9443 or 192.0.2.1";
            self.parsed("server.hosts", host, wanted)
        });
        let hosts = hosts.collect();
        let drain = self.within("server.drain_seconds", server.drain_seconds, 0..=3600);
        let clients = self.connections(server);
        Some(ServerConfig {
            directory,
            listen: listen?,
            http: http?,
            metrics: metrics?,
            public_http,
            names,
            hosts,
            tls_hsm_key,
            drain: Duration::from_secs(drain),
            clients,
        })
    }

    fn connections(&mut self, server: &document::Server) -> ConnectionsConfig {
        let mut seconds = |key: &str, value: u64, most: u64| {
            Duration::from_secs(self.within(&format!("server.{key}"), value, 1..=most))
        };
        let handshake = seconds("handshake_seconds", server.handshake_seconds, 120);
        let first_byte = seconds("first_byte_seconds", server.first_byte_seconds, 3600);
        let headers = seconds("header_seconds", server.header_seconds, 3600);
        let idle = seconds("idle_seconds", server.idle_seconds, 3600);
        let body_grace = seconds("body_grace_seconds", server.body_grace_seconds, 3600);
        let stall = seconds("stall_seconds", server.stall_seconds, 3600);
        let ping = seconds("http2_ping_seconds", server.http2_ping_seconds, 3600);
        let pong = seconds("http2_pong_seconds", server.http2_pong_seconds, 3600);
        for (key, value, range) in [
            ("minimum_rate", server.minimum_rate.into(), 1..=1_000_000),
            ("handshakes_per_address", server.handshakes_per_address.into(), 1..=1_000_000),
            ("http2_streams", server.http2_streams.into(), 1..=10_000),
            ("connections", server.connections as u64, 1..=1_000_000),
            ("http_connections", server.http_connections as u64, 1..=1_000_000),
            // A quarter is one client's, which has to be enough for the longest body.
            ("body_memory_mib", server.body_memory_mib as u64, 128..=65_536),
        ] {
            self.within(&format!("server.{key}"), value, range);
        }
        if let Some(share) = server.connections_per_address {
            self.within("server.connections_per_address", share as u64, 1..=1_000_000);
        }
        let balancers = server
            .proxy_protocol_from
            .iter()
            .filter_map(|text| {
                self.parsed("server.proxy_protocol_from", text, "a network, such as 10.0.0.0/8")
            })
            .collect();
        ConnectionsConfig {
            handshake,
            first_byte,
            headers,
            idle,
            minimum_rate: server.minimum_rate,
            body_grace,
            stall,
            ping,
            pong,
            streams: server.http2_streams,
            tls: server.connections,
            plain: server.http_connections,
            per_address: server.connections_per_address,
            handshakes_per_address: server.handshakes_per_address,
            body_memory: server.body_memory_mib << 20,
            balancers,
        }
    }

    fn host(&mut self, key: &str, text: &str) -> Option<GeneralName> {
        if let Ok(address) = text.parse() {
            return Some(GeneralName::ip(address));
        }
        match GeneralName::dns(text) {
            Ok(name) => Some(name),
            Err(error) => self.refuse(key, format!("`{text}`: {error}")),
        }
    }
}
