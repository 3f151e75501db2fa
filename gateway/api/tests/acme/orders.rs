//! RFC 8555 §7.4, and draft-ietf-acme-profiles.

use std::time::Duration;

use chancery_identity::{IdentityRules, TenantId, Tenants};
use chancery_records::Fence;
use chancery_store::Store as _;
use serde_json::json;

use crate::client::url;
use crate::steps;
use crate::world::World;

#[tokio::test]
async fn names_are_lowered_and_taken_once() {
    let world = World::new().await;
    let mut client = world.start().await.client().await;
    let order =
        steps::order(&mut client, &["A.Localhost", "a.localhost", "b.localhost"]).await.json();
    assert_eq!(
        order["identifiers"],
        json!([{"type": "dns", "value": "a.localhost"}, {"type": "dns", "value": "b.localhost"}])
    );
    assert_eq!(order["authorizations"].as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn a_mapped_ipv4_address_is_the_ipv4_address_to_clients_policies_and_the_audit_log() {
    let world = World::new().await;
    let mut client = world.start().await.client().await;
    let ip = |value: &str| json!({"type": "ip", "value": value});
    let asked = json!({"identifiers": [ip("::ffff:127.0.0.1"), ip("127.0.0.1")]});
    let order = client.post(&url("new-order"), &asked).await.ok();
    assert_eq!(order["identifiers"], json!([ip("127.0.0.1")]));
    let line = world.audited("acme.order.create").pop().unwrap().to_string();
    assert!(line.contains("127.0.0.1") && !line.contains("::ffff"), "{line}");
}

#[tokio::test]
async fn a_wildcard_is_authorized_for_its_base_by_dns_only() {
    let world = World::new().await;
    let mut client = world.start().await.client().await;
    let order = steps::order(&mut client, &["*.a.localhost", "a.localhost"]).await.json();
    let wildcard = client.get(order["authorizations"][0].as_str().unwrap()).await.ok();
    assert_eq!(wildcard["identifier"], json!({"type": "dns", "value": "a.localhost"}));
    assert_eq!(wildcard["wildcard"], true);
    let kinds: Vec<_> =
        wildcard["challenges"].as_array().unwrap().iter().map(|one| &one["type"]).collect();
    assert_eq!(kinds, ["dns-01"]);
    let plain = client.get(order["authorizations"][1].as_str().unwrap()).await.ok();
    assert!(plain.get("wildcard").is_none());
    assert_eq!(plain["challenges"].as_array().unwrap().len(), 3);
}

#[tokio::test]
async fn every_bad_name_is_named_in_a_subproblem() {
    let world = World::new().await;
    let mut client = world.start().await.client().await;
    let answer =
        client.post(&url("new-order"), &steps::names(&["a.localhost", "a_b.c", "x..y"])).await;
    answer.is_problem(400, "rejectedIdentifier");
    let problem = answer.json();
    let names: Vec<_> = problem["subproblems"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["identifier"]["value"].as_str().unwrap())
        .collect();
    assert_eq!(names, ["a_b.c", "x..y"]);
    let foreign = json!({"identifiers": [{"type": "email", "value": "a@b"}]});
    let answer = client.post(&url("new-order"), &foreign).await;
    answer.is_problem(400, "unsupportedIdentifier");
}

#[tokio::test]
async fn orders_that_make_no_sense_are_malformed() {
    let world = World::new().await;
    let mut client = world.start_with(|config| config.max_identifiers = 2).await.client().await;
    let one = [json!({"type": "dns", "value": "a.localhost"})];
    for payload in [
        json!({}),
        json!({"identifiers": []}),
        json!({"identifiers": null}),
        json!({"identifiers": [{"type": "dns"}]}),
        json!({"identifiers": [["dns", "a.localhost"]]}),
        json!([one, null, null, null]),
        json!({"identifiers": "a.localhost"}),
        json!({"identifiers": one, "notAfter": "tomorrow"}),
        json!({"identifiers": one, "notAfter": "2026-02-28T00:00:00Z"}),
        json!({"identifiers": one, "notBefore": "2026-03-03T00:00:00Z",
               "notAfter": "2026-03-02T00:00:00Z"}),
        steps::names(&["a.localhost", "b.localhost", "c.localhost"]),
    ] {
        client.post(&url("new-order"), &payload).await.is_problem(400, "malformed");
    }
}

#[tokio::test]
async fn a_policy_may_refuse_the_names() {
    let world = World::new().await;
    let mut client = world.start().await.client().await;
    let payload = steps::names(&["a.localhost", "x.forbidden.localhost"]);
    let answer = client.post(&url("new-order"), &payload).await;
    answer.is_problem(403, "rejectedIdentifier");
    let lines = world.audited("acme.order.create");
    assert_eq!(lines.len(), 1);
    assert_eq!(lines[0]["outcome"]["result"], "denied");
    assert_eq!(lines[0]["resource"], "a.localhost,x.forbidden.localhost");
    assert_eq!(lines[0]["decisions"][0]["binding"], "access");
}

#[tokio::test]
async fn profiles_are_chosen_by_name_and_an_unknown_one_is_invalid_profile() {
    let world = World::new().await;
    let mut client = world.start().await.client().await;
    let mut payload = steps::names(&["a.localhost"]);
    payload["profile"] = json!("nonsense");
    let answer = client.post(&url("new-order"), &payload).await;
    answer.is_problem(400, "invalidProfile");
    assert!(answer.json()["detail"].as_str().unwrap().contains("tls-server"));
    payload["profile"] = json!("short");
    let order = client.post(&url("new-order"), &payload).await;
    assert_eq!(order.ok()["profile"], "short");
    let default = client.post(&url("new-order"), &steps::names(&["a.localhost"])).await;
    assert_eq!(default.ok()["profile"], "tls-server");
}

#[tokio::test]
async fn an_order_is_its_account_s_only() {
    let world = World::new().await;
    let server = world.start().await;
    let (mut client, mut other) = (server.client().await, server.client().await);
    let order = steps::order(&mut client, &["a.localhost"]).await;
    let location = order.header("location").to_owned();
    let authorization = order.json()["authorizations"][0].as_str().unwrap().to_owned();
    let challenge = steps::challenge(&client.get(&authorization).await.json(), "http-01");
    other.get(&location).await.is_problem(404, "malformed");
    other.get(&authorization).await.is_problem(404, "malformed");
    let respond = other.post(challenge["url"].as_str().unwrap(), &json!({})).await;
    respond.is_problem(404, "malformed");
    let csr = steps::csr_for(&["a.localhost"]);
    steps::finalize(&mut other, &location, &csr).await.is_problem(404, "malformed");
    other
        .post(&authorization, &json!({"status": "deactivated"}))
        .await
        .is_problem(404, "malformed");
}

#[tokio::test]
async fn unfinished_orders_expire() {
    let world = World::new().await;
    let mut client = world.start().await.client().await;
    let order = steps::order(&mut client, &["a.localhost"]).await;
    assert_eq!(order.json()["expires"], "2026-03-02T00:00:00Z");
    let authorization = order.json()["authorizations"][0].as_str().unwrap().to_owned();
    let challenge = steps::challenge(&client.get(&authorization).await.json(), "http-01");
    world.clock.advance(Duration::from_hours(12 + 1));
    let found = client.get(order.header("location")).await.ok();
    assert_eq!(found["status"], "invalid");
    assert!(found["error"]["detail"].as_str().unwrap().contains("expired"));
    assert_eq!(client.get(&authorization).await.ok()["status"], "invalid");
    // And it is too late to begin.
    let answer = client.post(challenge["url"].as_str().unwrap(), &json!({})).await;
    assert_eq!(answer.ok()["status"], "pending");
    assert_eq!(world.web.requests(), 0);
}

#[tokio::test]
async fn an_account_s_orders_are_listed_in_pages() {
    let world = World::new().await;
    let server = world.start_with(|config| config.limits.pending_orders_per_account = 0).await;
    let (mut client, mut other) = (server.client().await, server.client().await);
    let own = client.account.clone().unwrap();
    let mut made = Vec::new();
    for _ in 0..101 {
        world.clock.advance(Duration::from_millis(1));
        let order = steps::order(&mut client, &["a.localhost"]).await;
        made.push(json!(order.header("location")));
    }
    let first = client.get(&format!("{own}/orders")).await;
    assert_eq!(first.ok()["orders"], json!(made[..100]));
    let next =
        first.headers.get_all("link").iter().find_map(|link| {
            link.to_str().unwrap().strip_suffix(">;rel=\"next\"")?.strip_prefix('<')
        });
    let last = client.get(next.unwrap()).await;
    assert_eq!(last.ok()["orders"], json!(made[100..]));
    assert!(
        last.headers.get_all("link").iter().all(|link| !link.to_str().unwrap().contains("next"))
    );
    other.get(&format!("{own}/orders")).await.is_problem(403, "unauthorized");
}

#[tokio::test]
async fn what_is_not_stored_is_not_acknowledged() {
    let world = World::new().await;
    let mut client = world.start().await.client().await;
    world.store.set_full(true);
    let answer = client.post(&url("new-order"), &steps::names(&["a.localhost"])).await;
    answer.is_problem(503, "serverInternal");
    world.store.set_full(false);
    let orders = world.store.scan(b"default/acme/order/", None, 10).await.unwrap();
    assert!(orders.is_empty());
    steps::order(&mut client, &["a.localhost"]).await;
}

#[tokio::test]
async fn work_of_a_tenant_that_came_by_a_reload_is_swept_too() {
    let world = World::new().await;
    let tenants = Tenants::new([]);
    let team: TenantId = "team".parse().unwrap();
    let server = world
        .start_with(|config| (config.tenant, config.tenants) = (team.clone(), tenants.clone()))
        .await;
    let mut client = server.client().await;
    steps::order(&mut client, &["a.localhost"]).await;
    let stored = world.store.scan(b"team/acme/order/", None, 10).await.unwrap();
    assert_eq!(
        stored.len(),
        1,
        "clients without a certificate are the tenant's that is configured"
    );
    world.clock.advance(Duration::from_hours(37 * 24 + 1));
    assert_eq!(server.acme.sweep(&Fence::none()).await.unwrap(), 0);
    tenants.replace([team], IdentityRules::default());
    assert_eq!(server.acme.sweep(&Fence::none()).await.unwrap(), 1);
}

#[tokio::test]
async fn dead_orders_are_deleted_in_the_end_and_live_ones_are_not() {
    let world = World::new().await;
    let server = world.start().await;
    let mut client = server.client().await;
    let done = steps::ready_order(&world, &mut client, &["a.localhost"]).await;
    steps::finalize(&mut client, &done, &steps::csr_for(&["a.localhost"])).await.ok();
    steps::order(&mut client, &["b.localhost"]).await;
    world.clock.advance(Duration::from_hours(36) + Duration::from_secs(1));
    assert_eq!(server.acme.sweep(&Fence::none()).await.unwrap(), 1, "the one that nobody finished");
    client.get(&done).await.ok();
    world.clock.advance(Duration::from_hours(30 * 24));
    let young = steps::order(&mut client, &["c.localhost"]).await.header("location").to_owned();
    assert_eq!(
        server.acme.sweep(&Fence::none()).await.unwrap(),
        1,
        "its authorization has ended too"
    );
    assert_eq!(server.acme.sweep(&Fence::none()).await.unwrap(), 0);
    client.get(&done).await.is_problem(404, "malformed");
    client.get(&young).await.ok();
    for (kind, left) in [
        ("order", 1),
        ("order-of", 1),
        ("order-due", 1),
        ("authorization", 0),
        ("proof", 0),
        ("unfinished", 0),
        ("issuance-due", 0),
    ] {
        let prefix = format!("default/acme/{kind}/");
        let found = world.store.scan(prefix.as_bytes(), None, 10).await.unwrap();
        assert_eq!(found.len(), left, "{kind}");
    }
}

#[tokio::test]
async fn orders_that_came_to_nothing_are_not_listed() {
    let world = World::new().await;
    let mut client = world.start().await.client().await;
    let own = client.account.clone().unwrap();
    let mut made = Vec::new();
    for n in 0..3 {
        world.clock.advance(Duration::from_millis(1));
        let order = steps::order(&mut client, &["a.localhost"]).await;
        made.push(order.header("location").to_owned());
        if n == 1 {
            // Given up.
            let given_up = order.json()["authorizations"][0].as_str().unwrap().to_owned();
            client.post(&given_up, &json!({"status": "deactivated"})).await.ok();
        }
    }
    let listed = client.get(&format!("{own}/orders")).await.ok();
    assert_eq!(listed["orders"], json!([made[0], made[2]]));
    // It is there all the same for a client that knows it.
    assert_eq!(client.get(&made[1]).await.ok()["status"], "invalid");
    world.clock.advance(Duration::from_hours(24 * 8));
    assert_eq!(client.get(&format!("{own}/orders")).await.ok()["orders"], json!([]));
}

#[tokio::test]
async fn wildcards_right_below_public_suffixes_are_refused_when_they_are_ordered() {
    let world = World::new().await;
    let mut client = world.start().await.client().await;
    for refused in ["*.com", "*.co.uk", "xn--0.example", "*.xn--p1ai"] {
        let answer = client.post(&url("new-order"), &steps::names(&[refused])).await;
        answer.is_problem(400, "rejectedIdentifier");
    }
    steps::order(&mut client, &["*.lan", "*.intranet", "com", "*.github.io"]).await;
}

#[tokio::test]
async fn names_that_the_public_suffix_list_does_not_have_can_be_ruled_out() {
    let world = World::new().await;
    let server = world.start_with(|config| config.names.unlisted = false).await;
    let mut client = server.client().await;
    for refused in ["a.lan", "*.lan", "a.localhost"] {
        let answer = client.post(&url("new-order"), &steps::names(&[refused])).await;
        answer.is_problem(400, "rejectedIdentifier");
        assert!(answer.json()["detail"].as_str().unwrap().contains("unlisted_names"));
    }
    steps::order(&mut client, &["a.example.com"]).await;
}

#[tokio::test]
async fn dates_that_cannot_be_certified_are_refused_when_they_are_ordered() {
    let world = World::new().await;
    let mut client = world.start().await.client().await;
    let with_dates = |not_before: Option<&str>, not_after: Option<&str>| {
        let mut payload = steps::names(&["a.localhost"]);
        payload["notBefore"] = json!(not_before);
        payload["notAfter"] = json!(not_after);
        payload
    };
    for (not_before, not_after) in [
        (Some("2026-03-01T11:00:00Z"), None),
        (None, Some("2026-03-01T12:00:00Z")),
        (Some("2026-03-02T12:00:00Z"), Some("2026-03-02T12:00:00Z")),
    ] {
        let answer = client.post(&url("new-order"), &with_dates(not_before, not_after)).await;
        answer.is_problem(400, "malformed");
    }
    let good = with_dates(Some("2026-03-01T11:59:00Z"), Some("2026-03-01T13:00:00Z"));
    client.post(&url("new-order"), &good).await.ok();
}
