use std::sync::Arc;

use dashmap::DashMap;

/// What the gateway answers at `/.well-known/acme-challenge/TOKEN` on its plain port (http-01,
/// RFC 8555 §8.3), for all upstreams. Cheap to clone; clones share their entries. Kept in memory:
/// the other CA must reach the process that placed the order.
#[derive(Debug, Clone, Default)]
pub struct ChallengeResponses(Arc<DashMap<String, String>>);

impl ChallengeResponses {
    /// No responses yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// The key authorization to answer for `token`, to be served as `application/octet-stream`; none
    /// if no order is waiting for it.
    pub fn get(&self, token: &str) -> Option<String> {
        self.0.get(token).map(|entry| entry.value().clone())
    }

    /// Answers for `token` until the guard is dropped.
    pub(crate) fn serve(&self, token: String, key_authorization: String) -> Served {
        self.0.insert(token.clone(), key_authorization);
        Served { responses: self.clone(), token }
    }
}

/// Keeps one response in place.
pub(crate) struct Served {
    responses: ChallengeResponses,
    token: String,
}

impl Drop for Served {
    fn drop(&mut self) {
        self.responses.0.remove(&self.token);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_while_the_order_waits_and_not_after() {
        let responses = ChallengeResponses::new();
        let elsewhere = responses.clone();
        let served = responses.serve("token".to_owned(), "token.thumb".to_owned());
        assert_eq!(elsewhere.get("token").as_deref(), Some("token.thumb"));
        assert_eq!(elsewhere.get("other"), None);
        drop(served);
        assert_eq!(elsewhere.get("token"), None);
    }
}
