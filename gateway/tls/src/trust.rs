//! The client CAs, the identities that each may vouch for, and whether a verified chain still holds.

use std::sync::Arc;

use chancery_identity::{
    CaId, CertificateNames, EvidenceError, Fingerprint, Identity, IdentityRules, NoIdentity,
    PeerCertificate, Settling, VouchesFor,
};
use chancery_x509::{KeyUsage, ParsedCertificate};

use crate::client_path::ClientPath;

/// The CAs that may vouch for client certificates, for whom each may, and the rules by which a certificate
/// becomes an identity. This is a snapshot: the CAs' [checks](ClientCa::check) answer about things that
/// change while it is in use, such as revocations.
#[derive(Clone)]
pub struct ClientTrust {
    /// Sorted by certificate and without repetition, so that two trusts can be compared and the order of a
    /// configuration file has no effect.
    anchors: Vec<Anchor>,
    rules: IdentityRules,
    settle: Option<ChainSettle>,
}

/// A CA whose client certificates are accepted. Its certificate is a trust anchor: paths end at it,
/// whichever CA signed it. So another CA below the same root is not accepted.
#[derive(Clone)]
pub struct ClientCa {
    /// Its certificate in DER.
    pub certificate: Vec<u8>,
    /// Where it comes from, for people: a file, or the name of an issuer.
    pub origin: String,
    /// For whom it vouches.
    pub vouches_for: VouchesFor,
    /// Whether a certificate without the extension for extended key usages is accepted from a client (RFC
    /// 5280 §4.2.1.12 lets it be used for everything). With the extension it needs clientAuth in any case.
    pub allow_no_extended_key_usage: bool,
    /// Says whether a verified chain of this CA still holds.
    pub check: ChainCheck,
}

/// Says whether a chain that was verified still holds: whether a certificate in it was revoked. It is
/// called at every use of the evidence, so it answers from memory.
pub type ChainCheck = Arc<dyn Fn(&ClientChain<'_>) -> Result<(), EvidenceError> + Send + Sync>;

/// Finds out what the CA's [check](ClientCa::check) needs to know about a chain. None if there is nothing
/// to wait for.
pub type ChainSettle = Arc<dyn Fn(&ClientChain<'_>) -> Option<Settling> + Send + Sync>;

/// A client certificate and its path to the trusted CA.
#[derive(Debug, Clone, Copy)]
pub struct ClientChain<'a> {
    /// The certificate.
    pub certificate: &'a PeerCertificate,
    /// The certificates of the CAs between it and the trusted one, its issuer's first, in DER.
    pub intermediates: &'a [Vec<u8>],
    /// The certificate of the trusted CA in DER.
    pub ca: &'a [u8],
}

/// Why certificates cannot be client CAs. The current trust stays in use.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TrustError {
    /// It cannot be read.
    #[error("a client CA certificate of {origin} cannot be read: {reason}")]
    Unreadable {
        /// Where it comes from.
        origin: String,
        /// What is wrong with it.
        reason: String,
    },
    /// It is not a CA's. As an anchor it would vouch for itself, so the CA that issued it could never cut
    /// off the holder of its key.
    #[error(
        "the client CA certificate `{subject}` of {origin} is not a CA's: its basic constraints do not \
         say CA:TRUE, or its key usage excludes signing certificates; configure the CA that issued it, \
         or pin the identity to its fingerprint"
    )]
    NotACa {
        /// Where it comes from.
        origin: String,
        /// Its common name, if it has one.
        subject: String,
    },
    /// Two certificates of one CA have different settings, so the result would depend on where a path ends.
    #[error(
        "the client CA `{subject}` is bound twice, in {first} and in {second}, and not to the same: \
         name all that it vouches for in one place"
    )]
    BoundTwice {
        /// Its common name, if it has one.
        subject: String,
        /// Where one of its certificates comes from.
        first: String,
        /// Where the other one comes from.
        second: String,
    },
    /// The TLS library refused the settings as a whole.
    #[error("the TLS library refuses the settings: {reason}")]
    Library {
        /// What it said.
        reason: String,
    },
}

/// A client CA with the data that is read from its certificate.
#[derive(Debug, Clone)]
pub(crate) struct Anchor {
    pub(crate) ca: ClientCa,
    pub(crate) fingerprint: Fingerprint,
    /// How many CAs may stand between it and a client's certificate (RFC 5280 §4.2.1.9), if limited.
    pub(crate) path_length: Option<u8>,
    /// Its name, for people.
    pub(crate) subject: String,
    /// Name and key, in DER: two certificates with the same name and key belong to one CA.
    identity: (Vec<u8>, Vec<u8>),
}

