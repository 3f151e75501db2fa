//! An offline root certifies other CAs, and cross-signs CAs that have a certificate already.

use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use chancery_keys::software::{self, SoftwareSigner};
use chancery_keys::{KeyName, KeyType};
use chancery_store::Commit;
use chancery_x509::{
    CertificateRequest, CertifiedBefore, NameConstraints, ParsedCertificate, PublicKey, Serial,
    Template,
};
use jiff::Timestamp;

use super::{OfflineError, OfflineRoot, Preview};
use crate::OpenError;
use crate::ceremony::certificate::{ca_template, content, last_second};
use crate::record;

/// On what terms another CA is certified.
#[derive(Debug, Clone)]
pub struct Terms {
    /// Its common name; the one in the request if none.
    pub common_name: Option<String>,
    /// How long the certificate is valid, within the root's own validity.
    pub validity: Duration,
    /// How many CAs may stand below it: 0 for leaves only.
    pub path_length: Option<u8>,
    /// Which names may stand in certificates below it.
    pub name_constraints: NameConstraints,
}

impl OfflineRoot {
    /// Certifies the key of a CA below this root, from its request (whose signature was verified by
    /// parsing it). Gives the certificate in DER.
    ///
    /// # Errors
    /// The key is weak, or the certificate would be wrong; then nothing was signed.
    pub async fn certify(
        &self,
        request: &CertificateRequest,
        terms: &Terms,
        now: Timestamp,
    ) -> Result<Vec<u8>, OfflineError> {
        let template = self.intermediate(request, terms, now)?;
        self.sign(&template, "intermediate", now).await
    }

    /// What that certificate would be; nothing is signed.
    ///
    /// # Errors
    /// As for [`certify`](Self::certify).
    pub fn preview(
        &self,
        request: &CertificateRequest,
        terms: &Terms,
        now: Timestamp,
    ) -> Result<Preview, OfflineError> {
        self.linted(&self.intermediate(request, terms, now)?)
    }

    /// Certifies a CA that has a certificate already, a root's too, under the same name and key identifier,
    /// so that what is below it has a second way up. If the terms have no name constraints, those of its
    /// certificate are taken over: the second way must not lead further than the first. Gives the certificate
    /// in DER.
    ///
    /// # Errors
    /// It is no CA's, has ended, is not signed by its own key though it says so, its key is weak, or the certificate
    /// would be wrong; then nothing was signed.
    pub async fn cross_certify(
        &self,
        certificate: &ParsedCertificate,
        terms: &Terms,
        now: Timestamp,
    ) -> Result<Vec<u8>, OfflineError> {
        self.sign(&self.crossing(certificate, terms, now)?, "cross-sign", now).await
    }

    /// What that certificate would be; nothing is signed.
    ///
    /// # Errors
    /// As for [`cross_certify`](Self::cross_certify).
    pub fn preview_crossing(
        &self,
        certificate: &ParsedCertificate,
        terms: &Terms,
        now: Timestamp,
    ) -> Result<Preview, OfflineError> {
        self.linted(&self.crossing(certificate, terms, now)?)
    }

    fn linted(&self, template: &Template) -> Result<Preview, OfflineError> {
        content(template, self.authority.issuer())?;
        Ok(Preview::of(template))
    }

    fn crossing(
        &self,
        certificate: &ParsedCertificate,
        terms: &Terms,
        now: Timestamp,
    ) -> Result<Template, OfflineError> {
        let refused = |error: &dyn std::fmt::Display| OfflineError::Subject(error.to_string());
        let before = CertifiedBefore::of(certificate).map_err(|error| refused(&error))?;
        let public_key = certificate.public_key().map_err(|error| refused(error))?;
        let name = certificate.subject_common_name().ok_or(OfflineError::NoName)?;
        public_key.check_strength()?;
        let not_after = certificate.not_after();
        if not_after < now {
            return Err(OfflineError::Ended(not_after));
        }
        let is_root = certificate.subject_der() == certificate.issuer_der();
        if is_root && certificate.verify_signed_by(public_key).is_err() {
            return Err(OfflineError::NotItsOwn);
        }
        let mut terms = terms.clone();
        if terms.name_constraints.is_empty() {
            terms.name_constraints =
                NameConstraints::of(certificate).map_err(|error| refused(&error))?;
        }
        Ok(Template {
            certified_before: Some(before),
            ..self.template(name, public_key, &terms, now)?
        })
    }

