//! What earlier versions of the gateway stored: authorizations in records of their own, in whichever state or when
//! they were valid.

use std::time::Duration;

use chancery_records::Fence;
use chancery_store::{Commit, Key, Store as _};
use serde_json::{Value, json};

use crate::client::{Client, url};
use crate::steps;
use crate::world::World;

const ORDER: &str = "019c2a00000070008000000000000001";
const FIRST: &str = "019c2a00000070008000000000000009";
const SECOND: &str = "019c2a00000070008000000000000002";

async fn put(world: &World, key: &str, value: &str) {
    let key = Key::new(format!("default/acme/{key}")).unwrap();
    let commit = Commit::new().put(key, value.to_owned());
    world.store.commit(commit).await.unwrap();
}

fn authorization(account: &str, id: &str, name: &str, status: &str, more: &Value) -> String {
    let mut record = json!({
        "status": status, "id": id, "account": account, "order": ORDER,
        "identifier": {"type": "dns", "value": name},
        "created": "2026-03-01T12:00:00Z", "expires": "2026-03-08T12:00:00Z",
        "offers": [
            {"kind": "http-01", "token": format!("token-of-{name}")},
            {"kind": "dns-01", "token": format!("other-of-{name}")},
        ],
    });
    for (key, value) in more.as_object().unwrap() {
        record[key] = value.clone();
    }
    record.to_string()
}

/// A pending order for `a.localhost` and `b.localhost`, as version 0.1 had it; its URL.
async fn pending_order(world: &World, client: &Client, second: (&str, Value)) -> String {
    let account = client.account.as_ref().unwrap().rsplit('/').next().unwrap();
    let order = json!({
        "status": "pending", "id": ORDER, "account": account,
        "identifiers": [
            {"type": "dns", "value": "a.localhost"}, {"type": "dns", "value": "b.localhost"},
        ],
        "authorizations": [FIRST, SECOND], "profile": "tls-server",
        "not_before": null, "not_after": null,
        "created": "2026-03-01T12:00:00Z", "expires": "2026-03-08T12:00:00Z",
        "validated": {},
    });
    put(world, &format!("order/{ORDER}"), &order.to_string()).await;
    put(world, &format!("order-of/{account}/{ORDER}"), "").await;
    let first = authorization(account, FIRST, "a.localhost", "pending", &json!({}));
    put(world, &format!("authorization/{FIRST}"), &first).await;
    let (status, more) = second;
    let second = authorization(account, SECOND, "b.localhost", status, &more);
    put(world, &format!("authorization/{SECOND}"), &second).await;
    world.web.show("token-of-a.localhost", &client.key.thumbprint());
    world.web.show("token-of-b.localhost", &client.key.thumbprint());
    url(&format!("order/{ORDER}"))
}

#[tokio::test]
async fn an_order_of_an_earlier_version_goes_its_way_under_the_same_urls() {
    let world = World::new().await;
    let server = world.start().await;
    let mut client = server.client().await;
    let order = pending_order(&world, &client, ("pending", json!({}))).await;
    let found = client.get(&order).await.ok();
    let authorizations = [FIRST, SECOND].map(|id| url(&format!("authz/{id}")));
    assert_eq!(found["authorizations"], json!(authorizations));
    let first = client.get(&authorizations[0]).await.ok();
    assert_eq!(first["challenges"][0]["token"], "token-of-a.localhost", "what clients have shown");
    assert_eq!(steps::authorize(&world, &mut client, &order).await["status"], "ready");
    assert_eq!(client.get(&authorizations[1]).await.ok()["status"], "valid");
    let csr = steps::csr_for(&["a.localhost", "b.localhost"]);
    assert_eq!(steps::finalize(&mut client, &order, &csr).await.ok()["status"], "valid");
    let answer = client.post(&authorizations[1], &json!({"status": "deactivated"})).await;
    assert_eq!(answer.ok()["status"], "deactivated");
    assert_eq!(client.get(&authorizations[1]).await.ok()["status"], "deactivated");
}

#[tokio::test]
async fn a_challenge_that_an_earlier_version_began_is_taken_up() {
    let world = World::new().await;
    let server = world.start().await;
    let mut client = server.client().await;
    let order = pending_order(&world, &client, ("validating", json!({"chosen": "http-01"}))).await;
    put(&world, &format!("unfinished/authorization/{SECOND}"), "").await;
    assert_eq!(server.acme.resume().await.unwrap(), 1);
    let second = url(&format!("authz/{SECOND}"));
    world.until(&mut client, &second, "valid").await;
    assert_eq!(client.get(&order).await.ok()["status"], "pending");
    let left = world.store.scan(b"default/acme/unfinished/", None, 10).await.unwrap();
    assert!(left.is_empty(), "{left:?}");
    assert_eq!(steps::authorize(&world, &mut client, &order).await["status"], "ready");
}

