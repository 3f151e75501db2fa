//! Validates http-01 challenges (RFC 8555 §8.3), over redirects if there are any.

use std::net::IpAddr;

use bytes::Bytes;
use http::{Request, StatusCode, header};
use http_body_util::{BodyExt, Empty, Limited};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsConnector;
use url::{Host as UrlHost, Url};

use super::dial::Host;
use super::early::Early;
use super::{Task, Validator};
use crate::failure::{Failure, FailureKind};
use crate::identifier::Identifier;

/// How often a server may send us on.
const MAX_REDIRECTS: usize = 10;
/// The longest answer that is read; a key authorization has 87 bytes.
const MAX_ANSWER: usize = 8 * 1024;

/// What a server answered to one request.
enum Answer {
    Body(Bytes),
    Redirect(String),
}

impl Validator {
    /// http-01 (RFC 8555 §8.3): the key authorization stands at the well-known URL. Redirects are
    /// followed, to http and https on their usual ports, without verifying TLS: the name is not
    /// certified yet.
    pub(super) async fn http01(&self, task: &Task) -> Result<(), Failure> {
        let mut url = self.first_url(task)?;
        // The client proves control of this name. A URL could read the same text as an address.
        let mut host = match &task.identifier {
            Identifier::Dns(name) => Host::Name(name.clone()),
            Identifier::Ip(address) => Host::Address(*address),
        };
        for _ in 0..=MAX_REDIRECTS {
            match self.get(host, &url).await? {
                Answer::Body(body) => return compare(&url, &body, &task.key_authorization()),
                Answer::Redirect(location) => {
                    url = self.redirected(&url, &location)?;
                    host = host_of(&url)?;
                }
            }
        }
        Err(incorrect(&url, format_args!("more than {MAX_REDIRECTS} redirects")))
    }

    fn first_url(&self, task: &Task) -> Result<Url, Failure> {
        let host = match &task.identifier {
            Identifier::Dns(name) => name.clone(),
            Identifier::Ip(IpAddr::V4(address)) => address.to_string(),
            Identifier::Ip(IpAddr::V6(address)) => format!("[{address}]"),
        };
        let url =
            format!("http://{host}:{}/.well-known/acme-challenge/{}", self.http01_port, task.token);
        Url::parse(&url).map_err(|error| {
            Failure::new(FailureKind::Connection, format!("{url} is no URL: {error}"))
        })
    }

    /// Where a redirect leads, if it may lead there.
    fn redirected(&self, from: &Url, location: &str) -> Result<Url, Failure> {
        let shown = || location.chars().take(200).collect::<String>();
        let to = from
            .join(location)
            .map_err(|error| incorrect(from, format_args!("redirect to {}: {error}", shown())))?;
        let usual = match to.scheme() {
            "http" => [80, self.http01_port],
            "https" => [443, self.tls_alpn01_port],
            other => {
                return Err(incorrect(
                    from,
                    format_args!("redirect to {other}, not http or https"),
                ));
            }
        };
        if !to.port_or_known_default().is_some_and(|port| usual.contains(&port)) {
            return Err(incorrect(
                from,
                format_args!(
                    "redirect to {}, which is not on the port of {}",
                    shown(),
                    to.scheme()
                ),
            ));
        }
        if !to.username().is_empty() || to.password().is_some() {
            return Err(incorrect(from, format_args!("redirect to a URL with a user name")));
        }
        Ok(to)
    }

    async fn get(&self, host: Host, url: &Url) -> Result<Answer, Failure> {
        let stream = self.dial(&host, url.port_or_known_default().unwrap_or(80)).await?;
        if url.scheme() == "http" {
            return exchange(stream, url).await;
        }
        let name = match host {
            Host::Address(address) => ServerName::from(address),
            Host::Name(name) => ServerName::try_from(name).map_err(|_| no_host(url))?,
        };
        let stream = TlsConnector::from(self.https.clone()).connect(name, stream).await;
        let stream = stream.map_err(|error| {
            Failure::new(FailureKind::Tls, format!("{url}: the TLS handshake failed: {error}"))
        })?;
        exchange(stream, url).await
    }
}

fn no_host(url: &Url) -> Failure {
    incorrect(url, format_args!("the URL has no host"))
}

/// The host of a URL that a server has sent us to.
fn host_of(url: &Url) -> Result<Host, Failure> {
    Ok(match url.host().ok_or_else(|| no_host(url))? {
        UrlHost::Domain(name) => Host::Name(name.trim_end_matches('.').to_owned()),
        UrlHost::Ipv4(address) => Host::Address(address.into()),
        UrlHost::Ipv6(address) => Host::Address(address.into()),
    })
}

/// One request and its answer on a fresh connection.
async fn exchange<S>(stream: S, url: &Url) -> Result<Answer, Failure>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let failed = |error: &dyn std::error::Error| {
        Failure::new(FailureKind::Connection, format!("{url}: {error}"))
    };
    let stream = TokioIo::new(Early::new(stream));
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(stream).await.map_err(|error| failed(&error))?;
    let path = &url[url::Position::BeforePath..url::Position::AfterQuery];
    let authority = &url[url::Position::BeforeHost..url::Position::AfterPort];
    let request = Request::get(path)
        .header(header::HOST, authority)
        .header(header::USER_AGENT, concat!("chancery/", env!("CARGO_PKG_VERSION"), " (ACME)"))
        .header(header::ACCEPT, "*/*")
        .header(header::CONNECTION, "close")
        .body(Empty::<Bytes>::new())
        .map_err(|error| failed(&error))?;
    let answer = async {
        let response = sender.send_request(request).await.map_err(|error| failed(&error))?;
        let status = response.status();
        if let Some(location) = redirect(status, response.headers()) {
            return Ok(Answer::Redirect(location));
        }
        if status != StatusCode::OK {
            return Err(incorrect(url, format_args!("the answer is {status}, not 200")));
        }
        let body = Limited::new(response.into_body(), MAX_ANSWER).collect().await;
        let body =
            body.map_err(|error| incorrect(url, format_args!("reading the answer: {error}")))?;
        Ok(Answer::Body(body.to_bytes()))
    };
    tokio::pin!(answer);
    tokio::pin!(connection);
    // The connection makes no progress by itself; when it ends first, the answer has come or never
    // will.
    tokio::select! {
        answer = &mut answer => answer,
        ended = &mut connection => match ended {
            Ok(()) => answer.await,
            Err(error) => Err(failed(&error)),
        },
    }
}

fn redirect(status: StatusCode, headers: &http::HeaderMap) -> Option<String> {
    let is_redirect = matches!(status.as_u16(), 301 | 302 | 303 | 307 | 308);
    let location = headers.get(header::LOCATION).filter(|_| is_redirect)?;
    location.to_str().ok().map(ToOwned::to_owned)
}

fn compare(url: &Url, body: &[u8], expected: &str) -> Result<(), Failure> {
    // RFC 8555 §8.3: white space at the end does not matter.
    if body.trim_ascii_end() == expected.as_bytes() {
        return Ok(());
    }
    // What was read is not shown: it could be something that only the gateway can reach.
    Err(incorrect(
        url,
        format_args!("the answer has {} bytes and is not the key authorization", body.len()),
    ))
}

fn incorrect(url: &Url, what: std::fmt::Arguments<'_>) -> Failure {
    Failure::new(FailureKind::IncorrectResponse, format!("{url}: {what}"))
}
