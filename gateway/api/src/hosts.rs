//! What clients may call the TLS port: its own names, and nothing else.
//!
//! A relay that answers under a name of its own could otherwise pass on what clients signed for it
//! (the `url` of ACME's requests, RFC 8555 §6.4, names the server), and pages in a browser could reach
//! the gateway under a name that somebody made to lead here. A request under another name is answered
//! with 421 (RFC 9110 §15.5.20).

use std::borrow::Cow;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::uri::Authority;
use http::{HeaderValue, StatusCode, Version, header};

use crate::{acme, vault};

/// The port of `https` URLs that name none.
const HTTPS: u16 = 443;

/// The names of the TLS port.
#[derive(Debug, Clone)]
pub struct Hosts {
    names: Arc<[HostName]>,
    /// The port on which it listens.
    port: u16,
}

/// A name of the gateway, or an address, with a port if it is meant for that one only: `ca.example.com`,
/// `ca.example.com:9443`, `192.0.2.1`, `[2001:db8::1]:9443`. A name that begins with `*.` stands for
/// every name with one label in that place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostName {
    host: Host,
    port: Option<u16>,
}

/// The text is neither a name nor an address, with a port or without.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a host name or an address, with or without a port")]
pub struct InvalidHostName(String);

/// Where the connection of a request leads to, if that is an address of this machine; goes into the
/// request's extensions.
#[derive(Debug, Clone, Copy)]
pub struct CalledAddress(pub Option<SocketAddr>);

/// How a request called the gateway, in the spelling of the configuration.
#[derive(Debug, Clone)]
pub(crate) struct Called {
    /// What URLs begin with.
    pub(crate) base: String,
}

/// Why a request is not answered under the name by which it called.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Misdirected {
    /// It names no host, or none that could be one, or two.
    Unclear,
    /// A host that is somebody else, or a port that URLs here do not have.
    Elsewhere(String),
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Host {
    Ip(IpAddr),
    /// Lower case, without the dot of the root.
    Dns(String),
}

impl Hosts {
    /// These names, for a port that listens at `port`.
    pub fn new(names: impl IntoIterator<Item = HostName>, port: u16) -> Self {
        Self { names: names.into_iter().collect(), port }
    }

    /// The name by which a request calls the gateway, with a port that counts for URLs: the one that is
    /// listened at, the one of `https`, or one that the configuration gives with the name.
    fn exact(&self, called: &Authority) -> Option<Called> {
        let host = Host::of(called.host())?;
        let port = called.port_u16().unwrap_or(HTTPS);
        let known = |name: &HostName| {
            name.host.covers(&host)
                && name.port.map_or(port == self.port || port == HTTPS, |only| port == only)
        };
        self.names.iter().any(known).then(|| {
            let port = if port == HTTPS { String::new() } else { format!(":{port}") };
            Called { base: format!("https://{host}{port}") }
        })
    }

    /// Whether the name is one of the gateway's, whatever the port: a forwarded one is no sign of
    /// anything where nobody signs it.
    fn know(&self, called: &Authority) -> bool {
        Host::of(called.host())
            .is_some_and(|host| self.names.iter().any(|name| name.host.covers(&host)))
    }

    /// What a request called. For ACME the port counts, and an address only if it was configured.
    fn called(&self, request: &Request) -> Result<Option<Called>, Misdirected> {
        let authority = authority(request)?;
        if let Some(called) = self.exact(&authority) {
            return Ok(Some(called));
        }
        let elsewhere = || Misdirected::Elsewhere(authority.as_str().chars().take(200).collect());
        if acme::is_below(request.uri().path()) {
            return Err(elsewhere());
        }
        let address = request.extensions().get::<CalledAddress>().and_then(|address| address.0);
        let is_address = address.is_some_and(|own| {
            Host::of(authority.host()) == Some(Host::Ip(own.ip().to_canonical()))
        });
        if is_address || self.know(&authority) { Ok(None) } else { Err(elsewhere()) }
    }
}

impl Host {
    fn of(text: &str) -> Option<Self> {
        let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
        if let Ok(address) = bare.parse::<IpAddr>() {
            return Some(Self::Ip(address.to_canonical()));
        }
        let name = text.strip_suffix('.').unwrap_or(text).to_ascii_lowercase();
        let fits = |b: u8| b.is_ascii_alphanumeric() || b"-_".contains(&b);
        let is_label = |label: &str| (1..=63).contains(&label.len()) && label.bytes().all(fits);
        (name.len() <= 253 && name.split('.').all(is_label)).then_some(Self::Dns(name))
    }

