//! Whose connection it is, where a load balancer passes connections on: the PROXY protocol, from the
//! peers that the configuration lists. They have to send it; nobody else's is read.

use std::io;
use std::net::{IpAddr, SocketAddr};

use chancery_identity::canonical_network;
use chancery_identity::proxy_protocol::{InvalidProxyHeader, Prefix};
use ipnet::IpNet;
use tokio::io::{AsyncRead, AsyncReadExt};

/// The peers that say whose connections they pass on.
#[derive(Debug, Clone, Default)]
pub(crate) struct Balancers(Vec<IpNet>);

/// Why a balancer's connection is of no use.
#[derive(Debug, thiserror::Error)]
pub(super) enum ProxyError {
    #[error("the connection ended before its PROXY header: {0}")]
    Closed(#[from] io::Error),
    #[error(transparent)]
    Invalid(#[from] InvalidProxyHeader),
}

impl Balancers {
    pub(crate) fn new(networks: Vec<IpNet>) -> Self {
        Self(networks.into_iter().map(canonical_network).collect())
    }

    /// Whether this is one of them.
    pub(super) fn contain(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.0.iter().any(|network| network.contains(&address))
    }
}

/// Reads the header, and nothing behind it. The address of the client; none if the balancer speaks for
/// itself.
pub(super) async fn client(
    stream: &mut (impl AsyncRead + Unpin),
) -> Result<Option<SocketAddr>, ProxyError> {
    let mut prefix = [0; Prefix::LENGTH];
    stream.read_exact(&mut prefix).await?;
    let prefix = Prefix::parse(&prefix)?;
    let mut rest = vec![0; prefix.rest()];
    stream.read_exact(&mut rest).await?;
    Ok(prefix.source(&rest)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn balancers_are_known_by_their_networks() {
        let of = |text: &str| Balancers::new(vec![text.parse().unwrap()]);
        let is = |balancers: &Balancers, text: &str| balancers.contain(text.parse().unwrap());
        let v4 = of("10.0.0.0/8");
        assert!(is(&v4, "10.1.2.3") && is(&v4, "::ffff:10.1.2.3"));
        assert!(!is(&v4, "11.1.2.3") && !is(&v4, "2001:db8::1"));
        let mapped = of("::ffff:10.0.0.0/104");
        assert!(is(&mapped, "10.1.2.3") && is(&mapped, "::ffff:10.1.2.3"));
        assert!(is(&of("2001:db8::/32"), "2001:db8::1"));
        assert!(!is(&Balancers::default(), "127.0.0.1"));
    }

    #[tokio::test]
    async fn nothing_behind_the_header_is_taken() {
        let header = *b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0f\xc0\0\x02\x01\xc0\0\x02\x02\x12\x67\x01\xbb\x04\0\0";
        let mut bytes = [&header[..], b"GET /"].concat();
        let mut stream = &bytes[..];
        assert_eq!(client(&mut stream).await.unwrap(), Some("192.0.2.1:4711".parse().unwrap()));
        assert_eq!(stream, b"GET /");
        bytes.truncate(20);
        assert!(matches!(client(&mut &bytes[..]).await, Err(ProxyError::Closed(_))));
        let http = b"GET / HTTP/1.1\r\n\r\n";
        assert!(matches!(client(&mut &http[..]).await, Err(ProxyError::Invalid(_))));
    }
}
