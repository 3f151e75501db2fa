//! RFC 8555 §7.3.

use chancery_acme::jws::base64url;
use http::StatusCode;
use serde_json::json;

use crate::client::{Answer, Client, SigningKey, url};
use crate::steps;
use crate::world::World;

#[tokio::test]
async fn the_same_key_leads_to_the_same_account() {
    let world = World::new().await;
    let server = world.start().await;
    let mut client = Client::new(server.router.clone());
    let contact = json!({"contact": ["mailto:a@example.com"]});
    let made = client.post(&url("new-account"), &contact).await;
    assert_eq!(made.status, StatusCode::CREATED);
    assert_eq!(made.json()["contact"], json!(["mailto:a@example.com"]));
    for again in [json!({}), json!({"onlyReturnExisting": true})] {
        let found = client.post(&url("new-account"), &again).await;
        assert_eq!(found.status, StatusCode::OK);
        assert_eq!(found.header("location"), made.header("location"));
        assert_eq!(found.json(), made.json());
    }
}

#[tokio::test]
async fn only_return_existing_makes_none() {
    let world = World::new().await;
    let server = world.start().await;
    let mut client = Client::new(server.router.clone());
    let only = json!({"onlyReturnExisting": true, "contact": ["not looked at"]});
    client.post(&url("new-account"), &only).await.is_problem(400, "accountDoesNotExist");
    client.post(&url("new-account"), &only).await.is_problem(400, "accountDoesNotExist");
}

#[tokio::test]
async fn one_key_sent_twice_at_once_makes_one_account() {
    let world = World::new().await;
    let server = world.start().await;
    let mut client = Client::new(server.router.clone());
    let mut bodies = Vec::new();
    for _ in 0..8 {
        let header = client.header(&url("new-account")).await;
        bodies.push(client.key.jws(&header, "{}").to_string());
    }
    let mut tasks = Vec::new();
    for body in bodies {
        let mut sender = Client::new(server.router.clone());
        tasks.push(tokio::spawn(async move { sender.send(&url("new-account"), &body).await }));
    }
    let mut answers: Vec<Answer> = Vec::new();
    for task in tasks {
        answers.push(task.await.unwrap());
    }
    let created = answers.iter().filter(|answer| answer.status == StatusCode::CREATED).count();
    assert_eq!(created, 1);
    assert!(answers.iter().all(|one| one.header("location") == answers[0].header("location")));
}

#[tokio::test]
async fn contacts_are_checked() {
    let world = World::new().await;
    let server = world.start().await;
    for (contact, kind) in [
        ("tel:+123", "unsupportedContact"),
        ("a@example.com", "unsupportedContact"),
        ("mailto:a@example.com?subject=x", "invalidContact"),
        ("mailto:a@example.com,b@example.com", "invalidContact"),
    ] {
        let mut client = Client::new(server.router.clone());
        let answer = client.post(&url("new-account"), &json!({"contact": [contact]})).await;
        answer.is_problem(400, kind);
    }
    let mut client = server.client().await;
    let own = client.account.clone().unwrap();
    let answer = client.post(&own, &json!({"contact": ["tel:+1"]})).await;
    answer.is_problem(400, "unsupportedContact");
}

#[tokio::test]
async fn terms_must_be_agreed_to_where_there_are_some() {
    let world = World::new().await;
    let terms = "https://acme.test/terms";
    let server = world.start_with(|config| config.terms_of_service = Some(terms.to_owned())).await;
    let mut client = Client::new(server.router.clone());
    let answer = client.post(&url("new-account"), &json!({})).await;
    answer.is_problem(403, "userActionRequired");
    assert_eq!(answer.header("link"), format!("<{terms}>;rel=\"terms-of-service\""));
    client.register().await;
    let own = client.account.clone().unwrap();
    assert_eq!(client.get(&own).await.ok()["termsOfServiceAgreed"], true);
}

#[tokio::test]
async fn an_account_can_be_read_and_changed_by_itself_only() {
    let world = World::new().await;
    let server = world.start().await;
    let (mut client, mut other) = (server.client().await, server.client().await);
    let own = client.account.clone().unwrap();
    let changed = client.post(&own, &json!({"contact": ["mailto:b@example.com"]})).await;
    assert_eq!(changed.ok()["contact"], json!(["mailto:b@example.com"]));
    assert_eq!(client.get(&own).await.json(), changed.json());
    assert_eq!(client.post(&own, &json!({})).await.json(), changed.json());
    other.get(&own).await.is_problem(403, "unauthorized");
    other.post(&own, &json!({"status": "deactivated"})).await.is_problem(403, "unauthorized");
    // RFC 8555 §7.3.2: what else is asked for is ignored.
    let ignored = json!({"status": "revoked", "orders": "x", "termsOfServiceAgreed": null});
    assert_eq!(client.post(&own, &ignored).await.ok(), changed.json());
}

