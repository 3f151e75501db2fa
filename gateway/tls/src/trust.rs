use std::sync::Arc;

use chancery_identity::IdentityRules;
use chancery_x509::{KeyUsage, ParsedCertificate};
use rustls::RootCertStore;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::CertificateDer;
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;

/// Whom the gateway believes about its clients: the CAs that may vouch for client certificates, and
/// the rules by which a certificate becomes an identity.
#[derive(Debug, Clone)]
pub struct ClientTrust {
    /// Sorted and without repetition, so that two trusts can be compared.
    anchors: Vec<Vec<u8>>,
    pub(crate) rules: IdentityRules,
}

/// Why a certificate cannot be a client CA. The trust in use stays in use.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TrustError {
    /// It cannot be read.
    #[error("client CA certificate number {number} cannot be read: {reason}")]
    Unreadable {
        /// Its place in the list, from 1.
        number: usize,
        /// What is wrong with it.
        reason: String,
    },
    /// It is not a CA's. As an anchor it would vouch for itself, so that whoever holds its key could
    /// never be cut off by the CA that issued it.
    #[error(
        "client CA certificate number {number} (`{subject}`) is not a CA's: its basic constraints do \
         not say CA:TRUE, or its key usage excludes signing certificates; configure the CA that \
         issued it, or pin the identity to its fingerprint"
    )]
    NotACa {
        /// Its place in the list, from 1.
        number: usize,
        /// Its common name, if it has one.
        subject: String,
    },
    /// The TLS library refused the settings as a whole.
    #[error("the TLS library refuses the settings: {reason}")]
    Library {
        /// What it said.
        reason: String,
    },
}

impl ClientTrust {
    /// Trusts these CA certificates (DER), and reads identities by these rules. Without any CA, no
    /// client certificate is asked for. An anchor's own expiry is not looked at (RFC 5280 §6.1.1 (d)
    /// takes only name and key from it); remove it to end its trust.
    ///
    /// # Errors
    /// See [`TrustError`].
    pub fn new(roots: Vec<Vec<u8>>, rules: IdentityRules) -> Result<Self, TrustError> {
        for (index, der) in roots.iter().enumerate() {
            check(index + 1, der)?;
        }
        let mut anchors = roots;
        anchors.sort_unstable();
        anchors.dedup();
        Ok(Self { anchors, rules })
    }

    /// Whether the same CAs are trusted, whatever the rules.
    pub(crate) fn has_the_anchors_of(&self, other: &Self) -> bool {
        self.anchors == other.anchors
    }

    /// How to verify client certificates: optional, but good if there is one.
    pub(crate) fn verifier(
        &self,
        provider: &Arc<CryptoProvider>,
    ) -> Result<Arc<dyn ClientCertVerifier>, TrustError> {
        if self.anchors.is_empty() {
            return Ok(WebPkiClientVerifier::no_client_auth());
        }
        let mut roots = RootCertStore::empty();
        for (index, der) in self.anchors.iter().enumerate() {
            roots
                .add(CertificateDer::from(der.as_slice()).into_owned())
                .map_err(|error| unreadable(index + 1, &error))?;
        }
        WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider))
            .allow_unauthenticated()
            .build()
            .map_err(|error| TrustError::Library { reason: error.to_string() })
    }
}

fn check(number: usize, der: &[u8]) -> Result<(), TrustError> {
    let certificate =
        ParsedCertificate::from_der(der).map_err(|error| unreadable(number, &error))?;
    let may_sign = certificate.key_usages().is_none_or(|all| all.contains(KeyUsage::KeyCertSign));
    if certificate.is_ca() && may_sign {
        Ok(())
    } else {
        let subject = certificate.subject_common_name().unwrap_or("no common name").to_owned();
        Err(TrustError::NotACa { number, subject })
    }
}

fn unreadable(number: usize, reason: &dyn std::fmt::Display) -> TrustError {
    TrustError::Unreadable { number, reason: reason.to_string() }
}
