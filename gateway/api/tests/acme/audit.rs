//! Every operation leaves a line, and without the line there is no answer.

use std::time::Duration;

use chancery_store::Store as _;
use serde_json::{Value, json};

use crate::client::{Client, url};
use crate::steps;
use crate::world::World;

#[tokio::test]
async fn each_operation_leaves_one_line_that_names_the_account() {
    let world = World::new().await;
    let mut client = world.start().await.client().await;
    let own = client.account.clone().unwrap();
    let id = own.rsplit('/').next().unwrap();
    steps::certificate(&world, &mut client, &["a.localhost"]).await;
    client.post(&own, &json!({"contact": ["mailto:a@example.com"]})).await.ok();
    client.post(&own, &json!({"status": "deactivated"})).await.ok();
    let operations: Vec<_> = world
        .audit
        .lines()
        .into_iter()
        .filter(|line| line["operation"].as_str().unwrap().starts_with("acme."))
        .inspect(|line| {
            assert_eq!(line["actor"]["account"], id, "{line}");
            assert_eq!(line["outcome"]["result"], "success", "{line}");
            assert_eq!(line["actor"]["address"], "127.0.0.1", "{line}");
        })
        .map(|line| line["operation"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(
        operations,
        [
            "acme.account.create",
            "acme.order.create",
            "acme.challenge.validate",
            "acme.order.finalize",
            "acme.account.update",
            "acme.account.deactivate",
        ]
    );
}

#[tokio::test]
async fn a_client_that_hangs_up_does_not_leave_an_operation_unrecorded() {
    let world = World::new().await;
    let mut client = world.start().await.client().await;
    let target = url("new-order");
    let header = client.header(&target).await;
    let body = client.key.jws(&header, &steps::names(&["a.localhost"]).to_string()).to_string();
    {
        let answer = std::pin::pin!(client.send(&target, &body));
        // Once is enough to be on its way to the policies, and not to be back.
        assert!(futures_util::poll!(answer).is_pending());
    }
    let recorded = async {
        while world.audited("acme.order.create").is_empty() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_mins(1), recorded).await.expect("it is never recorded");
    let line = &world.audited("acme.order.create")[0];
    assert_eq!(line["outcome"]["result"], "success", "{line}");
    let orders = world.store.scan(b"default/acme/order/", None, 10).await.unwrap();
    assert_eq!(orders.len(), 1, "what is recorded is there");
}

#[tokio::test]
async fn creating_accounts_and_orders_carries_what_the_policies_said() {
    let world = World::new().await;
    let mut client = world.start().await.client().await;
    steps::order(&mut client, &["a.localhost"]).await;
    for operation in ["acme.account.create", "acme.order.create"] {
        let line = &world.audited(operation)[0];
        let decision = &line["decisions"][0];
        assert_eq!(decision["binding"], "access", "{line}");
        assert_eq!(decision["outcome"], "allow", "{line}");
        assert!(decision["digest"].as_str().unwrap().starts_with("sha256:"), "{line}");
    }
}

#[tokio::test]
async fn without_an_audit_line_there_is_no_answer() {
    let world = World::new().await;
    let server = world.start().await;
    let mut client = server.client().await;
    world.audit.refuse(true);
    let answer = client.post(&url("new-order"), &steps::names(&["a.localhost"])).await;
    answer.is_problem(500, "serverInternal");
    let mut anew = Client::new(server.router.clone());
    anew.post(&url("new-account"), &json!({})).await.is_problem(500, "serverInternal");
}

/// The lines of an operation that was refused with this code.
#[track_caller]
fn refused<'a>(lines: &'a [Value], operation: &str, code: &str) -> &'a Value {
    let found = lines.iter().find(|line| {
        line["operation"] == operation
            && line["outcome"]["result"] == "denied"
            && line["outcome"]["code"] == code
    });
    found.unwrap_or_else(|| panic!("no line of {operation} denied with {code} in {lines:#?}"))
}

