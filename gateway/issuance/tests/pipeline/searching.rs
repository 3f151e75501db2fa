use std::time::Duration;

use chancery_identity::{Identity, IdentityName, NoRoom, Room};
use chancery_issuance::{
    BulkError, BulkOutcome, BulkRevocation, IssuedCertificate, Requester, RevocationRequest,
    Revoker, Search, SearchError,
};
use chancery_records::Fence;
use chancery_store::{Commit, Key, Store as _};
use chancery_x509::{CertificateRequest, GeneralName, RevocationReason};
use jiff::Timestamp;

use crate::world::{DAY, START, World, account, context, csr, request, tenant};

pub(crate) fn of_account(id: &str) -> Search {
    Search { requester: Some(account(id).to_string()), ..Search::default() }
}

fn below(domain: &str) -> Search {
    Search { domain: Some(domain.to_owned()), ..Search::default() }
}

fn with_name(name: &str) -> Search {
    Search { name: Some(GeneralName::dns(name).unwrap()), ..Search::default() }
}

fn alice() -> Identity {
    let name = IdentityName::Spiffe("spiffe://ops.example/alice".parse().unwrap());
    Identity { tenant: tenant(), name }
}

/// A certificate for these names that ends after so many days, for an account.
async fn issue(world: &World, id: &str, names: &[&str], days: u32) -> IssuedCertificate {
    issue_for(world, id, &csr(names), days).await
}

async fn issue_for(
    world: &World,
    id: &str,
    csr: &CertificateRequest,
    days: u32,
) -> IssuedCertificate {
    let mut request = request(csr);
    request.requester = account(id);
    request.not_after = Some(START + DAY * days);
    world.issuance.issue(request).await.unwrap()
}

async fn serials(world: &World, search: &Search) -> Vec<String> {
    world.found(search).await.iter().map(|entry| entry.serial.to_string()).collect()
}

fn bulk(search: Search, reason: RevocationReason) -> BulkRevocation {
    BulkRevocation { context: context(), search, reason, by: alice() }
}

#[tokio::test]
async fn certificates_are_found_by_everything_that_is_known_of_them() {
    let world = World::new().await;
    let late = issue(&world, "1", &["a.example", "b.a.example"], 60).await;
    let soon = issue(&world, "2", &["b.a.example", "*.other.example"], 5).await;
    let middle = issue(&world, "1", &["xa.example"], 30).await;
    let [late, soon, middle] = [late, soon, middle].map(|one| one.serial.to_string());

    assert_eq!(serials(&world, &Search::default()).await, [&*soon, &*middle, &*late]);
    assert_eq!(serials(&world, &of_account("1")).await, [&*middle, &*late]);
    assert_eq!(serials(&world, &with_name("a.example")).await, [&*late]);
    assert_eq!(serials(&world, &with_name("b.a.example")).await, [&*soon, &*late]);
    assert_eq!(serials(&world, &with_name("*.other.example")).await, [&*soon]);
    assert_eq!(serials(&world, &with_name("other.example")).await, [""; 0]);
    // Each certificate once, though two of its names are below the domain.
    assert_eq!(serials(&world, &below("a.example")).await, [&*late, &*soon]);
    assert_eq!(serials(&world, &below("other.example")).await, [&*soon]);
    assert_eq!(serials(&world, &below("ple")).await, [""; 0]);
    let issuer = Search { issuer: Some("private".to_owned()), ..Search::default() };
    assert_eq!(serials(&world, &issuer).await.len(), 3);
    let elsewhere = Search { issuer: Some("priv".to_owned()), ..Search::default() };
    assert_eq!(serials(&world, &elsewhere).await, [""; 0]);
    let between = |from: u32, until: u32| Search {
        expires_from: Some(START + DAY * from),
        expires_until: Some(START + DAY * until),
        ..Search::default()
    };
    assert_eq!(serials(&world, &between(0, 5)).await, [&*soon]);
    assert_eq!(serials(&world, &between(6, 59)).await, [&*middle]);
    assert_eq!(serials(&world, &Search { ..between(6, 90) }).await, [&*middle, &*late]);
    let both = Search { requester: of_account("1").requester, ..below("a.example") };
    assert_eq!(serials(&world, &both).await, [&*late]);
    let other = "other".parse().unwrap();
    let nothing = world
        .issuance
        .search(&other, &Search::default(), None, 10, &Room::unlimited())
        .await
        .unwrap();
    assert!(nothing.entries.is_empty());
}

