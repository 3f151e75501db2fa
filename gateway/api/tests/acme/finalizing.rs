//! RFC 8555 §7.4, the second half: from a ready order to a certificate.

use std::time::Duration;

use chancery_acme::jws::base64url;
use chancery_store::Store as _;
use chancery_store::memory::MemoryStore;
use chancery_x509::{ParsedCertificate, pem};
use rcgen::KeyPair;
use serde_json::json;

use crate::client::{Client, SigningKey, url};
use crate::pebble::Pebble;
use crate::steps::{self, csr, csr_for, finalize, ready_order};
use crate::world::World;

#[tokio::test]
async fn a_csr_may_carry_names_in_cn_san_or_both_in_any_case() {
    let world = World::new().await;
    let mut client = world.start().await.client().await;
    let key = KeyPair::generate().unwrap();
    for (common_name, alternative) in [
        (None, &["a.localhost", "b.localhost"][..]),
        (Some("A.Localhost"), &["B.LOCALHOST"]),
        (Some("b.localhost"), &["b.localhost", "a.localhost"]),
    ] {
        let order = ready_order(&world, &mut client, &["a.localhost", "b.localhost"]).await;
        let request = csr(&key, common_name, alternative);
        let answer = finalize(&mut client, &order, &request).await;
        assert_eq!(answer.ok()["status"], "valid", "{common_name:?} {alternative:?}");
    }
    let order = ready_order(&world, &mut client, &["c.localhost"]).await;
    let answer = finalize(&mut client, &order, &csr(&key, Some("C.localhost"), &[])).await.ok();
    let chain = client.get(answer["certificate"].as_str().unwrap()).await.body;
    let chain = pem::certificates(std::str::from_utf8(&chain).unwrap()).unwrap();
    let leaf = ParsedCertificate::from_der(&chain[0]).unwrap();
    let names: Vec<_> = leaf.names().iter().map(ToString::to_string).collect();
    assert_eq!(names, ["dns:c.localhost"]);
}

#[tokio::test]
async fn a_padded_csr_is_tolerated() {
    let world = World::new().await;
    let mut client = world.start().await.client().await;
    let order = ready_order(&world, &mut client, &["a.localhost"]).await;
    let mut request = csr_for(&["a.localhost"]);
    while !request.len().is_multiple_of(4) {
        request.push('=');
    }
    assert_eq!(finalize(&mut client, &order, &request).await.ok()["status"], "valid");
}

#[tokio::test]
async fn a_csr_with_other_names_is_refused_and_another_one_may_follow() {
    let world = World::new().await;
    let mut client = world.start().await.client().await;
    let order = ready_order(&world, &mut client, &["a.localhost"]).await;
    let key = KeyPair::generate().unwrap();
    for (common_name, alternative) in [
        (None, &["a.localhost", "not-authorized.localhost"][..]),
        (None, &["not-authorized.localhost"]),
        (Some("not-authorized.localhost"), &["a.localhost"]),
        (Some("My Server"), &["a.localhost"]),
        (None, &["a.localhost", "127.0.0.1"]),
        (None, &["*.a.localhost"]),
        (None, &[]),
    ] {
        let answer = finalize(&mut client, &order, &csr(&key, common_name, alternative)).await;
        answer.is_problem(400, "badCSR");
    }
    assert_eq!(client.get(&order).await.ok()["status"], "ready");
    let answer = finalize(&mut client, &order, &csr_for(&["a.localhost"])).await;
    assert_eq!(answer.ok()["status"], "valid");
}

#[tokio::test]
async fn a_broken_csr_is_refused() {
    let world = World::new().await;
    let mut client = world.start().await.client().await;
    let order = ready_order(&world, &mut client, &["a.localhost"]).await;
    let good = csr_for(&["a.localhost"]);
    let mut bent = base64url::decode(&good).unwrap();
    *bent.last_mut().unwrap() ^= 1;
    let bent = base64url::encode(bent);
    for bad in ["", "AAAA", "MIIB", &good[..100], bent.as_str()] {
        let kind = finalize(&mut client, &order, bad).await.problem();
        assert_eq!(kind, (400, "badCSR".to_owned()), "{bad}");
    }
    finalize(&mut client, &order, "not base64url!").await.is_problem(400, "malformed");
    let answer = client.post(&format!("{order}/finalize"), &json!({})).await;
    answer.is_problem(400, "malformed");
}

