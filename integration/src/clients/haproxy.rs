//! HAProxy, which gets the certificates of its own listeners, from Debian's testing distribution.

use std::io::{Read, Write};
use std::net::SocketAddr;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use super::{AcmeServer, newer};
use crate::dns::Dns;
use crate::lint;
use crate::process::{self, Server};
use crate::site::Site;

/// How long it takes: HAProxy looks every five seconds whether something is done.
const PATIENCE: Duration = Duration::from_mins(1);
const PORT: u16 = 5444;

/// An HAProxy that listens for TLS at a name.
#[derive(Debug)]
pub struct Haproxy {
    server: Server,
    control: PathBuf,
    socket: SocketAddr,
}

impl Haproxy {
    /// Starts it with a self-signed certificate for `name`, which it replaces when it is told to. It asks this
    /// DNS server where the ACME server is.
    #[track_caller]
    #[must_use]
    pub fn start(site: &Site, acme: &AcmeServer, dns: &Dns, name: &str) -> Self {
        let folder = site.folder("haproxy");
        let control = folder.join("control");
        let config = format!(
            "global\n\
             \x20   expose-experimental-directives\n\
             \x20   stats socket {control} level admin\n\
             \x20   httpclient.ssl.ca-file {root}\n\
             \x20   httpclient.resolvers.id site\n\
             resolvers site\n\
             \x20   nameserver site {dns}\n\
             defaults\n\
             \x20   mode http\n\
             \x20   timeout client 10s\n\
             \x20   timeout server 10s\n\
             \x20   timeout connect 5s\n\
             acme gateway\n\
             \x20   directory {directory}\n\
             \x20   account-key {folder}/account.key\n\
             \x20   contact admin@example.com\n\
             \x20   challenge HTTP-01\n\
             \x20   keytype ECDSA\n\
             \x20   curves P-256\n\
             \x20   map virt@acme\n\
             crt-store site\n\
             \x20   load crt {pem} acme gateway domains {name} alias own\n\
             frontend site\n\
             \x20   bind {http}\n\
             \x20   bind {https} ssl crt @site/own\n\
             \x20   http-request return status 200 content-type text/plain lf-string \
             \"%[path,field(-1,/)].%[path,field(-1,/),map(virt@acme)]\\n\" \
             if {{ path_beg /.well-known/acme-challenge/ }}\n\
             \x20   http-request return status 404\n",
            control = control.display(),
            root = acme.root.display(),
            dns = dns.socket(),
            directory = acme.directory,
            folder = folder.display(),
            pem = self_signed(site, name).display(),
            http = site.socket(Site::HTTP01_PORT),
            https = site.socket(PORT),
        );
        let config = site.write("haproxy/haproxy.cfg", config);
        // Its libraries are newer than the machine's, and so is the loader that finds them.
        let libraries = newer("usr/lib");
        let loader = process::find(&libraries, "ld-linux-").expect("the C library has a loader");
        let folder = loader.parent().expect("a file is in a folder");
        let mut command = Command::new(&loader);
        command.arg("--library-path").arg(folder).arg(newer("usr/sbin/haproxy"));
        command.arg("-db").arg("-f").arg(config);
        let server = Server::start("haproxy", &mut command, &site.file("haproxy/haproxy.log"));
        let haproxy = Self { server, control, socket: site.socket(PORT) };
        process::eventually("haproxy listens", PATIENCE, || {
            UnixStream::connect(&haproxy.control).ok()
        });
        haproxy
    }

    /// Has it get a certificate, and waits until it shows that one: the chain, as PEM.
    #[track_caller]
    #[must_use]
    pub fn renew(&self, name: &str) -> String {
        let before = self.chain(name);
        let said = self.say("acme renew @site/own");
        assert!(said.trim().is_empty(), "{said}");
        process::eventually("haproxy has a certificate", PATIENCE, || {
            let now = self.chain(name);
            (now != before).then_some(now)
        })
    }

    /// The key of the certificate that it shows, as PEM.
    #[track_caller]
    #[must_use]
    pub fn key(&self) -> String {
        let said = self.say("dump ssl cert @site/own");
        let end = "-----END PRIVATE KEY-----\n";
        let key = said.split_inclusive(end).next().unwrap_or_default();
        assert!(key.ends_with(end), "{said}; its log:\n{}", self.server.log());
        key.trim_start().to_owned()
    }

    fn chain(&self, name: &str) -> String {
        lint::shown_chain(self.socket, name)
    }

    /// Says a line on the control socket.
    #[track_caller]
    fn say(&self, line: &str) -> String {
        let mut stream = UnixStream::connect(&self.control).expect("haproxy has a control socket");
        stream.write_all(format!("{line}\n").as_bytes()).expect("it reads");
        let mut said = String::new();
        stream.read_to_string(&mut said).expect("it answers");
        said
    }
}

/// A certificate to begin with, behind its key.
fn self_signed(site: &Site, name: &str) -> PathBuf {
    let made = rcgen::generate_simple_self_signed([name.to_owned()]).expect("a name");
    let pem = format!("{}{}", made.signing_key.serialize_pem(), made.cert.pem());
    site.write("haproxy/first.pem", pem)
}
