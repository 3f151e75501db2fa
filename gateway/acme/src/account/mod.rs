//! Accounts (RFC 8555 §7.1.2, §7.3): a key that may ask for certificates.

mod changes;
mod contact;
mod create;
mod idle;
mod key_change;
mod update;

pub use create::{NewAccount, Registered};
pub use update::AccountUpdate;

use std::time::Duration;

use chancery_records::Recorded;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::error::Error;
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
    /// When it last had an order, to the day.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_order: Option<Timestamp>,
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

impl Recorded for Account {}

impl ActiveAccount {
    /// The account that was found, if it may act.
    pub(crate) fn of(found: Option<Stored<Account>>) -> Result<Self, Error> {
        let found = found.ok_or(Error::NoAccount)?;
        match found.value.status {
            AccountStatus::Valid => Ok(Self(found)),
            AccountStatus::Deactivated => Err(Error::AccountDeactivated),
        }
    }

    /// The account.
    pub fn account(&self) -> &Account {
        &self.0.value
    }

    /// Its id.
    pub fn id(&self) -> AccountId {
        self.0.value.id
    }
}

/// How exactly the last order of an account is known: not every one is worth a write.
const DAY: Duration = Duration::from_hours(24);

impl Account {
    /// The account with an order at `now`, if that is worth writing down.
    pub(crate) fn used(&self, now: Timestamp) -> Option<Self> {
        let is_known = self.last_order.is_some_and(|last| now < last + DAY);
        (!is_known).then(|| Self { last_order: Some(now), ..self.clone() })
    }

    /// The account as policies and the inventory of certificates name it: `acme:` and its id.
    pub fn requester(id: AccountId) -> String {
        format!("acme:{id}")
    }
}
