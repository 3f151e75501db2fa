//! Asking the web servers and responders of the configuration.

use std::error::Error as _;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{
    ACCEPT, CONTENT_TYPE, ETAG, HeaderName, HeaderValue, IF_MODIFIED_SINCE, IF_NONE_MATCH,
    LAST_MODIFIED,
};
use http::{Method, Request, Response, StatusCode, Uri};
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::body::Incoming;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use rustls::crypto::aws_lc_rs;
use rustls::{ClientConfig, RootCertStore};

/// For a connection to be there.
const CONNECT: Duration = Duration::from_secs(5);
/// For all of a CRL.
const CRL: Duration = Duration::from_mins(2);
/// For all of an answer of a responder.
const ANSWER: Duration = Duration::from_secs(10);
/// The most bytes of a responder's answer.
const LARGEST_ANSWER: usize = 64 * 1024;

/// Fetches from the addresses that it is given, and follows no redirects to others.
#[derive(Clone)]
pub(crate) struct Fetcher(Client<HttpsConnector<HttpConnector>, Full<Bytes>>);

/// By what a server says that nothing has changed.
#[derive(Debug, Clone, Default)]
pub(crate) struct Validators {
    etag: Option<HeaderValue>,
    modified: Option<HeaderValue>,
}

/// Why nothing was fetched.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FetchError {
    #[error("the TLS library cannot be set up: {0}")]
    Tls(String),
    #[error("it cannot be reached: {0}")]
    Unreachable(String),
    #[error("it did not answer within {0} seconds")]
    Late(u64),
    #[error("it answers with a redirect, which is not followed: name the address that it leads to")]
    Redirect,
    #[error("it answers with the status {0}")]
    Status(u16),
    #[error("its answer is longer than {0} bytes")]
    TooLong(usize),
}

impl Fetcher {
    pub(crate) fn new() -> Result<Self, FetchError> {
        let mut http = HttpConnector::new();
        http.enforce_http(false);
        http.set_connect_timeout(Some(CONNECT));
        let provider = Arc::new(aws_lc_rs::default_provider());
        let by_platform =
            HttpsConnectorBuilder::new().with_provider_and_platform_verifier(Arc::clone(&provider));
        let connector = match by_platform {
            Ok(connector) => connector,
            Err(error) => {
                tracing::warn!(%error, "the system has no roots: CRLs are fetched by http only");
                let nobody = ClientConfig::builder_with_provider(provider)
                    .with_safe_default_protocol_versions()
                    .map_err(|error| FetchError::Tls(error.to_string()))?
                    .with_root_certificates(RootCertStore::empty())
                    .with_no_client_auth();
                HttpsConnectorBuilder::new().with_tls_config(nobody)
            }
        };
        let connector =
            connector.https_or_http().enable_http1().enable_http2().wrap_connector(http);
        Ok(Self(Client::builder(TokioExecutor::new()).build(connector)))
    }

    /// What is at an address; none if that is what these validators are of.
    pub(crate) async fn crl(
        &self,
        uri: &Uri,
        validators: &Validators,
        largest: usize,
    ) -> Result<Option<(Vec<u8>, Validators)>, FetchError> {
        let mut request = request(Method::GET, uri, Bytes::new());
        let headers = request.headers_mut();
        let known: [(HeaderName, _); 2] =
            [(IF_NONE_MATCH, &validators.etag), (IF_MODIFIED_SINCE, &validators.modified)];
        for (name, value) in known {
            if let Some(value) = value {
                headers.insert(name, value.clone());
            }
        }
        let work = async {
            let response = self.send(request).await?;
            if response.status() == StatusCode::NOT_MODIFIED {
                return Ok(None);
            }
            let header = |name| response.headers().get(name).cloned();
            let validators = Validators { etag: header(ETAG), modified: header(LAST_MODIFIED) };
            Ok(Some((body(response, largest).await?, validators)))
        };
        within(CRL, work).await
    }

    /// What a responder answers (RFC 6960 §A.1).
    pub(crate) async fn ocsp(&self, uri: &Uri, question: Vec<u8>) -> Result<Vec<u8>, FetchError> {
        let mut request = request(Method::POST, uri, question.into());
        let headers = request.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/ocsp-request"));
        headers.insert(ACCEPT, HeaderValue::from_static("application/ocsp-response"));
        let work = async { body(self.send(request).await?, LARGEST_ANSWER).await };
        within(ANSWER, work).await
    }

    async fn send(&self, request: Request<Full<Bytes>>) -> Result<Response<Incoming>, FetchError> {
        let response = self.0.request(request).await.map_err(|error| {
            // The outer error says only that it failed.
            let cause = error.source().map_or_else(|| error.to_string(), ToString::to_string);
            FetchError::Unreachable(cause)
        })?;
        match response.status() {
            StatusCode::OK | StatusCode::NOT_MODIFIED => Ok(response),
            status if status.is_redirection() => Err(FetchError::Redirect),
            status => Err(FetchError::Status(status.as_u16())),
        }
    }
}

fn request(method: Method, uri: &Uri, content: Bytes) -> Request<Full<Bytes>> {
    let mut request = Request::new(Full::new(content));
    *request.method_mut() = method;
    *request.uri_mut() = uri.clone();
    request
}

async fn body(response: Response<Incoming>, largest: usize) -> Result<Vec<u8>, FetchError> {
    let collected = Limited::new(response.into_body(), largest).collect().await;
    match collected {
        Ok(collected) => Ok(collected.to_bytes().into()),
        Err(error) if error.is::<LengthLimitError>() => Err(FetchError::TooLong(largest)),
        Err(error) => Err(FetchError::Unreachable(error.to_string())),
    }
}

async fn within<T>(
    limit: Duration,
    work: impl Future<Output = Result<T, FetchError>>,
) -> Result<T, FetchError> {
    tokio::time::timeout(limit, work).await.unwrap_or(Err(FetchError::Late(limit.as_secs())))
}