#[tokio::test]
async fn an_order_that_is_refused_leaves_a_line_that_says_why() {
    let world = World::new().await;
    let mut client = world.start().await.client().await;
    let mut unknown = steps::names(&["a.localhost"]);
    unknown["profile"] = json!("nonsense");
    let mut past = steps::names(&["a.localhost"]);
    past["notAfter"] = json!("2001-01-01T00:00:00Z");
    for (payload, code, names) in [
        (steps::names(&["not a name"]), "rejected-identifier", "not a name"),
        (unknown, "invalid-profile", "a.localhost"),
        (past, "malformed", "a.localhost"),
        (steps::names(&["forbidden.localhost"]), "denied-by-rule", "forbidden.localhost"),
    ] {
        let answer = client.post(&url("new-order"), &payload).await;
        assert!(answer.status.is_client_error(), "{code}");
        let lines = world.audited("acme.order.create");
        let line = refused(&lines, "acme.order.create", code);
        assert_eq!(line["resource"], names, "{line}");
        assert!(line["actor"]["account"].is_string(), "{line}");
        assert!(!line["details"]["reason"].as_str().unwrap().is_empty(), "{line}");
    }
}

#[tokio::test]
async fn finalizing_and_revoking_in_vain_leave_lines() {
    let world = World::new().await;
    let server = world.start().await;
    let (mut client, mut other) = (server.client().await, server.client().await);
    let order = steps::ready_order(&world, &mut client, &["a.localhost"]).await;
    let foreign = steps::csr_for(&["b.localhost"]);
    steps::finalize(&mut client, &order, &foreign).await.is_problem(400, "badCSR");
    steps::finalize(&mut other, &order, &foreign).await.is_problem(404, "malformed");
    let lines = world.audited("acme.order.finalize");
    let line = refused(&lines, "acme.order.finalize", "bad-csr");
    assert_eq!(line["details"]["order"], order.rsplit('/').next().unwrap(), "{line}");
    refused(&lines, "acme.order.finalize", "not-found");

    let chain = steps::certificate(&world, &mut client, &["a.localhost"]).await;
    let leaf = chancery_x509::pem::certificates(&chain).unwrap().remove(0);
    let serial = chancery_x509::ParsedCertificate::from_der(&leaf).unwrap().serial().to_string();
    let certificate = chancery_acme::jws::base64url::encode(&leaf);
    let of = |reason: u64| json!({"certificate": certificate, "reason": reason});
    other.post(&url("revoke-cert"), &of(0)).await.is_problem(403, "unauthorized");
    client.post(&url("revoke-cert"), &of(6)).await.is_problem(400, "badRevocationReason");
    let lines = world.audited("certificates.revoke");
    let line = refused(&lines, "certificates.revoke", "unauthorized");
    assert_eq!(
        line["actor"]["account"],
        other.account.as_ref().unwrap().rsplit('/').next().unwrap()
    );
    let line = refused(&lines, "certificates.revoke", "bad-revocation-reason");
    assert_eq!((&line["resource"], &line["details"]["asked"]), (&json!(serial), &json!(6)));
}

#[tokio::test]
async fn a_refused_change_of_an_account_or_an_authorization_leaves_a_line() {
    let world = World::new().await;
    let server = world.start().await;
    let (mut client, mut other) = (server.client().await, server.client().await);
    let own = client.account.clone().unwrap();
    let bad = json!({"contact": ["tel:+1"]});
    client.post(&own, &bad).await.is_problem(400, "unsupportedContact");
    other.post(&own, &json!({})).await.is_problem(403, "unauthorized");
    let mut third = Client::new(server.router.clone());
    third.post(&url("new-account"), &bad).await.is_problem(400, "unsupportedContact");
    let order = steps::order(&mut client, &["a.localhost"]).await.ok();
    let authorization = order["authorizations"][0].as_str().unwrap();
    let challenge =
        steps::challenge(&client.get(authorization).await.ok(), "http-01")["url"].clone();
    let given_up = json!({"status": "deactivated"});
    other.post(authorization, &given_up).await.is_problem(404, "malformed");
    other.post(challenge.as_str().unwrap(), &json!({})).await.is_problem(404, "malformed");
    let lines = world.audit.lines();
    for (operation, code) in [
        ("acme.account.update", "unsupported-contact"),
        ("acme.account.use", "unauthorized"),
        ("acme.account.create", "unsupported-contact"),
        ("acme.authorization.deactivate", "not-found"),
        ("acme.challenge.respond", "not-found"),
    ] {
        refused(&lines, operation, code);
    }
}

