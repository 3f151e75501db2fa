//! Why a client certificate is refused, in terms of the TLS library and as text for the log.

use std::sync::Arc;

use chancery_x509::ParsedCertificate;
use jiff::Timestamp;
use rustls::pki_types::UnixTime;
use rustls::{CertificateError, OtherError};

/// What is wrong with a client certificate, where the TLS library has no word of its own for it.
#[derive(Debug, Clone, thiserror::Error)]
pub(crate) enum Refusal {
    #[error("it cannot be read: {0}")]
    Unreadable(chancery_x509::CertificateError),
    #[error("a CA's certificate above it cannot be read: {0}")]
    UnreadableCa(chancery_x509::CertificateError),
    #[error("its key usage lacks digitalSignature, which TLS clients need (RFC 8446 §4.4.2.2)")]
    NotForSigning,
    #[error(
        "it has no extended key usage: clients need clientAuth there, unless their CA's binding in \
         [[clients.cas]] says allow_no_extended_key_usage"
    )]
    NoExtendedKeyUsage,
    #[error(
        "the key usage of the CA certificate `{ca}` above it lacks keyCertSign (RFC 5280 §4.2.1.3)"
    )]
    CaNotForCertificates {
        /// The common name, escaped and shortened.
        ca: String,
    },
    #[error(
        "the client CA `{ca}` allows {limit} CAs below it (pathLenConstraint), and there are {counted} \
         between it and the certificate"
    )]
    TooLong { ca: String, limit: u8, counted: usize },
    #[error(
        "the certificate of the client CA `{ca}` is valid from {from} to {until} only: replace it in the file \
         of its [[clients.cas]] table, or remove the table"
    )]
    CaOutOfDate { ca: String, from: Timestamp, until: Timestamp },
    #[error(
        "it came with too many or too long certificates: a client sends its own and those of the CAs above \
         it, {most} at most, of 64 KiB together"
    )]
    TooManyCertificates { most: usize },
    #[error("{0}")]
    Chain(&'static str),
}

impl Refusal {
    pub(crate) const TOO_MUCH_WORK: Self = Self::Chain("its chain takes too much work to verify");

    pub(crate) fn ca_not_for_certificates(certificate: &ParsedCertificate) -> Self {
        let name = certificate.subject_common_name().unwrap_or("no common name");
        Self::CaNotForCertificates {
            ca: name.chars().take(64).flat_map(char::escape_debug).collect(),
        }
    }

    /// Why no path was found, in the TLS library's words as far as it has some: the peer's alert follows
    /// from them.
    pub(crate) fn of_path(error: &webpki::Error) -> CertificateError {
        use webpki::Error as Path;
        let why = match *error {
            Path::BadDer | Path::BadDerTime | Path::TrailingData(_) => {
                return CertificateError::BadEncoding;
            }
            Path::CertExpired { time, not_after } => {
                return CertificateError::ExpiredContext { time, not_after };
            }
            Path::CertNotValidYet { time, not_before } => {
                return CertificateError::NotValidYetContext { time, not_before };
            }
            Path::UnknownIssuer => return CertificateError::UnknownIssuer,
            Path::InvalidSignatureForPublicKey => return CertificateError::BadSignature,
            Path::RequiredEkuNotFoundContext(_) => return CertificateError::InvalidPurpose,
            Path::InvalidCertValidity => {
                "it, or a CA's certificate above it, ends before it begins"
            }
            Path::CaUsedAsEndEntity => "it is a CA's certificate and no client's",
            Path::EndEntityUsedAsCa => {
                "it was issued by the holder of a certificate that is no CA's"
            }
            Path::NameConstraintViolation => {
                "a name in it is outside the name constraints of a CA above it"
            }
            Path::PathLenConstraintViolated => {
                "a CA above it allows fewer CAs below it (pathLenConstraint) than there are"
            }
            Path::EmptyEkuExtension => {
                "the extended key usage extension of it, or of a CA above it, is empty"
            }
            Path::UnsupportedCriticalExtension => {
                "it, or a CA's certificate above it, has a critical extension that is not known here"
            }
            Path::UnsupportedCertVersion => {
                "it, or a CA's certificate above it, is not of version 3"
            }
            Path::MaximumPathDepthExceeded
            | Path::MaximumSignatureChecksExceeded
            | Path::MaximumPathBuildCallsExceeded
            | Path::MaximumNameConstraintComparisonsExceeded => {
                return Self::TOO_MUCH_WORK.into();
            }
            Path::UnsupportedSignatureAlgorithmContext(_)
            | Path::UnsupportedSignatureAlgorithmForPublicKeyContext(_) => {
                "it, or a CA's certificate above it, is signed with an algorithm that is not accepted"
            }
            _ => "it, or a CA's certificate above it, is malformed",
        };
        Self::Chain(why).into()
    }
}

impl From<Refusal> for CertificateError {
    fn from(refusal: Refusal) -> Self {
        Self::Other(OtherError(Arc::new(refusal)))
    }
}

/// What is wrong with a client certificate, for the log. Nothing that the peer sent stands in it, but for
/// names that were escaped and shortened.
pub(crate) fn cause(error: &CertificateError) -> String {
    let fixed = match error {
        CertificateError::ExpiredContext { not_after, .. } => {
            let at = shown(*not_after);
            return format!("it, or a CA's certificate above it, expired at {at}");
        }
        CertificateError::NotValidYetContext { not_before, .. } => {
            let at = shown(*not_before);
            return format!("it, or a CA's certificate above it, is not valid before {at}");
        }
        CertificateError::Other(OtherError(refusal)) => return refusal.to_string(),
        CertificateError::UnknownIssuer => {
            "no client CA issued it, nor a CA in its chain: the client CAs are those of [clients] and \
             the gateway's own issuing CAs"
        }
        CertificateError::BadSignature => {
            "it, or a CA's certificate above it, was not signed with the key of the CA that it names"
        }
        CertificateError::InvalidPurpose => {
            "its extended key usage, or that of a CA above it, lacks clientAuth"
        }
        CertificateError::BadEncoding => "it, or a CA's certificate above it, is malformed",
        _ => "the TLS library refuses it",
    };
    fixed.to_owned()
}

fn shown(time: UnixTime) -> String {
    let second = i64::try_from(time.as_secs()).ok();
    let time = second.and_then(|second| Timestamp::from_second(second).ok());
    time.map_or_else(|| "an impossible time".to_owned(), |time| time.to_string())
}
