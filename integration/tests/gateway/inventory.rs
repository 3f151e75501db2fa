//! The certificates of a running gateway: an administrator finds, exports and revokes them, with the
//! gateway's own commands and with hvac.

use chancery_integration::clients::hvac;
use chancery_integration::dns::Dns;
use chancery_integration::gateway::{Gateway, Options};
use chancery_integration::hsm::Token;
use chancery_integration::http::{self, Client};
use chancery_integration::jws::{Jws, Key, base64url};
use chancery_integration::lint;
use chancery_integration::process::Outcome;
use chancery_integration::responder::Http01;
use chancery_integration::site::Site;
use serde_json::{Value, json};

use crate::revocation::crl_of;

fn listed(outcome: Outcome) -> Vec<Value> {
    serde_json::from_str(&outcome.success().stdout).expect("a list in JSON")
}

fn serials(list: &[Value]) -> Vec<&str> {
    list.iter().filter_map(|one| one["serial_number"].as_str()).collect()
}

#[test]
fn an_administrator_finds_exports_and_revokes_certificates() {
    let site = Site::new();
    let dns = Dns::start(&site);
    let gateway = Options::new(&site).dns(&dns).start();
    let responder = Http01::start(&site);
    let account = gateway.account();
    let (chain, _) = account.obtain(&["www.a.example.com"], &responder);
    drop(account.obtain(&["mail.a.example.com", "a.example.com"], &responder));
    drop(account.obtain(&["b.example.com"], &responder));

    let json = ["--output", "json"];
    let list = |arguments: &[&str]| {
        let command = [&["certificates", "list"], arguments, &json[..]].concat();
        listed(gateway.administer(&command))
    };
    let below = list(&["--domain", "a.example.com"]);
    assert_eq!(below.len(), 2, "{below:?}");
    let by_name = list(&["--name", "dns:b.example.com"]);
    assert_eq!(by_name.len(), 1);
    let requester = by_name[0]["requester"].as_str().expect("a requester");
    assert_eq!(list(&["--requester", requester]).len(), 3);
    let key = by_name[0]["spki_sha256"].as_str().expect("a key");
    assert_eq!(serials(&list(&["--key", key])), serials(&by_name));
    assert_eq!(list(&["--issuer", "private", "--limit", "2"]).len(), 2);
    assert_eq!(list(&["--expires-within", "1h"]).len(), 0);
    let text = gateway.administer(&["certificates", "list", "--domain", "b.example.com"]).success();
    assert!(text.stdout.contains("dns:b.example.com"), "{text}");

    let one = serials(&by_name)[0];
    let shown = gateway.administer(&["certificates", "show", one]).success();
    assert!(shown.stdout.contains("-----BEGIN CERTIFICATE-----"), "{shown}");
    let missing = gateway.administer(&["certificates", "show", "01:02"]).failure();
    assert!(missing.stderr.contains("there is no such thing"), "{missing}");
    let exported = gateway.administer(&["certificates", "export"]).success();
    let lines: Vec<Value> =
        exported.stdout.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert!(lines.len() >= 3, "{exported}");
    assert!(lines.iter().all(|line| line["certificate"].as_str().is_some()));

    let revoke = ["certificates", "revoke", "--domain", "a.example.com", "--reason", "superseded"];
    let would = gateway.administer(&[&revoke[..], &["--dry-run"]].concat()).success();
    assert_eq!(would.stdout.lines().count(), 2, "{would}");
    let done = gateway.administer(&revoke).success();
    assert!(done.stdout.contains("2 revoked"), "{done}");
    let done = gateway.administer(&["certificates", "revoke", one]).success();
    assert!(done.stdout.contains("revoked at"), "{done}");
    assert_eq!(list(&["--revoked", "true"]).len(), 3);
    let crl = lint::revoked_serials(&site, &crl_of(&site, &gateway, &chain));
    assert_eq!(crl.len(), 3, "{crl:?}");

    // A request that says too little, or gives an invalid reason, is refused, and nothing happens.
    let nothing = gateway.administer(&["certificates", "revoke"]).failure();
    assert!(nothing.stderr.contains("--domain"), "{nothing}");
    let wrong = gateway.administer(&["certificates", "revoke", one, "--reason", "why"]).failure();
    assert!(wrong.stderr.contains("is not a revocation reason"), "{wrong}");
    let app = gateway.app();
    drop(app.send("LIST", "/v1/pki/certs", &[], b"").expect(403));
    let kept = app.post("/v1/pki/revoke-matching", &json!({ "issuer": "private" })).expect(200);
    assert_eq!(kept.json()["data"]["revoked"], 0);
    assert!(kept.json()["data"]["refused"].as_u64() > Some(0), "{}", kept.text());
    assert_eq!(list(&["--revoked", "false", "--issuer", "private"]).len(), lines.len() - 3);
    let broad = gateway.admin().post("/v1/pki/revoke-matching", &json!({})).expect(400);
    assert!(broad.text().contains("say which certificates"), "{}", broad.text());
}