impl ClientTrust {
    /// Trusts these CAs, and reads identities by these rules. Without any CA, the gateway requests no
    /// client certificate. An anchor vouches for nobody before its certificate begins and after it ended. A
    /// CA may come with several certificates, or several times, if all have the same settings.
    ///
    /// # Errors
    /// See [`TrustError`].
    pub fn new(cas: Vec<ClientCa>, rules: IdentityRules) -> Result<Self, TrustError> {
        let mut anchors: Vec<Anchor> = Vec::with_capacity(cas.len());
        for ca in cas {
            let anchor = Anchor::of(ca)?;
            if let Some(other) = anchors.iter().find(|other| other.contradicts(&anchor)) {
                return Err(TrustError::BoundTwice {
                    subject: anchor.subject,
                    first: other.ca.origin.clone(),
                    second: anchor.ca.origin,
                });
            }
            anchors.push(anchor);
        }
        anchors.sort_by(|a, b| a.ca.certificate.cmp(&b.ca.certificate));
        anchors.dedup_by(|a, b| a.ca.certificate == b.ca.certificate);
        Ok(Self { anchors, rules, settle: None })
    }

    /// The same trust, where something may have to be looked up before a request is handled.
    #[must_use]
    pub fn settled_by(self, settle: ChainSettle) -> Self {
        Self { settle: Some(settle), ..self }
    }

    pub(crate) fn anchors(&self) -> &[Anchor] {
        &self.anchors
    }

    /// Whether the same client certificates are valid, independent of their identities.
    pub(crate) fn verifies_as(&self, other: &Self) -> bool {
        let facts = |anchor: &Anchor| {
            (anchor.ca.certificate.clone(), anchor.ca.allow_no_extended_key_usage)
        };
        self.anchors.iter().map(facts).eq(other.anchors.iter().map(facts))
    }

    /// The identity of a certificate with these names, on the word of the CA with this fingerprint.
    pub(crate) fn identity(
        &self,
        ca: Fingerprint,
        fingerprint: Fingerprint,
        names: &CertificateNames,
    ) -> Result<Identity, NoIdentity> {
        let anchor = self.find(ca).ok_or(NoIdentity::NotVouchedFor)?;
        self.rules.resolve(&anchor.ca.vouches_for, fingerprint, names)
    }

    /// Whether a certificate is valid under this trust. With `again`, another trust judged it before: this
    /// one has to trust the CA too, and the CA has to vouch for the same identity.
    pub(crate) fn still_holds(
        &self,
        certificate: &PeerCertificate,
        path: &ClientPath,
        names: &CertificateNames,
        again: bool,
    ) -> Result<(), EvidenceError> {
        let anchor = self.find(path.ca).ok_or(EvidenceError::Untrusted)?;
        if again {
            let vouches_for = &anchor.ca.vouches_for;
            let identity = self.rules.resolve(vouches_for, certificate.fingerprint, names);
            let usable = path.has_extended_key_usage || anchor.ca.allow_no_extended_key_usage;
            if identity != certificate.identity || !usable {
                return Err(EvidenceError::Untrusted);
            }
        }
        let intermediates = &path.intermediates;
        (anchor.ca.check)(&ClientChain { certificate, intermediates, ca: &anchor.ca.certificate })
    }

    /// Finds out what is not yet known about a certificate that was verified by this path.
    pub(crate) fn settle(
        &self,
        certificate: &PeerCertificate,
        path: &ClientPath,
    ) -> Option<Settling> {
        let settle = self.settle.as_ref()?;
        let anchor = self.find(path.ca)?;
        let intermediates = &path.intermediates;
        settle(&ClientChain { certificate, intermediates, ca: &anchor.ca.certificate })
    }

    pub(crate) fn find(&self, ca: Fingerprint) -> Option<&Anchor> {
        self.anchors.iter().find(|anchor| anchor.fingerprint == ca)
    }
}

impl Anchor {
    fn of(ca: ClientCa) -> Result<Self, TrustError> {
        let certificate = ParsedCertificate::from_der(&ca.certificate).map_err(|error| {
            TrustError::Unreadable { origin: ca.origin.clone(), reason: error.to_string() }
        })?;
        let subject = certificate.subject_common_name().unwrap_or("no common name").to_owned();
        let may_sign =
            certificate.key_usages().is_none_or(|all| all.contains(KeyUsage::KeyCertSign));
        if !certificate.is_ca() || !may_sign {
            return Err(TrustError::NotACa { origin: ca.origin, subject });
        }
        // The key, as far as it can be read: a key of another kind signs nothing that is verified here.
        let key = certificate.public_key().map(|key| key.spki_der().to_vec()).unwrap_or_default();
        Ok(Self {
            fingerprint: Fingerprint::of_certificate(&ca.certificate),
            path_length: certificate.path_length(),
            identity: (certificate.subject_der().to_vec(), key),
            subject,
            ca,
        })
    }

    pub(crate) fn id(&self) -> CaId {
        let (name, key) = &self.identity;
        CaId::new(name, key)
    }

    /// Whether this is the same CA with different settings.
    fn contradicts(&self, other: &Self) -> bool {
        let said = |ca: &ClientCa| (ca.vouches_for.clone(), ca.allow_no_extended_key_usage);
        self.identity == other.identity && said(&self.ca) != said(&other.ca)
    }
}

impl std::fmt::Debug for ClientTrust {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ClientTrust")
            .field("anchors", &self.anchors)
            .field("rules", &self.rules)
            .finish_non_exhaustive()
    }
}

impl std::fmt::Debug for ClientCa {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ClientCa")
            .field("origin", &self.origin)
            .field("vouches_for", &self.vouches_for)
            .finish_non_exhaustive()
    }
}
