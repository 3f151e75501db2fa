use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use chancery_x509::GeneralName;

use super::validate::Check;
use super::{ServerConfig, document};

impl Check<'_> {
    pub(super) fn server(
        &mut self,
        server: document::Server,
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
        let public_http = server.public_http.and_then(|url| match url::Url::parse(&url) {
            Ok(parsed) if parsed.scheme() == "http" && parsed.host().is_some() => {
                Some(url.trim_end_matches('/').to_owned())
            }
            // RFC 5280 §4.2.1.13: a CRL behind https could need itself to be fetched.
            _ => self.refuse("server.public_http", format!("`{url}` is not an http:// URL")),
        });
        if server.names.is_empty() {
            self.refuse::<()>("server.names", "needs at least one name or address");
        }
        let names =
            server.names.iter().filter_map(|name| self.host("server.names", name)).collect();
        let tls_hsm_key = server.tls_hsm_key.as_ref().and_then(|name| {
            if !has_hsm {
                return self.refuse("server.tls_hsm_key", "needs an HSM: add a [pkcs11] table");
            }
            self.parsed("server.tls_hsm_key", name, "a label of 1 to 64 of a-z, 0-9, '.' and '-'")
        });
        let drain = self.within("server.drain_seconds", server.drain_seconds, 0..=3600);
        let handshake = self.within("server.handshake_seconds", server.handshake_seconds, 1..=120);
        let connections = server.connections;
        self.within("server.connections", connections as u64, 1..=1_000_000);
        Some(ServerConfig {
            directory,
            listen: listen?,
            http: http?,
            public_http,
            names,
            tls_hsm_key,
            drain: Duration::from_secs(drain),
            handshake: Duration::from_secs(handshake),
            connections,
        })
    }

    fn host(&mut self, key: &str, text: &str) -> Option<GeneralName> {
        if let Ok(address) = text.parse() {
            return Some(GeneralName::Ip(address));
        }
        match GeneralName::dns(text) {
            Ok(name) => Some(name),
            Err(error) => self.refuse(key, format!("`{text}`: {error}")),
        }
    }
}
