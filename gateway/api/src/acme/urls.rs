use chancery_acme::challenge::ChallengeType;
use chancery_acme::id::{AccountId, AuthorizationId, OrderId};
use http::request::Parts;
use http::uri::Authority;
use http::{Uri, header};

/// Where ACME lives.
pub(super) const PREFIX: &str = "/acme";

/// The URLs of resources, as the client that sent a request sees them.
#[derive(Debug, Clone)]
pub(super) struct Urls {
    base: String,
}

/// A request that does not say which host it called.
#[derive(Debug, Clone, Copy)]
pub(super) struct NoHost;

impl Urls {
    /// URLs under the host that a request called: the `:authority` of HTTP/2 or the `Host` of
    /// HTTP/1.1.
    pub(super) fn of(parts: &Parts, uri: &Uri) -> Result<Self, NoHost> {
        let host = || parts.headers.get(header::HOST).and_then(|value| value.to_str().ok());
        let authority = match uri.authority() {
            Some(authority) => authority.clone(),
            None => host().ok_or(NoHost)?.parse::<Authority>().map_err(|_| NoHost)?,
        };
        if authority.as_str().contains('@') || authority.host().is_empty() {
            return Err(NoHost);
        }
        Ok(Self { base: format!("https://{authority}") })
    }

    /// The URL of what was called.
    pub(super) fn of_path(&self, path_and_query: &str) -> String {
        format!("{}{path_and_query}", self.base)
    }

    fn below(&self, path: std::fmt::Arguments<'_>) -> String {
        format!("{}{PREFIX}/{path}", self.base)
    }

    pub(super) fn directory(&self) -> String {
        self.below(format_args!("directory"))
    }

    pub(super) fn new_nonce(&self) -> String {
        self.below(format_args!("new-nonce"))
    }

    pub(super) fn new_account(&self) -> String {
        self.below(format_args!("new-account"))
    }

    pub(super) fn new_order(&self) -> String {
        self.below(format_args!("new-order"))
    }

    pub(super) fn revoke_cert(&self) -> String {
        self.below(format_args!("revoke-cert"))
    }

    pub(super) fn key_change(&self) -> String {
        self.below(format_args!("key-change"))
    }

    /// What every account's URL begins with.
    pub(super) fn account_prefix(&self) -> String {
        self.below(format_args!("account/"))
    }

    pub(super) fn account(&self, id: AccountId) -> String {
        self.below(format_args!("account/{id}"))
    }

    pub(super) fn orders(&self, id: AccountId) -> String {
        self.below(format_args!("account/{id}/orders"))
    }

    pub(super) fn orders_after(&self, id: AccountId, order: OrderId) -> String {
        self.below(format_args!("account/{id}/orders?after={order}"))
    }

    pub(super) fn order(&self, id: OrderId) -> String {
        self.below(format_args!("order/{id}"))
    }

    pub(super) fn finalize(&self, id: OrderId) -> String {
        self.below(format_args!("order/{id}/finalize"))
    }

    pub(super) fn authorization(&self, id: AuthorizationId) -> String {
        self.below(format_args!("authz/{id}"))
    }

    pub(super) fn challenge(&self, id: AuthorizationId, kind: ChallengeType) -> String {
        self.below(format_args!("challenge/{id}/{}", kind.as_str()))
    }

    pub(super) fn certificate(&self, serial: &str) -> String {
        self.below(format_args!("certificate/{serial}"))
    }

    pub(super) fn alternate(&self, serial: &str, number: usize) -> String {
        self.below(format_args!("certificate/{serial}/{number}"))
    }
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    fn directory(host: Option<&str>, uri: &str) -> Option<String> {
        let mut request = Request::get(uri);
        if let Some(host) = host {
            request = request.header(header::HOST, host);
        }
        let (parts, ()) = request.body(()).unwrap().into_parts();
        Urls::of(&parts, &parts.uri).ok().map(|urls| urls.directory())
    }

    #[test]
    fn follow_the_host_that_was_called() {
        let expected = Some("https://a.example:8443/acme/directory".to_owned());
        assert_eq!(directory(Some("a.example:8443"), "/x"), expected);
        assert_eq!(directory(None, "https://a.example:8443/x"), expected);
        assert_eq!(
            directory(Some("[::1]:8443"), "/x"),
            Some("https://[::1]:8443/acme/directory".to_owned())
        );
    }

    #[test]
    fn a_strange_host_is_refused() {
        for host in [None, Some(""), Some("a@b"), Some("a/b"), Some("a b"), Some("a?b")] {
            assert_eq!(directory(host, "/x"), None, "{host:?}");
        }
    }
}
