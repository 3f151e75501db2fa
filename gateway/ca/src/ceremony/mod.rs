//! How a CA comes by its keys and certificates: on its first start, when its key is replaced, and when
//! another CA certifies it.

mod alternate;
pub(crate) mod certificate;
mod error;
mod first_start;

use aws_lc_rs::rand::{SecureRandom, SystemRandom};
use chancery_keys::KeyName;
use chancery_store::{Commit, SharedStore, Version};
use chancery_x509::{
    KeyUsage, ParsedCertificate, RandomFailure, RequestTemplate, SignatureAlgorithm,
};
use jiff::Timestamp;

use crate::authority::Authority;
use crate::chain::{ChainNotice, check_acceptance, check_chain, check_shape, left_out};
use crate::keys::{CaKeys, NewKey};
use crate::record::{self, AuthorityRecord, GenerationRecord, MadeRecord, Records, RootRecord};
use crate::{CaConfig, OpenError};

use certificate::{certified, issuing_template, sign};

pub use error::CeremonyError;

pub(crate) use first_start::continue_or_begin;

/// What is done with a CA's keys and certificates while it is not running.
pub struct Ceremony<'a> {
    config: &'a CaConfig,
    records: Records,
    keys: &'a CaKeys,
}

impl<'a> Ceremony<'a> {
    /// For the CA with the configuration's name in this store.
    ///
    /// # Errors
    /// The name is none.
    pub fn new(
        config: &'a CaConfig,
        store: SharedStore,
        keys: &'a CaKeys,
    ) -> Result<Self, OpenError> {
        Ok(Self { config, records: Records::new(&config.name, store)?, keys })
    }

    /// Makes the next issuing key and has the CA's own root certify it. From the next start on it issues;
    /// what it follows signs CRLs and answers for what it issued until it ends. Gives the new certificate
    /// (DER).
    ///
    /// # Errors
    /// The root's key is elsewhere, or see [`OpenError`]. What was begun is continued by the next call.
    pub async fn rotate(&self, now: Timestamp) -> Result<Vec<u8>, CeremonyError> {
        let (made, version) = self.made().await?.ok_or(CeremonyError::NoCa)?;
        let root = made.current.root.clone();
        let Some(root_key) = root.key.clone() else { return Err(CeremonyError::RootElsewhere) };
        let (made, version, key) = self.pending(made, version).await?;
        let new = self.kept(&key).await?;
        let root = Authority::new(root_key, &record::certificate(&root.certificate)?)?;
        let signer = self.keys.load_root(&self.records, &root).await?;
        let name = generation_name(&self.config.issuing_common_name, made.former.len() + 2);
        let template = issuing_template(self.config, &name, &root, &new.public, now)?;
        let der = sign(&template, root.issuer(), root.key(), signer.signer()).await?;
        let next = GenerationRecord {
            root: made.current.root.clone(),
            issuing: certified(&key, &der),
            above: Vec::new(),
            alternates: Vec::new(),
        };
        self.follow(made, version, next).await?;
        Ok(der)
    }

