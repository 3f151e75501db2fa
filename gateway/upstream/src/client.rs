//! An HTTPS client for upstreams that bounds the size and the time of each answer.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{Request, Response, StatusCode};
use http_body_util::{Full, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use instant_acme::{BodyWrapper, BytesResponse, Error, HttpClient};
use rustls::ClientConfig;
use rustls::crypto::aws_lc_rs;

use crate::error::NO_KIND;
use crate::{UpstreamConfig, UpstreamError};

/// The most bytes that any answer of the other CA may have.
const MAX_ANSWER: usize = 1 << 20;
/// How long the other CA may take to begin an answer.
const ANSWER_DEADLINE: Duration = Duration::from_secs(30);

/// The media type of problem documents begins so.
const PROBLEM: &[u8] = b"application/problem+json";

/// HTTPS to the other CA, with bounds on size and time of its answers.
pub(crate) struct BoundedClient(Client<HttpsConnector<HttpConnector>, BodyWrapper<Bytes>>);

impl BoundedClient {
    pub(crate) fn new(config: &UpstreamConfig) -> Result<Self, UpstreamError> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let connector = match config.roots()? {
            Some(roots) => HttpsConnectorBuilder::new().with_tls_config(
                ClientConfig::builder_with_provider(provider)
                    .with_safe_default_protocol_versions()
                    .map_err(|error| UpstreamError::Unavailable(error.to_string()))?
                    .with_root_certificates(roots)
                    .with_no_client_auth(),
            ),
            None => HttpsConnectorBuilder::new()
                .with_provider_and_platform_verifier(provider)
                .map_err(|error| UpstreamError::Unavailable(error.to_string()))?,
        };
        let connector = connector.https_only().enable_http1().enable_http2().build();
        Ok(Self(Client::builder(TokioExecutor::new()).build(connector)))
    }
}

impl HttpClient for BoundedClient {
    fn request(
        &self,
        request: Request<BodyWrapper<Bytes>>,
    ) -> Pin<Box<dyn Future<Output = Result<BytesResponse, Error>> + Send>> {
        let response = self.0.request(request);
        Box::pin(async move {
            let response = tokio::time::timeout(ANSWER_DEADLINE, response)
                .await
                .map_err(|_| Error::Other("no answer within 30 seconds".into()))?
                .map_err(|error| Error::Other(error.into()))?;
            Ok(match bare(&response) {
                Some(problem) => {
                    BytesResponse::from(response.map(|_| Full::<Bytes>::from(problem)))
                }
                None => BytesResponse::from(response.map(|body| Limited::new(body, MAX_ANSWER))),
            })
        })
    }
}

/// The problem document (RFC 7807 §4.2) of an answer that says with its status alone that there is nothing. Without
/// one the status would be lost.
fn bare<B>(response: &Response<B>) -> Option<String> {
    let (status, kind) = (response.status(), response.headers().get(CONTENT_TYPE));
    let is_problem = kind.is_some_and(|kind| kind.as_bytes().starts_with(PROBLEM));
    let is_bare = matches!(status, StatusCode::NOT_FOUND | StatusCode::GONE) && !is_problem;
    is_bare.then(|| {
        format!(r#"{{"type":"{NO_KIND}","detail":"status {0}","status":{0}}}"#, status.as_u16())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_not_there_and_gives_no_reason_is_given_a_problem() {
        let answer = |status: u16, kind: &str| {
            Response::builder().status(status).header(CONTENT_TYPE, kind).body(()).unwrap()
        };
        for status in [404, 410] {
            let problem = bare(&answer(status, "text/html")).unwrap();
            let problem: serde_json::Value = serde_json::from_str(&problem).unwrap();
            assert_eq!(problem["type"], NO_KIND);
            assert_eq!(problem["status"], status);
            assert_eq!(bare(&answer(status, "application/problem+json")), None);
        }
        for status in [200, 403, 503] {
            assert_eq!(bare(&answer(status, "text/html")), None);
        }
    }
}