#[tokio::test]
async fn a_signature_that_is_not_the_account_s_is_on_record_as_its() {
    let world = World::new().await;
    let server = world.start().await;
    let mut client = server.client().await;
    let own = client.account.clone().unwrap();
    let id = own.rsplit('/').next().unwrap();
    let mut thief = Client::new(server.router.clone());
    thief.account = Some(own.clone());
    assert!(thief.post(&own, &json!({})).await.status.is_client_error());
    let lines = world.audited("acme.authenticate");
    assert_eq!(refused(&lines, "acme.authenticate", "bad-signature")["actor"]["account"], id);
    client.post(&own, &json!({"status": "deactivated"})).await.ok();
    client.post(&own, &json!({})).await.is_problem(401, "unauthorized");
    refused(&world.audited("acme.authenticate"), "acme.authenticate", "account-deactivated");
}

#[tokio::test]
async fn wrong_signatures_do_not_fill_the_log_and_are_counted() {
    let world = World::new().await;
    let server = world.start().await;
    let mut client = server.client().await;
    let own = client.account.clone().unwrap();
    let mut thief = Client::new(server.router.clone());
    thief.account = Some(own.clone());
    world.comes_from("192.0.2.7");
    for _ in 0..130 {
        assert_eq!(thief.post(&own, &json!({})).await.status, 400);
    }
    assert_eq!(world.audited("acme.authenticate").len(), 100);
    // Others have their lines, and what is allowed has its own.
    world.comes_from("192.0.2.8");
    assert_eq!(thief.post(&own, &json!({})).await.status, 400);
    assert_eq!(world.audited("acme.authenticate").len(), 101);
    world.comes_from("192.0.2.7");
    client.post(&own, &json!({"contact": ["mailto:a@example.com"]})).await.ok();
    assert_eq!(world.audited("acme.account.update").len(), 1);
    world.clock.advance(Duration::from_hours(1));
    assert_eq!(thief.post(&own, &json!({})).await.status, 400);
    let lines = world.audited("acme.authenticate");
    assert_eq!(lines.len(), 102);
    let line = refused(&lines[101..], "acme.authenticate", "bad-signature");
    assert_eq!(line["details"]["left_out"], 30, "{line}");
}

#[tokio::test]
async fn what_was_allowed_and_could_not_be_stored_keeps_its_decision() {
    let world = World::new().await;
    let mut client = world.start().await.client().await;
    world.store.set_full(true);
    let answer = client.post(&url("new-order"), &steps::names(&["a.localhost"])).await;
    answer.is_problem(503, "serverInternal");
    let line = &world.audited("acme.order.create")[0];
    assert_eq!(line["outcome"], json!({"result": "failed", "code": "internal"}), "{line}");
    assert_eq!(line["decisions"][0]["outcome"], "allow", "{line}");
}

#[tokio::test]
async fn a_request_that_comes_second_for_the_same_new_account_is_on_record_too() {
    let world = World::new().await;
    let server = world.start().await;
    let target = url("new-account");
    // Until two of one key get as far as the store together.
    for _ in 0..1000 {
        let mut one = Client::new(server.router.clone());
        let mut other = Client::new(server.router.clone());
        let mut bodies = Vec::new();
        for _ in 0..2 {
            let header = one.header(&target).await;
            bodies.push(one.key.jws(&header, "{}").to_string());
        }
        let (first, second) =
            tokio::join!(one.send(&target, &bodies[0]), other.send(&target, &bodies[1]));
        assert_eq!(first.header("location"), second.header("location"));
        let id = first.header("location").rsplit('/').next().unwrap();
        let lines = world.audited("acme.account.create");
        let lines: Vec<_> = lines.iter().filter(|line| line["actor"]["account"] == id).collect();
        let Some(line) = lines.iter().find(|line| line["details"]["existing"] == true) else {
            continue;
        };
        assert_eq!(lines.len(), 2, "{lines:#?}");
        assert_eq!(line["outcome"]["result"], "success", "{line}");
        assert_eq!(line["decisions"][0]["outcome"], "allow", "{line}");
        return;
    }
    panic!("no two requests for one account ever met");
}
