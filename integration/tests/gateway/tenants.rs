//! What the administrator of one tenant cannot do to the others, however wide the tenant's policies are.

use std::fs;
use std::path::Path;

use chancery_integration::foreign::{ForeignCa, Holder};
use chancery_integration::gateway::{Gateway, chancery};
use chancery_integration::http::{Client, Credential};
use chancery_integration::process;
use chancery_integration::site::Site;
use serde_json::json;
use toml::{Table, Value};

/// A tenant `b` whose clients are those of the CA in the file.
fn add_b(config: &mut Table, file: &str) {
    let text = format!(
        "[[tenants]]\nid = \"b\"\ntrust_domains = [\"b.example\"]\n\
         [[clients.cas]]\nfile = \"{file}\"\ntenants = [\"b\"]\ntrust_domains = [\"b.example\"]\n"
    );
    let more: Table = text.parse().expect("TOML");
    let tenants = config["tenants"].as_array_mut().expect("an array");
    tenants.extend(more["tenants"].as_array().expect("an array").clone());
    config.insert("clients".to_owned(), more["clients"].clone());
}

/// Lets everybody of `b` do everything there.
fn widen_b(gateway: &Gateway) {
    let own = fs::read_to_string(gateway.path("policies/access.toml")).expect("the bindings");
    let plugin = own.lines().find(|line| line.starts_with("plugin = ")).expect("a plugin");
    let wide = format!(
        "[[binding]]\nname = \"all-of-b\"\ndecision = \"access\"\n{plugin}\n\
         match = {{ tenants = [\"b\"] }}\n[[binding.settings.rules]]\nname = \"all\"\n\
         identities = [\"*\"]\noperations = [\"*\"]\nresources = [\"*\"]\neffect = \"allow\"\n"
    );
    fs::write(gateway.path("policies/b.toml"), wide).expect("the bindings can be written");
    let said = gateway.reload();
    assert!(!said.contains("reload failed"), "{said}");
}

/// What acts on the whole installation, by who may.
fn installation_answers(client: &Client) -> Vec<(&'static str, u16)> {
    let get = |path| (path, client.get(path).status);
    let post = |path| (path, client.post(path, &json!({})).status);
    vec![
        get("/v1/sys/policy-set"),
        get("/v1/sys/backup"),
        get("/v1/sys/keys"),
        get("/v1/sys/tokens"),
        post("/v1/sys/policy-set/reload"),
        post("/v1/sys/policy-set/rollback"),
        post("/v1/sys/tokens/hsm/drain"),
        post("/v1/sys/tokens/hsm/resume"),
    ]
}

#[test]
fn the_administrator_of_one_tenant_does_not_administer_the_installation() {
    let site = Site::new();
    drop(Gateway::start(&site).stop());
    let ca = ForeignCa::new("The CA of b");
    let file = site.write("b.pem", ca.pem()).display().to_string();
    let gateway = Gateway::serve(&site, |config| {
        add_b(config, &file);
        config.insert("ssh".to_owned(), Table::new().into());
    });
    widen_b(&gateway);
    let of_b = gateway.client(&ca.client(&Holder::uri("spiffe://b.example/admin")));

    // In its own tenant it may do everything.
    drop(of_b.post("/v1/secret/data/x", &json!({"data": {"a": "b"}})).expect(200));
    drop(of_b.get("/v1/sys/groups").expect(200));
    for (path, status) in installation_answers(&of_b) {
        assert_eq!(status, 403, "{path}");
        let line = gateway.audit().into_iter().rev().find(|line| line["tenant"] == "b");
        let line = line.expect("a line of b");
        assert_eq!(line["outcome"]["code"], "not-administration-tenant", "{path}: {line}");
    }
    let told = of_b.get("/v1/sys/backup").expect(403).text();
    assert!(told.contains("administration.tenant"), "{told}");
    assert!(told.contains("store.backup"), "{told}");

    // Nor does it log in to the hosts that trust the CA for SSH.
    let key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIFhmZmZmZmZmZmZmZmZmZmZmZmZmZmZmZmZmZmZmZmZm";
    let wanted = json!({"public_key": key, "valid_principals": "root"});
    let told = of_b.post("/v1/ssh/sign/ops", &wanted).expect(403).text();
    assert!(told.contains("ssh.tenants"), "{told}");

    // That of the default tenant may; there is no HSM here, and one set of policies before this one.
    for (path, status) in installation_answers(&gateway.admin()) {
        let expected = if path.contains("tokens/") { 404 } else { 200 };
        assert_eq!(status, expected, "{path}");
    }

    // Unless the configuration names another.
    let serve = site.file("serve.toml");
    let text = fs::read_to_string(&serve).expect("the configuration");
    let mut config: Table = text.parse().expect("TOML");
    let named = Table::from_iter([("tenant".to_owned(), Value::from("b"))]);
    config.insert("administration".to_owned(), named.into());
    fs::write(&serve, config.to_string()).expect("the configuration can be written");
    widen_b(&gateway);
    drop(of_b.get("/v1/sys/policy-set").expect(200));
    drop(gateway.admin().get("/v1/sys/policy-set").expect(403));
}

