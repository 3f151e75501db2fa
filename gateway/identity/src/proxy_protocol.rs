//! The header with which a load balancer says whose connection it passes on: the PROXY protocol,
//! version 2, as HAProxy's specification (`doc/proxy-protocol.txt`) has it. Version 1, which is text,
//! is refused.
//!
//! A header is read in two steps, so that nothing behind it is taken from the connection: [`Prefix`]
//! is the part of fixed length and says how many bytes follow.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// The first bytes of every header of version 2.
const SIGNATURE: [u8; 12] = *b"\r\n\r\n\0\r\nQUIT\n";

/// The longest rest of a header that is read, in bytes: addresses have 36 at most, and what load
/// balancers add (identifiers of networks, facts about TLS) has a few hundred.
pub const LONGEST_REST: usize = 4096;

/// The part of a header that always has the same length.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Prefix {
    carries: Carries,
    rest: u16,
}

/// What the rest of a header begins with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Carries {
    /// No address that counts: the balancer speaks for itself (a health check), or does not know.
    Nothing,
    Ipv4,
    Ipv6,
}

/// Why bytes are no header that is accepted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidProxyHeader {
    /// They begin with something else.
    #[error("the connection does not begin with a header of the PROXY protocol, version 2")]
    Signature,
    /// Another version than 2.
    #[error("version {0} of the PROXY protocol is not known")]
    Version(u8),
    /// Neither LOCAL nor PROXY.
    #[error("the PROXY header has an unknown command: {0}")]
    Command(u8),
    /// An address family or a transport that this connection cannot have.
    #[error("the PROXY header is about something other than TCP: {0:#04x}")]
    Transport(u8),
    /// Longer than [`LONGEST_REST`].
    #[error("the PROXY header announces {0} bytes; at most {LONGEST_REST} are read")]
    TooLong(usize),
    /// The addresses do not fit into what was announced.
    #[error("the PROXY header is too short for its addresses")]
    Truncated,
}

impl Prefix {
    /// Its length in bytes.
    pub const LENGTH: usize = 16;

    /// Reads the first bytes of a connection.
    ///
    /// # Errors
    /// They are no header, or one of a kind that is not accepted.
    pub fn parse(bytes: &[u8; Self::LENGTH]) -> Result<Self, InvalidProxyHeader> {
        let [signature @ .., version_and_command, transport, high, low] = bytes;
        if *signature != SIGNATURE {
            return Err(InvalidProxyHeader::Signature);
        }
        let (version, command) = (version_and_command >> 4, version_and_command & 0x0f);
        if version != 2 {
            return Err(InvalidProxyHeader::Version(version));
        }
        let carries = match (command, transport) {
            // §2.2: whatever a LOCAL header says about addresses is skipped. UNSPEC has none, and the
            // path of a UNIX socket is no address of a client.
            (0, _) | (1, 0x00 | 0x31) => Carries::Nothing,
            (1, 0x11) => Carries::Ipv4,
            (1, 0x21) => Carries::Ipv6,
            (1, other) => return Err(InvalidProxyHeader::Transport(*other)),
            (other, _) => return Err(InvalidProxyHeader::Command(other)),
        };
        let rest = u16::from_be_bytes([*high, *low]);
        if usize::from(rest) > LONGEST_REST {
            return Err(InvalidProxyHeader::TooLong(rest.into()));
        }
        Ok(Self { carries, rest })
    }

    /// How many bytes of the header follow.
    pub fn rest(self) -> usize {
        self.rest.into()
    }

