use std::collections::BTreeSet;

use chancery_ca::RevokedCertificate;
use chancery_gate::Refused;
use chancery_identity::{Identity, IdentityName};
use chancery_issuance::{IssueError, IssuedCertificate, RevocationRequest, RevokeError, Revoker};
use chancery_x509::{GeneralName, PublicKey, RevocationReason, Serial};

use crate::world::{START, World, account, context, csr, request, tenant};

fn revocation(serial: Serial, reason: RevocationReason, by: Revoker) -> RevocationRequest {
    RevocationRequest { context: context(), serial, reason, by }
}

fn by_account(id: &str) -> Revoker {
    Revoker::Requester(account(id))
}

fn by_names(names: &[&str]) -> Revoker {
    let names: BTreeSet<_> = names.iter().map(|name| GeneralName::dns(name).unwrap()).collect();
    Revoker::NamesHolder { account: "9".to_owned(), names }
}

fn by_operator(domain: &str) -> Revoker {
    Revoker::Operator(Identity {
        tenant: tenant(),
        name: IdentityName::Spiffe(format!("spiffe://{domain}/alice").parse().unwrap()),
    })
}

async fn issued_with_key(world: &World) -> (IssuedCertificate, PublicKey) {
    let csr = csr(&["a.example"]);
    (world.issue(&csr).await.unwrap(), csr.public_key().clone())
}

#[tokio::test]
async fn a_revoked_certificate_is_known_everywhere_at_once() {
    let world = World::new().await;
    let issued = world.issued().await;
    let authority = world.ca.issuer_id().to_owned();
    let serial = issued.serial.to_string();
    assert!(!world.issuance.is_revoked(&authority, &serial));
    let question = revocation(issued.serial, RevocationReason::Superseded, by_account("1"));
    world.issuance.revoke(question.clone()).await.unwrap();

    assert!(world.issuance.is_revoked(&authority, &serial));
    assert!(!world.issuance.is_revoked("00", &serial));
    assert!(!world.issuance.is_revoked(&authority, "0"));
    assert!(!world.issuance.is_revoked(&authority, "not a number"));
    let entry = world.issuance.find(&tenant(), &issued.serial).await.unwrap().unwrap();
    let revoked = entry.revoked.unwrap();
    assert_eq!((revoked.at, revoked.reason), (START, RevocationReason::Superseded));
    assert_eq!(revoked.by, "acme:1");
    let line = world.last_line();
    assert_eq!(line["operation"], "certificates.revoke");
    assert_eq!(line["resource"], serial);
    assert_eq!(line["outcome"]["result"], "success");
    assert_eq!(line["decisions"][0]["binding"], "rules");

    let again = world.issuance.revoke(question).await;
    assert!(matches!(again, Err(RevokeError::AlreadyRevoked)), "{again:?}");
    assert_eq!(world.last_line()["outcome"]["code"], "already-revoked");
}

#[tokio::test]
async fn only_those_concerned_may_revoke() {
    let world = World::new().await;
    let (issued, key) = issued_with_key(&world).await;
    let (_, other_key) = issued_with_key(&world).await;
    for by in [
        by_account("2"),
        by_names(&["b.example"]),
        by_names(&[]),
        Revoker::KeyHolder(other_key),
        by_operator("elsewhere.example"),
    ] {
        let question = revocation(issued.serial, RevocationReason::Unspecified, by);
        let refused = world.issuance.revoke(question.clone()).await;
        assert!(
            matches!(refused, Err(RevokeError::Gate(Refused::Denied(_)))),
            "{:?}: {refused:?}",
            question.by
        );
        assert_eq!(world.last_line()["outcome"]["result"], "denied");
    }
    let by_key = Revoker::KeyHolder(key);
    world
        .issuance
        .revoke(revocation(issued.serial, RevocationReason::Unspecified, by_key))
        .await
        .unwrap();
    for by in [by_account("1"), by_names(&["a.example", "b.example"]), by_operator("ops.example")] {
        let issued = world.issued().await;
        let question = revocation(issued.serial, RevocationReason::Unspecified, by);
        world.issuance.revoke(question).await.unwrap();
    }
}

#[tokio::test]
async fn policy_may_refuse_even_the_owner() {
    let world = World::new().await;
    let mut question = request(&csr(&["a.example"]));
    question.requester = account("suspended");
    let issued = world.issuance.issue(question).await.unwrap();
    let reason = RevocationReason::Unspecified;
    let question = revocation(issued.serial, reason, by_account("suspended"));
    let refused = world.issuance.revoke(question).await;
    assert!(matches!(refused, Err(RevokeError::Gate(Refused::Denied(_)))), "{refused:?}");
    assert_eq!(world.last_line()["decisions"][0]["outcome"], "deny");
}