#[tokio::test]
async fn space_in_a_contact_is_dropped() {
    let world = World::new().await;
    let server = world.start().await;
    let mut client = Client::new(server.router.clone());
    // As getssl writes it.
    let asked = json!({"contact": ["mailto: a@example.com"], "termsOfServiceAgreed": true});
    let answer = client.post(&url("new-account"), &asked).await;
    assert_eq!(answer.ok()["contact"], json!(["mailto:a@example.com"]));
    client.account = Some(answer.header("location").to_owned());
    let own = client.account.clone().unwrap();
    let changed = client.post(&own, &json!({"contact": [" mailto:b@example.com "]})).await;
    assert_eq!(changed.ok()["contact"], json!(["mailto:b@example.com"]));
}

#[tokio::test]
async fn null_is_the_same_as_nothing() {
    let world = World::new().await;
    let server = world.start().await;
    let mut client = Client::new(server.router.clone());
    let asked = json!({"contact": null, "termsOfServiceAgreed": null, "onlyReturnExisting": null});
    let answer = client.post(&url("new-account"), &asked).await;
    assert_eq!(answer.ok()["status"], "valid");
    assert!(answer.json().get("termsOfServiceAgreed").is_none());
}

#[tokio::test]
async fn a_zero_in_front_of_an_rsa_modulus_makes_no_other_account() {
    let world = World::new().await;
    let server = world.start().await;
    let mut client = Client::with_key(server.router.clone(), SigningKey::rsa());
    client.register().await;
    let own = client.account.take().unwrap();
    let mut header = client.header(&url("new-account")).await;
    let modulus = base64url::decode(header["jwk"]["n"].as_str().unwrap()).unwrap();
    header["jwk"]["n"] = json!(base64url::encode([vec![0], modulus].concat()));
    let body = client.key.jws(&header, "{}").to_string();
    let answer = client.send(&url("new-account"), &body).await;
    assert_eq!((answer.status.as_u16(), answer.header("location")), (200, own.as_str()));
}

#[tokio::test]
async fn a_deactivated_account_is_over() {
    let world = World::new().await;
    let server = world.start().await;
    let mut client = server.client().await;
    let own = client.account.clone().unwrap();
    let order = steps::order(&mut client, &["a.localhost"]).await;
    let answer = client.post(&own, &json!({"status": "deactivated"})).await;
    assert_eq!(answer.ok()["status"], "deactivated");
    client.get(&own).await.is_problem(401, "unauthorized");
    client.get(order.header("location")).await.is_problem(401, "unauthorized");
    client.account = None;
    client.post(&url("new-account"), &json!({})).await.is_problem(401, "unauthorized");
}

/// The payload of a key change, signed by the new key.
pub(crate) fn key_change(client: &Client, new: &SigningKey, inner_url: &str) -> String {
    let header = json!({"alg": new.algorithm(), "jwk": new.jwk(), "url": inner_url});
    let payload = json!({"account": client.account, "oldKey": client.key.jwk()});
    new.jws(&header, &payload.to_string()).to_string()
}

#[tokio::test]
async fn on_key_change_inner_and_outer_url_are_equal_and_the_new_key_takes_over() {
    let world = World::new().await;
    let mut client = world.start().await.client().await;
    let own = client.account.clone().unwrap();
    let new = SigningKey::p384();
    let elsewhere = key_change(&client, &new, &url("new-order"));
    let answer = client.post_text(&url("key-change"), &elsewhere).await;
    answer.is_problem(401, "unauthorized");
    let change = key_change(&client, &new, &url("key-change"));
    client.post_text(&url("key-change"), &change).await.ok();
    client.get(&own).await.is_problem(400, "badSignatureAlgorithm");
    client.key = new;
    client.get(&own).await.ok();
}

#[tokio::test]
async fn a_key_that_has_an_account_cannot_be_taken_409_with_location() {
    let world = World::new().await;
    let server = world.start().await;
    let (mut client, other) = (server.client().await, server.client().await);
    let change = key_change(&client, &other.key, &url("key-change"));
    let answer = client.post_text(&url("key-change"), &change).await;
    answer.is_problem(409, "malformed");
    assert_eq!(answer.header("location"), other.account.unwrap());
}

#[tokio::test]
async fn a_key_change_that_names_another_account_or_old_key_is_refused() {
    let world = World::new().await;
    let server = world.start().await;
    let (mut client, other) = (server.client().await, server.client().await);
    let new = SigningKey::p256();
    let header = json!({"alg": "ES256", "jwk": new.jwk(), "url": url("key-change")});
    for payload in [
        json!({"account": other.account, "oldKey": client.key.jwk()}),
        json!({"account": client.account, "oldKey": other.key.jwk()}),
        json!({"account": client.account}),
    ] {
        let inner = new.jws(&header, &payload.to_string()).to_string();
        let answer = client.post_text(&url("key-change"), &inner).await;
        answer.is_problem(400, "malformed");
    }
}