/// Changes the configuration that the gateway is started, and reloaded, with.
fn configure(site: &Site, edit: impl FnOnce(&mut Table)) {
    let serve = site.file("serve.toml");
    let text = fs::read_to_string(&serve).expect("the configuration");
    let mut config: Table = text.parse().expect("TOML");
    edit(&mut config);
    fs::write(&serve, config.to_string()).expect("the configuration can be written");
}

/// The clients of `dev.chancery` are those of this tenant, and nobody is of the other.
fn give_clients_to(config: &mut Table, tenant: &str, other: &str) {
    let text = format!(
        "[[tenants]]\nid = \"{tenant}\"\ntrust_domains = [\"dev.chancery\"]\n\
         [[tenants]]\nid = \"{other}\"\ntrust_domains = [\"elsewhere.example\"]\n"
    );
    let tenants: Table = text.parse().expect("TOML");
    config.insert("tenants".to_owned(), tenants["tenants"].clone());
}

#[test]
fn a_certificate_of_the_gateway_s_own_ca_stays_with_the_tenant_it_was_issued_for() {
    let site = Site::new();
    let gateway = Gateway::start(&site);
    let text = |path: &Path| path.display().to_string();
    let (cert, key) = (site.file("renewed.pem"), site.file("renewed.key"));
    let renew = ["client-certificate", "--cert", &text(&cert), "--key", &text(&key)];
    drop(process::run(&mut gateway.command_of_admin(&renew)).success());
    let renewed = Credential::read(&cert, &key);
    drop(gateway.stop());
    let serve = |to: &str, other: &str| {
        Gateway::serve(&site, |config| {
            give_clients_to(config, to, other);
            let role = "bearer_roles = [{ role = \"bearer\", networks = [\"127.0.0.0/8\"] }]";
            let role: Table = role.parse().expect("TOML");
            let secrets = config.entry("secrets").or_insert_with(|| Table::new().into());
            secrets.as_table_mut().expect("a table").extend(role);
        })
    };
    let last_code = |gateway: &Gateway| {
        let line = gateway.audit().into_iter().rev().find(|line| line["tenant"] == "b");
        line.expect("a line of b")["outcome"]["code"].clone()
    };

    // The names are those of tenant `b` now, and the certificate was issued for the default tenant.
    let gateway = serve("b", "default");
    widen_b(&gateway);
    let client = gateway.client(&renewed);
    for path in ["/v1/sys/groups", "/v1/secret/data/x"] {
        let told = client.get(path).expect(403).text();
        assert!(told.contains("was issued for another tenant"), "{told}");
        assert_eq!(last_code(&gateway), "certificate-of-another-tenant");
    }
    let login = client.post("/v1/auth/cert/login", &json!({})).expect(403).text();
    assert!(login.contains("was issued for another tenant"), "{login}");
    // What the operator had issued by hand is whose the rules say.
    drop(gateway.admin().get("/v1/sys/groups").expect(200));

    // With the rules as they were it counts again.
    configure(&site, |config| give_clients_to(config, "default", "b"));
    assert!(!gateway.reload().contains("reload failed"));
    drop(client.get("/v1/sys/groups").expect(200));

    // So does a bearer token that it obtained, also after a start, when nobody has shown the certificate yet; and
    // it goes no further than the certificate does.
    let login = client.post("/v1/auth/cert/login", &json!({"name": "bearer"})).expect(200).json();
    let token = login["auth"]["client_token"].as_str().expect("a token");
    let read = |gateway: &Gateway| {
        let headers = [("x-vault-token", token)];
        gateway.anonymous().send("GET", "/v1/auth/token/lookup-self", &headers, b"")
    };
    drop(read(&gateway).expect(200));
    drop(gateway.stop());
    let gateway = serve("default", "b");
    drop(read(&gateway).expect(200));
    configure(&site, |config| give_clients_to(config, "b", "default"));
    assert!(!gateway.reload().contains("reload failed"));
    let told = read(&gateway).expect(403).text();
    assert!(told.contains("was issued for another tenant"), "{told}");
    drop(gateway.stop());
}

