//! Requests to the ACME server that no real client would send. Each is refused with a problem
//! document that says what was wrong, and the gateway goes on as if nothing had been.

use chancery_integration::acme::{self, Account, MEDIA_TYPE, Order, assert_problem};
use chancery_integration::dns::Dns;
use chancery_integration::gateway::{Gateway, Options};
use chancery_integration::http::{self, Response};
use chancery_integration::jws::{Jws, Key, base64url};
use chancery_integration::lint;
use chancery_integration::process::{self, tool};
use chancery_integration::responder::Http01;
use chancery_integration::site::Site;
use serde_json::{Value, json};

/// A gateway with an account, and after the test a look whether it still goes.
struct Bench {
    gateway: Gateway,
    account: Account,
    // Both serve the gateway's validation as long as the test runs.
    _dns: Dns,
    responder: Http01,
    site: Site,
}

impl Bench {
    fn new() -> Self {
        let site = Site::new();
        let dns = Dns::start(&site);
        let gateway = Options::new(&site).dns(&dns).start();
        let responder = Http01::start(&site);
        let account = gateway.account();
        Self { gateway, account, _dns: dns, responder, site }
    }

    /// An order for names, all of them proved.
    fn ready(&self, names: &[&str]) -> Order {
        let order = self.account.order(names);
        self.account.prove(&order, &self.responder);
        self.account.until(&order, "ready")
    }

    /// Fails unless somebody can still get a certificate.
    fn assert_well(mut self) {
        self.gateway.assert_up();
        let (chain, _) = self.account.obtain(&["well.example.com"], &self.responder);
        assert_eq!(http::certificates(&chain).len(), 2);
    }
}

/// Fails unless the answer is that problem and carries a nonce for the next try.
#[track_caller]
fn assert_refused(answer: &Response, status: u16, kind: &str) {
    assert_problem(answer, status, kind);
    assert!(
        answer.header("replay-nonce").is_some(),
        "an error gives a nonce too: {:?}",
        answer.headers
    );
}

#[test]
fn malformed_jws() {
    let bench = Bench::new();
    let account = &bench.account;
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
    bench.assert_well();
}

#[test]
fn a_header_that_does_not_fit() {
    let bench = Bench::new();
    let account = &bench.account;
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
    bench.assert_well();
}

#[test]
fn a_wrong_url() {
    let bench = Bench::new();
    let account = &bench.account;
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
    bench.assert_well();
}

