//! Derives the root key from a passphrase with PBKDF2 (RFC 8018).

use std::num::NonZeroU32;
use std::path::Path;

use aws_lc_rs::pbkdf2;
use chancery_files::Trusted;
use chancery_store::{Commit, CommitError, Key, Store};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::file::MOST_BYTES;
use super::{NewRoot, RootKey, RootKeyError};
use crate::envelope::KEY_LEN;
use crate::names;

/// The shortest passphrase, in bytes.
const LEAST_BYTES: usize = 14;

/// Iterations for new stores. OWASP's recommendation for this function is 210,000.
const ITERATIONS: u32 = 600_000;

/// A record with more was not written by us, and would keep the start waiting.
const MOST_ITERATIONS: u32 = 100_000_000;

const SALT_LEN: usize = 32;

const FUNCTION: &str = "pbkdf2-hmac-sha512";

/// How the passphrase becomes a key; nothing secret. Kept in the inner store, in the clear.
#[derive(Serialize, Deserialize)]
struct Derivation {
    version: u32,
    function: String,
    iterations: u32,
    /// Hexadecimal.
    salt: String,
}

impl RootKey {
    /// The key that the passphrase in the file `path` gives for this store, by PBKDF2 with
    /// HMAC-SHA-512 (RFC 8018 §5.2). A line end behind the passphrase is not part of it; nobody may
    /// change or read the file but those who are trusted to. `store` is the inner store, which keeps the
    /// salt. Takes some tenths of a second of computing, on a thread that may block.
    ///
    /// # Errors
    /// [`RootKeyError`]; that the passphrase is another one is found out by
    /// [`Barrier::open`](crate::Barrier::open).
    pub async fn from_passphrase_file(
        path: &Path,
        trusted: &Trusted,
        store: &dyn Store,
    ) -> Result<Self, RootKeyError> {
        let passphrase = read(path, trusted)?;
        derived(path, passphrase, derivation(store).await?).await
    }
}

impl NewRoot {
    /// The key that the passphrase in a file gives with a new salt; see [`RootKey::from_passphrase_file`].
    ///
    /// # Errors
    /// As for that.
    pub async fn from_passphrase_file(
        path: &Path,
        trusted: &Trusted,
    ) -> Result<Self, RootKeyError> {
        let passphrase = read(path, trusted)?;
        let record = fresh()?;
        let key = derived(path, passphrase, parse(&record)?).await?;
        Ok(Self { key, made_by: Some((names::PASSPHRASE, record)) })
    }
}

fn read(path: &Path, trusted: &Trusted) -> Result<Zeroizing<Vec<u8>>, RootKeyError> {
    let content = trusted.read_secret(path, MOST_BYTES)?;
    let line = content.strip_suffix(b"\n").unwrap_or(&content);
    let passphrase = Zeroizing::new(line.strip_suffix(b"\r").unwrap_or(line).to_vec());
    if passphrase.len() < LEAST_BYTES {
        let (len, least) = (passphrase.len(), LEAST_BYTES);
        return Err(RootKeyError::ShortPassphrase { path: path.to_owned(), len, least });
    }
    Ok(passphrase)
}

async fn derived(
    path: &Path,
    passphrase: Zeroizing<Vec<u8>>,
    (iterations, salt): (NonZeroU32, [u8; SALT_LEN]),
) -> Result<RootKey, RootKeyError> {
    let derive = move || {
        let mut key = Zeroizing::new([0; KEY_LEN]);
        let function = pbkdf2::PBKDF2_HMAC_SHA512;
        pbkdf2::derive(function, iterations, &salt, &passphrase, key.as_mut());
        key
    };
    let key = tokio::task::spawn_blocking(derive)
        .await
        .map_err(|error| unusable(format!("the key cannot be derived: {error}")))?;
    Ok(RootKey::new(key, format!("the passphrase in {}", path.display())))
}

