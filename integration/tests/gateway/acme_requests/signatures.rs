//! Signatures and what they cover: RFC 8555, section 6.

use chancery_integration::acme;
use chancery_integration::http;
use chancery_integration::jws::{Key, base64url};
use serde_json::{Value, json};

use super::{Setup, assert_refused};

#[test]
fn malformed_jws() {
    let setup = Setup::new();
    let account = &setup.account;
    let url = account.resource("newOrder");
    let signed = || {
        let payload = json!({ "identifiers": [{ "type": "dns", "value": "a.example.com" }] });
        account.jws(&url, &payload).sign(account.key())
    };

    // What is not a flattened JWS at all.
    let garbage: [&[u8]; 8] = [
        b"",
        b"{",
        b"null",
        b"[]",
        b"{}",
        b"\"text\"",
        b"\xff\xfe",
        b"{\"payload\":\"\",\"signature\":\"\"}",
    ];
    for body in garbage {
        assert_refused(&account.send_bytes(&url, body), 400, "malformed");
    }
    // One part replaced in a JWS that is otherwise good.
    for (part, value) in [
        ("protected", json!("!!!")),
        ("protected", json!(base64url("not json"))),
        ("protected", json!(base64url("{}"))),
        ("protected", json!(7)),
        ("payload", json!("not base64url?")),
        ("payload", Value::Null),
        ("signature", json!("")),
        ("signature", json!("AAAA")),
        ("signature", Value::Null),
        // The unprotected header must not be used (RFC 8555, section 6.2).
        ("header", json!({ "alg": "none" })),
        // One signature and no more.
        ("signatures", json!([{ "signature": "AAAA" }])),
    ] {
        let mut bad = signed();
        bad[part] = value;
        assert_refused(&account.send(&url, &bad), 400, "malformed");
    }
    // A media type that is not a JWS.
    let body = signed().to_string();
    for media_type in ["application/json", "text/plain", "application/jose"] {
        let headers = [("content-type", media_type)];
        let answer = account.client().send("POST", &http::target(&url), &headers, body.as_bytes());
        assert_refused(&answer, 415, "malformed");
    }
    setup.assert_well();
}

#[test]
fn a_header_that_does_not_fit() {
    let setup = Setup::new();
    let account = &setup.account;
    let url = account.resource("newOrder");
    let payload = json!({ "identifiers": [{ "type": "dns", "value": "a.example.com" }] });
    let with = |change: &dyn Fn(&mut Value)| {
        let mut jws = account.jws(&url, &payload);
        change(&mut jws.protected);
        account.send(&url, &jws.sign(account.key()))
    };

    for algorithm in ["none", "HS256", "ES384", "RS256", "EdDSA", "", "es256"] {
        let answer = with(&|header| header["alg"] = json!(algorithm));
        assert!(answer.status == 400, "{algorithm}: {}", answer.text());
        let kind = answer.json()["type"].as_str().unwrap_or_default().to_owned();
        assert!(
            kind.ends_with(":badSignatureAlgorithm") || kind.ends_with(":malformed"),
            "{algorithm}: {kind}"
        );
    }
    // Exactly one of `jwk` and `kid` (RFC 8555, section 6.2).
    let both = with(&|header| header["jwk"] = account.key().jwk());
    assert_refused(&both, 400, "malformed");
    let neither = with(&|header| drop(header.as_object_mut().unwrap().remove("kid")));
    assert_refused(&neither, 400, "malformed");
    // Extensions that must be understood and are not (RFC 7515, section 4.1.11).
    assert_refused(&with(&|header| header["crit"] = json!(["b64"])), 400, "malformed");
    // An account that nobody has.
    let nobody = with(&|header| header["kid"] = json!(format!("{}0", account.url)));
    assert_refused(&nobody, 400, "accountDoesNotExist");
    let elsewhere = with(&|header| header["kid"] = json!("https://example.com/account/1"));
    assert!((400..=403).contains(&elsewhere.status), "{}", elsewhere.text());
    setup.assert_well();
}

#[test]
fn a_wrong_url() {
    let setup = Setup::new();
    let account = &setup.account;
    let url = account.resource("newOrder");
    let payload = json!({ "identifiers": [{ "type": "dns", "value": "a.example.com" }] });
    for wrong in [
        account.resource("revokeCert"),
        format!("{url}/"),
        format!("{url}?x"),
        url.replace("https", "http"),
        url.replace("127.0.0.1", "localhost"),
        url.to_uppercase(),
        String::new(),
    ] {
        let mut jws = account.jws(&url, &payload);
        jws.protected["url"] = json!(wrong);
        let answer = account.send(&url, &jws.sign(account.key()));
        assert_refused(&answer, 401, "unauthorized");
    }
    let mut jws = account.jws(&url, &payload);
    jws.protected.as_object_mut().unwrap().remove("url");
    assert_refused(&account.send(&url, &jws.sign(account.key())), 400, "malformed");
    setup.assert_well();
}

