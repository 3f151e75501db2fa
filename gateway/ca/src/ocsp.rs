//! The OCSP responder of an issuing CA (RFC 6960, RFC 5019).

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use bytes::Bytes;
use chancery_keys::software::SoftwareSigner;
use chancery_keys::{KeyName, KeyType, Signer};
use chancery_x509::{
    CertificateStatus, OcspFailure, OcspRequest, OcspTemplate, ParsedCertificate, PublicKey,
    Serial, SignatureAlgorithm, SingleStatus,
};
use jiff::Timestamp;
use quick_cache::sync::Cache;
use zeroize::Zeroizing;

use crate::issuing::IssuingCa;
use crate::{Ca, OcspError};

/// Answers that are kept: about 50 MB of them.
const KEPT: usize = 50_000;

/// The longest request whose answer is kept; one about a single certificate has about a hundred bytes.
const LONGEST_KEPT: usize = 256;

/// The OCSP responder of the issuing CA (RFC 6960, and the profile of RFC 5019). Its key is a delegated one
/// in memory, so that no answer waits for an HSM. An answer is signed once and given until half of its
/// time has passed, or until the certificate is revoked; one with a nonce is signed for each client that asks.
pub struct OcspResponder {
    ca: Arc<Ca>,
    /// The key identifier of the issuing CA that this is about.
    issuer: String,
    validity: Duration,
    delegate: ArcSwapOption<Delegate>,
    answers: Cache<Vec<u8>, Arc<Kept>>,
}

/// Who signs in the CA's name (RFC 6960 §4.2.2.2).
struct Delegate {
    signer: SoftwareSigner,
    key: KeyName,
    public: PublicKey,
    certificate: Vec<u8>,
    not_after: Timestamp,
}

/// With what an answer is signed: the delegate's key, or the CA's own.
struct Signing<'a> {
    signer: &'a dyn Signer,
    key: &'a KeyName,
    public: &'a PublicKey,
    algorithm: SignatureAlgorithm,
    /// What shows that the key may.
    certificate: Option<&'a Vec<u8>>,
    not_after: Timestamp,
}

struct Kept {
    answer: OcspAnswer,
    serial: Serial,
    revoked: bool,
    renew_at: Timestamp,
}

/// An answer to a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OcspAnswer {
    /// The response, DER.
    pub der: Bytes,
    /// From when until when it may be given to others who ask the same; none if it may not.
    pub reusable: Option<(Timestamp, Timestamp)>,
}

impl From<OcspFailure> for OcspAnswer {
    fn from(failure: OcspFailure) -> Self {
        Self { der: Bytes::from_static(failure.to_der()), reusable: None }
    }
}

impl OcspResponder {
    /// A responder for the issuing CA with this key identifier, whose answers are valid for so long. For
    /// the current one it answers `tryLater` until it has a [delegate](Self::delegate); for one that issues
    /// no more, and so certifies no delegate, the CA's own key signs.
    pub fn new(ca: Arc<Ca>, issuer: &str, validity: Duration) -> Self {
        let (delegate, answers) = (ArcSwapOption::empty(), Cache::new(KEPT));
        Self { ca, issuer: issuer.to_owned(), validity, delegate, answers }
    }

    /// The key identifier of the issuing CA that this is about, in lower-case hex.
    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    /// Signs with this key (PKCS#8, DER) from now on. The certificate (DER) is one of the issuing CA's, for
    /// this key, with the purpose `ocsp-signing`.
    ///
    /// # Errors
    /// The key cannot be used, or the certificate is not for it or not the CA's.
    pub fn delegate(&self, key: Zeroizing<Vec<u8>>, certificate: Vec<u8>) -> Result<(), OcspError> {
        let signer = SoftwareSigner::new();
        let name: KeyName = "ocsp".parse().map_err(|_| OcspError::Certificate("it has no name"))?;
        let public = signer.insert_pkcs8(name.clone(), key)?;
        let parsed = ParsedCertificate::from_der(&certificate)?;
        if parsed.public_key().ok() != Some(&public) {
            return Err(OcspError::Certificate("it is for another key"));
        }
        let issuing = self.ca.issuing(&self.issuer);
        if issuing.is_none_or(|one| parsed.verify_signed_by(one.authority.public_key()).is_err()) {
            return Err(OcspError::Certificate("it is not the issuing CA's"));
        }
        let not_after = parsed.not_after();
        self.delegate.store(Some(Arc::new(Delegate {
            signer,
            key: name,
            public,
            certificate,
            not_after,
        })));
        // What the old key signed may end before its certificate is valid no more.
        self.answers.clear();
        Ok(())
    }