#[tokio::test]
async fn the_account_s_key_is_not_certified() {
    let world = World::new().await;
    let mut client = world.start().await.client().await;
    let key = KeyPair::generate().unwrap();
    let own = aws_lc_rs::signature::EcdsaKeyPair::from_pkcs8(
        &aws_lc_rs::signature::ECDSA_P256_SHA256_FIXED_SIGNING,
        &key.serialize_der(),
    );
    client.key = SigningKey::P256(own.unwrap());
    client.account = None;
    client.register().await;
    let order = ready_order(&world, &mut client, &["a.localhost"]).await;
    let answer = finalize(&mut client, &order, &csr(&key, None, &["a.localhost"])).await;
    answer.is_problem(400, "badCSR");
}

#[tokio::test]
async fn a_second_finalize_of_a_finished_order_is_403_order_not_ready() {
    let world = World::new().await;
    let mut client = world.start().await.client().await;
    let order = ready_order(&world, &mut client, &["a.localhost"]).await;
    let request = csr_for(&["a.localhost"]);
    let first = finalize(&mut client, &order, &request).await;
    let second = finalize(&mut client, &order, &request).await;
    second.is_problem(403, "orderNotReady");
    assert_eq!(client.get(&order).await.json(), first.json());
    assert_eq!(world.audited("certificates.issue").len(), 1);
}

#[tokio::test]
async fn an_order_that_is_pending_is_not_ready() {
    let world = World::new().await;
    let mut client = world.start().await.client().await;
    let order = steps::order(&mut client, &["a.localhost"]).await.header("location").to_owned();
    let answer = finalize(&mut client, &order, &csr_for(&["a.localhost"])).await;
    answer.is_problem(403, "orderNotReady");
}

#[tokio::test]
async fn the_certificate_policy_decides_and_its_denial_ends_the_order() {
    let world = World::new().await;
    let mut client = world.start().await.client().await;
    let order = ready_order(&world, &mut client, &["denied.localhost"]).await;
    let answer = finalize(&mut client, &order, &csr_for(&["denied.localhost"])).await.ok();
    assert_eq!(answer["status"], "invalid");
    assert_eq!(answer["error"]["type"], "urn:ietf:params:acme:error:unauthorized");
    assert!(answer.get("certificate").is_none());
    let lines = world.audited("certificates.issue");
    assert_eq!(lines[0]["outcome"]["result"], "denied");
    assert_eq!(lines[0]["decisions"][0]["binding"], "certificates");
}

#[tokio::test]
async fn a_key_that_policy_does_not_want_is_a_bad_csr_and_another_one_may_follow() {
    let world = World::new().await;
    let mut client = world.start().await.client().await;
    let order = ready_order(&world, &mut client, &["a.localhost"]).await;
    let key = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P521_SHA512).unwrap();
    for _ in 0..2 {
        let answer = finalize(&mut client, &order, &csr(&key, None, &["a.localhost"])).await;
        answer.is_problem(400, "badCSR");
        assert!(answer.json()["detail"].as_str().unwrap().contains("ecdsa-p256"), "{answer:?}");
        let waiting = client.get(&order).await.ok();
        assert_eq!(waiting["status"], "ready");
        assert_eq!(waiting["error"]["type"], "urn:ietf:params:acme:error:badCSR");
    }
    let lines = world.audited("acme.order.finalize");
    assert_eq!(lines.len(), 2, "one line for each: {lines:?}");
    assert_eq!(lines[0]["outcome"]["code"], "bad-csr", "{}", lines[0]);
    let done = finalize(&mut client, &order, &csr_for(&["a.localhost"])).await.ok();
    assert_eq!(done["status"], "valid");
    assert!(done.get("error").is_none());
}

#[tokio::test]
async fn an_order_that_was_said_to_be_processing_does_not_become_ready_again() {
    let world = World::new().await;
    let mut client = world.start().await.client().await;
    let order = ready_order(&world, &mut client, &["a.localhost"]).await;
    let hasty = world.start_with(|config| config.hold = Duration::ZERO).await;
    client.reconnect(hasty.router.clone());
    let key = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P521_SHA512).unwrap();
    let answer = finalize(&mut client, &order, &csr(&key, None, &["a.localhost"])).await;
    assert_eq!(answer.ok()["status"], "processing");
    let mut found = client.get(&order).await.ok();
    while found["status"] == "processing" {
        tokio::task::yield_now().await;
        found = client.get(&order).await.ok();
    }
    assert_eq!(found["status"], "invalid");
    assert_eq!(found["error"]["type"], "urn:ietf:params:acme:error:badCSR");
}

