//! Client certificates of somebody else's CA, which revokes some of them: by CRLs and by an OCSP responder.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use chancery_integration::gateway::Gateway;
use chancery_integration::http::{Client, Connection, Response};
use chancery_integration::process::eventually;
use chancery_integration::site::Site;
use chancery_integration::their_ca::{TheirCa, replace};
use chancery_integration::web::{Behaviour, Web};
use serde_json::{Value, json};
use toml::Table;

const SECRET: &str = "/v1/secret/data/app/db";
const APP: &str = "spiffe://dev.chancery/app";
const PATIENCE: Duration = Duration::from_mins(1);

/// A site on which `chancery dev` has run.
fn site() -> Site {
    let site = Site::new();
    drop(Gateway::start(&site).stop());
    site
}

/// A gateway that believes the CAs in these PEM texts, and looks for revocations as these settings say.
fn serve(site: &Site, pem: &str, settings: &str) -> Gateway {
    let file = site.write("theirs.pem", pem).display().to_string();
    let text = format!(
        "[clients]\n[[clients.cas]]\nfile = \"{file}\"\ntenants = [\"default\"]\n\
         trust_domains = [\"dev.chancery\"]\n[clients.cas.revocation]\n{settings}\n\
         [secrets]\n[[secrets.bearer_roles]]\nrole = \"bearer\"\nnetworks = [\"127.0.0.0/8\"]\n"
    );
    let more: Table = text.parse().expect("TOML");
    Gateway::serve(site, |config| {
        config.insert("clients".to_owned(), more["clients"].clone());
        let secrets = config.entry("secrets").or_insert_with(|| Table::new().into());
        let secrets = secrets.as_table_mut().expect("a table");
        secrets.extend(more["secrets"].as_table().expect("a table").clone());
    })
}

fn get(connection: &mut Connection) -> Response {
    connection.send("GET", SECRET, &[], b"").expect("an answer")
}

/// There is no such secret, which is for those to know who may ask.
#[track_caller]
fn counts(client: &Client) {
    drop(client.get(SECRET).expect(404));
}

#[track_caller]
fn is_refused(answer: &Response, why: &str) {
    assert_eq!(answer.status, 403, "{}", answer.text());
    assert!(answer.text().contains(why), "no {why:?} in {}", answer.text());
}

/// Waits until requests of a client are refused for this reason.
#[track_caller]
fn comes_to_be_refused(connection: &mut Connection, why: &str) {
    let refused = eventually("the certificate is refused", PATIENCE, || {
        let answer = get(connection);
        (answer.status != 404).then_some(answer)
    });
    is_refused(&refused, why);
}

#[track_caller]
fn logs(gateway: &Gateway, text: &str) {
    eventually(&format!("the log says: {text}"), PATIENCE, || {
        gateway.log().contains(text).then_some(())
    });
}

fn health(gateway: &Gateway) -> (u16, Value) {
    let answer = gateway.monitoring().get("/health/client-cas");
    (answer.status, answer.json()["client_cas"].clone())
}

#[test]
fn a_revocation_reaches_open_connections_and_all_that_waits_or_was_given() {
    let site = site();
    let ca = TheirCa::new(&site, "ca", "Their CA");
    let [app, other] = ["app", "other"].map(|name| ca.client(name, APP));
    let file = site.write("ca.crl", ca.crl());
    let settings = format!("crls = [\"{}\"]\nrefresh_seconds = 1", file.display());
    let mut gateway = serve(&site, &ca.pem(), &settings);
    let (app, other) = (gateway.client(&app), gateway.client(&other));
    let mut open = app.connect().expect("a connection");
    assert_eq!(get(&mut open).status, 404);
    let login = |role: &str| {
        let answer = app.post("/v1/auth/cert/login", &json!({ "name": role })).expect(200).json();
        answer["auth"]["client_token"].as_str().expect("a token").to_owned()
    };
    let (bound, bearer) = (login("default"), login("bearer"));
    let with = |client: &Client, token: &str| {
        client.send("GET", SECRET, &[("x-vault-token", token)], b"").status
    };
    let anonymous = gateway.anonymous();
    assert_eq!((with(&app, &bound), with(&anonymous, &bearer)), (404, 404));
    let body = json!({ "data": { "password": "correct horse" } }).to_string();
    let mut parked = app.connect().expect("a connection");
    parked
        .park("POST", SECRET, &[("content-type", "application/json")], body.len())
        .expect("the gateway asks for the body");

    ca.revoke("app");
    replace(&file, &ca.crl());
    comes_to_be_refused(&mut open, "the client certificate was revoked");
    parked.write(body.as_bytes()).expect("the body can be sent");
    is_refused(&parked.read(false).expect("an answer"), "the client certificate was revoked");
    assert_eq!((with(&app, &bound), with(&anonymous, &bearer)), (403, 403));
    counts(&other);
    let audit = gateway.audit();
    let denied = |line: &&chancery_integration::audit::Line| {
        line["outcome"]["code"] == "certificate-revoked"
    };
    assert!(audit.iter().filter(denied).count() >= 4, "{audit:?}");

    let (status, cas) = health(&gateway);
    let crl = &cas[0]["crls"][0];
    assert_eq!((status, &crl["status"], &crl["revoked"]), (200, &json!("current"), &json!(1)));
    assert_eq!(crl["number"], "2", "{crl}");
    let metrics = gateway.monitoring().get("/metrics").text();
    for name in ["this_update", "next_update"] {
        let metric = format!("chancery_revocation_crl_{name}_timestamp_seconds{{ca=");
        assert!(metrics.contains(&metric), "{metrics}");
    }
    gateway.assert_up();
}

