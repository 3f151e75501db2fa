//! How much one account or one client may have.

use std::time::Duration;

use chancery_records::Fence;
use chancery_store::Store as _;
use futures_util::future::join_all;
use http::StatusCode;
use serde_json::json;

use crate::accounts::key_change;
use crate::client::{Answer, Client, SigningKey, url};
use crate::steps;
use crate::world::World;

const HOUR: Duration = Duration::from_hours(1);

/// That it was refused for so many seconds.
#[track_caller]
fn is_limited(answer: &Answer, seconds: u64) {
    answer.is_problem(429, "rateLimited");
    assert_eq!(answer.header("retry-after"), seconds.to_string());
}

async fn ask(client: &mut Client, name: &str) -> Answer {
    client.post(&url("new-order"), &steps::names(&[name])).await
}

#[tokio::test]
async fn an_account_has_so_many_orders_that_are_not_finished() {
    let world = World::new().await;
    let server = world.start_with(|config| config.limits.pending_orders_per_account = 2).await;
    let (mut client, mut other) = (server.client().await, server.client().await);
    let first = steps::ready_order(&world, &mut client, &["a.localhost"]).await;
    steps::order(&mut client, &["b.localhost"]).await;
    let refused = ask(&mut client, "c.localhost").await;
    is_limited(&refused, 3600);
    assert!(refused.json()["detail"].as_str().unwrap().contains("finish some"), "{refused:?}");
    let line = world.audited("acme.order.create").pop().unwrap();
    assert_eq!(line["outcome"], json!({"result": "denied", "code": "rate-limited"}), "{line}");
    assert!(line.get("decisions").is_none(), "no policy was asked: {line}");
    steps::order(&mut other, &["c.localhost"]).await;
    // One that is finished counts no more, and neither does one that expired.
    steps::finalize(&mut client, &first, &steps::csr_for(&["a.localhost"])).await.ok();
    steps::order(&mut client, &["c.localhost"]).await;
    is_limited(&ask(&mut client, "d.localhost").await, 3600);
    world.clock.advance(11 * HOUR + HOUR / 2);
    is_limited(&ask(&mut client, "d.localhost").await, 1800);
    world.clock.advance(HOUR / 2);
    steps::order(&mut client, &["d.localhost"]).await;
}

#[tokio::test]
async fn an_order_that_failed_counts_for_an_hour_more() {
    let world = World::new().await;
    let server = world.start_with(|config| config.limits.pending_orders_per_account = 1).await;
    let mut client = server.client().await;
    let order = steps::order(&mut client, &["a.localhost"]).await.ok();
    let authorization = order["authorizations"][0].as_str().unwrap();
    client.post(authorization, &json!({"status": "deactivated"})).await.ok();
    is_limited(&ask(&mut client, "a.localhost").await, 3600);
    world.clock.advance(HOUR);
    let order = steps::order(&mut client, &["a.localhost"]).await.ok();
    let authorization = order["authorizations"][0].as_str().unwrap();
    let challenge = steps::challenge(&client.get(authorization).await.ok(), "http-01");
    let answer = client.post(challenge["url"].as_str().unwrap(), &json!({})).await;
    assert_eq!(answer.ok()["status"], "invalid");
    is_limited(&ask(&mut client, "a.localhost").await, 3600);
}

#[tokio::test]
async fn a_client_has_so_many_pending_orders_with_all_of_its_accounts() {
    let world = World::new().await;
    let server = world.start_with(|config| config.limits.pending_orders_per_address = 2).await;
    let mut clients = [server.client().await, server.client().await, server.client().await];
    for client in &mut clients[..2] {
        steps::order(client, &["a.localhost"]).await;
    }
    is_limited(&ask(&mut clients[2], "a.localhost").await, 3600);
    world.comes_from("192.0.2.1");
    ask(&mut clients[2], "a.localhost").await.ok();
    world.comes_from("2001:db8::1");
    for _ in 0..2 {
        ask(&mut clients[2], "a.localhost").await.ok();
    }
    world.comes_from("2001:db8::2");
    is_limited(&ask(&mut clients[2], "a.localhost").await, 3600);
}