#[test]
fn what_is_issued_by_hand_is_of_the_tenant_that_recognises_it() {
    let site = Site::new();
    drop(Gateway::start(&site).stop());
    let gateway = Gateway::serve(&site, |config| give_clients_to(config, "b", "default"));
    widen_b(&gateway);
    let own = fs::read_to_string(gateway.path("policies/certificates.toml")).expect("the bindings");
    let of_b =
        own.replace("\"default\"", "\"b\"").replace("\"certificates\"", "\"certificates-b\"");
    fs::write(gateway.path("policies/certificates-b.toml"), of_b).expect("they can be written");
    assert!(!gateway.reload().contains("reload failed"));
    drop(gateway.stop());

    let text = |path: &Path| path.display().to_string();
    let (cert, key) = (site.file("hand.pem"), site.file("hand.key"));
    let config = text(&site.file("serve.toml"));
    let issue = ["client-certificate", "--config", &config, "--profile", "service"];
    let id = ["--spiffe-id", "spiffe://dev.chancery/ops"];
    let files = ["--cert", &text(&cert), "--key", &text(&key)];
    drop(chancery(&[&issue[..], &id, &files].concat()).success());

    // The tenant finds it, and so can revoke it.
    let gateway = Gateway::serve(&site, |config| give_clients_to(config, "b", "default"));
    let client = gateway.client(&Credential::read(&cert, &key));
    let found = client.send("LIST", "/v1/pki/certs", &[], b"").expect(200).json();
    assert_eq!(found["data"]["keys"].as_array().map(Vec::len), Some(1), "{found}");
}

#[test]
fn a_tenant_that_goes_does_not_leave_its_policies_behind_unnoticed() {
    let site = Site::new();
    drop(Gateway::start(&site).stop());
    let ca = ForeignCa::new("The CA of b");
    let file = site.write("b.pem", ca.pem()).display().to_string();
    let gateway = Gateway::serve(&site, |config| add_b(config, &file));
    widen_b(&gateway);
    let of_b = gateway.client(&ca.client(&Holder::uri("spiffe://b.example/admin")));
    drop(of_b.get("/v1/sys/groups").expect(200));

    // Without `b`, the binding for it would never be asked again.
    let remove_b = |config: &mut Table| {
        config["tenants"].as_array_mut().expect("an array").retain(|one| one["id"] != "b".into());
        config.remove("clients");
    };
    configure(&site, remove_b);
    let why = "b.toml:5: `b` matches no tenant of this gateway";
    let said = gateway.reload();
    assert!(said.contains("reload failed") && said.contains(why), "{said}");
    let serve = site.file("serve.toml").display().to_string();
    drop(chancery(&["check", "--config", &serve]).failure().says(why));
    drop(chancery(&["policy", "list", "--config", &serve]).failure().says(why));
    drop(of_b.get("/v1/sys/groups").expect(200));

    fs::remove_file(gateway.path("policies/b.toml")).expect("the bindings");
    let said = gateway.reload();
    assert!(!said.contains("reload failed"), "{said}");
    assert!(of_b.try_send("GET", "/v1/sys/groups", &[], b"").is_err(), "its CA is known still");
}

#[test]
fn a_tenant_that_a_command_names_has_to_be_there() {
    let site = Site::new();
    let gateway = Gateway::start(&site);
    let config = gateway.path("chancery.toml").display().to_string();
    let question = "[access]\ntenant = \"defautl\"\nidentity = \"dns:a\"\noperation = \"secrets.read\"\n\
                    resource = \"secret/a\"\n";
    let question = site.write("question.toml", question).display().to_string();
    let said = chancery(&["policy", "explain", "--config", &config, &question]).success();
    assert!(said.stderr.contains("the configuration has no tenant `defautl`"), "{said}");

    let key = site.file("signer.pem").display().to_string();
    drop(
        process::run(std::process::Command::new("openssl").args([
            "genpkey",
            "-algorithm",
            "ed25519",
            "-out",
            &key,
        ]))
        .success(),
    );
    let policies = gateway.path("policies").display().to_string();
    let sign = ["policy", "sign", &policies, "--key", &key, "--tenant", "defautl"];
    drop(chancery(&sign).failure().says("has a say in what is decided for the tenant `defautl`"));
}
