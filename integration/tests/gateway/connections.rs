//! What clients' connections may take: time, room and memory; and under which names they are answered.

use std::net::Ipv4Addr;
use std::time::Duration;

use chancery_integration::clients::curl::Curl;
use chancery_integration::dns::Dns;
use chancery_integration::gateway::{Gateway, Options};
use chancery_integration::http::{Client, Connection};
use chancery_integration::process;
use chancery_integration::responder::Http01;
use chancery_integration::site::Site;
use serde_json::json;

/// `chancery serve` with these settings in `[server]`.
fn serve(site: &Site, settings: &[(&str, toml::Value)]) -> Gateway {
    drop(Gateway::start(site).stop());
    Gateway::serve(site, |config| set(config, settings))
}

fn set(config: &mut toml::Table, settings: &[(&str, toml::Value)]) {
    let server = config["server"].as_table_mut().expect("a table");
    for (key, value) in settings {
        server.insert((*key).to_owned(), value.clone());
    }
}

/// The preface of HTTP/2 and an empty SETTINGS frame (RFC 9113, sections 3.4 and 6.5).
const HTTP2: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";

#[test]
fn whoever_does_nothing_is_let_go() {
    let site = Site::new();
    let second = || toml::Value::from(2);
    let gateway = serve(
        &site,
        &[
            ("handshake_seconds", 5.into()),
            ("first_byte_seconds", second()),
            ("header_seconds", second()),
            ("idle_seconds", second()),
            ("body_grace_seconds", second()),
            ("stall_seconds", second()),
            ("http2_ping_seconds", second()),
            ("http2_pong_seconds", second()),
        ],
    );
    let host = site.socket(Gateway::SERVE_PORT);
    let body = format!(
        "POST /acme/new-account HTTP/1.1\r\nhost: {host}\r\ncontent-type: application/jose+json\r\n\
         content-length: 100\r\n\r\n{{"
    );
    let question = "POST /ocsp/x HTTP/1.1\r\nhost: a\r\ncontent-type: application/ocsp-request\r\n\
                    content-length: 100\r\n\r\n0";
    // What is sent, to the plain port or not, and what the answer begins with.
    let cases: [(bool, &[u8], &str); 10] = [
        (true, b"", ""),
        (true, b"PRI * HTTP/2.0\r\n", ""),
        (true, HTTP2, "\0"),
        (true, b"GET /health HTTP/1.1\r\nhost: a\r\nx-slow: ", ""),
        (true, b"GET /health HTTP/1.1\r\nhost: a\r\n\r\n", "HTTP/1.1 200"),
        (true, question.as_bytes(), "HTTP/1.1 408"),
        (false, b"", ""),
        (false, b"GET /v1/sys/health HTTP/1.1\r\n", ""),
        (false, HTTP2, "\0"),
        (false, body.as_bytes(), "HTTP/1.1 408"),
    ];
    let open = |plain, sent: &[u8]| match plain {
        true => gateway.plain().connect(),
        false if sent == HTTP2 => gateway.anonymous().http2().connect(),
        false => gateway.anonymous().connect(),
    };
    let mut connections: Vec<Connection> =
        cases.iter().map(|(plain, sent, _)| open(*plain, sent).expect("a connection")).collect();
    let mut no_tls = Client::plain(&gateway.ready().api).connect().expect("a connection");
    for (connection, (_, sent, _)) in connections.iter_mut().zip(&cases) {
        connection.write(sent).expect("it can be sent");
    }
    for (connection, (_, sent, begin)) in connections.iter_mut().zip(&cases) {
        let said = connection.until_closed().unwrap_or_else(|error| {
            panic!("still open after {:?}: {error}", String::from_utf8_lossy(sent))
        });
        let said = String::from_utf8_lossy(&said);
        assert!(said.starts_with(begin) && said.is_empty() == begin.is_empty(), "{said}");
    }
    no_tls.until_closed().expect("no handshake came");
}

