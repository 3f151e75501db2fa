//! Tokens: what clients hold, what is stored of it, and what is done with one's own.

mod ending;
mod info;
mod of_identity;
mod own;
mod secret;

pub(crate) use info::HeldToken;
pub use info::{Bearer, TokenInfo};
pub(crate) use of_identity::{OfIdentity, Pointer, index_form};
pub use secret::TokenSecret;
pub(crate) use secret::{accessor_of, leads_to_record};

use chancery_identity::TenantId;
use chancery_store::{Commit, InvalidKey, Key, Record, Store};
use jiff::Timestamp;

use crate::AccessError;

/// Under which keys stand that tell when tokens expire, over all tenants.
pub(crate) const EXPIRIES: &str = "_/access/token-expiry/";

/// Where a token's record is. Tokens of another tenant are at other keys: a token is found only by a
/// certificate of its own tenant.
pub(crate) fn key(tenant: &TenantId, secret: &TokenSecret) -> Result<Key, InvalidKey> {
    Key::new(format!("{}{}", keys(tenant), secret.record_name()))
}

/// What the keys of all tokens of a tenant begin with.
pub(crate) fn keys(tenant: &TenantId) -> String {
    format!("{tenant}/access/token/")
}

/// The index entry that leads from an expiry to the token at `token`.
pub(crate) fn expiry_key(expires: Timestamp, token: &Key) -> Result<Key, InvalidKey> {
    let moment = u64::try_from(expires.as_millisecond()).unwrap_or(0);
    Key::new(format!("{EXPIRIES}{moment:016x}/{token}"))
}

/// Whether this is the key of an index entry, which says everything: its value is empty.
pub fn is_index(key: &Key) -> bool {
    key.as_bytes().starts_with(EXPIRIES.as_bytes()) || of_identity::is_pointer(key)
}

/// What an index entry says: when a token expires (in milliseconds) and which. None if this program writes no such
/// entry: one with another form of the time would not be in the order of time.
pub(crate) fn parse_expiry_key(key: &Key) -> Option<(u64, Key)> {
    let text = std::str::from_utf8(key.as_bytes()).ok()?;
    let (moment, token) = text.strip_prefix(EXPIRIES)?.split_once('/')?;
    let expires = u64::from_str_radix(moment, 16).ok()?;
    let (tenant, name) = token.split_once("/access/token/")?;
    let is_token = tenant.parse::<TenantId>().is_ok() && !name.contains('/');
    (is_token && moment == format!("{expires:016x}")).then_some((expires, Key::new(token).ok()?))
}

pub(crate) async fn load(store: &dyn Store, key: Key) -> Result<Option<HeldToken>, AccessError> {
    store.get(&key).await?.map(of_record).transpose()
}

/// The token in a record.
pub(crate) fn of_record(record: Record) -> Result<HeldToken, AccessError> {
    let info = serde_json::from_slice(&record.value)
        .map_err(|_| AccessError::Record(record.key.to_string()))?;
    Ok(HeldToken { key: record.key, version: record.version, info })
}

/// Adds to `commit` what ends a token, with the check that it is as it was when it was loaded: a renewal moves
/// its index entries.
pub(crate) fn end(commit: Commit, held: &HeldToken) -> Result<Commit, AccessError> {
    let commit = commit.check_version(held.key.clone(), held.version).delete(held.key.clone());
    Ok(without_entries(commit, &held.key, &held.info)?)
}

/// Adds to `commit` what removes the index entries of a token that was stored as `info`.
pub(crate) fn without_entries(
    commit: Commit,
    key: &Key,
    info: &TokenInfo,
) -> Result<Commit, InvalidKey> {
    Ok(commit.delete(expiry_key(info.expires, key)?).delete(OfIdentity::pointer(info, key)?))
}

/// Adds to `commit` what stores `info` at `key`, its index entries included.
pub(crate) fn put(commit: Commit, key: &Key, info: &TokenInfo) -> Result<Commit, AccessError> {
    let value = serde_json::to_vec(info).map_err(|_| AccessError::Record(key.to_string()))?;
    let commit = commit.put(key.clone(), value).put(expiry_key(info.expires, key)?, "");
    Ok(commit.put(OfIdentity::pointer(info, key)?, ""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expiries_order_by_time_and_lead_to_the_token() {
        let token = Key::new("default/access/token/x-y").unwrap();
        let at = |second| expiry_key(Timestamp::from_second(second).unwrap(), &token).unwrap();
        assert!(at(9) < at(10) && at(10) < at(100_000_000_000));
        assert_eq!(parse_expiry_key(&at(10)), Some((10_000, token)));
        assert_eq!(parse_expiry_key(&Key::new("_/access/other").unwrap()), None);
        for other in [
            "!00001a2/default/access/token/x",
            "1/default/access/token/x",
            "+000000000000001/default/access/token/x",
            "00000000000000000000ffffffffffff/default/access/token/x",
            "0000000000000001/default/secrets/kv-metadata/secret/x",
        ] {
            let other = Key::new(format!("{EXPIRIES}{other}")).unwrap();
            assert_eq!(parse_expiry_key(&other), None, "{other}");
        }
    }
}
