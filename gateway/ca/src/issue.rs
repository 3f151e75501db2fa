//! Builds and lints a leaf certificate, then signs it.

use std::time::Instant;

use aws_lc_rs::digest;
use chancery_x509::{
    ExtendedKeyUsage, ExtraExtension, GeneralName, KeyUsages, Kind, NameConstraints, PublicKey,
    Serial, Subject, Template, ToBeSigned, lint,
};
use jiff::Timestamp;

use crate::{Ca, PrepareError, SignError};

/// What a leaf certificate shall say. Everything else (serial number, issuer, CA:FALSE, key
/// identifiers, locations of CRL and issuer) is the CA's own.
#[derive(Debug, Clone)]
pub struct ProposedCertificate {
    /// The key to certify.
    pub public_key: PublicKey,
    /// The subject; a common name in it is one of the DNS names or mailboxes in `names`.
    pub subject: Subject,
    /// The subject alternative names, at least one.
    pub names: Vec<GeneralName>,
    /// What the key may be used for.
    pub key_usages: KeyUsages,
    /// What the certificate is for, at least one purpose.
    pub extended_key_usages: Vec<ExtendedKeyUsage>,
    /// Further extensions, each kind at most once.
    pub extra: Vec<ExtraExtension>,
    /// First moment of validity; moved to the begin of the issuing CA's own if earlier.
    pub not_before: Timestamp,
    /// Last second of validity, inclusive; moved to the end of the issuing CA's own if later.
    pub not_after: Timestamp,
}

/// A certificate that passed lint and awaits its signature. Only [`Ca::prepare`] makes it, only
/// [`Ca::sign`] takes it, nothing can change it in between, and it signs once.
#[derive(Debug)]
#[must_use = "a prepared certificate is to be signed"]
pub struct Prepared {
    content: ToBeSigned,
    issuer_id: String,
    serial: Serial,
    not_before: Timestamp,
    not_after: Timestamp,
}

/// A signed certificate.
#[derive(Debug, Clone)]
pub struct Issued {
    /// The certificate in DER.
    pub der: Vec<u8>,
    /// Its serial number.
    pub serial: Serial,
    /// What to send after it: the issuing CA's certificate in DER, without the root.
    pub chain: Vec<Vec<u8>>,
    /// First moment of validity.
    pub not_before: Timestamp,
    /// Last second of validity, inclusive.
    pub not_after: Timestamp,
}

impl Prepared {
    /// The serial number that the certificate will have. Record it before signing.
    pub fn serial(&self) -> &Serial {
        &self.serial
    }

    /// SHA-256 of the bytes to be signed, in lower-case hex.
    pub fn digest(&self) -> String {
        hex::encode(digest::digest(&digest::SHA256, self.content.der()))
    }

    /// First moment of validity.
    pub fn not_before(&self) -> Timestamp {
        self.not_before
    }

    /// Last second of validity, inclusive.
    pub fn not_after(&self) -> Timestamp {
        self.not_after
    }
}

impl Ca {
    /// Whether the certificates of the CA's chain let it certify this name (RFC 5280 §4.2.1.10).
    pub fn permits(&self, name: &GeneralName) -> bool {
        self.current.refused_name(std::slice::from_ref(name)).is_none()
    }

    /// Builds a certificate up to its signature and lints it. No two have the same serial number.
    ///
    /// # Errors
    /// See [`PrepareError`]: the key is weak, no time is left, or lint found something. Nothing of
    /// what was proposed is silently left out or changed, but for the validity being cut to the
    /// issuing CA's.
    pub fn prepare(
        &self,
        proposed: ProposedCertificate,
        now: Timestamp,
    ) -> Result<Prepared, PrepareError> {
        let since = Instant::now();
        let prepared = self.build_and_lint(proposed, now);
        let outcome = if prepared.is_ok() { "ready" } else { "refused" };
        metrics::histogram!("chancery_ca_prepare_seconds", "outcome" => outcome)
            .record(since.elapsed().as_secs_f64());
        prepared
    }

    fn build_and_lint(
        &self,
        proposed: ProposedCertificate,
        now: Timestamp,
    ) -> Result<Prepared, PrepareError> {
        proposed.public_key.check_strength()?;
        let issuing = &self.current;
        let issuer = issuing.authority.issuer();
        let not_before = proposed.not_before.max(issuer.not_before());
        let not_after = proposed.not_after.min(issuer.not_after());
        if not_after <= not_before || not_after <= now {
            return Err(PrepareError::Validity {
                not_before: proposed.not_before,
                not_after: proposed.not_after,
                issuer_ends: issuer.not_after(),
            });
        }
        if let Some(name) = issuing.refused_name(&proposed.names) {
            return Err(PrepareError::NotPermitted(name.clone()));
        }
        let serial = Serial::random(&self.random)?;
        // Who tells the status of others is not asked about itself (RFC 6960 §4.2.2.2.1).
        let has_status = !proposed.extra.contains(&ExtraExtension::OcspNoCheck);
        let template = Template {
            serial,
            subject: proposed.subject,
            names: proposed.names,
            public_key: proposed.public_key,
            key_usages: proposed.key_usages,
            extended_key_usages: proposed.extended_key_usages,
            extra: proposed.extra,
            not_before,
            not_after,
            kind: Kind::Leaf,
            name_constraints: NameConstraints::default(),
            certified_before: None,
            crl_url: Some(self.config.crl_url_of(self.issuer_id(), &serial)),
            issuer_url: Some(self.config.issuer_url(self.issuer_id())),
            ocsp_url: self.config.ocsp_url(self.issuer_id()).filter(|_| has_status),
        };
        let content = template.build(issuer, issuing.authority.algorithm())?;
        let findings = lint::certificate(&content, issuer, Kind::Leaf);
        if !findings.is_empty() {
            return Err(PrepareError::Lint(findings));
        }
        Ok(Prepared {
            content,
            issuer_id: self.issuer_id().to_owned(),
            serial,
            not_before: template.not_before,
            not_after: template.not_after,
        })
    }

    /// Signs a prepared certificate: byte for byte what was linted.
    ///
    /// # Errors
    /// The signer gave no signature, or the certificate was prepared by another CA. The serial number
    /// is then spent; prepare anew.
    #[tracing::instrument(name = "ca.sign", skip_all, fields(serial = %prepared.serial))]
    pub async fn sign(&self, prepared: Prepared) -> Result<Issued, SignError> {
        let Prepared { content, issuer_id, serial, not_before, not_after } = prepared;
        let authority = &self.current.authority;
        if issuer_id != authority.id() {
            return Err(SignError::OtherIssuer(issuer_id));
        }
        let signer = self.keys.signer();
        let signature = signer.sign(authority.key(), content.algorithm(), content.der()).await?;
        let der = content.assemble(&signature)?;
        metrics::counter!("chancery_ca_certificates_total").increment(1);
        Ok(Issued { der, serial, chain: self.current.chain.clone(), not_before, not_after })
    }
}