    fn covers(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Dns(name), Self::Dns(other)) => match name.strip_prefix("*.") {
                Some(parent) => other.split_once('.').is_some_and(|(_, rest)| rest == parent),
                None => name == other,
            },
            _ => self == other,
        }
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ip(IpAddr::V6(address)) => write!(f, "[{address}]"),
            Self::Ip(address) => address.fmt(f),
            Self::Dns(name) => f.write_str(name),
        }
    }
}

impl FromStr for HostName {
    type Err = InvalidHostName;

    fn from_str(text: &str) -> Result<Self, InvalidHostName> {
        let invalid = || InvalidHostName(text.chars().take(200).collect());
        // An IPv6 address needs no brackets where it stands alone.
        if let Ok(address) = text.parse::<IpAddr>() {
            return Ok(Self { host: Host::Ip(address.to_canonical()), port: None });
        }
        let bare = text.strip_prefix("*.").unwrap_or(text);
        let authority: Authority = bare.parse().map_err(|_| invalid())?;
        let (host, port) = (authority.host(), authority.port_u16());
        // Nothing else may stand there: no user, no port that is none.
        let rest = authority.as_str().strip_prefix(host).ok_or_else(invalid)?;
        if rest.is_empty() != port.is_none() || authority.as_str().contains('@') {
            return Err(invalid());
        }
        let host = match (Host::of(host).ok_or_else(invalid)?, bare.len() < text.len()) {
            (Host::Dns(name), true) => Host::Dns(format!("*.{name}")),
            (_, true) => return Err(invalid()),
            (host, false) => host,
        };
        Ok(Self { host, port })
    }
}

/// The host that a request names: `:authority`, the authority of an absolute URI, or `Host` (RFC 9110
/// §7.2). Where there are two they have to agree (RFC 9113 §8.3.1).
pub(crate) fn authority(request: &Request) -> Result<Authority, Misdirected> {
    let mut fields = request.headers().get_all(header::HOST).iter();
    let (host, second) = (fields.next(), fields.next());
    if second.is_some() {
        return Err(Misdirected::Unclear);
    }
    let parsed = |host: &HeaderValue| host.to_str().ok().and_then(|host| host.parse().ok());
    let host = host.map(|host| parsed(host).ok_or(Misdirected::Unclear)).transpose()?;
    let authority: Authority = match (request.uri().authority(), host) {
        (Some(uri), Some(host)) if *uri != host => return Err(Misdirected::Unclear),
        (Some(uri), _) => uri.clone(),
        (None, Some(host)) => host,
        (None, None) => return Err(Misdirected::Unclear),
    };
    if authority.as_str().contains('@') || authority.host().is_empty() {
        return Err(Misdirected::Unclear);
    }
    Ok(authority)
}

/// Lets requests pass that call the gateway by one of its names, and gives them the base of its URLs.
pub async fn check(State(hosts): State<Hosts>, mut request: Request, next: Next) -> Response {
    match hosts.called(&request) {
        Ok(called) => {
            if let Some(called) = called {
                request.extensions_mut().insert(called);
            }
            next.run(request).await
        }
        Err(misdirected) => {
            let (status, detail) = misdirected.answer(request.version());
            if acme::is_below(request.uri().path()) {
                acme::misdirected(status, detail).into_response()
            } else {
                vault::misdirected(status, detail)
            }
        }
    }
}

