//! Encrypts, decrypts and rewraps with a transit key, and makes data keys.

use chancery_access::Caller;
use chancery_identity::RequestContext;
use chancery_keys::software::{self, OaepHash};
use zeroize::Zeroizing;

use super::cost::{Cost, Work};
use super::error::add;
use super::storage::Loaded;
use super::{
    Each, Protection, Transit, TransitError, TransitKey, TransitKeyName, TransitKeyType,
    VersionedText,
};

/// Something to be encrypted or decrypted, and what it is bound to.
#[derive(Clone)]
pub struct Encryption<T> {
    /// The plaintext, or the ciphertext.
    pub text: T,
    /// Must be the same for both; not secret. Keys of type RSA have none.
    pub associated: Vec<u8>,
    /// The hash in OAEP, for keys of type RSA.
    pub hash: OaepHash,
    /// The version of the key that is to encrypt, if not the latest. To decrypt, the ciphertext says it.
    pub version: Option<u64>,
}

/// A fresh key for somebody's data.
pub struct DataKey {
    /// The key.
    pub plaintext: Zeroizing<Vec<u8>>,
    /// The same, encrypted.
    pub ciphertext: VersionedText,
}

impl Transit<'_> {
    /// Encrypts each, `crypto.encrypt`, with the latest version or the one that it asks for.
    ///
    /// # Errors
    /// See [`TransitError`]; then nothing was encrypted. What is wrong with one of several stands in its
    /// place.
    pub async fn encrypt(
        &self,
        context: &RequestContext,
        caller: &Caller,
        name: &TransitKeyName,
        items: &[Encryption<Zeroizing<Vec<u8>>>],
    ) -> Result<Each<VersionedText>, TransitError> {
        let facts = |key: &TransitKey| vec![algorithm(key, items.first().map(|item| item.hash))];
        let using = self.find(context, caller, "crypto.encrypt", name, facts).await?;
        let encrypted = self.encrypted(context, using.found, items).await;
        using.allowed.finish_each(items.len(), encrypted).await
    }

    async fn encrypted(
        &self,
        context: &RequestContext,
        found: Result<Loaded, TransitError>,
        items: &[Encryption<Zeroizing<Vec<u8>>>],
    ) -> Result<Each<VersionedText>, TransitError> {
        let Loaded { key, .. } = usable(found)?;
        let cost = |item: &Encryption<Zeroizing<Vec<u8>>>| encrypting(&key, item.text.len());
        Cost::of_batch(items.iter().map(cost))?;
        let mut encrypted = Vec::with_capacity(items.len());
        let mut spent = Cost::default();
        for item in items {
            add(&mut encrypted, self.encrypt_one(context, &key, item).await)?;
            pause(&mut spent, cost(item)).await;
        }
        Ok(encrypted)
    }

    async fn encrypt_one(
        &self,
        context: &RequestContext,
        key: &TransitKey,
        item: &Encryption<Zeroizing<Vec<u8>>>,
    ) -> Result<VersionedText, TransitError> {
        let version = key.making(item.version)?;
        if key.key_type.is_rsa() {
            no_associated(item)?;
            if key.protection == Protection::Hsm {
                let layout = self.layout(&context.tenant);
                let held = self.custody()?.hold(self.store(), &layout, key, version).await?;
                held.expect_decryption(item.hash).await?;
            }
            let public = key.version(version)?.public_key();
            let public = public.ok_or_else(|| TransitError::Broken("no public half".to_owned()))?;
            let encrypted = software::encrypt(&public, item.hash, &item.text)?;
            return Ok(VersionedText::new(version, encrypted));
        }
        let layout = self.layout(&context.tenant);
        let held = self.custody()?.hold(self.store(), &layout, key, version).await?;
        let encrypted = held.encrypt(&item.text, &item.associated).await?;
        Ok(VersionedText::new(version, encrypted))
    }

    /// Decrypts, `crypto.decrypt`, each ciphertext with the version that made it.
    ///
    /// # Errors
    /// See [`TransitError`]. What is wrong with one of several ciphertexts stands in its place.
    pub async fn decrypt(
        &self,
        context: &RequestContext,
        caller: &Caller,
        name: &TransitKeyName,
        items: &[Encryption<VersionedText>],
    ) -> Result<Each<Zeroizing<Vec<u8>>>, TransitError> {
        let facts = |key: &TransitKey| vec![algorithm(key, items.first().map(|item| item.hash))];
        let using = self.find(context, caller, "crypto.decrypt", name, facts).await?;
        let decrypted = match usable(using.found) {
            Ok(Loaded { key, .. }) => self.decrypted(context, &key, items).await,
            Err(error) => Err(error),
        };
        using.allowed.finish_each(items.len(), decrypted).await
    }

    async fn decrypted(
        &self,
        context: &RequestContext,
        key: &TransitKey,
        items: &[Encryption<VersionedText>],
    ) -> Result<Each<Zeroizing<Vec<u8>>>, TransitError> {
        let cost = |item: &Encryption<VersionedText>| decrypting(key, item.text.bytes.len());
        Cost::of_batch(items.iter().map(cost))?;
        let mut decrypted = Vec::with_capacity(items.len());
        let mut spent = Cost::default();
        for item in items {
            add(&mut decrypted, self.decrypt_one(context, key, item).await)?;
            pause(&mut spent, cost(item)).await;
        }
        Ok(decrypted)
    }

    async fn decrypt_one(
        &self,
        context: &RequestContext,
        key: &TransitKey,
        item: &Encryption<VersionedText>,
    ) -> Result<Zeroizing<Vec<u8>>, TransitError> {
        key.reading(item.text.version)?;
        let layout = self.layout(&context.tenant);
        let held = self.custody()?.hold(self.store(), &layout, key, item.text.version).await?;
        if key.key_type.is_rsa() {
            no_associated(item)?;
            return held.decrypt_rsa(item.hash, item.text.bytes.clone()).await;
        }
        held.decrypt(&item.text.bytes, &item.associated).await
    }

    /// Encrypts anew, `crypto.rewrap`, what an earlier version encrypted; nobody sees the plaintext.
    ///
    /// # Errors
    /// As for [`decrypt`](Self::decrypt).
    pub async fn rewrap(
        &self,
        context: &RequestContext,
        caller: &Caller,
        name: &TransitKeyName,
        items: &[Encryption<VersionedText>],
    ) -> Result<Each<VersionedText>, TransitError> {
        let facts = |key: &TransitKey| vec![algorithm(key, items.first().map(|item| item.hash))];
        let using = self.find(context, caller, "crypto.rewrap", name, facts).await?;
        let rewrapped = self.rewrapped(context, using.found, items).await;
        using.allowed.finish_each(items.len(), rewrapped).await
    }

    async fn rewrapped(
        &self,
        context: &RequestContext,
        found: Result<Loaded, TransitError>,
        items: &[Encryption<VersionedText>],
    ) -> Result<Each<VersionedText>, TransitError> {
        let Loaded { key, .. } = usable(found)?;
        let cost = |item: &Encryption<VersionedText>| {
            let mut cost = decrypting(&key, item.text.bytes.len());
            cost += encrypting(&key, item.text.bytes.len());
            cost
        };
        Cost::of_batch(items.iter().map(cost))?;
        let mut rewrapped = Vec::with_capacity(items.len());
        let mut spent = Cost::default();
        for item in items {
            let anew = match self.decrypt_one(context, &key, item).await {
                Ok(text) => {
                    let Encryption { associated, hash, version, .. } = item.clone();
                    let item = Encryption { text, associated, hash, version };
                    self.encrypt_one(context, &key, &item).await
                }
                Err(error) => Err(error),
            };
            add(&mut rewrapped, anew)?;
            pause(&mut spent, cost(item)).await;
        }
        Ok(rewrapped)
    }

    /// Makes a key of so many bytes for the caller's own encryption, `crypto.make-data-key`, and encrypts it,
    /// with `hash` in OAEP if the key is of type RSA. With `shown` false, the caller gets it encrypted only and the policies are told `shown=false`.
    ///
    /// # Errors
    /// See [`TransitError`].
    pub async fn make_data_key(
        &self,
        context: &RequestContext,
        caller: &Caller,
        name: &TransitKeyName,
        bytes: usize,
        hash: OaepHash,
        shown: bool,
    ) -> Result<DataKey, TransitError> {
        let facts = |key: &TransitKey| {
            vec![algorithm(key, Some(hash)), ("shown".to_owned(), shown.to_string())]
        };
        let using = self.find(context, caller, "crypto.make-data-key", name, facts).await?;
        let made = async {
            let plaintext = software::generate_secret(bytes).ok_or_else(|| {
                TransitError::Making("the system gives no random numbers".to_owned())
            })?;
            let text = plaintext.clone();
            let item = Encryption { text, associated: vec![], hash, version: None };
            let Loaded { key, .. } = usable(using.found)?;
            let ciphertext = self.encrypt_one(context, &key, &item).await?;
            Ok(DataKey { plaintext, ciphertext })
        };
        let made = made.await;
        using.allowed.detail("shown", shown).finish(made).await
    }
}

