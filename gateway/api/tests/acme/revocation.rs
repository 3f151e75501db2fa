//! RFC 8555 §7.6.

use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
use chancery_acme::jws::base64url;
use chancery_x509::pem;
use http::StatusCode;
use rcgen::KeyPair;
use serde_json::{Value, json};

use crate::client::{Client, SigningKey, url};
use crate::steps;
use crate::world::World;

fn payload(chain: &str, reason: Option<u64>) -> Value {
    let leaf = base64url::encode(&pem::certificates(chain).unwrap()[0]);
    match reason {
        Some(reason) => json!({"certificate": leaf, "reason": reason}),
        None => json!({"certificate": leaf}),
    }
}

#[tokio::test]
async fn the_account_that_got_it_revokes_it_once() {
    let world = World::new().await;
    let mut client = world.start().await.client().await;
    let chain = steps::certificate(&world, &mut client, &["a.localhost"]).await;
    let answer = client.post(&url("revoke-cert"), &payload(&chain, Some(4))).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", String::from_utf8_lossy(&answer.body));
    let again = client.post(&url("revoke-cert"), &payload(&chain, None)).await;
    again.is_problem(400, "alreadyRevoked");
    let lines = world.audited("certificates.revoke");
    assert_eq!(lines[0]["outcome"]["result"], "success");
    assert_eq!(lines[0]["decisions"][0]["binding"], "access");
}

#[tokio::test]
async fn whoever_has_its_key_revokes_it() {
    let world = World::new().await;
    let server = world.start().await;
    let mut client = server.client().await;
    let key = KeyPair::generate().unwrap();
    let chain = steps::certificate_with(&world, &mut client, &["a.localhost"], &key).await;
    let stranger = SigningKey::p256();
    let mut bare = Client::with_key(server.router.clone(), stranger);
    let answer = bare.post(&url("revoke-cert"), &payload(&chain, Some(1))).await;
    answer.is_problem(403, "unauthorized");
    let own = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &key.serialize_der());
    bare.key = SigningKey::P256(own.unwrap());
    let answer = bare.post(&url("revoke-cert"), &payload(&chain, Some(1))).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", String::from_utf8_lossy(&answer.body));
}

#[tokio::test]
async fn another_account_revokes_it_only_with_all_of_its_names() {
    let world = World::new().await;
    let server = world.start().await;
    let (mut client, mut other) = (server.client().await, server.client().await);
    let chain = steps::certificate(&world, &mut client, &["a.localhost", "b.localhost"]).await;
    let revoke = payload(&chain, None);
    other.post(&url("revoke-cert"), &revoke).await.is_problem(403, "unauthorized");
    steps::ready_order(&world, &mut other, &["a.localhost"]).await;
    other.post(&url("revoke-cert"), &revoke).await.is_problem(403, "unauthorized");
    let order = steps::ready_order(&world, &mut other, &["b.localhost"]).await;
    // Given up again, it counts no more.
    let order = other.get(&order).await.json();
    let authorization = order["authorizations"][0].as_str().unwrap();
    other.post(authorization, &json!({"status": "deactivated"})).await.ok();
    other.post(&url("revoke-cert"), &revoke).await.is_problem(403, "unauthorized");
    steps::ready_order(&world, &mut other, &["b.localhost"]).await;
    assert_eq!(other.post(&url("revoke-cert"), &revoke).await.status, StatusCode::OK);
}

#[tokio::test]
async fn an_old_proof_does_not_entitle_to_revoke() {
    let world = World::new().await;
    let server = world.start().await;
    let (mut client, mut other) = (server.client().await, server.client().await);
    steps::ready_order(&world, &mut other, &["a.localhost"]).await;
    world.clock.advance(std::time::Duration::from_hours(31 * 24));
    let chain = steps::certificate(&world, &mut client, &["a.localhost"]).await;
    let answer = other.post(&url("revoke-cert"), &payload(&chain, None)).await;
    answer.is_problem(403, "unauthorized");
}

#[tokio::test]
async fn reasons_are_checked_and_foreign_certificates_not_found() {
    let world = World::new().await;
    let mut client = world.start().await.client().await;
    let chain = steps::certificate(&world, &mut client, &["a.localhost"]).await;
    for reason in [2, 6, 7, 8, 10, 99] {
        let answer = client.post(&url("revoke-cert"), &payload(&chain, Some(reason))).await;
        answer.is_problem(400, "badRevocationReason");
    }
    let foreign = rcgen::generate_simple_self_signed(["a.localhost".to_owned()]).unwrap();
    let foreign = json!({"certificate": base64url::encode(foreign.cert.der())});
    client.post(&url("revoke-cert"), &foreign).await.is_problem(404, "malformed");
    for bad in [json!({}), json!({"certificate": "AAAA"}), json!({"certificate": "?"})] {
        client.post(&url("revoke-cert"), &bad).await.is_problem(400, "malformed");
    }
    assert_eq!(client.post(&url("revoke-cert"), &payload(&chain, None)).await.status, 200);
}
