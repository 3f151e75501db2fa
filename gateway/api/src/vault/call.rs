//! Extracts and authenticates a request of Vault's API: its verb, mount, token, namespace and body.

use axum::extract::{FromRequest, Request};
use chancery_access::Caller;
use chancery_identity::{RequestContext, TenantId};
use chancery_secrets::{MountKind, MountName};
use http::header::{AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE};
use http::{HeaderMap, Uri};
use zeroize::Zeroizing;

use super::body::{self, JsonBody};
use super::envelope::Head;
use super::error::VaultError;
use super::fields::Fields;
use super::state::{Condition, VaultState};
use super::{NAMESPACE, duration::ApiDuration};
use crate::url;

const MERGE_PATCH: &str = "application/merge-patch+json";

/// A request from somebody, with its body, authenticated after the last byte of it had arrived: what was
/// good when the headers came may have been revoked while the body was on its way.
pub(super) struct Call {
    pub(super) context: RequestContext,
    pub(super) caller: Caller,
    /// The token that came with it, to be given back to its holder.
    pub(super) token: Option<Zeroizing<String>>,
    pub(super) verb: Verb,
    uri: Uri,
    merge_patch: bool,
    body: JsonBody,
}

/// A call that goes by the certificate alone: a token that came with it is not looked at, since
/// clients log in because theirs has expired.
pub(super) struct CallWithoutToken(pub(super) Call);

/// What the API makes of methods: PUT is POST, and listing has a method of its own as well as a query
/// parameter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verb {
    Get,
    List,
    Write,
    Patch,
    Delete,
}

impl Call {
    /// What the answer says of the request: to be asked for when all of its body has been read that counts.
    pub(super) fn head(&self) -> Head {
        Head { request: self.context.id, warning: self.body.warning() }
    }

    /// The path as it came, nothing decoded.
    pub(super) fn raw_path(&self) -> &str {
        self.uri.path()
    }

    /// Of `/v1/MOUNT/RESOURCE/REST`, the mount and the rest as they came, nothing decoded.
    pub(super) fn raw_target(&self) -> (&str, &str) {
        let mut parts = self.raw_path().splitn(5, '/').skip(2);
        let mount = parts.next().unwrap_or_default();
        (mount, parts.nth(1).unwrap_or_default())
    }

    /// The mount that the call is about. What cannot be the name of one has no route.
    pub(super) fn mount(&self) -> Result<MountName, VaultError> {
        let (name, _) = self.raw_target();
        name.parse().map_err(|_| VaultError::NoRoute)
    }

    /// Refuses every other verb.
    pub(super) fn expect(&self, verb: Verb) -> Result<(), VaultError> {
        if self.verb == verb { Ok(()) } else { Err(VaultError::Method) }
    }

    /// The value of a query parameter.
    pub(super) fn query(&self, name: &str) -> Option<String> {
        url::parameter(&self.uri, name)
    }

    /// Whether the body is said to be a JSON merge patch (RFC 7396 §4).
    pub(super) fn is_merge_patch(&self) -> bool {
        self.merge_patch
    }

    /// The members of the object that the body is; none for an empty body.
    pub(super) fn fields(&self) -> Result<Fields<'_>, VaultError> {
        self.body.fields()
    }

    async fn of(
        request: Request,
        state: &VaultState,
        token: Option<Zeroizing<String>>,
    ) -> Result<Self, VaultError> {
        let (parts, content) = request.into_parts();
        check_condition(state)?;
        let mut context = context_of(&parts.extensions)?;
        let shown = token.as_ref().map(|token| token.as_str());
        let addressed = namespace_in(&parts.headers)?;
        if !url::has_text(&parts.uri) {
            return Err(VaultError::BadRequest("the query of the URL is not UTF-8".into()));
        }
        let verb = match parts.method.as_str() {
            // A client that took the answer to reading for a list would believe the folder empty.
            "GET" if url::parameter(&parts.uri, "scan").is_some_and(|scan| is_true(&scan)) => {
                return Err(VaultError::Scan);
            }
            "SCAN" => return Err(VaultError::Scan),
            "GET" if url::parameter(&parts.uri, "list").is_some_and(|list| is_true(&list)) => {
                Verb::List
            }
            "GET" => Verb::Get,
            "LIST" => Verb::List,
            "POST" | "PUT" => Verb::Write,
            "PATCH" => Verb::Patch,
            "DELETE" => Verb::Delete,
            _ => return Err(VaultError::Method),
        };
        let text = |name| parts.headers.get(name).and_then(|value| value.to_str().ok());
        let content_type = text(CONTENT_TYPE).and_then(|text| text.split(';').next());
        let merge_patch =
            content_type.is_some_and(|text| text.trim().eq_ignore_ascii_case(MERGE_PATCH));
        let body = match verb {
            Verb::Write | Verb::Patch => {
                // Strangers do not make the gateway wait for a body and keep it. With a certificate the
                // token can wait.
                let early = shown.filter(|_| context.evidence.is_none());
                state.access.authenticate(&context, early).await?;
                let announced = text(CONTENT_LENGTH).and_then(|text| text.parse().ok());
                let limit = body::limit(parts.uri.path(), |mount| {
                    state.secrets.kind_of(mount) == Some(MountKind::Transit)
                });
                JsonBody::read(content, announced, limit).await?
            }
            Verb::Get | Verb::List | Verb::Delete => JsonBody::empty(),
        };
        check_condition(state)?;
        let caller = state.access.authenticate(&context, shown).await?;
        // Of a bearer token, the tenant is the token's.
        context.tenant = caller.identity().tenant.clone();
        // Only now is it known whose request this is, which is what the audit log is to say.
        if let Some(tenant) = addressed {
            state.access.check_tenant(&context, &caller, &tenant).await?;
        }
        refuse_wrapping(&parts.headers)?;
        Ok(Self { context, caller, token, verb, uri: parts.uri, merge_patch, body })
    }
}

