//! The client certificate of a peer, which is checked again at every use.

use std::pin::Pin;
use std::sync::Arc;

use crate::{Clock, Fingerprint, PeerCertificate, TenantId};

/// Says whether a client certificate that was good in the handshake still counts, its dates apart:
/// whether its issuer has revoked it, and whether the CA that vouched for it is still trusted. It is
/// asked at every use, so it answers from memory.
pub type StillHolds = Arc<dyn Fn(&PeerCertificate) -> Result<(), EvidenceError> + Send + Sync>;

/// Finds out what has to be known before [`StillHolds`] can answer, and is not known yet. None if there is
/// nothing to wait for.
pub type Settle = Arc<dyn Fn(&PeerCertificate) -> Option<Settling> + Send + Sync>;

/// Judges a certificate chain as a handshake that presents it now would be judged, the proof of the private key
/// apart: the certificate first, then those of the CAs above it, in DER. It answers from memory.
pub type JudgeChain = Arc<dyn Fn(&[Vec<u8>]) -> Result<Evidence, EvidenceError> + Send + Sync>;

/// What is waited for: it ends within a few seconds, whatever happens.
pub type Settling = Pin<Box<dyn Future<Output = ()> + Send>>;

/// What proves who a peer is: its client certificate, which was good in the handshake. Connections,
/// and requests whose bodies arrive slowly, outlive certificates, so the certificate is out of reach
/// except through [`check`](Self::check), which looks whether it counts at this moment. Cheap to clone.
#[derive(Clone)]
pub struct Evidence {
    certificate: Arc<PeerCertificate>,
    above: Arc<[Vec<u8>]>,
    clock: Clock,
    still_holds: StillHolds,
    settle: Option<Settle>,
}

/// Why a client certificate that was good in the handshake does not count any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EvidenceError {
    /// It, or a CA's certificate between it and the trusted CA, ran out.
    #[error("the client certificate has expired")]
    Expired,
    /// It begins later: the clock was set back.
    #[error("the client certificate is not valid yet")]
    NotYetValid,
    /// Its issuer took it back.
    #[error("the client certificate was revoked")]
    Revoked,
    /// The certificate of a CA between it and the trusted CA was taken back.
    #[error(
        "the certificate of a CA between the client certificate and the trusted CA was revoked"
    )]
    CaRevoked,
    /// Nobody can say whether it was revoked, and its CA's binding wants to know.
    #[error(
        "it is not known whether the client certificate was revoked: its CA's CRL is missing or out of date, \
         or its OCSP responder does not answer for it"
    )]
    StatusUnknown,
    /// It is one of the gateway's own, and was issued for another tenant than the one whose rules recognise its
    /// names now.
    #[error(
        "the client certificate was issued for another tenant than the one that recognises it now: get a new one"
    )]
    OfAnotherTenant,
    /// It is one of the gateway's own, and the store does not say for which tenant it was issued.
    #[error(
        "it is not known at the moment for which tenant the client certificate was issued: try again"
    )]
    OwnerUnknown,
    /// The configuration changed: the CA that vouched for it is gone, or vouches for others only.
    #[error("no CA that is trusted now vouches for the client certificate")]
    Untrusted,
}

impl EvidenceError {
    /// Stable code, for the audit log and metrics.
    pub fn code(self) -> &'static str {
        match self {
            Self::Expired => "certificate-expired",
            Self::NotYetValid => "certificate-not-yet-valid",
            Self::Revoked => "certificate-revoked",
            Self::CaRevoked => "certificate-ca-revoked",
            Self::StatusUnknown => "certificate-status-unknown",
            Self::OfAnotherTenant => "certificate-of-another-tenant",
            Self::OwnerUnknown => "certificate-owner-unknown",
            Self::Untrusted => "certificate-untrusted",
        }
    }
}

impl Evidence {
    /// The evidence that a handshake gave. `clock` says whether it is in date, `still_holds` the rest.
    pub fn new(certificate: Arc<PeerCertificate>, clock: Clock, still_holds: StillHolds) -> Self {
        Self { certificate, above: Arc::default(), clock, still_holds, settle: None }
    }

    /// The same of a certificate below these: those of the CAs between it and the trusted one, its issuer's
    /// first, in DER.
    #[must_use]
    pub fn below(self, above: Arc<[Vec<u8>]>) -> Self {
        Self { above, ..self }
    }

    /// The same where something may have to be found out first.
    #[must_use]
    pub fn settled_by(self, settle: Settle) -> Self {
        Self { settle: Some(settle), ..self }
    }

    /// Finds out what is not known yet about the certificate, such as what its CA's OCSP responder says.
    /// Wait for it before a request is handled: [`check`](Self::check) never waits. None if there is nothing
    /// to wait for.
    pub fn settle(&self) -> Option<Settling> {
        self.settle.as_ref().and_then(|settle| settle(&self.certificate))
    }