    /// Makes a key for which another CA is to give a certificate, and the request for it (PKCS#10, DER).
    /// Asked again before the certificate is installed, it makes another request for the same key.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub async fn request(&self) -> Result<Vec<u8>, CeremonyError> {
        let (key, name) = match self.made().await? {
            Some((made, version)) => {
                let name = generation_name(&self.config.issuing_common_name, made.former.len() + 2);
                let (_, _, key) = self.pending(made, version).await?;
                (key, name)
            }
            None => (self.first_request().await?, self.config.issuing_common_name.clone()),
        };
        let new = self.kept(&key).await?;
        let signer = new.signer(&key, self.keys)?;
        let algorithm = SignatureAlgorithm::default_for(new.public.algorithm());
        let unsigned = RequestTemplate {
            public_key: new.public.clone(),
            common_name: Some(name),
            names: Vec::new(),
            key_identifier: true,
        };
        let refused = |error: &dyn std::fmt::Display| CeremonyError::Request(error.to_string());
        let unsigned = unsigned.to_be_signed(algorithm).map_err(|error| refused(&error))?;
        let signature = signer.signer().sign(&key, algorithm, unsigned.der()).await;
        let signature = signature?;
        unsigned.assemble(&signature).map_err(|error| refused(&error))
    }

    /// Installs what another CA made of the request: the certificate and those above it, up to and with
    /// the root, in DER. It issues from the next start on. Gives what is worth knowing of the chain.
    ///
    /// # Errors
    /// The chain does not hold, is not for the key that was requested, cannot issue now, or verifiers would
    /// refuse what is issued below it.
    pub async fn install(
        &self,
        chain: &[Vec<u8>],
        now: Timestamp,
    ) -> Result<Vec<ChainNotice>, CeremonyError> {
        let (waiting, place, next, notices) = self.fitting(chain, now).await?;
        let Some(made) = waiting else {
            let made = MadeRecord { current: next, former: Vec::new(), pending: None };
            self.write(&AuthorityRecord::Made(made), place).await?;
            return Ok(notices);
        };
        self.follow(made, place, next).await?;
        Ok(notices)
    }

    /// What [`install`](Self::install) would say; nothing is installed.
    ///
    /// # Errors
    /// As for [`install`](Self::install).
    pub async fn check(
        &self,
        chain: &[Vec<u8>],
        now: Timestamp,
    ) -> Result<Vec<ChainNotice>, CeremonyError> {
        let (_, _, _, notices) = self.fitting(chain, now).await?;
        Ok(notices)
    }

    /// What the chain becomes, after what is there.
    async fn fitting(&self, chain: &[Vec<u8>], now: Timestamp) -> Result<Fitting, CeremonyError> {
        let [first, between @ .., root] = chain else {
            return Err(match chain {
                [] => CeremonyError::EmptyChain,
                _ => CeremonyError::OneCertificate,
            });
        };
        let (made, place) = self.waiting().await?;
        let (made, key) = made;
        let public = match self.records.read_private_key(&key).await? {
            Some(private) => NewKey::stored(&key, private)?.public,
            None => {
                self.keys.signer().public_key(&key).map_err(|_| CeremonyError::NothingRequested)?
            }
        };
        let parsed = chain.iter().map(|der| ParsedCertificate::from_der(der));
        let parsed = parsed.collect::<Result<Vec<_>, _>>()?;
        let whole: Vec<_> = parsed.iter().collect();
        check_shape(&whole)?;
        check_chain(&whole)?;
        check_acceptance(&whole, now)?;
        let authority = Authority::new(key.clone(), first)?;
        if *authority.public_key() != public {
            return Err(CeremonyError::OtherKey { expected: hex::encode(public.key_id()) });
        }
        let mut notices = left_out(&whole);
        let (asked, found) = (hex::encode(public.key_id()), authority.id().to_owned());
        if asked != found {
            notices.push(ChainNotice::OtherKeyIdentifier { asked, found });
        }
        let issuing = authority.certificate();
        if !issuing.key_usages().is_none_or(|usages| usages.contains(KeyUsage::CrlSign)) {
            return Err(CeremonyError::Unfit("its key usage does not include signing CRLs"));
        }
        let next = GenerationRecord {
            root: RootRecord { key: None, certificate: hex::encode(root) },
            issuing: certified(&key, first),
            above: between.iter().map(hex::encode).collect(),
            alternates: Vec::new(),
        };
        Ok((made, place, next, notices))
    }

    async fn made(&self) -> Result<Option<(MadeRecord, Version)>, OpenError> {
        let found = self.records.read(&self.records.authority_key()?).await?;
        let Some(found) = found else { return Ok(None) };
        Ok(match record::decode(&found)? {
            AuthorityRecord::Made(made) => Some((made, found.version)),
            AuthorityRecord::Planned { .. } | AuthorityRecord::Requested { .. } => None,
        })
    }

    /// What waits for a certificate: a CA's next key, or the first of a CA that is none yet.
    async fn waiting(&self) -> Result<((Option<MadeRecord>, KeyName), Version), CeremonyError> {
        let place = self.records.authority_key()?;
        let found = self.records.read(&place).await?;
        let found = found.ok_or(CeremonyError::NothingRequested)?;
        match record::decode(&found)? {
            AuthorityRecord::Made(made) => {
                let key = made.pending.clone().ok_or(CeremonyError::NothingRequested)?;
                Ok(((Some(made), key), found.version))
            }
            AuthorityRecord::Requested { issuing_key } => Ok(((None, issuing_key), found.version)),
            AuthorityRecord::Planned { .. } => Err(CeremonyError::NothingRequested),
        }
    }

    /// The name of the first key of a CA whose parent is elsewhere.
    async fn first_request(&self) -> Result<KeyName, CeremonyError> {
        let place = self.records.authority_key()?;
        if let Some(found) = self.records.read(&place).await? {
            return match record::decode(&found)? {
                AuthorityRecord::Requested { issuing_key } => Ok(issuing_key),
                _ => Err(CeremonyError::NoCa),
            };
        }
        let key = key_name(&self.config.name, "issuing")?;
        let requested = AuthorityRecord::Requested { issuing_key: key.clone() };
        let value = record::encode(&requested)?;
        let commit = Commit::new().check_absent(place.clone()).put(place, value);
        self.records.commit(commit).await?;
        Ok(key)
    }

    /// The key with this name, made and stored if there is none: before anybody certifies it.
    async fn kept(&self, key: &KeyName) -> Result<NewKey, OpenError> {
        if let Some(private) = self.records.read_private_key(key).await? {
            return NewKey::stored(key, private);
        }
        let new = self.keys.make(key, self.config.key_type).await?;
        let commit = new.store(key, Commit::new())?;
        if !commit.writes().is_empty() {
            self.records.commit(commit).await?;
        }
        Ok(new)
    }

    /// The name of the next key: stored before the key is made, as on the first start.
    async fn pending(
        &self,
        made: MadeRecord,
        version: Version,
    ) -> Result<(MadeRecord, Version, KeyName), OpenError> {
        if let Some(key) = made.pending.clone() {
            return Ok((made, version, key));
        }
        let key = key_name(&self.config.name, "issuing")?;
        let made = MadeRecord { pending: Some(key.clone()), ..made };
        let version = self.write(&AuthorityRecord::Made(made.clone()), version).await?;
        Ok((made, version, key))
    }

    /// Has the next generation issue.
    async fn follow(
        &self,
        made: MadeRecord,
        version: Version,
        next: GenerationRecord,
    ) -> Result<(), OpenError> {
        let MadeRecord { current, mut former, .. } = made;
        former.push(current);
        let made = MadeRecord { current: next, former, pending: None };
        self.write(&AuthorityRecord::Made(made), version).await?;
        Ok(())
    }

    async fn write(
        &self,
        record: &AuthorityRecord,
        version: Version,
    ) -> Result<Version, OpenError> {
        let place = self.records.authority_key()?;
        let commit =
            Commit::new().check_version(place.clone(), version).put(place, record::encode(record)?);
        Ok(self.records.commit(commit).await?)
    }
}

/// The record of the CA, if there is one already, its version, what comes next, and what is worth knowing of it.
type Fitting = (Option<MadeRecord>, Version, GenerationRecord, Vec<ChainNotice>);

/// A name for a key. Names are random, since several CAs may share a token.
pub(crate) fn key_name(ca: &str, role: &str) -> Result<KeyName, OpenError> {
    let mut random = [0; 6];
    SystemRandom::new().fill(&mut random).map_err(|_| RandomFailure)?;
    let text = format!("{ca}-{role}-{}", hex::encode(random));
    text.parse().map_err(|_| OpenError::Name(ca.to_owned()))
}

/// The common name of an issuing CA after the first one: software that looks for issuers by name alone
/// is not to find several.
pub(crate) fn generation_name(name: &str, number: usize) -> String {
    let suffix = format!(" G{number}");
    let room = 64_usize.saturating_sub(suffix.len());
    name.chars().take(room).collect::<String>() + &suffix
}