#[tokio::test]
async fn what_is_not_there_cannot_be_revoked() {
    let world = World::new().await;
    let issued = world.issued().await;
    let unknown = "1234".parse().unwrap();
    let mut elsewhere = revocation(issued.serial, RevocationReason::Unspecified, by_account("1"));
    elsewhere.context.tenant = "other".parse().unwrap();
    for question in [revocation(unknown, RevocationReason::Unspecified, by_account("1")), elsewhere]
    {
        let refused = world.issuance.revoke(question).await;
        assert!(matches!(refused, Err(RevokeError::NotFound)), "{refused:?}");
    }
}

#[tokio::test]
async fn reasons_are_those_of_the_one_who_gives_them() {
    use RevocationReason as Reason;
    let world = World::new().await;
    let (issued, key) = issued_with_key(&world).await;
    let holder = || Revoker::KeyHolder(key.clone());
    for (reason, by) in [
        (Reason::KeyCompromise, by_names(&["a.example"])),
        (Reason::PrivilegeWithdrawn, by_account("1")),
        (Reason::PrivilegeWithdrawn, holder()),
        (Reason::CaCompromise, by_operator("ops.example")),
        (Reason::AaCompromise, by_operator("ops.example")),
        (Reason::CertificateHold, by_operator("ops.example")),
    ] {
        let refused = world.issuance.revoke(revocation(issued.serial, reason, by)).await;
        assert!(matches!(refused, Err(RevokeError::BadReason(_))), "{reason:?}: {refused:?}");
    }
    let question =
        revocation(issued.serial, Reason::PrivilegeWithdrawn, by_operator("ops.example"));
    world.issuance.revoke(question).await.unwrap();
}

/// keyCompromise by someone without the key must not block that key.
#[tokio::test]
async fn a_key_is_blocked_by_proof_and_not_by_assertion() {
    let world = World::new().await;
    let csr = csr(&["a.example"]);
    let asserted = world.issue(&csr).await.unwrap();
    let reason = RevocationReason::KeyCompromise;
    world.issuance.revoke(revocation(asserted.serial, reason, by_account("1"))).await.unwrap();
    let proven = world.issue(&csr).await.unwrap();

    let by = Revoker::KeyHolder(csr.public_key().clone());
    world.issuance.revoke(revocation(proven.serial, reason, by)).await.unwrap();
    let refused = world.issue(&csr).await;
    assert!(matches!(refused, Err(IssueError::CompromisedKey)), "{refused:?}");
    assert_eq!(world.last_line()["outcome"]["code"], "compromised-key");
}

#[tokio::test]
async fn a_proof_counts_even_if_the_certificate_is_revoked_already() {
    let world = World::new().await;
    let csr = csr(&["a.example"]);
    let issued = world.issue(&csr).await.unwrap();
    let reason = RevocationReason::Superseded;
    world.issuance.revoke(revocation(issued.serial, reason, by_account("1"))).await.unwrap();
    let by = Revoker::KeyHolder(csr.public_key().clone());
    let question = revocation(issued.serial, RevocationReason::KeyCompromise, by);
    let answer = world.issuance.revoke(question).await;
    assert!(matches!(answer, Err(RevokeError::AlreadyRevoked)), "{answer:?}");
    assert!(matches!(world.issue(&csr).await, Err(IssueError::CompromisedKey)));
}

#[tokio::test]
async fn an_operator_s_word_blocks_a_key() {
    let world = World::new().await;
    let csr = csr(&["a.example"]);
    let issued = world.issue(&csr).await.unwrap();
    let reason = RevocationReason::KeyCompromise;
    let question = revocation(issued.serial, reason, by_operator("ops.example"));
    world.issuance.revoke(question).await.unwrap();
    assert!(matches!(world.issue(&csr).await, Err(IssueError::CompromisedKey)));
}

#[tokio::test]
async fn a_revocation_that_was_interrupted_is_completed_by_the_next_attempt() {
    let world = World::new().await;
    let issued = world.issued().await;
    // The CA knows, the inventory does not yet.
    let reason = RevocationReason::Superseded;
    let not_after = issued.not_after;
    let (issuer, serial) = (world.ca.issuer_id().to_owned(), issued.serial);
    let revoked = RevokedCertificate { issuer, serial, not_after, reason, at: START };
    world.ca.revoke(revoked).await.unwrap();
    let question = revocation(issued.serial, reason, by_account("1"));
    world.issuance.revoke(question).await.unwrap();
    let entry = world.reopen().await.find(&tenant(), &issued.serial).await.unwrap().unwrap();
    assert!(entry.revoked.is_some());
}

#[tokio::test]
async fn without_an_audit_line_a_revocation_is_not_answered() {
    let world = World::new().await;
    let issued = world.issued().await;
    world.sink.refuse(true);
    let question = revocation(issued.serial, RevocationReason::Superseded, by_account("1"));
    let refused = world.issuance.revoke(question).await;
    assert!(matches!(refused, Err(RevokeError::Unavailable(_))), "{refused:?}");
}
