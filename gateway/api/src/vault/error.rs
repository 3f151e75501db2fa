//! Maps the errors of all engines to an HTTP status and a text for the caller.

use std::borrow::Cow;

use axum::response::{IntoResponse, Response};
use chancery_access::AccessError;
use chancery_gate::Refused;
use chancery_identity::visible;
use chancery_secrets::kv::{InvalidPath, KvError};
use chancery_secrets::pki::PkiError;
use chancery_secrets::ssh::SshError;
use chancery_secrets::transit::TransitError;
use http::header::RETRY_AFTER;
use http::{HeaderValue, StatusCode};

use super::envelope;
use crate::BodyError;

/// Everything that can go wrong with a request. The one place where that becomes a status and the
/// text that a caller gets, which says nothing of values or of how the gateway is built.
#[derive(Debug)]
pub(super) enum VaultError {
    Access(AccessError),
    Kv(KvError),
    Pki(PkiError),
    Ssh(SshError),
    Transit(TransitError),
    Path(InvalidPath),
    /// The request cannot be understood; the text is for the caller and is ours.
    BadRequest(Cow<'static, str>),
    /// No such route or mount.
    NoRoute,
    /// The resource has no such method.
    Method,
    /// To list what is below a folder and below its folders, as OpenBao does.
    Scan,
    /// The body is over the limit.
    TooLarge {
        limit: usize,
    },
    /// The listener broke the body off.
    Body(BodyError),
    /// A patch in another format than a merge patch.
    PatchFormat,
    /// A namespace that is not the caller's tenant.
    Namespace,
    /// It cannot be done now, and may be later.
    Busy(&'static str),
    /// The gateway is not serving.
    Sealed,
    /// Something that cannot happen did.
    Internal(&'static str),
}

const DENIED: &str = "permission denied";

impl VaultError {
    /// The text for the caller, where the error is one of several results.
    pub(super) fn told(&self) -> String {
        visible(&self.parts().1.join(": ")).into_owned()
    }

    fn parts(&self) -> (StatusCode, Vec<Cow<'_, str>>) {
        let bad = |error: &dyn std::fmt::Display| {
            (StatusCode::BAD_REQUEST, vec![Cow::from(error.to_string())])
        };
        match self {
            Self::Access(error) => match error {
                AccessError::Unauthenticated(reason) => denied(reason.to_string().into()),
                AccessError::Gate(refused) => not_authorized(refused),
                AccessError::TokenNeeded => denied(error.to_string().into()),
                AccessError::NotRenewable
                | AccessError::TokenAtItsEnd
                | AccessError::Directory(_)
                | AccessError::Policies(_) => bad(error),
                AccessError::NotFound => (StatusCode::NOT_FOUND, vec![]),
                AccessError::TooManyTokens { .. } => overloaded(error),
                error if error.is_full() => full(error),
                _ => internal(error),
            },
            Self::Kv(KvError::NoMount) => Self::NoRoute.parts(),
            Self::Kv(error) => match error {
                KvError::Gate(refused) => not_authorized(refused),
                KvError::NotFound | KvError::Gone(_) => (StatusCode::NOT_FOUND, vec![]),
                KvError::CasMismatch
                | KvError::CasRequired
                | KvError::NoVersions
                | KvError::TooManyVersions
                | KvError::Path(_)
                | KvError::Data(_)
                | KvError::Setting(_)
                | KvError::CustomMetadata(_) => bad(error),
                KvError::NoRoom(_) => no_room(error),
                error if error.is_full() => full(error),
                KvError::Contended => {
                    (StatusCode::INTERNAL_SERVER_ERROR, vec![error.to_string().into()])
                }
                _ => internal(error),
            },
            Self::Pki(error) => match error {
                PkiError::NoMount => Self::NoRoute.parts(),
                PkiError::Gate(refused) => not_authorized(refused),
                PkiError::NotFound => (StatusCode::NOT_FOUND, vec![]),
                PkiError::Refused(_) => bad(error),
                PkiError::NoRoom(_) => no_room(error),
                PkiError::Unavailable(why) if why.is_full() => full(why),
                PkiError::Unavailable(why) if why.is_passing() => away(error),
                PkiError::NotIssued(why) if why.is_passing() => away(error),
                _ => internal(error),
            },
            Self::Ssh(error) => match error {
                SshError::NotConfigured => Self::NoRoute.parts(),
                SshError::Gate(refused) => not_authorized(refused),
                SshError::OfOtherTenants => denied(error.to_string().into()),
                SshError::Unavailable(why) if why.is_full() => full(why),
                SshError::Unavailable(why) if why.is_passing() => away(error),
                SshError::Unavailable(_) => internal(error),
                _ => bad(error),
            },
            Self::Transit(error) => match error {
                TransitError::NoMount => Self::NoRoute.parts(),
                TransitError::Gate(refused) => not_authorized(refused),
                TransitError::NotFound => (StatusCode::NOT_FOUND, vec![]),
                TransitError::NoKey(_)
                | TransitError::NotEnabled(_)
                | TransitError::Refused(_)
                | TransitError::Unauthentic => bad(error),
                TransitError::Busy(_) => overloaded(error),
                TransitError::NoRoom(_) => no_room(error),
                error if error.is_full() => full(error),
                TransitError::Unavailable(_) => away(error),
                TransitError::Contended => {
                    (StatusCode::INTERNAL_SERVER_ERROR, vec![error.to_string().into()])
                }
                _ => internal(error),
            },
            Self::Path(error) => bad(error),
            Self::BadRequest(text) => (StatusCode::BAD_REQUEST, vec![text.clone()]),
            Self::NoRoute => (
                StatusCode::NOT_FOUND,
                vec!["there is nothing at this path, or no such mount".into()],
            ),
            Self::Method => (StatusCode::METHOD_NOT_ALLOWED, vec!["unsupported operation".into()]),
            Self::Scan => (
                StatusCode::METHOD_NOT_ALLOWED,
                vec!["unsupported operation: scanning is not available: list each folder".into()],
            ),
            Self::TooLarge { limit } => (
                StatusCode::PAYLOAD_TOO_LARGE,
                vec![format!("the request body is larger than {limit} bytes").into()],
            ),
            Self::Body(error) => (error.status(), vec![error.to_string().into()]),
            Self::PatchFormat => (
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                vec!["PATCH requires Content-Type application/merge-patch+json".into()],
            ),
            Self::Namespace => denied("there is no such namespace for this identity".into()),
            Self::Busy(why) => (StatusCode::TOO_MANY_REQUESTS, vec![(*why).into()]),
            Self::Sealed => (StatusCode::SERVICE_UNAVAILABLE, vec!["the gateway is sealed".into()]),
            Self::Internal(what) => internal(what),
        }
    }
}

/// The caller may not.
fn denied(why: Cow<'static, str>) -> (StatusCode, Vec<Cow<'static, str>>) {
    (StatusCode::FORBIDDEN, vec![DENIED.into(), why])
}

/// The gate refused the request.
fn not_authorized(refused: &Refused) -> (StatusCode, Vec<Cow<'static, str>>) {
    match refused {
        Refused::Denied(_) | Refused::NeedsApproval { .. } => denied(refused.told().into()),
        Refused::Overloaded => overloaded(refused),
        Refused::Unrecorded(_) => internal(refused),
    }
}

/// The gateway has more to do than it can; clients know to wait and try again.
fn overloaded(error: &dyn std::fmt::Display) -> (StatusCode, Vec<Cow<'static, str>>) {
    (StatusCode::TOO_MANY_REQUESTS, vec![error.to_string().into()])
}

/// The store's disk is full: the operator has to make room.
fn full(error: &dyn std::fmt::Display) -> (StatusCode, Vec<Cow<'static, str>>) {
    tracing::warn!(%error, "a request cannot be done while the disk is full");
    (
        StatusCode::INSUFFICIENT_STORAGE,
        vec!["the store's disk is full: its operator has to make room".into()],
    )
}

/// What was asked for is too much for now.
fn no_room(error: &dyn std::fmt::Display) -> (StatusCode, Vec<Cow<'static, str>>) {
    (StatusCode::SERVICE_UNAVAILABLE, vec![error.to_string().into()])
}

/// The HSM, another CA or the store is away or busy, and will be back.
fn away(error: &dyn std::fmt::Display) -> (StatusCode, Vec<Cow<'static, str>>) {
    tracing::warn!(%error, "a request cannot be done at the moment");
    let said = "the HSM, or something else that is needed, is away or busy: try again".into();
    (StatusCode::SERVICE_UNAVAILABLE, vec![said])
}

/// What went wrong inside is for the log; the caller finds it there by the request's id.
fn internal(error: &dyn std::fmt::Display) -> (StatusCode, Vec<Cow<'static, str>>) {
    tracing::error!(%error, "a request failed");
    (StatusCode::INTERNAL_SERVER_ERROR, vec!["internal error: see the gateway's log".into()])
}

impl IntoResponse for VaultError {
    fn into_response(self) -> Response {
        let (status, errors) = self.parts();
        let mut response = envelope::errors(status, &errors);
        if status == StatusCode::SERVICE_UNAVAILABLE && !matches!(self, Self::Sealed) {
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
        }
        response
    }
}

impl From<AccessError> for VaultError {
    fn from(error: AccessError) -> Self {
        Self::Access(error)
    }
}

impl From<KvError> for VaultError {
    fn from(error: KvError) -> Self {
        Self::Kv(error)
    }
}

impl From<PkiError> for VaultError {
    fn from(error: PkiError) -> Self {
        Self::Pki(error)
    }
}

impl From<SshError> for VaultError {
    fn from(error: SshError) -> Self {
        Self::Ssh(error)
    }
}

impl From<TransitError> for VaultError {
    fn from(error: TransitError) -> Self {
        Self::Transit(error)
    }
}

impl From<InvalidPath> for VaultError {
    fn from(error: InvalidPath) -> Self {
        Self::Path(error)
    }
}

#[cfg(test)]
mod tests {
    use chancery_identity::NoRoom;
    use chancery_store::CommitError;

    use super::*;

    #[test]
    fn a_full_disk_is_507_and_says_so() {
        for error in [
            VaultError::Access(CommitError::Full.into()),
            VaultError::Kv(CommitError::Full.into()),
            VaultError::Transit(CommitError::Full.into()),
            VaultError::Pki(PkiError::Unavailable(CommitError::Full.into())),
            VaultError::Ssh(SshError::Unavailable(CommitError::Full.into())),
        ] {
            assert!(error.told().contains("the store's disk is full"));
            assert_eq!(error.into_response().status(), StatusCode::INSUFFICIENT_STORAGE);
        }
    }

    #[test]
    fn an_overload_is_429_and_not_a_denial() {
        for error in [
            VaultError::Access(Refused::Overloaded.into()),
            VaultError::Access(AccessError::TooManyTokens { most: 1 }),
            VaultError::Kv(Refused::Overloaded.into()),
            VaultError::Pki(Refused::Overloaded.into()),
            VaultError::Transit(Refused::Overloaded.into()),
            VaultError::Ssh(Refused::Overloaded.into()),
        ] {
            assert_eq!(error.into_response().status(), StatusCode::TOO_MANY_REQUESTS);
        }
    }

    #[test]
    fn where_there_is_no_room_for_an_answer_the_caller_tries_again() {
        for error in [
            VaultError::Kv(NoRoom.into()),
            VaultError::Pki(NoRoom.into()),
            VaultError::Transit(NoRoom.into()),
        ] {
            let response = error.into_response();
            assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
            assert_eq!(response.headers()[RETRY_AFTER], "1");
        }
    }

    #[test]
    fn what_happened_inside_stays_inside() {
        let inside = KvError::Record("default/secrets/kv-metadata/secret/app".to_owned());
        let error = VaultError::Kv(inside);
        let (status, errors) = error.parts();
        assert_eq!(status, StatusCode::INTERNAL_SERVER_ERROR);
        assert_eq!(errors, ["internal error: see the gateway's log"]);
    }
}
