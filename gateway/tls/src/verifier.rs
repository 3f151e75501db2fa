//! Verifies client certificates (RFC 5280 §6), and remembers the paths of chains that were verified.

use std::cell::RefCell;
use std::sync::Arc;

use aws_lc_rs::digest::{Context, SHA256};
use chancery_identity::Fingerprint;
use chancery_x509::{KeyUsage, ParsedCertificate};
use jiff::Timestamp;
use quick_cache::Weighter;
use quick_cache::sync::Cache;
use rustls::crypto::{
    CryptoProvider, WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature,
};
use rustls::pki_types::{CertificateDer, TrustAnchor, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, SignatureScheme,
    client::danger::HandshakeSignatureValid,
};
use webpki::{EndEntityCert, VerifiedPath, anchor_from_trusted_cert};

use crate::client_path::ClientPath;
use crate::paths::{self, Paths};
use crate::refusal::Refusal;
use crate::trust::Anchor;
use crate::{ClientTrust, TrustError, peer};

/// The extension with the extended key usages (RFC 5280 §4.2.1.12).
const EXTENDED_KEY_USAGE: &str = "2.5.29.37";

/// How many chains are remembered as verified, and how many bytes they take at most.
const REMEMBERED: (usize, u64) = (4096, 4 * 1024 * 1024);

/// The longest chain that is presented, in bytes: eight certificates of eight kilobytes.
const LARGEST: usize = 64 * 1024;

/// Verifies client certificates, and tells which CA vouched for one: what the TLS library's own verifier
/// keeps to itself.
///
/// A path that was found is remembered by the chain that was presented, as long as all of it is in date:
/// a resumed session brings the chain of its first handshake, and is judged as that was.
pub(crate) struct Verifier {
    trust: Arc<ClientTrust>,
    /// Those of the trust, in the same order.
    anchors: Vec<TrustAnchor<'static>>,
    /// Their certificates.
    cas: Vec<ParsedCertificate>,
    hints: Vec<DistinguishedName>,
    algorithms: WebPkiSupportedAlgorithms,
    verified: Cache<[u8; 32], Arc<ClientPath>, Bytes>,
}

/// What path building came across.
#[derive(Default)]
struct Candidates {
    /// One by which the certificate stands for somebody.
    somebody: Option<ClientPath>,
    /// The first one that is good and by which it stands for nobody.
    nobody: Option<ClientPath>,
    /// What was wrong with the first one that is not good.
    refused: Option<Refusal>,
}

impl Verifier {
    pub(crate) fn new(
        trust: Arc<ClientTrust>,
        provider: &CryptoProvider,
    ) -> Result<Self, TrustError> {
        let mut anchors = Vec::with_capacity(trust.anchors().len());
        let mut cas = Vec::with_capacity(trust.anchors().len());
        for Anchor { ca, .. } in trust.anchors() {
            let unreadable =
                |reason: String| TrustError::Unreadable { origin: ca.origin.clone(), reason };
            let der = CertificateDer::from(ca.certificate.as_slice());
            let anchor =
                anchor_from_trusted_cert(&der).map_err(|error| unreadable(error.to_string()))?;
            anchors.push(anchor.to_owned());
            let read = ParsedCertificate::from_der(&ca.certificate);
            cas.push(read.map_err(|error| unreadable(error.to_string()))?);
        }
        let hint = |anchor: &TrustAnchor<'_>| DistinguishedName::in_sequence(&anchor.subject);
        Ok(Self {
            hints: anchors.iter().map(hint).collect(),
            algorithms: provider.signature_verification_algorithms,
            verified: Cache::with_weighter(REMEMBERED.0, REMEMBERED.1, Bytes),
            trust,
            anchors,
            cas,
        })
    }

