//! Uses of keys over mTLS on open connections, beside a hyper and rustls server that answers the same bytes
//! without looking at anything.

use std::time::Duration;

use chancery_integration::gateway::Gateway;
use chancery_integration::http::Client;
use chancery_integration::site::Site;
use serde_json::json;

use crate::load::{self, CONNECTIONS};
use crate::measure;
use crate::report::Row;
use crate::static_server::StaticServer;

const TIME: Duration = Duration::from_secs(3);

pub(crate) fn rows() -> Vec<Row> {
    let site = Site::new();
    let gateway = Gateway::start(&site);
    let client = gateway.app();
    let make = |name: &str, key_type: &str| {
        let target = format!("/v1/transit/keys/{name}");
        drop(gateway.admin().post(&target, &json!({ "type": key_type })).expect(200));
    };
    make("app-aes", "aes256-gcm96");
    make("app-ec", "ecdsa-p256");
    let text = "Y29ycmVjdCBob3JzZSBiYXR0ZXJ5IHN0YXBsZQ==";
    let cases = [
        (
            "encryptions with AES-256-GCM",
            "/v1/transit/encrypt/app-aes",
            json!({ "plaintext": text }),
        ),
        ("signatures with ECDSA P-256", "/v1/transit/sign/app-ec", json!({ "input": text })),
    ];
    let mut rows = vec![];
    for (what, target, body) in cases {
        let answer = client.post(target, &body).expect(200).body;
        let body = body.to_string().into_bytes();
        let floor = StaticServer::start(&site, gateway.ready(), &answer);
        let bare = Client::new(floor.url(), floor.root(), Some(&gateway.app_credential()));
        let (ours, floor) = measure::pair(
            || load::posts_per_second(&client, target, &body, TIME),
            || load::posts_per_second(&bare, target, &body, TIME),
        );
        let name = format!("keys: {what}, over mTLS keep-alive, {CONNECTIONS} connections");
        rows.push(Row::new(name, "1/s", ours, floor));
    }
    rows
}