#[tokio::test]
async fn pages_follow_one_another_without_gaps_or_repetitions() {
    let world = World::new().await;
    for day in 1..=9 {
        issue(&world, "1", &[&format!("{day}.a.example"), "a.example"], day).await;
    }
    for search in [Search::default(), of_account("1"), below("a.example"), with_name("a.example")] {
        let all = serials(&world, &search).await;
        let mut paged = vec![];
        let mut after = None;
        loop {
            let page = world
                .issuance
                .search(&tenant(), &search, after.as_ref(), 2, &Room::unlimited())
                .await
                .unwrap();
            let Some(last) = page.entries.last() else { break };
            after = Some(last.serial);
            paged.extend(page.entries.iter().map(|entry| entry.serial.to_string()));
        }
        assert_eq!(paged, all, "{search:?}");
        assert_eq!(all.len(), 9);
    }
    let unknown = "1".parse().unwrap();
    let lost = world
        .issuance
        .search(&tenant(), &Search::default(), Some(&unknown), 2, &Room::unlimited())
        .await;
    assert!(matches!(lost, Err(SearchError::NoSuchPlace(_))), "{lost:?}");
}

#[tokio::test]
async fn a_certificate_is_replaced_if_each_of_its_names_has_a_later_one_that_is_good() {
    let world = World::new().await;
    let first = issue(&world, "1", &["a.example", "b.example"], 5).await.serial.to_string();
    let unreplaced = Search { replaced: Some(false), ..Search::default() };
    let replaced = Search { replaced: Some(true), ..Search::default() };
    let second = issue(&world, "1", &["a.example"], 9).await;
    assert_eq!(serials(&world, &replaced).await, [""; 0]);
    let third = issue(&world, "1", &["b.example"], 8).await;
    assert_eq!(serials(&world, &replaced).await, [&*first]);
    let of_second = Search { replaced: Some(false), ..with_name("a.example") };
    let question = RevocationRequest {
        context: context(),
        serial: second.serial,
        reason: RevocationReason::Superseded,
        by: Revoker::Requester(account("1")),
    };
    world.issuance.revoke(question).await.unwrap();
    assert_eq!(serials(&world, &replaced).await, [""; 0]);
    assert_eq!(serials(&world, &of_second).await.len(), 2);
    let left = serials(&world, &unreplaced).await;
    assert_eq!(left, [first, third.serial.to_string(), second.serial.to_string()]);
}

#[tokio::test]
async fn many_are_revoked_at_once_with_one_line_each_and_one_crl() {
    let world = World::new().await;
    for number in 0..40 {
        issue(&world, "1", &[&format!("{number}.a.example")], 30).await;
    }
    let kept = issue(&world, "2", &["b.example"], 30).await;
    let crls_before = world.ca.crl();
    let question = bulk(below("a.example"), RevocationReason::CessationOfOperation);
    let outcome = world.issuance.revoke_matching(question.clone()).await.unwrap();
    assert_eq!(outcome, BulkOutcome { revoked: 40, refused: 0, failed: 0 });
    assert_ne!(world.ca.crl(), crls_before);
    let good = Search { revoked: Some(false), ..Search::default() };
    assert_eq!(serials(&world, &good).await, [kept.serial.to_string()]);
    let entry = &world.found(&below("a.example")).await[0];
    let revoked = entry.revoked.as_ref().unwrap();
    assert_eq!(revoked.reason, RevocationReason::CessationOfOperation);
    assert_eq!(revoked.by, "spiffe://ops.example/alice");
    assert!(world.ca.is_revoked(world.ca.issuer_id(), &entry.serial));

    let lines = world.sink.lines();
    let singles = lines.iter().filter(|line| line["operation"] == "certificates.revoke");
    assert_eq!(singles.count(), 40);
    let line = world.last_line();
    assert_eq!(line["operation"], "certificates.revoke-matching");
    assert_eq!(line["details"]["domain"], "a.example");
    assert_eq!(line["details"]["revoked"], 40);
    let again = world.issuance.revoke_matching(question).await.unwrap();
    assert_eq!(again, BulkOutcome::default());
}

