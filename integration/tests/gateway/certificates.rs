//! Every kind of certificate and CRL that a gateway issues, judged by `openssl` and pkilint.

use std::path::Path;

use chancery_integration::acme::Account;
use chancery_integration::dns::Dns;
use chancery_integration::gateway::{Gateway, Options, chancery};
use chancery_integration::http::{self, Client};
use chancery_integration::lint::{self, Purpose};
use chancery_integration::process::Outcome;
use chancery_integration::responder::Http01;
use chancery_integration::site::Site;
use serde_json::json;

use crate::revocation::{authority_crl_of, crl_of};

/// A certificate request (PKCS#10, DER) made by `openssl`, which has keys of every kind.
#[track_caller]
fn request(site: &Site, key: &[&str], name: &str) -> Vec<u8> {
    request_with(site, key, &["-subj", "/"], name)
}

/// One that asks for more than a name.
#[track_caller]
fn request_with(site: &Site, key: &[&str], more: &[&str], name: &str) -> Vec<u8> {
    let files = ["request/key.pem", "request/request.der"].map(|file| {
        let file = site.write(file, "");
        file.to_string_lossy().into_owned()
    });
    let [key_file, request] = &files;
    let mut arguments = vec!["req", "-new", "-nodes", "-keyout", key_file, "-outform", "DER"];
    arguments.extend(["-out", request]);
    arguments.extend(more);
    arguments.push("-addext");
    let names = format!("subjectAltName={name}");
    arguments.push(&names);
    arguments.extend(key);
    let _: Outcome = lint::openssl(&arguments).success();
    std::fs::read(request).expect("openssl has written it")
}

#[test]
fn every_kind_of_leaf_is_clean() {
    let site = Site::new();
    let dns = Dns::start(&site);
    let gateway = Options::new(&site).dns(&dns).start();
    let responder = Http01::start(&site);
    let account = gateway.account();
    let address = site.address().to_string();

    let p256: &[&str] = &["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"];
    let p384: &[&str] = &["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-384"];
    let rsa: &[&str] = &["-newkey", "rsa:2048"];
    let rsa4096: &[&str] = &["-newkey", "rsa:4096"];
    let ed25519: &[&str] = &["-newkey", "ed25519"];
    // The baseline requirements know no Ed25519 and no private addresses: RFC 5280 judges those.
    for (profile, kind, name, key, purpose) in [
        ("tls-server", "dns", "a.example.com", p256, Purpose::Server),
        ("tls-server", "dns", "b.example.com", p384, Purpose::Server),
        ("tls-server", "dns", "c.example.com", rsa, Purpose::Server),
        ("tls-server", "dns", "d.example.com", rsa4096, Purpose::Server),
        ("tls-server", "dns", "e.example.com", ed25519, Purpose::InternalServer),
        ("tls-server", "ip", address.as_str(), p256, Purpose::InternalServer),
        ("tls-client", "dns", "f.example.com", p256, Purpose::Client),
        ("tls-client", "dns", "g.example.com", p384, Purpose::Client),
        ("tls-client", "dns", "h.example.com", rsa, Purpose::Client),
    ] {
        let identifiers = json!([{ "type": kind, "value": name }]);
        let payload = json!({ "identifiers": identifiers, "profile": profile });
        let order = account.new_order(&payload);
        account.prove(&order, &responder);
        let order = account.until(&order, "ready");
        let general_name = format!("{}:{name}", kind.to_uppercase());
        let csr = request(&site, key, &general_name);
        drop(account.finalize(&order, &csr).expect(200));
        let chain = account.certificate(&order);
        lint::assert_chain(&site, &chain, &gateway.ready().root, purpose);
        let names = lint::field(&site, &http::certificates(&chain)[0], "-ext subjectAltName");
        assert!(names.contains(name), "{names}");
    }
}

