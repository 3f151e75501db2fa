//! Makes and loads the keys of a CA, in software or in a PKCS#11 token.

use std::sync::Arc;

use chancery_keys::pkcs11::Pkcs11Signer;
use chancery_keys::software::{self, SoftwareSigner};
use chancery_keys::{KeyName, KeyType, Signer};
use chancery_store::{Commit, CommitError};
use chancery_x509::PublicKey;
use zeroize::Zeroizing;

use crate::OpenError;
use crate::authority::Authority;
use crate::record::Records;

/// Where a CA's keys are.
#[derive(Clone)]
pub enum CaKeys {
    /// In memory; kept as PKCS#8 in the sealed store.
    Software(Arc<SoftwareSigner>),
    /// In a token, from which they never come out. The root's key stays there too: taking it offline
    /// means taking it out of the token.
    Pkcs11(Arc<Pkcs11Signer>),
}

/// A signer that holds the root's key for as long as it is needed.
pub(crate) enum RootSigner {
    /// A signer of its own: dropping it forgets the key.
    Software(SoftwareSigner),
    Pkcs11(Arc<Pkcs11Signer>),
}

/// A key that was made for a new CA.
pub(crate) struct NewKey {
    pub(crate) public: PublicKey,
    /// What to store along with the certificate; nothing for a key in a token.
    private: Option<Zeroizing<Vec<u8>>>,
}

impl CaKeys {
    pub(crate) fn signer(&self) -> &dyn Signer {
        match self {
            Self::Software(signer) => signer.as_ref(),
            Self::Pkcs11(signer) => signer.as_ref(),
        }
    }

    pub(crate) fn kind(&self) -> &'static str {
        self.signer().kind()
    }

    /// Makes a key for a new CA. A token may hold it already, from a first start that was
    /// interrupted: key names are random, so it is no other's.
    pub(crate) async fn make(
        &self,
        name: &KeyName,
        key_type: KeyType,
    ) -> Result<NewKey, OpenError> {
        match self {
            Self::Software(_) => {
                let private = software::generate(key_type)?;
                let public = SoftwareSigner::new().insert_pkcs8(name.clone(), private.clone())?;
                Ok(NewKey { public, private: Some(private) })
            }
            Self::Pkcs11(signer) => {
                let public = if signer.contains(name) {
                    signer.public_key(name)?
                } else {
                    signer.generate(name, key_type).await?
                };
                Ok(NewKey { public, private: None })
            }
        }
    }

    /// Makes the issuing key ready to sign.
    pub(crate) async fn load(
        &self,
        records: &Records,
        issuing: &Authority,
    ) -> Result<(), OpenError> {
        let name = issuing.key();
        if let Self::Software(signer) = self {
            signer.insert_pkcs8(name.clone(), self.read(records, name).await?)?;
        }
        let public = self.signer().public_key(name).map_err(|_| self.missing(name))?;
        if public == *issuing.public_key() {
            Ok(())
        } else {
            Err(OpenError::Mismatch("the issuing key is not the one in the issuing certificate"))
        }
    }

    /// The root's key, for one use.
    pub(crate) async fn load_root(
        &self,
        records: &Records,
        root: &Authority,
    ) -> Result<RootSigner, OpenError> {
        let name = root.key();
        let signer = match self {
            Self::Software(_) => {
                let signer = SoftwareSigner::new();
                signer.insert_pkcs8(name.clone(), self.read(records, name).await?)?;
                RootSigner::Software(signer)
            }
            Self::Pkcs11(signer) => RootSigner::Pkcs11(Arc::clone(signer)),
        };
        let public = signer.signer().public_key(name).map_err(|_| self.missing(name))?;
        if public == *root.public_key() {
            Ok(signer)
        } else {
            Err(OpenError::Mismatch("the root key is not the one in the root certificate"))
        }
    }

    async fn read(
        &self,
        records: &Records,
        name: &KeyName,
    ) -> Result<Zeroizing<Vec<u8>>, OpenError> {
        records.read_private_key(name).await?.ok_or_else(|| self.missing(name))
    }

    fn missing(&self, name: &KeyName) -> OpenError {
        OpenError::KeyMissing { key: name.clone(), kind: self.kind() }
    }
}

impl NewKey {
    /// A key that was made before, whose private half is stored.
    pub(crate) fn stored(name: &KeyName, private: Zeroizing<Vec<u8>>) -> Result<Self, OpenError> {
        let public = SoftwareSigner::new().insert_pkcs8(name.clone(), private.clone())?;
        Ok(Self { public, private: Some(private) })
    }

    /// A signer with this key alone.
    pub(crate) fn signer(&self, name: &KeyName, keys: &CaKeys) -> Result<RootSigner, OpenError> {
        match (&self.private, keys) {
            (_, CaKeys::Pkcs11(signer)) => Ok(RootSigner::Pkcs11(Arc::clone(signer))),
            (private, CaKeys::Software(_)) => {
                let signer = SoftwareSigner::new();
                if let Some(private) = private {
                    signer.insert_pkcs8(name.clone(), private.clone())?;
                }
                Ok(RootSigner::Software(signer))
            }
        }
    }

    /// Adds what there is to store of the key.
    pub(crate) fn store(&self, name: &KeyName, commit: Commit) -> Result<Commit, CommitError> {
        Ok(match &self.private {
            None => commit,
            Some(private) => {
                let key = Records::private_key(name)?;
                commit.check_absent(key.clone()).put(key, private.to_vec())
            }
        })
    }
}

impl RootSigner {
    pub(crate) fn signer(&self) -> &dyn Signer {
        match self {
            Self::Software(signer) => signer,
            Self::Pkcs11(signer) => signer.as_ref(),
        }
    }
}