    /// The way from the first of these certificates to a CA that is trusted, over others of them.
    pub(crate) fn path(
        &self,
        chain: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<Arc<ClientPath>, CertificateError> {
        let key = digest(chain);
        let second = i64::try_from(now.as_secs()).unwrap_or(i64::MAX);
        let moment = Timestamp::from_second(second).unwrap_or(Timestamp::MAX);
        if let Some(known) = self.verified.get(&key)
            && (known.not_before..=known.not_after).contains(&moment)
        {
            return Ok(known);
        }
        let found = Arc::new(self.build(chain, now, moment)?);
        self.verified.insert(key, Arc::clone(&found));
        Ok(found)
    }

    fn build(
        &self,
        chain: &[CertificateDer<'_>],
        now: UnixTime,
        moment: Timestamp,
    ) -> Result<ClientPath, CertificateError> {
        if chain.len() > paths::LONGEST
            || chain.iter().map(|der| der.len()).sum::<usize>() > LARGEST
        {
            return Err(Refusal::TooManyCertificates { most: paths::LONGEST }.into());
        }
        let (leaf, others) = chain.split_first().ok_or(CertificateError::BadEncoding)?;
        let read = ParsedCertificate::from_der(leaf).map_err(Refusal::Unreadable)?;
        let end_entity = EndEntityCert::try_from(leaf).map_err(|error| Refusal::of_path(&error))?;
        // What is wrong with the certificate itself says more than where it leads, and costs nothing.
        match self.verify(&end_entity, (&[], &[]), now, &|_| Ok(())) {
            Ok(()) | Err(webpki::Error::UnknownIssuer) => {}
            Err(error) => return Err(Refusal::of_path(&error)),
        }
        // What cannot be read leads nowhere.
        let mut unreadable = None;
        let (mut presented, mut ders) = (vec![read.clone()], vec![leaf]);
        for der in others {
            match ParsedCertificate::from_der(der) {
                Ok(read) => {
                    presented.push(read);
                    ders.push(der);
                }
                Err(error) => drop(unreadable.get_or_insert(error)),
            }
        }
        let paths = Paths::of(&self.cas, &presented).all().map_err(|error| match unreadable {
            Some(unreadable) if error == CertificateError::UnknownIssuer => {
                Refusal::UnreadableCa(unreadable).into()
            }
            _ => error,
        })?;
        let candidates = RefCell::new(Candidates::default());
        // An error has the next path tried.
        let next = || Err(webpki::Error::UnknownIssuer);
        let judge = |path: &VerifiedPath<'_>| {
            let mut candidates = candidates.borrow_mut();
            match self.judge(path, &read, moment) {
                Err(refusal) => {
                    candidates.refused.get_or_insert(refusal);
                    next()
                }
                Ok(found) if self.is_somebody(&found, &read) => {
                    candidates.somebody = Some(found);
                    Ok(())
                }
                Ok(found) => {
                    candidates.nobody.get_or_insert(found);
                    next()
                }
            }
        };
        let mut built = Ok(());
        for path in paths {
            let between: Vec<_> = path.iter().filter_map(|place| ders.get(*place)).collect();
            let between: Vec<_> = between.into_iter().map(|der| borrowed(der)).collect();
            let this = self.verify(&end_entity, (&self.anchors, &between), now, &judge);
            if candidates.borrow().somebody.is_some() {
                break;
            }
            built = built.and(this);
        }
        let Candidates { somebody, nobody, refused } = candidates.into_inner();
        match (somebody.or(nobody), refused, built) {
            (Some(found), _, _) => Ok(found),
            (None, Some(refused), _) => Err(refused.into()),
            (None, None, Err(error)) => Err(Refusal::of_path(&error)),
            (None, None, Ok(())) => Err(CertificateError::ApplicationVerificationFailure),
        }
    }

    fn verify(
        &self,
        leaf: &EndEntityCert<'_>,
        (anchors, between): (&[TrustAnchor<'_>], &[CertificateDer<'_>]),
        now: UnixTime,
        judge: &dyn Fn(&VerifiedPath<'_>) -> Result<(), webpki::Error>,
    ) -> Result<(), webpki::Error> {
        let usage = webpki::KeyUsage::client_auth();
        let all = self.algorithms.all;
        leaf.verify_for_usage(all, anchors, between, now, usage, None, Some(judge)).map(drop)
    }

    /// What the path builder does not look at: key usages (RFC 8446 §4.4.2.2, RFC 5280 §4.2.1.3), the
    /// dates of the anchor and its limit on the length of paths, and whether the CA may leave out extended key
    /// usages.
    fn judge(
        &self,
        path: &VerifiedPath<'_>,
        leaf: &ParsedCertificate,
        now: Timestamp,
    ) -> Result<ClientPath, Refusal> {
        let at = self.anchors.iter().position(|anchor| std::ptr::eq(anchor, path.anchor()));
        let anchor = at.and_then(|at| self.trust.anchors().get(at));
        let anchor = anchor.ok_or(Refusal::Chain("the path ends at no client CA"))?;
        if leaf.key_usages().is_some_and(|all| !all.contains(KeyUsage::DigitalSignature)) {
            return Err(Refusal::NotForSigning);
        }
        let has_extended_key_usage = leaf.has_extension(EXTENDED_KEY_USAGE);
        if !has_extended_key_usage && !anchor.ca.allow_no_extended_key_usage {
            return Err(Refusal::NoExtendedKeyUsage);
        }
        let ca = at.and_then(|at| self.cas.get(at));
        let ca = ca.ok_or(Refusal::Chain("the path ends at no client CA"))?;
        if now < ca.not_before() || now > ca.not_after() {
            let (from, until) = (ca.not_before(), ca.not_after());
            return Err(Refusal::CaOutOfDate { ca: anchor.subject.clone(), from, until });
        }
        let mut not_before = leaf.not_before().max(ca.not_before());
        let mut not_after = leaf.not_after().min(ca.not_after());
        let (mut intermediates, mut counted) = (vec![], 0);
        for certificate in path.intermediate_certificates() {
            let der = certificate.der().to_vec();
            let read = ParsedCertificate::from_der(&der).map_err(Refusal::UnreadableCa)?;
            if read.key_usages().is_some_and(|all| !all.contains(KeyUsage::KeyCertSign)) {
                return Err(Refusal::ca_not_for_certificates(&read));
            }
            // Self-issued ones do not count (RFC 5280 §6.1.4 (l)).
            counted += usize::from(read.subject_der() != read.issuer_der());
            not_before = not_before.max(read.not_before());
            not_after = not_after.min(read.not_after());
            intermediates.push(der);
        }
        match anchor.path_length {
            Some(limit) if counted > usize::from(limit) => {
                Err(Refusal::TooLong { ca: anchor.subject.clone(), limit, counted })
            }
            _ => Ok(ClientPath {
                ca: anchor.fingerprint,
                intermediates: intermediates.into(),
                has_extended_key_usage,
                not_before,
                not_after,
            }),
        }
    }

    fn is_somebody(&self, path: &ClientPath, leaf: &ParsedCertificate) -> bool {
        let fingerprint = Fingerprint::of_certificate(leaf.der());
        self.trust.identity(path.ca, fingerprint, &peer::names(leaf)).is_ok()
    }
}

impl ClientCertVerifier for Verifier {
    fn client_auth_mandatory(&self) -> bool {
        false
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &self.hints
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let chain: Vec<_> =
            std::iter::once(end_entity).chain(intermediates).map(borrowed).collect();
        self.path(&chain, now)?;
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signature, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signature, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

impl std::fmt::Debug for Verifier {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Verifier").field("trust", &self.trust).finish_non_exhaustive()
    }
}

fn borrowed<'a>(certificate: &'a CertificateDer<'_>) -> CertificateDer<'a> {
    CertificateDer::from(certificate.as_ref())
}

/// What a chain is remembered by.
fn digest(chain: &[CertificateDer<'_>]) -> [u8; 32] {
    let mut context = Context::new(&SHA256);
    for certificate in chain {
        context.update(&certificate.len().to_be_bytes());
        context.update(certificate);
    }
    let mut bytes = [0; 32];
    bytes.copy_from_slice(context.finish().as_ref());
    bytes
}

/// Weighs paths by the certificates in them.
#[derive(Clone)]
struct Bytes;

impl Weighter<[u8; 32], Arc<ClientPath>> for Bytes {
    fn weight(&self, _: &[u8; 32], path: &Arc<ClientPath>) -> u64 {
        let certificates: usize = path.intermediates.iter().map(Vec::len).sum();
        u64::try_from(certificates).unwrap_or(u64::MAX).saturating_add(256)
    }
}