#[tokio::test]
async fn a_certificate_ends_when_it_was_asked_to() {
    let world = World::new().await;
    let mut client = world.start().await.client().await;
    let mut payload = steps::names(&["a.localhost"]);
    payload["notAfter"] = json!("2026-03-08T12:00:00Z");
    let order = client.post(&crate::client::url("new-order"), &payload).await;
    let location = order.header("location").to_owned();
    steps::authorize(&world, &mut client, &location).await;
    let done = finalize(&mut client, &location, &csr_for(&["a.localhost"])).await.ok();
    let chain = client.get(done["certificate"].as_str().unwrap()).await.body;
    let chain = pem::certificates(std::str::from_utf8(&chain).unwrap()).unwrap();
    let leaf = ParsedCertificate::from_der(&chain[0]).unwrap();
    assert_eq!(leaf.not_after().to_string(), "2026-03-08T12:00:00Z");
}

#[tokio::test]
async fn the_profile_shapes_the_certificate() {
    let world = World::new().await;
    let mut client = world.start().await.client().await;
    let mut payload = steps::names(&["a.localhost"]);
    payload["profile"] = json!("short");
    let order = client.post(&crate::client::url("new-order"), &payload).await;
    let location = order.header("location").to_owned();
    steps::authorize(&world, &mut client, &location).await;
    let done = finalize(&mut client, &location, &csr_for(&["a.localhost"])).await.ok();
    let chain = client.get(done["certificate"].as_str().unwrap()).await.body;
    let chain = pem::certificates(std::str::from_utf8(&chain).unwrap()).unwrap();
    let leaf = ParsedCertificate::from_der(&chain[0]).unwrap();
    let lifetime = leaf.not_after().duration_since(leaf.not_before());
    assert_eq!(lifetime.as_secs() + 1, 3600);
}

#[tokio::test]
async fn a_certificate_is_downloaded_by_its_account_only() {
    let world = World::new().await;
    let server = world.start().await;
    let (mut client, mut other) = (server.client().await, server.client().await);
    let order = ready_order(&world, &mut client, &["a.localhost"]).await;
    let done = finalize(&mut client, &order, &csr_for(&["a.localhost"])).await.ok();
    let certificate = done["certificate"].as_str().unwrap();
    other.get(certificate).await.is_problem(404, "malformed");
    for unknown in ["00", "x", "..", "0000000000000000000000000000000000000001"] {
        let url = crate::client::url(&format!("certificate/{unknown}"));
        client.get(&url).await.is_problem(404, "malformed");
    }
}

/// An order that is finalized while the CA that its profile wants is away; its URL.
pub(crate) async fn finalized_elsewhere(world: &World, client: &mut Client) -> String {
    let mut payload = steps::names(&["a.localhost"]);
    payload["profile"] = json!("upstream");
    let order = client.post(&url("new-order"), &payload).await.header("location").to_owned();
    steps::authorize(world, client, &order).await;
    let finalized = finalize(client, &order, &csr_for(&["a.localhost"])).await;
    assert_eq!(finalized.ok()["status"], "processing");
    order
}

#[tokio::test]
async fn an_order_that_has_its_certificate_from_another_ca_leaves_nothing_behind() {
    let mut world = World::new().await;
    world.store = MemoryStore::with_clock(world.clock.clone());
    let pebble = Pebble::start().await;
    world.upstream = Some(pebble.upstream(&world.store));
    let mut changes = world.store.watch(b"_/upstream/finalized/");
    let mut client = world.start().await.client().await;
    let mut payload = steps::names(&["a.localhost"]);
    payload["profile"] = json!("upstream");
    let order = client.post(&url("new-order"), &payload).await.header("location").to_owned();
    steps::authorize(&world, &mut client, &order).await;
    let done = finalize(&mut client, &order, &csr_for(&["a.localhost"])).await.ok();
    assert_eq!(done["status"], "valid");
    assert_eq!(pebble.issued(), 1);
    changes.next().await.expect("the order was on record");
    let left = world.store.scan(b"_/upstream/finalized", None, 10).await.unwrap();
    assert!(left.is_empty());
}

/// Waits until the order's `Retry-After` has this many seconds.
pub(crate) async fn put_off(world: &World, client: &mut Client, order: &str, seconds: &str) {
    let mut changes = world.store.watch(b"default/acme/");
    loop {
        let found = client.get(order).await;
        assert_eq!(found.ok()["status"], "processing");
        let tried = !world.audited("certificates.issue").is_empty();
        if tried && found.header("retry-after") == seconds {
            return;
        }
        changes.next().await.expect("the store is there");
    }
}

