//! A SoftHSM token.

use std::path::{Path, PathBuf};
use std::process::Command;

use chancery_pkcs11_faults::PlanFile;

use crate::process::{self, Outcome};
use crate::site::{self, Site};

/// A PKCS#11 token in the directory of a site.
#[derive(Debug)]
pub struct Token {
    config: PathBuf,
    pin_file: PathBuf,
    module: PathBuf,
}

impl Token {
    /// The label of the token.
    pub const LABEL: &str = "chancery";
    const PIN: &str = "correct horse";

    /// Makes a token.
    #[must_use]
    pub fn new(site: &Site) -> Self {
        let tokens = site.folder("tokens");
        let config = site.write(
            "softhsm2.conf",
            format!(
                "directories.tokendir = {}\nobjectstore.backend = file\nlog.level = ERROR\n",
                tokens.display()
            ),
        );
        let pin_file = site.write("pin", Self::PIN);
        site::private(&pin_file);
        let token = Self { config, pin_file, module: module() };
        token.initialise(Self::LABEL);
        token
    }

    /// Makes one more token in the same directory, with the same PIN.
    #[track_caller]
    pub fn initialise(&self, label: &str) {
        let mut command = Command::new(process::tool("softhsm2-util"));
        command
            .env("SOFTHSM2_CONF", &self.config)
            .args(["--init-token", "--free", "--label", label])
            .args(["--pin", Self::PIN, "--so-pin", "for nobody"]);
        drop(process::run(&mut command).success());
    }

    /// A token behind a module that fails according to the plan in the site's directory.
    #[must_use]
    pub fn faulty(site: &Site) -> (Self, PlanFile) {
        let token = Self::new(site);
        let plan = PlanFile::new(site.path(), &token.module);
        (Self { module: chancery_pkcs11_faults::module(), ..token }, plan)
    }

    /// SoftHSM's configuration, for the environment variable `SOFTHSM2_CONF` of its users.
    #[must_use]
    pub fn config(&self) -> &Path {
        &self.config
    }

    /// The PKCS#11 module.
    #[must_use]
    pub fn module(&self) -> &Path {
        &self.module
    }

    /// A file with the user's PIN.
    #[must_use]
    pub fn pin_file(&self) -> &Path {
        &self.pin_file
    }

    /// Runs `pkcs11-tool` on the token, logged in.
    #[track_caller]
    #[must_use]
    pub fn tool(&self, arguments: &[&str]) -> Outcome {
        let mut command = Command::new(process::tool("pkcs11-tool"));
        command
            .env("SOFTHSM2_CONF", &self.config)
            .arg("--module")
            .arg(&self.module)
            .args(["--token-label", Self::LABEL, "--login", "--pin", Self::PIN])
            .args(arguments);
        process::run(&mut command)
    }
}

fn module() -> PathBuf {
    let path = PathBuf::from("/usr/lib/softhsm/libsofthsm2.so");
    assert!(path.is_file(), "SoftHSM is not installed; 'make test' installs what the tests need");
    path
}