#[test]
fn what_is_forged_or_older_is_not_taken_and_what_was_known_outlives_a_restart() {
    let site = site();
    let ca = TheirCa::new(&site, "ca", "Their CA");
    let namesake = TheirCa::new(&site, "namesake", "Their CA");
    let [app, other] = ["app", "other"].map(|name| ca.client(name, APP));
    let old = ca.crl();
    ca.revoke("app");
    let current = ca.crl();
    let web = Web::start(Behaviour::Serve(current.clone().into_bytes()));
    let settings = format!("crls = [\"{}\"]\nrefresh_seconds = 1", web.url("/ca.crl"));
    let gateway = serve(&site, &ca.pem(), &settings);
    let holds = |gateway: &Gateway| {
        is_refused(&gateway.client(&app).get(SECRET), "was revoked");
        counts(&gateway.client(&other));
    };
    holds(&gateway);

    for (served, said) in [
        (
            Behaviour::Serve(namesake.crl().into()),
            "it is forged, or of another CA of the same name",
        ),
        (Behaviour::Serve(old.clone().into()), "it is older than the one that is in use"),
        (Behaviour::Serve(b"<html>Not found</html>".to_vec()), "there is no `-----BEGIN X509 CRL"),
        (Behaviour::Redirect(web.url("/elsewhere")), "it answers with a redirect"),
    ] {
        web.behave(served);
        logs(&gateway, said);
        holds(&gateway);
    }
    let (_, cas) = health(&gateway);
    assert!(cas[0]["crls"][0]["error"].is_string(), "{cas}");

    // What is kept counts before anything can be fetched, and an old one is still an old one.
    web.behave(Behaviour::Serve(old.into()));
    drop(gateway.stop());
    let before = web.requests();
    let gateway = serve(&site, &ca.pem(), &settings);
    holds(&gateway);
    assert!(web.requests() > before, "it was asked for");
    drop(gateway.stop());
    drop(web);
    let mut gateway = serve(&site, &ca.pem(), &settings);
    holds(&gateway);
    gateway.assert_up();
}

#[test]
fn what_is_not_known_is_refused_or_accepted_as_the_setting_says() {
    let site = site();
    let ca = TheirCa::new(&site, "ca", "Their CA");
    let app = ca.client("app", APP);
    let file = site.write("ca.crl", ca.crl_out_of_date());
    // One address hangs, which keeps nobody waiting.
    let web = Web::start(Behaviour::Hang);
    let crls = format!(
        "crls = [\"{}\", \"{}\"]\nrefresh_seconds = 1\n",
        file.display(),
        web.url("/hangs.crl")
    );
    let mut gateway = serve(&site, &ca.pem(), &crls);
    let client = gateway.client(&app);
    let mut open = client.connect().expect("the handshake waits for nothing");
    is_refused(&get(&mut open), "it is not known whether the client certificate was revoked");
    let line = gateway.audit().pop().expect("a line");
    assert_eq!(line["outcome"]["code"], "certificate-status-unknown", "{line}");
    drop(gateway.admin().get(SECRET).expect(404));
    let (status, cas) = health(&gateway);
    assert_eq!((status, &cas[0]["crls"][0]["status"]), (503, &json!("stale")), "{cas}");
    assert_eq!(cas[0]["crls"][1]["status"], "missing", "{cas}");
    logs(&gateway, "there is no CRL in date of a client CA");

    replace(&file, &ca.crl());
    eventually("the new CRL counts", PATIENCE, || (get(&mut open).status == 404).then_some(()));
    gateway.assert_up();
    drop(gateway.stop());

    // Another one that was over long ago, with the knowledge of before thrown away.
    drop(fs::remove_dir_all(kept(&site)));
    replace(&file, &ca.crl_out_of_date());
    let lenient = format!("{crls}when_unknown = \"accept\"");
    let mut gateway = serve(&site, &ca.pem(), &lenient);
    let mut open = gateway.client(&app).connect().expect("a connection");
    assert_eq!(get(&mut open).status, 404);
    let metrics = gateway.monitoring().get("/metrics").text();
    assert!(metrics.contains("chancery_revocation_unknown_accepted_total"), "{metrics}");
    // What is known to be revoked is refused, however old the CRL.
    ca.revoke("app");
    replace(&file, &ca.crl_out_of_date());
    comes_to_be_refused(&mut open, "was revoked");
    gateway.assert_up();
}

