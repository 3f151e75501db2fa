//! Orders survive a crash (SIGKILL) and a restart in every state that they can be in.

use chancery_integration::acme::{self, Account};
use chancery_integration::dns::Dns;
use chancery_integration::gateway::{Gateway, Options};
use chancery_integration::http;
use chancery_integration::lint::{self, Purpose};
use chancery_integration::responder::Http01;
use chancery_integration::site::Site;

const NAMES: [&str; 2] = ["a.example.com", "b.example.com"];

/// Crashes the gateway; the account goes on with the next one.
fn crash(gateway: Gateway, account: Account) -> (Gateway, Account) {
    let gateway = gateway.kill_and_restart();
    let url = account.url.clone();
    let account = account.at(gateway.anonymous(), &gateway.ready().acme_directory);
    assert_eq!(account.url, url, "the account is still the same");
    (gateway, account)
}

#[test]
fn an_order_goes_on_after_a_crash_in_every_state() {
    let site = Site::new();
    let dns = Dns::start(&site);
    let responder = Http01::start(&site);
    let gateway = Options::new(&site).dns(&dns).start();
    let account = gateway.account();

    let order = account.order(&NAMES);
    assert_eq!(order.status(), "pending");
    let (gateway, account) = crash(gateway, account);
    assert_eq!(account.refresh(&order).body, order.body, "nothing is lost of a pending order");

    account.prove_one(&order.authorizations()[0], &responder);
    let (gateway, account) = crash(gateway, account);
    assert_eq!(account.refresh(&order).status(), "pending", "one name is not proved yet");

    account.prove_one(&order.authorizations()[1], &responder);
    let order = account.until(&order, "ready");
    let (gateway, account) = crash(gateway, account);
    assert_eq!(account.refresh(&order).body, order.body, "nothing is lost of a ready order");

    let (request, _) = acme::request(&NAMES);
    drop(account.finalize(&order, &request).expect(200));
    let chain = account.certificate(&order);
    let (gateway, account) = crash(gateway, account);
    assert_eq!(account.certificate(&order), chain, "the certificate is still the same");
    lint::assert_chain(&site, &chain, &gateway.ready().root, Purpose::Server);
}

#[test]
fn a_crash_in_the_middle_of_finalize_issues_one_certificate_at_most_and_strands_nobody() {
    let site = Site::new();
    let dns = Dns::start(&site);
    let responder = Http01::start(&site);
    let gateway = Options::new(&site).dns(&dns).start();
    let account = gateway.account();
    let order = account.order(&NAMES);
    account.prove(&order, &responder);
    let order = account.until(&order, "ready");
    let (request, _) = acme::request(&NAMES);

    // The request is on its way and its answer is never read.
    let body = account
        .jws(
            &order.finalize(),
            &serde_json::json!({ "csr": chancery_integration::jws::base64url(&request) }),
        )
        .sign(account.key())
        .to_string();
    let mut connection = account.client().connect().expect("the gateway is up");
    let head = format!(
        "POST {} HTTP/1.1\r\nhost: localhost\r\ncontent-type: {}\r\ncontent-length: {}\r\n\r\n",
        http::target(&order.finalize()),
        acme::MEDIA_TYPE,
        body.len()
    );
    connection
        .write(&[head.as_bytes(), body.as_bytes()].concat())
        .expect("the request can be sent");
    let (gateway, account) = crash(gateway, account);

    // It was finalized or it was not; either way the client gets where it wanted to be.
    let mut now = account.refresh(&order);
    if now.status() == "ready" {
        drop(account.finalize(&order, &request).expect(200));
        now = account.until(&order, "valid");
    }
    assert!(["processing", "valid"].contains(&now.status()), "{}", now.body);
    let chain = account.certificate(&order);
    lint::assert_chain(&site, &chain, &gateway.ready().root, Purpose::Server);
    assert_eq!(account.certificate(&order), chain, "and it is one certificate");
}

#[test]
fn a_second_start_continues_with_the_same_state() {
    let site = Site::new();
    let gateway = Gateway::start(&site);
    let read = |path: &std::path::Path| std::fs::read_to_string(path).expect("the file is there");
    let ready = gateway.ready().clone();
    let before =
        [&ready.root, &ready.app_cert, &ready.app_key, &ready.admin_cert].map(|path| read(path));
    let secret = serde_json::json!({ "data": { "password": "correct horse" } });
    drop(gateway.app().post("/v1/secret/data/app/db", &secret).expect(200));
    let lines = gateway.audit().len();
    let (status, _) = gateway.stop();
    assert!(status.success(), "{status}");

    let gateway = Gateway::start(&site);
    let ready = gateway.ready().clone();
    let after =
        [&ready.root, &ready.app_cert, &ready.app_key, &ready.admin_cert].map(|path| read(path));
    assert_eq!(before, after, "root and client certificates are kept while they are good");
    let answer = gateway.app().get("/v1/secret/data/app/db").expect(200).json();
    assert_eq!(answer["data"]["data"]["password"], "correct horse");
    assert!(gateway.audit().len() > lines, "the audit log goes on");
}

#[test]
fn no_secret_that_was_acknowledged_is_lost_by_a_crash_under_load() {
    use std::sync::Mutex;
    use std::sync::atomic::{AtomicBool, Ordering};

    let site = Site::new();
    let mut gateway = Gateway::start(&site);
    let mut kept = Vec::new();
    for round in 0..3 {
        let acknowledged = Mutex::new(Vec::new());
        let crashed = AtomicBool::new(false);
        gateway = std::thread::scope(|scope| {
            for writer in 0..4 {
                let (client, acknowledged, crashed) = (gateway.app(), &acknowledged, &crashed);
                scope.spawn(move || {
                    let mut connection = client.connect().expect("the gateway is up");
                    for n in 0.. {
                        let path = format!("/v1/secret/data/app/{round}-{writer}-{n}");
                        let body = format!("{{\"data\":{{\"n\":{n}}}}}");
                        match connection.send("POST", &path, &[], body.as_bytes()) {
                            Ok(answer) if answer.status == 200 => {
                                acknowledged.lock().expect("nobody panicked").push((path, n));
                            }
                            Ok(answer) => panic!("{} {}", answer.status, answer.text()),
                            Err(_) if crashed.load(Ordering::SeqCst) => break,
                            Err(error) => panic!("before the crash: {error}"),
                        }
                    }
                });
            }
            chancery_integration::process::eventually(
                "some writes are acknowledged",
                std::time::Duration::from_mins(1),
                || (acknowledged.lock().expect("nobody panicked").len() > 40).then_some(()),
            );
            crashed.store(true, Ordering::SeqCst);
            gateway.kill_and_restart()
        });
        kept.extend(acknowledged.into_inner().expect("nobody panicked"));
    }
    let mut connection = gateway.app().connect().expect("the gateway is up");
    for (path, n) in &kept {
        let answer = connection.send("GET", path, &[], b"").expect("an answer").expect(200).json();
        assert_eq!(answer["data"]["data"]["n"], *n, "{path}");
    }
    // And the audit log knows of every one of them.
    let (audit, file) = (gateway.audit(), gateway.audit_file());
    let created = audit.iter().filter(|line| line["operation"] == "secrets.create").count();
    assert!(created >= kept.len(), "{created} lines for {} secrets", kept.len());
    drop(gateway.stop());
    let file = file.to_string_lossy();
    drop(chancery_integration::gateway::chancery(&["audit", "verify", &file]).success());
}
