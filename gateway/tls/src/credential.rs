//! The gateway's own certificate chain with its private key, which can be replaced while it is in use.

use std::sync::Arc;

use arc_swap::ArcSwap;
use chancery_keys::{KeyName, Signer};
use chancery_x509::ParsedCertificate;
use rustls::crypto::aws_lc_rs::sign::any_supported_type;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::{CertifiedKey, SigningKey};
use zeroize::Zeroizing;

use crate::held_key::HeldKey;
use crate::metrics;

/// What the gateway shows and proves about itself: a certificate chain and its private key, which
/// belong together. A key that is in memory should be short-lived.
#[derive(Clone)]
pub struct Credential {
    key: Arc<CertifiedKey>,
    leaf: Arc<ParsedCertificate>,
    /// Whether somebody else has the key, and is waited for.
    is_held: bool,
}

/// Why a credential cannot be used. The one in use stays in use.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CredentialError {
    /// There is not even one certificate.
    #[error("the server certificate's chain is empty")]
    Empty,
    /// The first certificate cannot be read.
    #[error("the server certificate cannot be read: {0}")]
    Certificate(#[source] chancery_x509::CertificateError),
    /// The key is not an unencrypted PKCS#8 key of a supported type, or its holder does not have it.
    #[error(
        "the server certificate's private key is not an unencrypted PKCS#8 key of type ECDSA, RSA \
         or Ed25519, or its holder does not have it"
    )]
    Key,
    /// The certificate is for another key.
    #[error("the server certificate and its private key do not belong together")]
    Mismatch,
}

impl Credential {
    /// A credential from a chain of DER certificates, the server's own first and the root left out,
    /// and the private key in unencrypted PKCS#8 DER (RFC 5958).
    ///
    /// # Errors
    /// See [`CredentialError`].
    pub fn new(chain: Vec<Vec<u8>>, pkcs8: &Zeroizing<Vec<u8>>) -> Result<Self, CredentialError> {
        let pkcs8 = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(pkcs8.as_slice()));
        let key = any_supported_type(&pkcs8).map_err(|_| CredentialError::Key)?;
        Self::certified(chain, key, false)
    }

    /// The same with a key that this holder has under this name, as an HSM does. It signs once in each
    /// handshake that is not a resumption, and needs a runtime with several threads.
    ///
    /// # Errors
    /// See [`CredentialError`].
    pub fn held(
        chain: Vec<Vec<u8>>,
        holder: Arc<dyn Signer>,
        name: KeyName,
    ) -> Result<Self, CredentialError> {
        let public = holder.public_key(&name).map_err(|_| CredentialError::Key)?;
        Self::certified(chain, Arc::new(HeldKey::new(holder, name, public)), true)
    }

    fn certified(
        chain: Vec<Vec<u8>>,
        key: Arc<dyn SigningKey>,
        is_held: bool,
    ) -> Result<Self, CredentialError> {
        let first = chain.first().ok_or(CredentialError::Empty)?;
        let leaf = ParsedCertificate::from_der(first).map_err(CredentialError::Certificate)?;
        let chain = chain.into_iter().map(CertificateDer::from).collect();
        let key = CertifiedKey::new(chain, key);
        key.keys_match().map_err(|_| CredentialError::Mismatch)?;
        Ok(Self { key: Arc::new(key), leaf: Arc::new(leaf), is_held })
    }

    /// The server's own certificate.
    pub fn certificate(&self) -> &ParsedCertificate {
        &self.leaf
    }
}

impl std::fmt::Debug for Credential {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Credential")
            .field("serial", self.leaf.serial())
            .field("not_after", &self.leaf.not_after())
            .finish_non_exhaustive()
    }
}

/// The credential in use. Handshakes take it as it is when they need it.
#[derive(Debug)]
pub(crate) struct Current(ArcSwap<Credential>);

impl Current {
    pub(crate) fn new(credential: Credential) -> Self {
        metrics::credential_expires(credential.leaf.not_after());
        Self(ArcSwap::from_pointee(credential))
    }

    /// Whether handshakes wait for somebody who has the key.
    pub(crate) fn is_held(&self) -> bool {
        self.0.load().is_held
    }

    pub(crate) fn replace(&self, credential: Credential) {
        metrics::credential_expires(credential.leaf.not_after());
        let leaf = &credential.leaf;
        tracing::info!(serial = %leaf.serial(), not_after = %leaf.not_after(), "the server certificate was replaced");
        self.0.store(Arc::new(credential));
    }
}

impl ResolvesServerCert for Current {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0.load().key))
    }
}