#[test]
fn hvac_reads_lists_and_revokes() {
    let site = Site::new();
    let dns = Dns::start(&site);
    let gateway = Options::new(&site).dns(&dns).start();
    let responder = Http01::start(&site);
    drop(gateway.account().obtain(&["a.example.com"], &responder));
    let program = "
client = connect('ADMIN')
client.auth.cert.login()
pki = client.secrets.pki
found = pki.list_certificates()['data']
serial = next(s for s in found['keys'] if 'dns:a.example.com' in found['key_info'][s]['names'])
certificate = pki.read_certificate(serial)['data']
assert certificate['certificate'].startswith('-----BEGIN CERTIFICATE-----'), certificate
assert certificate['revocation_time'] == 0
assert pki.read_certificate('ca')['data']['certificate'].startswith('-----BEGIN CERTIFICATE')
assert pki.read_certificate('ca_chain')['data']['certificate'].count('BEGIN') == 2
assert pki.read_certificate('crl')['data']['certificate'].startswith('-----BEGIN X509 CRL')
revoked = pki.revoke_certificate(serial)['data']
assert revoked['state'] == 'revoked' and revoked['revocation_time'] > 0, revoked
again = pki.revoke_certificate(serial)['data']
assert again == revoked
assert pki.read_certificate(serial)['data']['revocation_time'] == revoked['revocation_time']
mounts = client.sys.list_mounted_secrets_engines()['data']
assert mounts['pki/']['type'] == 'pki' and mounts['secret/']['type'] == 'kv', mounts
try:
    pki.read_certificate('01:02:03')
    raise SystemExit('found what is not there')
except hvac.exceptions.InvalidPath:
    pass
print('fine')
";
    let said = hvac::python(gateway.ready(), program).success();
    assert_eq!(said.stdout.trim(), "fine");
}

#[test]
fn a_key_that_signs_its_own_revocation_takes_all_its_certificates_along() {
    let site = Site::new();
    let dns = Dns::start(&site);
    let gateway = Options::new(&site).dns(&dns).start();
    let responder = Http01::start(&site);
    let account = gateway.account();
    let (first, key) = account.obtain(&["a.example.com"], &responder);
    let key = rcgen::KeyPair::from_pem(&key).expect("a key");
    let second = account.obtain_for(&key, &["b.example.com"], &responder);
    let leaf = http::certificates(&first).remove(0);
    let url = account.resource("revokeCert");
    let key = Key::from_pkcs8(key.serialized_der());
    let jws = Jws {
        protected: json!({ "alg": "ES256", "jwk": key.jwk(), "nonce": account.nonce(), "url": url }),
        payload: json!({ "certificate": base64url(&leaf), "reason": 1 }).to_string().into_bytes(),
    };
    drop(account.send(&url, &jws.sign(&key)).expect(200));
    let crl = lint::revoked_serials(&site, &crl_of(&site, &gateway, &second));
    let both = [first, second].map(|chain| lint::serial(&site, &http::certificates(&chain)[0]));
    assert!(both.iter().all(|serial| crl.contains(serial)), "{both:?} in {crl:?}");
}

