//! Challenges: RFC 8555, section 8.

use chancery_integration::acme;
use chancery_integration::jws::Key;
use serde_json::json;

use super::Setup;

#[test]
fn a_wrong_answer_to_a_challenge() {
    let setup = Setup::new();
    let account = &setup.account;
    let order = account.order(&["a.example.com"]);
    let body = account.get(&order.authorizations()[0]).expect(200).json();
    let challenge = acme::challenge(&body, "http-01");
    let token = challenge["token"].as_str().expect("a token");
    // Another account's key authorization.
    setup.responder.answer(token, &Key::generate().authorization(token));
    drop(account.post(challenge["url"].as_str().expect("a URL"), &json!({})).expect(200));
    let order = account.until(&order, "invalid");
    let body = account.get(&order.authorizations()[0]).expect(200).json();
    assert_eq!(body["status"], "invalid", "{body}");
    let error = &acme::challenge(&body, "http-01")["error"];
    assert!(
        matches!(
            error["type"].as_str(),
            Some(
                "urn:ietf:params:acme:error:incorrectResponse"
                    | "urn:ietf:params:acme:error:unauthorized"
            )
        ),
        "{error}"
    );
    setup.assert_well();
}

#[test]
fn validation_goes_nowhere_that_it_should_not() {
    let setup = Setup::new();
    let account = &setup.account;
    let order = account.order(&["a.example.com"]);
    let body = account.get(&order.authorizations()[0]).expect(200).json();
    let challenge = acme::challenge(&body, "http-01");
    let token = challenge["token"].as_str().expect("a token");
    let path = format!("/.well-known/acme-challenge/{token}");
    // A redirect to the gateway's own plain port.
    setup.responder.redirect(&path, &format!("{}/health", setup.gateway.ready().http));
    drop(account.post(challenge["url"].as_str().expect("a URL"), &json!({})).expect(200));
    drop(account.until(&order, "invalid"));

    // A redirect in a circle ends.
    let order = account.order(&["b.example.com"]);
    let body = account.get(&order.authorizations()[0]).expect(200).json();
    let challenge = acme::challenge(&body, "http-01");
    let token = challenge["token"].as_str().expect("a token");
    let path = format!("/.well-known/acme-challenge/{token}");
    setup.responder.redirect(&path, &path);
    let before = setup.responder.asked().len();
    drop(account.post(challenge["url"].as_str().expect("a URL"), &json!({})).expect(200));
    drop(account.until(&order, "invalid"));
    assert!(setup.responder.asked().len() - before <= 11, "at most ten redirects");
    setup.assert_well();
}
