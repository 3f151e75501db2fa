//! Stores intents, issued certificates, their chains and blocked keys.

use aws_lc_rs::digest::{SHA256, digest};
use chancery_identity::TenantId;
use chancery_records::Fence;
use chancery_store::{
    Commit, CommitError, Key, ReadError, Record, SharedStore, Store, Version, lenient,
};
use chancery_x509::{PublicKey, Serial};
use jiff::Timestamp;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::counts::IssuedCounts;
use crate::record::{Chain, Der, Intent, InventoryEntry};
use crate::{IssuedCertificate, index, store_key};

/// Where intents stand while their certificates are being signed.
const SIGNING: &str = "_/issuance/signing/";
/// Where intents stand from which nothing came.
const ABANDONED: &str = "_/issuance/abandoned/";
/// How many characters of the reason are kept.
const LONGEST_REASON: usize = 500;
/// How many abandoned intents are removed at once.
const BATCH: usize = 256;

/// The record of every certificate: before it is signed, and for good once it is.
pub(crate) struct Inventory {
    store: SharedStore,
}

/// A certificate that is on record and may now be signed. Consumed by storing or abandoning it.
#[derive(Debug)]
pub(crate) struct Signing {
    key: Key,
    version: Version,
    intent: Intent,
}

impl Inventory {
    pub(crate) fn new(store: SharedStore) -> Self {
        Self { store }
    }

    /// The same for work under a lease.
    pub(crate) fn under(&self, fence: &Fence) -> Self {
        Self { store: fence.over(&self.store) }
    }

    /// Puts a certificate on record before it is signed.
    pub(crate) async fn begin(&self, intent: Intent) -> Result<Signing, CommitError> {
        let key = store_key(format!("{SIGNING}{}", uuid::Uuid::now_v7().simple()))?;
        let commit = Commit::new().check_absent(key.clone()).put(key.clone(), json(&key, &intent)?);
        let version = self.store.commit(commit).await?;
        Ok(Signing { key, version, intent })
    }

    /// Stores a signed certificate, with its indexes, in place of its intent, in this commit.
    pub(crate) async fn complete(
        &self,
        signing: Signing,
        entry: &InventoryEntry,
        above: &[Vec<u8>],
        commit: Commit,
    ) -> Result<(), CommitError> {
        let key = certificate_key(&entry.tenant, &entry.serial)?;
        let mut commit = commit
            .check_version(signing.key.clone(), signing.version)
            .delete(signing.key)
            .check_absent(key.clone())
            .put(key.clone(), json(&key, entry)?);
        for pointer in index::pointers(entry) {
            commit = commit.put(store_key(pointer)?, "");
        }
        commit = IssuedCounts::record(entry, commit)?;
        let chain = chain_key(&entry.chain)?;
        if self.store.get(&chain).await?.is_none() {
            let above = Chain(above.iter().cloned().map(Der).collect());
            commit = commit.put(chain.clone(), json(&chain, &above)?);
        }
        self.store.commit(commit).await?;
        Ok(())
    }

    /// Marks an intent as abandoned: nothing came of it, or nothing that anybody got.
    pub(crate) async fn abandon(&self, signing: Signing, why: &str) -> Result<(), CommitError> {
        let Signing { key, version, mut intent } = signing;
        // Another CA may have said anything, at any length.
        intent.abandoned = Some(why.chars().take(LONGEST_REASON).collect());
        let id = String::from_utf8_lossy(key.as_bytes()).replace(SIGNING, "");
        let aside = store_key(format!("{ABANDONED}{id}"))?;
        let commit = Commit::new()
            .check_version(key.clone(), version)
            .delete(key)
            .put(aside.clone(), json(&aside, &intent)?);
        self.store.commit(commit).await?;
        Ok(())
    }

    /// Removes the intents that began before `until` and were abandoned. Returns how many there were.
    pub(crate) async fn forget_abandoned(&self, until: Timestamp) -> Result<u64, CommitError> {
        let (mut count, mut after): (u64, Option<Key>) = (0, None);
        loop {
            let page = self.store.keys(ABANDONED.as_bytes(), after.as_ref(), BATCH).await?;
            let Some(last) = page.last().cloned() else { return Ok(count) };
            let old: Vec<Key> = page.into_iter().filter(|key| began_before(key, until)).collect();
            if old.is_empty() {
                // They are in the order of time.
                return Ok(count);
            }
            count = count.saturating_add(old.len() as u64);
            self.store.commit(old.into_iter().fold(Commit::new(), Commit::delete)).await?;
            after = Some(last);
        }
    }

