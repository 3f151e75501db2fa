//! What is wrong with a request is said in the words of JSON and of ACME, with its place, and never in those of this
//! program or its libraries.

use http::Method;
use serde_json::{Value, json};

use crate::client::{Answer, Client, plain, url};
use crate::steps;
use crate::strange;
use crate::world::World;

/// What only programmers of this one know, beside what no API says.
const STRANGE: [&str; 4] = ["unit", "Path {", "Asked", "`None`"];

fn assert_plain(answer: &Answer, about: &str) {
    let text = String::from_utf8_lossy(&answer.body);
    if answer.status.is_success() {
        return;
    }
    answer.problem();
    strange::assert_plain(&text, about, &STRANGE);
}

fn wrong() -> [Value; 9] {
    [
        json!(null),
        json!(true),
        json!(7),
        json!(-1.5),
        json!("text"),
        json!([["hunter2"]]),
        json!([7]),
        json!({"hunter2": 1}),
        json!([{"type": ["hunter2"], "value": 7}, [], {"type": "dns"}]),
    ]
}

#[tokio::test]
async fn members_of_the_wrong_kind_are_named_in_plain_english() {
    let world = World::new().await;
    let mut client = world.start().await.client().await;
    let order = steps::order(&mut client, &["a.localhost"]).await;
    let location = order.header("location").to_owned();
    let authorization = order.json()["authorizations"][0].as_str().unwrap().to_owned();
    let found = client.get(&authorization).await.json();
    let challenge = steps::challenge(&found, "http-01")["url"].as_str().unwrap().to_owned();
    let account = client.account.clone().unwrap();
    let finalize = format!("{location}/finalize");
    let resources = [
        (url("new-order"), &["identifiers", "notBefore", "notAfter", "profile"][..]),
        (account, &["contact", "status", "termsOfServiceAgreed"]),
        (url("revoke-cert"), &["certificate", "reason"]),
        (url("key-change"), &["protected", "payload", "signature"]),
        (finalize, &["csr"]),
        (authorization, &["status"]),
        (challenge, &["anything"]),
        (location, &["anything"]),
        (url("directory"), &["anything"]),
    ];
    for (resource, members) in resources {
        for payload in wrong() {
            let about = format!("{resource} {payload}");
            assert_plain(&client.post(&resource, &payload).await, &about);
        }
        for (member, value) in members.iter().flat_map(|member| wrong().map(|v| (member, v))) {
            let mut payload = json!({});
            if resource.ends_with("new-order") {
                payload["identifiers"] = json!([{"type": "dns", "value": "a.localhost"}]);
            }
            payload[member] = value;
            let about = format!("{resource} {payload}");
            assert_plain(&client.post(&resource, &payload).await, &about);
        }
    }
    let answer = client
        .post(&url("new-order"), &json!({"identifiers": [{"type": "dns", "value": 7}]}))
        .await;
    let detail = answer.json()["detail"].as_str().unwrap().to_owned();
    assert!(detail.contains("`identifiers[0].value` must be a string"), "{detail}");
}

#[tokio::test]
async fn new_accounts_and_headers_of_the_wrong_kind_too() {
    let world = World::new().await;
    let server = world.start().await;
    let mut client = Client::new(server.router.clone());
    let members =
        ["contact", "onlyReturnExisting", "termsOfServiceAgreed", "externalAccountBinding"];
    for (member, value) in members.iter().flat_map(|member| wrong().map(|value| (member, value))) {
        let payload = json!({ *member: value });
        let answer = client.post(&url("new-account"), &payload).await;
        assert_plain(&answer, &payload.to_string());
    }
    for (member, value) in ["alg", "nonce", "url", "jwk", "kid", "crit", "b64"]
        .iter()
        .flat_map(|member| wrong().map(|value| (member, value)))
    {
        let mut header = client.header(&url("new-account")).await;
        header[member] = value;
        let body = client.key.jws(&header, "{}").to_string();
        assert_plain(&client.send(&url("new-account"), &body).await, &header.to_string());
    }
    for (member, value) in ["kty", "crv", "x", "y", "n", "e", "d"]
        .iter()
        .flat_map(|member| wrong().map(|value| (member, value)))
    {
        let mut header = client.header(&url("new-account")).await;
        header["jwk"][member] = value;
        let body = client.key.jws(&header, "{}").to_string();
        assert_plain(&client.send(&url("new-account"), &body).await, &header.to_string());
    }
    for (member, value) in ["protected", "payload", "signature", "header", "signatures"]
        .iter()
        .flat_map(|member| wrong().map(|value| (member, value)))
    {
        let header = client.header(&url("new-account")).await;
        let mut body = client.key.jws(&header, "{}");
        body[member] = value;
        assert_plain(&client.send(&url("new-account"), &body.to_string()).await, &body.to_string());
    }
}

