use std::collections::BTreeMap;

use chancery_access::Caller;
use chancery_identity::RequestContext;
use chancery_keys::KeyType;
use chancery_keys::software::Sha2;
use chancery_x509::{SignatureAlgorithm, ecdsa};

use super::cost::{Cost, Work};
use super::storage::Loaded;
use super::{Transit, TransitError, TransitKey, TransitKeyName, TransitKeyType, VersionedText};

/// How messages are signed. What is none is as usual for the type of key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Signing {
    /// With which hash: the one as strong as the curve for ECDSA, else SHA-256. Ed25519 and ML-DSA have
    /// their own.
    pub hash: Option<Sha2>,
    /// With which padding, for RSA: PSS.
    pub padding: Option<Padding>,
    /// How signatures of ECDSA are written.
    pub marshaling: Marshaling,
}

/// How RSA pads what it signs (RFC 8017 §8).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Padding {
    /// RSASSA-PSS with a salt as long as the hash.
    Pss,
    /// RSASSA-PKCS1-v1_5.
    Pkcs1v15,
}

/// How a signature of ECDSA is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Marshaling {
    /// As in X.509: two DER integers.
    #[default]
    Asn1,
    /// As in JOSE: r and s side by side (RFC 7518 §3.4), and base64 of its kind for all types of key.
    Jws,
}

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
        let using = self.find(context, caller, "crypto.sign", name, |key| facts(key, how)).await?;
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

    /// Whether each signature is one of its message, `crypto.verify`, by the version that made it.
    ///
    /// # Errors
    /// See [`TransitError`].
    pub async fn verify(
        &self,
        context: &RequestContext,
        caller: &Caller,
        name: &TransitKeyName,
        how: Signing,
        signed: Vec<(Vec<u8>, VersionedText)>,
    ) -> Result<Vec<bool>, TransitError> {
        let count = signed.len() as u64;
        let using =
            self.find(context, caller, "crypto.verify", name, |key| facts(key, how)).await?;
        let verified = self.verified(using.found, how, signed).await;
        using.allowed.detail("count", count).finish(verified).await
    }

    async fn verified(
        &self,
        found: Result<Loaded, TransitError>,
        how: Signing,
        signed: Vec<(Vec<u8>, VersionedText)>,
    ) -> Result<Vec<bool>, TransitError> {
        let Loaded { key, .. } = usable(found)?;
        let algorithm = algorithm(key.key_type, how)?;
        let costs = signed.iter().map(|(message, _)| Cost::of(&key, Work::Public, message.len()));
        let cost = Cost::of_batch(costs)?;
        let verify = move || {
            let mut ready = BTreeMap::new();
            let mut verified = Vec::with_capacity(signed.len());
            for (message, VersionedText { version, bytes, .. }) in &signed {
                if !ready.contains_key(version) {
                    let public = key.reading(*version)?.public_key();
                    let missing = || TransitError::Broken("no public half".to_owned());
                    ready.insert(*version, public.ok_or_else(missing)?);
                }
                let signature = how.marshaling.read(key.key_type, bytes);
                let is_right =
                    ready.get(version).zip(signature).is_some_and(|(public, signature)| {
                        public.verify(algorithm, message, &signature).is_ok()
                    });
                verified.push(is_right);
            }
            Ok(verified)
        };
        self.custody()?.compute(cost, verify).await
    }

    /// The message authentication code of each message: `crypto.mac`.
    ///
    /// # Errors
    /// See [`TransitError`].
    pub async fn mac(
        &self,
        context: &RequestContext,
        caller: &Caller,
        name: &TransitKeyName,
        version: Option<u64>,
        hash: Sha2,
        messages: Vec<Vec<u8>>,
    ) -> Result<Vec<VersionedText>, TransitError> {
        let count = messages.len() as u64;
        let using = self.find(context, caller, "crypto.mac", name, |_| mac_facts(hash)).await?;
        let made = async {
            let Loaded { key, .. } = mac_key(using.found)?;
            let version = key.making(version)?;
            let bytes = messages.iter().map(Vec::len);
            Cost::of_batch(bytes.map(|bytes| Cost::of(&key, Work::Symmetric, bytes)))?;
            let layout = self.layout(&context.tenant);
            let held = self.custody()?.hold(self.store(), &layout, &key, version).await?;
            let made = held.in_software(move |signer, name| {
                let mac = |message: &Vec<u8>| {
                    Ok(VersionedText::new(version, signer.mac(name, hash, message)?))
                };
                messages.iter().map(mac).collect()
            });
            made.await
        };
        let made = made.await;
        using.allowed.detail("count", count).finish(made).await
    }

    /// Whether each code is that of its message: `crypto.verify-mac`.
    ///
    /// # Errors
    /// See [`TransitError`].
    pub async fn verify_mac(
        &self,
        context: &RequestContext,
        caller: &Caller,
        name: &TransitKeyName,
        hash: Sha2,
        made: Vec<(Vec<u8>, VersionedText)>,
    ) -> Result<Vec<bool>, TransitError> {
        let count = made.len() as u64;
        let using =
            self.find(context, caller, "crypto.verify-mac", name, |_| mac_facts(hash)).await?;
        let verified = async {
            let Loaded { key, .. } = mac_key(using.found)?;
            let bytes = made.iter().map(|(message, _)| message.len());
            Cost::of_batch(bytes.map(|bytes| Cost::of(&key, Work::Symmetric, bytes)))?;
            let layout = self.layout(&context.tenant);
            let mut verified = Vec::with_capacity(made.len());
            for (message, mac) in made {
                key.reading(mac.version)?;
                let held = self.custody()?.hold(self.store(), &layout, &key, mac.version).await?;
                let is_right = held.in_software(move |signer, name| {
                    Ok(signer.verify_mac(name, hash, &message, &mac.bytes)?)
                });
                verified.push(is_right.await?);
            }
            Ok(verified)
        };
        let verified = verified.await;
        using.allowed.detail("count", count).finish(verified).await
    }
}

