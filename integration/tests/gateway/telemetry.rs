//! The Prometheus page, spans, and the log.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Command;

use chancery_integration::dns::Dns;
use chancery_integration::foreign::{ForeignCa, Holder};
use chancery_integration::gateway::{Gateway, Options, binary};
use chancery_integration::hsm::Token;
use chancery_integration::process;
use chancery_integration::responder::Http01;
use chancery_integration::site::Site;
use serde_json::json;

#[test]
fn the_metrics_page_counts_what_was_done() {
    let site = Site::new();
    let dns = Dns::start(&site);
    let gateway = Options::new(&site).dns(&dns).start();
    let responder = Http01::start(&site);
    drop(gateway.account().obtain(&["a.example.com"], &responder));
    drop(gateway.app().post("/v1/secret/data/app/db", &json!({ "data": {} })).expect(200));
    drop(gateway.app().get("/v1/secret/data/payroll/x").expect(403));

    let answer = gateway.monitoring().get("/metrics").expect(200);
    assert!(answer.header("content-type").is_some_and(|kind| kind.starts_with("text/plain")));
    let page = answer.text();
    // One of each kind that is promised: routes, policy, signatures, commits.
    for metric in [
        "chancery_api_requests_total",
        "chancery_api_request_duration_seconds",
        "chancery_policy_",
        "chancery_keys_",
        "chancery_store_",
    ] {
        assert!(page.contains(metric), "no {metric} in\n{page}");
    }
    assert!(
        !page.contains("payroll") && !page.contains("app/db"),
        "a label must not grow with paths\n{page}"
    );
    assert!(page.contains("status=\"403\""), "{page}");
    for kind in page.lines().filter_map(|line| line.strip_prefix("# TYPE ")) {
        let name = kind.split(' ').next().expect("a name");
        assert!(page.contains(&format!("# HELP {name} ")), "{name} is not explained in\n{page}");
    }
}

#[test]
fn the_plain_port_serves_nothing_that_is_not_public() {
    let site = Site::new();
    let gateway = Gateway::start(&site);
    let plain = gateway.plain();
    for path in [
        "/v1/secret/data/app/db",
        "/v1/sys/health",
        "/acme/directory",
        "/crl/../../store.redb",
        // These tell more of the inside than others need, and have an address of their own.
        "/metrics",
        "/health/tokens",
        "/dev/app.key",
    ] {
        assert_eq!(plain.get(path).status, 404, "{path}");
    }
}

#[test]
fn metrics_are_on_the_plain_port_where_that_is_configured() {
    let site = Site::new();
    drop(Gateway::start(&site).stop());
    let plain = site.socket(Gateway::SERVE_HTTP_PORT).to_string();
    let gateway = Gateway::serve(&site, |config| {
        let server = config["server"].as_table_mut().expect("a table");
        server.insert("metrics".to_owned(), plain.into());
    });
    drop(gateway.plain().get("/metrics").expect(200));
    drop(gateway.plain().get("/health/tokens").expect(200));
    drop(gateway.plain().get("/health").expect(200));
    assert!(gateway.monitoring().connect().is_err(), "nothing listens there");
}

#[test]
fn spans_go_out_over_otlp_where_that_is_configured() {
    let site = Site::new();
    drop(Gateway::start(&site).stop());
    let collector = std::net::TcpListener::bind(site.socket(4317)).expect("the port is free");
    let received = std::thread::spawn(move || {
        let (mut stream, _) = collector.accept().expect("the gateway connects");
        let mut preface = [0; 14];
        stream.read_exact(&mut preface).expect("it says something");
        preface
    });
    let endpoint = format!("http://{}", site.socket(4317));
    let gateway = Gateway::serve(&site, |config| {
        let telemetry = toml::Table::from_iter([("otlp_endpoint".to_owned(), endpoint.into())]);
        config.insert("telemetry".to_owned(), telemetry.into());
    });
    drop(gateway.app().get("/v1/secret/data/app/db"));
    // Nobody answers there for long: spans must never hold up anything.
    drop(gateway.app().get("/v1/secret/data/app/db").expect(404));
    assert_eq!(
        &received.join().expect("the collector is well"),
        b"PRI * HTTP/2.0",
        "gRPC is HTTP/2"
    );
}

#[test]
fn lines_of_the_log_are_short_and_one_object_each_whatever_peers_send() {
    let site = Site::new();
    let first = Gateway::start(&site);
    let before = first.log().len();
    drop(first.stop());
    let gateway = Gateway::serve(&site, |config| {
        let settings = [("log", "debug"), ("format", "json")];
        let telemetry = settings.map(|(key, value)| (key.to_owned(), value.into()));
        config.insert("telemetry".to_owned(), toml::Table::from_iter(telemetry).into());
    });
    let long = "x".repeat(20_000);
    let strange = "a\u{9b}31m%0aERROR".repeat(100);
    drop(gateway.app().try_send("GET", &format!("/v1/secret/data/app/{long}"), &[], b""));
    drop(gateway.app().try_send("GET", "/v1/secret/data/app/%1b%5b2K%0a%0d", &[], b""));
    drop(gateway.app().try_send("POST", "/acme/new-order", &[("content-type", &long)], b"{"));
    drop(gateway.plain().try_send("GET", &format!("/crl/{long}"), &[], b""));
    let stranger = ForeignCa::new(&strange).client(&Holder::named(&strange));
    drop(gateway.client(&stranger).try_send("GET", "/v1/sys/health", &[], b""));
    for port in [Gateway::SERVE_PORT, Gateway::SERVE_HTTP_PORT] {
        let mut stream = TcpStream::connect(site.socket(port)).expect("the port is open");
        stream.write_all(strange.as_bytes()).expect("it can be sent");
        // Whatever the gateway answers, it ends the connection.
        let _ = stream.read_to_end(&mut vec![]);
    }
    let log = gateway.log().split_off(before);
    let log = log.lines().skip_while(|line| !line.starts_with('{')).collect::<Vec<_>>().join("\n");
    assert!(log.contains("refused a client certificate"), "{log}");
    for line in log.lines() {
        assert!(line.len() < 4096, "{} bytes: {line}", line.len());
        let object: serde_json::Value =
            serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        assert!(object["fields"]["message"].is_string(), "{line}");
        assert!(!line.contains(char::is_control), "{line:?}");
    }
}

#[test]
fn a_token_that_is_waited_for_is_told_of_once() {
    let site = Site::new();
    let token = Token::new(&site);
    drop(Options::new(&site).token(&token).start().stop());
    let config = std::fs::read_to_string(site.path().join("state/chancery.toml"))
        .expect("`chancery dev` has left its configuration");
    let mut config: toml::Table = config.parse().expect("it is TOML");
    let pkcs11 = config["pkcs11"].as_table_mut().expect("a table");
    pkcs11.insert("token".to_owned(), "elsewhere".into());
    pkcs11.insert("wait_seconds".to_owned(), 2.into());
    let file = site.write("state/waiting.toml", config.to_string());
    let mut command = Command::new(binary());
    command.env("SOFTHSM2_CONF", token.config()).arg("serve").arg("--config").arg(file);
    let said = process::run(&mut command).failure().stderr;
    let waiting: Vec<_> =
        said.lines().filter(|line| line.contains("waiting for the token")).collect();
    let [once, counted] = waiting[..] else { panic!("two lines: {said}") };
    assert!(!once.contains("repeated"), "{once}");
    assert!(counted.contains("this was repeated "), "{counted}");
}
