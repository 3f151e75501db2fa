//! Signs TLS handshakes with a key that an HSM or another holder has.

use std::sync::Arc;

use chancery_keys::{KeyName, Signer as KeyHolder};
use chancery_x509::{KeyAlgorithm, PublicKey, SignatureAlgorithm as Algorithm};
use rustls::pki_types::SubjectPublicKeyInfoDer;
use rustls::sign::{Signer, SigningKey};
use rustls::{Error, SignatureAlgorithm, SignatureScheme as Scheme};
use tokio::runtime::{Handle, RuntimeFlavor};

/// A key that somebody else holds, such as an HSM, and that is asked for a signature in each handshake.
///
/// rustls wants signatures at once, and a token takes its time: the thread that does the handshake hands its
/// other tasks to another thread first, so that no worker of the runtime ever waits for the token.
pub(crate) struct HeldKey {
    holder: Arc<dyn KeyHolder>,
    name: KeyName,
    public: PublicKey,
}

/// A key with the way to sign that a client and it agree on.
struct Agreed {
    holder: Arc<dyn KeyHolder>,
    name: KeyName,
    scheme: Scheme,
    algorithm: Algorithm,
}

impl HeldKey {
    pub(crate) fn new(holder: Arc<dyn KeyHolder>, name: KeyName, public: PublicKey) -> Self {
        Self { holder, name, public }
    }
}

impl SigningKey for HeldKey {
    fn choose_scheme(&self, offered: &[Scheme]) -> Option<Box<dyn Signer>> {
        let possible = schemes(self.public.algorithm());
        let (scheme, algorithm) = possible.iter().find(|(scheme, _)| offered.contains(scheme))?;
        Some(Box::new(Agreed {
            holder: Arc::clone(&self.holder),
            name: self.name.clone(),
            scheme: *scheme,
            algorithm: *algorithm,
        }))
    }

    fn public_key(&self) -> Option<SubjectPublicKeyInfoDer<'_>> {
        Some(SubjectPublicKeyInfoDer::from(self.public.spki_der()))
    }

    fn algorithm(&self) -> SignatureAlgorithm {
        match self.public.algorithm() {
            KeyAlgorithm::Rsa { .. } => SignatureAlgorithm::RSA,
            KeyAlgorithm::Ed25519 => SignatureAlgorithm::ED25519,
            // That of ML-DSA has no number: it is for TLS 1.2, which does not have it.
            _ => SignatureAlgorithm::ECDSA,
        }
    }
}

/// In which ways a key signs handshakes (RFC 8446 §4.2.3), the best first.
fn schemes(key: KeyAlgorithm) -> &'static [(Scheme, Algorithm)] {
    match key {
        KeyAlgorithm::EcdsaP256 => &[(Scheme::ECDSA_NISTP256_SHA256, Algorithm::EcdsaP256Sha256)],
        KeyAlgorithm::EcdsaP384 => &[(Scheme::ECDSA_NISTP384_SHA384, Algorithm::EcdsaP384Sha384)],
        KeyAlgorithm::EcdsaP521 => &[(Scheme::ECDSA_NISTP521_SHA512, Algorithm::EcdsaP521Sha512)],
        KeyAlgorithm::Ed25519 => &[(Scheme::ED25519, Algorithm::Ed25519)],
        KeyAlgorithm::Rsa { .. } => &[
            (Scheme::RSA_PSS_SHA256, Algorithm::RsaPssSha256),
            (Scheme::RSA_PKCS1_SHA256, Algorithm::RsaPkcs1Sha256),
        ],
        KeyAlgorithm::MlDsa44 => &[(Scheme::ML_DSA_44, Algorithm::MlDsa44)],
        KeyAlgorithm::MlDsa65 => &[(Scheme::ML_DSA_65, Algorithm::MlDsa65)],
        KeyAlgorithm::MlDsa87 => &[(Scheme::ML_DSA_87, Algorithm::MlDsa87)],
    }
}

impl Signer for Agreed {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, Error> {
        let failed = |why: &dyn std::fmt::Display| Error::General(why.to_string());
        let runtime = Handle::try_current().map_err(|error| failed(&error))?;
        if runtime.runtime_flavor() == RuntimeFlavor::CurrentThread {
            return Err(failed(&"a held key needs a runtime with several threads"));
        }
        let signature = tokio::task::block_in_place(|| {
            runtime.block_on(self.holder.sign(&self.name, self.algorithm, message))
        });
        signature.map_err(|error| {
            tracing::warn!(%error, key = %self.name, "a handshake fails for want of a signature");
            failed(&"the key's holder did not sign")
        })
    }

    fn scheme(&self) -> Scheme {
        self.scheme
    }
}

impl std::fmt::Debug for HeldKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("HeldKey").field("name", &self.name).finish_non_exhaustive()
    }
}

impl std::fmt::Debug for Agreed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { name, scheme, .. } = self;
        f.debug_struct("Agreed").field("name", name).field("scheme", scheme).finish_non_exhaustive()
    }
}
