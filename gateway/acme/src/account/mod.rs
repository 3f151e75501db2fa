//! Accounts (RFC 8555 §7.1.2, §7.3): a key that may ask for certificates.

mod contact;
mod create;
mod key_change;
mod update;

pub use create::{NewAccount, Registered};
pub use update::AccountUpdate;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::id::AccountId;
use crate::jws::AccountKey;
use crate::records::Stored;

/// An account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Account {
    /// Its id.
    pub id: AccountId,
    /// Whose signatures act for it.
    pub key: AccountKey,
    /// Whether it still may.
    pub status: AccountStatus,
    /// Where to reach its owner: `mailto:` URLs.
    pub contact: Vec<String>,
    /// Whether the terms of service were agreed to.
    pub terms_agreed: bool,
    /// When it was made.
    pub created: Timestamp,
}

/// The states of an account (RFC 8555 §7.1.6). `revoked` would be the server's doing, for which
/// there is no operation yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AccountStatus {
    /// It may act.
    Valid,
    /// Its owner gave it up.
    Deactivated,
}

/// An account that signed the request at hand and may act. Only authentication makes one.
#[derive(Debug, Clone)]
pub struct ActiveAccount(pub(crate) Stored<Account>);

impl ActiveAccount {
    /// The account.
    pub fn account(&self) -> &Account {
        &self.0.value
    }

    /// Its id.
    pub fn id(&self) -> AccountId {
        self.0.value.id
    }
}

impl Account {
    /// The account as policies and the inventory of certificates name it: `acme:` and its id.
    pub fn requester(id: AccountId) -> String {
        format!("acme:{id}")
    }
}
