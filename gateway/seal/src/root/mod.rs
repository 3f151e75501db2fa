//! The root key, and the places that it can come from.

mod file;
mod passphrase;
mod pkcs11;

use std::path::{Path, PathBuf};

use aws_lc_rs::hmac;
use chancery_files::{Trusted, Untrusted};
use chancery_keys::KeyName;
use chancery_keys::WrapError;
use chancery_keys::pkcs11::GenerateError;
use chancery_store::{CommitError, InvalidKey, ReadError};
use zeroize::Zeroizing;

use crate::envelope::KEY_LEN;

/// The key that seals the tenants' keys. Wiped when dropped; never shown.
#[derive(Clone)]
pub struct RootKey {
    key: Zeroizing<[u8; KEY_LEN]>,
    origin: String,
}

impl RootKey {
    fn new(key: Zeroizing<[u8; KEY_LEN]>, origin: String) -> Self {
        Self { key, origin }
    }

    /// Where the key came from, for messages: a file's name or a key's, nothing secret.
    pub fn origin(&self) -> &str {
        &self.origin
    }

    /// What tells the key from others, 16 hexadecimal digits. It says nothing of the key.
    pub fn id(&self) -> String {
        let key = hmac::Key::new(hmac::HMAC_SHA256, self.bytes());
        let id = hmac::sign(&key, b"chancery root key id");
        hex::encode(id.as_ref().first_chunk::<8>().unwrap_or(&[0; 8]))
    }

    pub(crate) fn bytes(&self) -> &[u8; KEY_LEN] {
        &self.key
    }
}

/// A root key that is to take the place of another, and what the store has to keep so that it is found again.
#[derive(Debug)]
pub struct NewRoot {
    pub(crate) key: RootKey,
    /// The record that makes it, if it is not in a file.
    pub(crate) made_by: Option<(&'static str, Vec<u8>)>,
}

impl NewRoot {
    /// The key in a file, which is made if it is not there; see [`RootKey::from_file`] and [`RootKey::create_file`].
    ///
    /// # Errors
    /// As for those.
    pub fn from_file(path: &Path, trusted: &Trusted) -> Result<Self, RootKeyError> {
        let made = match RootKey::create_file(path) {
            Err(RootKeyError::Exists { .. }) => false,
            made => made.map(|_| true)?,
        };
        // Read as the gateway reads it: it would not start with a key in a folder where others may replace it.
        let read = RootKey::from_file(path, trusted);
        if read.is_err() && made {
            let removed = chancery_files::remove(path);
            if let Err(error) = removed {
                tracing::warn!(path = %path.display(), %error, "a root key that nothing is sealed with is left");
            }
        }
        Ok(Self { key: read?, made_by: None })
    }

    /// The key itself.
    pub fn key(&self) -> &RootKey {
        &self.key
    }

    /// The same, to open the store with.
    pub fn into_key(self) -> RootKey {
        self.key
    }
}

impl std::fmt::Debug for RootKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "RootKey(from {})", self.origin)
    }
}

/// Why there is no root key.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RootKeyError {
    /// The file cannot be read, or others may read or change it.
    #[error(transparent)]
    Untrusted(#[from] Untrusted),
    /// The file cannot be written.
    #[error("the file {} of the root key cannot be written: {reason}", path.display())]
    NotWritten {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        reason: String,
    },
    /// The file does not hold a key.
    #[error(
        "the file {} holds no root key: it must be 32 bytes, or 64 hexadecimal digits", path.display()
    )]
    Malformed {
        /// The file.
        path: PathBuf,
    },
    /// A key is not replaced by a new one.
    #[error("the file {} exists already; a root key is not overwritten", path.display())]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// The passphrase can be guessed.
    #[error(
        "the passphrase in {} has {len} bytes; at least {least} are needed", path.display()
    )]
    ShortPassphrase {
        /// The file.
        path: PathBuf,
        /// How many bytes there are.
        len: usize,
        /// How many there must be.
        least: usize,
    },
    /// What the store says about the making of the root key is not acceptable.
    #[error("the record {key} cannot be used: {reason}")]
    Record {
        /// The record.
        key: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// The root key is wrapped by another key than the one that is configured.
    #[error(
        "the root key of this store is wrapped by the key `{stored}` of the token, not by \
         `{configured}`: configure the former"
    )]
    OtherKey {
        /// The key that wrapped it.
        stored: KeyName,
        /// The key that should unwrap it.
        configured: KeyName,
    },
    /// The token does not wrap or unwrap.
    #[error("the root key cannot be unwrapped by the token: {0}")]
    Token(#[from] WrapError),
    /// The token makes no key to wrap with.
    #[error(transparent)]
    Generate(#[from] GenerateError),
    /// The store cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The store cannot be written.
    #[error(transparent)]
    Commit(#[from] CommitError),
    /// The system gives no randomness.
    #[error("the system gives no randomness for a root key")]
    Randomness,
}

impl From<InvalidKey> for RootKeyError {
    fn from(error: InvalidKey) -> Self {
        Self::Read(error.into())
    }
}