#[tokio::test]
async fn nobody_revokes_everything_by_saying_nothing_and_policy_is_asked_about_each() {
    let world = World::new().await;
    issue(&world, "1", &["a.example"], 30).await;
    let all = Search { expires_until: Some(Timestamp::MAX), ..Search::default() };
    let refused = world.issuance.revoke_matching(bulk(all, RevocationReason::Superseded)).await;
    assert!(matches!(refused, Err(BulkError::Unspecific)), "{refused:?}");
    assert_eq!(world.last_line()["outcome"]["code"], "unspecific");

    let mut question = bulk(below("a.example"), RevocationReason::Superseded);
    let name = IdentityName::Spiffe("spiffe://elsewhere.example/bob".parse().unwrap());
    question.by = Identity { tenant: tenant(), name };
    let outcome = world.issuance.revoke_matching(question).await.unwrap();
    assert_eq!(outcome, BulkOutcome { revoked: 0, refused: 1, failed: 0 });
    // A CA's compromise is not a matter of certificates, by the dozen neither.
    let question = bulk(below("a.example"), RevocationReason::CaCompromise);
    let outcome = world.issuance.revoke_matching(question).await.unwrap();
    assert_eq!(outcome, BulkOutcome { revoked: 0, refused: 1, failed: 0 });
}

#[tokio::test]
async fn a_key_that_is_proved_to_be_compromised_takes_all_its_certificates_along() {
    let world = World::new().await;
    let csr = csr(&["a.example"]);
    let first = issue_for(&world, "1", &csr, 30).await;
    let second = issue_for(&world, "2", &csr, 40).await;
    let mut of_other_tenant = request(&csr);
    of_other_tenant.context.tenant = "other".parse().unwrap();
    let third = world.issuance.issue(of_other_tenant).await.unwrap();
    let unrelated = world.issued().await;

    // An operator speaks for the tenant alone.
    let question = RevocationRequest {
        context: context(),
        serial: first.serial,
        reason: RevocationReason::KeyCompromise,
        by: Revoker::Operator(alice()),
    };
    world.issuance.revoke(question.clone()).await.unwrap();
    assert!(world.ca.is_revoked(world.ca.issuer_id(), &second.serial));
    assert!(!world.ca.is_revoked(world.ca.issuer_id(), &third.serial));
    // The key itself, for everybody; also if there is nothing left to do where it was asked for.
    let by = Revoker::KeyHolder(csr.public_key().clone());
    let again = world.issuance.revoke(RevocationRequest { by, ..question }).await;
    assert!(again.is_err());
    assert!(world.ca.is_revoked(world.ca.issuer_id(), &third.serial));
    assert!(!world.ca.is_revoked(world.ca.issuer_id(), &unrelated.serial));
    let lines = world.sink.lines();
    let line = lines.iter().find(|line| {
        line["resource"] == third.serial.to_string() && line["operation"] == "certificates.revoke"
    });
    assert_eq!(line.unwrap()["tenant"], "other");
    let crl = world.ca.crl();
    let third = third.serial.as_bytes().as_slice();
    assert!(crl.windows(third.len()).any(|part| part == third), "the CRL lists it");
}

#[tokio::test]
async fn a_certificate_that_somebody_merely_got_for_a_key_takes_no_other_along() {
    let world = World::new().await;
    let csr = csr(&["a.example"]);
    let first = issue_for(&world, "1", &csr, 30).await;
    let second = issue_for(&world, "2", &csr, 40).await;
    let question = RevocationRequest {
        context: context(),
        serial: first.serial,
        reason: RevocationReason::KeyCompromise,
        by: Revoker::Requester(account("1")),
    };
    world.issuance.revoke(question).await.unwrap();
    assert!(!world.ca.is_revoked(world.ca.issuer_id(), &second.serial));
}

