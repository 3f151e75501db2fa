use std::collections::BTreeSet;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Waker};

use chancery_ca::RevokeError;
use chancery_records::Fence;
use chancery_store::{Commit, CommitError, Key, Store, restored};
use chancery_x509::{RevocationReason, Serial};
use jiff::Timestamp;
use zeroize::Zeroizing;

use crate::failing_store::{FailingStore, Failure};
use crate::harness::{DAY, Software, config, open, read_crl, revoked, start};

const REASON: RevocationReason = RevocationReason::Superseded;

fn serial(number: u64) -> Serial {
    Serial::from_be_bytes(&number.to_be_bytes()).unwrap()
}

fn minutes(count: u64) -> Timestamp {
    start() + std::time::Duration::from_mins(count)
}

#[tokio::test]
async fn a_revocation_is_told_and_published_and_survives_a_restart() {
    let started = Software::first_start().await;
    let first = read_crl(&started.ca.crl());
    assert_eq!((first.number, first.revoked.len()), (1, 0));
    assert!(!started.ca.is_revoked(started.ca.issuer_id(), &serial(0xabc)));

    started
        .ca
        .revoke(revoked(&started.ca, serial(0xabc), RevocationReason::KeyCompromise, minutes(1)))
        .await
        .unwrap();
    assert!(started.ca.is_revoked(started.ca.issuer_id(), &serial(0xabc)));
    assert!(!started.ca.is_revoked(started.ca.issuer_id(), &serial(0xabd)));
    let second = read_crl(&started.ca.crl());
    assert_eq!((second.number, &second.revoked[..]), (2, &["abc".to_owned()][..]));
    assert_eq!(second.this_update, minutes(1));
    assert_eq!(second.next_update, minutes(1) + DAY);

    let restarted = started.restart(minutes(2)).await;
    assert!(restarted.ca.is_revoked(restarted.ca.issuer_id(), &serial(0xabc)));
    let third = read_crl(&restarted.ca.crl());
    assert_eq!((third.number, &third.revoked[..]), (3, &["abc".to_owned()][..]));
}

#[tokio::test]
async fn a_second_revocation_is_refused_and_changes_nothing() {
    let started = Software::first_start().await;
    started.ca.revoke(revoked(&started.ca, serial(7), REASON, minutes(1))).await.unwrap();
    let before = started.ca.crl();
    let refused = started
        .ca
        .revoke(revoked(&started.ca, serial(7), RevocationReason::KeyCompromise, minutes(2)))
        .await;
    assert_eq!(refused, Err(RevokeError::AlreadyRevoked(serial(7))));
    assert_eq!(read_crl(&started.ca.crl()).revoked, read_crl(&before).revoked);
    let place = Key::new(format!("_/ca/private/revoked/{}/7", started.ca.issuer_id())).unwrap();
    let record = started.store.get(&place).await.unwrap().unwrap();
    let stored: serde_json::Value = serde_json::from_slice(&record.value).unwrap();
    assert_eq!(stored["reason"], "superseded");
}

#[tokio::test]
async fn what_is_not_stored_is_not_revoked() {
    let started = Software::first_start().await;
    let before = started.ca.crl();
    started.store.set_full(true);
    let refused = started.ca.revoke(revoked(&started.ca, serial(7), REASON, minutes(1))).await;
    assert_eq!(refused, Err(RevokeError::Commit(CommitError::Full)));
    assert!(!started.ca.is_revoked(started.ca.issuer_id(), &serial(7)));
    assert_eq!(started.ca.crl(), before);
    started.store.set_full(false);
    started.ca.revoke(revoked(&started.ca, serial(7), REASON, minutes(2))).await.unwrap();
    assert_eq!(read_crl(&started.ca.crl()).revoked, ["7"]);
}

#[tokio::test]
async fn a_revocation_whose_commit_was_uncertain_is_found_by_the_next_attempt() {
    let first = Software::first_start().await;
    // A start with a CA takes one commit, for the CRL number.
    let failing = FailingStore::new(first.store.clone(), 1, Failure::Unknown);
    let ca = open(config(), Arc::new(failing), &first.signer, start()).await.unwrap();
    let uncertain = ca.revoke(revoked(&ca, serial(7), REASON, minutes(1))).await;
    assert!(matches!(uncertain, Err(RevokeError::Commit(CommitError::Unavailable(_)))));
    let again = ca.revoke(revoked(&ca, serial(7), REASON, minutes(2))).await;
    assert_eq!(again, Err(RevokeError::AlreadyRevoked(serial(7))));
    assert!(ca.is_revoked(ca.issuer_id(), &serial(7)));
    assert_eq!(read_crl(&ca.crl()).revoked, ["7"]);
}

