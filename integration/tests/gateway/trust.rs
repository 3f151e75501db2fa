//! For whom a CA vouches: for those that its binding names, whatever it writes into a certificate.

use std::fs;
use std::time::Duration;

use chancery_integration::foreign::{ForeignCa, Holder};
use chancery_integration::gateway::{Gateway, chancery};
use chancery_integration::http::{Client, Response};
use chancery_integration::lint::openssl;
use chancery_integration::process::eventually;
use chancery_integration::site::Site;
use toml::{Table, Value};

use crate::ceremonies::{Offline, serve_below_another};

const SECRET: &str = "/v1/secret/data/app/db";

/// What comes of a request: an answer, or no connection at all.
fn ask(client: &Client) -> Option<Response> {
    client.try_send("GET", SECRET, &[], b"").ok()
}

/// Waits for a line of the log: the client is told before it is written.
#[track_caller]
fn logs(gateway: &Gateway, text: &str) {
    eventually(&format!("the log says: {text}"), Duration::from_mins(1), || {
        gateway.log().contains(text).then_some(())
    });
}

/// A tenant `b`, and its CA in the file.
fn add_b(config: &mut Table, file: &str) {
    let text = format!(
        "[[tenants]]\nid = \"b\"\ntrust_domains = [\"b.example\"]\ndns_suffixes = [\"b.example\"]\n\
         [[clients.cas]]\nfile = \"{file}\"\ntenants = [\"b\"]\n\
         trust_domains = [\"b.example\"]\ndns_suffixes = [\"team.b.example\"]\n"
    );
    let more: Table = text.parse().expect("TOML");
    let tenants = config["tenants"].as_array_mut().expect("an array");
    tenants.extend(more["tenants"].as_array().expect("an array").clone());
    config.insert("clients".to_owned(), more["clients"].clone());
}

#[test]
fn the_ca_of_one_tenant_makes_no_administrator_of_another() {
    let site = Site::new();
    drop(Gateway::start(&site).stop());
    let ca = ForeignCa::new("The CA of b");
    let file = site.write("b.pem", ca.pem()).display().to_string();
    let mut gateway = Gateway::serve(&site, |config| add_b(config, &file));

    for holder in [
        Holder::uri("spiffe://dev.chancery/admin"),
        Holder::uri("spiffe://dev.chancery/app"),
        Holder::dns("other.b.example"),
    ] {
        let answer = ask(&gateway.client(&ca.client(&holder))).expect("the CA is known");
        assert_eq!(answer.status, 403, "{}", answer.text());
        assert!(answer.text().contains("does not vouch for the name"), "{}", answer.text());
        let line = gateway.audit().pop().expect("a line");
        assert_eq!(line["outcome"]["code"], "no-identity", "{line}");
        assert!(line["actor"]["identity"].is_null(), "{line}");
    }
    // Whom it may vouch for is somebody, whom the policies have nothing for yet.
    for (holder, who) in [
        (Holder::uri("spiffe://b.example/app"), "spiffe://b.example/app"),
        (Holder::dns("a.team.b.example"), "dns:a.team.b.example"),
    ] {
        let answer = ask(&gateway.client(&ca.client(&holder))).expect("the CA is known");
        assert_eq!(answer.status, 403, "{}", answer.text());
        let line = gateway.audit().pop().expect("a line");
        assert_eq!(line["actor"]["identity"], who, "{line}");
        assert_eq!(line["tenant"], "b", "{line}");
    }
    // The gateway's own CA vouches for whomever it issued to.
    drop(gateway.admin().get(SECRET).expect(404));
    gateway.assert_up();

    // While there are several tenants no CA is left unbound.
    let text = fs::read_to_string(site.file("serve.toml")).expect("the configuration");
    let mut config: Table = text.parse().expect("TOML");
    let roots = Value::Array(vec![Value::String(file)]);
    config.insert("clients".to_owned(), Table::from_iter([("roots".to_owned(), roots)]).into());
    let unbound = site.write("unbound.toml", config.to_string()).display().to_string();
    let refused = chancery(&["check", "--config", &unbound]).failure();
    assert!(refused.stderr.contains("clients.roots: there are several tenants"), "{refused}");
}

