//! A root whose key is not in the gateway: it is on a machine without a network, or in an HSM that is
//! locked away. It certifies other CAs' keys, signs its CRL, and records everything it does.

mod certify;
mod error;
mod preview;
mod transcript;

use std::time::Duration;

use chancery_keys::{KeyName, KeyType};
use chancery_store::{Commit, SharedStore};
use chancery_x509::{Issuer, RevocationReason, RevokedEntry, Serial, Template};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::authority::Authority;
use crate::ceremony::certificate::{ca_template, content, last_second, sign};
use crate::crl::{Next, Number};
use crate::keys::CaKeys;
use crate::record::{self, Records, RevocationRecord};
use crate::{CaConfig, OpenError};

pub use certify::Terms;
pub use error::OfflineError;
pub use preview::Preview;
pub use transcript::{TranscriptError, verify_transcript};

/// The name that all records of an offline root have in common: a store holds one root.
pub const OFFLINE_RECORDS: &str = "offline";

/// The properties of a new root.
#[derive(Debug, Clone)]
pub struct RootPlan {
    /// Its common name, 1 to 64 characters.
    pub common_name: String,
    /// The kind of its key.
    pub key_type: KeyType,
    /// How long it is valid.
    pub validity: Duration,
    /// How many levels of CAs may be below it; no limit if none.
    pub path_length: Option<u8>,
    /// Where its CRL and certificate will be fetched: `http://HOST/PATH`, to which `/ID.crl` and `/ID.der`
    /// are added.
    pub url_base: String,
}

/// An offline root, opened.
pub struct OfflineRoot {
    records: Records,
    keys: CaKeys,
    authority: Authority,
    url_base: String,
    witnesses: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct RootRecord {
    key: KeyName,
    /// DER in hex.
    certificate: String,
    url_base: String,
}

impl RootPlan {
    /// Checks everything that could be wrong with the root's certificate, before there is a key, and gives what it would
    /// be.
    ///
    /// # Errors
    /// [`OpenError::Lint`] with all of it.
    pub fn preview(&self, now: Timestamp) -> Result<Preview, OfflineError> {
        certify::check_validity(self.validity)?;
        let (template, issuer) = self.template(&certify::throwaway(self.key_type)?, now)?;
        content(&template, &issuer)?;
        Ok(Preview::of(&template))
    }

    fn template(
        &self,
        public_key: &chancery_x509::PublicKey,
        now: Timestamp,
    ) -> Result<(Template, Issuer), OpenError> {
        let template = Template {
            not_after: last_second(now, self.validity),
            ..ca_template(&self.common_name, public_key, self.path_length, now)?
        };
        let issuer = Issuer::self_signed(&template)?;
        Ok((template, issuer))
    }
}

impl OfflineRoot {
    /// Makes the key and the certificate. The transcript contains the names of the witnesses.
    ///
    /// # Errors
    /// There is a root in the store already, or its certificate would be wrong.
    pub async fn init(
        plan: &RootPlan,
        store: SharedStore,
        keys: CaKeys,
        witnesses: Vec<String>,
        now: Timestamp,
    ) -> Result<Self, OfflineError> {
        plan.preview(now)?;
        let records = Records::new(OFFLINE_RECORDS, store)?;
        let place = records.authority_key()?;
        if records.read(&place).await?.is_some() {
            return Err(OfflineError::Exists);
        }
        let key = crate::ceremony::key_name(OFFLINE_RECORDS, "root")?;
        let new = keys.make(&key, plan.key_type).await?;
        let signer = new.signer(&key, &keys)?;
        let (template, issuer) = plan.template(&new.public, now)?;
        let der = sign(&template, &issuer, &key, signer.signer()).await?;
        let record = RootRecord {
            key: key.clone(),
            certificate: hex::encode(&der),
            url_base: plan.url_base.trim_end_matches('/').to_owned(),
        };
        let value = record::encode(&record)?;
        let commit = Commit::new().check_absent(place.clone()).put(place, value);
        let commit = new.store(&key, commit)?;
        records.commit(commit).await?;
        let root = Self {
            records,
            keys,
            authority: Authority::new(key, &der)?,
            url_base: record.url_base,
            witnesses,
        };
        let details = [
            ("subject", plan.common_name.clone()),
            ("key_type", plan.key_type.to_string()),
            ("key_id", root.id().to_owned()),
            ("signer", root.keys.kind().to_owned()),
            ("serial", root.authority.certificate().serial().to_string()),
            ("not_after", root.authority.certificate().not_after().to_string()),
            ("certificate_sha256", certify::sha256(&der)),
        ];
        root.note(now, "init", &details).await?;
        Ok(root)
    }

