//! Client certificates that should not open anything: from another CA, expired, revoked, or of
//! nobody in particular.

use chancery_integration::acme::assert_problem;
use chancery_integration::foreign::{ForeignCa, Holder};
use chancery_integration::gateway::{Gateway, Options};
use chancery_integration::http::{Client, Credential, Response};
use chancery_integration::jws::{Jws, Key, base64url};
use chancery_integration::site::Site;
use serde_json::json;

const SECRET: &str = "/v1/secret/data/app/db";

/// What comes of a request: an answer, or no connection at all.
fn ask(client: &Client) -> Option<Response> {
    client.try_send("GET", SECRET, &[], b"").ok()
}

/// A secret that is there to be read by who may.
fn put(gateway: &Gateway) {
    drop(
        gateway.app().post(SECRET, &json!({ "data": { "password": "correct horse" } })).expect(200),
    );
}

/// Fails unless the answer is a refusal that gives nothing away.
#[track_caller]
fn assert_denied(answer: &Response) {
    assert_eq!(answer.status, 403, "{}", answer.text());
    assert_eq!(answer.header("content-type"), Some("application/json"));
    let errors = answer.json()["errors"].as_array().expect("Vault's errors").clone();
    assert!(!errors.is_empty(), "it says why");
    assert!(!answer.text().contains("correct horse"), "{}", answer.text());
}

#[test]
fn none_at_all() {
    let site = Site::new();
    let mut gateway = Gateway::start(&site);
    put(&gateway);
    assert_denied(&gateway.anonymous().get(SECRET));
    // What needs none is still there.
    assert_eq!(gateway.anonymous().get("/v1/sys/health").status, 200);
    gateway.assert_up();
}

#[test]
fn from_another_ca_even_with_the_right_name() {
    let site = Site::new();
    let mut gateway = Gateway::start(&site);
    put(&gateway);
    // The same subject as the gateway's own CA has, and the identity of the application.
    for name in ["Chancery Root CA", "Chancery Issuing CA", "Somebody else"] {
        let forged = ForeignCa::new(name).client(&Holder::uri("spiffe://dev.chancery/app"));
        assert!(ask(&gateway.client(&forged)).is_none(), "the handshake is refused");
    }
    // A certificate that signs itself.
    let own = ForeignCa::new("self").itself();
    assert!(ask(&gateway.client(&own)).is_none(), "the handshake is refused");
    gateway.assert_up();
    let log = gateway.log();
    assert!(log.contains("refused a client certificate"), "the log says so: {log}");
    assert!(!log.contains("handshake failed"), "and says it once: {log}");
}

#[test]
fn the_application_s_own_certificate_does_not_make_others() {
    let site = Site::new();
    let mut gateway = Gateway::start(&site);
    put(&gateway);
    // A leaf is no CA: what it signs is worth nothing.
    let key = std::fs::read_to_string(&gateway.ready().app_key).expect("the key can be read");
    let chain = std::fs::read_to_string(&gateway.ready().app_cert).expect("the chain can be read");
    let forged = ForeignCa::posing_as(&chain, &key)
        .client(&Holder::uri("spiffe://dev.chancery/admin"))
        .with_chain(&chain);
    assert!(ask(&gateway.client(&forged)).is_none(), "the handshake is refused");
    gateway.assert_up();
}

#[test]
fn expired() {
    let site = Site::new();
    let gateway = Gateway::start(&site);
    put(&gateway);
    let old = gateway.app_credential();
    drop(gateway.stop());

    // Two years later the gateway runs with certificates that it has made anew.
    let gateway = Options::new(&site).clock("+730d").start();
    let later = |credential: &Credential| {
        Client::at(&gateway.ready().api, &gateway.ready().root, Some(credential), 730)
    };
    assert!(ask(&later(&old)).is_none(), "the handshake is refused");
    let renewed = gateway.app_credential();
    assert_ne!(renewed.certificate(), old.certificate());
    assert_eq!(ask(&later(&renewed)).expect("an answer").status, 200);
    assert_eq!(gateway.plain().get("/health").status, 200);
}

#[test]
fn expired_while_the_connection_is_open() {
    let site = Site::new();
    let (ca, holder) = (ForeignCa::new("Others' CA"), Holder::uri("spiffe://dev.chancery/app"));
    let gateway = with_clients_of(&site, &ca);
    // Long enough for a first request on a busy machine, short enough to wait for.
    let credential = ca.client(&holder.for_seconds(15));
    let client = gateway.client(&credential);
    let mut connection = client.connect().expect("it is still good");
    let first = connection.send("GET", SECRET, &[], b"").expect("an answer");
    assert_eq!(first.status, 200, "{}", first.text());
    let refused = chancery_integration::process::eventually(
        "the open connection is of no more use",
        std::time::Duration::from_mins(1),
        || match connection.send("GET", SECRET, &[], b"") {
            Ok(answer) if answer.status == 200 => None,
            other => Some(other),
        },
    );
    if let Ok(answer) = refused {
        assert_denied(&answer);
    }
}