#[tokio::test]
async fn two_gateways_over_one_store_count_together_and_exactly() {
    let world = World::new().await;
    let few = |config: &mut chancery_acme::AcmeConfig| config.limits.pending_orders_per_account = 7;
    let (one, other) = (world.start_with(few).await, world.start_with(few).await);
    let mut client = one.client().await;
    let mut sent = Vec::new();
    for number in 0..20 {
        let server = if number % 2 == 0 { &one } else { &other };
        let mut sender = Client::new(server.router.clone());
        std::mem::swap(&mut sender.key, &mut client.key);
        sender.account.clone_from(&client.account);
        let header = sender.header(&url("new-order")).await;
        let payload = steps::names(&["a.localhost"]).to_string();
        let body = sender.key.jws(&header, &payload).to_string();
        std::mem::swap(&mut sender.key, &mut client.key);
        sent.push(async move { sender.send(&url("new-order"), &body).await.status });
    }
    let made = join_all(sent).await.into_iter().filter(|status| *status == StatusCode::CREATED);
    assert_eq!(made.count(), 7);
    let orders = world.store.scan(b"default/acme/order/", None, 100).await.unwrap();
    assert_eq!(orders.len(), 7);
}

#[tokio::test]
async fn an_account_has_so_many_orders_refused_in_a_while() {
    let world = World::new().await;
    let server = world.start_with(|config| config.limits.refused_orders_per_account = 3).await;
    let (mut client, mut other) = (server.client().await, server.client().await);
    for wrong in ["-a.localhost", "*.*.localhost"] {
        ask(&mut client, wrong).await.is_problem(400, "rejectedIdentifier");
    }
    steps::order(&mut client, &["a.localhost"]).await;
    let payload =
        json!({"identifiers": [{"type": "dns", "value": "a.localhost"}], "profile": "no"});
    client.post(&url("new-order"), &payload).await.is_problem(400, "invalidProfile");
    // Good ones neither: what asks for both is to be mended.
    for name in ["-a.localhost", "a.localhost"] {
        let refused = ask(&mut client, name).await;
        is_limited(&refused, 3600);
        assert!(refused.json()["detail"].as_str().unwrap().contains("mend"), "{refused:?}");
    }
    let line = world.audited("acme.order.create").pop().unwrap();
    assert_eq!(line["outcome"], json!({"result": "denied", "code": "rate-limited"}), "{line}");
    steps::order(&mut other, &["a.localhost"]).await;
    world.clock.advance(HOUR);
    steps::order(&mut client, &["a.localhost"]).await;
    ask(&mut client, "-a.localhost").await.is_problem(400, "rejectedIdentifier");
}

#[tokio::test]
async fn a_client_has_so_many_requests_refused_with_all_of_its_accounts() {
    let world = World::new().await;
    let server = world.start_with(|config| config.limits.refused_orders_per_address = 3).await;
    let (mut client, mut other) = (server.client().await, server.client().await);
    ask(&mut client, "-a.localhost").await.is_problem(400, "rejectedIdentifier");
    ask(&mut other, "-a.localhost").await.is_problem(400, "rejectedIdentifier");
    ask(&mut other, "-a.localhost").await.is_problem(400, "rejectedIdentifier");
    for one in [&mut client, &mut other] {
        is_limited(&ask(one, "-a.localhost").await, 3600);
    }
    // One that was refused nothing is not locked out by its neighbours, and is by what it is refused itself.
    let mut third = server.client().await;
    steps::order(&mut third, &["a.localhost"]).await;
    ask(&mut third, "-a.localhost").await.is_problem(400, "rejectedIdentifier");
    is_limited(&ask(&mut third, "a.localhost").await, 3600);
    world.comes_from("192.0.2.1");
    ask(&mut client, "-a.localhost").await.is_problem(400, "rejectedIdentifier");
    // What is counted is removed when it counts no more.
    world.clock.advance(HOUR);
    server.acme.sweep(&Fence::none()).await.unwrap();
    for kind in ["refused-of", "refused-from"] {
        let prefix = format!("default/acme/{kind}/");
        let left = world.store.keys(prefix.as_bytes(), None, 10).await.unwrap();
        assert_eq!(left, [], "{kind}");
    }
}

