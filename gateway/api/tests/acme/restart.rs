//! Orders survive a restart at every state. A crash is a runtime that ends with whatever is in it.

use std::time::Duration;

use serde_json::json;
use tokio::runtime::Runtime;

use crate::client::{Client, url};
use crate::steps;
use crate::world::{Server, World};

/// Does `work` with a server that then crashes: nothing of it goes on.
async fn crash<W>(work: W) -> W::Output
where
    W: Future + Send + 'static,
    W::Output: Send + 'static,
{
    let runtime = Runtime::new().unwrap();
    let result = runtime.spawn(work).await.unwrap();
    runtime.shutdown_background();
    result
}

#[tokio::test]
async fn accounts_and_pending_orders_survive() {
    let world = World::new().await;
    let mut client = world.start().await.client().await;
    let order = steps::order(&mut client, &["a.localhost"]).await;
    let server = world.start().await;
    client.reconnect(server.router.clone());
    let found = client.get(order.header("location")).await.ok();
    assert_eq!(found, order.json());
    let ready = steps::authorize(&world, &mut client, order.header("location")).await;
    assert_eq!(ready["status"], "ready");
}

#[tokio::test]
async fn ready_and_valid_orders_survive() {
    let world = World::new().await;
    let mut client = world.start().await.client().await;
    let order = steps::ready_order(&world, &mut client, &["a.localhost"]).await;
    let server = world.start().await;
    client.reconnect(server.router.clone());
    let csr = steps::csr_for(&["a.localhost"]);
    let done = steps::finalize(&mut client, &order, &csr).await.ok();
    assert_eq!(done["status"], "valid");
    let certificate = done["certificate"].as_str().unwrap();
    let before = client.get(certificate).await.body;
    let server = world.start().await;
    client.reconnect(server.router.clone());
    assert_eq!(client.get(&order).await.ok(), done);
    assert_eq!(client.get(certificate).await.body, before);
    assert_eq!(server.acme.resume().await.unwrap(), 0, "nothing is unfinished");
}

#[tokio::test]
async fn a_validation_that_a_crash_interrupted_is_taken_up() {
    let world = World::new().await;
    world.web.close();
    let server = world.start_with(|config| config.hold = Duration::ZERO).await;
    let web = world.web.clone();
    let (mut client, order_url) = crash(async move {
        let mut client = server.client().await;
        let order = steps::order(&mut client, &["a.localhost"]).await;
        let authorization = order.json()["authorizations"][0].as_str().unwrap().to_owned();
        let challenge = steps::challenge(&client.get(&authorization).await.json(), "http-01");
        web.show(challenge["token"].as_str().unwrap(), &client.key.thumbprint());
        let answer = client.post(challenge["url"].as_str().unwrap(), &json!({})).await;
        assert_eq!(answer.ok()["status"], "processing");
        (client, order.header("location").to_owned())
    })
    .await;
    let server = world.start().await;
    client.reconnect(server.router.clone());
    assert_eq!(client.get(&order_url).await.ok()["status"], "pending");
    world.web.open();
    assert_eq!(server.acme.resume().await.unwrap(), 1);
    world.until(&mut client, &order_url, "ready").await;
}

/// Takes up the one challenge that was put off, once the task that put it off has ended.
async fn taken_up(server: &Server) {
    while server.acme.take_up().await.unwrap() == 0 {
        tokio::task::yield_now().await;
    }
}

/// Answers the http-01 challenge of a new order for this name, which is met; its URL and the order's.
pub(crate) async fn answer_one(world: &World, client: &mut Client, name: &str) -> (String, String) {
    let order = steps::order(client, &[name]).await;
    let authorization = order.json()["authorizations"][0].as_str().unwrap().to_owned();
    let challenge = steps::challenge(&client.get(&authorization).await.json(), "http-01");
    world.web.show(challenge["token"].as_str().unwrap(), &client.key.thumbprint());
    let url = challenge["url"].as_str().unwrap().to_owned();
    assert_eq!(client.post(&url, &json!({})).await.ok()["status"], "processing");
    (url, order.header("location").to_owned())
}

#[tokio::test]
async fn a_challenge_that_has_no_turn_stays_processing_and_is_tried_again_by_itself() {
    let world = World::new().await;
    let server = world
        .start_with(|config| {
            config.hold = Duration::ZERO;
            config.validation.concurrency = 1;
            config.validation.turn_timeout = Duration::ZERO;
        })
        .await;
    let (mut busy, mut client) = (server.client().await, server.client().await);
    world.web.close();
    let (_, held) = answer_one(&world, &mut busy, "a.localhost").await;
    world.web.came(1).await;
    let (url, order) = answer_one(&world, &mut client, "b.localhost").await;
    assert_eq!(server.acme.take_up().await.unwrap(), 0, "it is not due");
    world.clock.advance(Duration::from_mins(1));
    taken_up(&server).await;
    assert_eq!(client.get(&url).await.ok()["status"], "processing");
    assert_eq!(client.get(&order).await.ok()["status"], "pending");
    world.web.open();
    world.until(&mut busy, &held, "ready").await;
    // Whether it had its turn when the other one was done, or is put off again.
    while client.get(&order).await.ok()["status"] != "ready" {
        world.clock.advance(Duration::from_mins(1));
        server.acme.take_up().await.unwrap();
        tokio::task::yield_now().await;
    }
    assert_eq!(server.acme.take_up().await.unwrap(), 0, "nothing is left");
}

