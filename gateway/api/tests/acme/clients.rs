//! What broke clients of other servers.

use axum::body::Body;
use chancery_x509::{ParsedCertificate, pem};
use http::{Method, Request};
use serde_json::{Value, json};

use crate::client::{Answer, BASE, Client, exchange, plain, url};
use crate::steps;
use crate::world::World;

#[tokio::test]
async fn the_whole_way_to_a_certificate() {
    let world = World::new().await;
    let server = world.start().await;
    let mut client = server.client().await;
    let chain = steps::certificate(&world, &mut client, &["a.localhost", "b.localhost"]).await;
    let chain = pem::certificates(&chain).unwrap();
    let [leaf, issuer] = chain.as_slice() else { panic!("leaf and issuer, without the root") };
    let (leaf, issuer) =
        (ParsedCertificate::from_der(leaf).unwrap(), ParsedCertificate::from_der(issuer).unwrap());
    let names: Vec<_> = leaf.names().iter().map(ToString::to_string).collect();
    assert_eq!(names, ["dns:a.localhost", "dns:b.localhost"]);
    leaf.verify_signed_by(issuer.public_key().unwrap()).unwrap();
    let lifetime = leaf.not_after().duration_since(leaf.not_before());
    assert_eq!(lifetime.as_secs() + 1, 30 * 24 * 3600, "30 days, the last second included");
}

#[tokio::test]
async fn location_on_new_order_finalize_and_order_polls() {
    let world = World::new().await;
    let mut client = world.start().await.client().await;
    let location = steps::order(&mut client, &["a.localhost"]).await.header("location").to_owned();
    assert!(location.starts_with(&url("order/")), "{location}");
    assert_eq!(client.get(&location).await.header("location"), location);
    steps::authorize(&world, &mut client, &location).await;
    let csr = steps::csr_for(&["a.localhost"]);
    assert_eq!(steps::finalize(&mut client, &location, &csr).await.header("location"), location);
}

#[tokio::test]
async fn every_response_that_may_carries_a_fresh_replay_nonce_errors_included() {
    let world = World::new().await;
    let server = world.start().await;
    let mut client = server.client().await;
    let order = url("new-order");
    let mut answers = vec![
        plain(&server.router, Method::HEAD, "/acme/new-nonce").await,
        plain(&server.router, Method::GET, "/acme/new-nonce").await,
        plain(&server.router, Method::POST, "/acme/nothing").await,
        plain(&server.router, Method::PUT, "/acme/new-order").await,
    ];
    for (body, kind) in [
        ("{}".to_owned(), "application/json"),
        ("{".to_owned(), "application/jose+json"),
        (" ".repeat(70_000), "application/jose+json"),
    ] {
        answers.push(client.send_as(&order, &body, kind).await);
    }
    for payload in
        [steps::names(&["a.localhost"]), json!({}), steps::names(&["x.forbidden.localhost"])]
    {
        // The nonces that came are for later.
        client.nonce = None;
        answers.push(client.post(&order, &payload).await);
    }
    client.nonce = None;
    answers.push(client.get(&url("order/1")).await);
    let statuses: Vec<_> = answers.iter().map(|answer| answer.status.as_u16()).collect();
    assert_eq!(statuses, [200, 204, 404, 405, 415, 400, 413, 201, 400, 403, 404]);
    for answer in &answers {
        let nonce = answer.header("replay-nonce");
        let mut once = Client::new(server.router.clone());
        once.nonce = Some(nonce.to_owned());
        let used = once.post(&url("new-account"), &json!({})).await;
        assert_eq!(used.status, 201, "the nonce of {answer:?} is good");
        once.nonce = Some(nonce.to_owned());
        once.post(&url("new-account"), &json!({})).await.is_problem(400, "badNonce");
    }
}

