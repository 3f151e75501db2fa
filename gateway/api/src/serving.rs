//! Whether the gateway serves requests, as health checks see it.

use std::sync::Arc;

use axum::response::{IntoResponse, Response};
use http::{StatusCode, header};

/// What the gateway does with requests now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Serving {
    /// It serves them.
    All,
    /// It serves them, until the disk of the audit log is full, which it is soon.
    AuditAlmostFull,
    /// It serves those that store nothing: the store's disk is full.
    ReadOnly,
    /// It refuses them: the store cannot be read.
    NoStore,
    /// It refuses them: the audit log cannot be written.
    NoAudit,
    /// It finishes those that it has, and stops.
    Draining,
}

/// Tells what the gateway does with requests.
pub type Serves = Arc<dyn Fn() -> Serving + Send + Sync>;

impl Serving {
    /// What is said of it.
    fn words(self) -> &'static str {
        match self {
            Self::All => "ready",
            Self::AuditAlmostFull => "ready, but the audit log's disk is almost full",
            Self::ReadOnly => "read-only: the store's disk is full",
            Self::NoStore => "the store cannot be read: requests are refused",
            Self::NoAudit => "the audit log cannot be written: every request is refused",
            Self::Draining => "draining",
        }
    }

    /// Why requests are not served; none if they are.
    pub(crate) fn refusal(self) -> Option<&'static str> {
        match self {
            Self::All | Self::AuditAlmostFull | Self::ReadOnly => None,
            Self::NoStore | Self::NoAudit | Self::Draining => Some(self.words()),
        }
    }

    /// For load balancers, which read the status, and people, who read the words.
    pub(crate) fn answer(self) -> Response {
        let status = match self.refusal() {
            None => StatusCode::OK,
            Some(_) => StatusCode::SERVICE_UNAVAILABLE,
        };
        let words = format!("{}\n", self.words());
        (status, [(header::CACHE_CONTROL, "no-store")], words).into_response()
    }
}

#[cfg(test)]
mod tests {
    use axum::body::to_bytes;

    use super::*;

    #[tokio::test]
    async fn health_is_bad_if_requests_are_refused_and_says_why() {
        for (serving, status, words) in [
            (Serving::All, 200, "ready\n"),
            (Serving::AuditAlmostFull, 200, "ready, but the audit log's disk is almost full\n"),
            (Serving::ReadOnly, 200, "read-only: the store's disk is full\n"),
            (Serving::NoStore, 503, "the store cannot be read: requests are refused\n"),
            (Serving::NoAudit, 503, "the audit log cannot be written: every request is refused\n"),
            (Serving::Draining, 503, "draining\n"),
        ] {
            let answer = serving.answer();
            assert_eq!(answer.status(), status, "{words}");
            assert_eq!(to_bytes(answer.into_body(), 1024).await.unwrap(), words);
        }
    }
}