#[test]
fn revoked_also_on_a_connection_that_is_open() {
    let site = Site::new();
    let gateway = Gateway::start(&site);
    put(&gateway);
    let credential = gateway.app_credential();
    let mut open = gateway.client(&credential).connect().expect("it is still good");
    assert_eq!(open.send("GET", SECRET, &[], b"").expect("an answer").status, 200);

    // Its own key revokes it (RFC 8555, section 7.6).
    let account = gateway.account();
    let url = account.resource("revokeCert");
    let key = std::fs::read_to_string(&gateway.ready().app_key).expect("the key can be read");
    let key = Key::from_pkcs8(rcgen::KeyPair::from_pem(&key).expect("a key").serialized_der());
    let jws = Jws {
        protected: json!({ "alg": "ES256", "jwk": key.jwk(), "nonce": account.nonce(), "url": url }),
        payload: json!({ "certificate": base64url(credential.certificate()), "reason": 1 })
            .to_string()
            .into_bytes(),
    };
    drop(account.send(&url, &jws.sign(&key)).expect(200));

    match open.send("GET", SECRET, &[], b"") {
        Ok(answer) => assert_denied(&answer),
        Err(error) => drop(error),
    }
    if let Some(answer) = ask(&gateway.client(&credential)) {
        assert_denied(&answer);
    }
    // Revoked once is enough.
    let again = Jws {
        protected: json!({ "alg": "ES256", "jwk": key.jwk(), "nonce": account.nonce(), "url": url }),
        ..jws
    };
    assert_problem(&account.send(&url, &again.sign(&key)), 400, "alreadyRevoked");
    // The others' certificates are as good as before.
    assert_eq!(gateway.admin().get(SECRET).status, 200);

    let mut gateway = gateway.kill_and_restart();
    if let Some(answer) = ask(&gateway.client(&credential)) {
        assert_denied(&answer);
    }
    gateway.assert_up();
}

#[test]
fn without_a_usable_identity() {
    let site = Site::new();
    let ca = ForeignCa::new("Others' CA");
    let mut gateway = with_clients_of(&site, &ca);
    for holder in [
        Holder::default(),
        Holder::uri("https://dev.chancery/app"),
        Holder::uri("spiffe://other.example/app"),
        Holder::uri("spiffe://dev.chancery"),
        Holder::uri("spiffe://dev.chancery/../dev.chancery/app"),
        Holder::uri("spiffe://dev.chancery//app"),
        Holder::uri("spiffe://DEV.CHANCERY/app"),
        Holder::uri("spiffe://dev.chancery/app").and_uri("spiffe://dev.chancery/admin"),
        Holder::dns("app.dev.chancery"),
        // Identity never comes from the common name alone.
        Holder::named("spiffe://dev.chancery/app"),
    ] {
        let said = ask(&gateway.client(&ca.client(&holder)));
        assert_denied(
            &said.unwrap_or_else(|| panic!("{holder:?}: the CA is trusted, so it connects")),
        );
    }
    // With a usable one the same CA opens the door.
    let good = ca.client(&Holder::uri("spiffe://dev.chancery/app"));
    assert_eq!(ask(&gateway.client(&good)).expect("an answer").status, 200);
    gateway.assert_up();
}

#[test]
fn for_another_purpose() {
    let site = Site::new();
    let ca = ForeignCa::new("Others' CA");
    let mut gateway = with_clients_of(&site, &ca);
    let server = ca.client(&Holder::uri("spiffe://dev.chancery/app").for_servers());
    assert!(ask(&gateway.client(&server)).is_none(), "a server's certificate is none for a client");
    gateway.assert_up();
}

/// A gateway that trusts the client certificates of another CA, and has a secret.
fn with_clients_of(site: &Site, ca: &ForeignCa) -> Gateway {
    let gateway = Gateway::start(site);
    put(&gateway);
    drop(gateway.stop());
    let root = site.write("others.pem", ca.pem());
    Gateway::serve(site, |config| {
        let clients = config.entry("clients").or_insert_with(|| toml::Table::new().into());
        let roots = vec![toml::Value::from(root.to_string_lossy().into_owned())];
        clients.as_table_mut().expect("a table").insert("roots".to_owned(), roots.into());
    })
}

