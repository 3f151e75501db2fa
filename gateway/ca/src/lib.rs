//! The private CA: an offline root, an issuing CA below it, certificates and CRLs.
//!
//! A certificate comes about in two steps. [`Ca::prepare`] builds the bytes to be signed, lints them
//! and gives a [`Prepared`], which nobody else can make or change; [`Ca::sign`] consumes it and signs
//! exactly these bytes. In between the caller records what is about to be signed.
//!
//! The root's key is used to certify the issuing CA and, about once in half a year, to sign the root's
//! CRL. A software key is read from the sealed store for that moment only and never stands among the
//! keys that sign certificates.

mod authority;
mod ceremony;
mod config;
mod crl;
mod error;
mod issue;
mod keys;
mod ocsp;
mod record;
mod revocation;

pub use config::CaConfig;
pub use error::{CrlError, OcspError, OpenError, PrepareError, RevokeError, SignError};
pub use issue::{Issued, Prepared, ProposedCertificate};
pub use keys::CaKeys;
pub use ocsp::{OcspAnswer, OcspResponder};
pub use revocation::RevokedCertificate;

use std::sync::Arc;

use aws_lc_rs::rand::SystemRandom;
use bytes::Bytes;
use chancery_store::SharedStore;
use chancery_x509::{Serial, pem};
use jiff::Timestamp;

use authority::Authority;
use crl::{IssuingCrls, RootCrl};
use record::Records;
use revocation::Revocations;

/// A running private CA. Shared by everybody who issues, revokes or publishes.
pub struct Ca {
    config: CaConfig,
    keys: CaKeys,
    records: Records,
    root: Authority,
    issuing: Authority,
    chain: Vec<Vec<u8>>,
    revocations: Revocations,
    crls: IssuingCrls,
    root_crl: RootCrl,
    random: SystemRandom,
}

impl Ca {
    /// Opens the CA that the store holds, or makes one on the first start: two keys, a root and an
    /// issuing certificate. An interrupted first start is continued, and two first starts at once end
    /// with one CA. Fresh CRLs are ready when this returns.
    ///
    /// Names, key type and validity in `config` matter to the first start only.
    ///
    /// # Errors
    /// See [`OpenError`]; nothing is left half-made that a next start would not complete.
    #[tracing::instrument(name = "ca.open", skip_all, fields(ca = %config.name))]
    pub async fn open(
        config: CaConfig,
        store: SharedStore,
        keys: CaKeys,
        now: Timestamp,
    ) -> Result<Arc<Self>, OpenError> {
        let records = Records::new(&config.name, store)?;
        let made = ceremony::continue_or_begin(&config, &records, &keys, now).await?;
        let root = Authority::from_record(&made.root)?;
        let issuing = Authority::from_record(&made.issuing)?;
        authority::check_pair(&root, &issuing)?;
        keys.load(&records, &issuing).await?;
        let revocations = Revocations::load(&records, issuing.id()).await?;
        let ca = Self {
            chain: vec![issuing.certificate().der().to_vec()],
            crls: IssuingCrls::open(&config, &records, issuing.id()).await?,
            root_crl: RootCrl::new(root.id()),
            random: SystemRandom::new(),
            records,
            config,
            keys,
            root,
            issuing,
            revocations,
        };
        ca.refresh_crl(now).await?;
        tracing::info!(
            root = ca.root_id(),
            issuing = ca.issuer_id(),
            signer = ca.keys.kind(),
            "the CA is open"
        );
        Ok(Arc::new(ca))
    }

    /// The name in the configuration.
    pub fn name(&self) -> &str {
        &self.config.name
    }

    /// The key identifier of the issuing CA in lower-case hex: what its certificates carry as
    /// authority key identifier, and its name in URLs.
    pub fn issuer_id(&self) -> &str {
        self.issuing.id()
    }

    /// The key identifier of the root in lower-case hex.
    pub fn root_id(&self) -> &str {
        self.root.id()
    }

    /// The issuing CA's certificate in DER.
    pub fn issuing_der(&self) -> &[u8] {
        self.issuing.certificate().der()
    }

    /// The root certificate in DER.
    pub fn root_der(&self) -> &[u8] {
        self.root.certificate().der()
    }

    /// The root certificate in PEM, for those who are to trust this CA.
    pub fn root_pem(&self) -> String {
        pem::encode(pem::CERTIFICATE, self.root_der())
    }

    /// What a server sends after its own certificate: the issuing CA's, in DER, without the root.
    pub fn chain(&self) -> &[Vec<u8>] {
        &self.chain
    }

    /// Last second at which the issuing CA, and so anything it issues, is valid.
    pub fn not_after(&self) -> Timestamp {
        self.issuing.certificate().not_after()
    }

    /// The issuing CA's current complete CRL in DER.
    pub fn crl(&self) -> Bytes {
        self.crls.complete()
    }

    /// The current CRL (DER) with this name: the key identifier of the root or of the issuing CA, the
    /// latter's also followed by `-delta` or by the number of a shard, as in `-3-of-16`.
    pub fn crl_named(&self, name: &str) -> Option<Bytes> {
        if name == self.root_id() { Some(self.root_crl()) } else { self.crls.named(name) }
    }

    /// The root's current CRL in DER.
    pub fn root_crl(&self) -> Bytes {
        self.root_crl.publisher.current()
    }

    /// Whether the issuing CA has revoked this serial number. Answers from memory, which holds what
    /// was stored at the start and what this process has revoked since.
    pub fn is_revoked(&self, serial: &Serial) -> bool {
        self.revocations.contains(serial)
    }
}

impl std::fmt::Debug for Ca {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ca")
            .field("name", &self.config.name)
            .field("root", &self.root.id())
            .field("issuing", &self.issuing.id())
            .field("signer", &self.keys.kind())
            .finish_non_exhaustive()
    }
}