#[tokio::test]
async fn a_challenge_of_a_gateway_that_is_gone_is_taken_up_by_another_once() {
    let world = World::new().await;
    let (one, other) = (world.start().await, world.start().await);
    world.web.close();
    let server = world.start_with(|config| config.hold = Duration::ZERO).await;
    let (mut client, order) = {
        let world = world.clone();
        crash(async move {
            let mut client = server.client().await;
            let (_, order) = answer_one(&world, &mut client, "a.localhost").await;
            (client, order)
        })
        .await
    };
    world.web.open();
    client.reconnect(one.router.clone());
    assert_eq!(one.acme.take_up().await.unwrap(), 0, "it could still be going on");
    world.clock.advance(Duration::from_mins(1));
    let (first, second) = tokio::join!(one.acme.take_up(), other.acme.take_up());
    assert_eq!(first.unwrap() + second.unwrap(), 1);
    world.until(&mut client, &order, "ready").await;
    assert_eq!(world.audited("acme.challenge.validate").len(), 1);
}

#[tokio::test]
async fn a_challenge_that_had_no_turn_until_it_expired_is_invalid() {
    let world = World::new().await;
    let server = world
        .start_with(|config| {
            config.hold = Duration::ZERO;
            config.validation.concurrency = 1;
            config.validation.turn_timeout = Duration::ZERO;
        })
        .await;
    let (mut busy, mut client) = (server.client().await, server.client().await);
    world.web.close();
    answer_one(&world, &mut busy, "a.localhost").await;
    world.web.came(1).await;
    let (url, _) = answer_one(&world, &mut client, "b.localhost").await;
    world.clock.advance(Duration::from_hours(8 * 24));
    taken_up(&server).await;
    let found = world.until(&mut client, &url, "invalid").await;
    let detail = found["error"]["detail"].as_str().unwrap();
    assert!(detail.contains("too many validations"), "{detail}");
    assert_eq!(world.web.requests(), 1);
}

/// A client whose order was finalized at a gateway that crashed over it, and the order's URL.
async fn finalized_and_crashed(world: &World) -> (Client, String) {
    let server = world.start_with(|config| config.hold = Duration::ZERO).await;
    let mut client = Client::new(server.router.clone());
    client.register().await;
    let order = steps::order(&mut client, &["a.localhost"]).await.header("location").to_owned();
    let authorization = client.get(&order).await.json()["authorizations"][0].clone();
    let found = client.get(authorization.as_str().unwrap()).await.json();
    let challenge = steps::challenge(&found, "http-01");
    world.web.show(challenge["token"].as_str().unwrap(), &client.key.thumbprint());
    client.post(challenge["url"].as_str().unwrap(), &json!({})).await.ok();
    world.until(&mut client, &order, "ready").await;
    // Nothing is issued while nothing can be audited.
    world.audit.refuse(true);
    let csr = steps::csr_for(&["a.localhost"]);
    let order_url = order.clone();
    let client = crash(async move {
        let answer = steps::finalize(&mut client, &order_url, &csr).await;
        assert_eq!(answer.ok()["status"], "processing");
        drop(server);
        client
    })
    .await;
    world.audit.refuse(false);
    (client, order)
}

#[tokio::test]
async fn a_finalization_that_a_crash_interrupted_is_taken_up() {
    let world = World::new().await;
    let (mut client, order) = finalized_and_crashed(&world).await;
    let server = world.start().await;
    client.reconnect(server.router.clone());
    assert_eq!(client.get(&order).await.ok()["status"], "processing");
    assert_eq!(server.acme.resume().await.unwrap(), 1);
    let done = world.until(&mut client, &order, "valid").await;
    let chain = client.get(done["certificate"].as_str().unwrap()).await;
    assert!(chain.body.starts_with(b"-----BEGIN CERTIFICATE-----"));
}

#[tokio::test]
async fn a_finalization_of_a_gateway_that_is_gone_is_taken_up_by_another_once() {
    let world = World::new().await;
    let (one, other) = (world.start().await, world.start().await);
    let (mut client, order) = finalized_and_crashed(&world).await;
    client.reconnect(one.router.clone());
    // Longer than a gateway may take over it.
    world.clock.advance(Duration::from_mins(10));
    let (first, second) = tokio::join!(one.acme.take_up(), other.acme.take_up());
    assert_eq!(first.unwrap() + second.unwrap(), 1);
    world.until(&mut client, &order, "valid").await;
}

#[tokio::test]
async fn nonces_from_before_a_restart_are_bad_nonces() {
    let world = World::new().await;
    let mut client = world.start().await.client().await;
    let header = client.header(&url("new-order")).await;
    let body = client.key.jws(&header, &steps::names(&["a.localhost"]).to_string()).to_string();
    let server = world.start().await;
    client.reconnect(server.router.clone());
    client.send(&url("new-order"), &body).await.is_problem(400, "badNonce");
    steps::order(&mut client, &["a.localhost"]).await;
}
