//! The Prometheus page on the plain port.

use chancery_integration::dns::Dns;
use chancery_integration::gateway::{Gateway, Options};
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

    let answer = gateway.plain().get("/metrics").expect(200);
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
        "/dev/app.key",
    ] {
        assert_eq!(plain.get(path).status, 404, "{path}");
    }
}

#[test]
fn spans_go_out_over_otlp_where_that_is_configured() {
    use std::io::Read;

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