    /// Where the connection came from before the balancer; none if the header leaves that open, so that
    /// the address of the connection itself counts. An IPv4 address in IPv6's clothes is IPv4.
    ///
    /// # Errors
    /// `rest`, the bytes that follow, are too few for the addresses.
    pub fn source(self, rest: &[u8]) -> Result<Option<SocketAddr>, InvalidProxyHeader> {
        let truncated = || InvalidProxyHeader::Truncated;
        // Source, destination, source port, destination port; what follows is of no interest here.
        let (address, ports) = match self.carries {
            Carries::Nothing => return Ok(None),
            Carries::Ipv4 => {
                let (source, rest) = rest.split_first_chunk::<4>().ok_or_else(truncated)?;
                let (_, ports) = rest.split_first_chunk::<4>().ok_or_else(truncated)?;
                (IpAddr::V4(Ipv4Addr::from(*source)), ports)
            }
            Carries::Ipv6 => {
                let (source, rest) = rest.split_first_chunk::<16>().ok_or_else(truncated)?;
                let (_, ports) = rest.split_first_chunk::<16>().ok_or_else(truncated)?;
                (IpAddr::V6(Ipv6Addr::from(*source)), ports)
            }
        };
        let [high, low, ..] = *ports.first_chunk::<4>().ok_or_else(truncated)?;
        Ok(Some(SocketAddr::new(address.to_canonical(), u16::from_be_bytes([high, low]))))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(bytes: &[u8]) -> Result<Option<SocketAddr>, InvalidProxyHeader> {
        let (prefix, rest) = bytes.split_first_chunk().ok_or(InvalidProxyHeader::Truncated)?;
        let prefix = Prefix::parse(prefix)?;
        prefix.source(rest.get(..prefix.rest()).ok_or(InvalidProxyHeader::Truncated)?)
    }

    /// A header as a load balancer writes it.
    fn header(command: u8, transport: u8, rest: &[u8]) -> Vec<u8> {
        let mut bytes = SIGNATURE.to_vec();
        bytes.extend([0x20 | command, transport]);
        bytes.extend(u16::try_from(rest.len()).unwrap().to_be_bytes());
        bytes.extend(rest);
        bytes
    }

    fn addresses(source: SocketAddr) -> (u8, Vec<u8>) {
        let (transport, mut rest) = match source.ip() {
            IpAddr::V4(address) => (0x11, [address.octets(), [192, 0, 2, 9]].concat()),
            IpAddr::V6(address) => (0x21, [address.octets(), [9; 16]].concat()),
        };
        rest.extend(source.port().to_be_bytes());
        rest.extend(443_u16.to_be_bytes());
        (transport, rest)
    }

    #[test]
    fn the_source_of_a_passed_on_connection_is_read() {
        for source in ["192.0.2.1:4711", "[2001:db8::1]:65535", "0.0.0.0:0"] {
            let source: SocketAddr = source.parse().unwrap();
            let (transport, mut rest) = addresses(source);
            assert_eq!(read(&header(1, transport, &rest)), Ok(Some(source)));
            // A balancer's own facts behind the addresses change nothing (§2.2, TLVs).
            rest.extend([0x04, 0, 3, 1, 2, 3]);
            assert_eq!(read(&header(1, transport, &rest)), Ok(Some(source)));
        }
    }

    #[test]
    fn an_ipv4_address_in_ipv6_s_clothes_is_ipv4() {
        let (transport, rest) = addresses("[::ffff:192.0.2.1]:1".parse().unwrap());
        let expected = "192.0.2.1:1".parse().unwrap();
        assert_eq!(read(&header(1, transport, &rest)), Ok(Some(expected)));
    }

    #[test]
    fn a_balancer_may_speak_for_itself_or_not_know() {
        for (command, transport) in [(0, 0x00), (0, 0x11), (0, 0xff), (1, 0x00), (1, 0x31)] {
            assert_eq!(read(&header(command, transport, b"")), Ok(None));
            assert_eq!(read(&header(command, transport, &[7; 216])), Ok(None));
        }
    }

    #[test]
    fn what_is_no_such_header_is_refused() {
        use InvalidProxyHeader::{Command, Signature, TooLong, Transport, Truncated, Version};
        let good = header(1, 0x11, &[0; 12]);
        let with = |at: usize, byte| {
            let mut bad = good.clone();
            bad[at] = byte;
            read(&bad).unwrap_err()
        };
        assert_eq!(read(b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n").unwrap_err(), Signature);
        assert_eq!(read(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n").unwrap_err(), Signature);
        assert_eq!(with(0, b'x'), Signature);
        assert_eq!(with(12, 0x11), Version(1));
        assert_eq!(with(12, 0x22), Command(2));
        assert_eq!(with(13, 0x12), Transport(0x12));
        assert_eq!(with(13, 0x41), Transport(0x41));
        assert_eq!(with(14, 0xff), TooLong(0xff0c));
        assert_eq!(with(15, 11), Truncated);
        assert_eq!(read(&header(1, 0x21, &[0; 35])).unwrap_err(), Truncated);
        assert_eq!(read(&good[..15]).unwrap_err(), Truncated);
    }

    proptest! {
        #[test]
        fn every_address_survives(source: [u8; 16], v4: bool, port: u16) {
            let ip = if v4 {
                IpAddr::from(*source.first_chunk::<4>().unwrap())
            } else {
                IpAddr::from(source)
            };
            let source = SocketAddr::new(ip, port);
            let (transport, rest) = addresses(source);
            let expected = SocketAddr::new(ip.to_canonical(), port);
            prop_assert_eq!(read(&header(1, transport, &rest)), Ok(Some(expected)));
        }

        #[test]
        fn any_bytes_are_read_or_refused(tail: Vec<u8>, change: bool, at in 0_usize..16, byte: u8) {
            let mut bytes = header(1, 0x21, &[]);
            if change {
                bytes[at] = byte;
            }
            bytes.extend(&tail);
            if let Ok(Some(source)) = read(&bytes) {
                // Only what has the room for two addresses gives one.
                let least = if source.is_ipv4() { 12 } else { 36 };
                prop_assert!(bytes.len() >= Prefix::LENGTH + least);
            }
        }
    }
}