    /// The certificate, if it counts at this moment. Call it where the certificate is used, and again
    /// after anything that was waited for.
    ///
    /// # Errors
    /// Why it does not count.
    pub fn check(&self) -> Result<&PeerCertificate, EvidenceError> {
        let now = self.clock.now();
        if now > self.certificate.not_after {
            return Err(EvidenceError::Expired);
        }
        if now < self.certificate.not_before {
            return Err(EvidenceError::NotYetValid);
        }
        (self.still_holds)(&self.certificate)?;
        Ok(&self.certificate)
    }

    /// The certificate and those above it, in DER, whether or not they count: what evidence can be had from
    /// again when the connection is gone.
    pub fn chain(&self) -> Vec<Vec<u8>> {
        std::iter::once(&self.certificate.der).chain(self.above.iter()).cloned().collect()
    }

    /// Which certificate was shown, whether or not it counts: for the log.
    pub fn fingerprint(&self) -> Fingerprint {
        self.certificate.fingerprint
    }

    /// The serial number of the certificate that was shown, whether or not it counts: for the log.
    pub fn serial(&self) -> &str {
        &self.certificate.serial
    }

    /// The tenant that requests with this certificate address. It is no proof of anything: a caller that acts
    /// for the tenant calls [`check`](Self::check).
    pub fn tenant(&self) -> Option<&TenantId> {
        self.certificate.identity.as_ref().ok().map(|identity| &identity.tenant)
    }
}

impl std::fmt::Debug for Evidence {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Evidence")
            .field("fingerprint", &self.certificate.fingerprint)
            .field("serial", &self.certificate.serial)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::time::Duration;

    use jiff::Timestamp;

    use super::*;
    use crate::{Identity, IdentityName, RequestContext};

    fn certificate() -> PeerCertificate {
        PeerCertificate {
            der: vec![1],
            fingerprint: Fingerprint::of_certificate(&[1]),
            serial: "0a".to_owned(),
            authority_key_id: String::new(),
            not_before: Timestamp::from_second(100).unwrap(),
            not_after: Timestamp::from_second(200).unwrap(),
            lineage: None,
            identity: Ok(Identity {
                tenant: "b".parse().unwrap(),
                name: IdentityName::Pinned("b".to_owned()),
            }),
        }
    }

    #[test]
    fn counts_from_the_first_second_of_its_certificate_to_the_last() {
        let clock = Clock::manual(Timestamp::from_second(99).unwrap());
        let evidence = Evidence::new(Arc::new(certificate()), clock.clone(), Arc::new(|_| Ok(())));
        let code = || evidence.check().map(|found| found.serial.clone());
        assert_eq!(code(), Err(EvidenceError::NotYetValid));
        clock.advance(Duration::from_secs(1));
        assert_eq!(code().unwrap(), "0a");
        clock.advance(Duration::from_secs(100));
        assert_eq!(code().unwrap(), "0a");
        clock.advance(Duration::from_millis(1));
        assert_eq!(code(), Err(EvidenceError::Expired));
    }

    #[test]
    fn stops_counting_the_moment_that_its_issuer_says_so_for_every_clone() {
        let revoked = Arc::new(AtomicBool::new(false));
        let asked = revoked.clone();
        let still_holds: StillHolds = Arc::new(move |certificate| {
            assert_eq!(certificate.serial, "0a");
            if asked.load(Ordering::SeqCst) { Err(EvidenceError::Revoked) } else { Ok(()) }
        });
        let clock = Clock::manual(Timestamp::from_second(150).unwrap());
        let evidence = Evidence::new(Arc::new(certificate()), clock.clone(), still_holds);
        let mut context = RequestContext::internal(TenantId::default_tenant(), clock.now());
        context.evidence = Some(evidence.clone());
        assert!(evidence.check().is_ok());
        assert_eq!(context.check_evidence(), Ok(()));
        revoked.store(true, Ordering::SeqCst);
        assert_eq!(evidence.check().unwrap_err(), EvidenceError::Revoked);
        assert_eq!(context.check_evidence(), Err(EvidenceError::Revoked));
        // What the log and the routing of a refusal need is still there.
        assert_eq!(evidence.serial(), "0a");
        assert_eq!(evidence.tenant().unwrap().as_str(), "b");
        assert!(!format!("{evidence:?}").contains("Pinned"));
    }

    #[test]
    fn a_request_without_a_certificate_has_nothing_that_could_end() {
        let context = RequestContext::internal(TenantId::default_tenant(), Timestamp::UNIX_EPOCH);
        assert_eq!(context.check_evidence(), Ok(()));
    }
}