#[test]
fn malformed_names_and_missing_usages_make_nobody() {
    let site = Site::new();
    drop(Gateway::start(&site).stop());
    let ca = ForeignCa::new("The CA of b");
    let file = site.write("b.pem", ca.pem()).display().to_string();
    let mut gateway = Gateway::serve(&site, |config| add_b(config, &file));
    for name in [
        "a\0.team.b.example",
        "a\n.team.b.example",
        "a/b.team.b.example",
        "a b.team.b.example",
        ".team.b.example",
        "a..team.b.example",
        "f*.team.b.example",
    ] {
        let credential = ca.client(&Holder::dns(name));
        let answer = ask(&gateway.client(&credential)).expect("the CA is known");
        assert_eq!(answer.status, 403, "{name:?}: {}", answer.text());
        assert!(answer.text().contains("malformed"), "{name:?}: {}", answer.text());
    }
    let holder = Holder::uri("spiffe://b.example/app");
    let any = ca.client(&holder.clone().for_anything());
    assert!(ask(&gateway.client(&any)).is_none(), "the handshake is refused");
    let server = ca.client(&holder.for_servers());
    assert!(ask(&gateway.client(&server)).is_none(), "the handshake is refused");
    logs(&gateway, "it has no extended key usage: clients need clientAuth");
    logs(&gateway, "lacks clientAuth");
    gateway.assert_up();
}

/// With a root elsewhere the anchor is the gateway's issuing CA, and not that root.
#[test]
fn an_unrelated_ca_below_the_gateway_s_root_makes_no_clients() {
    let site = Site::new();
    drop(Gateway::start(&site).stop());
    drop(serve_below_another(&site).stop());
    let config = site.file("serve.toml").display().to_string();
    let offline = Offline::new(&site, None);
    offline.init();
    let issue = |csr: &str, out: &str| {
        let permit = ["dns:localhost", "ip:127.0.0.0/8", "ip:::1/128"];
        let permit = permit.into_iter().flat_map(|one| ["--permit", one]);
        let mut arguments = vec!["--csr", csr, "--days", "900", "--out", out];
        arguments.extend(permit);
        drop(offline.run("intermediate", &arguments).success());
    };
    let (csr, chain) = (offline.path("issuing.csr"), offline.path("issuing.pem"));
    drop(chancery(&["ca", "request", "--config", &config, "--out", &csr]).success());
    issue(&csr, &chain);
    drop(chancery(&["ca", "install", "--config", &config, "--chain", &chain]).success());
    let mut gateway = serve_below_another(&site);

    // Another CA below the same root, with the gateway's clients' names.
    let (csr, key, chain) =
        (offline.path("other.csr"), offline.path("other.key"), offline.path("other.pem"));
    let curve = "ec_paramgen_curve:P-256";
    let subject = ["-subj", "/CN=Another CA"];
    let make = ["req", "-new", "-newkey", "ec", "-pkeyopt", curve, "-nodes", "-keyout", &key];
    drop(openssl(&[&make[..], &["-out", &csr], &subject].concat()).success());
    issue(&csr, &chain);
    let read = |file: &str| fs::read_to_string(file).expect("the file can be read");
    let other = ForeignCa::posing_as(&read(&chain), &read(&key));
    let forged =
        other.client(&Holder::uri("spiffe://dev.chancery/admin")).with_chain(&read(&chain));
    let refused = gateway.client(&forged).try_send("GET", SECRET, &[], b"");
    let refused = refused.expect_err("the handshake is refused").to_string();
    assert!(refused.contains("UnknownCA"), "{refused}");
    logs(&gateway, "no client CA issued it");

    // Its own clients are as good as before, and may send all of their chain.
    let own = gateway.admin_credential().with_chain(&read(&offline.path("root.pem")));
    drop(ask(&gateway.client(&own)).expect("an answer").expect(404));
    gateway.assert_up();
}