/// Anybody may ask for an account: what is refused of that counts against nobody's orders, and not against those
/// who show a certificate.
#[tokio::test]
async fn a_client_that_is_refused_new_accounts_locks_nobody_else_out() {
    let world = World::new().await;
    let server = world.start_with(|config| config.limits.refused_orders_per_address = 3).await;
    let mut client = server.client().await;
    let mut new = Client::new(server.router.clone());
    let (contact, path) = (json!({"contact": ["tel:1"]}), url("new-account"));
    for _ in 0..3 {
        new.post(&path, &contact).await.is_problem(400, "unsupportedContact");
    }
    is_limited(&new.post(&path, &json!({})).await, 3600);
    steps::order(&mut client, &["a.localhost"]).await;
    ask(&mut client, "-a.localhost").await.is_problem(400, "rejectedIdentifier");
    steps::order(&mut client, &["a.localhost"]).await;
    world.comes_from("192.0.2.1");
    assert_eq!(new.post(&path, &json!({})).await.status, StatusCode::CREATED);
    world.clock.advance(HOUR);
    server.acme.sweep(&Fence::none()).await.unwrap();
    let left = world.store.keys(b"default/acme/refused-", None, 10).await.unwrap();
    assert_eq!(left, []);
}

#[tokio::test]
async fn two_gateways_over_one_store_count_refusals_together_and_exactly() {
    let world = World::new().await;
    let few = |config: &mut chancery_acme::AcmeConfig| config.limits.refused_orders_per_account = 7;
    let (one, other) = (world.start_with(few).await, world.start_with(few).await);
    let mut client = one.client().await;
    let mut sent = Vec::new();
    for number in 0..20 {
        let server = if number % 2 == 0 { &one } else { &other };
        let mut sender = Client::new(server.router.clone());
        std::mem::swap(&mut sender.key, &mut client.key);
        sender.account.clone_from(&client.account);
        let header = sender.header(&url("new-order")).await;
        let body = sender.key.jws(&header, &steps::names(&["-a.localhost"]).to_string());
        std::mem::swap(&mut sender.key, &mut client.key);
        let body = body.to_string();
        sent.push(async move { sender.send(&url("new-order"), &body).await.status });
    }
    let all = join_all(sent).await;
    let refused = all.iter().filter(|status| **status == StatusCode::BAD_REQUEST).count();
    let limited = all.iter().filter(|status| **status == StatusCode::TOO_MANY_REQUESTS).count();
    assert_eq!((refused, limited), (7, 13), "{all:?}");
}

async fn contact(client: &mut Client) -> Answer {
    let own = client.account.clone().unwrap();
    client.post(&own, &json!({"contact": ["mailto:a@example.com"]})).await
}

#[tokio::test]
async fn an_account_is_changed_so_often_in_an_hour_and_can_still_be_given_up() {
    let world = World::new().await;
    let server = world.start_with(|config| config.limits.account_changes_per_account = 2).await;
    let (mut client, mut other) = (server.client().await, server.client().await);
    for _ in 0..2 {
        contact(&mut client).await.ok();
    }
    is_limited(&contact(&mut client).await, 3600);
    let path = url("key-change");
    let change = key_change(&client, &SigningKey::p384(), &path);
    is_limited(&client.post_text(&path, &change).await, 3600);
    contact(&mut other).await.ok();
    let lines = world.audited("acme.account.update");
    let done = lines.iter().filter(|line| line["outcome"]["result"] == "success").count();
    assert_eq!(done, 3, "{lines:?}");
    world.clock.advance(HOUR);
    server.acme.sweep(&Fence::none()).await.unwrap();
    let left = world.store.keys(b"default/acme/changes-", None, 10).await.unwrap();
    assert_eq!(left, []);
    for _ in 0..2 {
        client.nonce = None;
        contact(&mut client).await.ok();
    }
    is_limited(&contact(&mut client).await, 3600);
    let own = client.account.clone().unwrap();
    client.post(&own, &json!({"status": "deactivated"})).await.ok();
}

#[tokio::test]
async fn neighbours_that_change_their_accounts_lock_nobody_out() {
    let world = World::new().await;
    let server = world.start_with(|config| config.limits.account_changes_per_address = 2).await;
    let (mut client, mut other) = (server.client().await, server.client().await);
    for _ in 0..2 {
        contact(&mut client).await.ok();
    }
    is_limited(&contact(&mut client).await, 3600);
    contact(&mut other).await.ok();
    is_limited(&contact(&mut other).await, 3600);
    world.comes_from("192.0.2.1");
    contact(&mut other).await.ok();
}

