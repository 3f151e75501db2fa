//! Telling the service manager how it is going, as `sd_notify(3)` describes it.

use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};

/// The variable that names the socket; without it, nobody wants to know.
const SOCKET: &str = "NOTIFY_SOCKET";

/// It answers requests.
pub(crate) const READY: &str = "READY=1";

/// It is about to end.
pub(crate) const STOPPING: &str = "STOPPING=1";

/// Tells the service manager, if there is one that wants to know. That it cannot be told is logged: the gateway
/// runs all the same.
pub(crate) fn tell(state: &str) {
    let Some(socket) = std::env::var_os(SOCKET).filter(|socket| !socket.is_empty()) else { return };
    if let Err(error) = send(&socket, state) {
        tracing::warn!(%error, "the service manager cannot be told: {state}");
    }
}

fn send(socket: &OsStr, state: &str) -> io::Result<()> {
    let sender = UnixDatagram::unbound()?;
    // A full queue must not hold up the gateway.
    sender.set_nonblocking(true)?;
    sender.send_to_addr(state.as_bytes(), &address(socket.as_bytes())?).map(drop)
}

/// An `@` stands for the first byte of an address in the abstract namespace (`unix(7)`).
#[cfg(target_os = "linux")]
fn address(socket: &[u8]) -> io::Result<SocketAddr> {
    use std::os::linux::net::SocketAddrExt as _;

    match socket.strip_prefix(b"@") {
        Some(name) => SocketAddr::from_abstract_name(name),
        None => SocketAddr::from_pathname(OsStr::from_bytes(socket)),
    }
}

#[cfg(not(target_os = "linux"))]
fn address(socket: &[u8]) -> io::Result<SocketAddr> {
    SocketAddr::from_pathname(OsStr::from_bytes(socket))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn received(by: &UnixDatagram) -> String {
        let mut buffer = [0; 64];
        let length = by.recv(&mut buffer).unwrap();
        String::from_utf8(buffer[..length].to_vec()).unwrap()
    }

    #[test]
    fn the_manager_is_told_at_a_path() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("notify");
        let manager = UnixDatagram::bind(&path).unwrap();
        send(path.as_os_str(), READY).unwrap();
        assert_eq!(received(&manager), "READY=1");
        drop(manager);
        std::fs::remove_file(&path).unwrap();
        send(path.as_os_str(), STOPPING).unwrap_err();
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn the_manager_is_told_at_an_abstract_address() {
        let name = format!("chancery-test-{}", std::process::id());
        let manager = UnixDatagram::bind_addr(&address(format!("@{name}").as_bytes()).unwrap());
        let manager = manager.unwrap();
        send(OsStr::new(&format!("@{name}")), STOPPING).unwrap();
        assert_eq!(received(&manager), "STOPPING=1");
    }
}
