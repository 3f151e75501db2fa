//! Requests that wait between their headers and their bodies while the certificate of their connection is
//! revoked: what begins after the revocation is refused, at every door.

use chancery_integration::acme::{Account, MEDIA_TYPE, assert_problem};
use chancery_integration::gateway::Gateway;
use chancery_integration::http::Connection;
use chancery_integration::lint;
use chancery_integration::site::Site;
use serde_json::{Value, json};

const SECRET: &str = "/v1/secret/data/app/db";
const SIGN: &str = "/v1/transit/sign/app-tokens";

/// A connection of the application on which a request waits for its body.
fn parked(gateway: &Gateway, target: &str, content_type: &str, body: &str) -> Connection {
    let mut connection = gateway.app().connect().expect("a connection");
    connection
        .park("POST", target, &[("content-type", content_type)], body.len())
        .expect("the gateway asks for the body");
    connection
}

#[test]
fn a_certificate_that_is_revoked_while_requests_wait_for_their_bodies() {
    let site = Site::new();
    let mut gateway = Gateway::start(&site);
    let make = ["keys", "create", "app-tokens", "--type", "ecdsa-p256"];
    drop(gateway.administer(&make).success());
    let account = Account::register(gateway.app(), &gateway.ready().acme_directory);
    let new_order = account.resource("newOrder");
    let order = json!({ "identifiers": [{ "type": "dns", "value": "a.example.com" }] });

    let write = json!({ "data": { "password": "correct horse" } }).to_string();
    let sign = json!({ "input": "aGVsbG8=" }).to_string();
    let order = account.jws(&new_order, &order).sign(account.key()).to_string();
    let order_at = chancery_integration::http::target(&new_order);
    let json_type = "application/json";
    let mut waiting = [
        (parked(&gateway, SECRET, json_type, &write), &write),
        (parked(&gateway, SIGN, json_type, &sign), &sign),
        (parked(&gateway, &order_at, MEDIA_TYPE, &order), &order),
    ];
    // The same requests are good as long as the certificate is.
    drop(gateway.app().post(SIGN, &json!({ "input": "aGVsbG8=" })).expect(200));

    let serial = lint::serial(&site, gateway.app_credential().certificate());
    let revoke = json!({ "serial_number": serial });
    drop(gateway.admin().post("/v1/pki/revoke", &revoke).expect(200));
    let lines_before = gateway.audit().len();

    let answers = waiting.each_mut().map(|(connection, body)| {
        connection.write(body.as_bytes()).expect("the body can be sent");
        connection.read(false).expect("an answer")
    });
    let [written, signed, ordered] = answers;
    for answer in [written, signed] {
        assert_eq!(answer.status, 403, "{}", answer.text());
        assert!(answer.text().contains("revoked"), "{}", answer.text());
    }
    assert_problem(&ordered, 403, "unauthorized");
    assert!(ordered.text().contains("revoked"), "{}", ordered.text());
    drop(gateway.admin().get(SECRET).expect(404));

    let lines = gateway.audit().split_off(lines_before);
    let of = |operation: &str| lines.iter().filter(|line| line["operation"] == operation).count();
    assert_eq!((of("auth.authenticate"), of("acme.authenticate")), (2, 1), "{lines:?}");
    for event in lines.iter().filter(|line| line["outcome"]["result"] == "denied") {
        assert_eq!(event["outcome"]["code"], "certificate-revoked", "{event}");
        assert_eq!(event["actor"]["identity"], Value::Null, "{event}");
        let shown = &event["details"]["certificate_refused"];
        assert_eq!(shown["reason"], "certificate-revoked", "{event}");
        assert!(shown["fingerprint"].is_string() && shown["serial"].is_string(), "{event}");
    }
    gateway.assert_up();
}