/// What `openssl` says of the certificate in a file.
fn shown(certificate: &std::path::Path, what: &str) -> String {
    let mut command = std::process::Command::new("openssl");
    command.args(["x509", "-noout", what, "-in"]).arg(certificate);
    chancery_integration::process::run(&mut command).success().stdout
}

#[test]
fn are_renewed_while_the_gateway_runs() {
    let site = Site::new();
    let gateway = Gateway::start(&site);
    put(&gateway);
    let (cert, key) = (site.file("renewed.pem"), site.file("renewed.key"));
    let files = ["--cert", cert.to_str().expect("a path"), "--key", key.to_str().expect("a path")];
    let begin = [&["client-certificate"], &files[..]].concat();

    // The application renews its own, and then with that once more, with nothing but the two files.
    let mut first = gateway.command_of_app(&[&begin[..], &["--ttl", "12h"]].concat());
    drop(chancery_integration::process::run(&mut first).success());
    let serial = shown(&cert, "-serial");
    let in_12_hours = std::process::Command::new("openssl")
        .args(["x509", "-noout", "-checkend", "43300", "-in"])
        .arg(&cert)
        .status()
        .expect("openssl runs");
    assert!(!in_12_hours.success(), "it ends when it was asked to");
    assert_eq!(
        ask(&gateway.client(&Credential::read(&cert, &key))).expect("an answer").status,
        200
    );
    let mut again = gateway.command_of_app(&begin);
    again.env_remove("VAULT_CLIENT_CERT").env_remove("VAULT_CLIENT_KEY");
    drop(chancery_integration::process::run(&mut again).success());
    assert_ne!(shown(&cert, "-serial"), serial);
    let names = std::process::Command::new("openssl")
        .args(["x509", "-noout", "-ext", "subjectAltName", "-in"])
        .arg(&cert)
        .output()
        .expect("openssl runs");
    assert!(String::from_utf8_lossy(&names.stdout).contains("URI:spiffe://dev.chancery/app"));
    assert_eq!(
        ask(&gateway.client(&Credential::read(&cert, &key))).expect("an answer").status,
        200
    );

    // Others' names are not the application's to ask for, and what is there stays.
    let before = std::fs::read(&cert).expect("the certificate");
    let mut others = gateway
        .command_of_app(&[&begin[..], &["--spiffe-id", "spiffe://dev.chancery/admin"]].concat());
    drop(chancery_integration::process::run(&mut others).failure().says("permission denied"));
    assert_eq!(std::fs::read(&cert).expect("the certificate"), before);
    let line = gateway.audit().into_iter().rfind(|line| line["operation"] == "certificates.sign");
    let line = line.expect("the refusal is on record");
    assert_eq!(line["resource"], "uri:spiffe://dev.chancery/admin", "{line}");

    // The administrator issues for a new service, which then is somebody.
    let id = ["--spiffe-id", "spiffe://dev.chancery/billing"];
    drop(gateway.administer(&[&begin[..], &id].concat()).success());
    let billing = gateway.client(&Credential::read(&cert, &key));
    assert_eq!(billing.get("/v1/secret/data/app/db").status, 403, "it has no rights there");
    drop(billing.post("/v1/auth/cert/login", &json!({})).expect(200));
}

#[test]
fn are_signed_for_hvac() {
    let site = Site::new();
    let gateway = Gateway::start(&site);
    let (key, csr) = (site.file("hvac.key"), site.file("hvac.csr"));
    let mut request = std::process::Command::new("openssl");
    request
        .args(["req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"])
        .args(["-subj", "/", "-addext", "subjectAltName=URI:spiffe://dev.chancery/app"])
        .arg("-keyout")
        .arg(&key)
        .arg("-out")
        .arg(&csr);
    drop(chancery_integration::process::run(&mut request).success());
    let program = format!(
        "csr = open({csr:?}).read()\n\
         client.auth.cert.login()\n\
         def sign(**more):\n    \
             return client.secrets.pki.sign_certificate('service', csr, '', more)\n\
         made = sign(uri_sans='spiffe://dev.chancery/app')['data']\n\
         assert made['certificate'].startswith('-----BEGIN'), made\n\
         assert made['ca_chain'][0] == made['issuing_ca'], made\n\
         for wrong in [dict(alt_names='x.example'), dict(format='der'), dict(ttl='-1h')]:\n    \
             try:\n        \
                 sign(**wrong)\n        \
                 sys.exit(f'{{wrong}} was taken')\n    \
             except hvac.exceptions.InvalidRequest as error:\n        \
                 assert list(wrong)[0] in str(error), error\n"
    );
    drop(chancery_integration::clients::hvac::python(gateway.ready(), &program).success());
}
