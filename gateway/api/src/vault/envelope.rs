//! Builds Vault's JSON answers: data, warnings, sessions and errors.

use std::borrow::Cow;

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use chancery_identity::{RequestId, visible};
use http::header::CONTENT_TYPE;
use http::{HeaderValue, StatusCode};
use serde::Serialize;
use zeroize::Zeroizing;

/// Exactly this: some clients look into errors only then.
const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// What an answer says of its request.
pub(super) struct Head {
    /// The id under which the request is answered, logged and audited.
    pub(super) request: RequestId,
    /// What of its body was not heeded.
    pub(super) warning: Option<String>,
}

/// Of a request without a body.
impl From<RequestId> for Head {
    fn from(request: RequestId) -> Self {
        Self { request, warning: None }
    }
}

/// The form of every answer that has a body.
#[derive(Serialize)]
struct Envelope<'a, D, A> {
    request_id: RequestId,
    lease_id: &'a str,
    renewable: bool,
    lease_duration: u64,
    data: Option<D>,
    wrap_info: Option<()>,
    warnings: Option<Vec<String>>,
    auth: Option<A>,
    mount_type: &'a str,
}

impl<'a, D, A> Envelope<'a, D, A> {
    fn new(head: Head, mount_type: &'a str, data: Option<D>, auth: Option<A>) -> Self {
        Self {
            request_id: head.request,
            lease_id: "",
            renewable: false,
            lease_duration: 0,
            data,
            wrap_info: None,
            warnings: head.warning.map(|warning| vec![warning]),
            auth,
            mount_type,
        }
    }
}

/// An answer with data.
pub(super) fn data(head: impl Into<Head>, mount_type: &str, data: impl Serialize) -> Response {
    data_with(StatusCode::OK, head.into(), mount_type, data)
}

/// An answer with data and something that its reader should know besides.
pub(super) fn data_and_warnings(
    head: Head,
    mount_type: &str,
    data: impl Serialize,
    more: Vec<String>,
) -> Response {
    let mut envelope = Envelope::new(head, mount_type, Some(data), None::<()>);
    if !more.is_empty() {
        envelope.warnings.get_or_insert_default().extend(more);
    }
    json(StatusCode::OK, &envelope)
}

/// An answer without data that tells why.
pub(super) fn warning(
    status: StatusCode,
    head: Head,
    mount_type: &str,
    warning: String,
) -> Response {
    // Nothing of the request was heeded.
    let envelope = Envelope::new(head, mount_type, None::<()>, None::<()>);
    json(status, &Envelope { warnings: Some(vec![warning]), ..envelope })
}

/// An answer with data and another status than success.
pub(super) fn data_with(
    status: StatusCode,
    head: Head,
    mount_type: &str,
    data: impl Serialize,
) -> Response {
    json(status, &Envelope::new(head, mount_type, Some(data), None::<()>))
}

/// An answer with data that is also at the top level, as old clients expect of some resources.
pub(super) fn data_twice(head: Head, data: &impl Serialize) -> Response {
    #[derive(Serialize)]
    struct Twice<'a, D> {
        #[serde(flatten)]
        envelope: Envelope<'a, &'a D, ()>,
        #[serde(flatten)]
        data: &'a D,
    }
    let envelope = Envelope::new(head, "system", Some(data), None);
    json(StatusCode::OK, &Twice { envelope, data })
}

/// An answer to a login or renewal.
pub(super) fn auth(head: Head, auth: impl Serialize) -> Response {
    json(StatusCode::OK, &Envelope::new(head, "token", None::<()>, Some(auth)))
}

/// Success with nothing to say. As in OpenBao, there are no warnings then.
pub(super) fn no_content() -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NO_CONTENT;
    response
}

/// An error.
pub(super) fn errors(status: StatusCode, errors: &[Cow<'_, str>]) -> Response {
    #[derive(Serialize)]
    struct Errors<'a> {
        errors: &'a [Cow<'a, str>],
    }
    // They may repeat what the caller sent.
    let errors: Vec<_> = errors.iter().map(|error| visible(error)).collect();
    json(status, &Errors { errors: &errors })
}

/// An answer that is this JSON and nothing around it. Its bytes are wiped once they are sent: they may
/// be somebody's secret.
pub(super) fn json(status: StatusCode, value: &impl Serialize) -> Response {
    let mut bytes = Zeroizing::new(Vec::with_capacity(1024));
    let (status, body) = match serde_json::to_writer(Wiping(&mut bytes), value) {
        Ok(()) => (status, Body::from(Bytes::from_owner(bytes))),
        Err(_) => {
            (StatusCode::INTERNAL_SERVER_ERROR, Body::from(r#"{"errors":["internal error"]}"#))
        }
    };
    let mut response = Response::new(body);
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, JSON);
    response
}

/// Writes into a buffer, and wipes what it leaves behind when the buffer has to grow.
struct Wiping<'a>(&'a mut Zeroizing<Vec<u8>>);

impl std::io::Write for Wiping<'_> {
    fn write(&mut self, part: &[u8]) -> std::io::Result<usize> {
        let needed = self.0.len().saturating_add(part.len());
        if needed > self.0.capacity() {
            let mut larger = Zeroizing::new(Vec::with_capacity(needed.saturating_mul(2)));
            larger.extend_from_slice(self.0);
            *self.0 = larger;
        }
        self.0.extend_from_slice(part);
        Ok(part.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_answer_of_any_size_is_complete() {
        for size in [0, 1, 1000, 1024, 5000, 1_000_000] {
            let text = "x".repeat(size);
            let response = json(StatusCode::OK, &text);
            assert_eq!(response.headers()[CONTENT_TYPE], JSON);
            let body = axum::body::to_bytes(response.into_body(), usize::MAX).await.unwrap();
            assert_eq!(body, serde_json::to_vec(&text).unwrap());
        }
    }
}
