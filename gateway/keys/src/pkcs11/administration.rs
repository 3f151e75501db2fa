//! What is done with a token but using its keys: making some, and looking at all.

use std::sync::Arc;

use chancery_x509::{PublicKey, SignatureAlgorithm};
use cryptoki::object::Attribute;
use cryptoki::session::Session;
use zeroize::Zeroizing;

use crate::pkcs11::code::Code;
use crate::pkcs11::locks::lock;
use crate::pkcs11::objects::directory::Entry;
use crate::pkcs11::objects::{generate, inspection};
use crate::pkcs11::pool::TokenPool;
use crate::pkcs11::{
    Brought, DestroyError, GenerateError, InspectError, Pkcs11Signer, TokenKey, Usage, import,
};
use crate::software::OaepHash;
use crate::{KeyName, KeyType, Signer};

/// What a key that was brought in is tried with.
const PROBE: &[u8] = b"is this the key?";

impl Pkcs11Signer {
    /// All private and secret keys of the tokens that can be reached, as the tokens describe them; also
    /// those that the gateway does not use.
    ///
    /// # Errors
    /// A token could not be asked.
    pub async fn inspect(&self) -> Result<Vec<TokenKey>, InspectError> {
        let (admin, pools) = (Arc::clone(&self.admin), self.pools.clone());
        let inspecting = tokio::task::spawn_blocking(move || {
            let mut found = Vec::new();
            let open = lock(&admin);
            for pool in pools.iter().filter(|pool| *open && pool.health.is_up()) {
                let token = pool.token.selector();
                let failed = |reason: &dyn std::fmt::Display| InspectError {
                    token: token.value().to_owned(),
                    reason: reason.to_string(),
                };
                // In a session slot's lock, so that the module is not initialised anew meanwhile.
                let _slot = lock(&pool.admin);
                let session = pool.token.open_session().map_err(|fault| failed(&fault))?;
                let is_usable = |label: &str| {
                    label.parse().is_ok_and(|name| {
                        pool.keys.pair(&name).is_ok() || pool.keys.wrapping(&name).is_ok()
                    })
                };
                let keys = inspection::keys(&session, token, is_usable);
                found.extend(keys.map_err(|error| failed(&Code(&error)))?);
            }
            Ok(found)
        });
        inspecting.await.unwrap_or_else(|error| {
            Err(InspectError { token: "of this gateway".to_owned(), reason: error.to_string() })
        })
    }

    /// Makes a key pair that signs and does nothing else in the first token that can be used, with the
    /// name as its label and a random `CKA_ID`. The private half is sensitive and not extractable: to have
    /// it in other tokens too is a matter of the vendor's tools. RSA may take many seconds on a real HSM.
    ///
    /// # Errors
    /// See [`GenerateError`].
    pub async fn generate(
        &self,
        name: &KeyName,
        key_type: KeyType,
    ) -> Result<PublicKey, GenerateError> {
        self.generate_for(name, key_type, Usage::SIGN).await
    }

    /// [Makes a key pair](Self::generate) for another use than signing.
    ///
    /// # Errors
    /// See [`GenerateError`].
    pub async fn generate_for(
        &self,
        name: &KeyName,
        key_type: KeyType,
        usage: Usage,
    ) -> Result<PublicKey, GenerateError> {
        let wanted = name.clone();
        let make = move |session: &_, pool: &TokenPool| {
            let token = pool.token.selector();
            let key = generate::key_pair(session, token, &wanted, key_type, usage)?;
            let public = key.public.clone();
            Ok((Entry::Pair(Arc::new(key)), public))
        };
        self.make(name, key_type.as_str(), make).await
    }

    /// Makes an AES-256 key in the first token that can be used, for [`wrap`](Self::wrap) and [`unwrap`](Self::unwrap).
    ///
    /// # Errors
    /// See [`GenerateError`].
    pub async fn generate_wrapping_key(&self, name: &KeyName) -> Result<(), GenerateError> {
        let wanted = name.clone();
        let make = move |session: &_, _: &TokenPool| {
            let key = generate::wrapping_key(session, &wanted)?;
            Ok((Entry::Wrapping(Arc::new(key)), ()))
        };
        self.make(name, "aes-256", make).await
    }

    /// Brings a key pair into the first token that can be used, where the private half cannot be read or
    /// taken out, for a usage that includes signing. What is in this process's memory meanwhile is wiped.
    ///
    /// # Errors
    /// See [`GenerateError`]; the halves do not belong together, or the token takes no such keys.
    pub async fn import(
        &self,
        name: &KeyName,
        private: impl Into<Brought>,
        public: &PublicKey,
        usage: Usage,
    ) -> Result<(), GenerateError> {
        let (wanted, half, brought) = (name.clone(), public.clone(), private.into());
        let make = move |session: &_, pool: &TokenPool| {
            let key = import::key_pair(session, pool, &wanted, &brought, &half, usage)?;
            Ok((Entry::Pair(Arc::new(key)), ()))
        };
        self.make(name, "brought in", make).await?;
        // No signature leaves that does not verify, so this tells whether the halves belong together.
        let algorithm = SignatureAlgorithm::default_for(public.algorithm());
        let signed = self.sign(name, algorithm, PROBE).await;
        self.keep_if(name, signed.map(drop).map_err(|error| error.to_string())).await
    }