#[tokio::test]
async fn a_challenge_of_an_earlier_version_that_is_not_met_ends_the_order() {
    let world = World::new().await;
    let server = world.start().await;
    let mut client = server.client().await;
    let order = pending_order(&world, &client, ("pending", json!({}))).await;
    let first = url(&format!("authz/{FIRST}"));
    let found = client.get(&first).await.ok();
    let dns = steps::challenge(&found, "dns-01")["url"].as_str().unwrap().to_owned();
    let answer = client.post(&dns, &json!({})).await.ok();
    assert_eq!(answer["status"], "invalid", "no server answers");
    assert_eq!(client.get(&first).await.ok()["status"], "invalid");
    let found = client.get(&order).await.ok();
    assert_eq!(found["status"], "invalid");
    assert!(found["error"]["detail"].as_str().unwrap().contains("a.localhost"), "{found}");
}

#[tokio::test]
async fn orders_and_accounts_of_an_earlier_version_are_deleted_when_they_are_over() {
    let world = World::new().await;
    let server = world.start().await;
    let mut client = server.client().await;
    let order = pending_order(&world, &client, ("pending", json!({}))).await;
    // Earlier versions did not write down when to look at them.
    for record in world.store.scan(b"default/acme/account-due/", None, 10).await.unwrap() {
        world.store.commit(Commit::new().delete(record.key)).await.unwrap();
    }
    let day = Duration::from_hours(24);
    assert_eq!(server.acme.sweep(&Fence::none()).await.unwrap(), 0);
    world.clock.advance((day * 38).saturating_sub(Duration::from_secs(1)));
    assert_eq!(
        server.acme.sweep(&Fence::none()).await.unwrap(),
        0,
        "an authorization may count until now"
    );
    client.get(&order).await.ok();
    world.clock.advance(Duration::from_secs(1));
    assert_eq!(server.acme.sweep(&Fence::none()).await.unwrap(), 1);
    client.get(&order).await.is_problem(404, "malformed");
    let left = world.store.scan(b"default/acme/authorization/", None, 10).await.unwrap();
    assert!(left.is_empty(), "{left:?}");
    // Whether the account had orders before is not known: it counts as if it had.
    world.clock.advance(day * 361);
    server.acme.sweep(&Fence::none()).await.unwrap();
    let own = client.account.clone().unwrap();
    client.post(&own, &json!({})).await.ok();
    world.clock.advance(day * 2);
    server.acme.sweep(&Fence::none()).await.unwrap();
    client.post(&own, &json!({})).await.is_problem(400, "accountDoesNotExist");
}

/// An order for `a.localhost` and `b.localhost` that is ready, with its authorizations in records of their own; its
/// URL.
async fn ready_order(world: &World, client: &Client) -> String {
    let account = client.account.as_ref().unwrap().rsplit('/').next().unwrap();
    let order = json!({
        "status": "ready", "id": ORDER, "account": account,
        "identifiers": [
            {"type": "dns", "value": "a.localhost"}, {"type": "dns", "value": "b.localhost"},
        ],
        "tokens": "A".repeat(43), "profile": "tls-server",
        "created": "2026-03-01T12:00:00Z", "expires": "2026-03-02T00:00:00Z",
        "progress": {"0": {"proved": "http-01"}, "1": {"proved": "http-01"}},
    });
    put(world, &format!("order/{ORDER}"), &order.to_string()).await;
    put(world, &format!("order-of/{account}/{ORDER}"), "").await;
    let until = "2026-03-31T12:00:00Z";
    for (place, name) in ["a", "b"].iter().enumerate() {
        let own = json!({
            "chosen": "http-01", "validated": "2026-03-01T12:00:00.123456Z", "until": until,
        });
        put(world, &format!("authorization/{ORDER}{place:04x}"), &own.to_string()).await;
        let proof = json!({ "until": until }).to_string();
        put(world, &format!("authorized/{account}/dns:{name}.localhost"), &proof).await;
    }
    url(&format!("order/{ORDER}"))
}

/// What is left of authorizations and proofs where earlier versions had them.
async fn apart(world: &World) -> usize {
    let mut count = 0;
    for prefix in ["default/acme/authorization/", "default/acme/authorized/"] {
        count += world.store.scan(prefix.as_bytes(), None, 10).await.unwrap().len();
    }
    count
}