    /// Intents behind `after` that are waiting for their certificates, at most `limit`.
    pub(crate) async fn signing(
        &self,
        after: Option<&Key>,
        limit: usize,
    ) -> Result<Vec<Signing>, ReadError> {
        // One that is damaged names nothing that anybody got.
        let found = lenient::scan(&*self.store, SIGNING.as_bytes(), after, limit).await?;
        found
            .records
            .into_iter()
            .map(|record| {
                let intent = parse(&record)?;
                Ok(Signing { key: record.key, version: record.version, intent })
            })
            .collect()
    }

    pub(crate) async fn find(
        &self,
        tenant: &TenantId,
        serial: &Serial,
    ) -> Result<Option<(InventoryEntry, Version)>, ReadError> {
        let found = self.store.get(&certificate_key(tenant, serial)?).await?;
        found.map(|record| Ok((parse(&record)?, record.version))).transpose()
    }

    /// The entry as it was answered, with the certificates above it.
    pub(crate) async fn with_chain(
        &self,
        entry: InventoryEntry,
    ) -> Result<IssuedCertificate, ReadError> {
        let key = chain_key(&entry.chain)?;
        let missing = || damaged(&key, "it is missing");
        let record = self.store.get(&key).await?.ok_or_else(missing)?;
        let Chain(above) = parse(&record)?;
        let above = above.into_iter().map(|Der(der)| der);
        Ok(IssuedCertificate {
            serial: entry.serial,
            chain: std::iter::once(entry.der.clone()).chain(above).collect(),
            der: entry.der,
            not_before: entry.not_before,
            not_after: entry.not_after,
            kept: None,
        })
    }

    /// Keys that begin so, in order, after `after`.
    pub(crate) async fn keys(
        &self,
        prefix: &[u8],
        after: Option<&Key>,
        limit: usize,
    ) -> Result<Vec<Key>, ReadError> {
        self.store.keys(prefix, after, limit).await
    }

    /// The certificates for a key, of whatever tenant.
    pub(crate) async fn of_key(
        &self,
        spki_sha256: &str,
    ) -> Result<Vec<(TenantId, Serial)>, ReadError> {
        self.behind(&index::key_of_all(spki_sha256)).await
    }

    /// The tenant's certificates for a key.
    pub(crate) async fn of_tenants_key(
        &self,
        tenant: &TenantId,
        spki_sha256: &str,
    ) -> Result<Vec<(TenantId, Serial)>, ReadError> {
        self.behind(&format!("{}{tenant}/", index::key_of_all(spki_sha256))).await
    }

    async fn behind(&self, prefix: &str) -> Result<Vec<(TenantId, Serial)>, ReadError> {
        const PAGE: usize = 256;
        let (mut found, mut last) = (Vec::new(), None);
        loop {
            let page = self.keys(prefix.as_bytes(), last.as_ref(), PAGE).await?;
            let Some(end) = page.last().cloned() else { return Ok(found) };
            for pointer in page {
                found.push((index::tenant_in(&pointer)?, index::serial_in(&pointer)?));
            }
            last = Some(end);
        }
    }

    /// The tenants, also those that there are no more, that have a certificate with this serial number for this
    /// key that ends then. It takes a few reads for each tenant that has one for the key at all, however many.
    pub(crate) async fn tenants_of(
        &self,
        spki_sha256: &str,
        not_after: Timestamp,
        serial: &Serial,
    ) -> Result<Vec<TenantId>, ReadError> {
        let prefix = index::key_of_all(spki_sha256);
        let (mut found, mut after) = (Vec::new(), None);
        while let Some(pointer) = self.keys(prefix.as_bytes(), after.as_ref(), 1).await?.pop() {
            let tenant = index::tenant_in(&pointer)?;
            let wanted = index::of_key(&tenant, spki_sha256, not_after, serial);
            let there = self.keys(wanted.as_bytes(), None, 1).await?;
            // Behind all pointers of this tenant: they go on with a digit.
            after = Some(store_key(format!("{prefix}{tenant}/~"))?);
            if there.iter().any(|key| key.as_bytes() == wanted.as_bytes()) {
                found.push(tenant);
            }
        }
        Ok(found)
    }

    pub(crate) fn store(&self) -> &dyn Store {
        &*self.store
    }

    /// Removes entries and all that points to them.
    pub(crate) async fn remove(&self, entries: &[InventoryEntry]) -> Result<(), CommitError> {
        let mut commit = Commit::new();
        for entry in entries {
            commit = commit.delete(certificate_key(&entry.tenant, &entry.serial)?);
            for pointer in index::pointers(entry) {
                commit = commit.delete(store_key(pointer)?);
            }
        }
        self.store.commit(commit).await?;
        Ok(())
    }

