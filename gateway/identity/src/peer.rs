//! The other end of a connection.

use std::net::SocketAddr;

use crate::Evidence;

/// The other end of a connection, as the TLS acceptor saw it. One per connection, shared by its
/// requests.
#[derive(Debug, Clone)]
pub struct Peer {
    /// Where the connection came from.
    pub address: SocketAddr,
    /// The client certificate that was verified; none if the client sent none.
    pub evidence: Option<Evidence>,
}
