//! Encryption with keys in tokens: AES for short secrets, RSA for data that was encrypted to its public
//! half.

use zeroize::Zeroizing;

use crate::pkcs11::fault::Fault;
use crate::pkcs11::operations::envelope::{self, Envelope};
use crate::pkcs11::{Pkcs11Signer, dispatch};
use crate::pkcs11::{
    operations::{Operation, Outcome},
    pool::TokenPool,
};
use crate::software::{self, OaepError, OaepHash};
use crate::{KeyName, SignError, Signer as _, WrapError, wrapped};

impl Pkcs11Signer {
    /// Encrypts a short secret with a key in the token. It opens only with the same `aad`, which says what
    /// the secret is for.
    ///
    /// An AES-256 key encrypts the secret itself (AES-256-GCM, a random 96-bit nonce), so only somebody who
    /// may use the token can have made it. For an RSA key, a random AES-256 key encrypts the secret, and the
    /// AES key is encrypted to the token's key (RSA-OAEP, with SHA-256 if the token has it, otherwise
    /// SHA-1). Anybody with the public key can do that too.
    ///
    /// # Errors
    /// See [`WrapError`].
    pub async fn wrap(
        &self,
        name: &KeyName,
        plaintext: Zeroizing<Vec<u8>>,
        aad: &[u8],
    ) -> Result<Vec<u8>, WrapError> {
        if self.pools.iter().any(|pool| pool.keys.pair(name).is_ok()) {
            return self.enclose(name, &plaintext, aad).await;
        }
        let wrap = |pool: &TokenPool| {
            let key = pool.keys.wrapping(name)?;
            Ok(Operation::Wrap { key, plaintext: plaintext.clone(), aad: aad.to_vec() })
        };
        let mut wrapped =
            finished(name, dispatch::operate(&self.pools, self.deadline, wrap).await?)?;
        Ok(std::mem::take(&mut *wrapped))
    }

    /// Decrypts what [`wrap`](Self::wrap) made with the same key and `aad`.
    ///
    /// # Errors
    /// See [`WrapError`].
    pub async fn unwrap(
        &self,
        name: &KeyName,
        wrapped: &[u8],
        aad: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, WrapError> {
        if let Some(envelope) = Envelope::parse(wrapped) {
            let key = self.decrypt(name, envelope.hash, envelope.key).await?;
            return envelope
                .open(&key, aad)
                .ok_or_else(|| WrapError::Refused { key: name.clone() });
        }
        if wrapped::parts(wrapped).is_none() {
            return Err(WrapError::Malformed);
        }
        let unwrap = |pool: &TokenPool| {
            let key = pool.keys.wrapping(name)?;
            Ok(Operation::Unwrap { key, wrapped: wrapped.to_vec(), aad: aad.to_vec() })
        };
        finished(name, dispatch::operate(&self.pools, self.deadline, unwrap).await?)
    }

    /// Decrypts what was [encrypted](software::encrypt) to the public half of an RSA key in the token.
    ///
    /// # Errors
    /// See [`WrapError`]. A token that does not have the hash says so with a reason of its own.
    pub async fn decrypt(
        &self,
        name: &KeyName,
        hash: OaepHash,
        ciphertext: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, WrapError> {
        self.expect_one_key(name)?;
        let decrypt = |pool: &TokenPool| {
            let key = pool.keys.decrypting(name)?;
            Ok(Operation::Decrypt { key, hash, ciphertext: ciphertext.to_vec() })
        };
        finished(name, dispatch::operate(&self.pools, self.deadline, decrypt).await?)
    }

    /// Tries whether an RSA key decrypts with this hash. No attribute says so, and data that is encrypted
    /// with a hash that the key does not support is lost.
    ///
    /// # Errors
    /// Why it does not, or why it cannot be tried at the moment.
    pub async fn try_decryption(&self, name: &KeyName, hash: OaepHash) -> Result<(), WrapError> {
        const PROBE: &[u8] = b"does it decrypt?";
        let public = self.public_key(name)?;
        let probe = software::encrypt(&public, hash, PROBE).map_err(|error| unfit(name, error))?;
        if self.decrypt(name, hash, &probe).await?.as_slice() == PROBE {
            return Ok(());
        }
        Err(SignError::Mismatch { key: name.clone() }.into())
    }

    async fn enclose(
        &self,
        name: &KeyName,
        plaintext: &[u8],
        aad: &[u8],
    ) -> Result<Vec<u8>, WrapError> {
        let hash = match self.try_decryption(name, OaepHash::Sha256).await {
            // Tokens refuse the parameters, or decrypt with another hash than requested.
            Err(WrapError::Key(SignError::Failed { .. }) | WrapError::Refused { .. }) => {
                self.try_decryption(name, OaepHash::Sha1).await?;
                OaepHash::Sha1
            }
            tried => tried.map(|()| OaepHash::Sha256)?,
        };
        let enclosed = envelope::enclose(&self.public_key(name)?, hash, plaintext, aad);
        Ok(enclosed.map_err(|error| unfit(name, error))?)
    }
}

fn unfit(name: &KeyName, error: OaepError) -> SignError {
    SignError::Failed { key: name.clone(), reason: error.to_string() }
}

fn finished(name: &KeyName, outcome: Outcome) -> Result<Zeroizing<Vec<u8>>, WrapError> {
    outcome.map_err(|fault| match fault {
        Fault::NotAuthentic => WrapError::Refused { key: name.clone() },
        other => other.for_key(name).into(),
    })
}
