//! Makes and verifies message authentication codes (HMAC).

use chancery_access::Caller;
use chancery_identity::RequestContext;
use chancery_x509::Sha2;

use super::cost::{Cost, Work};
use super::error::{Each, add};
use super::signing::usable;
use super::storage::Loaded;
use super::{Transit, TransitError, TransitKeyName, TransitKeyType, VersionedText};

impl Transit<'_> {
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
    ) -> Result<Each<VersionedText>, TransitError> {
        let count = messages.len();
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
                    Ok(Ok(VersionedText::new(version, signer.mac(name, hash, message)?)))
                };
                messages.iter().map(mac).collect()
            });
            made.await
        };
        let made = made.await;
        using.allowed.finish_each(count, made).await
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
    ) -> Result<Each<bool>, TransitError> {
        let count = made.len();
        let using =
            self.find(context, caller, "crypto.verify-mac", name, |_| mac_facts(hash)).await?;
        let verified = async {
            let Loaded { key, .. } = mac_key(using.found)?;
            let bytes = made.iter().map(|(message, _)| message.len());
            Cost::of_batch(bytes.map(|bytes| Cost::of(&key, Work::Symmetric, bytes)))?;
            let layout = self.layout(&context.tenant);
            let mut verified = Vec::with_capacity(made.len());
            for (message, mac) in made {
                if let Err(error) = key.reading(mac.version) {
                    add(&mut verified, Err(error))?;
                    continue;
                }
                let held = self.custody()?.hold(self.store(), &layout, &key, mac.version).await?;
                let is_right = held.in_software(move |signer, name| {
                    Ok(signer.verify_mac(name, hash, &message, &mac.bytes)?)
                });
                add(&mut verified, is_right.await)?;
            }
            Ok(verified)
        };
        let verified = verified.await;
        using.allowed.finish_each(count, verified).await
    }
}

fn mac_key(found: Result<Loaded, TransitError>) -> Result<Loaded, TransitError> {
    let loaded = usable(found)?;
    if loaded.key.key_type == TransitKeyType::Hmac {
        return Ok(loaded);
    }
    Err(TransitError::Refused("only keys of type hmac make and verify HMACs".into()))
}

fn mac_facts(hash: Sha2) -> Vec<(String, String)> {
    let algorithm = match hash {
        Sha2::Sha256 => "hmac-sha256",
        Sha2::Sha384 => "hmac-sha384",
        Sha2::Sha512 => "hmac-sha512",
    };
    vec![("algorithm".to_owned(), algorithm.to_owned())]
}