#[tokio::test]
async fn authorizations_that_became_valid_before_count_and_change_as_others_do() {
    let world = World::new().await;
    let server = world.start().await;
    let mut client = server.client().await;
    let order = ready_order(&world, &client).await;
    let first = url(&format!("authz/{ORDER}0000"));
    let found = client.get(&first).await.ok();
    assert_eq!(
        (&found["status"], &found["expires"]),
        (&json!("valid"), &json!("2026-03-31T12:00:00Z"))
    );
    assert_eq!(found["challenges"][0]["validated"], "2026-03-01T12:00:00Z");
    let csr = steps::csr_for(&["a.localhost", "b.localhost"]);
    assert_eq!(steps::finalize(&mut client, &order, &csr).await.ok()["status"], "valid");
    assert_eq!(apart(&world).await, 4);
    let answer = client.post(&first, &json!({"status": "deactivated"})).await.ok();
    assert_eq!(answer["status"], "deactivated");
    assert_eq!(client.get(&first).await.ok()["status"], "deactivated");
    assert_eq!(apart(&world).await, 2, "the proof is gone, and the rest is in the order");
    assert_eq!(client.get(&url(&format!("authz/{ORDER}0001"))).await.ok()["status"], "valid");
}

#[tokio::test]
async fn authorizations_that_became_valid_before_go_with_their_order() {
    let world = World::new().await;
    let server = world.start().await;
    let client = server.client().await;
    ready_order(&world, &client).await;
    assert_eq!(server.acme.sweep(&Fence::none()).await.unwrap(), 0);
    world.clock.advance(Duration::from_hours(31 * 24 + 12));
    assert_eq!(server.acme.sweep(&Fence::none()).await.unwrap(), 1);
    assert_eq!(apart(&world).await, 0);
}

#[tokio::test]
async fn a_certificate_that_an_earlier_version_was_making_is_made() {
    let world = World::new().await;
    let server = world.start().await;
    let mut client = server.client().await;
    let url = ready_order(&world, &client).await;
    let key = Key::new(format!("default/acme/order/{ORDER}")).unwrap();
    let record = world.store.get(&key).await.unwrap().unwrap();
    let mut order: Value = serde_json::from_slice(&record.value).unwrap();
    order["status"] = json!("processing");
    order["csr"] = json!(steps::csr_for(&["a.localhost", "b.localhost"]));
    put(&world, &format!("order/{ORDER}"), &order.to_string()).await;
    put(&world, &format!("unfinished/order/{ORDER}"), r#"{"due":"2026-03-01T12:10:00Z"}"#).await;
    // Of one that was done in the meantime.
    put(&world, &format!("unfinished/order/{SECOND}"), "").await;
    assert_eq!(server.acme.resume().await.unwrap(), 1);
    world.until(&mut client, &url, "valid").await;
    for prefix in ["default/acme/unfinished/", "default/acme/issuance-due/"] {
        let left = world.store.scan(prefix.as_bytes(), None, 10).await.unwrap();
        assert!(left.is_empty(), "{left:?}");
    }
}

/// Somebody who can write the store put them there.
#[tokio::test]
async fn what_is_no_entry_of_what_is_due_is_removed_and_does_not_end_the_sweep() {
    let world = World::new().await;
    let server = world.start().await;
    let mut client = server.client().await;
    let order = steps::order(&mut client, &["a.localhost"]).await.header("location").to_owned();
    server.acme.sweep(&Fence::none()).await.unwrap();
    let keys = async |prefix: &str| {
        let prefix = format!("default/acme/{prefix}/");
        world.store.keys(prefix.as_bytes(), None, 10).await.unwrap()
    };
    let own = [keys("order-due").await, keys("account-due").await, keys("order-of").await];
    for key in own.iter().flatten() {
        world.store.commit(Commit::new().delete(key.clone())).await.unwrap();
    }
    for forged in [
        "order-due/000000a2/e65z",
        "order-due/!0/x",
        "order-due/0000000000000001/x",
        "account-due/!0/x",
        "order/broken",
        "account/broken",
    ] {
        put(&world, forged, "").await;
    }
    // The entries of orders and accounts follow from them, at the next start of all that have none too.
    let tenant = "default".parse().unwrap();
    chancery_acme::reindex(&world.store, &tenant, world.clock.now()).await.unwrap();
    assert_eq!(keys("order-of").await, own[2]);
    world.store.commit(Commit::new().delete(Key::new("default/acme/due").unwrap())).await.unwrap();
    assert_eq!(server.acme.sweep(&Fence::none()).await.unwrap(), 0);
    for due in [keys("order-due").await, keys("account-due").await] {
        assert!(
            !due.is_empty() && due.iter().all(|key| !key.to_string().ends_with("/x")),
            "{due:?}"
        );
    }
    world.clock.advance(Duration::from_hours(48));
    assert_eq!(server.acme.sweep(&Fence::none()).await.unwrap(), 1);
    client.get(&order).await.is_problem(404, "malformed");
}
