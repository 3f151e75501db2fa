//! Bodies and methods.

use chancery_integration::acme::{MEDIA_TYPE, assert_problem};
use chancery_integration::http;
use chancery_integration::jws::Jws;
use serde_json::{Value, json};

use super::{Setup, assert_refused};

#[test]
fn a_body_that_is_too_large_or_too_deep() {
    let setup = Setup::new();
    let account = &setup.account;
    let url = account.resource("newOrder");

    let answer = account.send_bytes(&url, &vec![b' '; 1 << 20]);
    assert_problem(&answer, 413, "malformed");
    // One that does not say its length either.
    let mut connection = account.client().connect().expect("the gateway is up");
    let head = format!(
        "POST {} HTTP/1.1\r\nhost: localhost\r\ncontent-type: {MEDIA_TYPE}\r\ntransfer-encoding: chunked\r\n\r\n",
        http::target(&url)
    );
    let chunk = format!("{:x}\r\n{}\r\n", 1 << 16, " ".repeat(1 << 16));
    // The gateway may close before all of it is sent.
    let _ = connection.write(head.as_bytes());
    for _ in 0..16 {
        let _ = connection.write(chunk.as_bytes());
    }
    let _ = connection.write(b"0\r\n\r\n");
    assert_eq!(connection.read(false).expect("an answer").status, 413);

    let deep = format!("{}{}", "[".repeat(20_000), "]".repeat(20_000));
    assert_refused(&account.send_bytes(&url, deep.as_bytes()), 400, "malformed");
    // Deep inside, behind a good signature.
    let jws = Jws { payload: deep.into_bytes(), ..account.jws(&url, &Value::Null) };
    assert_refused(&account.send(&url, &jws.sign(account.key())), 400, "malformed");
    let deep = format!("{{\"x\":{}{}}}", "[".repeat(20_000), "]".repeat(20_000));
    let jws = Jws { payload: deep.into_bytes(), ..account.jws(&url, &Value::Null) };
    assert_refused(&account.send(&url, &jws.sign(account.key())), 400, "malformed");
    setup.assert_well();
}

#[test]
fn a_payload_that_makes_no_sense() {
    let setup = Setup::new();
    let account = &setup.account;
    let names = |names: &[&str]| account.try_order(names, json!({}));

    assert_refused(&names(&[]), 400, "malformed");
    for bad in [
        "",
        "*",
        "*.*.example.com",
        "a..example.com",
        "-a.example.com",
        "a.example.com.",
        "a b.example.com",
    ] {
        let answer = names(&[bad]);
        let kind = answer.json()["type"].as_str().unwrap_or_default().to_owned();
        assert!(answer.status == 400, "{bad:?}: {}", answer.text());
        assert!(
            kind.ends_with(":malformed") || kind.ends_with(":rejectedIdentifier"),
            "{bad:?}: {kind}"
        );
    }
    let url = account.resource("newOrder");
    let other_type = json!({ "identifiers": [{ "type": "email", "value": "a@example.com" }] });
    assert_refused(&account.post(&url, &other_type), 400, "unsupportedIdentifier");
    for payload in
        [json!({}), json!([]), json!({ "identifiers": "a" }), json!({ "identifiers": [{}] })]
    {
        assert_refused(&account.post(&url, &payload), 400, "malformed");
    }
    let many: Vec<_> = (0..2000).map(|n| format!("{n}.example.com")).collect();
    let many: Vec<_> = many.iter().map(String::as_str).collect();
    let answer = names(&many);
    assert!(matches!(answer.status, 400 | 413), "{} {}", answer.status, answer.text());
    setup.assert_well();
}

#[test]
fn a_method_that_a_resource_does_not_have() {
    let setup = Setup::new();
    let account = &setup.account;
    let order = account.order(&["a.example.com"]);
    for (method, url) in [
        // Without a signature nothing is read but directory and nonce (RFC 8555, section 6.3).
        ("GET", order.url.as_str()),
        ("GET", &account.url),
        ("PUT", &account.resource("newOrder")),
        ("DELETE", &order.url),
    ] {
        let answer = account.client().send(method, &http::target(url), &[], b"");
        assert_eq!(answer.status, 405, "{method} {url}: {}", answer.text());
    }
    setup.assert_well();
}