    /// Brings an AES-256 key into the first token that can be used, for [`wrap`](Self::wrap) and
    /// [`unwrap`](Self::unwrap).
    ///
    /// # Errors
    /// See [`GenerateError`].
    pub async fn import_wrapping_key(
        &self,
        name: &KeyName,
        secret: impl Into<Brought>,
    ) -> Result<(), GenerateError> {
        let (wanted, brought) = (name.clone(), secret.into());
        let make = move |session: &_, pool: &TokenPool| {
            let key = import::wrapping_key(session, pool, &wanted, &brought)?;
            Ok((Entry::Wrapping(Arc::new(key)), ()))
        };
        self.make(name, "brought in", make).await?;
        let wrapped = self.wrap(name, Zeroizing::new(PROBE.to_vec()), &[]).await;
        self.keep_if(name, wrapped.map(drop).map_err(|error| error.to_string())).await
    }

    /// Keeps a key that was brought in only if it can be used.
    async fn keep_if(
        &self,
        name: &KeyName,
        proof: Result<(), String>,
    ) -> Result<(), GenerateError> {
        let Err(reason) = proof else { return Ok(()) };
        if let Err(error) = self.destroy(name).await {
            tracing::warn!(%error, "a key that cannot be used stays in the token");
        }
        Err(GenerateError::token(name, "brought in", &reason))
    }

    /// Removes every object with this label from every token: a key's two halves. Nothing brings it back. A
    /// key that no token holds is removed already.
    ///
    /// # Errors
    /// A token refused, or cannot be reached, and one that cannot may hold the key: ask again later.
    pub async fn destroy(&self, name: &KeyName) -> Result<(), DestroyError> {
        let (admin, pools, key) = (Arc::clone(&self.admin), self.pools.clone(), name.clone());
        let removing = tokio::task::spawn_blocking(move || {
            let open = lock(&admin);
            if !*open {
                return Err("the signer is shut down".to_owned());
            }
            for pool in &pools {
                if let Some(reason) = pool.trouble() {
                    return Err(reason);
                }
                let _slot = lock(&pool.admin);
                let session = pool.token.open_admin_session().map_err(|fault| fault.to_string())?;
                let label = key.as_str().as_bytes().to_vec();
                let template = [Attribute::Token(true), Attribute::Label(label)];
                let objects = session.find_objects(&template);
                let objects = objects.map_err(|error| Code(&error).to_string())?;
                // From now on nobody is given it.
                pool.keys.remove(&key);
                for object in objects {
                    session.destroy_object(object).map_err(|error| Code(&error).to_string())?;
                }
                tracing::info!(%key, token = %pool.token.selector(), "removed a key");
            }
            Ok(())
        });
        let failed = |reason| DestroyError { key: name.clone(), reason };
        removing.await.unwrap_or_else(|error| Err(error.to_string())).map_err(failed)
    }

    /// With which hash in OAEP the first token that can be used unwraps keys that were wrapped to this one of
    /// its RSA keys, which is [made for that](Usage::UNWRAP): SHA-256 if it has it, else SHA-1.
    ///
    /// # Errors
    /// It unwraps none.
    pub async fn unwrapping_hash(&self, name: &KeyName) -> Result<OaepHash, GenerateError> {
        let wanted = name.clone();
        let attempt = move |session: &Session, pool: &TokenPool| {
            import::try_unwrapping(session, pool, &wanted, OaepHash::Sha256)
                .map(|()| OaepHash::Sha256)
                .or_else(|_| {
                    import::try_unwrapping(session, pool, &wanted, OaepHash::Sha1)
                        .map(|()| OaepHash::Sha1)
                })
        };
        self.administer(name, "unwrapping", attempt).await
    }

    /// Makes a key whose name is free.
    async fn make<T: Send + 'static>(
        &self,
        name: &KeyName,
        what: &'static str,
        make: impl FnOnce(&Session, &TokenPool) -> Result<(Entry, T), GenerateError> + Send + 'static,
    ) -> Result<T, GenerateError> {
        let (pools, key) = (self.pools.clone(), name.clone());
        let make = move |session: &Session, pool: &TokenPool| {
            if pools.iter().any(|pool| pool.keys.contains(&key)) {
                return Err(GenerateError::Exists { key });
            }
            let (entry, made) = make(session, pool)?;
            tracing::info!(%key, what, token = %pool.token.selector(), "generated a key");
            pool.keys.insert(key, entry);
            Ok(made)
        };
        self.administer(name, what, make).await
    }

    /// Does something in a session of its own with the first token that can be used, on a blocking thread.
    async fn administer<T: Send + 'static>(
        &self,
        name: &KeyName,
        what: &'static str,
        work: impl FnOnce(&Session, &TokenPool) -> Result<T, GenerateError> + Send + 'static,
    ) -> Result<T, GenerateError> {
        let (admin, pools, key) = (Arc::clone(&self.admin), self.pools.clone(), name.clone());
        let working = tokio::task::spawn_blocking(move || {
            let refused = |reason: &dyn std::fmt::Display| GenerateError::token(&key, what, reason);
            let open = lock(&admin);
            if !*open {
                return Err(refused(&"the signer is shut down"));
            }
            let Some(pool) = pools.iter().find(|pool| pool.is_usable()) else {
                return Err(refused(&"no token can be used at present"));
            };
            // In a session slot's lock, so that the module is not initialised anew meanwhile.
            let _slot = lock(&pool.admin);
            let session = pool.token.open_admin_session().map_err(|fault| refused(&fault))?;
            work(&session, pool)
        });
        working.await.unwrap_or_else(|error| Err(GenerateError::token(name, what, &error)))
    }
}
