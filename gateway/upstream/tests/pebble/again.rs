//! Tries for a certificate whose order an earlier try has finalized.

use chancery_store::memory::MemoryStore;
use chancery_store::{Commit, Record, Store as _};
use chancery_upstream::UpstreamError;
use serde_json::Value;

use crate::environment::{Pebble, purpose, request};

const FINALIZED: &[u8] = b"_/upstream/finalized/pebble/";

async fn recorded(store: &MemoryStore) -> Vec<Record> {
    store.scan(FINALIZED, None, 10).await.unwrap()
}

/// Changes what is recorded of the one order.
async fn change(store: &MemoryStore, change: impl FnOnce(&mut Value)) {
    let record = recorded(store).await.remove(0);
    let mut value: Value = serde_json::from_slice(&record.value).unwrap();
    change(&mut value);
    store.commit(Commit::new().put(record.key, value.to_string())).await.unwrap();
}

#[tokio::test]
async fn all_tries_get_one_certificate_until_the_record_is_deleted() {
    let pebble = Pebble::start().await;
    let store = MemoryStore::new();
    let csr = request(&["a.example.com"]);
    let upstream = pebble.upstream(&store);
    let (first, _) = upstream.issue(&csr, csr.names(), &purpose("1")).await.unwrap();
    let elsewhere = pebble.upstream(&store);
    let (again, kept) = elsewhere.issue(&csr, csr.names(), &purpose("1")).await.unwrap();
    assert_eq!(again.chain(), first.chain());
    assert_eq!(pebble.issued(), 1);

    // Another order with the same CSR.
    let (other, _) = upstream.issue(&csr, csr.names(), &purpose("2")).await.unwrap();
    assert_ne!(other.leaf().serial(), first.leaf().serial());
    // The same with another CSR.
    let new = request(&["a.example.com"]);
    let (other, _) = upstream.issue(&new, new.names(), &purpose("1")).await.unwrap();
    assert_ne!(other.leaf().serial(), first.leaf().serial());

    store.commit(kept.forget(Commit::new())).await.unwrap();
    let (other, _) = upstream.issue(&csr, csr.names(), &purpose("1")).await.unwrap();
    assert_ne!(other.leaf().serial(), first.leaf().serial());
    assert_eq!(pebble.issued(), 4);
}

#[tokio::test]
async fn a_try_that_ended_when_the_order_was_recorded_is_gone_on_with() {
    let pebble = Pebble::start().await;
    let store = MemoryStore::new();
    let csr = request(&["a.example.com"]);
    let upstream = pebble.upstream(&store);
    let (id, mut changes) = (purpose("1"), store.watch(FINALIZED));
    tokio::select! {
        biased;
        _ = changes.next() => {}
        done = upstream.issue(&csr, csr.names(), &id) => panic!("{done:?}"),
    }
    assert_eq!(recorded(&store).await.len(), 1);
    let after_restart = pebble.upstream(&store);
    after_restart.issue(&csr, csr.names(), &purpose("1")).await.unwrap();
    assert_eq!(pebble.issued(), 1);
}

#[tokio::test]
async fn wherever_the_store_fails_one_certificate_is_made() {
    let pebble = Pebble::start().await;
    let csr = request(&["a.example.com"]);
    for commits in 0.. {
        let before = pebble.issued();
        let store = MemoryStore::new();
        store.stop_after(Some(commits));
        let first = pebble.upstream(&store).issue(&csr, csr.names(), &purpose("1")).await;
        store.stop_after(None);
        if let Err(error) = &first {
            assert!(error.is_passing(), "{error}");
            assert_eq!(pebble.issued(), before, "it was not on record");
        }
        let second = pebble.upstream(&store).issue(&csr, csr.names(), &purpose("1")).await;
        let (second, _) = second.unwrap();
        assert_eq!(pebble.issued(), before + 1);
        if let Ok((first, _)) = first {
            assert_eq!(first.leaf().serial(), second.leaf().serial());
            assert!(commits >= 2, "an account and an order are on record");
            break;
        }
    }
}