#[tokio::test]
async fn a_caller_that_hangs_up_does_not_stop_a_revocation() {
    let started = Software::first_start().await;
    {
        let mut revoking =
            pin!(started.ca.revoke(revoked(&started.ca, serial(7), REASON, minutes(1))));
        let mut context = Context::from_waker(Waker::noop());
        assert!(revoking.as_mut().poll(&mut context).is_pending());
    }
    for _ in 0..10_000 {
        if read_crl(&started.ca.crl()).revoked == ["7"] {
            break;
        }
        tokio::task::yield_now().await;
    }
    assert!(started.ca.is_revoked(started.ca.issuer_id(), &serial(7)));
    assert_eq!(read_crl(&started.ca.crl()).revoked, ["7"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn revocations_at_once_are_all_published_under_rising_numbers() {
    let started = Software::first_start().await;
    let tasks: Vec<_> = (1..=60)
        .map(|number| {
            let ca = Arc::clone(&started.ca);
            tokio::spawn(async move {
                ca.revoke(revoked(&ca, serial(number), REASON, minutes(number))).await.unwrap();
                // Acknowledged means published.
                let crl = read_crl(&ca.crl());
                assert!(crl.revoked.contains(&serial(number).to_string()));
                crl.number
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    let last = read_crl(&started.ca.crl());
    let expected: BTreeSet<_> = (1..=60).map(|number| serial(number).to_string()).collect();
    assert_eq!(last.revoked.iter().cloned().collect::<BTreeSet<_>>(), expected);
    assert!((2..=61).contains(&last.number), "{}", last.number);
}

#[tokio::test]
async fn a_crl_that_cannot_be_signed_is_made_up_for() {
    let started = Software::first_start().await;
    let (issuing, _) = started.stored_keys().await;
    assert!(started.signer.remove(&issuing));
    // Revoked all the same: it is on disk.
    started.ca.revoke(revoked(&started.ca, serial(7), REASON, minutes(1))).await.unwrap();
    assert!(started.ca.is_revoked(started.ca.issuer_id(), &serial(7)));
    assert_eq!(read_crl(&started.ca.crl()).number, 1);
    assert!(started.ca.refresh_crl(minutes(2), &Fence::none()).await.is_err());

    let place = Key::new(format!("_/ca/key/{issuing}")).unwrap();
    let key = started.store.get(&place).await.unwrap().unwrap().value.to_vec();
    started.signer.insert_pkcs8(issuing, Zeroizing::new(key)).unwrap();
    started.ca.refresh_crl(minutes(3), &Fence::none()).await.unwrap();
    let made_up = read_crl(&started.ca.crl());
    assert_eq!(made_up.revoked, ["7"]);
    // The numbers of the CRLs that failed are not used again.
    assert_eq!(made_up.number, 4);
}

#[tokio::test]
async fn a_crl_is_renewed_when_half_of_its_time_has_passed() {
    let started = Software::first_start().await;
    let first = started.ca.crl();
    started
        .ca
        .refresh_crl(start() + DAY / 2 - std::time::Duration::from_secs(1), &Fence::none())
        .await
        .unwrap();
    assert_eq!(started.ca.crl(), first);
    started.ca.refresh_crl(start() + DAY / 2, &Fence::none()).await.unwrap();
    let second = read_crl(&started.ca.crl());
    assert_eq!(second.number, 2);
    assert_eq!(second.next_update, start() + DAY / 2 + DAY);
}

#[tokio::test]
async fn the_root_s_crl_is_kept_for_half_a_year_and_then_renewed() {
    let started = Software::first_start().await;
    let first = started.ca.root_crl().unwrap();
    assert_eq!(read_crl(&first).number, 1);
    assert_eq!(read_crl(&first).next_update, start() + DAY * 365);
    let restarted = started.restart(start() + DAY * 100).await;
    assert_eq!(restarted.ca.root_crl().unwrap(), first);
    restarted.ca.refresh_crl(start() + DAY * 180, &Fence::none()).await.unwrap();
    assert_eq!(restarted.ca.root_crl().unwrap(), first);
    restarted.ca.refresh_crl(start() + DAY * 183, &Fence::none()).await.unwrap();
    let second = restarted.ca.root_crl().unwrap();
    assert_eq!(read_crl(&second).number, 2);
    let again = restarted.restart(start() + DAY * 184).await;
    assert_eq!(again.ca.root_crl().unwrap(), second);
}

/// What was published after the backup is not known any more.
#[tokio::test]
async fn numbers_of_crls_do_not_go_back_when_the_store_does() {
    let started = Software::first_start().await;
    let backup = started.store.backup();
    let root_crl = read_crl(&started.ca.root_crl().unwrap());
    let mut published = 0;
    for number in 1..=5 {
        started.ca.revoke(revoked(&started.ca, serial(number), REASON, minutes(1))).await.unwrap();
        published = read_crl(&started.ca.crl()).number;
    }
    assert_eq!(published, 6);
    let restored = minutes(10);
    let mark = restored::mark(Commit::new(), restored.as_second().unsigned_abs()).unwrap();
    backup.commit(mark).await.unwrap();
    let again = Software { store: backup, ..started }.restart(restored).await;
    let number = read_crl(&again.ca.crl()).number;
    assert!(number > published, "{number}");
    // The root may have signed another one in the meantime, too.
    let again_root = read_crl(&again.ca.root_crl().unwrap());
    assert!(again_root.number > root_crl.number, "{}", again_root.number);
    let later = again.restart(minutes(11)).await;
    assert_eq!(read_crl(&later.ca.crl()).number, number + 1);
    assert_eq!(read_crl(&later.ca.root_crl().unwrap()).number, again_root.number);
}

#[tokio::test]
async fn a_clock_that_was_set_back_does_not_hold_up_a_revocation() {
    let started = Software::first_start().await;
    started.ca.revoke(revoked(&started.ca, serial(1), REASON, minutes(100))).await.unwrap();
    started.ca.revoke(revoked(&started.ca, serial(2), REASON, minutes(1))).await.unwrap();
    let crl = read_crl(&started.ca.crl());
    assert_eq!(crl.revoked, ["1", "2"]);
    assert_eq!(crl.this_update, minutes(100));
}

#[tokio::test]
async fn what_one_gateway_revokes_is_revoked_at_the_others() {
    let a = Software::first_start().await;
    let b = open(config(), Arc::new(a.store.clone()), &a.signer, start()).await.unwrap();
    a.ca.revoke(revoked(&a.ca, serial(7), REASON, minutes(1))).await.unwrap();
    while !b.is_revoked(b.issuer_id(), &serial(7)) {
        tokio::task::yield_now().await;
    }
    assert!(read_crl(&b.crl()).revoked.is_empty());
    b.refresh_crl(minutes(2), &Fence::none()).await.unwrap();
    assert_eq!(read_crl(&b.crl()).revoked, ["7"]);
    let again = b.revoke(revoked(&b, serial(7), REASON, minutes(3))).await;
    assert_eq!(again, Err(RevokeError::AlreadyRevoked(serial(7))));
    b.forget(&serial(7), &Fence::none()).await.unwrap();
    assert!(!b.is_revoked(b.issuer_id(), &serial(7)));
    while a.ca.is_revoked(a.ca.issuer_id(), &serial(7)) {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_revocation_that_is_damaged_still_revokes_and_stops_crls() {
    let started = Software::first_start().await;
    let ca = &started.ca;
    ca.revoke(revoked(ca, serial(7), REASON, minutes(1))).await.unwrap();
    let place = Key::new(format!("_/ca/private/revoked/{}/7", ca.issuer_id())).unwrap();
    let good = started.store.get(&place).await.unwrap().unwrap().value;
    let other = String::from_utf8(good.to_vec()).unwrap().replace(r#""7""#, r#""8""#);
    for bad in ["{", other.as_str()] {
        started.store.commit(Commit::new().put(place.clone(), bad.to_owned())).await.unwrap();
        // Another revocation, so that the view has caught up.
        let number = 100 + u64::try_from(bad.len()).unwrap();
        ca.revoke(revoked(ca, serial(number), REASON, minutes(2))).await.unwrap();
        assert!(ca.is_revoked(ca.issuer_id(), &serial(7)), "what it says is not known: {bad}");
        assert!(!ca.is_revoked(ca.issuer_id(), &serial(8)));
        let refused = ca.refresh_crl(minutes(3), &Fence::none()).await.unwrap_err();
        assert!(refused.to_string().contains("it is not known what is revoked"), "{refused}");
        let closed =
            open(config(), Arc::new(started.store.clone()), &started.signer, start()).await;
        assert!(closed.is_err(), "nor does a gateway start with it");
    }
    started.store.commit(Commit::new().put(place, good)).await.unwrap();
    ca.revoke(revoked(ca, serial(9), REASON, minutes(4))).await.unwrap();
    assert!(read_crl(&ca.crl()).revoked.contains(&"7".to_owned()));
}
