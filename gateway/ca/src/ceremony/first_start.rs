//! Makes a CA with its own root on the first start, or finishes a first start that was interrupted.

use chancery_keys::{KeyName, Signer};
use chancery_store::{Commit, CommitError, Version};
use chancery_x509::{Issuer, Template};
use jiff::Timestamp;

use super::certificate::{ca_template, certified, issuing_template, last_second, sign};
use super::key_name;
use crate::authority::Authority;
use crate::keys::{CaKeys, NewKey};
use crate::record::{self, AuthorityRecord, GenerationRecord, MadeRecord, Records, RootRecord};
use crate::{CaConfig, OpenError, Parent};

/// The CA in the store; a new one if there is none and it is to have a root of its own.
pub(crate) async fn continue_or_begin(
    config: &CaConfig,
    records: &Records,
    keys: &CaKeys,
    now: Timestamp,
) -> Result<MadeRecord, OpenError> {
    let place = records.authority_key()?;
    loop {
        let attempt = match records.read(&place).await? {
            None if config.parent == Parent::Elsewhere => {
                return Err(OpenError::NotInstalled(config.name.clone()));
            }
            None => plan(config, records).await,
            Some(found) => match record::decode(&found)? {
                AuthorityRecord::Made(made) => return Ok(made),
                AuthorityRecord::Requested { .. } => {
                    return Err(OpenError::NotInstalled(config.name.clone()));
                }
                AuthorityRecord::Planned { root_key, issuing_key } => {
                    let plan = Plan { root_key, issuing_key, version: found.version };
                    plan.carry_out(config, records, keys, now).await
                }
            },
        };
        match attempt {
            // Somebody else was a step ahead: go on from there.
            Ok(()) | Err(OpenError::Commit(CommitError::Conflict { .. })) => {}
            Err(error) => return Err(error),
        }
    }
}

/// Decides the names of the keys.
async fn plan(config: &CaConfig, records: &Records) -> Result<(), OpenError> {
    let planned = AuthorityRecord::Planned {
        root_key: key_name(&config.name, "root")?,
        issuing_key: key_name(&config.name, "issuing")?,
    };
    let place = records.authority_key()?;
    let commit = Commit::new().check_absent(place.clone()).put(place, record::encode(&planned)?);
    records.commit(commit).await?;
    Ok(())
}

struct Plan {
    root_key: KeyName,
    issuing_key: KeyName,
    version: Version,
}

impl Plan {
    /// Makes keys and certificates and stores them in one commit.
    async fn carry_out(
        &self,
        config: &CaConfig,
        records: &Records,
        keys: &CaKeys,
        now: Timestamp,
    ) -> Result<(), OpenError> {
        let root_key = keys.make(&self.root_key, config.key_type).await?;
        let issuing_key = keys.make(&self.issuing_key, config.key_type).await?;
        let signer = root_key.signer(&self.root_key, keys)?;
        let root = self.sign_root(config, &root_key, signer.signer(), now).await?;
        let issuing = self.sign_issuing(config, &root, &issuing_key, signer.signer(), now).await?;
        let made = AuthorityRecord::Made(MadeRecord {
            current: GenerationRecord {
                root: RootRecord {
                    key: Some(self.root_key.clone()),
                    certificate: hex::encode(root.certificate().der()),
                },
                issuing: certified(&self.issuing_key, &issuing),
                above: Vec::new(),
                alternates: Vec::new(),
            },
            former: Vec::new(),
            pending: None,
        });
        let place = records.authority_key()?;
        let commit = Commit::new()
            .check_version(place.clone(), self.version)
            .put(place, record::encode(&made)?);
        let commit = root_key.store(&self.root_key, commit)?;
        let commit = issuing_key.store(&self.issuing_key, commit)?;
        records.commit(commit).await?;
        tracing::info!(root = root.id(), key_type = %config.key_type, "made a new CA");
        Ok(())
    }

    async fn sign_root(
        &self,
        config: &CaConfig,
        key: &NewKey,
        signer: &dyn Signer,
        now: Timestamp,
    ) -> Result<Authority, OpenError> {
        let template = Template {
            not_after: last_second(now, config.root_validity),
            ..ca_template(&config.root_common_name, &key.public, None, now)?
        };
        let issuer = Issuer::self_signed(&template)?;
        let der = sign(&template, &issuer, &self.root_key, signer).await?;
        Authority::new(self.root_key.clone(), &der)
    }

    async fn sign_issuing(
        &self,
        config: &CaConfig,
        root: &Authority,
        key: &NewKey,
        signer: &dyn Signer,
        now: Timestamp,
    ) -> Result<Vec<u8>, OpenError> {
        let name = &config.issuing_common_name;
        let template = issuing_template(config, name, root, &key.public, now)?;
        sign(&template, root.issuer(), &self.root_key, signer).await
    }
}