#[tokio::test]
async fn two_gateways_at_once_make_one_certificate() {
    let pebble = Pebble::start().await;
    let store = MemoryStore::new();
    let csr = request(&["a.example.com"]);
    let (one, other) = (pebble.upstream(&store), pebble.upstream(&store));
    let id = purpose("1");
    // With one account, whose making is not what is tried here.
    let first = request(&["b.example.com"]);
    one.issue(&first, first.names(), &id).await.unwrap();
    let (here, there) =
        tokio::join!(one.issue(&csr, csr.names(), &id), other.issue(&csr, csr.names(), &id),);
    assert!(here.is_ok() || there.is_ok(), "{here:?} {there:?}");
    for tried in [&here, &there] {
        if let Err(error) = tried {
            assert!(matches!(error, UpstreamError::UnderWay), "{error}");
        }
    }
    let (again, _) = other.issue(&csr, csr.names(), &id).await.unwrap();
    for (issued, _) in [here, there].into_iter().flatten() {
        assert_eq!(issued.leaf().serial(), again.leaf().serial());
    }
    assert_eq!(pebble.issued(), 2);
}

#[tokio::test]
async fn an_order_that_the_other_ca_has_no_more_is_replaced() {
    let pebble = Pebble::start().await;
    let store = MemoryStore::new();
    let csr = request(&["a.example.com"]);
    let upstream = pebble.upstream(&store);
    let (first, _) = upstream.issue(&csr, csr.names(), &purpose("1")).await.unwrap();
    let lose: [fn(&mut Value); 2] = [
        |record| {
            let url = record["order"].as_str().unwrap();
            record["order"] = format!("{}/unknown", url.rsplit_once('/').unwrap().0).into();
        },
        // The account is another one now.
        |record| record["account"] = "https://elsewhere.example/account/1".into(),
    ];
    let mut last = first;
    for lose in lose {
        change(&store, lose).await;
        let (next, _) = upstream.issue(&csr, csr.names(), &purpose("1")).await.unwrap();
        assert_ne!(next.leaf().serial(), last.leaf().serial());
        assert_eq!(recorded(&store).await.len(), 1);
        let (again, _) = upstream.issue(&csr, csr.names(), &purpose("1")).await.unwrap();
        assert_eq!(again.leaf().serial(), next.leaf().serial());
        last = next;
    }
    assert_eq!(pebble.issued(), 3);
}

#[tokio::test]
async fn an_order_that_was_used_for_another_request_is_replaced() {
    let pebble = Pebble::start().await;
    let store = MemoryStore::new();
    let upstream = pebble.upstream(&store);
    let used = request(&["a.example.com"]);
    upstream.issue(&used, used.names(), &purpose("1")).await.unwrap();
    let record = recorded(&store).await.remove(0);
    let csr = request(&["a.example.com"]);
    upstream.issue(&csr, csr.names(), &purpose("2")).await.unwrap();
    let records = recorded(&store).await;
    let other = records.iter().find(|other| other.key != record.key).unwrap();
    store.commit(Commit::new().put(other.key.clone(), record.value)).await.unwrap();
    let (issued, _) = upstream.issue(&csr, csr.names(), &purpose("2")).await.unwrap();
    assert_eq!(issued.leaf().public_key().unwrap().spki_der(), csr.public_key().spki_der());
    assert_eq!(pebble.issued(), 3);
}

#[tokio::test]
async fn a_refused_csr_leaves_no_record() {
    let pebble = Pebble::start().await;
    let store = MemoryStore::new();
    let csr = request(&["a.example.com"]);
    let names = crate::environment::names(&["b.example.com"]);
    let refused = pebble.upstream(&store).issue(&csr, &names, &purpose("1")).await.unwrap_err();
    assert!(matches!(refused, UpstreamError::Refused { .. }), "{refused}");
    assert!(recorded(&store).await.is_empty());
    assert_eq!(pebble.issued(), 0);
}
