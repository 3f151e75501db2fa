//! Clients that come with a client certificate besides their account's key. It names the tenant and is a
//! fact for policies, as long as it counts.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use chancery_identity::{
    Evidence, EvidenceError, Fingerprint, Identity, IdentityName, PeerCertificate, StillHolds,
    TenantId,
};
use serde_json::{Value, json};

use crate::client::{Client, SigningKey, url};
use crate::steps;
use crate::world::World;

/// From now on the connections of the clients come with a certificate that is good for an hour; the flag
/// revokes it.
pub(crate) fn show_a_certificate(world: &World) -> Arc<AtomicBool> {
    let now = world.clock.now();
    let certificate = PeerCertificate {
        der: vec![1],
        fingerprint: Fingerprint::of_certificate(&[1]),
        serial: "0a".to_owned(),
        authority_key_id: "bb".to_owned(),
        not_before: now,
        not_after: now + Duration::from_hours(1),
        lineage: None,
        identity: Ok(Identity {
            tenant: TenantId::default_tenant(),
            name: IdentityName::Spiffe("spiffe://test/app".parse().unwrap()),
        }),
    };
    let revoked = Arc::new(AtomicBool::new(false));
    let asked = revoked.clone();
    let still_holds: StillHolds =
        Arc::new(
            move |_| {
                if asked.load(Ordering::SeqCst) { Err(EvidenceError::Revoked) } else { Ok(()) }
            },
        );
    let evidence = Evidence::new(Arc::new(certificate), world.clock.clone(), still_holds);
    *world.evidence.lock().unwrap() = Some(evidence);
    revoked
}

fn order() -> Value {
    json!({"identifiers": [{"type": "dns", "value": "a.localhost"}]})
}

/// What the audit log says of the refusal.
fn assert_refused(world: &World, code: &str) {
    let line = world.audited("acme.authenticate").pop().unwrap();
    assert_eq!(line["outcome"], json!({"result": "denied", "code": code}), "{line}");
    assert_eq!(line["actor"]["identity"], Value::Null, "{line}");
    assert_eq!(line["actor"]["fingerprint"], Value::Null, "{line}");
    let refused = &line["details"]["certificate_refused"];
    assert_eq!(refused["reason"], code, "{line}");
    assert_eq!(refused["serial"], "0a", "{line}");
}

#[tokio::test]
async fn a_certificate_that_counts_is_the_actor_beside_the_account() {
    let world = World::new().await;
    let server = world.start().await;
    let mut client = server.client().await;
    show_a_certificate(&world);
    client.post(&url("new-order"), &order()).await.ok();
    let line = world.audited("acme.order.create").pop().unwrap();
    assert_eq!(line["actor"]["identity"], "spiffe://test/app", "{line}");
    assert!(line["actor"]["account"].is_string(), "{line}");
}

/// It is not taken for a request without a certificate either: that could be another tenant's.
#[tokio::test]
async fn a_certificate_that_is_revoked_or_over_is_refused_at_every_door_of_acme() {
    let world = World::new().await;
    let server = world.start().await;
    let mut client = server.client().await;
    for code in ["certificate-revoked", "certificate-expired"] {
        let revoked = show_a_certificate(&world);
        match code {
            "certificate-revoked" => revoked.store(true, Ordering::SeqCst),
            _ => world.clock.advance(Duration::from_secs(60 * 60 + 1)),
        }
        for resource in ["new-order", "revoke-cert", "key-change"] {
            client.post(&url(resource), &order()).await.is_problem(403, "unauthorized");
            assert_refused(&world, code);
        }
        let account = client.account.clone().unwrap();
        client.get(&account).await.is_problem(403, "unauthorized");
        let mut newcomer = Client::with_key(server.router.clone(), SigningKey::p256());
        let answer = newcomer.post(&url("new-account"), &json!({})).await;
        answer.is_problem(403, "unauthorized");
        assert_refused(&world, code);
        assert!(answer.json()["detail"].as_str().unwrap().contains("client certificate"));
    }
    assert!(world.audited("acme.order.create").is_empty());
    assert_eq!(world.audited("acme.account.create").len(), 1);
    // Without the certificate the account is as good as before.
    *world.evidence.lock().unwrap() = None;
    client.post(&url("new-order"), &order()).await.ok();
}

#[tokio::test]
async fn a_certificate_that_ends_before_the_body_comes_is_refused() {
    let world = World::new().await;
    let server = world.start().await;
    let mut client = server.client().await;

    let revoked = show_a_certificate(&world);
    let revoke = || revoked.store(true, Ordering::SeqCst);
    let answer = client.post_parked(&url("new-order"), &order(), revoke).await;
    answer.is_problem(403, "unauthorized");
    assert_refused(&world, "certificate-revoked");

    show_a_certificate(&world);
    let expire = || world.clock.advance(Duration::from_secs(60 * 60 + 1));
    let answer = client.post_parked(&url("new-order"), &order(), expire).await;
    answer.is_problem(403, "unauthorized");
    assert_refused(&world, "certificate-expired");
    assert!(world.audited("acme.order.create").is_empty());
}

/// Work goes on after the request that began it, and the certificate that came with it may end meanwhile.
#[tokio::test]
async fn what_goes_on_in_the_background_does_not_name_a_certificate_that_ended() {
    let world = World::new().await;
    let server = world.start().await;
    let mut client = server.client().await;
    let revoked = show_a_certificate(&world);
    let order = client.post(&url("new-order"), &order()).await.ok();
    let authorization = client.get(order["authorizations"][0].as_str().unwrap()).await.ok();
    let challenge = steps::challenge(&authorization, "http-01");
    world.web.show(challenge["token"].as_str().unwrap(), &client.key.thumbprint());
    world.web.close();
    let answer_it = tokio::spawn(async move {
        client.post(challenge["url"].as_str().unwrap(), &json!({})).await.ok()
    });
    world.web.came(1).await;
    revoked.store(true, Ordering::SeqCst);
    world.web.open();
    assert_eq!(answer_it.await.unwrap()["status"], "valid");
    let line = world.audited("acme.challenge.validate").pop().unwrap();
    assert_eq!(line["outcome"]["result"], "success", "{line}");
    assert_eq!(line["actor"]["identity"], Value::Null, "{line}");
    assert!(line["actor"]["account"].is_string(), "{line}");
    assert_eq!(line["details"]["certificate_refused"]["reason"], "certificate-revoked", "{line}");
}