#[test]
fn a_full_plain_port_leaves_the_tls_port_alone() {
    let site = Site::new();
    let twenty = || toml::Value::from(20);
    let gateway = serve(
        &site,
        &[
            ("connections", twenty()),
            ("http_connections", twenty()),
            ("connections_per_address", 100.into()),
        ],
    );
    let silent: Vec<_> =
        (0..20).map(|_| gateway.plain().connect().expect("there is room")).collect();
    drop(gateway.anonymous().get("/v1/sys/health").expect(200));
    // And an active client gets the place of an idle one.
    drop(gateway.plain().get("/health").expect(200));
    drop(silent);
}

#[test]
fn an_address_has_its_share_and_no_more() {
    let site = Site::new();
    let gateway = serve(&site, &[("connections_per_address", 2.into())]);
    for client in [gateway.plain(), gateway.anonymous()] {
        let target = "/v1/sys/health";
        // An earlier connection may still count, for a moment after its end.
        let answered = || {
            let mut connection = client.connect().ok()?;
            connection.send("GET", target, &[], b"").ok().map(|_| connection)
        };
        let open = || process::eventually("there is room", Duration::from_mins(1), answered);
        let (first, _second) = (open(), open());
        assert!(client.try_send("GET", target, &[], b"").is_err(), "two are the share");
        let other = client.clone().through(site.address(), b"");
        drop(other.try_send("GET", target, &[], b"").expect("another address has its own"));
        drop(first);
        drop(open());
    }
}

