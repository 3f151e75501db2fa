//! Where ACME's records are in the store, and how they are read and written.
//!
//! | key | value |
//! |---|---|
//! | `T/acme/account/A` | the account |
//! | `T/acme/account-of-key/THUMBPRINT` | the account's id |
//! | `T/acme/account-due/TIME/A` | empty: when to look whether the account is still used |
//! | `T/acme/accounts-from/ADDRESS/N` | a seat of the address's quota for new accounts |
//! | `T/acme/order/O` | the order in its state, with its authorizations |
//! | `T/acme/order-of/A/O` | empty: the account's orders |
//! | `T/acme/order-due/TIME/O` | empty: when to look whether the order is over |
//! | `T/acme/pending-of/A/N`, `T/acme/pending-from/ADDRESS/N` | a seat of the quota for pending orders |
//! | `T/acme/refused-of/A/N`, `T/acme/refused-from/ADDRESS/N` | a seat of the quota for refused requests |
//! | `T/acme/changes-of/A/N`, `T/acme/changes-from/ADDRESS/N` | a seat of the quota for changes of accounts |
//! | `T/acme/proof/HASH` | until when an account's proof of a name counts |
//! | `T/acme/issuance-due/TIME/O` | the order's certificate is being made: from when on others may take it up |
//! | `T/acme/unfinished/challenges/O` | challenges of the order are being validated: who may take them up, from when |
//! | `T/acme/due` | empty: orders and accounts of earlier versions are among those that are due |
//!
//! The first versions of the gateway had each authorization, in whichever state, at
//! `T/acme/authorization/Z` and those that were being validated at `T/acme/unfinished/authorization/Z`.
//! Later ones had there how and when the authorization became valid. Proofs were at
//! `T/acme/authorized/A/TYPE:NAME`, and orders whose certificate was being made at `T/acme/unfinished/order/O`. `TIME` is in milliseconds, in hexadecimal.

use aws_lc_rs::digest::{SHA256, digest};
use chancery_identity::{Fingerprint, TenantId};
pub(crate) use chancery_records::Stored;
use chancery_records::{Recorded, decode};
use chancery_store::{Commit, CommitError, Key, ReadError, Store, lenient};
use ipnet::IpNet;
use jiff::Timestamp;

use crate::error::{Error, InternalError};
use crate::id::{AccountId, AuthorizationId, OrderId};
use crate::identifier::Identifier;
use crate::jws::base64url;

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

/// The proof that an account has of a name. The key is short, since there is such a record for each name of each
/// order: a hash of account and name, of 192 bits, so that nobody finds two pairs with the same one.
pub(crate) fn proof(
    tenant: &TenantId,
    account: AccountId,
    name: &Identifier,
) -> Result<Key, Error> {
    let hash = digest(&SHA256, format!("{account}/{}:{name}", name.kind()).as_bytes());
    let hash = hash.as_ref().get(..24).unwrap_or_default();
    Ok(Key::new(format!("{tenant}/acme/proof/{}", base64url::encode(hash)))?)
}

/// Where earlier versions of the gateway had it.
pub(crate) fn earlier_proof(
    tenant: &TenantId,
    account: AccountId,
    name: &Identifier,
) -> Result<Key, Error> {
    Ok(Key::new(format!("{tenant}/acme/authorized/{account}/{}:{name}", name.kind()))?)
}

/// The orders whose certificate is being made, by when others may take them up.
pub(crate) fn issuances_due(tenant: &TenantId) -> String {
    format!("{tenant}/acme/issuance-due/")
}

/// Where one of them stands.
pub(crate) fn issuance_due(tenant: &TenantId, at: Timestamp, id: OrderId) -> Result<Key, Error> {
    Ok(Key::new(format!("{}{:016x}/{id}", issuances_due(tenant), millis(at)))?)
}

