//! Problem documents (RFC 9457) with the error types of RFC 8555 §6.7: the only place where ACME's
//! errors get a shape on the wire.

use axum::response::{IntoResponse, Response};
use chancery_acme::jws::{ALGORITHMS, JwsError};
use chancery_acme::nonce::BadNonce;
use chancery_acme::{
    DeniedIdentifier, Error, Failure, FailureKind, InternalError, InvalidIdentifier,
    RefusedIdentifier,
};
use chancery_identity::visible;
use http::{HeaderName, HeaderValue, StatusCode, header};
use serde::Serialize;

use crate::BodyError;

/// The error types that occur here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Type {
    AccountDoesNotExist,
    AlreadyRevoked,
    BadCsr,
    BadNonce,
    BadPublicKey,
    BadRevocationReason,
    BadSignatureAlgorithm,
    Connection,
    Dns,
    IncorrectResponse,
    InvalidContact,
    InvalidProfile,
    Malformed,
    OrderNotReady,
    RateLimited,
    RejectedIdentifier,
    ServerInternal,
    Tls,
    Unauthorized,
    UnsupportedContact,
    UnsupportedIdentifier,
    UserActionRequired,
}

/// An error answer, or an error shown inside a resource.
#[derive(Debug)]
pub(crate) struct Problem {
    status: StatusCode,
    body: Box<Document>,
    headers: Vec<(HeaderName, String)>,
}

/// What stands in the document. Fields without a value are left out: `null` breaks clients.
#[derive(Debug, Serialize)]
pub(super) struct Document {
    #[serde(rename = "type")]
    kind: &'static str,
    detail: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    algorithms: Option<[&'static str; 4]>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    subproblems: Vec<Subproblem>,
}

/// What is wrong with one name (RFC 8555 §6.7.1).
#[derive(Debug, Serialize)]
struct Subproblem {
    #[serde(rename = "type")]
    kind: &'static str,
    detail: String,
    identifier: AsSent,
}

#[derive(Debug, Serialize)]
struct AsSent {
    #[serde(rename = "type")]
    kind: String,
    value: String,
}

impl Subproblem {
    /// A name that a policy refused.
    fn denied(denied: DeniedIdentifier) -> Self {
        let DeniedIdentifier { identifier, code, message } = denied;
        Self {
            kind: Type::RejectedIdentifier.urn(),
            detail: format!("denied by policy ({code}): {message}"),
            identifier: AsSent { kind: identifier.kind().to_owned(), value: identifier.value() },
        }
    }
}

impl Type {
    fn urn(self) -> &'static str {
        match self {
            Self::AccountDoesNotExist => "urn:ietf:params:acme:error:accountDoesNotExist",
            Self::AlreadyRevoked => "urn:ietf:params:acme:error:alreadyRevoked",
            Self::BadCsr => "urn:ietf:params:acme:error:badCSR",
            Self::BadNonce => "urn:ietf:params:acme:error:badNonce",
            Self::BadPublicKey => "urn:ietf:params:acme:error:badPublicKey",
            Self::BadRevocationReason => "urn:ietf:params:acme:error:badRevocationReason",
            Self::BadSignatureAlgorithm => "urn:ietf:params:acme:error:badSignatureAlgorithm",
            Self::Connection => "urn:ietf:params:acme:error:connection",
            Self::Dns => "urn:ietf:params:acme:error:dns",
            Self::IncorrectResponse => "urn:ietf:params:acme:error:incorrectResponse",
            Self::InvalidContact => "urn:ietf:params:acme:error:invalidContact",
            Self::InvalidProfile => "urn:ietf:params:acme:error:invalidProfile",
            Self::Malformed => "urn:ietf:params:acme:error:malformed",
            Self::OrderNotReady => "urn:ietf:params:acme:error:orderNotReady",
            Self::RateLimited => "urn:ietf:params:acme:error:rateLimited",
            Self::RejectedIdentifier => "urn:ietf:params:acme:error:rejectedIdentifier",
            Self::ServerInternal => "urn:ietf:params:acme:error:serverInternal",
            Self::Tls => "urn:ietf:params:acme:error:tls",
            Self::Unauthorized => "urn:ietf:params:acme:error:unauthorized",
            Self::UnsupportedContact => "urn:ietf:params:acme:error:unsupportedContact",
            Self::UnsupportedIdentifier => "urn:ietf:params:acme:error:unsupportedIdentifier",
            Self::UserActionRequired => "urn:ietf:params:acme:error:userActionRequired",
        }
    }
}