#[test]
fn an_answer_arrives_although_the_body_is_too_long() {
    let site = Site::new();
    let gateway = Gateway::start(&site);
    for (target, mebibytes, status) in [
        ("/v1/secret/data/app/x", 2, 413),
        ("/v1/secret/data/app/x", 40, 413),
        ("/v1/transit/encrypt/app-x", 40, 413),
        ("/v1/elsewhere/x", 8, 413),
        ("/acme/new-account", 8, 415),
    ] {
        // All of it is sent before anything is read, as most clients do.
        let body = vec![b' '; mebibytes << 20];
        let mut connection = gateway.app().connect().expect("a connection");
        let answer = connection.send("POST", target, &[], &body);
        let answer = answer.unwrap_or_else(|error| panic!("{target}, {mebibytes} MiB: {error}"));
        assert_eq!(answer.status, status, "{target}: {}", answer.text());
        // A client that asks before it sends is told before.
        let head = format!(
            "POST {target} HTTP/1.1\r\nhost: localhost\r\nexpect: 100-continue\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        let mut connection = gateway.app().connect().expect("a connection");
        connection.write(head.as_bytes()).expect("the head can be sent");
        assert_eq!(connection.read(false).expect("an answer").status, status, "{target}");
    }
    // Nobody's body is read: a stranger learns at once that it is one.
    let body = vec![b' '; 8 << 20];
    let answer = gateway.anonymous().send("POST", "/v1/secret/data/app/x", &[], &body);
    assert_eq!(answer.status, 403, "{}", answer.text());
}

#[test]
fn curl_gets_the_answer_to_a_body_that_is_too_long_by_either_protocol() {
    let site = Site::new();
    let gateway = Gateway::start(&site);
    let ready = gateway.ready();
    let curl = Curl::new(&ready.root).with(&ready.app_cert, &ready.app_key);
    for (target, mebibytes) in [("/v1/secret/data/app/x", 2), ("/v1/transit/encrypt/app-x", 40)] {
        let body = format!("@{}", site.write("body", vec![b' '; mebibytes << 20]).display());
        let url = format!("{}{target}", ready.api);
        for protocol in ["--http1.1", "--http2"] {
            let said = curl.run(&[protocol, "--header", "Expect:", "--data-binary", &body, &url]);
            assert!(said.success().stdout.ends_with("\n413"), "{protocol} {target}");
        }
    }
}

/// Where trailers end is not read as strictly as RFC 9112 §7.1.2 says, so nothing behind them is another request.
#[test]
fn a_request_with_trailers_is_the_last_of_its_connection() {
    let site = Site::new();
    let mut gateway = Gateway::start(&site);
    let send = |connection: &mut Connection, end: &str| {
        let body = r#"{"data":{"a":"b"}}"#;
        let request = format!(
            "POST /v1/secret/data/app/a HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\n\
             {:x}\r\n{body}\r\n0\r\n{end}",
            body.len()
        );
        connection.write(request.as_bytes()).expect("it is sent");
        connection.read(false).expect("an answer")
    };
    for (trailers, status) in [("x: y\r\n", 200), ("x: y\nz: a\r\n", 400)] {
        let mut connection = gateway.app().connect().expect("a connection");
        let kept = send(&mut connection, "\r\n").expect(200);
        assert_eq!(kept.header("connection"), None);
        let next = "GET /v1/sys/health HTTP/1.1\r\nhost: localhost\r\n\r\n";
        let last = send(&mut connection, &format!("{trailers}\r\n{next}")).expect(status);
        assert_eq!(last.header("connection"), Some("close"), "{trailers:?}");
        assert_eq!(connection.until_closed().expect("it is closed"), b"");
    }
    gateway.assert_up();
}

#[test]
fn a_key_takes_a_long_batch() {
    let site = Site::new();
    let gateway = Gateway::start(&site);
    drop(gateway.administer(&["keys", "create", "app-bulk"]).success());
    let plaintext = "A".repeat(400_000);
    let batch = vec![json!({ "plaintext": plaintext }); 20];
    let answer =
        gateway.app().post("/v1/transit/encrypt/app-bulk", &json!({ "batch_input": batch }));
    let answer = answer.expect(200).json();
    assert_eq!(answer["data"]["batch_results"].as_array().map(Vec::len), Some(20));
    let secret = json!({ "data": { "a": "x".repeat(2 << 20) } });
    drop(gateway.app().post("/v1/secret/data/app/x", &secret).expect(413));
}

#[test]
fn only_own_names_are_answered_on_the_tls_port() {
    let site = Site::new();
    let hosts: Vec<toml::Value> =
        vec!["ca.example.com".into(), "forwarded.example.com:9443".into()];
    let gateway = serve(&site, &[("hosts", hosts.into())]);
    let ask = |client: Client, target: &str, host: &str| {
        let mut connection = client.connect().expect("a connection");
        let request = format!("GET {target} HTTP/1.1\r\nhost: {host}\r\n\r\n");
        connection.write(request.as_bytes()).expect("it can be sent");
        connection.read(false).expect("an answer")
    };
    let port = Gateway::SERVE_PORT;
    for (host, acme, vault) in [
        ("localhost", 200, 200),
        (&*format!("localhost:{port}"), 200, 200),
        (&*format!("{}:{port}", site.address()), 200, 200),
        ("ca.example.com", 200, 200),
        ("forwarded.example.com:9443", 200, 200),
        // URLs are signed with ACME, so the port has to be one that they can have.
        ("localhost:9443", 421, 200),
        ("evil.example.com", 421, 421),
        ("ca.example.com.evil.example.com", 421, 421),
        ("", 400, 400),
    ] {
        let answer = ask(gateway.anonymous(), "/acme/directory", host);
        assert_eq!(answer.status, acme, "{host}: {}", answer.text());
        if acme == 200 {
            let url = answer.json()["newOrder"].as_str().expect("a URL").to_owned();
            assert_eq!(url, format!("https://{host}/acme/new-order"));
        } else {
            let kind = answer.json()["type"].as_str().expect("a problem document").to_owned();
            assert!(kind.ends_with(":malformed"), "{kind}");
        }
        let answer = ask(gateway.anonymous(), "/v1/sys/health", host);
        assert_eq!(answer.status, vault, "{host}: {}", answer.text());
        if vault != 200 {
            assert!(answer.json()["errors"][0].is_string(), "{}", answer.text());
        }
        // Probes, old clients, and whatever name certificates carry.
        assert_eq!(ask(gateway.plain(), "/health", host).status, 200, "{host}");
    }
}

/// A header of the PROXY protocol, version 2, about a connection from 192.0.2.77, port 4711.
const FROM_192_0_2_77: &[u8] =
    b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\xc0\0\x02\x4d\xc0\0\x02\x01\x12\x67\x20\xfb";
/// The same for what a balancer does on its own behalf.
const LOCAL: &[u8] = b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0";

#[test]
fn a_load_balancer_says_whose_connection_it_is() {
    let site = Site::new();
    let balancer: Ipv4Addr = site.address();
    let networks: Vec<toml::Value> = vec![format!("{balancer}/32").into()];
    let gateway = serve(
        &site,
        &[("proxy_protocol_from", networks.into()), ("connections_per_address", 2.into())],
    );
    let target = "/v1/secret/data/payroll/x";
    let denied = |client: Client| {
        drop(client.get(target).expect(403));
        let line = gateway.audit().pop().expect("a denial is on record");
        line["actor"]["address"].as_str().expect("an address").to_owned()
    };
    let through = |preamble| gateway.app().through(balancer, preamble);
    assert_eq!(denied(through(FROM_192_0_2_77)), "192.0.2.77");
    assert_eq!(denied(through(LOCAL)), balancer.to_string());
    assert_eq!(denied(gateway.app()), "127.0.0.1");

    // It has to send the header, and others' is not read.
    assert!(through(b"").try_send("GET", target, &[], b"").is_err());
    let plain = |preamble| gateway.plain().through(balancer, preamble);
    assert!(plain(b"").try_send("GET", "/health", &[], b"").is_err());
    assert!(
        plain(b"PROXY TCP4 192.0.2.77 192.0.2.1 4711 80\r\n")
            .try_send("GET", "/health", &[], b"")
            .is_err()
    );
    drop(plain(FROM_192_0_2_77).get("/health").expect(200));
    let pretending = gateway.app().through(Ipv4Addr::LOCALHOST, FROM_192_0_2_77);
    assert!(pretending.try_send("GET", target, &[], b"").is_err());

    // Shares are the clients', not the balancer's.
    let open = || {
        let mut connection = plain(FROM_192_0_2_77).connect().expect("a connection");
        connection.send("GET", "/health", &[], b"").map(|answer| (connection, answer.status))
    };
    let held = [open().expect("there is room"), open().expect("there is room")];
    assert!(open().is_err(), "two are the share");
    drop(plain(LOCAL).get("/health").expect(200));
    drop(held);
}

#[test]
fn a_full_table_never_makes_a_challenge_invalid() {
    let site = Site::new();
    let dns = Dns::start(&site);
    drop(Options::new(&site).dns(&dns).start().stop());
    let gateway = Gateway::serve_with_open_files(&site, 256, |config| {
        set(
            config,
            &[
                ("first_byte_seconds", 3600.into()),
                ("connections_per_address", 10_000.into()),
                ("drain_seconds", 0.into()),
            ],
        );
    });
    assert!(gateway.log().contains("too few open files"), "{}", gateway.log());
    let responder = Http01::start(&site);
    let account = gateway.account();
    // More than there are places, and none of them does anything.
    let connect = |client: Client| move |_| client.connect().ok();
    let silent: Vec<_> = (0..120)
        .filter_map(connect(gateway.anonymous()))
        .chain((0..120).filter_map(connect(gateway.plain())))
        .collect();
    assert!(silent.len() > 100, "{}", silent.len());
    let (chain, _) = account.obtain(&["a.example.com"], &responder);
    assert!(chain.contains("BEGIN CERTIFICATE"), "{chain}");
    let open = std::fs::read_dir(format!("/proc/{}/fd", gateway.id())).expect("it runs").count();
    assert!((90..200).contains(&open), "{open} files are open");
}

#[test]
fn strangers_leave_places_for_whoever_has_a_certificate() {
    let site = Site::new();
    let gateway =
        serve(&site, &[("connections", 40.into()), ("connections_per_address", 100.into())]);
    // Ten addresses, with a request under way on each of their connections.
    let stranger = |address: u8| {
        let client = gateway.anonymous().through(Ipv4Addr::new(127, 77, 0, address), b"");
        let mut connection = client.connect().ok()?;
        let headers = [("content-type", "application/jose+json")];
        connection.park("POST", "/acme/new-account", &headers, 100).ok()?;
        Some(connection)
    };
    let strangers: Vec<_> = (0..30).filter_map(|number| stranger(number % 10)).collect();
    assert_eq!(strangers.len(), 30);
    let page = || gateway.monitoring().get("/metrics").expect(200).text();
    let open = "chancery_server_connections{port=\"tls\"} 30";
    assert!(page().contains(open), "{}", page());

    let service = || {
        let mut connection = gateway.app().connect().expect("a place");
        let answer = connection.send("GET", "/v1/sys/health", &[], b"").expect("an answer");
        assert_eq!(answer.status, 200);
        connection
    };
    let services: Vec<_> = (0..10).map(|_| service()).collect();
    let page = page();
    assert!(page.contains("chancery_server_connections_verified{port=\"tls\"} 10"), "{page}");
    // Only the first came as a stranger.
    assert_eq!(displaced(&gateway), 1, "{page}");
    // Further strangers displace each other and no service.
    let _ = (10..20).filter_map(stranger).count();
    for mut connection in services {
        let answer = connection.send("GET", "/v1/sys/health", &[], b"").expect("an answer");
        assert_eq!(answer.status, 200);
    }
}

#[test]
fn a_certificate_that_nobody_has_seen_finds_a_place_among_strangers() {
    let site = Site::new();
    let gateway = serve(&site, &[("connections", 40.into())]);
    // A stranger makes room after some seconds, so it is tried until all of it happened before.
    let mut attempt = 0;
    process::eventually("a client gets in beside all strangers", Duration::from_mins(2), || {
        attempt += 1;
        let before = displaced(&gateway);
        // Each from an address of its own, with a request under way.
        let stranger = |address: u8| {
            let client = gateway.anonymous().through(Ipv4Addr::new(127, 77, attempt, address), b"");
            let mut connection = client.connect().ok()?;
            let headers = [("content-type", "application/jose+json")];
            connection.park("POST", "/acme/new-account", &headers, 100).ok()?;
            Some(connection)
        };
        let strangers: Vec<_> = (1..=30).filter_map(stranger).collect();
        let service = gateway.app().through(Ipv4Addr::new(127, 79, attempt, 1), b"");
        let mut connection = service.connect().ok()?;
        let answer = connection.send("GET", "/v1/sys/health", &[], b"").ok()?;
        assert_eq!(answer.status, 200);
        let page = gateway.monitoring().get("/metrics").expect(200).text();
        let full = page.contains("chancery_server_connections{port=\"tls\"} 31");
        let nobody_went = displaced(&gateway) == before;
        (strangers.len() == 30 && full && nobody_went).then_some(())
    });
}

/// How many connections to the TLS port made room for others.
fn displaced(gateway: &Gateway) -> u64 {
    let page = gateway.monitoring().get("/metrics").expect(200).text();
    let counts = page.lines().filter_map(|line| {
        let line = line.strip_prefix("chancery_server_connections_displaced_total{port=\"tls\"")?;
        line.rsplit_once(' ')?.1.parse::<u64>().ok()
    });
    counts.sum()
}

#[test]
fn an_address_begins_so_many_handshakes_and_no_more() {
    let site = Site::new();
    let gateway = serve(&site, &[("handshakes_per_address", 1.into())]);
    let address = Ipv4Addr::new(127, 78, 0, 1);
    // TCP alone begins one.
    let tls = Client::plain(&gateway.ready().api);
    let connect = || tls.clone().through(address, b"").connect().expect("it is accepted");
    let _open: Vec<_> = (0..30).map(|_| connect()).collect();
    process::eventually("some are refused", Duration::from_mins(1), || {
        let page = gateway.monitoring().get("/metrics").expect(200).text();
        let refused =
            "chancery_server_connections_refused_total{port=\"tls\",reason=\"handshakes\"}";
        page.contains(refused).then_some(())
    });
    let other = gateway.anonymous().through(Ipv4Addr::new(127, 78, 0, 2), b"");
    drop(other.get("/v1/sys/health").expect(200));
}

#[test]
fn whoever_is_let_go_is_told_that_it_was_not_cut_off() {
    let site = Site::new();
    let second = || toml::Value::from(1);
    let gateway = serve(
        &site,
        &[
            ("first_byte_seconds", second()),
            ("header_seconds", second()),
            ("idle_seconds", second()),
            ("connections", 4.into()),
            ("connections_per_address", 4.into()),
        ],
    );
    let mut cases: Vec<_> = [
        &b""[..],
        b"GET /v1/sys/health HTTP/1.1\r\n",
        b"GET /v1/sys/health HTTP/1.1\r\nhost: localhost\r\n\r\n",
    ]
    .map(|sent| (gateway.anonymous().connect().expect("a place"), sent))
    .into();
    for (connection, sent) in &mut cases {
        connection.write(sent).expect("it can be sent");
    }
    for (mut connection, sent) in cases {
        let said = connection.until_told();
        assert!(said.is_ok(), "{}: {said:?}", String::from_utf8_lossy(sent));
    }
    let mut connection = gateway.anonymous().http2().connect().expect("a place");
    connection.write(HTTP2).expect("it can be sent");
    drop(connection.until_told().expect("it is told"));
}

#[test]
fn whoever_gets_no_place_after_its_handshake_is_told_that_it_was_not_cut_off() {
    let site = Site::new();
    let settings = [
        ("connections", 8.into()),
        ("handshake_seconds", 4.into()),
        ("first_byte_seconds", 1.into()),
    ];
    let gateway = serve(&site, &settings);
    // Of a known address, so that it has a reserved place for its handshake.
    let address = Ipv4Addr::new(127, 80, 1, 1);
    drop(gateway.app().through(address, b"").get("/v1/sys/health").expect(200));
    let stranger = |address: u8| {
        let client = gateway.anonymous().through(Ipv4Addr::new(127, 80, 0, address), b"");
        let mut connection = client.connect().ok()?;
        let headers = [("content-type", "application/jose+json")];
        connection.park("POST", "/acme/new-account", &headers, 100).ok()?;
        Some(connection)
    };
    let strangers: Vec<_> = (1..=6).filter_map(stranger).collect();
    assert_eq!(strangers.len(), 6);
    let mut connection = gateway.anonymous().through(address, b"").connect().expect("a handshake");
    drop(connection.until_told().expect("it is told"));
}

#[test]
fn what_was_negotiated_is_spoken() {
    let site = Site::new();
    let gateway = Gateway::start(&site);
    let said = |client: Client, sent: &[u8]| {
        let mut connection = client.connect().expect("a place");
        connection.write(sent).expect("it can be sent");
        let said = connection.until_told().expect("it is told");
        String::from_utf8_lossy(&said).into_owned()
    };
    let request = b"GET /v1/sys/health HTTP/1.1\r\nhost: localhost\r\n\r\n";
    let told = said(gateway.anonymous().http2(), request);
    assert!(told.contains("h2 was negotiated (ALPN)") && !told.contains("HTTP/1.1"), "{told}");
    let told = said(gateway.anonymous(), HTTP2);
    assert!(told.starts_with("HTTP/1.1 505 "), "{told}");
}

#[test]
fn whoever_makes_room_is_told_that_it_was_not_cut_off() {
    let site = Site::new();
    let settings = [("connections", 4.into()), ("connections_per_address", 4.into())];
    let gateway = serve(&site, &settings);
    let connect = |_| {
        let mut connection = gateway.anonymous().http2().connect().expect("a place");
        connection.write(HTTP2).expect("it can be sent");
        connection
    };
    // Three places are strangers', so the first is displaced.
    let mut all: Vec<_> = (0..4).map(connect).collect();
    let said = all.remove(0).until_told().expect("it is told");
    let goaway = b"\0\0\x08\x07\0\0\0\0\0\0\0\0\0\0\0\0\0";
    assert!(said.ends_with(goaway), "{said:?}");
}