/// A key that is there, may be used now, and encrypts.
fn usable(found: Result<Loaded, TransitError>) -> Result<Loaded, TransitError> {
    let loaded = found.map_err(|error| match error {
        TransitError::NotFound => TransitError::NoKey("encryption"),
        error => error,
    })?;
    loaded.key.expect_enabled()?;
    if loaded.key.key_type.encrypts() {
        return Ok(loaded);
    }
    let key_type = loaded.key.key_type;
    Err(TransitError::Refused(format!("keys of type {key_type} do not encrypt").into()))
}

fn encrypting(key: &TransitKey, bytes: usize) -> Cost {
    Cost::of(key, if key.key_type.is_rsa() { Work::Public } else { Work::Symmetric }, bytes)
}

fn decrypting(key: &TransitKey, bytes: usize) -> Cost {
    Cost::of(key, if key.key_type.is_rsa() { Work::Private } else { Work::Symmetric }, bytes)
}

/// Lets others have the async thread now and then: each item is short, many are not.
async fn pause(spent: &mut Cost, cost: Cost) {
    *spent += cost;
    if spent.is_long() {
        *spent = Cost::default();
        tokio::task::yield_now().await;
    }
}

fn no_associated<T>(item: &Encryption<T>) -> Result<(), TransitError> {
    if item.associated.is_empty() {
        return Ok(());
    }
    Err(TransitError::Refused("RSA keys take no associated_data".into()))
}

fn algorithm(key: &TransitKey, hash: Option<OaepHash>) -> (String, String) {
    let algorithm = match (key.key_type, hash.unwrap_or_default()) {
        (TransitKeyType::Pair(_), OaepHash::Sha1) => "rsa-oaep-sha1",
        (TransitKeyType::Pair(_), OaepHash::Sha256) => "rsa-oaep-sha256",
        (TransitKeyType::Pair(_), OaepHash::Sha384) => "rsa-oaep-sha384",
        (TransitKeyType::Pair(_), OaepHash::Sha512) => "rsa-oaep-sha512",
        (other, _) => other.as_str(),
    };
    ("algorithm".to_owned(), algorithm.to_owned())
}
