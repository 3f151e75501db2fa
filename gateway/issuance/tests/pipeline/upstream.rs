use std::collections::BTreeMap;
use std::time::Duration;

use chancery_identity::Clock;
use chancery_issuance::{
    AcmeOrder, IssuanceRequest, IssueError, RevocationRequest, RevokeError, Revoker,
};
use chancery_store::memory::MemoryStore;
use chancery_store::{Commit, Store as _};
use chancery_x509::RevocationReason;

use crate::pebble::Pebble;
use crate::world::{START, World, account, context, csr, request, tenant};

async fn world(pebble: &Pebble) -> World {
    let store = MemoryStore::with_clock(Clock::manual(START));
    let upstream = pebble.upstream(&store);
    World::with_upstreams(store, BTreeMap::from([("pebble".to_owned(), upstream)])).await
}

#[tokio::test]
async fn policy_sends_a_request_to_another_ca() {
    let pebble = Pebble::start().await;
    let world = world(&pebble).await;
    let mut question = request(&csr(&["a.example"]));
    question.profile = Some("elsewhere".to_owned());
    let issued = world.issuance.issue(question).await.unwrap();
    assert_eq!(issued.chain.len(), 2);
    let entry = world.issuance.find(&tenant(), &issued.serial).await.unwrap().unwrap();
    assert_eq!(entry.issuer, "pebble");
    let again = world.issuance.certificate(&tenant(), &issued.serial).await.unwrap().unwrap();
    assert_eq!(again, issued);
    assert_eq!(world.last_line()["details"]["issuer"], "pebble");

    let revocation = RevocationRequest {
        context: context(),
        serial: issued.serial,
        reason: RevocationReason::Superseded,
        by: Revoker::Requester(account("1")),
    };
    world.issuance.revoke(revocation.clone()).await.unwrap();
    let again = world.issuance.revoke(revocation).await;
    assert!(matches!(again, Err(RevokeError::AlreadyRevoked)), "{again:?}");
}

#[tokio::test]
async fn a_certificate_that_another_ca_does_not_issue_is_set_aside() {
    let pebble = Pebble::start().await;
    let world = world(&pebble).await;
    let mut question = request(&csr(&["nowhere.invalid"]));
    question.profile = Some("elsewhere".to_owned());
    let refused = world.issuance.issue(question).await;
    assert!(matches!(refused, Err(IssueError::Upstream(_))), "{refused:?}");
    assert_eq!(world.last_line()["outcome"]["code"], "upstream-failed");
    assert!(world.store.scan(b"_/issuance/signing/", None, 10).await.unwrap().is_empty());
    assert_eq!(world.store.scan(b"_/issuance/abandoned/", None, 10).await.unwrap().len(), 1);
}

const FINALIZED: &[u8] = b"_/upstream/finalized";

/// A request for this order, for another CA's certificate.
fn ordered(id: &str, names: &[&str]) -> IssuanceRequest {
    let mut question = request(&csr(names));
    question.profile = Some("elsewhere".to_owned());
    let expires = question.context.received + Duration::from_hours(12);
    question.order = Some(AcmeOrder { id: id.to_owned(), expires });
    question
}

#[tokio::test]
async fn an_order_gets_one_certificate_until_it_has_it() {
    let pebble = Pebble::start().await;
    let world = world(&pebble).await;
    let question = ordered("1", &["a.example"]);
    let issued = world.issuance.issue(question.clone()).await.unwrap();
    // The gateway ended before the order had it.
    let again = world.issuance.issue(question.clone()).await.unwrap();
    assert_eq!(again, issued);
    assert_eq!(pebble.issued(), 1);
    assert!(world.store.scan(b"_/issuance/signing/", None, 10).await.unwrap().is_empty());
    let other = world.issuance.issue(IssuanceRequest { order: None, ..question.clone() }).await;
    assert_ne!(other.unwrap().serial, issued.serial);

    assert_eq!(world.store.scan(FINALIZED, None, 10).await.unwrap().len(), 2);
    world.store.commit(issued.delivered(Commit::new())).await.unwrap();
    assert!(world.store.scan(FINALIZED, None, 10).await.unwrap().is_empty());
}

#[tokio::test]
async fn wherever_the_store_fails_another_ca_issues_once() {
    let pebble = Pebble::start().await;
    let world = world(&pebble).await;
    for commits in 0.. {
        let before = pebble.issued();
        let question = ordered(&commits.to_string(), &["a.example"]);
        world.store.stop_after(Some(commits));
        let first = world.issuance.issue(question.clone()).await;
        world.store.stop_after(None);
        if let Err(error) = &first {
            assert!(error.is_passing(), "{error}");
        }
        let second = world.issuance.issue(question).await.unwrap();
        assert_eq!(pebble.issued(), before + 1, "after {commits} commits");
        if let Ok(first) = first {
            assert_eq!(first, second);
            assert!(commits >= 3, "an intent, an order and a certificate are on record");
            break;
        }
    }
}

#[tokio::test]
async fn a_certificate_that_was_not_audited_is_not_made_again() {
    let pebble = Pebble::start().await;
    let world = world(&pebble).await;
    let question = ordered("1", &["a.example"]);
    world.sink.refuse(true);
    let refused = world.issuance.issue(question.clone()).await.unwrap_err();
    assert!(refused.is_passing(), "{refused}");
    world.sink.refuse(false);
    let issued = world.issuance.issue(question).await.unwrap();
    assert_eq!(pebble.issued(), 1);
    assert_eq!(world.last_line()["details"]["serial"], issued.serial.to_string());
}