#[tokio::test]
async fn bad_nonce_is_typed_400_and_the_fresh_one_helps() {
    let world = World::new().await;
    let mut client = world.start().await.client().await;
    for bad in ["", "AA", "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"] {
        client.nonce = Some(bad.to_owned());
        let payload = steps::names(&["a.localhost"]);
        client.post(&url("new-order"), &payload).await.is_problem(400, "badNonce");
        assert_eq!(client.post(&url("new-order"), &payload).await.status, 201);
    }
    let header = {
        let mut header = client.header(&url("new-order")).await;
        header.as_object_mut().unwrap().remove("nonce");
        header
    };
    let body = client.key.jws(&header, "{}").to_string();
    client.send(&url("new-order"), &body).await.is_problem(400, "badNonce");
}

/// Every JSON answer of a life with ACME.
async fn all_answers() -> Vec<Answer> {
    let world = World::new().await;
    let server = world.start().await;
    let mut client = Client::new(server.router.clone());
    let mut answers = vec![plain(&server.router, Method::GET, "/acme/directory").await];
    let account = client.post(&url("new-account"), &json!({})).await;
    client.account = Some(account.header("location").to_owned());
    let own = account.header("location").to_owned();
    answers.push(account);
    let order = steps::order(&mut client, &["a.localhost"]).await;
    let order_url = order.header("location").to_owned();
    let authorization = order.json()["authorizations"][0].as_str().unwrap().to_owned();
    answers.push(order);
    answers.push(client.get(&authorization).await);
    let found = client.get(&authorization).await.json();
    let http01 = steps::challenge(&found, "http-01");
    world.web.show(http01["token"].as_str().unwrap(), &client.key.thumbprint());
    answers.push(client.post(http01["url"].as_str().unwrap(), &json!({})).await);
    answers.push(client.get(&authorization).await);
    answers.push(client.get(&order_url).await);
    let csr = steps::csr_for(&["a.localhost"]);
    answers.push(steps::finalize(&mut client, &order_url, &csr).await);
    answers.push(client.get(&format!("{own}/orders")).await);
    // And what goes wrong.
    answers.push(steps::finalize(&mut client, &order_url, &csr).await);
    answers.push(client.post(&url("new-order"), &steps::names(&["a..b", "_x.y"])).await);
    let order = steps::order(&mut client, &["b.localhost"]).await;
    let failing = order.json()["authorizations"][0].as_str().unwrap().to_owned();
    let http01 = steps::challenge(&client.get(&failing).await.json(), "http-01");
    answers.push(client.post(http01["url"].as_str().unwrap(), &json!({})).await);
    answers.push(client.get(&failing).await);
    answers.push(client.get(order.header("location")).await);
    answers
}

#[tokio::test]
async fn no_null_anywhere_and_a_type_in_every_problem() {
    fn check(value: &Value, text: &str) {
        match value {
            Value::Null => panic!("null in {text}"),
            Value::Array(all) => all.iter().for_each(|one| check(one, text)),
            Value::Object(all) => {
                assert!(!all.is_empty(), "an empty object in {text}");
                if all.contains_key("detail") {
                    let kind = all["type"].as_str().unwrap();
                    assert!(kind.starts_with("urn:ietf:params:acme:error:"), "{text}");
                }
                all.values().for_each(|one| check(one, text));
            }
            _ => {}
        }
    }
    let answers = all_answers().await;
    assert!(answers.iter().filter(|answer| answer.status.is_client_error()).count() >= 2);
    for answer in answers {
        check(&answer.json(), &String::from_utf8_lossy(&answer.body));
    }
}

#[tokio::test]
async fn shell_clients_parse_json_with_regular_expressions() {
    for answer in all_answers().await {
        let text = String::from_utf8(answer.body.clone()).unwrap();
        assert!(!text.contains("\\/"), "{text}");
        assert_eq!(text.len(), answer.json().to_string().len(), "white space in {text}");
    }
}