    /// Opens the root that the store holds.
    ///
    /// # Errors
    /// There is none.
    pub async fn open(
        store: SharedStore,
        keys: CaKeys,
        witnesses: Vec<String>,
    ) -> Result<Self, OfflineError> {
        let records = Records::new(OFFLINE_RECORDS, store)?;
        let place = records.authority_key()?;
        let found = records.read(&place).await?;
        let found = found.ok_or(OfflineError::Missing)?;
        let RootRecord { key, certificate, url_base } = record::decode(&found)?;
        let authority = Authority::new(key, &record::certificate(&certificate)?)?;
        Ok(Self { records, keys, authority, url_base, witnesses })
    }

    /// The key identifier in lower-case hex.
    pub fn id(&self) -> &str {
        self.authority.id()
    }

    /// The certificate in DER.
    pub fn certificate(&self) -> &[u8] {
        self.authority.certificate().der()
    }

    /// Where others fetch the CRL.
    pub fn crl_url(&self) -> String {
        CaConfig::crl_url_at(&self.url_base, self.id())
    }

    /// Where others fetch the certificate.
    pub fn certificate_url(&self) -> String {
        format!("{}/{}.der", self.url_base, self.id())
    }

    /// Revokes a certificate that this root signed; the next CRL contains it.
    ///
    /// # Errors
    /// It signed no certificate with this number, or the certificate is already revoked.
    pub async fn revoke(
        &self,
        serial: Serial,
        reason: RevocationReason,
        now: Timestamp,
    ) -> Result<(), OfflineError> {
        if !self.has_signed(&serial).await? {
            return Err(OfflineError::NotSigned(serial));
        }
        let place = self.records.revocation_key(self.id(), &serial)?;
        if self.records.read(&place).await?.is_some() {
            return Err(OfflineError::AlreadyRevoked(serial));
        }
        let revocation = RevocationRecord { serial, at: now, reason, not_after: None };
        let value = record::encode(&revocation)?;
        let commit = Commit::new().check_absent(place.clone()).put(place, value);
        self.records.commit(commit).await?;
        let details = [("serial", serial.to_string()), ("reason", reason.code().to_string())];
        self.note(now, "revoke", &details).await
    }

    /// A new CRL (DER) that is valid for `validity`.
    ///
    /// # Errors
    /// It cannot be signed.
    pub async fn crl(&self, validity: Duration, now: Timestamp) -> Result<Vec<u8>, OfflineError> {
        certify::check_validity(validity)?;
        let revoked = self.records.revocation_table(self.id()).all().await?;
        let revoked: Vec<_> =
            revoked.into_iter().map(|one| RevokedEntry::from(one.value)).collect();
        let entries = revoked.len();
        let next = Next {
            issuer: &self.authority,
            scope: chancery_x509::CrlScope::Complete { delta_url: None },
            revoked,
            validity,
            now,
        };
        let number = Number::taken(&self.records, self.id()).await?.value;
        let signer = self.keys.load_root(&self.records, &self.authority).await?;
        let made = next.sign(number, signer.signer()).await?;
        let details = [
            ("number", number.to_string()),
            ("entries", entries.to_string()),
            ("next_update", made.next_update.to_string()),
        ];
        self.note(now, "crl", &details).await?;
        Ok(made.der)
    }
}