/// Refuses while the gateway does not serve.
pub(super) fn check_condition(state: &VaultState) -> Result<(), VaultError> {
    match *state.condition.borrow() {
        Condition::Sealed | Condition::Uninitialised => Err(VaultError::Sealed),
        Condition::Active | Condition::Standby => Ok(()),
    }
}

impl FromRequest<VaultState> for Call {
    type Rejection = VaultError;

    async fn from_request(request: Request, state: &VaultState) -> Result<Self, VaultError> {
        let token = token_in(request.headers())?;
        Self::of(request, state, token).await
    }
}

impl FromRequest<VaultState> for CallWithoutToken {
    type Rejection = VaultError;

    async fn from_request(request: Request, state: &VaultState) -> Result<Self, VaultError> {
        Call::of(request, state, None).await.map(Self)
    }
}

/// The context that the outer layer put there.
pub(super) fn context_of(extensions: &http::Extensions) -> Result<RequestContext, VaultError> {
    let context = extensions.get::<RequestContext>().cloned();
    context.ok_or(VaultError::Internal("a request without its context reached the vault API"))
}

/// How clients say yes in a query.
pub(super) fn is_true(text: &str) -> bool {
    matches!(text, "" | "1" | "t" | "T" | "true" | "TRUE" | "True")
}

/// The token in `X-Vault-Token` or, without that, in `Authorization: Bearer`.
fn token_in(headers: &HeaderMap) -> Result<Option<Zeroizing<String>>, VaultError> {
    let mut own = headers.get_all("x-vault-token").iter();
    let (first, second) = (own.next(), own.next());
    if second.is_some() {
        return Err(VaultError::BadRequest("the request carries several tokens".into()));
    }
    // A token that is no text is some other text: it is then unknown, and not missing.
    let text = |value: &http::HeaderValue| {
        Zeroizing::new(String::from_utf8_lossy(value.as_bytes()).into_owned())
    };
    let token = match first {
        Some(value) => Some(text(value)),
        None => headers.get(AUTHORIZATION).map(text).and_then(|value| {
            let (scheme, token) = value.split_once(' ')?;
            scheme.eq_ignore_ascii_case("bearer").then(|| Zeroizing::new(token.trim().to_owned()))
        }),
    };
    Ok(token.filter(|token| !token.is_empty()))
}

/// The tenant that a request addresses by its namespace; none if it leaves that to the certificate.
/// Answering for another one than was asked for would hand out the wrong secrets.
fn namespace_in(headers: &HeaderMap) -> Result<Option<TenantId>, VaultError> {
    let Some(namespace) = headers.get(NAMESPACE) else { return Ok(None) };
    match namespace.to_str().map(|name| name.trim_matches('/')) {
        Ok("" | "root") => Ok(None),
        Ok(name) => name.parse().map(Some).map_err(|_| VaultError::Namespace),
        Err(_) => Err(VaultError::Namespace),
    }
}

/// Somebody who asks for a wrapped answer must not get a plain one.
fn refuse_wrapping(headers: &HeaderMap) -> Result<(), VaultError> {
    let Some(ttl) = headers.get("x-vault-wrap-ttl") else { return Ok(()) };
    let ttl = ttl.to_str().unwrap_or("?");
    let off = ttl.is_empty() || ApiDuration::parse(ttl).is_some_and(|ttl| ttl.length.is_zero());
    if off {
        Ok(())
    } else {
        Err(VaultError::BadRequest("response wrapping is not available".into()))
    }
}
