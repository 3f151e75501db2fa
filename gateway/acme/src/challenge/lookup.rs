//! DNS for validation: what authoritative servers of all ages answer, within the deadline of one validation.
//!
//! Some servers never answer a query for AAAA, and some refuse EDNS (RFC 6891 §7) or drop it. Neither keeps a
//! name from being validated: families of addresses are asked for apart from each other, and what is refused
//! or not answered with EDNS is asked without.

use std::net::{IpAddr, SocketAddr};
use std::pin::pin;
use std::time::Duration;

use hickory_resolver::TokioResolver;
use hickory_resolver::config::{
    ConnectionConfig, LookupIpStrategy, NameServerConfig, ResolveHosts, ResolverConfig,
};
use hickory_resolver::lookup::Lookup;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::net::{DnsError, NetError};
use hickory_resolver::proto::op::ResponseCode;
use hickory_resolver::proto::rr::RecordType;
use tokio::time::timeout;

/// After which time a query with EDNS that is not answered is asked without, too.
const EDNS_PATIENCE: Duration = Duration::from_millis(1500);
/// How long one server may take for one try, of which there are two.
const SERVER_TIMEOUT: Duration = Duration::from_secs(3);

/// Asks a resolver.
#[derive(Debug)]
pub(super) struct Lookups {
    edns: Families,
    plain: Families,
}

/// One resolver for each family of addresses.
#[derive(Debug)]
struct Families {
    v4: TokioResolver,
    v6: TokioResolver,
}

/// A family of addresses.
#[derive(Debug, Clone, Copy)]
pub(super) enum Family {
    V4,
    V6,
}

impl Lookups {
    /// Asks `server`, or the resolvers of the machine.
    pub(super) fn new(server: Option<SocketAddr>) -> Result<Self, NetError> {
        let families = |edns| {
            Ok::<_, NetError>(Families {
                v4: resolver(server, LookupIpStrategy::Ipv4Only, edns)?,
                v6: resolver(server, LookupIpStrategy::Ipv6Only, edns)?,
            })
        };
        Ok(Self { edns: families(true)?, plain: families(false)? })
    }

    /// The TXT records of a name, CNAMEs followed.
    pub(super) async fn txt(&self, name: &str) -> Result<Lookup, NetError> {
        // With its final dot the name is complete: no search list is tried.
        let name = format!("{name}.");
        let ask = |families: &Families| {
            let resolver = families.v4.clone();
            let name = name.clone();
            async move { resolver.lookup(name, RecordType::TXT).await }
        };
        unless_refused(ask(&self.edns), ask(&self.plain)).await
    }

    /// The addresses of one family, at least one.
    pub(super) async fn addresses(
        &self,
        name: &str,
        family: Family,
    ) -> Result<Vec<IpAddr>, NetError> {
        let name = format!("{name}.");
        let ask = |families: &Families| {
            let resolver = match family {
                Family::V4 => families.v4.clone(),
                Family::V6 => families.v6.clone(),
            };
            let name = name.clone();
            async move { Ok(resolver.lookup_ip(name).await?.iter().collect::<Vec<_>>()) }
        };
        unless_refused(ask(&self.edns), ask(&self.plain)).await
    }
}

/// What a query with EDNS comes to, or the same without where servers do not like it.
async fn unless_refused<T>(
    with: impl Future<Output = Result<T, NetError>>,
    without: impl Future<Output = Result<T, NetError>>,
) -> Result<T, NetError> {
    let mut with = pin!(with);
    match timeout(EDNS_PATIENCE, &mut with).await {
        Ok(Ok(found)) => return Ok(found),
        Ok(Err(error)) if is_answer(&error) => return Err(error),
        Ok(Err(_)) => return without.await,
        Err(_) => {}
    }
    // It may be slow, or lost, or dropped on purpose.
    let mut without = pin!(without);
    let (first, with_is_left) = tokio::select! {
        first = &mut with => (first, false),
        first = &mut without => (first, true),
    };
    match first {
        Ok(found) => Ok(found),
        Err(error) if is_answer(&error) => Err(error),
        Err(_) if with_is_left => with.await,
        Err(_) => without.await,
    }
}

/// Whether this is what the name's servers say, and asking otherwise would change nothing: there is no such name,
/// or no such record.
fn is_answer(error: &NetError) -> bool {
    let NetError::Dns(DnsError::NoRecordsFound(none)) = error else { return false };
    matches!(none.response_code, ResponseCode::NXDomain | ResponseCode::NoError)
}

fn resolver(
    server: Option<SocketAddr>,
    strategy: LookupIpStrategy,
    edns: bool,
) -> Result<TokioResolver, NetError> {
    let of = |servers| {
        TokioResolver::builder_with_config(
            ResolverConfig::from_name_servers(servers),
            TokioRuntimeProvider::default(),
        )
    };
    let mut builder = match server {
        Some(server) => of(vec![name_server(server)]),
        None => TokioResolver::builder_tokio().unwrap_or_else(|error| {
            tracing::warn!(
                %error,
                "this machine has no DNS resolver and none is configured: names cannot be validated"
            );
            of(Vec::new())
        }),
    };
    let options = builder.options_mut();
    // A client fixes its records and tries again at once: yesterday's answer is a wrong answer.
    options.cache_size = 0;
    options.ip_strategy = strategy;
    options.edns0 = edns;
    options.timeout = SERVER_TIMEOUT;
    if server.is_some() {
        options.use_hosts_file = ResolveHosts::Never;
    }
    builder.build()
}

fn name_server(address: SocketAddr) -> NameServerConfig {
    let with_port = |mut connection: ConnectionConfig| {
        connection.port = address.port();
        connection
    };
    let connections =
        [ConnectionConfig::udp(), ConnectionConfig::tcp()].into_iter().map(with_port).collect();
    NameServerConfig::new(address.ip(), true, connections)
}