#[tokio::test]
async fn finalize_and_expires_are_always_included_and_accounts_have_contact_and_orders() {
    let mut orders = 0;
    for answer in all_answers().await {
        let json = answer.json();
        if json.get("identifiers").is_some() {
            orders += 1;
            assert!(json["finalize"].as_str().unwrap().ends_with("/finalize"), "{json}");
            assert!(json["expires"].as_str().unwrap().ends_with("00:00Z"), "{json}");
        }
        if json.get("contact").is_some() {
            assert_eq!(json["contact"], json!([]));
            assert!(json["orders"].as_str().unwrap().ends_with("/orders"), "{json}");
        }
    }
    assert!(orders >= 4, "pending, ready, valid and invalid");
}

#[tokio::test]
async fn retry_after_in_seconds_on_pending_and_processing() {
    let world = World::new().await;
    let server = world.start_with(|config| config.hold = std::time::Duration::ZERO).await;
    let mut client = server.client().await;
    let order = steps::order(&mut client, &["a.localhost"]).await;
    let seconds = |answer: &Answer| answer.header("retry-after").parse::<u32>().unwrap();
    assert!(seconds(&order) <= 5);
    let authorization = order.json()["authorizations"][0].as_str().unwrap().to_owned();
    let found = client.get(&authorization).await;
    assert!(seconds(&found) <= 5);
    let challenge = steps::challenge(&found.json(), "http-01");
    world.web.close();
    world.web.show(challenge["token"].as_str().unwrap(), &client.key.thumbprint());
    let answer = client.post(challenge["url"].as_str().unwrap(), &json!({})).await;
    assert_eq!(answer.ok()["status"], "processing");
    assert!(seconds(&answer) <= 5);
    world.web.open();
    let order_url = order.header("location").to_owned();
    world.until(&mut client, &order_url, "ready").await;
    // Issuance cannot finish while nothing can be audited.
    world.audit.refuse(true);
    let csr = steps::csr_for(&["a.localhost"]);
    let answer = steps::finalize(&mut client, &order_url, &csr).await;
    assert_eq!(answer.ok()["status"], "processing");
    assert!(seconds(&answer) <= 5);
    assert!(seconds(&client.get(&order_url).await) <= 5);
}

#[tokio::test]
async fn the_challenge_post_is_an_empty_object_and_old_bodies_are_tolerated() {
    let world = World::new().await;
    let mut client = world.start().await.client().await;
    let old = json!({"type": "http-01", "keyAuthorization": "x.y", "resource": "challenge"});
    for (name, body) in [("a.localhost", json!({})), ("b.localhost", old)] {
        let order = steps::order(&mut client, &[name]).await.json();
        let found = client.get(order["authorizations"][0].as_str().unwrap()).await.json();
        let challenge = steps::challenge(&found, "http-01");
        world.web.show(challenge["token"].as_str().unwrap(), &client.key.thumbprint());
        let answer = client.post(challenge["url"].as_str().unwrap(), &body).await;
        assert_eq!(answer.ok()["status"], "valid");
        let up = answer.headers.get_all("link").iter().any(|link| {
            let authorization = order["authorizations"][0].as_str().unwrap();
            link.to_str().unwrap() == format!("<{authorization}>;rel=\"up\"")
        });
        assert!(up, "{answer:?}");
    }
}

#[tokio::test]
async fn post_as_get_has_an_empty_payload() {
    let world = World::new().await;
    let mut client = world.start().await.client().await;
    let order_url = steps::order(&mut client, &["a.localhost"]).await.header("location").to_owned();
    client.get(&order_url).await.ok();
    client.post(&order_url, &json!({})).await.is_problem(400, "malformed");
    // Reading a challenge does not begin it.
    let order = client.get(&order_url).await.json();
    let found = client.get(order["authorizations"][0].as_str().unwrap()).await.json();
    let challenge = steps::challenge(&found, "http-01");
    let read = client.get(challenge["url"].as_str().unwrap()).await;
    assert_eq!(read.ok()["status"], "pending");
    assert_eq!(world.web.requests(), 0);
}