    /// Replaces an entry that has not changed since it was found at `version`.
    pub(crate) async fn update(
        &self,
        entry: &InventoryEntry,
        version: Version,
    ) -> Result<(), CommitError> {
        let key = certificate_key(&entry.tenant, &entry.serial)?;
        let commit =
            Commit::new().check_version(key.clone(), version).put(key.clone(), json(&key, entry)?);
        self.store.commit(commit).await?;
        Ok(())
    }

    /// Whether the key is known to be compromised.
    pub(crate) async fn is_blocked(&self, key: &PublicKey) -> Result<bool, ReadError> {
        Ok(self.store.get(&blocked_key(key)?).await?.is_some())
    }

    /// Never certify this key again, for any tenant. Says whether that is new.
    pub(crate) async fn block(&self, key: &PublicKey) -> Result<bool, CommitError> {
        let key = blocked_key(key)?;
        match self.store.commit(Commit::new().check_absent(key.clone()).put(key, "")).await {
            Ok(_) => Ok(true),
            Err(CommitError::Conflict { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }
}

impl Signing {
    pub(crate) fn key(&self) -> &Key {
        &self.key
    }

    pub(crate) fn intent(&self) -> &Intent {
        &self.intent
    }
}

/// The name under which the certificates above a leaf are stored.
pub(crate) fn chain_name(above: &[Vec<u8>]) -> String {
    hex::encode(digest(&SHA256, &above.concat()))
}

pub(crate) fn certificate_key(tenant: &TenantId, serial: &Serial) -> Result<Key, ReadError> {
    store_key(format!("{tenant}/issuance/certificate/{serial}"))
}

fn chain_key(name: &str) -> Result<Key, ReadError> {
    store_key(format!("_/issuance/chain/{name}"))
}

fn blocked_key(key: &PublicKey) -> Result<Key, ReadError> {
    store_key(format!("_/issuance/compromised-key/{}", hex::encode(key.fingerprint())))
}

fn json(key: &Key, value: &impl Serialize) -> Result<Vec<u8>, ReadError> {
    serde_json::to_vec(value).map_err(|error| damaged(key, error))
}

pub(crate) fn parse<T: DeserializeOwned>(record: &Record) -> Result<T, ReadError> {
    serde_json::from_slice(&record.value).map_err(|error| damaged(&record.key, error))
}

fn damaged(key: &Key, reason: impl std::fmt::Display) -> ReadError {
    ReadError::Damaged { key: key.clone(), reason: reason.to_string() }
}

/// Whether an intent began before this time, as its key says. One whose key says nothing is no intent.
fn began_before(key: &Key, until: Timestamp) -> bool {
    let text = String::from_utf8_lossy(key.as_bytes());
    let began = text.rsplit('/').next().and_then(|id| uuid::Uuid::parse_str(id).ok());
    let began = began.and_then(|id| id.get_timestamp());
    began
        .is_none_or(|began| i64::try_from(began.to_unix().0).is_ok_and(|at| at < until.as_second()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use chancery_identity::Fingerprint;
    use chancery_store::memory::MemoryStore;

    fn tenant() -> TenantId {
        TenantId::default_tenant()
    }

    fn intent() -> Intent {
        Intent {
            tenant: tenant(),
            issuer: "private".to_owned(),
            requester: "acme:1".to_owned(),
            profile: "tls-server".to_owned(),
            names: vec![],
            spki_sha256: "aa".to_owned(),
            serial: Some("0a".parse().unwrap()),
            content_sha256: None,
            began: Timestamp::UNIX_EPOCH,
            abandoned: None,
        }
    }

    fn entry(serial: &str, requester: &str, above: &[Vec<u8>]) -> InventoryEntry {
        InventoryEntry {
            serial: serial.parse().unwrap(),
            tenant: tenant(),
            issuer: "private".to_owned(),
            requester: requester.to_owned(),
            profile: "tls-server".to_owned(),
            names: vec![],
            fingerprint: Fingerprint::of_certificate(serial.as_bytes()),
            spki_sha256: "aa".to_owned(),
            not_before: Timestamp::UNIX_EPOCH,
            not_after: Timestamp::UNIX_EPOCH,
            issued_at: Timestamp::UNIX_EPOCH,
            der: serial.as_bytes().to_vec(),
            chain: chain_name(above),
            revoked: None,
        }
    }

    async fn put(inventory: &Inventory, serial: &str, requester: &str) {
        let above = [b"issuing".to_vec()];
        let signing = inventory.begin(intent()).await.unwrap();
        inventory
            .complete(signing, &entry(serial, requester, &above), &above, Commit::new())
            .await
            .unwrap();
    }

    fn inventory() -> (MemoryStore, Inventory) {
        let store = MemoryStore::new();
        (store.clone(), Inventory::new(std::sync::Arc::new(store)))
    }

    async fn keys(store: &MemoryStore, prefix: &str) -> usize {
        store.scan(prefix.as_bytes(), None, 100).await.unwrap().len()
    }

    #[tokio::test]
    async fn an_intent_gives_way_to_its_certificate() {
        let (store, inventory) = inventory();
        let signing = inventory.begin(intent()).await.unwrap();
        assert_eq!(inventory.signing(None, 10).await.unwrap().len(), 1);
        let above = [b"issuing".to_vec()];
        inventory
            .complete(signing, &entry("0b", "acme:1", &above), &above, Commit::new())
            .await
            .unwrap();
        assert!(inventory.signing(None, 10).await.unwrap().is_empty());
        let (found, _) = inventory.find(&tenant(), &"b".parse().unwrap()).await.unwrap().unwrap();
        assert_eq!(found, entry("0b", "acme:1", &above));
        let issued = inventory.with_chain(found).await.unwrap();
        assert_eq!(issued.chain, [b"0b".to_vec(), b"issuing".to_vec()]);
        assert_eq!(keys(&store, "_/issuance/abandoned/").await, 0);
        let other: TenantId = "other".parse().unwrap();
        assert!(inventory.find(&other, &"b".parse().unwrap()).await.unwrap().is_none());
    }

    #[tokio::test]
    async fn an_abandoned_certificate_can_no_longer_be_stored() {
        let (store, inventory) = inventory();
        let late = inventory.begin(intent()).await.unwrap();
        let settled = inventory.signing(None, 10).await.unwrap().pop().unwrap();
        inventory.abandon(settled, "the gateway ended").await.unwrap();
        let refused =
            inventory.complete(late, &entry("0b", "acme:1", &[]), &[], Commit::new()).await;
        assert!(matches!(refused, Err(CommitError::Conflict { .. })));
        assert!(inventory.find(&tenant(), &"b".parse().unwrap()).await.unwrap().is_none());
        let kept = store.scan(b"_/issuance/abandoned/", None, 10).await.unwrap();
        let kept: Intent = parse(kept.first().unwrap()).unwrap();
        assert_eq!(kept.abandoned.as_deref(), Some("the gateway ended"));
        assert_eq!(kept.serial, intent().serial);
    }

    #[tokio::test]
    async fn what_was_abandoned_is_forgotten_after_a_time_and_its_reason_is_short() {
        let (store, inventory) = inventory();
        for number in 0..BATCH + 2 {
            let signing = inventory.begin(intent()).await.unwrap();
            inventory.abandon(signing, &"x".repeat(number * 10_000 % 70_000)).await.unwrap();
        }
        let odd = Key::new("_/issuance/abandoned/odd").unwrap();
        store.commit(Commit::new().put(odd, "x")).await.unwrap();
        let all = store.scan(ABANDONED.as_bytes(), None, BATCH * 2).await.unwrap();
        assert!(all.iter().all(|record| record.value.len() < 2_000));
        assert_eq!(inventory.forget_abandoned(Timestamp::UNIX_EPOCH).await.unwrap(), 0);
        let forgotten = inventory.forget_abandoned(Timestamp::MAX).await.unwrap();
        assert_eq!(forgotten, BATCH as u64 + 3);
        assert_eq!(keys(&store, ABANDONED).await, 0);
    }

    #[tokio::test]
    async fn a_serial_number_is_stored_once() {
        let (_, inventory) = inventory();
        put(&inventory, "0b", "acme:1").await;
        let signing = inventory.begin(intent()).await.unwrap();
        let refused =
            inventory.complete(signing, &entry("0b", "acme:2", &[]), &[], Commit::new()).await;
        assert!(matches!(refused, Err(CommitError::Conflict { .. })));
    }

    #[tokio::test]
    async fn certificates_of_one_issuer_share_their_chain() {
        let (store, inventory) = inventory();
        put(&inventory, "0a", "acme:1").await;
        put(&inventory, "0b", "acme:1").await;
        assert_eq!(keys(&store, "_/issuance/chain/").await, 1);
    }

    #[tokio::test]
    async fn a_damaged_entry_is_named() {
        let (store, inventory) = inventory();
        let key = certificate_key(&tenant(), &"0a".parse().unwrap()).unwrap();
        store.commit(Commit::new().put(key, "{}")).await.unwrap();
        let error = inventory.find(&tenant(), &"0a".parse().unwrap()).await.unwrap_err();
        assert!(error.to_string().contains("default/issuance/certificate/a"), "{error}");
    }
}
