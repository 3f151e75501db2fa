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
mod chain;
mod config;
mod crl;
mod difference;
mod error;
mod issue;
mod issuing;
mod keys;
mod ocsp;
pub mod offline;
mod record;
mod revocation;
mod root;
mod ssh;

pub use ceremony::{Ceremony, CeremonyError};
pub use chain::{ChainFault, ChainNotice};
pub use config::{CaConfig, Parent};
pub use difference::{Difference, names};
pub use error::{CrlError, OcspError, OpenError, PrepareError, RevokeError, SignError};
pub use issue::{Issued, Prepared, ProposedCertificate};
pub use keys::CaKeys;
pub use ocsp::{OcspAnswer, OcspResponder};
pub use revocation::RevokedCertificate;
pub use ssh::{SSH_RECORDS, SshCa, SshSignError};

use std::sync::Arc;

use aws_lc_rs::rand::SystemRandom;
use bytes::Bytes;
use chancery_records::Fence;
use chancery_store::SharedStore;
use chancery_x509::{Serial, pem};
use jiff::Timestamp;

use crl::{CrlPublisher, FollowedCrls};
use issuing::IssuingCa;
use record::{MadeRecord, Records};
use root::Root;

/// A running private CA. Shared by everybody who issues, revokes or publishes.
pub struct Ca {
    config: CaConfig,
    keys: CaKeys,
    records: Records,
    /// All that its issuing CAs stand below.
    roots: Vec<Root>,
    current: IssuingCa,
    /// What issued before and has not ended.
    former: Vec<IssuingCa>,
    /// The CRLs of all gateways on the store, if there may be several.
    followed: Option<FollowedCrls>,
    random: SystemRandom,
}

