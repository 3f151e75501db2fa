//! The CA for SSH: one key for users and one for hosts, kept where the X.509 keys are.

use std::sync::Arc;

use aws_lc_rs::rand::{SecureRandom, SystemRandom};
use chancery_keys::{KeyName, KeyType};
use chancery_ssh::{Certificate, CertificateError, InvalidSignature, Kind, SshPublicKey};
use chancery_store::{Commit, CommitError, SharedStore};
use chancery_x509::RandomFailure;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::OpenError;
use crate::ceremony::key_name;
use crate::keys::CaKeys;
use crate::record::{self, Records};

/// The name of its records: no X.509 CA may have it.
pub const SSH_RECORDS: &str = "ssh";

/// A running CA for SSH.
pub struct SshCa {
    keys: CaKeys,
    user: SshKey,
    host: SshKey,
}

struct SshKey {
    name: KeyName,
    public: SshPublicKey,
}

/// The names of the keys, stored before they are made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct SshRecord {
    user: KeyName,
    host: KeyName,
}

/// Why there is no certificate.
#[derive(Debug, thiserror::Error)]
pub enum SshSignError {
    /// It must not be made.
    #[error(transparent)]
    Certificate(#[from] CertificateError),
    /// The system's random number generator failed.
    #[error(transparent)]
    Random(#[from] RandomFailure),
    /// The signer gave no signature.
    #[error("the certificate is not signed: {0}")]
    Sign(#[from] chancery_keys::SignError),
    /// The signature is none.
    #[error(transparent)]
    Signature(#[from] InvalidSignature),
}

impl SshCa {
    /// Opens the CA that the store holds, or makes its two keys. An interrupted first start is continued.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub async fn open(
        key_type: KeyType,
        store: SharedStore,
        keys: CaKeys,
    ) -> Result<Arc<Self>, OpenError> {
        let records = Records::new(SSH_RECORDS, store)?;
        let names = names(&records).await?;
        let user = key(&records, &keys, names.user, key_type).await?;
        let host = key(&records, &keys, names.host, key_type).await?;
        Ok(Arc::new(Self { keys, user, host }))
    }

    /// The key that signs certificates of this kind: for `TrustedUserCAKeys`, or for `@cert-authority` in
    /// `known_hosts`.
    pub fn public_key(&self, kind: Kind) -> &SshPublicKey {
        &self.key(kind).public
    }

    /// The kind of its keys.
    pub fn key_type(&self) -> Option<KeyType> {
        KeyType::of(self.user.public.key().algorithm())
    }

    /// Signs a certificate, and gives it as one line.
    ///
    /// # Errors
    /// See [`SshSignError`].
    pub async fn sign(&self, certificate: &Certificate) -> Result<String, SshSignError> {
        let mut nonce = [0; 32];
        SystemRandom::new().fill(&mut nonce).map_err(|_| RandomFailure)?;
        let key = self.key(certificate.kind);
        let content = certificate.build(&nonce, &key.public)?;
        let signer = self.keys.signer();
        let signature = signer.sign(&key.name, content.algorithm(), content.content()).await?;
        metrics::counter!("chancery_ca_ssh_certificates_total").increment(1);
        Ok(content.assemble(&signature)?)
    }

    fn key(&self, kind: Kind) -> &SshKey {
        match kind {
            Kind::User => &self.user,
            Kind::Host => &self.host,
        }
    }
}

/// The names of the keys; new ones on the first start.
async fn names(records: &Records) -> Result<SshRecord, OpenError> {
    let place = records.authority_key()?;
    if let Some(found) = records.read(&place).await? {
        return Ok(record::decode(&found)?);
    }
    let names =
        SshRecord { user: key_name(SSH_RECORDS, "user")?, host: key_name(SSH_RECORDS, "host")? };
    let value = record::encode(&names)?;
    records.commit(Commit::new().check_absent(place.clone()).put(place, value)).await?;
    Ok(names)
}

/// The private half of a software key, from the store; a new one if there is none.
async fn private(
    records: &Records,
    keys: &CaKeys,
    name: &KeyName,
    key_type: KeyType,
) -> Result<Zeroizing<Vec<u8>>, OpenError> {
    if let Some(private) = records.read_private_key(name).await? {
        return Ok(private);
    }
    let new = keys.make(name, key_type).await?;
    match records.commit(new.store(name, Commit::new())?).await {
        // Somebody else was quicker: that key it is.
        Ok(_) | Err(CommitError::Conflict { .. }) => {}
        Err(error) => return Err(error.into()),
    }
    let stored = records.read_private_key(name).await?;
    stored.ok_or_else(|| OpenError::KeyMissing { key: name.clone(), kind: keys.kind() })
}

/// The key with this name, ready to sign; a new one if there is none.
async fn key(
    records: &Records,
    keys: &CaKeys,
    name: KeyName,
    key_type: KeyType,
) -> Result<SshKey, OpenError> {
    let public = match keys {
        CaKeys::Software(signer) => {
            let private = private(records, keys, &name, key_type).await?;
            signer.insert_pkcs8(name.clone(), private)?
        }
        CaKeys::Pkcs11(_) => keys.make(&name, key_type).await?.public,
    };
    let public = SshPublicKey::of(&public)
        .ok_or(OpenError::Mismatch("the SSH CA's key is of a kind that SSH does not know"))?;
    Ok(SshKey { name, public })
}

impl std::fmt::Debug for SshCa {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SshCa")
            .field("user", &self.user.public.line())
            .field("host", &self.host.public.line())
            .finish_non_exhaustive()
    }
}
