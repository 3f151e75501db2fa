//! Errors for lack of the gateway's own descriptors, memory or ports. The client can do nothing about them, so they
//! fail no challenge: it is tried again later.

use std::io;
use std::net::SocketAddr;

use hickory_resolver::net::NetError;
use rustix::io::Errno;

/// Whether a connection to this address came to nothing for lack of descriptors, memory or local ports.
pub(super) fn of_connection(error: &io::Error, to: SocketAddr) -> bool {
    match Errno::from_io_error(error) {
        // There may be no IPv6 here at all, and that does not pass.
        Some(Errno::ADDRNOTAVAIL) => to.is_ipv4(),
        // connect(2) has it for local ports that are used up.
        Some(Errno::AGAIN) => true,
        _ => is_shortage(error),
    }
}

/// Whether a question to the gateway's own resolvers came to nothing before anybody answered.
pub(super) fn of_lookup(error: &NetError) -> bool {
    match error {
        // What lies behind it is not said: whatever it is, no resolver was reached.
        NetError::Busy | NetError::NoConnections => true,
        NetError::Io(error) => is_shortage(error),
        _ => false,
    }
}

fn is_shortage(error: &io::Error) -> bool {
    let of = [Errno::MFILE, Errno::NFILE, Errno::NOMEM, Errno::NOBUFS];
    Errno::from_io_error(error).is_some_and(|code| of.contains(&code))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_gateway_lacks_is_told_from_what_a_peer_does() {
        let (four, six) = (([192, 0, 2, 1], 80).into(), ([0_u16; 8], 80).into());
        let error = |code: Errno| io::Error::from_raw_os_error(code.raw_os_error());
        for code in [Errno::MFILE, Errno::NFILE, Errno::NOMEM, Errno::NOBUFS, Errno::AGAIN] {
            assert!(of_connection(&error(code), four), "{code}");
            assert!(of_connection(&error(code), six), "{code}");
        }
        assert!(of_connection(&error(Errno::ADDRNOTAVAIL), four));
        assert!(!of_connection(&error(Errno::ADDRNOTAVAIL), six));
        for code in [Errno::CONNREFUSED, Errno::CONNRESET, Errno::HOSTUNREACH, Errno::NETUNREACH] {
            assert!(!of_connection(&error(code), four), "{code}");
            assert!(!of_lookup(&NetError::from(error(code))), "{code}");
        }
        assert!(of_lookup(&NetError::from(error(Errno::MFILE))));
        assert!(!of_lookup(&NetError::Timeout));
        assert!(!of_connection(&io::Error::other("TLS"), four));
    }
}