#[test]
fn shards_and_deltas_are_where_certificates_and_crls_say() {
    let site = Site::new();
    let dns = Dns::start(&site);
    drop(Options::new(&site).dns(&dns).start().stop());
    let gateway = Gateway::serve(&site, |config| {
        let ca = config["ca"].as_table_mut().expect("a table");
        ca.insert("crl_shards".to_owned(), 3.into());
        ca.insert("delta_crl_hours".to_owned(), 6.into());
        ca.insert("keep_expired_days".to_owned(), 30.into());
    });
    let responder = Http01::start(&site);
    let (chain, _) = gateway.account().obtain(&["a.example.com"], &responder);
    let certificates = http::certificates(&chain);
    let text = lint::field(&site, &certificates[0], "-ext crlDistributionPoints");
    let url = text.lines().find_map(|line| line.trim().strip_prefix("URI:")).expect("a URL");
    assert!(url.ends_with("-of-3.crl"), "{url}");
    let shard = Client::plain(url).get(&http::target(url)).expect(200);
    assert_eq!(lint::revoked_serials(&site, &shard.body).len(), 0);
    let done = gateway.administer(&["certificates", "revoke", "--name", "a.example.com"]).success();
    assert!(done.stdout.contains("1 revoked"), "{done}");
    let serial = lint::serial(&site, &certificates[0]);
    let (before, _) = url.split_once(".crl").expect("a CRL");
    let complete = before.rsplitn(4, '-').last().expect("the name of the complete CRL");
    for name in [before.to_owned(), complete.to_owned(), format!("{complete}-delta")] {
        let url = format!("{name}.crl");
        let crl = Client::plain(&url).get(&http::target(&url)).expect(200);
        assert_eq!(crl.header("content-type"), Some("application/pkix-crl"));
        assert_eq!(lint::revoked_serials(&site, &crl.body), std::slice::from_ref(&serial), "{url}");
    }
    let metrics = gateway.monitoring().get("/metrics").expect(200).text();
    assert!(
        metrics.contains("chancery_issuance_certificates_valid{tenant=\"default\"}"),
        "{metrics}"
    );
}

#[test]
fn a_token_is_drained_by_command_and_used_again() {
    let site = Site::new();
    let dns = Dns::start(&site);
    let token = Token::new(&site);
    let gateway = Options::new(&site).dns(&dns).token(&token).start();
    let responder = Http01::start(&site);
    let account = gateway.account();
    drop(account.obtain(&["a.example.com"], &responder));
    let label = Token::LABEL;
    let said = gateway.administer(&["tokens", "list"]).success();
    assert!(said.stdout.contains(&format!("{label}: up, 2 keys")), "{said}");
    drop(gateway.administer(&["tokens", "drain", label]).success());
    let said = gateway.administer(&["tokens", "list"]).success();
    assert!(said.stdout.contains(&format!("{label}: drained")), "{said}");
    assert_eq!(gateway.monitoring().send("GET", "/health/tokens", &[], b"").status, 503);
    drop(gateway.administer(&["tokens", "resume", label]).success());
    assert_eq!(gateway.monitoring().send("GET", "/health/tokens", &[], b"").status, 200);
    drop(account.obtain(&["b.example.com"], &responder));
    let said = gateway.administer(&["tokens", "keys"]).success();
    let made_here = said.stdout.lines().filter(|line| line.contains("made here, cannot be read"));
    assert_eq!(made_here.count(), 2, "{said}");
    // The import of a key with too few attributes is reported.
    drop(
        token
            .tool(&[
                "--keypairgen",
                "--key-type",
                "EC:prime256v1",
                "--label",
                "loose",
                "--id",
                "77",
                "--extractable",
            ])
            .success(),
    );
    let said = gateway.administer(&["tokens", "keys"]).success();
    assert!(said.stdout.contains("loose (private): CAN BE READ OR TAKEN OUT; not used"), "{said}");
    let unknown = gateway.administer(&["tokens", "drain", "other"]).failure();
    assert!(unknown.stderr.contains("there is no such thing"), "{unknown}");
    drop(gateway.app().post(&format!("/v1/sys/tokens/{label}/drain"), &json!({})).expect(403));
}