impl Misdirected {
    pub(crate) fn answer(self, version: Version) -> (StatusCode, Cow<'static, str>) {
        match self {
            // Before HTTP/1.1 there was no such header, so nothing is wrong with the request.
            Self::Unclear if version < Version::HTTP_11 => {
                (StatusCode::MISDIRECTED_REQUEST, "the request names no host".into())
            }
            Self::Unclear => (StatusCode::BAD_REQUEST, "the request names no valid host".into()),
            Self::Elsewhere(host) => (
                StatusCode::MISDIRECTED_REQUEST,
                format!(
                    "this gateway is not called {host}: call it by one of its names, or have its \
                     administrator add this one to server.hosts"
                )
                .into(),
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use axum::body::Body;

    use super::*;

    fn hosts() -> Hosts {
        let names =
            ["ca.example.com", "127.0.0.1", "::1", "*.pki.example", "forwarded.example:9443"];
        Hosts::new(names.map(|name| name.parse().unwrap()), 8443)
    }

    fn request(path: &str, host: &[&str]) -> Request {
        let request = Request::get(path);
        let request = host.iter().fold(request, |request, host| request.header("host", *host));
        request.body(Body::empty()).unwrap()
    }

    /// The base of the URLs, or the status of the refusal.
    fn called(path: &str, host: &str) -> Result<Option<String>, u16> {
        let called = hosts().called(&request(path, &[host]));
        called
            .map(|called| called.map(|called| called.base))
            .map_err(|misdirected| misdirected.answer(Version::HTTP_11).0.as_u16())
    }

    #[test]
    fn own_names_are_answered_in_one_spelling() {
        for (host, base) in [
            ("ca.example.com:8443", "https://ca.example.com:8443"),
            ("ca.example.com", "https://ca.example.com"),
            ("CA.Example.com.:443", "https://ca.example.com"),
            ("127.0.0.1:8443", "https://127.0.0.1:8443"),
            ("[::1]:8443", "https://[::1]:8443"),
            ("[0:0::0:1]", "https://[::1]"),
            ("[::ffff:127.0.0.1]", "https://127.0.0.1"),
            ("eu.pki.example", "https://eu.pki.example"),
            ("forwarded.example:9443", "https://forwarded.example:9443"),
        ] {
            assert_eq!(called("/acme/directory", host), Ok(Some(base.to_owned())), "{host}");
        }
    }

    #[test]
    fn others_names_are_misdirected() {
        for host in [
            "evil.example",
            "evil.example:8443",
            "ca.example.com.evil.example",
            "a.ca.example.com",
            "pki.example",
            "a.b.pki.example",
            "127.0.0.2",
            "127.1",
            "[::2]",
        ] {
            for path in ["/acme/directory", "/v1/sys/health", "/elsewhere"] {
                assert_eq!(called(path, host), Err(421), "{host} {path}");
            }
        }
    }

    #[test]
    fn the_port_counts_where_it_is_signed() {
        for host in
            ["ca.example.com:9443", "127.0.0.1:1", "forwarded.example", "forwarded.example:8443"]
        {
            assert_eq!(called("/acme/directory", host), Err(421), "{host}");
            assert_eq!(called("/v1/sys/health", host), Ok(None), "{host}");
        }
    }

    #[test]
    fn whoever_asks_by_the_address_of_the_connection_is_right_except_with_acme() {
        let probe = |path, host| {
            let mut request = request(path, &[host]);
            let address = CalledAddress(Some("192.0.2.7:8443".parse().unwrap()));
            request.extensions_mut().insert(address);
            hosts().called(&request).map(|_| ())
        };
        assert_eq!(probe("/v1/sys/health", "192.0.2.7:8443"), Ok(()));
        assert!(probe("/v1/sys/health", "192.0.2.8:8443").is_err());
        assert!(probe("/acme/directory", "192.0.2.7:8443").is_err());
    }

    #[test]
    fn a_strange_host_or_two_are_refused() {
        for host in
            [&[][..], &[""], &["a@ca.example.com"], &["a/b"], &["a b"], &["a?b"], &[":8443"]]
        {
            let found = hosts().called(&request("/v1/sys/health", host));
            assert_eq!(found.unwrap_err(), Misdirected::Unclear, "{host:?}");
        }
        let twice = request("/x", &["ca.example.com", "ca.example.com"]);
        assert_eq!(hosts().called(&twice).unwrap_err(), Misdirected::Unclear);
        let absolute = |uri: &str, host: &[&str]| hosts().called(&request(uri, host)).map(|_| ());
        assert_eq!(absolute("https://ca.example.com/x", &[]), Ok(()));
        assert_eq!(absolute("https://ca.example.com/x", &["ca.example.com"]), Ok(()));
        let differing = absolute("https://ca.example.com/x", &["evil.example"]);
        assert_eq!(differing, Err(Misdirected::Unclear));
    }

    #[test]
    fn names_are_read_with_ports_and_without() {
        for good in
            ["a", "a.example", "a.example:1", "192.0.2.1:1", "::1", "[::1]", "[::1]:1", "*.a.b"]
        {
            assert!(good.parse::<HostName>().is_ok(), "{good}");
        }
        for bad in [
            "",
            "a b",
            "a/b",
            "https://a",
            "a:",
            "a:x",
            "a:65536",
            "a@b",
            "*",
            "*.1.2.3.4",
            "a..b",
            "[::1",
        ] {
            assert!(bad.parse::<HostName>().is_err(), "{bad}");
        }
    }
}
