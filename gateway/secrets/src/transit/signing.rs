//! Signs messages and verifies signatures with transit keys.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use chancery_access::Caller;
use chancery_identity::RequestContext;
use chancery_x509::{PssSalt, Sha2, SignatureAlgorithm};

use super::cost::{Cost, Work};
use super::error::{Each, add};
use super::storage::Loaded;
use super::verification::Verification;
use super::{
    Padding, Signing, Transit, TransitError, TransitKey, TransitKeyName, TransitKeyType,
    VersionedText,
};

impl Transit<'_> {
    /// Signs each message, `crypto.sign`, with the latest version or the one that is asked for.
    ///
    /// # Errors
    /// See [`TransitError`]; then there is no signature at all.
    pub async fn sign(
        &self,
        context: &RequestContext,
        caller: &Caller,
        name: &TransitKeyName,
        version: Option<u64>,
        how: Signing,
        messages: Vec<Vec<u8>>,
    ) -> Result<Vec<VersionedText>, TransitError> {
        let count = messages.len() as u64;
        let facts = |key: &TransitKey| {
            let algorithm = algorithm(key.key_type, how).map(SignatureAlgorithm::as_str);
            vec![("algorithm".to_owned(), algorithm.unwrap_or("none").to_owned())]
        };
        let using = self.find(context, caller, "crypto.sign", name, facts).await?;
        let signed = self.signed(context, using.found, version, how, messages).await;
        using.allowed.detail("count", count).finish(signed).await
    }

    async fn signed(
        &self,
        context: &RequestContext,
        found: Result<Loaded, TransitError>,
        version: Option<u64>,
        how: Signing,
        messages: Vec<Vec<u8>>,
    ) -> Result<Vec<VersionedText>, TransitError> {
        let Loaded { key, .. } = usable(found)?;
        let algorithm = algorithm(key.key_type, how)?;
        let version = key.making(version)?;
        let costs = messages.iter().map(|message| Cost::of(&key, Work::Private, message.len()));
        let cost = Cost::of_batch(costs)?;
        let layout = self.layout(&context.tenant);
        let held = self.custody()?.hold(self.store(), &layout, &key, version).await?;
        let signatures = held.sign_all(algorithm, messages, cost).await?;
        let write = |signature| how.marshaling.write(key.key_type, version, signature);
        signatures.into_iter().map(write).collect()
    }

    /// Whether each signature is one of its message, `crypto.verify`, by the version that made it. More
    /// verifies than is signed here: ECDSA with each hash, PSS with salts of any length.
    ///
    /// # Errors
    /// See [`TransitError`]. What is wrong with one of several stands in its place.
    pub async fn verify(
        &self,
        context: &RequestContext,
        caller: &Caller,
        name: &TransitKeyName,
        how: Signing,
        signed: Vec<(Vec<u8>, VersionedText)>,
    ) -> Result<Each<bool>, TransitError> {
        let count = signed.len();
        let facts = |key: &TransitKey| {
            let verification = Verification::of(key.key_type, how).map(|found| found.name(key));
            vec![("algorithm".to_owned(), verification.unwrap_or_else(|_| "none".to_owned()))]
        };
        let using = self.find(context, caller, "crypto.verify", name, facts).await?;
        let verified = self.verified(using.found, how, signed).await;
        using.allowed.finish_each(count, verified).await
    }

    async fn verified(
        &self,
        found: Result<Loaded, TransitError>,
        how: Signing,
        signed: Vec<(Vec<u8>, VersionedText)>,
    ) -> Result<Each<bool>, TransitError> {
        let Loaded { key, .. } = usable(found)?;
        let verification = Verification::of(key.key_type, how)?;
        let work = verification.work();
        let costs = signed.iter().map(|(message, _)| Cost::of(&key, work, message.len()));
        let cost = Cost::of_batch(costs)?;
        let verify = move || {
            let mut ready = BTreeMap::new();
            let mut verified = Vec::with_capacity(signed.len());
            for (message, VersionedText { version, bytes, .. }) in &signed {
                let public = match ready.entry(*version) {
                    Entry::Occupied(ready) => ready.into_mut(),
                    Entry::Vacant(free) => match key.reading(*version) {
                        Ok(version) => {
                            let missing = || TransitError::Broken("no public half".to_owned());
                            free.insert(version.public_key().ok_or_else(missing)?)
                        }
                        Err(error) => {
                            add(&mut verified, Err(error))?;
                            continue;
                        }
                    },
                };
                let signature = how.marshaling.read(key.key_type, bytes);
                verified.push(Ok(signature
                    .is_some_and(|signature| verification.holds(public, message, &signature))));
            }
            Ok(verified)
        };
        self.custody()?.compute(cost, verify).await
    }
}

/// A key that is there and may be used now.
pub(super) fn usable(found: Result<Loaded, TransitError>) -> Result<Loaded, TransitError> {
    let loaded = found.map_err(|error| match error {
        TransitError::NotFound => TransitError::NoKey("signing"),
        error => error,
    })?;
    loaded.key.expect_enabled()?;
    Ok(loaded)
}