#[tokio::test]
async fn a_plain_get_is_405_and_says_what_to_do() {
    let world = World::new().await;
    let server = world.start().await;
    for path in ["/acme/new-order", "/acme/order/1", "/acme/authz/1", "/acme/certificate/1"] {
        let answer = plain(&server.router, Method::GET, path).await;
        answer.is_problem(405, "malformed");
        assert!(answer.json()["detail"].as_str().unwrap().contains("POST-as-GET"));
    }
}

#[tokio::test]
async fn the_directory_follows_the_name_that_was_called_and_shows_profiles_and_terms() {
    let world = World::new().await;
    let terms = "https://acme.test/terms.pdf";
    let server = world.start_with(|config| config.terms_of_service = Some(terms.to_owned())).await;
    let directory = plain(&server.router, Method::GET, "/acme/directory").await.ok();
    assert_eq!(directory["newOrder"], url("new-order"));
    assert_eq!(directory["meta"]["termsOfService"], terms);
    assert!(directory["meta"]["profiles"]["tls-server"].is_string());
    let elsewhere = Request::get("/acme/directory").header("host", "other.example");
    let answer = exchange(&server.router, elsewhere.body(Body::empty()).unwrap()).await;
    assert_eq!(answer.ok()["newOrder"], "https://other.example/acme/new-order");
    let nowhere = Request::get("/acme/directory").body(Body::empty()).unwrap();
    exchange(&server.router, nowhere).await.is_problem(400, "malformed");
    let wrong = Request::get("/acme/directory").header("host", "evil.example");
    let answer = exchange(&server.router, wrong.body(Body::empty()).unwrap()).await;
    answer.is_problem(421, "malformed");
}

/// Somebody runs a server of their own and passes on to this one what clients sign for it.
#[tokio::test]
async fn what_was_signed_for_another_server_is_worth_nothing_here() {
    let world = World::new().await;
    let server = world.start().await;
    let mut client = server.client().await;
    let theirs = "https://evil.example/acme/new-order";
    for (host, status, kind) in [
        // With its own name, a relay does not get in; with this one's, the signature is for another.
        ("evil.example", 421, "malformed"),
        ("acme.test:8443", 401, "unauthorized"),
        // Nor with a name of this server that the client did not mean.
        ("other.example", 401, "unauthorized"),
    ] {
        let mut header = client.header(&url("new-order")).await;
        header["url"] = theirs.into();
        let body = client.key.jws(&header, &steps::names(&["a.localhost"]).to_string());
        let request = Request::post("/acme/new-order")
            .header("host", host)
            .header("content-type", "application/jose+json");
        let request = request.body(Body::from(body.to_string())).unwrap();
        exchange(&server.router, request).await.is_problem(status, kind);
    }
}

#[tokio::test]
async fn path_tricks_lead_nowhere() {
    let world = World::new().await;
    let server = world.start().await;
    let mut client = server.client().await;
    let order_url = steps::order(&mut client, &["a.localhost"]).await.header("location").to_owned();
    let id = order_url.rsplit('/').next().unwrap().to_owned();
    for path in [
        format!("/acme/order/{}", id.to_uppercase()),
        format!("/acme/order//{id}"),
        format!("/acme//order/{id}"),
        format!("/acme/order/{id}/"),
        format!("/acme/x/../order/{id}"),
        format!("/acme/order/%2e%2e%2forder%2f{id}"),
        format!("/acme/order/..%2f{id}"),
        format!("/acme/Order/{id}"),
        format!("/acme/order/{id}%00"),
        format!("/acme/order/%{id}"),
        "/acme/certificate/..%2f..%2faccount".to_owned(),
    ] {
        let answer = client.get(&format!("{BASE}{path}")).await;
        assert!([400, 404].contains(&answer.status.as_u16()), "{path}: {answer:?}");
        assert_eq!(answer.problem().1, "malformed", "{path}");
    }
}