impl Problem {
    pub(super) fn new(status: StatusCode, kind: Type, detail: impl Into<String>) -> Self {
        let body = Document {
            kind: kind.urn(),
            detail: visible(&detail.into()).into_owned(),
            status: Some(status.as_u16()),
            algorithms: None,
            subproblems: Vec::new(),
        };
        Self { status, body: Box::new(body), headers: Vec::new() }
    }

    /// Something is wrong here; the log says what.
    pub(super) fn internal() -> Self {
        Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            Type::ServerInternal,
            "the server failed; the request id leads to the reason in its log",
        )
    }

    fn unavailable() -> Self {
        Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            Type::ServerInternal,
            "the server cannot do this at the moment; try again",
        )
        .with(header::RETRY_AFTER, "1")
    }

    /// The body of the request was broken off.
    pub(super) fn of_body(error: BodyError) -> Self {
        let (status, detail) = (error.status(), error.to_string());
        match error {
            BodyError::TooSlow => Self::new(status, Type::Malformed, detail),
            BodyError::NoRoom => {
                Self::new(status, Type::ServerInternal, detail).with(header::RETRY_AFTER, "1")
            }
        }
    }

    fn with(mut self, name: HeaderName, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    fn identifiers(refused: Vec<RefusedIdentifier>) -> Self {
        let all_unsupported =
            refused.iter().all(|one| kind_of(&one.reason) == Type::UnsupportedIdentifier);
        let kind =
            if all_unsupported { Type::UnsupportedIdentifier } else { Type::RejectedIdentifier };
        let mut problem = Self::new(StatusCode::BAD_REQUEST, kind, "");
        problem.body.subproblems = refused
            .into_iter()
            .map(|one| Subproblem {
                kind: kind_of(&one.reason).urn(),
                detail: visible(&one.reason.to_string()).into_owned(),
                identifier: AsSent { kind: one.kind, value: one.value },
            })
            .collect();
        problem.body.detail = match problem.body.subproblems.as_slice() {
            [one] => one.detail.clone(),
            many => format!("{} names cannot be certified; see the subproblems", many.len()),
        };
        problem
    }
}

fn kind_of(reason: &InvalidIdentifier) -> Type {
    match reason {
        InvalidIdentifier::UnsupportedType(_) => Type::UnsupportedIdentifier,
        InvalidIdentifier::Dns { .. }
        | InvalidIdentifier::Unlisted(_)
        | InvalidIdentifier::Special { .. }
        | InvalidIdentifier::NotPermitted(_)
        | InvalidIdentifier::Ip(_)
        | InvalidIdentifier::IpSpelling { .. }
        | InvalidIdentifier::NoHost(_) => Type::RejectedIdentifier,
    }
}