/// The algorithm that is asked for, if keys of this type sign with it.
fn algorithm(key_type: TransitKeyType, how: Signing) -> Result<SignatureAlgorithm, TransitError> {
    let refused = |why: String| Err(TransitError::Refused(why.into()));
    let TransitKeyType::Pair(pair) = key_type else {
        return refused(format!("keys of type {key_type} do not sign"));
    };
    let usual = pair.default_algorithm();
    let (hash, only) = match usual {
        SignatureAlgorithm::EcdsaP256Sha256 => (Sha2::Sha256, "sha2-256"),
        SignatureAlgorithm::EcdsaP384Sha384 => (Sha2::Sha384, "sha2-384"),
        SignatureAlgorithm::EcdsaP521Sha512 => (Sha2::Sha512, "sha2-512"),
        SignatureAlgorithm::RsaPkcs1Sha256 => {
            let hash = how.hash.unwrap_or(Sha2::Sha256);
            return match (how.padding.unwrap_or(Padding::Pss), hash) {
                (Padding::Pss, Sha2::Sha256) if !fits_hash(how.salt) => {
                    refused("salt_length must be hash or auto: the salt is as long as that".into())
                }
                (Padding::Pss, Sha2::Sha256) => Ok(SignatureAlgorithm::RsaPssSha256),
                (Padding::Pss, _) => refused(
                    "RSA keys sign with sha2-256 under pss: ask for that, or for pkcs1v15".into(),
                ),
                (Padding::Pkcs1v15, Sha2::Sha256) => Ok(SignatureAlgorithm::RsaPkcs1Sha256),
                (Padding::Pkcs1v15, Sha2::Sha384) => Ok(SignatureAlgorithm::RsaPkcs1Sha384),
                (Padding::Pkcs1v15, Sha2::Sha512) => Ok(SignatureAlgorithm::RsaPkcs1Sha512),
            };
        }
        // They have their own.
        usual => return Ok(usual),
    };
    match how.hash {
        Some(other) if other != hash => refused(format!("keys of type {pair} sign with {only}")),
        _ => Ok(usual),
    }
}

/// Whether a salt as long as SHA-256 will do. For other kinds of signature it means nothing.
fn fits_hash(salt: PssSalt) -> bool {
    matches!(salt, PssSalt::Any | PssSalt::Hash | PssSalt::Bytes(32))
}

#[cfg(test)]
mod tests {
    use chancery_keys::KeyType;

    use super::*;
    use SignatureAlgorithm as A;

    #[test]
    fn each_type_of_key_has_its_algorithms() {
        let of = |pair: KeyType, hash, padding| {
            let how = Signing { hash, padding, ..Signing::default() };
            algorithm(TransitKeyType::Pair(pair), how).ok()
        };
        for (pair, hash, padding, expected) in [
            (KeyType::EcdsaP384, None, None, Some(A::EcdsaP384Sha384)),
            (KeyType::EcdsaP384, Some(Sha2::Sha384), None, Some(A::EcdsaP384Sha384)),
            (KeyType::EcdsaP384, Some(Sha2::Sha256), None, None),
            (KeyType::Rsa2048, None, None, Some(A::RsaPssSha256)),
            (KeyType::Rsa2048, Some(Sha2::Sha512), None, None),
            (
                KeyType::Rsa2048,
                Some(Sha2::Sha512),
                Some(Padding::Pkcs1v15),
                Some(A::RsaPkcs1Sha512),
            ),
            (KeyType::Ed25519, Some(Sha2::Sha256), None, Some(A::Ed25519)),
            (KeyType::MlDsa65, None, None, Some(A::MlDsa65)),
        ] {
            assert_eq!(of(pair, hash, padding), expected, "{pair} {hash:?} {padding:?}");
        }
        assert!(algorithm(TransitKeyType::Aes256Gcm96, Signing::default()).is_err());
    }

    #[test]
    fn a_salt_is_as_long_as_the_hash_and_means_nothing_without_pss() {
        for (salt, fits) in [
            (PssSalt::Any, true),
            (PssSalt::Hash, true),
            (PssSalt::Bytes(32), true),
            (PssSalt::Bytes(0), false),
            (PssSalt::Bytes(222), false),
        ] {
            let how = Signing { salt, ..Signing::default() };
            let of = |pair| algorithm(TransitKeyType::Pair(pair), how).is_ok();
            assert_eq!(of(KeyType::Rsa2048), fits, "{salt:?}");
            assert!(of(KeyType::EcdsaP256) && of(KeyType::Ed25519), "{salt:?}");
            let how = Signing { padding: Some(Padding::Pkcs1v15), ..how };
            assert!(algorithm(TransitKeyType::Pair(KeyType::Rsa2048), how).is_ok(), "{salt:?}");
        }
    }
}
