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
            let (record, _) = wrap_new(token, name).await?;
            // Another process that starts on the same store may have been first: then its key counts.
            match store.commit(Commit::new().check_absent(at.clone()).put(at.clone(), record)).await
            {
                Ok(_) | Err(CommitError::Conflict { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}

impl NewRoot {
    /// A random key, wrapped by the AES or RSA key `name` in a token; see [`RootKey::from_pkcs11`].
    ///
    /// # Errors
    /// As for that.
    pub async fn from_pkcs11(token: &Pkcs11Signer, name: &KeyName) -> Result<Self, RootKeyError> {
        let (record, key) = wrap_new(token, name).await?;
        // What the token does not unwrap again would be lost with the store.
        let unwrapped = unwrap(token, name, &record).await?;
        if unwrapped.bytes() != key.bytes() {
            return Err(unusable("the token unwraps another key than it wrapped".to_owned()));
        }
        Ok(Self { key, made_by: Some((names::WRAPPED_ROOT, record)) })
    }
}

async fn wrap_new(
    token: &Pkcs11Signer,
    name: &KeyName,
) -> Result<(Vec<u8>, RootKey), RootKeyError> {
    if !token.contains(name) {
        match token.generate_wrapping_key(name).await {
            Ok(()) | Err(GenerateError::Exists { .. }) => {}
            Err(error) => return Err(error.into()),
        }
    }
    let key = random_key().map_err(|_| RootKeyError::Randomness)?;
    let wrapped = token.wrap(name, Zeroizing::new(key.to_vec()), PURPOSE).await?;
    let record = Wrapped { version: 1, by: name.clone(), bytes: hex::encode(wrapped) };
    let record = serde_json::to_vec(&record).map_err(|error| unusable(error.to_string()))?;
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