/// The parameters that the store keeps; a new store gets them.
async fn derivation(store: &dyn Store) -> Result<(NonZeroU32, [u8; SALT_LEN]), RootKeyError> {
    let at = Key::new(names::PASSPHRASE)?;
    loop {
        if let Some(record) = store.get(&at).await? {
            return parse(&record.value);
        }
        let first = Commit::new().check_absent(at.clone()).put(at.clone(), fresh()?);
        match store.commit(first).await {
            Ok(_) | Err(CommitError::Conflict { .. }) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// A record with a new salt.
fn fresh() -> Result<Vec<u8>, RootKeyError> {
    let mut salt = [0; SALT_LEN];
    aws_lc_rs::rand::fill(&mut salt).map_err(|_| RootKeyError::Randomness)?;
    let derivation = Derivation {
        version: 1,
        function: FUNCTION.to_owned(),
        iterations: ITERATIONS,
        salt: hex::encode(salt),
    };
    serde_json::to_vec(&derivation).map_err(|error| unusable(error.to_string()))
}

fn parse(record: &[u8]) -> Result<(NonZeroU32, [u8; SALT_LEN]), RootKeyError> {
    let found: Derivation =
        serde_json::from_slice(record).map_err(|error| unusable(error.to_string()))?;
    if found.version != 1 || found.function != FUNCTION {
        let (version, function) = (found.version, found.function);
        return Err(unusable(format!("version {version}, function {function} are not known")));
    }
    // Fewer would make a changed record a way to weaken the key.
    if !(ITERATIONS..=MOST_ITERATIONS).contains(&found.iterations) {
        return Err(unusable(format!("{} iterations are not acceptable", found.iterations)));
    }
    let mut salt = [0; SALT_LEN];
    hex::decode_to_slice(&found.salt, &mut salt).map_err(|error| unusable(error.to_string()))?;
    let iterations =
        NonZeroU32::new(found.iterations).ok_or_else(|| unusable("no iterations".to_owned()))?;
    Ok((iterations, salt))
}

fn unusable(reason: String) -> RootKeyError {
    RootKeyError::Record { key: names::PASSPHRASE, reason }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use chancery_store::memory::MemoryStore;

    use super::*;

    async fn key(passphrase: &str, store: &MemoryStore) -> Result<RootKey, RootKeyError> {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("passphrase");
        std::fs::write(&path, passphrase).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        RootKey::from_passphrase_file(&path, &Trusted::process(), store).await
    }

    #[tokio::test]
    async fn depends_on_the_passphrase_and_the_store_and_on_nothing_else() {
        let (store, other_store) = (MemoryStore::new(), MemoryStore::new());
        let one = key("correct horse battery", &store).await.unwrap();
        let again = key("correct horse battery\r\n", &store).await.unwrap();
        let other = key("correct horse batterx", &store).await.unwrap();
        let elsewhere = key("correct horse battery", &other_store).await.unwrap();
        assert_eq!(one.bytes(), again.bytes());
        assert_ne!(one.bytes(), other.bytes());
        assert_ne!(one.bytes(), elsewhere.bytes());
    }

    #[tokio::test]
    async fn a_short_one_is_refused() {
        let refused = key("0123456789abc\n", &MemoryStore::new()).await.unwrap_err();
        assert!(matches!(refused, RootKeyError::ShortPassphrase { len: 13, .. }), "{refused:?}");
        assert!(!refused.to_string().contains("0123"), "{refused}");
    }

    #[tokio::test]
    async fn a_record_that_weakens_the_key_is_refused() {
        let salt = "00".repeat(SALT_LEN);
        for (function, iterations, salt) in [
            (FUNCTION, 1, &salt[..]),
            (FUNCTION, ITERATIONS - 1, &salt),
            (FUNCTION, u32::MAX, &salt),
            (FUNCTION, ITERATIONS, "00"),
            ("md5", ITERATIONS, &salt),
        ] {
            let store = MemoryStore::new();
            let record = format!(
                r#"{{"version":1,"function":"{function}","iterations":{iterations},"salt":"{salt}"}}"#
            );
            let at = Key::new(names::PASSPHRASE).unwrap();
            store.commit(Commit::new().put(at, record)).await.unwrap();
            let refused = key("correct horse battery", &store).await.unwrap_err();
            assert!(refused.to_string().contains(names::PASSPHRASE), "{refused}");
        }
    }

    /// Against an implementation that is not ours:
    /// `hashlib.pbkdf2_hmac("sha512", b"correct horse battery", bytes(32), 600000, 32)` in Python.
    #[tokio::test]
    async fn is_pbkdf2() {
        let store = MemoryStore::new();
        let record = format!(
            r#"{{"version":1,"function":"{FUNCTION}","iterations":600000,"salt":"{}"}}"#,
            "00".repeat(SALT_LEN)
        );
        let at = Key::new(names::PASSPHRASE).unwrap();
        store.commit(Commit::new().put(at, record)).await.unwrap();
        let key = key("correct horse battery", &store).await.unwrap();
        assert_eq!(
            hex::encode(key.bytes()),
            "901c3a39fa1fb17783f229355b2499727dca848168c7eb076e65a1b668d3aed9"
        );
    }
}