impl Marshaling {
    fn write(
        self,
        key_type: TransitKeyType,
        version: u64,
        signature: Vec<u8>,
    ) -> Result<VersionedText, TransitError> {
        if self == Self::Asn1 {
            return Ok(VersionedText::new(version, signature));
        }
        let signature = match order_bytes(key_type) {
            Some(length) => ecdsa::fixed_from_der(&signature, length)
                .ok_or_else(|| TransitError::Broken("no signature of ECDSA".to_owned()))?,
            None => signature,
        };
        Ok(VersionedText::new(version, signature).url_safe())
    }

    /// The signature in the form of X.509; none if it is none.
    fn read(self, key_type: TransitKeyType, signature: &[u8]) -> Option<Vec<u8>> {
        match (self, order_bytes(key_type)) {
            (Self::Jws, Some(length)) => {
                ecdsa::der_from_fixed(signature).filter(|_| signature.len() == length * 2)
            }
            _ => Some(signature.to_vec()),
        }
    }
}

/// Length of the numbers in a signature of ECDSA.
fn order_bytes(key_type: TransitKeyType) -> Option<usize> {
    match key_type {
        TransitKeyType::Pair(KeyType::EcdsaP256) => Some(32),
        TransitKeyType::Pair(KeyType::EcdsaP384) => Some(48),
        TransitKeyType::Pair(KeyType::EcdsaP521) => Some(66),
        _ => None,
    }
}

/// A key that is there and may be used now.
fn usable(found: Result<Loaded, TransitError>) -> Result<Loaded, TransitError> {
    let loaded = found.map_err(|error| match error {
        TransitError::NotFound => TransitError::NoKey("signing"),
        error => error,
    })?;
    loaded.key.expect_enabled()?;
    Ok(loaded)
}

fn mac_key(found: Result<Loaded, TransitError>) -> Result<Loaded, TransitError> {
    let loaded = usable(found)?;
    if loaded.key.key_type == TransitKeyType::Hmac {
        return Ok(loaded);
    }
    Err(TransitError::Refused("only keys of type hmac make and verify HMACs".into()))
}

fn facts(key: &TransitKey, how: Signing) -> Vec<(String, String)> {
    let algorithm = algorithm(key.key_type, how).map(SignatureAlgorithm::as_str);
    vec![("algorithm".to_owned(), algorithm.unwrap_or("none").to_owned())]
}

fn mac_facts(hash: Sha2) -> Vec<(String, String)> {
    let algorithm = match hash {
        Sha2::Sha256 => "hmac-sha256",
        Sha2::Sha384 => "hmac-sha384",
        Sha2::Sha512 => "hmac-sha512",
    };
    vec![("algorithm".to_owned(), algorithm.to_owned())]
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

#[cfg(test)]
mod tests {
    use super::*;
    use SignatureAlgorithm as A;

    #[test]
    fn each_type_of_key_has_its_algorithms() {
        let of = |pair: KeyType, hash, padding| {
            let how = Signing { hash, padding, marshaling: Marshaling::Asn1 };
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
}