#[tokio::test]
async fn what_ended_long_ago_is_removed_and_its_revocation_forgotten() {
    let world = World::new().await;
    let old = issue(&world, "1", &["a.example"], 5).await;
    let newer = issue(&world, "1", &["a.example"], 20).await;
    let question = bulk(with_name("a.example"), RevocationReason::Superseded);
    world.issuance.revoke_matching(question).await.unwrap();
    assert_eq!(world.issuance.prune(&tenant(), DAY * 10, &Fence::none()).await.unwrap(), 0);
    world.clock.advance(DAY * 16);
    assert_eq!(world.issuance.prune(&tenant(), DAY * 10, &Fence::none()).await.unwrap(), 1);
    let line = world.last_line();
    assert_eq!(line["operation"], "certificates.prune");
    assert_eq!(line["resource"], old.serial.to_string());
    assert_eq!(serials(&world, &Search::default()).await, [newer.serial.to_string()]);
    assert!(!world.ca.is_revoked(world.ca.issuer_id(), &old.serial));
    assert!(world.ca.is_revoked(world.ca.issuer_id(), &newer.serial));
    world.clock.advance(DAY * 100);
    assert_eq!(world.issuance.prune(&tenant(), DAY * 10, &Fence::none()).await.unwrap(), 1);
    for prefix in ["default/issuance/certificate/", "default/issuance/index/", "_/issuance/index/"]
    {
        let left = world.store.scan(prefix.as_bytes(), None, 10).await.unwrap();
        assert!(left.is_empty(), "{left:?}");
    }
}

#[tokio::test]
async fn an_inventory_of_an_older_release_gets_its_indexes() {
    let world = World::new().await;
    let issued = issue(&world, "1", &["a.example"], 5).await;
    // As it was: no such pointers, others instead, and no mark.
    let mut commit = Commit::new();
    for prefix in ["default/issuance/index", "_/issuance/index/"] {
        for record in world.store.scan(prefix.as_bytes(), None, 100).await.unwrap() {
            commit = commit.delete(record.key);
        }
    }
    let outdated = Key::new(format!("default/issuance/by-key/aa/{}", issued.serial)).unwrap();
    world.store.commit(commit.put(outdated.clone(), "")).await.unwrap();
    assert!(world.found(&Search::default()).await.is_empty());
    let issuance = world.reopen().await;
    let found = issuance
        .search(&tenant(), &below("a.example"), None, 10, &Room::unlimited())
        .await
        .unwrap();
    assert_eq!(found.entries.len(), 1);
    assert!(world.store.get(&outdated).await.unwrap().is_none());
}

#[tokio::test]
async fn only_identities_of_the_tenant_find_its_certificates() {
    let world = World::new().await;
    let mut request = request(&csr(&["a.example"]));
    request.requester = Requester::AcmeAccount { id: "9".to_owned() };
    let issued = world.issuance.issue(request).await.unwrap();
    let until = Search {
        expires_until: Some(issued.not_after - Duration::from_secs(1)),
        ..of_account("9")
    };
    assert!(world.found(&until).await.is_empty());
    let until = Search { expires_until: Some(issued.not_after), ..of_account("9") };
    assert_eq!(world.found(&until).await.len(), 1);
}

#[tokio::test]
async fn certificates_take_room_as_they_are_found() {
    let world = World::new().await;
    for day in 1..=3 {
        issue(&world, "1", &["a.example"], day).await;
    }
    let found = std::sync::atomic::AtomicUsize::new(0);
    let of_two = Room::of(move |bytes| {
        assert!((1_500..10_000).contains(&bytes), "{bytes}");
        found.fetch_add(1, std::sync::atomic::Ordering::AcqRel) < 2
    });
    let all = Search::default();
    let found = world.issuance.search(&tenant(), &all, None, 2, &of_two).await.unwrap();
    assert_eq!(found.entries.len(), 2);
    let refused = world.issuance.search(&tenant(), &all, None, 10, &of_two).await;
    assert!(matches!(refused, Err(SearchError::NoRoom(NoRoom))), "{refused:?}");
}
