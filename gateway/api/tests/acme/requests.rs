//! Signed requests that are wrong (RFC 8555 §6).

use axum::body::Body;
use chancery_api::BodyError;
use futures_util::stream;
use http::{Method, Request};
use serde_json::json;

use crate::client::{BASE, Client, SigningKey, exchange, plain, url};
use crate::steps;
use crate::world::World;

#[tokio::test]
async fn every_kind_of_account_key_works() {
    let world = World::new().await;
    let server = world.start().await;
    for key in [SigningKey::p256(), SigningKey::p384(), SigningKey::rsa(), SigningKey::ed25519()] {
        let mut client = Client::with_key(server.router.clone(), key);
        client.register().await;
        let order = steps::order(&mut client, &["a.localhost"]).await;
        steps::authorize(&world, &mut client, order.header("location")).await;
        assert_eq!(client.get(order.header("location")).await.json()["status"], "ready");
    }
}

#[tokio::test]
async fn exact_url() {
    let world = World::new().await;
    let mut client = world.start().await.client().await;
    for signed in [
        format!("{BASE}/acme/new-order/"),
        format!("{BASE}/acme/new-order?x"),
        "https://other.test:8443/acme/new-order".to_owned(),
        "http://acme.test:8443/acme/new-order".to_owned(),
        "/acme/new-order".to_owned(),
        url("new-account"),
    ] {
        let header = client.header(&signed).await;
        let body = client.key.jws(&header, &steps::names(&["a.localhost"]).to_string());
        let answer = client.send(&url("new-order"), &body.to_string()).await;
        answer.is_problem(401, "unauthorized");
    }
}

#[tokio::test]
async fn a_request_without_host_or_with_a_strange_one_is_malformed() {
    let world = World::new().await;
    let server = world.start().await;
    for host in [None, Some("a@b")] {
        let mut request = Request::post("/acme/new-order");
        if let Some(host) = host {
            request = request.header("host", host);
        }
        let request = request.header("content-type", "application/jose+json");
        let answer = exchange(&server.router, request.body(Body::from("{}")).unwrap()).await;
        answer.is_problem(400, "malformed");
    }
}

/// The listener breaks off bodies that are too slow or find no room.
#[tokio::test]
async fn a_body_that_was_broken_off_is_told_so() {
    let world = World::new().await;
    let server = world.start().await;
    for (error, status, kind) in
        [(BodyError::TooSlow, 408, "malformed"), (BodyError::NoRoom, 503, "serverInternal")]
    {
        let broken = Body::from_stream(stream::iter([Ok("{"), Err(error)]));
        let request = Request::post("/acme/new-order")
            .header("host", BASE.trim_start_matches("https://"))
            .header("content-type", "application/jose+json");
        let answer = exchange(&server.router, request.body(broken).unwrap()).await;
        answer.is_problem(status, kind);
    }
}

#[tokio::test]
async fn only_application_jose_json() {
    let world = World::new().await;
    let mut client = world.start().await.client().await;
    for other in ["application/json", "text/plain", "", "application/jose"] {
        let header = client.header(&url("new-order")).await;
        let body = client.key.jws(&header, &steps::names(&["a.localhost"]).to_string());
        let answer = client.send_as(&url("new-order"), &body.to_string(), other).await;
        answer.is_problem(415, "malformed");
    }
    let header = client.header(&url("new-order")).await;
    let body = client.key.jws(&header, &steps::names(&["a.localhost"]).to_string());
    let with_parameter = "Application/JOSE+json; charset=utf-8";
    let answer = client.send_as(&url("new-order"), &body.to_string(), with_parameter).await;
    assert_eq!(answer.status, 201);
}

#[tokio::test]
async fn malformed_jws_are_malformed() {
    let world = World::new().await;
    let mut client = world.start().await.client().await;
    let good = {
        let header = client.header(&url("new-order")).await;
        client.key.jws(&header, "{}")
    };
    let mut with_header = good.clone();
    with_header["header"] = json!({"kid": "x"});
    let mut without_signature = good.clone();
    without_signature.as_object_mut().unwrap().remove("signature");
    let mut bad_base64 = good;
    bad_base64["payload"] = json!("a+b/");
    for body in [
        String::new(),
        "null".to_owned(),
        "[]".to_owned(),
        "\u{0}".to_owned(),
        "[".repeat(60_000),
        with_header.to_string(),
        without_signature.to_string(),
        bad_base64.to_string(),
    ] {
        client.send(&url("new-order"), &body).await.is_problem(400, "malformed");
    }
    client.post_text(&url("new-order"), "{\"identifiers\":").await.is_problem(400, "malformed");
    let deep = format!("{{\"identifiers\":{}", "[".repeat(40_000));
    client.post_text(&url("new-order"), &deep).await.is_problem(400, "malformed");
}

