use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::Request;
use http_body_util::Limited;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use instant_acme::{BodyWrapper, BytesResponse, Error, HttpClient};
use rustls::ClientConfig;
use rustls::crypto::aws_lc_rs;

use crate::{UpstreamConfig, UpstreamError};

/// The most bytes that any answer of the other CA may have.
const MAX_ANSWER: usize = 1 << 20;
/// How long the other CA may take to begin an answer.
const ANSWER_DEADLINE: Duration = Duration::from_secs(30);

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
            Ok(BytesResponse::from(response.map(|body| Limited::new(body, MAX_ANSWER))))
        })
    }
}
