//! RFC 8555 §7.5 and §8.

use chancery_store::{Key, Store as _};
use http::Method;
use serde_json::json;

use crate::client::{Client, plain, url};
use crate::steps;
use crate::world::World;

#[tokio::test]
async fn the_order_is_ready_before_the_last_authorization_is_seen_valid() {
    let world = World::new().await;
    let mut client = world.start().await.client().await;
    let location = steps::ready_order(&world, &mut client, &["a.localhost", "b.localhost"]).await;
    let id = location.rsplit('/').next().unwrap();
    let key = Key::new(format!("default/acme/order/{id}")).unwrap();
    let order = world.store.get(&key).await.unwrap().unwrap();
    let own = world.store.scan(b"default/acme/authorization/", None, 10).await.unwrap();
    assert!(own.is_empty(), "both are one record: {own:?}");
    let proofs = world.store.scan(b"default/acme/proof/", None, 10).await.unwrap();
    let last = proofs.iter().map(|proof| proof.version).max();
    assert_eq!(last, Some(order.version), "one commit wrote the last proof as well");
}

#[tokio::test]
async fn a_challenge_that_is_not_met_ends_the_authorization_and_the_order() {
    let world = World::new().await;
    let mut client = world.start().await.client().await;
    let order = steps::order(&mut client, &["a.localhost", "b.localhost"]).await;
    let authorization = order.json()["authorizations"][0].as_str().unwrap().to_owned();
    let challenge = steps::challenge(&client.get(&authorization).await.json(), "http-01");
    let answer = client.post(challenge["url"].as_str().unwrap(), &json!({})).await.ok();
    assert_eq!(answer["status"], "invalid");
    assert_eq!(answer["error"]["type"], "urn:ietf:params:acme:error:incorrectResponse");
    let found = client.get(&authorization).await.ok();
    assert_eq!(found["status"], "invalid");
    assert_eq!(found["challenges"].as_array().unwrap().len(), 1, "only the one that was tried");
    let found = client.get(order.header("location")).await.ok();
    assert_eq!(found["status"], "invalid");
    assert!(found["error"]["detail"].as_str().unwrap().contains("a.localhost"), "{found}");
    let lines = world.audited("acme.challenge.validate");
    assert_eq!(lines[0]["outcome"], json!({"result": "failed", "code": "incorrect-response"}));
}

#[tokio::test]
async fn of_two_validations_of_one_authorization_at_once_one_wins() {
    let world = World::new().await;
    let server = world.start().await;
    let mut client = server.client().await;
    let order = steps::order(&mut client, &["a.localhost"]).await.json();
    let authorization = order["authorizations"][0].as_str().unwrap();
    let found = client.get(authorization).await.json();
    let http01 = steps::challenge(&found, "http-01");
    world.web.show(http01["token"].as_str().unwrap(), &client.key.thumbprint());
    let mut requests = Vec::new();
    for kind in ["http-01", "http-01", "http-01", "tls-alpn-01", "dns-01"] {
        let url = steps::challenge(&found, kind)["url"].as_str().unwrap().to_owned();
        let header = client.header(&url).await;
        requests.push((url, client.key.jws(&header, "{}").to_string()));
    }
    // The first one is under way when the others come.
    world.web.close();
    let mut tasks = Vec::new();
    for (url, body) in requests {
        let mut sender = Client::new(server.router.clone());
        tasks.push(tokio::spawn(async move { sender.send(&url, &body).await.ok() }));
    }
    world.until(&mut client, http01["url"].as_str().unwrap(), "processing").await;
    world.web.open();
    for task in tasks {
        task.await.unwrap();
    }
    world.until(&mut client, authorization, "valid").await;
    assert_eq!(world.web.requests(), 1);
    assert_eq!(world.audited("acme.challenge.validate").len(), 1);
}

#[tokio::test]
async fn answers_to_all_challenges_of_an_order_at_once_through_two_gateways_all_count() {
    let world = World::new().await;
    let servers = [world.start().await, world.start().await];
    let mut client = servers[0].client().await;
    let names: Vec<_> = (0..30).map(|number| format!("n{number}.localhost")).collect();
    let names: Vec<_> = names.iter().map(String::as_str).collect();
    let order = steps::order(&mut client, &names).await;
    let mut answers = Vec::new();
    for (at, authorization) in order.json()["authorizations"].as_array().unwrap().iter().enumerate()
    {
        let found = client.get(authorization.as_str().unwrap()).await.ok();
        let challenge = steps::challenge(&found, "http-01");
        world.web.show(challenge["token"].as_str().unwrap(), &client.key.thumbprint());
        let url = challenge["url"].as_str().unwrap().to_owned();
        let mut sender = Client::new(servers[at % 2].router.clone());
        let nonce = plain(&servers[at % 2].router, Method::HEAD, "/acme/new-nonce").await;
        client.nonce = Some(nonce.header("replay-nonce").to_owned());
        let header = client.header(&url).await;
        let body = client.key.jws(&header, "{}").to_string();
        client.nonce = None;
        answers.push(tokio::spawn(async move { sender.send(&url, &body).await.ok() }));
    }
    for answer in answers {
        assert_eq!(answer.await.unwrap()["status"], "valid");
    }
    assert_eq!(client.get(order.header("location")).await.ok()["status"], "ready");
    assert_eq!(world.web.requests(), 30);
    assert_eq!(world.audited("acme.challenge.validate").len(), 30);
    let left = world.store.scan(b"default/acme/unfinished/", None, 10).await.unwrap();
    assert!(left.is_empty(), "{left:?}");
    steps::finalize(&mut client, order.header("location"), &steps::csr_for(&names)).await.ok();
}

#[tokio::test]
async fn a_challenge_that_was_not_offered_is_not_found() {
    let world = World::new().await;
    let mut client = world.start().await.client().await;
    let order = steps::order(&mut client, &["*.a.localhost"]).await.json();
    let authorization = order["authorizations"][0].as_str().unwrap();
    let id = authorization.rsplit('/').next().unwrap();
    for kind in ["http-01", "tls-alpn-01", "device-attest-01", ""] {
        let answer = client.post(&url(&format!("challenge/{id}/{kind}")), &json!({})).await;
        answer.is_problem(404, "malformed");
    }
}

#[tokio::test]
async fn a_deactivated_authorization_takes_its_order_along() {
    let world = World::new().await;
    let mut client = world.start().await.client().await;
    let location = steps::ready_order(&world, &mut client, &["a.localhost"]).await;
    let order = client.get(&location).await.json();
    let authorization = order["authorizations"][0].as_str().unwrap();
    let answer = client.post(authorization, &json!({"status": "invalid"})).await;
    answer.is_problem(400, "malformed");
    let answer = client.post(authorization, &json!({"status": "deactivated"})).await;
    assert_eq!(answer.ok()["status"], "deactivated");
    assert_eq!(client.get(&location).await.ok()["status"], "invalid");
    let csr = steps::csr_for(&["a.localhost"]);
    steps::finalize(&mut client, &location, &csr).await.is_problem(403, "orderNotReady");
    let again = client.post(authorization, &json!({"status": "deactivated"})).await;
    assert_eq!(again.ok()["status"], "deactivated");
}