/// Where the CRLs are kept.
fn kept(site: &Site) -> PathBuf {
    let text = fs::read_to_string(site.file("serve.toml")).expect("the configuration");
    let config: Table = text.parse().expect("TOML");
    let directory = config["server"]["directory"].as_str().expect("a path");
    let kept = PathBuf::from(directory).join("client-crls");
    assert!(kept.is_dir(), "{}", kept.display());
    kept
}

#[test]
fn all_of_the_chain_below_the_trusted_ca_is_asked_about() {
    let site = site();
    let root = TheirCa::new(&site, "root", "Their Root");
    let issuing = root.below(&site, "issuing", "Their Issuing CA");
    let [app, other] =
        ["app", "other"].map(|name| issuing.client(name, APP).with_chain(&issuing.pem()));
    // Another trusted CA with the name of the root, and a CRL of its own.
    let namesake = TheirCa::new(&site, "namesake", "Their Root");
    let theirs = namesake.client("theirs", APP);
    let files = [("root.crl", &root), ("issuing.crl", &issuing), ("namesake.crl", &namesake)]
        .map(|(name, ca)| site.write(name, ca.crl()));
    let [of_root, of_issuing, _] = &files;
    let names = files.each_ref().map(|file| format!("\"{}\"", file.display())).join(", ");
    let settings = format!("crls = [{names}]\nrefresh_seconds = 1");
    let pem = root.pem() + &namesake.pem();
    let gateway = serve(&site, &pem, &settings);
    // Who signed it is known when the first client has shown its chain.
    logs(&gateway, "it is of a CA that no client has shown yet");
    let connect = |gateway: &Gateway, client| gateway.client(client).connect().expect("connected");
    let mut open = connect(&gateway, &app);
    assert_eq!(get(&mut open).status, 404);
    counts(&gateway.client(&theirs));
    issuing.revoke("app");
    replace(of_issuing, &issuing.crl());
    comes_to_be_refused(&mut open, "the client certificate was revoked");
    drop(gateway.stop());

    // The CA below is known after a restart, too.
    let mut gateway = serve(&site, &pem, &settings);
    let (status, cas) = health(&gateway);
    assert_eq!(status, 200, "{cas}");
    let mut open = connect(&gateway, &other);
    assert_eq!(get(&mut open).status, 404);
    root.revoke_ca(&issuing);
    replace(of_root, &root.crl());
    comes_to_be_refused(&mut open, "the certificate of a CA between");
    counts(&gateway.client(&theirs));
    gateway.assert_up();
}

/// A bearer token is worth what a handshake with its certificate would be: a CA that is gone says of no certificate
/// whether it was revoked.
#[test]
fn a_bearer_token_ends_with_its_ca_and_none_comes_back_that_was_revoked() {
    let site = site();
    let ca = TheirCa::new(&site, "ca", "Their CA");
    let app = ca.client("app", APP);
    let file = site.write("ca.crl", ca.crl());
    let settings = format!("crls = [\"{}\"]\nrefresh_seconds = 1", file.display());
    let gateway = serve(&site, &ca.pem(), &settings);
    let login = json!({ "name": "bearer" });
    let login = gateway.client(&app).post("/v1/auth/cert/login", &login).expect(200).json();
    let bearer = login["auth"]["client_token"].as_str().expect("a token");
    let anonymous = gateway.anonymous();
    let send =
        |method: &str, path: &str| anonymous.send(method, path, &[("x-vault-token", bearer)], b"");
    let (serve, before) = (site.file("serve.toml"), fs::read_to_string(site.file("serve.toml")));
    let before = before.expect("the configuration can be read");
    let mut without: Table = before.parse().expect("TOML");
    without["clients"].as_table_mut().expect("a table").remove("cas");
    let configure = |text: &str| {
        fs::write(&serve, text).expect("the configuration can be written");
        let said = gateway.reload();
        assert!(!said.contains("reload failed"), "{said}");
    };
    drop(send("GET", SECRET).expect(404));

    configure(&without.to_string());
    for (method, path) in [("GET", SECRET), ("POST", "/v1/auth/token/renew-self")] {
        is_refused(&send(method, path), "no CA that is trusted now vouches");
    }
    configure(&before);
    drop(send("GET", SECRET).expect(404));

    ca.revoke("app");
    replace(&file, &ca.crl());
    let refused = eventually("the bearer token ends", PATIENCE, || {
        let answer = send("GET", SECRET);
        (answer.status != 404).then_some(answer)
    });
    is_refused(&refused, "the client certificate was revoked");
    configure(&without.to_string());
    is_refused(&send("GET", SECRET), "no CA that is trusted now vouches");
    configure(&before);
    is_refused(&send("GET", SECRET), "the client certificate was revoked");
}