/// Where earlier versions of the gateway had these orders.
pub(crate) fn unfinished_orders(tenant: &TenantId) -> String {
    format!("{tenant}/acme/unfinished/order/")
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

/// The orders of which challenges are being validated.
pub(crate) fn unfinished_challenges(tenant: &TenantId) -> String {
    format!("{tenant}/acme/unfinished/challenges/")
}

pub(crate) fn unfinished_challenges_of(tenant: &TenantId, id: OrderId) -> Result<Key, Error> {
    Ok(Key::new(format!("{tenant}/acme/unfinished/challenges/{id}"))?)
}

/// The seats for pending orders of an account.
pub(crate) fn pending_of(tenant: &TenantId, account: AccountId) -> String {
    format!("{tenant}/acme/pending-of/{account}/")
}

/// The seats for pending orders of the clients at an address.
pub(crate) fn pending_from(tenant: &TenantId, client: IpNet) -> String {
    format!("{tenant}/acme/pending-from/{}/", client.addr())
}

/// The seats for new accounts of the clients at an address.
pub(crate) fn accounts_from(tenant: &TenantId, client: IpNet) -> String {
    format!("{tenant}/acme/accounts-from/{}/", client.addr())
}

/// The seats for orders of an account that were refused.
pub(crate) fn refused_of(tenant: &TenantId, account: AccountId) -> String {
    format!("{tenant}/acme/refused-of/{account}/")
}

/// The seats for orders that the clients at an address were refused.
pub(crate) fn refused_from(tenant: &TenantId, client: IpNet) -> String {
    format!("{tenant}/acme/refused-from/{}/", client.addr())
}

/// The seats for new accounts that a client without a certificate was refused.
pub(crate) fn refused_accounts_from(tenant: &TenantId, client: IpNet) -> String {
    format!("{tenant}/acme/refused-accounts-from/{}/", client.addr())
}

/// The seats for new accounts that the holder of a certificate was refused.
pub(crate) fn refused_accounts_by(tenant: &TenantId, certificate: Fingerprint) -> String {
    format!("{tenant}/acme/refused-accounts-by/{certificate}/")
}

/// The seats for changes of an account.
pub(crate) fn changes_of(tenant: &TenantId, account: AccountId) -> String {
    format!("{tenant}/acme/changes-of/{account}/")
}

/// The seats for changes of accounts from an address.
pub(crate) fn changes_from(tenant: &TenantId, client: IpNet) -> String {
    format!("{tenant}/acme/changes-from/{}/", client.addr())
}

/// What the keys of seats begin with, for each kind.
pub(crate) fn seats(tenant: &TenantId) -> [String; 9] {
    [
        "accounts-from",
        "pending-of",
        "pending-from",
        "refused-of",
        "refused-from",
        "refused-accounts-from",
        "refused-accounts-by",
        "changes-of",
        "changes-from",
    ]
    .map(|kind| format!("{tenant}/acme/{kind}/"))
}

/// Orders by when to look whether they are over.
pub(crate) fn orders_due(tenant: &TenantId) -> String {
    format!("{tenant}/acme/order-due/")
}

pub(crate) fn order_due(tenant: &TenantId, at: Timestamp, id: OrderId) -> Result<Key, Error> {
    Ok(Key::new(format!("{}{:016x}/{id}", orders_due(tenant), millis(at)))?)
}

/// Accounts by when to look whether they are still used.
pub(crate) fn accounts_due(tenant: &TenantId) -> String {
    format!("{tenant}/acme/account-due/")
}

pub(crate) fn account_due(tenant: &TenantId, at: Timestamp, id: AccountId) -> Result<Key, Error> {
    Ok(Key::new(format!("{}{:016x}/{id}", accounts_due(tenant), millis(at)))?)
}

/// The first key that is not due at `now`, of those that begin with `prefix`.
pub(crate) fn not_due(prefix: &str, now: Timestamp) -> Result<Key, Error> {
    Ok(Key::new(format!("{prefix}{:016x}", millis(now).saturating_add(1)))?)
}

fn millis(at: Timestamp) -> u64 {
    u64::try_from(at.as_millisecond()).unwrap_or(0)
}

/// That everything of earlier versions has when it is due.
pub(crate) fn due(tenant: &TenantId) -> Result<Key, Error> {
    Ok(Key::new(format!("{tenant}/acme/due"))?)
}

pub(crate) fn accounts(tenant: &TenantId) -> String {
    format!("{tenant}/acme/account/")
}

/// The id in an entry of what is due, of those that begin with `prefix`; none if this program writes no such entry. One
/// with another form of the time would not be in the order of time.
pub(crate) fn due_id<T: std::str::FromStr>(prefix: &str, entry: &Key) -> Option<T> {
    let text = std::str::from_utf8(entry.as_bytes()).ok()?;
    let (time, id) = text.strip_prefix(prefix)?.split_once('/')?;
    let millis = u64::from_str_radix(time, 16).ok()?;
    if time != format!("{millis:016x}") {
        return None;
    }
    id.parse().ok()
}

/// The last segment of a key, as the id that it is.
///
/// # Errors
/// [`ReadError::Damaged`] if it is none.
pub(crate) fn id_in<T: std::str::FromStr>(key: &Key) -> Result<T, ReadError> {
    let text = key.to_string();
    let last = text.rsplit('/').next().unwrap_or_default();
    last.parse().map_err(|_| {
        let reason = "its key does not end with an id".to_owned();
        ReadError::Damaged { key: key.clone(), reason }
    })
}

/// Passes over what is damaged: it must not keep everything else.
///
/// # Errors
/// Every other error.
pub(crate) fn unless_damaged<T>(done: Result<T, impl Into<Error>>) -> Result<Option<T>, Error> {
    match done.map_err(Into::into) {
        Err(Error::Internal(InternalError::Read(error))) => {
            lenient::pass_over(error)?;
            Ok(None)
        }
        done => done.map(Some),
    }
}

/// Reads the record at `key`.
pub(crate) async fn load<T: Recorded>(
    store: &dyn Store,
    key: Key,
) -> Result<Option<Stored<T>>, Error> {
    Ok(store.get(&key).await?.as_ref().map(decode).transpose()?)
}

/// Makes a commit, and says whether nobody else was quicker.
pub(crate) async fn commit_unless_changed(
    store: &dyn Store,
    commit: Commit,
) -> Result<bool, Error> {
    match store.commit(commit).await {
        Ok(_) => Ok(true),
        Err(CommitError::Conflict { .. }) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// Whether this is the key of an index entry, which says everything: its value may be empty. The mark that all have
/// their entries is one, too.
pub fn is_index(key: &Key) -> bool {
    let mut parts = key.as_bytes().split(|byte| *byte == b'/').skip(1);
    let (room, kind) = (parts.next(), parts.next().unwrap_or_default());
    let kinds = [&b"order-of"[..], b"order-due", b"account-due", b"issuance-due", b"due"];
    room == Some(b"acme") && kinds.contains(&kind)
}

/// A record's bytes.
pub(crate) fn encode(value: &impl Recorded) -> Result<Vec<u8>, Error> {
    value.to_bytes().map_err(|error| InternalError::Encode(error).into())
}
