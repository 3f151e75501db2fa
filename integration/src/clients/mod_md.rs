//! Apache's mod_md, which gets the certificates of a web server, from the Debian archive.

use std::fmt::Write;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use rustix::process::Signal;

use super::{AcmeServer, Obtained};
use crate::lint;
use crate::process::{self, Server};
use crate::site::Site;

const PATIENCE: Duration = Duration::from_mins(1);
const PORT: u16 = 5443;

/// An Apache with one managed domain.
#[derive(Debug)]
pub struct ModMd<'a> {
    site: &'a Site,
    server: Server,
    folder: PathBuf,
    name: String,
}

impl<'a> ModMd<'a> {
    /// Starts it: it begins at once to get a certificate for `name` by http-01.
    #[track_caller]
    #[must_use]
    pub fn start(site: &'a Site, acme: &AcmeServer, name: &str) -> Self {
        let folder = site.folder("apache");
        // Its workers run as another user, and go through here.
        for open in [site.path(), &folder] {
            fs::set_permissions(open, fs::Permissions::from_mode(0o755)).expect("they are ours");
        }
        let root = fs::read(&acme.root).expect("the root can be read");
        let root = site.write("apache/root.pem", root);
        let mut config = String::new();
        for module in ["mpm_event", "authz_core", "socache_shmcb", "ssl", "md"] {
            let file = format!("/usr/lib/apache2/modules/mod_{module}.so");
            assert!(
                Path::new(&file).is_file(),
                "{file} is missing; 'make test' installs what the tests need"
            );
            writeln!(config, "LoadModule {module}_module {file}")
                .expect("a string can be written to");
        }
        write!(
            config,
            "ServerRoot {folder}\n\
             ServerName {name}\n\
             PidFile {folder}/apache.pid\n\
             ErrorLog {folder}/error.log\n\
             LogLevel warn md:debug\n\
             Mutex file:{folder} default\n\
             User www-data\n\
             Group www-data\n\
             SSLSessionCache shmcb:{folder}/sessions\n\
             Listen {http}\n\
             Listen {https}\n\
             MDStoreDir {folder}/store\n\
             MDCertificateAuthority {directory}\n\
             MDCACertificateFile {root}\n\
             MDCertificateAgreement accepted\n\
             MDContactEmail admin@example.com\n\
             MDPortMap http:{http_port} https:{https_port}\n\
             MDCAChallenges http-01\n\
             MDPrivateKeys secp256r1\n\
             MDomain {name}\n\
             <VirtualHost {http}>\nServerName {name}\n</VirtualHost>\n\
             <VirtualHost {https}>\nServerName {name}\nSSLEngine on\n</VirtualHost>\n",
            folder = folder.display(),
            http = site.socket(Site::HTTP01_PORT),
            https = site.socket(PORT),
            http_port = Site::HTTP01_PORT,
            https_port = PORT,
            directory = acme.directory,
            root = root.display(),
        )
        .expect("a string can be written to");
        let config = site.write("apache/httpd.conf", config);
        let mut command = Command::new(process::tool("apache2"));
        command.args(["-D", "FOREGROUND", "-f"]).arg(config);
        let server = Server::start("apache2", &mut command, &site.file("apache/apache.log"));
        Self { site, server, folder, name: name.to_owned() }
    }

    /// Waits for the certificate, has it taken into use, and waits until it is shown.
    #[track_caller]
    #[must_use]
    pub fn obtained(&self) -> Obtained {
        let staged = self.folder.join("store/staging").join(&self.name);
        process::eventually("mod_md has a certificate", PATIENCE, || {
            let job = fs::read_to_string(staged.join("job.json")).ok()?;
            job.contains("\"finished\": true").then_some(())
        });
        self.server.signal(Signal::USR1);
        let kept = self.folder.join("store/domains").join(&self.name);
        let (chain, key) = (kept.join("pubcert.secp256r1.pem"), kept.join("privkey.secp256r1.pem"));
        let chain = process::eventually("mod_md uses the certificate", PATIENCE, || {
            let chain = fs::read_to_string(&chain).ok()?;
            let shown = lint::shown_chain(self.site.socket(PORT), &self.name);
            chain.contains(shown.trim()).then_some(chain)
        });
        let key = fs::read_to_string(key).expect("mod_md keeps the key");
        Obtained { chain, key }
    }
}
