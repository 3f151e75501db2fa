//! Answers http-01 challenges of upstreams (RFC 8555 §8.3), from records that all gateways share.

use std::sync::Arc;
use std::time::Duration;

use chancery_records::{Recorded, Table, View};
use chancery_store::{Commit, CommitError, ReadError, SharedStore};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::UpstreamError;

/// Where the responses are, by token.
const RESPONSES: &str = "_/upstream/challenge-responses/";

/// How old the knowledge of the responses may be. Beyond it none is given, and the other CA asks again.
const GREATEST_AGE: Duration = Duration::from_secs(30);

/// A token that is longer is none: RFC 8555 §8.3 wants 128 bits, and CAs give 256.
const LONGEST_TOKEN: usize = 256;

/// What the gateway answers at `/.well-known/acme-challenge/TOKEN` on its plain port (http-01,
/// RFC 8555 §8.3), for all upstreams. Cheap to clone; clones share their entries. They are in the store, since the
/// other CA may reach another gateway than the one that placed the order.
#[derive(Debug, Clone)]
pub struct ChallengeResponses(Arc<View<Response>>);

/// What is answered for a token. It is no secret: who asks for the token gets it.
#[derive(Debug, Serialize, Deserialize)]
struct Response {
    key_authorization: String,
    /// From when on nobody waits for it, by the store's clock.
    ends: Timestamp,
}

impl Recorded for Response {}

impl ChallengeResponses {
    /// The responses in this store.
    ///
    /// # Errors
    /// It cannot be read.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub async fn open(store: SharedStore) -> Result<Self, ReadError> {
        let table = Table::new(store, RESPONSES);
        let make = chancery_records::Items::default;
        let view = View::open("challenge responses", table, GREATEST_AGE, make).await?;
        Ok(Self(Arc::new(view)))
    }

    /// The key authorization to answer for `token`, to be served as `application/octet-stream`; none
    /// if no order is waiting for it.
    pub fn get(&self, token: &str) -> Option<String> {
        match self.0.get(token) {
            Ok(found) => found.map(|response| response.value.key_authorization.clone()),
            Err(error) => {
                tracing::warn!(%error, "a challenge of another CA is not answered");
                None
            }
        }
    }

    /// Answers for `token` until the guard is dropped, and no longer than `longest` if this process ends before.
    pub(crate) async fn serve(
        &self,
        token: String,
        key_authorization: String,
        longest: Duration,
    ) -> Result<Served, UpstreamError> {
        let is_base64url = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        if token.len() > LONGEST_TOKEN || !token.bytes().all(is_base64url) {
            return Err(UpstreamError::BadToken);
        }
        let table = self.0.table();
        let now = table.store().now().await?;
        self.sweep(now).await?;
        let ends = now.checked_add(longest).unwrap_or(Timestamp::MAX);
        let response = || Response { key_authorization: key_authorization.clone(), ends };
        table.update(&token, |_| Ok::<_, CommitError>((Some(response()), ()))).await?;
        let served = Served { responses: self.clone(), token };
        self.0.catch_up().await?;
        Ok(served)
    }

    /// Removes what processes left that ended while another CA was asking.
    async fn sweep(&self, now: Timestamp) -> Result<(), UpstreamError> {
        let table = self.0.table();
        let mut commit = Commit::new();
        for response in self.0.known()?.all()? {
            if response.value.ends < now {
                commit = table.remove(commit, &response)?;
            }
        }
        match table.store().commit(commit).await {
            // Another gateway did it.
            Ok(_) | Err(CommitError::Conflict { .. }) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    async fn remove(&self, token: &str) -> Result<(), CommitError> {
        let table = self.0.table();
        table.store().commit(Commit::new().delete(table.key(token)?)).await.map(drop)
    }
}

/// Keeps one response in place.
pub(crate) struct Served {
    responses: ChallengeResponses,
    token: String,
}

impl Drop for Served {
    fn drop(&mut self) {
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        let (responses, token) = (self.responses.clone(), std::mem::take(&mut self.token));
        runtime.spawn(async move {
            if let Err(error) = responses.remove(&token).await {
                tracing::warn!(%error, "what answered a challenge stays until it is swept");
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use chancery_identity::Clock;
    use chancery_store::memory::MemoryStore;

    const LONGEST: Duration = Duration::from_mins(1);

    async fn serve(responses: &ChallengeResponses, token: &str) -> Result<Served, UpstreamError> {
        responses.serve(token.to_owned(), format!("{token}.thumb"), LONGEST).await
    }

    async fn until_forgotten(responses: &ChallengeResponses, token: &str) {
        while responses.get(token).is_some() {
            responses.0.catch_up().await.unwrap();
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn any_gateway_answers_while_the_order_waits_and_none_after() {
        let store: SharedStore = Arc::new(MemoryStore::new());
        let here = ChallengeResponses::open(store.clone()).await.unwrap();
        let elsewhere = ChallengeResponses::open(store).await.unwrap();
        let served = serve(&here, "token").await.unwrap();
        elsewhere.0.catch_up().await.unwrap();
        for responses in [&here, &elsewhere] {
            assert_eq!(responses.get("token").as_deref(), Some("token.thumb"));
            assert_eq!(responses.get("other"), None);
        }
        drop(served);
        until_forgotten(&here, "token").await;
        until_forgotten(&elsewhere, "token").await;
    }

    #[tokio::test]
    async fn what_a_process_left_is_swept() {
        let clock = Clock::manual(Timestamp::UNIX_EPOCH);
        let store: SharedStore = Arc::new(MemoryStore::with_clock(clock.clone()));
        let responses = ChallengeResponses::open(store.clone()).await.unwrap();
        std::mem::forget(serve(&responses, "left").await.unwrap());
        clock.advance(LONGEST);
        let _second = serve(&responses, "second").await.unwrap();
        assert!(responses.get("left").is_some(), "it ends after this moment");
        clock.advance(Duration::from_secs(1));
        let _third = serve(&responses, "third").await.unwrap();
        until_forgotten(&responses, "left").await;
        assert!(responses.get("second").is_some());
    }

    #[tokio::test]
    async fn a_token_that_is_no_base64url_is_refused() {
        let responses = ChallengeResponses::open(Arc::new(MemoryStore::new())).await.unwrap();
        for bad in ["a/b", "..", "a b", &"x".repeat(LONGEST_TOKEN + 1)] {
            assert!(matches!(serve(&responses, bad).await, Err(UpstreamError::BadToken)), "{bad}");
        }
    }
}
