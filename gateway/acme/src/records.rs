//! Where ACME's records are in the store, and how they are read and written.
//!
//! | key | value |
//! |---|---|
//! | `T/acme/account/A` | the account |
//! | `T/acme/account-of-key/THUMBPRINT` | the account's id |
//! | `T/acme/order/O` | the order in its state |
//! | `T/acme/order-of/A/O` | empty: the account's orders |
//! | `T/acme/authorization/Z` | the authorization with its challenges in its state |
//! | `T/acme/authorized/A/TYPE:NAME` | until when the account's proof of the name counts |
//! | `T/acme/unfinished/KIND/ID` | empty: what to take up again after a start |

use chancery_identity::TenantId;
use chancery_store::{Key, Store, Version};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::{Error, InternalError};
use crate::id::{AccountId, AuthorizationId, OrderId};
use crate::identifier::Identifier;

/// A record with the version that a commit has to check before it replaces it.
#[derive(Debug, Clone)]
pub(crate) struct Stored<T> {
    pub(crate) key: Key,
    pub(crate) value: T,
    pub(crate) version: Version,
}

pub(crate) fn account(tenant: &TenantId, id: AccountId) -> Result<Key, Error> {
    Ok(Key::new(format!("{tenant}/acme/account/{id}"))?)
}

pub(crate) fn account_of_key(tenant: &TenantId, thumbprint: &str) -> Result<Key, Error> {
    Ok(Key::new(format!("{tenant}/acme/account-of-key/{thumbprint}"))?)
}

pub(crate) fn orders(tenant: &TenantId) -> String {
    format!("{tenant}/acme/order/")
}

pub(crate) fn order(tenant: &TenantId, id: OrderId) -> Result<Key, Error> {
    Ok(Key::new(format!("{tenant}/acme/order/{id}"))?)
}

pub(crate) fn orders_of(tenant: &TenantId, account: AccountId) -> String {
    format!("{tenant}/acme/order-of/{account}/")
}

pub(crate) fn order_of(
    tenant: &TenantId,
    account: AccountId,
    order: OrderId,
) -> Result<Key, Error> {
    Ok(Key::new(format!("{tenant}/acme/order-of/{account}/{order}"))?)
}

pub(crate) fn authorization(tenant: &TenantId, id: AuthorizationId) -> Result<Key, Error> {
    Ok(Key::new(format!("{tenant}/acme/authorization/{id}"))?)
}

pub(crate) fn authorized(
    tenant: &TenantId,
    account: AccountId,
    name: &Identifier,
) -> Result<Key, Error> {
    Ok(Key::new(format!("{tenant}/acme/authorized/{account}/{}:{name}", name.kind()))?)
}

pub(crate) fn unfinished_orders(tenant: &TenantId) -> String {
    format!("{tenant}/acme/unfinished/order/")
}

pub(crate) fn unfinished_order(tenant: &TenantId, id: OrderId) -> Result<Key, Error> {
    Ok(Key::new(format!("{tenant}/acme/unfinished/order/{id}"))?)
}

pub(crate) fn unfinished_authorizations(tenant: &TenantId) -> String {
    format!("{tenant}/acme/unfinished/authorization/")
}

pub(crate) fn unfinished_authorization(
    tenant: &TenantId,
    id: AuthorizationId,
) -> Result<Key, Error> {
    Ok(Key::new(format!("{tenant}/acme/unfinished/authorization/{id}"))?)
}

/// The last segment of a key, as the id that it is.
pub(crate) fn id_in<T: std::str::FromStr>(key: &Key) -> Result<T, Error> {
    let text = key.to_string();
    let last = text.rsplit('/').next().unwrap_or_default();
    last.parse().map_err(|_| InternalError::Inconsistent(text.clone()).into())
}

/// Reads the record at `key`.
pub(crate) async fn load<T: DeserializeOwned>(
    store: &dyn Store,
    key: Key,
) -> Result<Option<Stored<T>>, Error> {
    let Some(record) = store.get(&key).await? else { return Ok(None) };
    let value = serde_json::from_slice(&record.value)
        .map_err(|error| InternalError::Record { key: key.clone(), error })?;
    Ok(Some(Stored { key, value, version: record.version }))
}

/// A record's bytes.
pub(crate) fn encode(value: &impl Serialize) -> Result<Vec<u8>, Error> {
    serde_json::to_vec(value).map_err(|error| InternalError::Encode(error).into())
}
