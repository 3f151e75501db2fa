//! SIGTERM drains, SIGHUP reloads.

use chancery_integration::gateway::Gateway;
use chancery_integration::http::Connection;
use chancery_integration::site::Site;
use rustix::process::Signal;
use serde_json::json;

use crate::policy_set::unwatched;

/// Sends the head of a request and half of its body. The gateway asks for the body (RFC 9110,
/// section 10.1.1), so that the request is known to be under way when this returns: one whose head
/// is still in the socket may be dropped with its connection, as on every idle connection that ends.
fn begin(connection: &mut Connection, body: &str) {
    let head = format!(
        "POST /v1/secret/data/app/db HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n\
         content-length: {}\r\nexpect: 100-continue\r\n\r\n",
        body.len()
    );
    connection.write(head.as_bytes()).expect("the head can be sent");
    assert_eq!(connection.read(true).expect("an interim answer").status, 100);
    connection.write(&body.as_bytes()[..body.len() / 2]).expect("half of the body can be sent");
}

#[test]
fn sigterm_lets_a_request_finish_and_takes_no_new_ones() {
    let site = Site::new();
    let mut gateway = Gateway::start(&site);
    let body = json!({ "data": { "password": "correct horse" } }).to_string();
    let app = gateway.app();
    let mut connection = app.connect().expect("the gateway is up");
    begin(&mut connection, &body);
    gateway.signal(Signal::TERM);
    let port_closed = chancery_integration::process::eventually(
        "the port is closed",
        std::time::Duration::from_mins(2),
        || app.connect().err(),
    );
    drop(port_closed);

    connection.write(&body.as_bytes()[body.len() / 2..]).expect("the rest can be sent");
    let answer = connection.read(false).expect("the request is answered");
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert!(gateway.wait().success());

    let gateway = Gateway::start(&site);
    let answer = gateway.app().get("/v1/secret/data/app/db").expect(200).json();
    assert_eq!(answer["data"]["data"]["password"], "correct horse", "acknowledged means durable");
}

#[test]
fn sigterm_does_not_wait_for_idle_connections() {
    let site = Site::new();
    let mut gateway = Gateway::start(&site);
    let mut idle = gateway.app().connect().expect("the gateway is up");
    assert_eq!(idle.send("GET", "/v1/sys/health", &[], b"").expect("an answer").status, 200);
    gateway.signal(Signal::TERM);
    assert!(gateway.wait().success());
    assert!(!gateway.log().contains("still under way"), "{}", gateway.log());
}

#[test]
fn sigint_stops_it_too() {
    let site = Site::new();
    let mut gateway = Gateway::start(&site);
    gateway.signal(Signal::INT);
    assert!(gateway.wait().success());
}

#[test]
fn sighup_reloads_policies() {
    let site = Site::new();
    let mut gateway = unwatched(&site);
    let app = gateway.app();
    drop(app.post("/v1/secret/data/app/db", &json!({ "data": { "a": "b" } })).expect(200));
    drop(app.get("/v1/secret/data/team/db").expect(403));

    let bindings = gateway.path("policies/access.toml");
    let text = std::fs::read_to_string(&bindings).expect("the bindings can be read");
    let changed = text.replace("secret/app/*", "secret/team/*");
    assert_ne!(text, changed, "the rule that the test changes is there");
    std::fs::write(&bindings, &changed).expect("the bindings can be written");
    assert_eq!(app.get("/v1/secret/data/app/db").status, 200, "not before it is told");
    let said = gateway.reload();
    assert!(said.contains("reloaded"), "{said}");
    assert_eq!(app.get("/v1/secret/data/app/db").status, 403);
    assert_eq!(app.get("/v1/secret/data/team/db").status, 404, "allowed, and there is none");

    // What cannot be loaded changes nothing, and the log says why.
    std::fs::write(&bindings, changed.replace("[[binding]]", "[[bindign]]"))
        .expect("it can be written");
    let said = gateway.reload();
    assert!(said.contains("reload failed") && said.contains("bindign"), "{said}");
    assert_eq!(app.get("/v1/secret/data/app/db").status, 403);
    assert_eq!(app.get("/v1/secret/data/team/db").status, 404);
    gateway.assert_up();
}

#[test]
fn a_client_that_has_just_connected_is_answered_although_a_reload_comes_first() {
    let site = Site::new();
    let gateway = Gateway::start(&site);
    let app = gateway.app();
    for _ in 0..5 {
        let mut connection = app.connect().expect("a connection");
        assert!(!gateway.reload().contains("reload failed"));
        let answer = connection.send("GET", "/v1/secret/data/app/db", &[], b"");
        assert_eq!(answer.expect("an answer").status, 404);
    }
}

#[test]
fn sighup_reloads_trust() {
    use chancery_integration::foreign::{ForeignCa, Holder};

    let site = Site::new();
    drop(Gateway::start(&site).stop());
    let gateway = Gateway::serve(&site, |_| {});
    let ca = ForeignCa::new("Others' CA");
    let client = gateway.client(&ca.client(&Holder::uri("spiffe://dev.chancery/app")));
    let read = || {
        client.try_send("GET", "/v1/secret/data/app/db", &[], b"").ok().map(|answer| answer.status)
    };
    assert_eq!(read(), None, "the CA is not trusted");

    let root = site.write("others.pem", ca.pem());
    let file = site.path().join("serve.toml");
    let before = std::fs::read_to_string(&file).expect("the configuration can be read");
    let more = format!("{before}\n[clients]\nroots = [{:?}]\n", root.to_string_lossy());
    std::fs::write(&file, more).expect("the configuration can be written");
    let said = gateway.reload();
    assert!(said.contains("reloaded"), "{said}");
    assert_eq!(read(), Some(404), "now it is, and there is no such secret");

    let mut open = client.connect().expect("it is trusted");
    assert_eq!(open.send("GET", "/v1/sys/health", &[], b"").expect("an answer").status, 200);
    std::fs::write(&file, before).expect("the configuration can be written");
    let said = gateway.reload();
    assert!(said.contains("reloaded"), "{said}");
    assert_eq!(read(), None, "and now it is not any more");
    // A connection that the old trust let in is of no more use for secrets.
    if let Ok(answer) = open.send("GET", "/v1/secret/data/app/db", &[], b"") {
        assert_eq!(answer.status, 403, "{}", answer.text());
    }
}