#[test]
fn a_nonce_that_is_replayed_invented_or_missing() {
    let setup = Setup::new();
    let account = &setup.account;
    let url = account.resource("newOrder");
    let payload = json!({ "identifiers": [{ "type": "dns", "value": "a.example.com" }] });

    let signed = account.jws(&url, &payload).sign(account.key());
    drop(account.send(&url, &signed).expect(201));
    assert_refused(&account.send(&url, &signed), 400, "badNonce");
    // It is used up by a request that was refused, too: sent again, it must not work.
    let mut jws = account.jws(&url, &json!({ "identifiers": [] }));
    let refused = account.send(&url, &jws.sign(account.key()));
    assert_eq!(refused.status, 400, "{}", refused.text());
    jws.payload = payload.to_string().into_bytes();
    assert_refused(&account.send(&url, &jws.sign(account.key())), 400, "badNonce");

    let nonce = account.nonce();
    for (invented, kind) in [
        ("AAAA", "badNonce"),
        (&nonce[..nonce.len() - 4], "badNonce"),
        (&"A".repeat(nonce.len()), "badNonce"),
        // What is not base64url at all (RFC 8555, section 6.5.2).
        ("x", "malformed"),
        ("not a nonce", "malformed"),
    ] {
        let mut jws = account.jws(&url, &payload);
        jws.protected["nonce"] = json!(invented);
        assert_refused(&account.send(&url, &jws.sign(account.key())), 400, kind);
    }
    let mut jws = account.jws(&url, &payload);
    jws.protected.as_object_mut().unwrap().remove("nonce");
    let answer = account.send(&url, &jws.sign(account.key()));
    assert_eq!(answer.status, 400, "{}", answer.text());

    // The nonce of an error is good for the next request.
    let error = account.send(&url, &signed);
    let mut jws = account.jws(&url, &payload);
    jws.protected["nonce"] = json!(error.header("replay-nonce").expect("a nonce"));
    drop(account.send(&url, &jws.sign(account.key())).expect(201));
    setup.assert_well();
}

#[test]
fn a_wrong_key() {
    let setup = Setup::new();
    let account = &setup.account;
    let stranger = setup.gateway.account();
    let order = account.order(&["a.example.com"]);

    // Signed by another key than the account's.
    let url = account.resource("newOrder");
    let jws =
        account.jws(&url, &json!({ "identifiers": [{ "type": "dns", "value": "a.example.com" }] }));
    let answer = account.send(&url, &jws.sign(&Key::generate()));
    assert!(matches!(answer.status, 400 | 401 | 403), "{}", answer.text());
    // Another account's order, authorization and challenge.
    for url in [&order.url, &order.authorizations()[0]] {
        let answer = stranger.get(url);
        assert!(matches!(answer.status, 403 | 404), "{} {}", answer.status, answer.text());
    }
    let (request, _) = acme::request(&["a.example.com"]);
    let answer = stranger.finalize(&order, &request);
    assert!(matches!(answer.status, 403 | 404), "{} {}", answer.status, answer.text());
    // A key that is no key.
    let new_account = account.resource("newAccount");
    for (part, value) in [("x", "AAAA"), ("crv", "P-521"), ("kty", "oct"), ("y", "")] {
        let mut jws = account.jws_with_key(&new_account, &json!({}));
        jws.protected["jwk"][part] = json!(value);
        let answer = account.send(&new_account, &jws.sign(account.key()));
        assert!(answer.status == 400, "{part}: {} {}", answer.status, answer.text());
    }
    // A point that is not on the curve.
    let mut jws = account.jws_with_key(&new_account, &json!({}));
    jws.protected["jwk"]["y"] = json!(base64url([1; 32]));
    let answer = account.send(&new_account, &jws.sign(account.key()));
    assert!(answer.status == 400, "{} {}", answer.status, answer.text());
    setup.assert_well();
}

#[test]
fn a_deactivated_account_can_do_nothing() {
    let setup = Setup::new();
    let account = setup.gateway.account();
    let order = account.order(&["a.example.com"]);
    let answer = account.post(&account.url, &json!({ "status": "deactivated" })).expect(200);
    assert_eq!(answer.json()["status"], "deactivated");
    let refused = account.get(&order.url);
    assert!(matches!(refused.status, 401 | 403), "{} {}", refused.status, refused.text());
    assert!(refused.text().contains("unauthorized"), "{}", refused.text());
    setup.assert_well();
}
