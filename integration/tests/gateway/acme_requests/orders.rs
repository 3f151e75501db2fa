//! Orders and certificate requests: RFC 8555, section 7.4.

use chancery_integration::acme::{self, Account};
use chancery_integration::http;
use chancery_integration::jws::Key;
use chancery_integration::lint;
use chancery_integration::process::{self, tool};
use serde_json::json;

use super::{Setup, assert_refused};

#[test]
fn an_unknown_profile() {
    let setup = Setup::new();
    let answer =
        setup.account.try_order(&["a.example.com"], json!({ "profile": "no-such-profile" }));
    assert_refused(&answer, 400, "invalidProfile");
    let detail = answer.json()["detail"].as_str().expect("a detail").to_owned();
    assert!(detail.contains("tls-server"), "it says which there are: {detail}");
    // One that exists, for others than ACME accounts.
    let answer = setup.account.try_order(&["a.example.com"], json!({ "profile": "service" }));
    assert!((400..=403).contains(&answer.status), "{}", answer.text());
    setup.assert_well();
}

#[test]
fn a_request_for_names_that_were_not_proved() {
    let setup = Setup::new();
    let account = &setup.account;
    for names in [
        &["a.example.com", "b.example.com"][..],
        &["b.example.com"],
        &["*.a.example.com"],
        &["example.com"],
        &[],
    ] {
        let order = setup.ready(&["a.example.com"]);
        let (request, _) = acme::request(names);
        assert_refused(&account.finalize(&order, &request), 400, "badCSR");
    }
    // Nothing of it was issued, and the order is not lost by it: the right request still works.
    let order = setup.ready(&["a.example.com"]);
    let (request, _) = acme::request(&["b.example.com"]);
    assert_refused(&account.finalize(&order, &request), 400, "badCSR");
    let (request, _) = acme::request(&["a.example.com"]);
    drop(account.finalize(&order, &request).expect(200));
    assert_eq!(http::certificates(&account.certificate(&order)).len(), 2);
    // A name smuggled in as common name.
    let order = setup.ready(&["a.example.com"]);
    let key = rcgen::KeyPair::generate().expect("a key can be made");
    let mut parameters =
        rcgen::CertificateParams::new(vec!["a.example.com".to_owned()]).expect("a name");
    parameters.distinguished_name.push(rcgen::DnType::CommonName, "b.example.com");
    let request = parameters.serialize_request(&key).expect("a request can be made");
    assert_refused(&account.finalize(&order, request.der()), 400, "badCSR");
    setup.assert_well();
}

#[test]
fn a_request_with_a_weak_key_or_no_request_at_all() {
    let setup = Setup::new();
    let account = &setup.account;
    let order = setup.ready(&["a.example.com"]);
    let request = |arguments: &[&str]| {
        let mut command = std::process::Command::new(tool("openssl"));
        command
            .args(["req", "-new", "-nodes", "-outform", "DER", "-subj", "/", "-keyout"])
            .arg(setup.site.file("weak.key"))
            .args(["-addext", "subjectAltName=DNS:a.example.com", "-out"])
            .arg(setup.site.file("weak.csr"))
            .args(arguments);
        drop(process::run(&mut command).success());
        std::fs::read(setup.site.file("weak.csr")).expect("the request is there")
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
    // The order took no harm from all the above.
    assert_eq!(account.refresh(&order).status(), "ready");
    drop(account.finalize(&order, &good).expect(200));
    let chain = account.certificate(&order);
    assert!(!lint::serial(&setup.site, &http::certificates(&chain)[0]).is_empty());
    setup.assert_well();
}

#[test]
fn finalize_at_the_wrong_time() {
    let setup = Setup::new();
    let account = &setup.account;
    let (request, _) = acme::request(&["a.example.com"]);
    let pending = account.order(&["a.example.com"]);
    assert_refused(&account.finalize(&pending, &request), 403, "orderNotReady");

    let order = setup.ready(&["a.example.com"]);
    drop(account.finalize(&order, &request).expect(200));
    drop(account.certificate(&order));
    assert_refused(&account.finalize(&order, &request), 403, "orderNotReady");
    setup.assert_well();
}

#[test]
fn a_request_for_the_account_s_own_key() {
    let setup = Setup::new();
    let key = rcgen::KeyPair::generate().expect("a key can be made");
    let account = Account::register_with(
        setup.gateway.anonymous(),
        &setup.gateway.ready().acme_directory,
        Key::from_pkcs8(key.serialized_der()),
    );
    let order = account.order(&["a.example.com"]);
    account.prove(&order, &setup.responder);
    let order = account.until(&order, "ready");
    let parameters =
        rcgen::CertificateParams::new(vec!["a.example.com".to_owned()]).expect("a name");
    let request = parameters.serialize_request(&key).expect("a request can be made");
    // RFC 8555, section 11.1: the key of an account must not be a certificate's as well.
    let answer = account.finalize(&order, request.der());
    let kind = answer.json()["type"].as_str().unwrap_or_default().to_owned();
    assert!((400..=403).contains(&answer.status), "{} {}", answer.status, answer.text());
    assert!(kind.ends_with(":badCSR") || kind.ends_with(":badPublicKey"), "{kind}");
    setup.assert_well();
}