    pub(super) async fn has_signed(&self, serial: &Serial) -> Result<bool, OfflineError> {
        let place = self.records.signed_key(serial)?;
        Ok(self.records.read(&place).await?.is_some())
    }

    fn intermediate(
        &self,
        request: &CertificateRequest,
        terms: &Terms,
        now: Timestamp,
    ) -> Result<Template, OfflineError> {
        let name = terms.common_name.as_deref().or(request.common_name());
        self.template(name.ok_or(OfflineError::NoName)?, request.public_key(), terms, now)
    }

    fn template(
        &self,
        name: &str,
        public_key: &PublicKey,
        terms: &Terms,
        now: Timestamp,
    ) -> Result<Template, OfflineError> {
        public_key.check_strength()?;
        check_validity(terms.validity)?;
        let not_after = last_second(now, terms.validity).min(self.authority.issuer().not_after());
        Ok(Template {
            not_after,
            name_constraints: terms.name_constraints.clone(),
            crl_url: Some(self.crl_url()),
            issuer_url: Some(self.certificate_url()),
            ..ca_template(name, public_key, terms.path_length, now)?
        })
    }

    /// Lints, records, signs, and writes it down.
    async fn sign(
        &self,
        template: &Template,
        action: &str,
        now: Timestamp,
    ) -> Result<Vec<u8>, OfflineError> {
        let content = content(template, self.authority.issuer())?;
        let place = self.records.signed_key(&template.serial)?;
        let value = record::encode(&sha256(content.der()))?;
        let commit = Commit::new().check_absent(place.clone()).put(place, value);
        self.records.commit(commit).await?;
        let signer = self.keys.load_root(&self.records, &self.authority).await?;
        let key = self.authority.key();
        let signature = signer.signer().sign(key, content.algorithm(), content.der()).await;
        let der = content.assemble(&signature?)?;
        let parsed = ParsedCertificate::from_der(&der)?;
        let details = [
            ("subject", parsed.subject_common_name().unwrap_or_default().to_owned()),
            ("key_id", parsed.subject_key_id().unwrap_or_default().to_owned()),
            ("spki_sha256", hex::encode(template.public_key.fingerprint())),
            ("serial", template.serial.to_string()),
            ("not_after", parsed.not_after().to_string()),
            ("path_length", template_path_length(&parsed)),
            ("name_constraints", format!("{:?}", template.name_constraints)),
            ("to_be_signed_sha256", sha256(content.der())),
            ("certificate_sha256", sha256(&der)),
        ];
        self.note(now, action, &details).await?;
        Ok(der)
    }
}

/// That something is valid for an hour at least: nobody wants what ends as it begins.
pub(super) fn check_validity(validity: Duration) -> Result<(), OfflineError> {
    if validity < Duration::from_hours(1) { Err(OfflineError::Validity) } else { Ok(()) }
}

fn template_path_length(certificate: &ParsedCertificate) -> String {
    certificate.path_length().map_or_else(|| "none".to_owned(), |length| length.to_string())
}

pub(super) fn sha256(bytes: &[u8]) -> String {
    hex::encode(digest(&SHA256, bytes))
}

/// A key of this kind that stands for the one that is made later.
pub(super) fn throwaway(key_type: KeyType) -> Result<PublicKey, OpenError> {
    let name: KeyName = "throwaway".parse().map_err(|_| OpenError::Name("throwaway".to_owned()))?;
    Ok(SoftwareSigner::new().insert_pkcs8(name, software::generate(key_type)?)?)
}