    /// Answers a request (DER). `issued` tells whether the CA has issued a certificate with this number:
    /// nobody is told that one is good which the CA never made.
    pub async fn answer<E: std::fmt::Display, F: Future<Output = Result<bool, E>>>(
        &self,
        request: &[u8],
        now: Timestamp,
        issued: impl Fn(Serial) -> F,
    ) -> OcspAnswer {
        if let Some(kept) = self.kept(request, now) {
            return kept;
        }
        let asked = request;
        let request = match OcspRequest::from_der(request) {
            Ok(request) => request,
            Err(error) => {
                tracing::debug!(%error, "an OCSP request is refused");
                return failed(OcspFailure::Malformed);
            }
        };
        let Some(issuing) = self.ca.issuing(&self.issuer) else {
            return failed(OcspFailure::Unauthorized);
        };
        let issuer = issuing.authority.issuer();
        if !request.certificates.iter().all(|certificate| certificate.is_of(issuer)) {
            return failed(OcspFailure::Unauthorized);
        }
        let key = match (&request.nonce, request.certificates.as_slice()) {
            (None, [_]) if asked.len() <= LONGEST_KEPT => Some(asked.to_vec()),
            _ => None,
        };
        let delegate = self.delegate.load_full();
        let signing = match &delegate {
            Some(delegate) => delegate.signing(),
            None if self.issuer != self.ca.issuer_id() && issuing.signs => {
                Signing::itself(&self.ca, issuing)
            }
            None => return failed(OcspFailure::TryLater),
        };
        let mut said = Vec::with_capacity(request.certificates.len());
        for certificate in request.certificates {
            let serial = *certificate.serial();
            let status = match issuing.revocations.find(&serial) {
                Err(error) => {
                    tracing::error!(%error, "the status of a certificate cannot be told");
                    return failed(OcspFailure::TryLater);
                }
                Ok(Some(entry)) => CertificateStatus::Revoked(entry),
                Ok(None) => match issued(serial).await {
                    Ok(true) => CertificateStatus::Good,
                    Ok(false) => CertificateStatus::Unknown,
                    Err(error) => {
                        tracing::error!(%error, "the status of a certificate cannot be told");
                        return failed(OcspFailure::TryLater);
                    }
                },
            };
            let next_update = (now + self.validity).min(signing.not_after);
            said.push(SingleStatus { certificate, status, this_update: now, next_update });
        }
        // RFC 5019 §2.2.3. Else a client could invent numbers and have the responder sign for each.
        if said.iter().all(|one| matches!(one.status, CertificateStatus::Unknown)) {
            return failed(OcspFailure::Unauthorized);
        }
        match self.sign(&signing, said, request.nonce, now, key).await {
            Ok(answer) => {
                metrics::counter!("chancery_ca_ocsp_answers_total", "outcome" => "signed")
                    .increment(1);
                answer
            }
            Err(error) => {
                tracing::error!(%error, "an OCSP answer cannot be made");
                failed(OcspFailure::Internal)
            }
        }
    }

    /// The answer to this very request (DER), if it was given before and still stands. Answers from memory.
    pub fn kept(&self, request: &[u8], now: Timestamp) -> Option<OcspAnswer> {
        let kept = self.answers.get(request)?;
        let stands =
            now < kept.renew_at && kept.revoked == self.ca.is_revoked(&self.issuer, &kept.serial);
        stands.then(|| {
            metrics::counter!("chancery_ca_ocsp_answers_total", "outcome" => "kept").increment(1);
            kept.answer.clone()
        })
    }

    async fn sign(
        &self,
        signing: &Signing<'_>,
        said: Vec<SingleStatus>,
        nonce: Option<Vec<u8>>,
        now: Timestamp,
        key: Option<Vec<u8>>,
    ) -> Result<OcspAnswer, OcspError> {
        let first = said.first();
        let first = first.map(|said| (*said.certificate.serial(), said.status, said.next_update));
        let template = OcspTemplate {
            responder: signing.public.clone(),
            produced_at: now,
            certificates: said,
            nonce,
        };
        let content = template.build(signing.algorithm)?;
        let signature =
            signing.signer.sign(signing.key, content.algorithm(), content.der()).await?;
        let shown: Vec<&[u8]> = signing.certificate.iter().map(|one| one.as_slice()).collect();
        let der = OcspTemplate::assemble(&content, &signature, &shown)?;
        let mut answer = OcspAnswer { der: der.into(), reusable: None };
        if let (Some(key), Some((serial, status, next_update))) = (key, first) {
            answer.reusable = Some((now, next_update));
            let half = next_update.duration_since(now) / 2;
            self.answers.insert(
                key,
                Arc::new(Kept {
                    answer: answer.clone(),
                    serial,
                    revoked: matches!(status, CertificateStatus::Revoked(_)),
                    renew_at: now + half,
                }),
            );
        }
        Ok(answer)
    }
}

impl Delegate {
    fn signing(&self) -> Signing<'_> {
        Signing {
            signer: &self.signer,
            key: &self.key,
            public: &self.public,
            algorithm: KeyType::EcdsaP256.default_algorithm(),
            certificate: Some(&self.certificate),
            not_after: self.not_after,
        }
    }
}

impl<'a> Signing<'a> {
    fn itself(ca: &'a Ca, issuing: &'a IssuingCa) -> Self {
        let authority = &issuing.authority;
        Self {
            signer: ca.keys.signer(),
            key: authority.key(),
            public: authority.public_key(),
            algorithm: authority.algorithm(),
            certificate: None,
            not_after: authority.certificate().not_after(),
        }
    }
}

/// The failure, counted.
fn failed(failure: OcspFailure) -> OcspAnswer {
    let outcome = match failure {
        OcspFailure::Malformed => "malformed",
        OcspFailure::Internal => "internal",
        OcspFailure::TryLater => "try-later",
        OcspFailure::Unauthorized => "unauthorized",
    };
    metrics::counter!("chancery_ca_ocsp_answers_total", "outcome" => outcome).increment(1);
    failure.into()
}

impl std::fmt::Debug for OcspResponder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("OcspResponder").field("kept", &self.answers.len()).finish_non_exhaustive()
    }
}
