//! Signing keys, named and never passed around.
//!
//! A [`Signer`] holds keys and signs with them by [`KeyName`]; nobody else ever sees a private key.
//! [`software`] keeps them in this process's memory, [`pkcs11`] leaves them in a token (an HSM) and
//! reaches it through a pool of sessions. The two have the same file names inside.

mod error;
mod key_type;
mod metrics;
mod name;
pub mod pkcs11;
pub mod software;
mod wrapped;

pub use error::{SignError, WrapError};
pub use key_type::{KeyType, UnknownKeyType};
pub use name::{InvalidKeyName, KeyName};
pub use wrapped::FORMAT_AES_GCM;

use std::pin::Pin;

use chancery_x509::{PublicKey, SignatureAlgorithm};

/// A future that borrows from its maker; what makes [`Signer`] usable as a trait object.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Holds private keys and signs with them by name.
pub trait Signer: Send + Sync {
    /// Signs `message` (hashing included) with the key called `key`. The signature is in the form
    /// that X.509 wants: ECDSA as a DER `Ecdsa-Sig-Value` (RFC 3279 §2.2.3), RSA and Ed25519 as raw
    /// bytes.
    ///
    /// Must be awaited inside a tokio runtime. Dropping the future gives up waiting; it does not
    /// interrupt a token that is already at work.
    ///
    /// # Errors
    /// See [`SignError`]. Nothing that does not verify against the public key is ever returned.
    fn sign<'a>(
        &'a self,
        key: &'a KeyName,
        algorithm: SignatureAlgorithm,
        message: &'a [u8],
    ) -> BoxFuture<'a, Result<Vec<u8>, SignError>>;

    /// The public half of the key called `key`. Answers from memory.
    ///
    /// # Errors
    /// [`SignError::UnknownKey`] or [`SignError::Ambiguous`].
    fn public_key(&self, key: &KeyName) -> Result<PublicKey, SignError>;

    /// Where the keys are, for logs and metrics: `software` or `pkcs11`.
    fn kind(&self) -> &'static str;
}
