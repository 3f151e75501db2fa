//! What the administrator of one tenant cannot do to the others, however wide the tenant's policies are.

use std::fs;

use chancery_integration::foreign::{ForeignCa, Holder};
use chancery_integration::gateway::Gateway;
use chancery_integration::http::Client;
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
    let gateway = Gateway::serve(&site, |config| add_b(config, &file));
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
