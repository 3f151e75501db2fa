use std::collections::BTreeMap;

use chancery_issuance::{IssueError, RevocationRequest, RevokeError, Revoker};
use chancery_store::Store as _;
use chancery_store::memory::MemoryStore;
use chancery_x509::RevocationReason;

use crate::pebble::Pebble;
use crate::world::{World, account, context, csr, request, tenant};

async fn world(pebble: &Pebble) -> World {
    let store = MemoryStore::new();
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