#[test]
fn a_profile_writes_what_the_request_asks_for_as_far_as_it_says() {
    let site = Site::new();
    let dns = Dns::start(&site);
    let gateway = Options::new(&site).dns(&dns).start();
    let binding = gateway.path("policies/certificates.toml");
    let text = std::fs::read_to_string(&binding).expect("the binding");
    let mut text = text.replace("profiles.tls-server]", "profiles.plain]");
    text.push_str(
        r#"
[binding.settings.profiles.tls-server]
base = "short-lived"
subject = { C = "DE", O = "Example Ltd" }
subject_from_request = { OU = ["eng-*"] }
must_staple = "keep"
policies = ["2.23.140.1.2.1"]
"#,
    );
    std::fs::write(&binding, text).expect("the binding can be written");
    assert!(!gateway.reload().contains("reload failed"));
    let responder = Http01::start(&site);
    let account = gateway.account();
    let p256: &[&str] = &["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"];
    let asks = |unit: &str| {
        let payload = json!({
            "identifiers": [{ "type": "dns", "value": "a.example.com" }],
        });
        let order = account.new_order(&payload);
        account.prove(&order, &responder);
        let order = account.until(&order, "ready");
        let subject = format!("/O=Somebody else/OU={unit}/serialNumber=7");
        let more = ["-subj", &subject, "-addext", "tlsfeature=status_request"];
        let csr = request_with(&site, p256, &more, "DNS:a.example.com");
        (account.finalize(&order, &csr), order)
    };
    let (answer, order) = asks("eng-7");
    drop(answer.expect(200));
    let chain = account.certificate(&order);
    lint::assert_chain(&site, &chain, &gateway.ready().root, Purpose::InternalServer);
    let leaf = &http::certificates(&chain)[0];
    let subject = lint::field(&site, leaf, "-subject");
    assert!(subject.contains("C = DE, O = Example Ltd, OU = eng-7"), "{subject}");
    assert!(!subject.contains("serialNumber"), "{subject}");
    let extensions = lint::field(&site, leaf, "-ext tlsfeature,certificatePolicies");
    assert!(extensions.contains("status_request"), "{extensions}");
    assert!(extensions.contains("2.23.140.1.2.1"), "{extensions}");

    let (refused, _) = asks("ops");
    assert!(refused.text().contains("OU is not one for this profile"), "{}", refused.text());
}

/// A gateway with a CA of another kind: what `chancery dev` left, with a state of its own.
fn with_ca(site: &Site, key_type: &str) -> Gateway {
    let state = site.folder(&format!("state-{key_type}"));
    let text = |path: &Path| toml::Value::from(path.to_string_lossy().into_owned());
    let root_key = state.join("root.key");
    drop(chancery(&["root-key", &root_key.to_string_lossy()]).success());
    let edit = |config: &mut toml::Table| {
        let mut set = |table: &str, key: &str, value: toml::Value| {
            config
                .entry(table)
                .or_insert_with(|| toml::Table::new().into())
                .as_table_mut()
                .expect("a table")
                .insert(key.to_owned(), value);
        };
        set("ca", "key_type", key_type.into());
        set("seal", "root_key_file", text(&root_key));
        set("audit", "file", text(&state.join("audit.jsonl")));
        set("server", "directory", text(&state));
    };
    Gateway::init(site, edit);
    Gateway::serve(site, edit)
}

#[test]
fn every_kind_of_ca_is_clean_with_its_crls() {
    let site = Site::new();
    let dns = Dns::start(&site);
    drop(Options::new(&site).dns(&dns).start().stop());
    let responder = Http01::start(&site);
    for (key_type, purpose) in [
        ("ecdsa-p384", Purpose::Server),
        ("rsa-2048", Purpose::Server),
        ("rsa-4096", Purpose::Server),
        ("ed25519", Purpose::InternalServer),
    ] {
        let gateway = with_ca(&site, key_type);
        let root = site.path().join(format!("state-{key_type}/root.pem"));
        let ready = gateway.ready();
        let client = Client::new(&ready.api, &root, None);
        let account = Account::register(client, &ready.acme_directory);
        let (chain, _) = account.obtain(&["a.example.com"], &responder);
        lint::assert_chain(&site, &chain, &root, purpose);
        assert!(lint::revoked_serials(&site, &crl_of(&site, &gateway, &chain)).is_empty());
        let pem = std::fs::read_to_string(&root).expect("the root can be read");
        authority_crl_of(&site, &chain, &http::certificates(&pem)[0]);
        drop(gateway.stop());
    }
}

#[test]
fn a_ca_with_ml_dsa_is_clean_and_its_chain_is_good_for_tls() {
    let site = Site::new();
    let dns = Dns::start(&site);
    drop(Options::new(&site).dns(&dns).start().stop());
    let responder = Http01::start(&site);
    for (key_type, name) in
        [("ml-dsa-44", "MLDSA44"), ("ml-dsa-65", "MLDSA65"), ("ml-dsa-87", "MLDSA87")]
    {
        let gateway = with_ca(&site, key_type);
        let root = site.path().join(format!("state-{key_type}/root.pem"));
        let ready = gateway.ready();
        // The gateway's own certificate comes from this CA too, so each request verifies the chain.
        let client = Client::new(&ready.api, &root, None);
        let account = Account::register(client, &ready.acme_directory);
        let (chain, _) = account.obtain(&["a.example.com"], &responder);
        let said = lint::assert_ml_dsa_chain(&site, &chain, &root);
        let issuers = said.lines().filter(|line| line.contains(name)).count();
        assert_eq!(issuers, 3, "{said}");
        drop(gateway.stop());
    }
}
