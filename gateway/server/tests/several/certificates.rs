//! Certificates: revoked, looked for, counted.

use chancery_integration::acme;
use chancery_integration::http;
use chancery_integration::jws::Key;
use chancery_integration::lint;
use chancery_integration::responder::Http01;
use serde_json::json;

use crate::world::{World, eventually};

#[test]
fn a_client_certificate_revoked_at_one_counts_no_more_at_the_other() {
    let world = World::new();
    let (a, b) = (world.start("a"), world.start("b"));
    let app = a.app_credential();
    let mut open = b.client(&app).connect().expect("a connection");
    let read = |connection: &mut http::Connection| {
        connection.send("GET", "/v1/secret/metadata/app/?list=true", &[], b"")
    };
    let first = read(&mut open).expect("an answer");
    assert!(matches!(first.status, 200 | 404), "{}", first.text());
    let body = json!({ "serial_number": lint::serial(&world.site, app.certificate()) });
    drop(a.admin().post("/v1/pki/revoke", &body).expect(200));
    eventually("the open connection is refused", || {
        read(&mut open).map_or(true, |answer| answer.status == 403)
    });
    eventually("a new connection is refused", || {
        b.client(&app)
            .try_send("GET", "/v1/secret/metadata/app/?list=true", &[], b"")
            .map_or(true, |answer| answer.status == 403)
    });
}

#[test]
fn what_one_revokes_is_in_the_crl_of_each() {
    let world = World::new();
    let (a, b) = (world.start("a"), world.start("b"));
    let responder = Http01::start(&world.site);
    let key = Key::generate();
    let (chain, _) = a.account(&key).obtain(&["a.example.com"], &responder);
    let certificates = http::certificates(&chain);
    let serial = lint::serial(&world.site, &certificates[0]);
    let of_a = lint::field(&world.site, &certificates[0], "-ext crlDistributionPoints");
    let path = http::target(
        of_a.lines().find_map(|line| line.trim().strip_prefix("URI:")).expect("a CRL's URL"),
    );
    let body = json!({ "serial_number": serial });
    drop(b.admin().post("/v1/pki/revoke", &body).expect(200));
    for gateway in [&a, &b] {
        eventually("the CRL has it", || {
            let crl = gateway.plain().get(&path).expect(200).body;
            let revoked = lint::revoked_serials(&world.site, &crl);
            revoked.iter().any(|one| one.eq_ignore_ascii_case(&serial))
        });
    }
}

#[test]
fn a_certificate_of_one_is_found_at_the_other() {
    let world = World::new();
    let (a, b) = (world.start("a"), world.start("b"));
    let responder = Http01::start(&world.site);
    let (chain, _) = a.account(&Key::generate()).obtain(&["found.example.com"], &responder);
    let serial = lint::serial(&world.site, &http::certificates(&chain)[0]);
    let found = b.admin().get(&format!("/v1/pki/cert/{serial}")).expect(200).json();
    let found = found["data"]["certificate"].as_str().expect("a certificate");
    assert_eq!(http::certificates(found)[0], http::certificates(&chain)[0]);
}

#[test]
fn a_limit_is_reached_by_what_all_issue_together() {
    let world = World::new();
    let (mut a, mut b) = (world.start("a"), world.start("b"));
    for gateway in [&mut a, &mut b] {
        let limit = "limits = [{ per = \"name\", most = 2, within = \"1d\" }]\n";
        gateway.bind("rate-guard", "issuance_counts = true", limit);
    }
    let responder = Http01::start(&world.site);
    let key = Key::generate();
    let name = "a.example.com";
    for gateway in [&a, &b] {
        drop(gateway.account(&key).obtain(&[name], &responder));
    }
    for gateway in [&a, &b] {
        let account = gateway.account(&key);
        let order = account.order(&[name]);
        account.prove(&order, &responder);
        let order = account.until(&order, "ready");
        let (request, _) = acme::request(&[name]);
        let refused = account.finalize(&order, &request).text();
        assert!(refused.contains("may have 2 certificates"), "{refused}");
    }
}