#[tokio::test]
async fn an_order_whose_ca_is_away_is_processing_until_it_expires() {
    let world = World::new().await;
    let server = world.start().await;
    let mut client = server.client().await;
    let order = finalized_elsewhere(&world, &mut client).await;
    let pauses = [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300];
    for (tries, pause) in (1..).zip(pauses) {
        put_off(&world, &mut client, &order, &pause.to_string()).await;
        assert_eq!(world.audited("certificates.issue").len(), tries);
        assert_eq!(server.acme.take_up().await.unwrap(), 0, "it is not due");
        world.clock.advance(Duration::from_secs(pause));
        while server.acme.take_up().await.unwrap() == 0 {
            tokio::task::yield_now().await;
        }
    }
    put_off(&world, &mut client, &order, "300").await;
    assert!(world.audited("acme.order.finalize").is_empty(), "nothing has come of it yet");
    for line in world.audited("certificates.issue") {
        assert_eq!(line["outcome"], json!({"result": "failed", "code": "upstream-failed"}));
    }

    world.clock.advance(Duration::from_hours(12));
    while server.acme.take_up().await.unwrap() == 0 {
        tokio::task::yield_now().await;
    }
    let over = world.until(&mut client, &order, "invalid").await;
    assert_eq!(over["error"]["type"], "urn:ietf:params:acme:error:serverInternal");
    let detail = over["error"]["detail"].as_str().unwrap();
    assert!(detail.contains("out of reach until the order expired"), "{detail}");
    let line = world.audited("acme.order.finalize").pop().unwrap();
    assert_eq!(line["outcome"]["result"], "failed", "{line}");
    assert_eq!(server.acme.take_up().await.unwrap(), 0, "nothing is left");
}

#[tokio::test]
async fn orders_whose_ca_is_away_are_not_read_before_they_are_due() {
    let world = World::new().await;
    let server = world.start().await;
    let mut client = server.client().await;
    let mut orders = Vec::new();
    for _ in 0..10 {
        orders.push(finalized_elsewhere(&world, &mut client).await);
    }
    for pause in ["1", "2"] {
        for order in &orders {
            put_off(&world, &mut client, order, pause).await;
        }
        let before = world.store.reads();
        assert_eq!(server.acme.take_up().await.unwrap(), 0, "none is due");
        assert_eq!(world.store.reads() - before, 1, "when the first is due");
        world.clock.advance(Duration::from_secs(pause.parse().unwrap()));
        let mut taken_up = 0;
        while taken_up < orders.len() {
            // The task that put an order off may not have ended yet.
            taken_up += server.acme.take_up().await.unwrap();
            tokio::task::yield_now().await;
        }
    }
}

#[tokio::test]
async fn an_order_whose_ca_is_away_is_tried_again_after_a_restart() {
    let world = World::new().await;
    let mut client = world.start().await.client().await;
    let order = finalized_elsewhere(&world, &mut client).await;
    put_off(&world, &mut client, &order, "1").await;
    let server = world.start().await;
    client.reconnect(server.router.clone());
    assert_eq!(server.acme.resume().await.unwrap(), 1);
    put_off(&world, &mut client, &order, "2").await;
    assert_eq!(world.audited("certificates.issue").len(), 2);
}

#[tokio::test]
async fn an_order_of_a_gateway_that_is_gone_is_taken_up_by_another_once() {
    let world = World::new().await;
    let mut client = world.start().await.client().await;
    let order = finalized_elsewhere(&world, &mut client).await;
    put_off(&world, &mut client, &order, "1").await;
    let (one, other) = (world.start().await, world.start().await);
    world.clock.advance(Duration::from_secs(1));
    let (first, second) = tokio::join!(one.acme.take_up(), other.acme.take_up());
    assert_eq!(first.unwrap() + second.unwrap(), 1);
    put_off(&world, &mut client, &order, "2").await;
    assert_eq!(world.audited("certificates.issue").len(), 2);
}

#[tokio::test]
async fn an_order_that_waits_is_not_made_for_an_account_that_was_shut_off() {
    let world = World::new().await;
    let server = world.start().await;
    let mut client = server.client().await;
    let order = finalized_elsewhere(&world, &mut client).await;
    put_off(&world, &mut client, &order, "1").await;
    let account = client.account.clone().unwrap();
    client.post(&account, &json!({"status": "deactivated"})).await.ok();
    world.clock.advance(Duration::from_secs(1));
    while server.acme.take_up().await.unwrap() == 0 {
        tokio::task::yield_now().await;
    }
    while world.audited("acme.order.finalize").is_empty() {
        tokio::task::yield_now().await;
    }
    let line = world.audited("acme.order.finalize").pop().unwrap();
    assert_eq!(line["outcome"], json!({"result": "failed", "code": "unauthorized"}));
    assert_eq!(world.audited("certificates.issue").len(), 1, "it was not tried again");
}
