//! Signs, encrypts and decrypts with one version of a key, in software or in the HSM.

use std::sync::Arc;

use chancery_compute::Compute;
use chancery_keys::pkcs11::Pkcs11Signer;
use chancery_keys::software::{OaepHash, SoftwareSigner};
use chancery_keys::{FORMAT_AES_GCM, KeyName, SignError, Signer, WrapError};
use chancery_x509::SignatureAlgorithm;
use quick_cache::sync::Cache;
use zeroize::Zeroizing;

use super::TransitError;
use super::cost::Cost;

/// A version of a key, ready to be used.
pub(super) struct Held {
    pub(super) name: KeyName,
    pub(super) holder: Holder,
    pub(super) compute: Compute,
}

/// Of RSA keys in the HSM: the hashes with which they were seen to decrypt.
pub(super) type Decrypts = Cache<(KeyName, OaepHash), ()>;

pub(super) enum Holder {
    Software(Arc<SoftwareSigner>),
    Token { token: Arc<Pkcs11Signer>, decrypts: Arc<Decrypts> },
}

impl Held {
    /// Signs each message, which costs this much altogether, in the form of X.509.
    pub(super) async fn sign_all(
        &self,
        algorithm: SignatureAlgorithm,
        messages: Vec<Vec<u8>>,
        cost: Cost,
    ) -> Result<Vec<Vec<u8>>, TransitError> {
        let mut signed = Vec::with_capacity(messages.len());
        match &self.holder {
            Holder::Token { token, .. } => {
                for message in &messages {
                    signed.push(token.sign(&self.name, algorithm, message).await?);
                }
            }
            Holder::Software(_) if cost.is_long() => {
                let sign = move |signer: &SoftwareSigner, name: &KeyName| {
                    let sign = |message: &Vec<u8>| signer.sign_here(name, algorithm, message);
                    Ok(messages.iter().map(sign).collect::<Result<_, _>>()?)
                };
                return self.in_software(sign).await;
            }
            Holder::Software(signer) => {
                for message in &messages {
                    signed.push(signer.sign(&self.name, algorithm, message).await?);
                }
            }
        }
        Ok(signed)
    }

    /// Encrypts with AES-256-GCM: nonce, ciphertext, tag.
    pub(super) async fn encrypt(
        &self,
        plaintext: &Zeroizing<Vec<u8>>,
        associated: &[u8],
    ) -> Result<Vec<u8>, TransitError> {
        let mut wrapped = match &self.holder {
            Holder::Software(signer) => signer.wrap(&self.name, plaintext, associated)?,
            Holder::Token { token, .. } => {
                token.wrap(&self.name, plaintext.clone(), associated).await?
            }
        };
        // The first byte is the format's, which Vault does not have.
        wrapped.drain(..1);
        Ok(wrapped)
    }

    /// Undoes [`encrypt`](Self::encrypt).
    pub(super) async fn decrypt(
        &self,
        ciphertext: &[u8],
        associated: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, TransitError> {
        let wrapped = [&[FORMAT_AES_GCM], ciphertext].concat();
        Ok(match &self.holder {
            Holder::Software(signer) => signer.unwrap(&self.name, &wrapped, associated)?,
            Holder::Token { token, .. } => token.unwrap(&self.name, &wrapped, associated).await?,
        })
    }

    /// Decrypts with an RSA key (RSA-OAEP).
    pub(super) async fn decrypt_rsa(
        &self,
        hash: OaepHash,
        ciphertext: Vec<u8>,
    ) -> Result<Zeroizing<Vec<u8>>, TransitError> {
        match &self.holder {
            Holder::Token { token, .. } => {
                let opened = token.decrypt(&self.name, hash, &ciphertext).await;
                opened.map_err(|error| unfit(error, hash))
            }
            Holder::Software(_) => {
                self.in_software(move |signer, name| Ok(signer.decrypt(name, hash, &ciphertext)?))
                    .await
            }
        }
    }

    /// Makes sure that what is encrypted to an RSA key will decrypt: not every HSM has every hash, and
    /// encryption does not ask it.
    pub(super) async fn expect_decryption(&self, hash: OaepHash) -> Result<(), TransitError> {
        let Holder::Token { token, decrypts } = &self.holder else { return Ok(()) };
        let trying = async {
            token.try_decryption(&self.name, hash).await.map_err(|error| unfit(error, hash))
        };
        decrypts.get_or_insert_async(&(self.name.clone(), hash), trying).await
    }

    /// Does something that only keys in software do, on a thread that may be busy for long.
    pub(super) async fn in_software<T: Send + 'static>(
        &self,
        work: impl FnOnce(&SoftwareSigner, &KeyName) -> Result<T, TransitError> + Send + 'static,
    ) -> Result<T, TransitError> {
        let Holder::Software(signer) = &self.holder else {
            return Err(TransitError::Refused(
                "keys in the HSM sign, and encrypt with AES and RSA; for anything else use software".into(),
            ));
        };
        let (signer, name) = (signer.clone(), self.name.clone());
        self.compute.run(move || work(&signer, &name)).await?
    }
}

/// Not every HSM has every hash.
fn unfit(error: WrapError, hash: OaepHash) -> TransitError {
    let WrapError::Key(SignError::Failed { reason, .. }) = error else { return error.into() };
    let said = format!(
        "this key in the HSM does not decrypt RSA-OAEP with {hash} ({reason}): try another hash_function"
    );
    TransitError::Refused(said.into())
}
