use std::time::Duration;

use aws_lc_rs::rand::{SecureRandom, SystemRandom};
use chancery_keys::{KeyName, Signer};
use chancery_store::{Commit, CommitError, Version};
use chancery_x509::{
    Issuer, KeyUsage, Kind, PublicKey, RandomFailure, Serial, SignatureAlgorithm, Subject,
    SubjectAttribute, Template, lint,
};
use jiff::Timestamp;

use crate::authority::Authority;
use crate::keys::{CaKeys, NewKey};
use crate::record::{self, AuthorityRecord, CertifiedKey, MadeRecord, Records};
use crate::{CaConfig, OpenError};

/// CA certificates begin a little in the past, so that clients whose clocks are slow accept them.
const BACKDATE: Duration = Duration::from_hours(1);

/// The CA in the store; a new one if there is none.
pub(crate) async fn continue_or_begin(
    config: &CaConfig,
    records: &Records,
    keys: &CaKeys,
    now: Timestamp,
) -> Result<MadeRecord, OpenError> {
    let place = records.authority_key()?;
    loop {
        let attempt = match records.read(&place).await? {
            None => plan(config, records).await,
            Some(found) => match record::decode(&found)? {
                AuthorityRecord::Made(made) => return Ok(made),
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

/// Decides the names of the keys. They are random, since several CAs may share a token.
async fn plan(config: &CaConfig, records: &Records) -> Result<(), OpenError> {
    let mut random = [0; 6];
    SystemRandom::new().fill(&mut random).map_err(|_| RandomFailure)?;
    let name = |role: &str| {
        let text = format!("{}-{role}-{}", config.name, hex::encode(random));
        text.parse::<KeyName>().map_err(|_| OpenError::Name(config.name.clone()))
    };
    let planned =
        AuthorityRecord::Planned { root_key: name("root")?, issuing_key: name("issuing")? };
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
            root: certified(&self.root_key, root.certificate().der()),
            issuing: certified(&self.issuing_key, &issuing),
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
        let template = Template {
            not_after: last_second(now, config.issuing_validity).min(root.issuer().not_after()),
            crl_url: Some(config.crl_url(root.id())),
            issuer_url: Some(config.issuer_url(root.id())),
            ocsp_url: None,
            // Nothing but leaves below it.
            ..ca_template(&config.issuing_common_name, &key.public, Some(0), now)?
        };
        sign(&template, root.issuer(), &self.root_key, signer).await
    }
}

fn ca_template(
    name: &str,
    public_key: &PublicKey,
    path_length: Option<u8>,
    now: Timestamp,
) -> Result<Template, OpenError> {
    Ok(Template {
        serial: Serial::random(&SystemRandom::new())?,
        subject: Subject::common_name(Some(name.to_owned())),
        names: Vec::new(),
        public_key: public_key.clone(),
        key_usages: [KeyUsage::KeyCertSign, KeyUsage::CrlSign].into_iter().collect(),
        extended_key_usages: Vec::new(),
        extra: Vec::new(),
        not_before: now.checked_sub(BACKDATE).unwrap_or(now),
        not_after: now,
        kind: Kind::Ca { path_length },
        crl_url: None,
        issuer_url: None,
        ocsp_url: None,
    })
}

async fn sign(
    template: &Template,
    issuer: &Issuer,
    key: &KeyName,
    signer: &dyn Signer,
) -> Result<Vec<u8>, OpenError> {
    let algorithm = SignatureAlgorithm::default_for(issuer.public_key().algorithm());
    let content = template.build(issuer, algorithm)?;
    let findings = lint::certificate(&content, issuer, template.kind);
    if !findings.is_empty() {
        let name =
            template.subject.get(SubjectAttribute::CommonName).unwrap_or_default().to_owned();
        return Err(OpenError::Lint { name, findings });
    }
    let signature = signer.sign(key, algorithm, content.der()).await?;
    Ok(content.assemble(&signature)?)
}

/// The end of a validity that begins now: inclusive, hence one second less (RFC 5280 §4.1.2.5).
fn last_second(now: Timestamp, validity: Duration) -> Timestamp {
    let length = validity.saturating_sub(Duration::from_secs(1));
    // Timestamps end with the year 9999, as certificates do.
    now.checked_add(length).unwrap_or(Timestamp::MAX)
}

fn certified(key: &KeyName, der: &[u8]) -> CertifiedKey {
    CertifiedKey { key: key.clone(), certificate: hex::encode(der) }
}
