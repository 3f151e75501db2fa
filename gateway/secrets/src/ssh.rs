//! Certificates for SSH behind a mount, as Vault's SSH engine signs them.

use std::time::Duration;

use chancery_access::Caller;
use chancery_identity::RequestContext;
use chancery_issuance::{Issuance, SshRequest};

pub use chancery_issuance::{SshError, SshIssued};
pub use chancery_ssh::{InvalidKey, Kind, Options, SshPublicKey};

use crate::MountName;
use crate::environment::Environment;
use crate::mount::MountKind;

/// The CA for SSH at one mount. Cheap; made per request by [`Secrets::ssh`](crate::Secrets::ssh).
pub struct Ssh<'a> {
    issuance: Option<&'a Issuance>,
}

/// A request for an SSH certificate.
#[derive(Debug, Clone)]
pub struct Wanted {
    /// What the client calls its purpose.
    pub role: String,
    /// The key.
    pub public_key: SshPublicKey,
    /// Whether it is for a user or a host.
    pub kind: Kind,
    /// The names that the certificate is to be good for.
    pub principals: Vec<String>,
    /// How long it is to be valid.
    pub ttl: Option<Duration>,
    /// What the certificate allows and demands.
    pub options: Options,
}

impl<'a> Ssh<'a> {
    /// The operations here, as policies name them; the resource is a principal.
    pub const OPERATIONS: [&'static str; 2] = ["ssh.sign-user", "ssh.sign-host"];

    pub(crate) fn new(
        environment: &Environment,
        issuance: Option<&'a Issuance>,
        mount: &MountName,
    ) -> Self {
        let is_here = environment.is_mounted(mount, MountKind::Ssh);
        Self { issuance: issuance.filter(|_| is_here) }
    }

    /// Signs a key. Policies are asked about each principal.
    ///
    /// # Errors
    /// See [`SshError`].
    pub async fn sign(
        &self,
        context: &RequestContext,
        caller: &Caller,
        wanted: Wanted,
    ) -> Result<SshIssued, SshError> {
        let issuance = self.issuance.ok_or(SshError::NotConfigured)?;
        let Wanted { role, public_key, kind, principals, ttl, options } = wanted;
        let (context, identity) = (context.clone(), caller.identity().clone());
        let request =
            SshRequest { context, identity, role, public_key, kind, principals, ttl, options };
        issuance.sign_ssh(request).await
    }

    /// The CA's public key, as one line. It is public: every client may read it.
    pub fn public_key(&self, kind: Kind) -> Option<String> {
        self.issuance?.ssh_ca().map(|ca| ca.public_key(kind).line())
    }
}