#[tokio::test]
async fn oversized_bodies_are_413() {
    let world = World::new().await;
    let mut client = world.start().await.client().await;
    let answer = client.post_text(&url("new-order"), &"x".repeat(70_000)).await;
    answer.is_problem(413, "malformed");
}

#[tokio::test]
async fn a_wrong_key_a_foreign_algorithm_and_a_private_key_are_told_apart() {
    let world = World::new().await;
    let server = world.start().await;
    let mut client = server.client().await;
    // Somebody else's signature under this account.
    let header = client.header(&url("new-order")).await;
    let body = SigningKey::p256().jws(&header, "{}").to_string();
    client.send(&url("new-order"), &body).await.is_problem(400, "malformed");
    // An algorithm that nobody accepts: the answer lists those that are.
    let mut header = client.header(&url("new-order")).await;
    header["alg"] = json!("HS256");
    let body = client.key.jws(&header, "{}").to_string();
    let answer = client.send(&url("new-order"), &body).await;
    answer.is_problem(400, "badSignatureAlgorithm");
    assert_eq!(answer.json()["algorithms"], json!(["ES256", "ES384", "RS256", "EdDSA"]));
    // A key with its private part.
    let mut anew = Client::new(server.router.clone());
    let mut header = anew.header(&url("new-account")).await;
    header["jwk"]["d"] = json!("AAAA");
    let body = anew.key.jws(&header, "{}").to_string();
    anew.send(&url("new-account"), &body).await.is_problem(400, "badPublicKey");
}

#[tokio::test]
async fn jwk_for_new_accounts_and_kid_for_everything_else() {
    let world = World::new().await;
    let server = world.start().await;
    let mut client = server.client().await;
    client.post(&url("new-account"), &json!({})).await.is_problem(400, "malformed");
    let account = client.account.take();
    client.post(&url("new-order"), &json!({})).await.is_problem(400, "malformed");
    for unknown in [
        url("account/00000000000000000000000000000000"),
        url("account/"),
        "https://other.test/acme/account/1".to_owned(),
        "x".to_owned(),
    ] {
        client.account = Some(unknown);
        let answer = client.post(&url("new-order"), &json!({})).await;
        answer.is_problem(400, "accountDoesNotExist");
    }
    client.account = account;
    assert_eq!(client.post(&url("new-order"), &steps::names(&["a.localhost"])).await.status, 201);
}

#[tokio::test]
async fn a_request_is_good_once() {
    let world = World::new().await;
    let mut client = world.start().await.client().await;
    let header = client.header(&url("new-order")).await;
    let body = client.key.jws(&header, &steps::names(&["a.localhost"]).to_string()).to_string();
    assert_eq!(client.send(&url("new-order"), &body).await.status, 201);
    client.send(&url("new-order"), &body).await.is_problem(400, "badNonce");
}

#[tokio::test]
async fn a_nonce_that_is_no_base64url_is_malformed() {
    let world = World::new().await;
    let mut client = world.start().await.client().await;
    for (nonce, kind) in [
        ("not base64url!", "malformed"),
        ("a+b/", "malformed"),
        ("AAAA", "badNonce"),
        ("", "badNonce"),
    ] {
        let mut header = client.header(&url("new-order")).await;
        header["nonce"] = json!(nonce);
        let body = client.key.jws(&header, "{}").to_string();
        client.send(&url("new-order"), &body).await.is_problem(400, kind);
    }
}

#[tokio::test]
async fn a_key_that_does_not_go_with_the_algorithm_is_a_bad_public_key() {
    let world = World::new().await;
    let server = world.start().await;
    let mut client = Client::with_key(server.router.clone(), SigningKey::p384());
    let mut header = client.header(&url("new-account")).await;
    header["alg"] = json!("ES256");
    let body = client.key.jws(&header, "{}").to_string();
    client.send(&url("new-account"), &body).await.is_problem(400, "badPublicKey");
    // Of an account, the key is settled: another algorithm may be chosen.
    client.register().await;
    let mut header = client.header(&url("new-order")).await;
    header["alg"] = json!("ES256");
    let body = client.key.jws(&header, "{}").to_string();
    client.send(&url("new-order"), &body).await.is_problem(400, "badSignatureAlgorithm");
}

