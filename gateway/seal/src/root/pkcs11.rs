//! Makes, wraps and unwraps the root key with a key in a PKCS#11 token.

use chancery_keys::KeyName;
use chancery_keys::pkcs11::{GenerateError, Pkcs11Signer};
use chancery_store::{Commit, CommitError, Key, Store};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::{NewRoot, RootKey, RootKeyError};
use crate::envelope::KEY_LEN;
use crate::keyring::random_key;
use crate::names;

/// What the root key is bound to when it is wrapped.
const PURPOSE: &[u8] = b"chancery root key";

/// The root key as the inner store keeps it.
#[derive(Serialize, Deserialize)]
struct Wrapped {
    version: u32,
    /// The token's key that wrapped it.
    by: KeyName,
    /// What the token made of it, hexadecimal.
    bytes: String,
}

impl RootKey {
    /// The root key of this store, unwrapped by the AES or RSA key `name` in a token. For a new
    /// store a random root key is made and kept in `store` (the inner one), wrapped by that key; an AES
    /// key is made if the token has none of that name. Without the token the store cannot be read: back the token up.
    ///
    /// # Errors
    /// See [`RootKeyError`].
    pub async fn from_pkcs11(
        token: &Pkcs11Signer,
        name: &KeyName,
        store: &dyn Store,
    ) -> Result<Self, RootKeyError> {
        let at = Key::new(names::WRAPPED_ROOT)?;
        loop {
            if let Some(record) = store.get(&at).await? {
                return unwrap(token, name, &record.value).await;
            }
            with_wrapping_key(token, name, async || {
                let (record, _) = wrap_new(token, name).await?;
                let commit = Commit::new().check_absent(at.clone()).put(at.clone(), record);
                match store.commit(commit).await {
                    // Another process that starts on the same store may have been first: then its key counts.
                    Ok(_) | Err(CommitError::Conflict { .. }) => Ok(()),
                    Err(error) => Err(error.into()),
                }
            })
            .await?;
        }
    }
}

impl NewRoot {
    /// A random key, wrapped by the AES or RSA key `name` in a token; see [`RootKey::from_pkcs11`].
    ///
    /// # Errors
    /// As for that.
    pub async fn from_pkcs11(token: &Pkcs11Signer, name: &KeyName) -> Result<Self, RootKeyError> {
        let made = with_wrapping_key(token, name, async || wrap_new(token, name).await).await;
        let (record, key) = made?;
        Ok(Self { key, made_by: Some((names::WRAPPED_ROOT, record)) })
    }
}

/// Does something with the wrapping key, which is made if the token has none. One that was made for what then fails
/// does not stay in the token, unless something may have been kept that it wraps.
async fn with_wrapping_key<T>(
    token: &Pkcs11Signer,
    name: &KeyName,
    work: impl AsyncFnOnce() -> Result<T, RootKeyError>,
) -> Result<T, RootKeyError> {
    let made = !token.contains(name)
        && match token.generate_wrapping_key(name).await {
            Ok(()) => true,
            Err(GenerateError::Exists { .. }) => false,
            Err(error) => return Err(error.into()),
        };
    let done = work().await;
    let kept = matches!(done, Ok(_) | Err(RootKeyError::Commit(CommitError::Unavailable(_))));
    if made
        && !kept
        && let Err(error) = token.destroy(name).await
    {
        tracing::warn!(%error, key = %name, "a key that wraps nothing stays in the token");
    }
    done
}

/// A random key, and the record that keeps it.
async fn wrap_new(
    token: &Pkcs11Signer,
    name: &KeyName,
) -> Result<(Vec<u8>, RootKey), RootKeyError> {
    let key = random_key().map_err(|_| RootKeyError::Randomness)?;
    let wrapped = token.wrap(name, Zeroizing::new(key.to_vec()), PURPOSE).await?;
    let record = Wrapped { version: 1, by: name.clone(), bytes: hex::encode(wrapped) };
    let record = serde_json::to_vec(&record).map_err(|error| unusable(error.to_string()))?;
    // What the token does not unwrap again would be lost with the store.
    let unwrapped = unwrap(token, name, &record).await?;
    if unwrapped.bytes()[..] != key[..] {
        return Err(unusable("the token unwraps another key than it wrapped".to_owned()));
    }
    Ok((record, RootKey::new(key, origin(name))))
}

fn origin(name: &KeyName) -> String {
    format!("the token's key `{name}`")
}

async fn unwrap(
    token: &Pkcs11Signer,
    name: &KeyName,
    record: &[u8],
) -> Result<RootKey, RootKeyError> {
    let found: Wrapped =
        serde_json::from_slice(record).map_err(|error| unusable(error.to_string()))?;
    if found.version != 1 {
        return Err(unusable(format!("version {} is not known", found.version)));
    }
    if found.by != *name {
        return Err(RootKeyError::OtherKey { stored: found.by, configured: name.clone() });
    }
    let wrapped = hex::decode(&found.bytes).map_err(|error| unusable(error.to_string()))?;
    let unwrapped = token.unwrap(name, &wrapped, PURPOSE).await?;
    let mut key = Zeroizing::new([0; KEY_LEN]);
    if unwrapped.len() != KEY_LEN {
        return Err(unusable(format!("what is wrapped has {} bytes", unwrapped.len())));
    }
    key.copy_from_slice(&unwrapped);
    Ok(RootKey::new(key, origin(name)))
}

fn unusable(reason: String) -> RootKeyError {
    RootKeyError::Record { key: names::WRAPPED_ROOT, reason }
}
