//! Why a TLS handshake failed.

use std::time::Duration;

use rustls::CertificateError;

use crate::refusal::cause;

/// Why a connection did not become a TLS connection. None of these concerns anybody but the peer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AcceptError {
    /// The handshake was not done in time.
    #[error("the TLS handshake was not done within {after:?}")]
    TimedOut {
        /// The configured limit.
        after: Duration,
    },
    /// The peer went away, or the network failed.
    #[error("the connection ended during the TLS handshake: {0}")]
    Closed(#[source] std::io::Error),
    /// What the peer sent is not TLS, or there is no version, cipher or protocol in common. It was
    /// told by an alert.
    #[error("the TLS handshake failed: {0}")]
    Handshake(#[source] rustls::Error),
    /// The client certificate does not chain to a trusted client CA, is out of date or not for
    /// clients. The peer was told by an alert.
    #[error("the client certificate was refused: {}", cause(.0))]
    Certificate(CertificateError),
    /// The client certificate is good for the TLS library and unreadable for this gateway.
    #[error("the client certificate cannot be read: {0}")]
    Unreadable(#[source] chancery_x509::CertificateError),
}

impl AcceptError {
    /// A short word for metrics.
    pub(crate) fn outcome(&self) -> &'static str {
        match self {
            Self::TimedOut { .. } => "timed-out",
            Self::Closed(_) => "closed",
            Self::Handshake(_) => "failed",
            Self::Certificate(_) | Self::Unreadable(_) => "certificate-refused",
        }
    }
}

impl From<std::io::Error> for AcceptError {
    /// The TLS library's own errors come wrapped into I/O errors.
    fn from(error: std::io::Error) -> Self {
        match error.downcast::<rustls::Error>() {
            Ok(rustls::Error::InvalidCertificate(refused)) => Self::Certificate(refused),
            Ok(failed) => Self::Handshake(failed),
            Err(io) => Self::Closed(io),
        }
    }
}

#[cfg(test)]
mod tests {
    use rustls::ExtendedKeyPurpose;

    use super::*;

    #[test]
    fn a_refusal_does_not_show_what_the_certificate_says() {
        let refused = CertificateError::InvalidPurposeContext {
            required: ExtendedKeyPurpose::ClientAuth,
            presented: vec![ExtendedKeyPurpose::Other(vec![1, 3, 6, 1, 4, 1, 99_999]); 5_000],
        };
        assert_eq!(
            AcceptError::Certificate(refused).to_string(),
            "the client certificate was refused: the TLS library refuses it"
        );
    }
}