#[tokio::test]
async fn members_of_a_jws_that_nobody_knows_are_ignored() {
    let world = World::new().await;
    let mut client = world.start().await.client().await;
    let header = client.header(&url("new-order")).await;
    let mut body = client.key.jws(&header, &steps::names(&["a.localhost"]).to_string());
    body["extension"] = json!({"of": ["somebody"]});
    client.send(&url("new-order"), &body.to_string()).await.ok();
}

#[tokio::test]
async fn url_and_nonce_are_looked_at_before_the_key() {
    let world = World::new().await;
    let server = world.start().await;
    let mut client = Client::new(server.router.clone());
    let huge = json!({"kty": "RSA", "e": "AQAB", "n": "w".repeat(8_000)});
    // All three are wrong; then two; then one.
    let mut header = client.header(&url("new-order")).await;
    header["jwk"] = huge.clone();
    header["alg"] = json!("RS256");
    header["nonce"] = json!("AAAA");
    let body = client.key.jws(&header, "{}").to_string();
    client.send(&url("new-account"), &body).await.is_problem(401, "unauthorized");
    header["url"] = json!(url("new-account"));
    let body = client.key.jws(&header, "{}").to_string();
    client.send(&url("new-account"), &body).await.is_problem(400, "badNonce");
    header["nonce"] = json!(client.nonce.take().unwrap());
    let body = client.key.jws(&header, "{}").to_string();
    client.send(&url("new-account"), &body).await.is_problem(400, "badPublicKey");
}

#[tokio::test]
async fn directory_and_nonce_are_there_by_post_as_get_too() {
    let world = World::new().await;
    let server = world.start().await;
    let mut client = server.client().await;
    let read = plain(&server.router, Method::GET, "/acme/directory").await.json();
    assert_eq!(client.get(&url("directory")).await.ok(), read);
    let answer = client.get(&url("new-nonce")).await;
    assert_eq!(answer.status, 204);
    assert_eq!(answer.header("cache-control"), "no-store");
    for resource in ["directory", "new-nonce"] {
        client.post(&url(resource), &json!({})).await.is_problem(400, "malformed");
        client.send(&url(resource), "{}").await.is_problem(400, "malformed");
    }
}

#[tokio::test]
async fn scripts_of_other_origins_are_let_in_where_the_configuration_names_them() {
    let world = World::new().await;
    let origin = "https://app.example";
    let request = |method: &str, path: &str, origin: &str| {
        let request = Request::builder().method(method).uri(path).header("host", "acme.test:8443");
        let request = request.header("origin", origin);
        let request = match method {
            "OPTIONS" => request.header("access-control-request-method", "POST"),
            _ => request,
        };
        request.body(Body::empty()).unwrap()
    };
    let closed = world.start().await;
    let answer = exchange(&closed.router, request("GET", "/acme/directory", origin)).await;
    assert!(answer.headers.keys().all(|name| !name.as_str().starts_with("access-control")));
    let answer = exchange(&closed.router, request("OPTIONS", "/acme/new-order", origin)).await;
    answer.is_problem(405, "malformed");

    let change = |config: &mut chancery_acme::AcmeConfig| {
        config.allowed_origins = vec![origin.to_owned()];
    };
    let open = world.start_with(change).await;
    let answer = exchange(&open.router, request("OPTIONS", "/acme/new-order", origin)).await;
    assert_eq!(answer.status, 204);
    assert_eq!(answer.header("access-control-allow-origin"), origin);
    assert_eq!(answer.header("access-control-allow-methods"), "GET, HEAD, POST");
    assert_eq!(answer.header("access-control-allow-headers"), "Content-Type");
    // Errors are for scripts to read, too.
    for (method, path, status) in [
        ("GET", "/acme/directory", 200),
        ("HEAD", "/acme/new-nonce", 200),
        ("POST", "/acme/new-order", 415),
    ] {
        let answer = exchange(&open.router, request(method, path, origin)).await;
        assert_eq!(answer.status, status, "{method} {path}");
        assert_eq!(answer.header("access-control-allow-origin"), origin);
        let exposed = answer.header("access-control-expose-headers");
        assert_eq!(exposed, "Link, Location, Replay-Nonce, Retry-After");
        assert!(answer.headers.get("access-control-allow-credentials").is_none());
    }
    let other = request("GET", "/acme/directory", "https://other.example");
    let answer = exchange(&open.router, other).await;
    assert!(answer.headers.get("access-control-allow-origin").is_none());
}