#[tokio::test]
async fn odd_urls_are_resources_that_are_not_there() {
    let world = World::new().await;
    let server = world.start().await;
    let mut client = server.client().await;
    for path in [
        "order/%ff",
        "authz/%ff",
        "account/%ff",
        "certificate/%ff",
        "challenge/%ff/%fe",
        "order/%00",
        "none",
    ] {
        let answer = client.get(&url(path)).await;
        answer.is_problem(404, "malformed");
        assert_plain(&answer, path);
    }
    let account = client.account.clone().unwrap();
    for query in ["after=%ff", "after=x", "after=1&after=2", "after[]=1", "after"] {
        let answer = client.get(&format!("{account}/orders?{query}")).await;
        assert_plain(&answer, query);
    }
    for method in [Method::GET, Method::PUT, Method::DELETE] {
        assert_plain(&plain(&server.router, method, "/acme/new-order").await, "method");
    }
}

/// RFC 8555 §7.3.4: a CA may choose not to verify the binding, and must not show it then.
#[tokio::test]
async fn an_external_account_binding_is_not_shown_as_if_it_had_been_verified() {
    let world = World::new().await;
    let server = world.start().await;
    let mut client = Client::new(server.router.clone());
    let directory = plain(&server.router, Method::GET, "/acme/directory").await.json();
    assert!(directory["meta"].get("externalAccountRequired").is_none(), "{directory}");
    let binding = json!({"protected": "e30", "payload": "e30", "signature": "AA"});
    let payload = json!({"termsOfServiceAgreed": true, "externalAccountBinding": binding});
    let made = client.post(&url("new-account"), &payload).await;
    assert_eq!(made.status, 201);
    assert!(made.json().get("externalAccountBinding").is_none(), "{}", made.json());
}

/// RFC 8555 §6.7.1: each name with what is wrong with it, so that clients can leave it out.
#[tokio::test]
async fn odd_names_are_rejected_one_by_one() {
    let world = World::new().await;
    let mut client = world.start().await.client().await;
    let odd = [
        ("dns", "a_b.localhost", "letters, digits"),
        ("dns", "a.localhost.", "dot"),
        ("dns", "x.onion", "onion-csr-01"),
        ("dns", "1.2.0.192.in-addr.arpa", "identifier type `ip`"),
        ("dns", "*.com", "suffix"),
        ("dns", "192.0.2.1", "identifier type `ip`"),
        ("ip", "0.0.0.0", "no host"),
        ("ip", "::", "no host"),
        ("ip", "224.0.0.1", "no host"),
        ("ip", "255.255.255.255", "no host"),
        ("ip", "2001:DB8::1", "written as `2001:db8::1`"),
        ("ip", "a.localhost", "not an IP address"),
    ];
    for (kind, value, why) in odd {
        let identifiers =
            json!([{"type": "dns", "value": "a.localhost"}, {"type": kind, "value": value}]);
        let answer = client.post(&url("new-order"), &json!({ "identifiers": identifiers })).await;
        answer.is_problem(400, "rejectedIdentifier");
        let body = answer.json();
        let [one] = body["subproblems"].as_array().unwrap().as_slice() else { panic!("{body}") };
        assert_eq!(one["identifier"], json!({"type": kind, "value": value}));
        assert!(one["detail"].as_str().unwrap().contains(why), "{one}");
    }
    // A private CA may have hosts of these names; they have to be proved, and policy decides.
    for fine in ["com", "db", "router.home.arpa"] {
        assert_eq!(
            client.post(&url("new-order"), &steps::names(&[fine])).await.status,
            201,
            "{fine}"
        );
    }
    for (contact, kind) in [
        ("mailto:a@b@c", "invalidContact"),
        ("mailto:a@b..c", "invalidContact"),
        ("tel:+1", "unsupportedContact"),
    ] {
        let account = client.account.clone().unwrap();
        let answer = client.post(&account, &json!({"contact": [contact]})).await;
        answer.is_problem(400, kind);
    }
}