impl Ca {
    /// Opens the CA that the store holds, or, if it is to have a root of its own, makes one on the first
    /// start: two keys, a root and an issuing certificate. An interrupted first start is continued, and
    /// two first starts at once end with one CA. Fresh CRLs are ready when this returns.
    ///
    /// Names, key type and validity in `config` matter to the first start and to ceremonies only.
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
        let MadeRecord { current, former, .. } = made;
        let mut roots: Vec<Root> = Vec::new();
        let mut generations = Vec::new();
        for generation in former.iter().chain([&current]) {
            let root = Root::from_record(&generation.root)?;
            let known =
                roots.iter().position(|one| one.certificate().der() == root.certificate().der());
            let at = known.unwrap_or(roots.len());
            if known.is_none() {
                roots.push(root);
            }
            let root = roots.get(at).ok_or(OpenError::Mismatch("a root is missing"))?;
            let root = (root.id(), root.certificate());
            let mut issuing = IssuingCa::open(&config, &records, generation, root).await?;
            // Of what has ended nothing is asked any more.
            if issuing.authority.certificate().not_after() >= now || generation == &current {
                match keys.load(&records, &issuing.authority).await {
                    Ok(()) => {}
                    Err(error @ OpenError::KeyMissing { .. }) if generation != &current => {
                        tracing::warn!(%error, issuer = issuing.id(), "no CRLs of a former key");
                        issuing.signs = false;
                    }
                    Err(error) => return Err(error),
                }
                generations.push(issuing);
            }
        }
        let current = generations.pop().ok_or(OpenError::Mismatch("nothing issues"))?;
        let random = SystemRandom::new();
        let mut ca = Self {
            config,
            keys,
            records,
            roots,
            current,
            former: generations,
            followed: None,
            random,
        };
        if ca.config.shared {
            ca.followed = Some(FollowedCrls::open(&ca.records, ca.publishers()).await?);
        }
        ca.refresh_crl(now, &Fence::none()).await?;
        tracing::info!(
            root = ca.root_id(),
            issuing = ca.issuer_id(),
            former = ca.former.len(),
            signer = ca.keys.kind(),
            "the CA is open"
        );
        Ok(Arc::new(ca))
    }

    /// Where the issuing CA's own certificate says that its root's CRL is, and where the configuration has it
    /// now, if these are two places: the configuration was changed after the certificate was made. None if
    /// the root's key is elsewhere, and its CRL with it.
    pub fn stale_location(&self) -> Option<(String, String)> {
        self.root_crl()?;
        let now = self.config.crl_url(self.root_id());
        let then = self.current.authority.certificate().crl_urls();
        let stale = !then.is_empty() && !then.contains(&now);
        then.into_iter().next().filter(|_| stale).map(|then| (then, now))
    }

    /// The name in the configuration.
    pub fn name(&self) -> &str {
        &self.config.name
    }

    /// The key identifier of the issuing CA in lower-case hex: what its certificates carry as
    /// authority key identifier, and its name in URLs.
    pub fn issuer_id(&self) -> &str {
        self.current.id()
    }

    /// The key identifiers of all that issue or have issued and have not ended, the current one first.
    pub fn issuer_ids(&self) -> impl Iterator<Item = &str> {
        self.all_issuing().map(IssuingCa::id)
    }

    /// The key identifier of the issuing CA's root in lower-case hex.
    pub fn root_id(&self) -> &str {
        &self.current.root_id
    }

    /// The issuing CA's certificate in DER.
    pub fn issuing_der(&self) -> &[u8] {
        self.current.authority.certificate().der()
    }

    /// The certificate of the issuing CA's root in DER.
    pub fn root_der(&self) -> &[u8] {
        let root = self.roots.iter().rfind(|root| root.id() == self.root_id());
        root.map(|root| root.certificate().der()).unwrap_or_default()
    }

    /// The certificates of all roots in DER: after a roll-over to another root, the former ones as long
    /// as something is below them.
    pub fn roots(&self) -> impl Iterator<Item = &[u8]> {
        let used = |root: &&Root| self.all_issuing().any(|issuing| issuing.root_id == root.id());
        self.roots.iter().filter(used).map(|root| root.certificate().der())
    }

    /// The certificates of all roots in PEM, for those who are to trust this CA.
    pub fn root_pem(&self) -> String {
        self.roots().map(|der| pem::encode(pem::CERTIFICATE, der)).collect()
    }

    /// What a server sends after its own certificate: the issuing CA's and those above it, in DER, without
    /// the root.
    pub fn chain(&self) -> &[Vec<u8>] {
        &self.current.chain
    }

    /// Further chains for what the issuing CA with this key identifier has issued, as [`chain`](Self::chain),
    /// that lead to other roots and have not ended.
    pub fn alternate_chains(
        &self,
        issuer: &str,
        now: Timestamp,
    ) -> impl Iterator<Item = &[Vec<u8>]> {
        let alternates = self.issuing(issuer).map(|issuing| issuing.alternates.as_slice());
        let alternates = alternates.unwrap_or_default().iter();
        alternates.filter(move |one| one.not_after >= now).map(|one| one.chain.as_slice())
    }

    /// The CA certificate (DER) with this key identifier in lower-case hex.
    pub fn certificate(&self, id: &str) -> Option<&[u8]> {
        let issuing = self.all_issuing().find(|issuing| issuing.id() == id);
        let issuing = issuing.map(|issuing| issuing.authority.certificate().der());
        let root = self.roots.iter().find(|root| root.id() == id);
        issuing.or_else(|| root.map(|root| root.certificate().der()))
    }

    /// Last second at which the issuing CA, and so anything it issues, is valid.
    pub fn not_after(&self) -> Timestamp {
        self.current.authority.certificate().not_after()
    }

    /// The issuing CA's current complete CRL in DER.
    pub fn crl(&self) -> Bytes {
        self.current.crls.complete()
    }

    /// The current CRL (DER) with this name: the key identifier of a root whose key is here or of an
    /// issuing CA, the latter's also followed by `-delta` or by the number of a shard, as in `-3-of-16`.
    pub fn crl_named(&self, name: &str) -> Option<Bytes> {
        let root = self.roots.iter().find(|root| root.id() == name);
        match root {
            Some(root) => root.own().map(|(_, crl)| crl.publisher.der()),
            None => self.all_issuing().find_map(|issuing| issuing.crls.named(name)),
        }
    }

    /// The root's current CRL in DER, if the root's key is here.
    pub fn root_crl(&self) -> Option<Bytes> {
        self.crl_named(self.root_id())
    }

    /// Whether the issuing CA with this key identifier has revoked this serial number. Answers from
    /// memory, which follows the store. While what is there may be out of date, or is damaged, every
    /// certificate counts as revoked.
    pub fn is_revoked(&self, issuer: &str, serial: &Serial) -> bool {
        self.issuing(issuer).is_some_and(|issuing| issuing.revocations.contains(serial))
    }

    fn publishers(&self) -> Vec<Arc<CrlPublisher>> {
        let of_roots = self.roots.iter().filter_map(Root::own).map(|(_, crl)| &crl.publisher);
        let of_issuing = self.all_issuing().flat_map(|issuing| issuing.crls.publishers());
        of_roots.chain(of_issuing).cloned().collect()
    }

    fn all_issuing(&self) -> impl Iterator<Item = &IssuingCa> {
        std::iter::once(&self.current).chain(self.former.iter().rev())
    }

    fn issuing(&self, id: &str) -> Option<&IssuingCa> {
        self.all_issuing().find(|issuing| issuing.id() == id)
    }
}

impl std::fmt::Debug for Ca {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ca")
            .field("name", &self.config.name)
            .field("root", &self.root_id())
            .field("issuing", &self.issuer_id())
            .field("signer", &self.keys.kind())
            .finish_non_exhaustive()
    }
}