#[test]
fn a_nonce_that_is_replayed_invented_or_missing() {
    let bench = Bench::new();
    let account = &bench.account;
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
    for invented in
        ["AAAA", "x", &nonce[..nonce.len() - 1], &nonce.to_uppercase().replace('A', "B")]
    {
        let mut jws = account.jws(&url, &payload);
        jws.protected["nonce"] = json!(invented);
        assert_refused(&account.send(&url, &jws.sign(account.key())), 400, "badNonce");
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
    bench.assert_well();
}

#[test]
fn a_wrong_key() {
    let bench = Bench::new();
    let account = &bench.account;
    let stranger = bench.gateway.account();
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
    bench.assert_well();
}

#[test]
fn a_body_that_is_too_large_or_too_deep() {
    let bench = Bench::new();
    let account = &bench.account;
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
    bench.assert_well();
}

#[test]
fn a_payload_that_makes_no_sense() {
    let bench = Bench::new();
    let account = &bench.account;
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
    bench.assert_well();
}

#[test]
fn an_unknown_profile() {
    let bench = Bench::new();
    let answer =
        bench.account.try_order(&["a.example.com"], json!({ "profile": "no-such-profile" }));
    assert_refused(&answer, 400, "invalidProfile");
    let detail = answer.json()["detail"].as_str().expect("a detail").to_owned();
    assert!(detail.contains("tls-server"), "it says which there are: {detail}");
    // One that exists, for others than ACME accounts.
    let answer = bench.account.try_order(&["a.example.com"], json!({ "profile": "service" }));
    assert!((400..=403).contains(&answer.status), "{}", answer.text());
    bench.assert_well();
}

#[test]
fn a_request_for_names_that_were_not_proved() {
    let bench = Bench::new();
    let account = &bench.account;
    for names in [
        &["a.example.com", "b.example.com"][..],
        &["b.example.com"],
        &["*.a.example.com"],
        &["example.com"],
        &[],
    ] {
        let order = bench.ready(&["a.example.com"]);
        let (request, _) = acme::request(names);
        assert_refused(&account.finalize(&order, &request), 400, "badCSR");
    }
    // Nothing of it was issued, and the order is not lost by it: the right request still works.
    let order = bench.ready(&["a.example.com"]);
    let (request, _) = acme::request(&["b.example.com"]);
    assert_refused(&account.finalize(&order, &request), 400, "badCSR");
    let (request, _) = acme::request(&["a.example.com"]);
    drop(account.finalize(&order, &request).expect(200));
    assert_eq!(http::certificates(&account.certificate(&order)).len(), 2);
    // A name smuggled in as common name.
    let order = bench.ready(&["a.example.com"]);
    let key = rcgen::KeyPair::generate().expect("a key can be made");
    let mut parameters =
        rcgen::CertificateParams::new(vec!["a.example.com".to_owned()]).expect("a name");
    parameters.distinguished_name.push(rcgen::DnType::CommonName, "b.example.com");
    let request = parameters.serialize_request(&key).expect("a request can be made");
    assert_refused(&account.finalize(&order, request.der()), 400, "badCSR");
    bench.assert_well();
}

#[test]
fn a_request_with_a_weak_key_or_no_request_at_all() {
    let bench = Bench::new();
    let account = &bench.account;
    let order = bench.ready(&["a.example.com"]);
    let request = |arguments: &[&str]| {
        let mut command = std::process::Command::new(tool("openssl"));
        command
            .args(["req", "-new", "-nodes", "-outform", "DER", "-subj", "/", "-keyout"])
            .arg(bench.site.file("weak.key"))
            .args(["-addext", "subjectAltName=DNS:a.example.com", "-out"])
            .arg(bench.site.file("weak.csr"))
            .args(arguments);
        drop(process::run(&mut command).success());
        std::fs::read(bench.site.file("weak.csr")).expect("the request is there")
    };
    for weak in [
        &["-newkey", "rsa:1024"][..],
        &["-newkey", "rsa:2048", "-pkeyopt", "rsa_keygen_pubexp:3"],
        &["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime192v1"],
        &["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:secp256k1"],
        &[
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
            "-pkeyopt",
            "ec_param_enc:explicit",
        ],
    ] {
        let answer = account.finalize(&order, &request(weak));
        let kind = answer.json()["type"].as_str().unwrap_or_default().to_owned();
        assert!(
            (400..=403).contains(&answer.status),
            "{weak:?}: {} {}",
            answer.status,
            answer.text()
        );
        assert!(kind.ends_with(":badCSR") || kind.ends_with(":badPublicKey"), "{weak:?}: {kind}");
    }
    let good = acme::request(&["a.example.com"]).0;
    let mut broken = good.clone();
    *broken.last_mut().expect("a request has bytes") ^= 1;
    let garbage = vec![0x30; 3000];
    for bad in [
        &b""[..],
        b"0",
        &[0; 100],
        &garbage,
        &good[..good.len() - 1],
        &broken,
        &[good.clone(), good.clone()].concat(),
    ] {
        let answer = account.finalize(&order, bad);
        let kind = answer.json()["type"].as_str().unwrap_or_default().to_owned();
        assert!((400..=403).contains(&answer.status), "{}", answer.text());
        assert!(kind.ends_with(":badCSR") || kind.ends_with(":malformed"), "{kind}");
    }
    // The account's own key must not be certified (RFC 8555, section 11.1): nothing here makes that
    // request; but the order took no harm from all the above.
    assert_eq!(account.refresh(&order).status(), "ready");
    drop(account.finalize(&order, &good).expect(200));
    let chain = account.certificate(&order);
    assert!(!lint::serial(&bench.site, &http::certificates(&chain)[0]).is_empty());
    bench.assert_well();
}

#[test]
fn finalize_at_the_wrong_time() {
    let bench = Bench::new();
    let account = &bench.account;
    let (request, _) = acme::request(&["a.example.com"]);
    let pending = account.order(&["a.example.com"]);
    assert_refused(&account.finalize(&pending, &request), 403, "orderNotReady");

    let order = bench.ready(&["a.example.com"]);
    drop(account.finalize(&order, &request).expect(200));
    drop(account.certificate(&order));
    assert_refused(&account.finalize(&order, &request), 403, "orderNotReady");
    bench.assert_well();
}

#[test]
fn a_wrong_answer_to_a_challenge() {
    let bench = Bench::new();
    let account = &bench.account;
    let order = account.order(&["a.example.com"]);
    let body = account.get(&order.authorizations()[0]).expect(200).json();
    let challenge = acme::challenge(&body, "http-01");
    let token = challenge["token"].as_str().expect("a token");
    // Another account's key authorization.
    bench.responder.answer(token, &Key::generate().authorization(token));
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
    bench.assert_well();
}

#[test]
fn validation_goes_nowhere_that_it_should_not() {
    let bench = Bench::new();
    let account = &bench.account;
    let order = account.order(&["a.example.com"]);
    let body = account.get(&order.authorizations()[0]).expect(200).json();
    let challenge = acme::challenge(&body, "http-01");
    let token = challenge["token"].as_str().expect("a token");
    let path = format!("/.well-known/acme-challenge/{token}");
    // A redirect to the gateway's own plain port.
    bench.responder.redirect(&path, &format!("{}/health", bench.gateway.ready().http));
    drop(account.post(challenge["url"].as_str().expect("a URL"), &json!({})).expect(200));
    drop(account.until(&order, "invalid"));

    // A redirect in a circle ends.
    let order = account.order(&["b.example.com"]);
    let body = account.get(&order.authorizations()[0]).expect(200).json();
    let challenge = acme::challenge(&body, "http-01");
    let token = challenge["token"].as_str().expect("a token");
    let path = format!("/.well-known/acme-challenge/{token}");
    bench.responder.redirect(&path, &path);
    let before = bench.responder.asked().len();
    drop(account.post(challenge["url"].as_str().expect("a URL"), &json!({})).expect(200));
    drop(account.until(&order, "invalid"));
    assert!(bench.responder.asked().len() - before <= 11, "at most ten redirects");
    bench.assert_well();
}

#[test]
fn a_deactivated_account_can_do_nothing() {
    let bench = Bench::new();
    let account = bench.gateway.account();
    let order = account.order(&["a.example.com"]);
    let answer = account.post(&account.url, &json!({ "status": "deactivated" })).expect(200);
    assert_eq!(answer.json()["status"], "deactivated");
    let refused = account.get(&order.url);
    assert!(matches!(refused.status, 401 | 403), "{} {}", refused.status, refused.text());
    assert!(refused.text().contains("unauthorized"), "{}", refused.text());
    bench.assert_well();
}

#[test]
fn a_method_that_a_resource_does_not_have() {
    let bench = Bench::new();
    let account = &bench.account;
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
    bench.assert_well();
}