#[tokio::test]
async fn a_client_makes_so_many_accounts_in_a_while() {
    let world = World::new().await;
    let server = world.start_with(|config| config.limits.new_accounts_per_address = 2).await;
    let mut first = server.client().await;
    world.clock.advance(HOUR);
    server.client().await;
    let mut third = Client::new(server.router.clone());
    is_limited(&third.post(&url("new-account"), &json!({})).await, 3600);
    let line = world.audited("acme.account.create").pop().unwrap();
    assert_eq!(line["outcome"]["code"], "rate-limited", "{line}");
    // To find the own one is always possible.
    first.account = None;
    assert_eq!(first.post(&url("new-account"), &json!({})).await.status, StatusCode::OK);
    world.comes_from("192.0.2.1");
    third.register().await;
    world.comes_from("127.0.0.1");
    world.clock.advance(2 * HOUR);
    server.client().await;
}

#[tokio::test]
async fn an_account_without_orders_is_removed_after_a_time_and_one_that_has_some_is_not() {
    let world = World::new().await;
    let server = world.start().await;
    server.acme.sweep(&Fence::none()).await.unwrap();
    let (mut unused, mut used) = (server.client().await, server.client().await);
    steps::certificate(&world, &mut used, &["a.localhost"]).await;
    world.clock.advance((30 * 24 - 1) * HOUR);
    server.acme.sweep(&Fence::none()).await.unwrap();
    let own = unused.account.clone().unwrap();
    unused.post(&own, &json!({})).await.ok();
    world.clock.advance(HOUR);
    server.acme.sweep(&Fence::none()).await.unwrap();
    unused.post(&own, &json!({})).await.is_problem(400, "accountDoesNotExist");
    unused.account = None;
    let only = json!({"onlyReturnExisting": true});
    unused.post(&url("new-account"), &only).await.is_problem(400, "accountDoesNotExist");
    let line = world.audited("acme.account.remove").pop().unwrap();
    assert_eq!(line["actor"]["account"], own.rsplit('/').next().unwrap(), "{line}");
    // Its key may make another one.
    unused.register().await;
    assert_ne!(unused.account.unwrap(), own);

    // The other one goes when no order of it is left and it had none for long.
    let own = used.account.clone().unwrap();
    world.clock.advance(300 * 24 * HOUR);
    server.acme.sweep(&Fence::none()).await.unwrap();
    used.post(&own, &json!({})).await.ok();
    steps::order(&mut used, &["a.localhost"]).await;
    world.clock.advance(200 * 24 * HOUR);
    server.acme.sweep(&Fence::none()).await.unwrap();
    used.post(&own, &json!({})).await.ok();
    world.clock.advance(200 * 24 * HOUR);
    server.acme.sweep(&Fence::none()).await.unwrap();
    used.post(&own, &json!({})).await.is_problem(400, "accountDoesNotExist");
    assert_eq!(world.audited("acme.account.remove").len(), 3);
    for kind in ["account", "account-of-key", "account-due"] {
        let prefix = format!("default/acme/{kind}/");
        let left = world.store.scan(prefix.as_bytes(), None, 10).await.unwrap();
        assert!(left.is_empty(), "{kind}: {left:?}");
    }
}

#[tokio::test]
async fn orders_and_changes_of_an_account_at_once_do_not_get_in_each_other_s_way() {
    let world = World::new().await;
    let server = world.start().await;
    let mut client = server.client().await;
    let own = client.account.clone().unwrap();
    let mut sent = Vec::new();
    for number in 0..20 {
        let (target, payload) = if number % 4 == 0 {
            (own.clone(), json!({"contact": [format!("mailto:{number}@example.com")]}))
        } else {
            (url("new-order"), steps::names(&["a.localhost"]))
        };
        let header = client.header(&target).await;
        let body = client.key.jws(&header, &payload.to_string()).to_string();
        let mut sender = Client::new(server.router.clone());
        sent.push(async move { sender.send(&target, &body).await });
    }
    for answer in join_all(sent).await {
        answer.ok();
    }
}
