//! The URLs of ACME's resources.

use chancery_acme::challenge::ChallengeType;
use chancery_acme::id::{AccountId, AuthorizationId, OrderId};
use http::Extensions;

use super::prefix::PREFIX;
use crate::hosts::Called;

/// The URLs of resources, under the name by which a request called the gateway.
#[derive(Debug, Clone)]
pub(super) struct Urls {
    base: String,
}

/// A request that was not asked by which name it calls.
#[derive(Debug, Clone, Copy)]
pub(super) struct NoHost;

impl Urls {
    /// URLs under the name by which a request called the gateway, which is one of its own: the check of
    /// hosts has put it there.
    pub(super) fn of(extensions: &Extensions) -> Result<Self, NoHost> {
        let Called { base } = extensions.get().cloned().ok_or(NoHost)?;
        Ok(Self { base })
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
