//! That an account proved a name, apart from any order: what entitles to revoke (RFC 8555 §7.6). Each name that is
//! proved has such a record, so that its key and value are short.

use chancery_identity::TenantId;
use chancery_records::Recorded;
use chancery_store::{Commit, Key, Store};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::error::Error;
use crate::id::AccountId;
use crate::identifier::Identifier;
use crate::records::{self, Stored};

/// Until when the proof counts, to the millisecond.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(try_from = "Text", into = "Text")]
pub(crate) struct Proof {
    pub(crate) until: Timestamp,
}

/// A proof as it is stored.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(untagged)]
enum Text {
    Millis(i64),
    /// What earlier versions of the gateway wrote.
    Earlier {
        until: Timestamp,
    },
}

impl Recorded for Proof {}

impl TryFrom<Text> for Proof {
    type Error = jiff::Error;

    fn try_from(text: Text) -> Result<Self, jiff::Error> {
        let until = match text {
            Text::Millis(until) => Timestamp::from_millisecond(until)?,
            Text::Earlier { until } => until,
        };
        Ok(Self { until })
    }
}

impl From<Proof> for Text {
    fn from(proof: Proof) -> Self {
        Self::Millis(proof.until.as_millisecond())
    }
}

impl Proof {
    /// Where the proof of a name may be: the place of today, and that of earlier versions.
    fn places(tenant: &TenantId, account: AccountId, name: &Identifier) -> Result<[Key; 2], Error> {
        Ok([records::proof(tenant, account, name)?, records::earlier_proof(tenant, account, name)?])
    }

    /// The proofs of a name that there are.
    pub(crate) async fn find(
        store: &dyn Store,
        tenant: &TenantId,
        account: AccountId,
        name: &Identifier,
    ) -> Result<Vec<Stored<Self>>, Error> {
        let mut found = Vec::new();
        for key in Self::places(tenant, account, name)? {
            found.extend(records::load(store, key).await?);
        }
        Ok(found)
    }

    /// Adds it to a commit.
    pub(crate) fn put(
        &self,
        commit: Commit,
        tenant: &TenantId,
        account: AccountId,
        name: &Identifier,
    ) -> Result<Commit, Error> {
        Ok(commit.put(records::proof(tenant, account, name)?, records::encode(self)?))
    }

    /// Adds to a commit that the account has no proof of the name.
    pub(crate) fn delete(
        commit: Commit,
        tenant: &TenantId,
        account: AccountId,
        name: &Identifier,
    ) -> Result<Commit, Error> {
        Ok(Self::places(tenant, account, name)?.into_iter().fold(commit, Commit::delete))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use chancery_store::memory::MemoryStore;

    #[tokio::test]
    async fn what_an_earlier_version_wrote_counts_and_is_deleted() {
        let store = MemoryStore::new();
        let tenant = TenantId::default_tenant();
        let account = AccountId::new(Timestamp::UNIX_EPOCH);
        let name = Identifier::parse("dns", "*.a.example").unwrap();
        let until = Timestamp::from_millisecond(1500).unwrap();
        let earlier =
            Key::new(format!("default/acme/authorized/{account}/dns:*.a.example")).unwrap();
        let put = Commit::new().put(earlier, r#"{"until":"1970-01-01T00:00:01Z"}"#);
        let put = Proof { until }.put(put, &tenant, account, &name).unwrap();
        store.commit(put).await.unwrap();
        let found = Proof::find(&store, &tenant, account, &name).await.unwrap();
        let until: Vec<_> = found.iter().map(|one| one.value.until.as_millisecond()).collect();
        assert_eq!(until, [1500, 1000]);
        let gone = Proof::delete(Commit::new(), &tenant, account, &name).unwrap();
        store.commit(gone).await.unwrap();
        assert!(store.keys(b"default/", None, 10).await.unwrap().is_empty());
    }

    #[test]
    fn each_account_and_name_has_a_place_of_its_own() {
        let tenant = TenantId::default_tenant();
        let account = || AccountId::new(Timestamp::UNIX_EPOCH);
        let (one, other) = (account(), account());
        let names = [
            Identifier::Dns("a.example".to_owned()),
            Identifier::Dns("*.a.example".to_owned()),
            Identifier::Dns("192.0.2.1".to_owned()),
            Identifier::ip("192.0.2.1".parse().unwrap()),
        ];
        let keys = [one, other].into_iter().flat_map(|account| {
            names.each_ref().map(|name| records::proof(&tenant, account, name).unwrap())
        });
        let keys: std::collections::BTreeSet<_> = keys.collect();
        assert_eq!(keys.len(), 8);
        assert!(keys.iter().all(|key| key.as_bytes().len() == "default/acme/proof/".len() + 32));
    }
}
