//! A place for one test: a loopback address and a directory of its own.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};

use aws_lc_rs::rand;
use tempfile::TempDir;

/// The port that marks an address as taken. Nobody serves anything on it.
const RESERVATION: u16 = 4004;

/// A loopback address and a directory for one test only.
///
/// With an address of its own a test can use fixed ports: there is no race for a free one. The
/// directory is removed at the end, unless the test fails: then it stays and its path is printed.
#[derive(Debug)]
pub struct Site {
    address: Ipv4Addr,
    // Bound for as long as the site lives: another site that draws this address cannot bind it.
    _reservation: TcpListener,
    directory: Option<TempDir>,
}

impl Site {
    /// The port at which a gateway requests the answer to an http-01 challenge.
    pub const HTTP01_PORT: u16 = 5002;
    /// The port at which a gateway requests the answer to a tls-alpn-01 challenge.
    pub const TLS_ALPN01_PORT: u16 = 5001;
    /// The port of the site's DNS server.
    pub const DNS_PORT: u16 = 5353;

    /// Chooses an address in 127.0.0.0/8 and makes a directory.
    #[must_use]
    pub fn new() -> Self {
        let (address, reservation) = (0..100)
            .find_map(|_| {
                let mut random = [0; 3];
                rand::fill(&mut random).expect("the system has random bytes");
                // 127.0.x.y is left to other programs on this machine.
                let address = Ipv4Addr::new(127, random[0] | 1, random[1], random[2].clamp(1, 254));
                Some((address, TcpListener::bind((address, RESERVATION)).ok()?))
            })
            .expect("127.0.0.0/8 has a free address");
        let directory = tempfile::Builder::new()
            .prefix("chancery-test-")
            .tempdir()
            .expect("the temporary directory is writable");
        Self { address, _reservation: reservation, directory: Some(directory) }
    }

    /// The address of this site.
    #[must_use]
    pub fn address(&self) -> Ipv4Addr {
        self.address
    }

    /// A socket address at this site.
    #[must_use]
    pub fn socket(&self, port: u16) -> SocketAddr {
        SocketAddr::new(IpAddr::V4(self.address), port)
    }

    /// The directory of this site.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.directory.as_ref().expect("the directory is there until the site is dropped").path()
    }

    /// A path below the directory; makes the folders that it needs.
    #[must_use]
    pub fn file(&self, name: &str) -> PathBuf {
        let path = self.path().join(name);
        fs::create_dir_all(path.parent().expect("a file is in a folder"))
            .expect("folders can be made");
        path
    }

    /// A folder below the directory; makes it if it is missing.
    #[must_use]
    pub fn folder(&self, name: &str) -> PathBuf {
        let path = self.path().join(name);
        fs::create_dir_all(&path).expect("folders can be made");
        path
    }

    /// Writes a file below the directory and returns its path.
    #[must_use]
    pub fn write(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.file(name);
        fs::write(&path, content).expect("a file can be written");
        path
    }
}

impl Default for Site {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        if std::thread::panicking()
            && let Some(directory) = self.directory.take()
        {
            eprintln!("the files of this failed test are in {}", directory.keep().display());
        }
    }
}

/// Removes the permission to read from everybody except the owner.
///
/// # Panics
/// The file is not there.
pub fn private(path: &Path) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))
        .expect("permissions can be set");
}
