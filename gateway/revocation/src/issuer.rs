//! The CAs whose CRLs and answers count: the trusted one, and those below it that clients have shown.

use std::sync::{Arc, Mutex, PoisonError};

use chancery_identity::CaId;
use chancery_x509::{ParsedCertificate, PublicKey};

/// How many CAs below a trusted one are remembered; the ones seen first go first.
const MOST: usize = 64;

/// A CA with its certificate.
#[derive(Debug)]
pub(crate) struct Issuer {
    pub(crate) id: CaId,
    pub(crate) certificate: ParsedCertificate,
}

/// Those that are known.
#[derive(Debug)]
pub(crate) struct Issuers {
    trusted: Vec<Arc<Issuer>>,
    /// What these sign counts for certificates that name them as their issuers, and for no others, so it does
    /// no harm to remember one.
    below: Mutex<Vec<Arc<Issuer>>>,
}

impl Issuer {
    pub(crate) fn new(certificate: ParsedCertificate) -> Self {
        let key = certificate.public_key().map(PublicKey::spki_der).unwrap_or_default();
        Self { id: CaId::new(certificate.subject_der(), key), certificate }
    }
}

impl Issuers {
    pub(crate) fn new(trusted: Vec<Arc<Issuer>>) -> Self {
        Self { trusted, below: Mutex::default() }
    }

    /// Whether it is trusted, and not only below one that is.
    pub(crate) fn trusts(&self, id: CaId) -> bool {
        self.trusted.iter().any(|issuer| issuer.id == id)
    }

    pub(crate) fn knows(&self, id: CaId) -> bool {
        self.trusts(id) || self.below().iter().any(|issuer| issuer.id == id)
    }

    pub(crate) fn find(&self, id: CaId) -> Option<Arc<Issuer>> {
        let is_it = |issuer: &&Arc<Issuer>| issuer.id == id;
        self.trusted
            .iter()
            .find(is_it)
            .cloned()
            .or_else(|| self.below().iter().find(is_it).cloned())
    }

    /// All of them. Several may have one name, with different keys.
    pub(crate) fn all(&self) -> Vec<Arc<Issuer>> {
        self.trusted.iter().chain(self.below().iter()).cloned().collect()
    }

    /// Whether it was not known before.
    pub(crate) fn learn(&self, issuer: Issuer) -> bool {
        let mut below = self.below();
        let known = |all: &[Arc<Issuer>]| all.iter().any(|other| other.id == issuer.id);
        if known(&self.trusted) || known(&below) {
            return false;
        }
        if below.len() >= MOST {
            below.remove(0);
        }
        below.push(Arc::new(issuer));
        true
    }

    fn below(&self) -> std::sync::MutexGuard<'_, Vec<Arc<Issuer>>> {
        // Nothing in it can be half done.
        self.below.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
