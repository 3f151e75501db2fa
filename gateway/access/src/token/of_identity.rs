//! Which tokens an identity has: keys in the store that lead from an identity to its tokens, written in the
//! commits that write those. What is asked here is answered by keys alone, and no more of them are read than
//! the identity has tokens.

use aws_lc_rs::digest::{SHA256, digest};
use chancery_identity::{Identity, TenantId};
use chancery_store::{InvalidKey, Key, ReadError, Store};
use jiff::Timestamp;

use super::{TokenInfo, secret};

/// The beginning of the keys that lead to the tokens of one identity. They go on with the expiry, the role and
/// the name of the token's record.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct OfIdentity {
    prefix: String,
}

/// One of these keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Pointer {
    /// The role of the login.
    pub(crate) role: String,
    /// The last part of the key of the token's record.
    pub(crate) record_name: String,
    key: Key,
}

impl OfIdentity {
    /// Of the identity with this text form.
    pub(crate) fn new(tenant: &TenantId, identity: &str) -> Self {
        let hash = digest(&SHA256, identity.as_bytes());
        let hash = hex::encode(hash.as_ref().get(..16).unwrap_or_default());
        Self { prefix: format!("{}{hash}/", Self::of_all(tenant)) }
    }

    /// What the keys for all identities of a tenant begin with.
    pub(crate) fn of_all(tenant: &TenantId) -> String {
        format!("{tenant}/access/token-of/")
    }

    /// The key that leads to the token at `token`.
    pub(crate) fn pointer(info: &TokenInfo, token: &Key) -> Result<Key, InvalidKey> {
        let Identity { tenant, .. } = &info.identity;
        let Self { prefix } = Self::new(tenant, &info.identity.to_string());
        let name = String::from_utf8_lossy(token.as_bytes()).into_owned();
        let name = name.rsplit_once('/').map_or(name.as_str(), |(_, name)| name);
        Key::new(format!("{prefix}{}/{}/{name}", millis(info.expires), info.role))
    }

    /// Tokens that have not ended at `now`, at most `limit`, the first to end before the others; after the
    /// pointer `after`.
    pub(crate) async fn live(
        &self,
        store: &dyn Store,
        now: Timestamp,
        after: Option<&Pointer>,
        limit: usize,
    ) -> Result<Vec<Pointer>, ReadError> {
        // A token is good until its expiry, which is written down in whole milliseconds.
        let ended = Key::new(format!("{}{}", self.prefix, millis(now)))?;
        let after = after.map_or(&ended, |pointer| &pointer.key);
        let keys = store.keys(self.prefix.as_bytes(), Some(after), limit).await?;
        Ok(keys.into_iter().filter_map(|key| self.read(key)).collect())
    }

    fn read(&self, key: Key) -> Option<Pointer> {
        let text = std::str::from_utf8(key.as_bytes()).ok()?;
        let mut parts = text.strip_prefix(&self.prefix)?.splitn(3, '/').skip(1);
        let (role, record_name) = (parts.next()?.to_owned(), parts.next()?.to_owned());
        Some(Pointer { role, record_name, key })
    }
}

impl Pointer {
    /// The second since 1970 at which the token was issued; none if it is of a release that did not say so in names.
    pub(crate) fn issued(&self) -> Option<u64> {
        secret::issued_of(&self.record_name)
    }
}

/// The key of the record that says that the tokens of a tenant have such keys. Its value is empty, too.
pub(crate) fn index_form(tenant: &TenantId) -> Result<Key, InvalidKey> {
    Key::new(format!("{tenant}/access/token-of-form"))
}

/// Whether this is one of these keys, which say everything: their values are empty.
pub(crate) fn is_pointer(key: &Key) -> bool {
    let mut parts = key.as_bytes().split(|byte| *byte == b'/').skip(1);
    parts.next() == Some(b"access") && matches!(parts.next(), Some(b"token-of" | b"token-of-form"))
}

/// Digits that sort as the moments do.
fn millis(moment: Timestamp) -> String {
    format!("{:016x}", u64::try_from(moment.as_millisecond()).unwrap_or(0))
}
