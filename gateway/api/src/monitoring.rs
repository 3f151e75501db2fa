//! What operators' tools read: metrics, and how the HSM's tokens are. It tells more of the inside than
//! the plain port's callers need, so it has an address of its own, unless that is the plain port's.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use http::{Request, StatusCode, header};
use serde::Serialize;
use tower::ServiceExt;

use crate::serving::Serves;

/// Where it comes from. Closures, because the rooms that know are not this room's to import.
#[derive(Clone)]
pub struct MonitoringSources {
    /// All metrics in the Prometheus text format.
    pub metrics: Arc<dyn Fn() -> String + Send + Sync>,
    /// How the HSM's tokens are; none without an HSM.
    pub tokens: Arc<dyn Fn() -> Vec<TokenHealth> + Send + Sync>,
    /// What is known of the revocations of client CAs, and whether all is well with it.
    pub client_cas: Arc<dyn Fn() -> (bool, serde_json::Value) + Send + Sync>,
    /// What was found when the audit log was verified while it is written, and whether all is well with it.
    pub audit: Arc<dyn Fn() -> (bool, serde_json::Value) + Send + Sync>,
    /// What the gateway does by itself, and whether the last run of each task went well.
    pub tasks: Arc<dyn Fn() -> (bool, serde_json::Value) + Send + Sync>,
    /// What is done with requests.
    pub serving: Serves,
}

/// How a token of the HSM is. Why it is down stands in the log.
#[derive(Debug, Clone, Serialize)]
pub struct TokenHealth {
    /// Its label or serial number, as configured.
    pub token: String,
    /// Whether it can be used.
    pub up: bool,
    /// Whether an administrator has taken it out of use.
    pub drained: bool,
    /// How many keys it holds that can be used by name.
    pub keys: usize,
    /// Operations that are under way or wait.
    pub outstanding: usize,
}

/// Metrics and health, on an address of their own.
#[derive(Clone)]
pub struct MonitoringService {
    router: Router,
}

impl MonitoringService {
    /// With what these give.
    pub fn new(sources: MonitoringSources) -> Self {
        let serving = sources.serving.clone();
        let health = get(move || async move { serving().answer() });
        Self { router: router(sources).route("/health", health) }
    }

    /// Answers a request.
    pub async fn call(&self, request: Request<Body>) -> Response {
        match self.router.clone().oneshot(request).await {
            Ok(response) => response,
            Err(impossible) => match impossible {},
        }
    }
}

/// The routes that another port may have as well.
pub(crate) fn router(sources: MonitoringSources) -> Router {
    Router::new()
        .route("/metrics", get(metrics))
        .route("/health/tokens", get(tokens))
        .route("/health/client-cas", get(client_cas))
        .route("/health/audit", get(audit))
        .route("/health/tasks", get(tasks))
        .with_state(sources)
}

async fn metrics(State(sources): State<MonitoringSources>) -> Response {
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], (sources.metrics)()).into_response()
}

/// How each token of the HSM is: 200 if one of them can be used or there is no HSM, else 503.
async fn tokens(State(sources): State<MonitoringSources>) -> Response {
    let tokens = (sources.tokens)();
    let usable = tokens.is_empty() || tokens.iter().any(|token| token.up && !token.drained);
    let status = if usable { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let body = axum::Json(serde_json::json!({ "tokens": tokens }));
    (status, [(header::CACHE_CONTROL, "no-store")], body).into_response()
}

/// What is known of the revocations of client CAs: 200 if all CRLs are in date and responders answer, else 503.
async fn client_cas(State(sources): State<MonitoringSources>) -> Response {
    told((sources.client_cas)())
}

/// What was found when the audit log was verified while it is written: 200 if nothing is wrong with it as far as is
/// known, else 503.
async fn audit(State(sources): State<MonitoringSources>) -> Response {
    told((sources.audit)())
}

/// What the gateway does by itself: 200 if the last run of each task went well, else 503.
async fn tasks(State(sources): State<MonitoringSources>) -> Response {
    told((sources.tasks)())
}

fn told((well, body): (bool, serde_json::Value)) -> Response {
    let status = if well { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, [(header::CACHE_CONTROL, "no-store")], axum::Json(body)).into_response()
}

#[cfg(test)]
pub(crate) mod tests {
    use axum::body::to_bytes;

    use super::*;
    use crate::serving::Serving;

    pub(crate) fn sources(ready: bool) -> MonitoringSources {
        MonitoringSources {
            metrics: Arc::new(|| "chancery_up 1\n".to_owned()),
            serving: Arc::new(move || if ready { Serving::All } else { Serving::Draining }),
            client_cas: Arc::new(move || (ready, serde_json::json!({ "client_cas": [] }))),
            audit: Arc::new(move || (ready, serde_json::json!({ "audit": {} }))),
            tasks: Arc::new(move || (ready, serde_json::json!({ "tasks": [] }))),
            tokens: Arc::new(move || {
                let token = |token: &str, up| TokenHealth {
                    token: token.to_owned(),
                    up,
                    drained: false,
                    keys: 1,
                    outstanding: 0,
                };
                vec![token("a", false), token("b", ready)]
            }),
        }
    }

    async fn fetch(path: &str, ready: bool) -> (StatusCode, Vec<u8>) {
        let request = Request::get(path).body(Body::empty()).unwrap();
        let response = MonitoringService::new(sources(ready)).call(request).await;
        (response.status(), to_bytes(response.into_body(), 1024).await.unwrap().to_vec())
    }

    #[tokio::test]
    async fn health_of_tokens_is_bad_if_none_can_be_used() {
        let (status, body) = fetch("/health/tokens", true).await;
        assert_eq!(status, StatusCode::OK);
        let body: serde_json::Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(body["tokens"][0]["up"], false);
        assert_eq!(body["tokens"][1]["token"], "b");
        assert_eq!(fetch("/health/tokens", false).await.0, StatusCode::SERVICE_UNAVAILABLE);
    }

    #[tokio::test]
    async fn health_of_client_cas_says_what_is_known_of_them() {
        let (status, body) = fetch("/health/client-cas", true).await;
        assert_eq!((status, body), (StatusCode::OK, b"{\"client_cas\":[]}".to_vec()));
        let (status, _) = fetch("/health/client-cas", false).await;
        assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    }

    #[tokio::test]
    async fn health_of_the_audit_log_says_what_was_found() {
        let (status, body) = fetch("/health/audit", true).await;
        assert_eq!((status, body), (StatusCode::OK, b"{\"audit\":{}}".to_vec()));
        assert_eq!(fetch("/health/audit", false).await.0, StatusCode::SERVICE_UNAVAILABLE);
    }

    #[tokio::test]
    async fn health_of_tasks_says_what_is_known_of_them() {
        let (status, body) = fetch("/health/tasks", true).await;
        assert_eq!((status, body), (StatusCode::OK, b"{\"tasks\":[]}".to_vec()));
        assert_eq!(fetch("/health/tasks", false).await.0, StatusCode::SERVICE_UNAVAILABLE);
    }

    #[tokio::test]
    async fn metrics_and_health_are_there() {
        assert_eq!(fetch("/metrics", true).await, (StatusCode::OK, b"chancery_up 1\n".to_vec()));
        assert_eq!(fetch("/health", true).await.0, StatusCode::OK);
        assert_eq!(fetch("/health", false).await.0, StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(fetch("/crl/a1.crl", true).await.0, StatusCode::NOT_FOUND);
    }
}