/// The error of a challenge or an order, as it stands inside the resource.
pub(super) fn of_failure(failure: &Failure) -> Document {
    let kind = match failure.kind {
        FailureKind::Connection => Type::Connection,
        FailureKind::Dns => Type::Dns,
        FailureKind::Tls => Type::Tls,
        FailureKind::IncorrectResponse => Type::IncorrectResponse,
        FailureKind::Unauthorized => Type::Unauthorized,
        FailureKind::RejectedIdentifier => Type::RejectedIdentifier,
        FailureKind::BadCsr => Type::BadCsr,
        FailureKind::Malformed | FailureKind::Abandoned => Type::Malformed,
        FailureKind::Internal => Type::ServerInternal,
    };
    Document {
        kind: kind.urn(),
        detail: visible(&failure.detail).into_owned(),
        status: None,
        algorithms: None,
        subproblems: Vec::new(),
    }
}

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        let detail = error.to_string();
        let bad = |kind| Self::new(StatusCode::BAD_REQUEST, kind, detail.clone());
        let forbidden = |kind| Self::new(StatusCode::FORBIDDEN, kind, detail.clone());
        match error {
            Error::Jws(JwsError::BadAlgorithm(_)) => {
                let mut problem = bad(Type::BadSignatureAlgorithm);
                problem.body.algorithms = Some(ALGORITHMS);
                problem
            }
            Error::Jws(JwsError::BadKey(_)) => bad(Type::BadPublicKey),
            Error::Jws(JwsError::Malformed(_) | JwsError::BadSignature)
            | Error::BadNonce(BadNonce::Malformed)
            | Error::Malformed(_) => bad(Type::Malformed),
            Error::BadNonce(BadNonce::Unknown) => bad(Type::BadNonce),
            Error::WrongUrl { .. } | Error::AccountDeactivated => {
                Self::new(StatusCode::UNAUTHORIZED, Type::Unauthorized, detail)
            }
            Error::NoAccount => bad(Type::AccountDoesNotExist),
            Error::TermsNotAgreed { terms } => forbidden(Type::UserActionRequired)
                .with(header::LINK, format!("<{terms}>;rel=\"terms-of-service\"")),
            Error::UnsupportedContact(_) => bad(Type::UnsupportedContact),
            Error::InvalidContact { .. } => bad(Type::InvalidContact),
            Error::Identifiers(refused) => Self::identifiers(refused),
            Error::InvalidProfile { .. } => bad(Type::InvalidProfile),
            Error::DeniedIdentifiers { identifiers, .. } => {
                let mut problem = forbidden(Type::RejectedIdentifier);
                problem.body.subproblems =
                    identifiers.into_iter().map(Subproblem::denied).collect();
                problem
            }
            Error::Denied { .. } | Error::Unauthorized(_) | Error::Certificate(_) => {
                forbidden(Type::Unauthorized)
            }
            Error::NotFound(_) => Self::new(StatusCode::NOT_FOUND, Type::Malformed, detail),
            Error::OrderNotReady { .. } => forbidden(Type::OrderNotReady),
            Error::BadCsr(_) => bad(Type::BadCsr),
            Error::KeyInUse { .. } => Self::new(StatusCode::CONFLICT, Type::Malformed, detail),
            Error::AlreadyRevoked => bad(Type::AlreadyRevoked),
            Error::BadRevocationReason(_) => bad(Type::BadRevocationReason),
            Error::RateLimited { retry_after, .. } => {
                Self::new(StatusCode::TOO_MANY_REQUESTS, Type::RateLimited, detail)
                    .with(header::RETRY_AFTER, retry_after.as_secs().max(1).to_string())
            }
            Error::Overloaded => Self::unavailable(),
            Error::Internal(error) => {
                tracing::error!(%error, "an ACME request failed");
                match error {
                    InternalError::Read(_) | InternalError::Commit(_) => Self::unavailable(),
                    _ => Self::internal(),
                }
            }
        }
    }
}

impl Problem {
    /// The key of a key change belongs to the account at `url` (RFC 8555 §7.3.5).
    pub(super) fn at(self, url: String) -> Self {
        self.with(header::LOCATION, url)
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = (self.status, axum::Json(self.body)).into_response();
        let headers = response.headers_mut();
        let kind = HeaderValue::from_static("application/problem+json");
        headers.insert(header::CONTENT_TYPE, kind);
        for (name, value) in self.headers {
            if let Ok(value) = HeaderValue::from_str(&value) {
                headers.append(name, value);
            }
        }
        response
    }
}

/// No such path below `/acme`.
pub(super) async fn no_resource() -> Problem {
    Problem::new(StatusCode::NOT_FOUND, Type::Malformed, "there is no such resource")
}

/// The path exists, the method does not: mostly a GET where RFC 8555 §6.3 wants a POST-as-GET.
pub(super) async fn wrong_method() -> Problem {
    Problem::new(
        StatusCode::METHOD_NOT_ALLOWED,
        Type::Malformed,
        "this resource is read by POST-as-GET: a signed POST with an empty payload (RFC 8555 §6.3)",
    )
}