#[test]
fn a_responder_is_asked_after_the_handshake_and_again_later() {
    let site = site();
    let ca = TheirCa::new(&site, "ca", "Their CA");
    let [app, gone] = ["app", "gone"].map(|name| ca.client(name, APP));
    ca.revoke("gone");
    let (responder, url) = ca.responder(&site);
    let mut gateway = serve(&site, &ca.pem(), &format!("ocsp = \"{url}\"\nrefresh_seconds = 1"));
    let mut open = gateway.client(&app).connect().expect("a connection");
    assert_eq!(get(&mut open).status, 404);
    is_refused(&gateway.client(&gone).get(SECRET), "the client certificate was revoked");
    let login = json!({ "name": "bearer" });
    let login = gateway.client(&app).post("/v1/auth/cert/login", &login).expect(200).json();
    let bearer = login["auth"]["client_token"].as_str().expect("a token");
    let anonymous = gateway.anonymous();
    let with_bearer = || anonymous.send("GET", SECRET, &[("x-vault-token", bearer)], b"");
    drop(with_bearer().expect(404));
    ca.revoke("app");
    // Nobody shows the certificate meanwhile: using the token is what has it asked about.
    let refused = eventually("the bearer token ends", PATIENCE, || {
        let answer = with_bearer();
        (answer.status != 404).then_some(answer)
    });
    is_refused(&refused, "the client certificate was revoked");
    comes_to_be_refused(&mut open, "the client certificate was revoked");
    let (status, cas) = health(&gateway);
    assert_eq!((status, &cas[0]["ocsp"]["remembered"]), (200, &json!(2)), "{cas}");
    drop(responder);
    // What was revoked stays revoked without it, and of others nothing is known.
    is_refused(&gateway.client(&gone).get(SECRET), "the client certificate was revoked");
    let new = ca.client("new", APP);
    is_refused(&gateway.client(&new).get(SECRET), "it is not known whether");
    assert_eq!(health(&gateway).0, 503);
    gateway.assert_up();
}

#[test]
fn a_responder_that_knows_nothing_hangs_or_talks_nonsense_tells_nothing() {
    let site = site();
    let ca = TheirCa::new(&site, "ca", "Their CA");
    let [app, other] = ["app", "other"].map(|name| ca.client(name, APP));
    let stranger = TheirCa::new(&site, "stranger", "Their CA");
    let (_responder, of_stranger) = stranger.responder(&site);
    let web = Web::start(Behaviour::Hang);
    let settings = format!("ocsp = \"{}\"\nocsp_wait_ms = 200", web.url("/"));
    let mut gateway = serve(&site, &ca.pem(), &settings);
    let client = gateway.client(&app);
    let mut open = client.connect().expect("the handshake waits for nothing");
    is_refused(&get(&mut open), "it is not known whether");
    assert_eq!(web.requests(), 1);
    // Who comes meanwhile asks no second time.
    is_refused(&get(&mut open), "it is not known whether");
    assert_eq!(web.requests(), 1);
    web.behave(Behaviour::Serve(b"nonsense".to_vec()));
    is_refused(&gateway.client(&other).get(SECRET), "it is not known whether");
    logs(&gateway, "it is not the DER of an OCSP response");
    gateway.assert_up();
    drop(gateway.stop());

    // A responder of another CA of the same name, which says `unauthorized` or knows nothing.
    let gateway = serve(&site, &ca.pem(), &format!("ocsp = \"{of_stranger}\""));
    is_refused(&gateway.client(&app).get(SECRET), "it is not known whether");
    drop(gateway.stop());
    let lenient = format!("{settings}\nwhen_unknown = \"accept\"");
    let gateway = serve(&site, &ca.pem(), &lenient);
    counts(&gateway.client(&app));
}
