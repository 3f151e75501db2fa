//! The client certificates that `chancery dev` makes: an administrator and a service.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use chancery_x509::{ParsedCertificate, pem};

use crate::client_certificate;
use crate::files::{self, Readers};
use crate::gateway::Gateway;

/// Files for people and tools, all in `DIR/dev`.
pub(crate) struct DevIdentities {
    pub(crate) root: PathBuf,
    pub(crate) admin_cert: PathBuf,
    pub(crate) admin_key: PathBuf,
    pub(crate) app_cert: PathBuf,
    pub(crate) app_key: PathBuf,
}

impl DevIdentities {
    /// Where they are in the state directory `dir`.
    pub(crate) fn in_directory(dir: &Path) -> Self {
        let dev = dir.join("dev");
        Self {
            root: dev.join("root.pem"),
            admin_cert: dev.join("admin.pem"),
            admin_key: dev.join("admin.key"),
            app_cert: dev.join("app.pem"),
            app_key: dev.join("app.key"),
        }
    }

    /// Writes the root, and each certificate that is missing, from another CA or past two thirds of
    /// its life.
    pub(crate) async fn ensure(&self, gateway: &Gateway) -> Result<()> {
        let directory = self.root.parent().context("the directory of the identities")?;
        chancery_files::make_directory(directory)
            .with_context(|| format!("cannot make {}", directory.display()))?;
        files::replace(&self.root, gateway.ca.root_pem().as_bytes(), Readers::Everybody)?;
        for (name, cert, key) in
            [("admin", &self.admin_cert, &self.admin_key), ("app", &self.app_cert, &self.app_key)]
        {
            if !is_fresh(gateway, cert, key) {
                let id = format!("spiffe://{}/{name}", super::TRUST_DOMAIN).parse()?;
                client_certificate::issue(gateway, &id, cert, key).await?;
            }
        }
        Ok(())
    }
}

fn is_fresh(gateway: &Gateway, cert: &Path, key: &Path) -> bool {
    let Ok(text) = std::fs::read_to_string(cert) else { return false };
    let Ok(Some(leaf)) = pem::decode(pem::CERTIFICATE, &text).map(|all| all.into_iter().next())
    else {
        return false;
    };
    let Ok(certificate) = ParsedCertificate::from_der(&leaf) else { return false };
    let (from, until) = (certificate.not_before(), certificate.not_after());
    let two_thirds = from + (until.duration_since(from) / 3 * 2);
    key.is_file()
        && certificate.authority_key_id() == Some(gateway.ca.issuer_id())
        && gateway.clock.now() < two_thirds
}
