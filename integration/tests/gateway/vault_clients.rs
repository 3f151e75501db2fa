//! Vault's clients as people use them: `bao`, which is Vault's command line, sessions, and a client that
//! shows its certificate only when it logs in.

use chancery_integration::clients::bao::Bao;
use chancery_integration::gateway::Gateway;
use chancery_integration::process::Outcome;
use chancery_integration::site::Site;
use serde_json::{Value, json};
use toml::Table;

/// What a command printed as JSON.
#[track_caller]
fn json_of(outcome: Outcome) -> Value {
    let said = outcome.success().stdout;
    serde_json::from_str(&said).unwrap_or_else(|_| panic!("no JSON: {said}"))
}

#[track_caller]
fn ok(bao: &Bao, arguments: &[&str]) {
    drop(bao.run(arguments).success());
}

#[test]
fn the_bao_command_line_works_with_secrets() {
    let site = Site::new();
    let gateway = Gateway::start(&site);
    let admin = Bao::of_admin(&site, gateway.ready());
    let app = Bao::of_app(&site, gateway.ready());
    assert_eq!(json_of(admin.run(&["status", "-format=json"]))["sealed"], json!(false));
    let login = json_of(app.run(&["login", "-method=cert", "-format=json"]));
    assert_eq!(login["auth"]["metadata"]["identity"], "spiffe://dev.chancery/app", "{login}");
    ok(&app, &["token", "renew"]);
    // Once it lives as long as it may, it says so, and clients get Vault's answer.
    ok(&app, &["token", "renew", "-increment=99h"]);
    let refused = app.run(&["token", "renew"]).failure();
    assert!(refused.stderr.contains("lease is not renewable"), "{refused}");
    // What External Secrets and others send: a login with `null` for a body.
    ok(&app, &["write", "-f", "auth/cert/login"]);

    // The client asks first what is mounted, and learns that it is version 2.
    ok(&app, &["kv", "put", "-cas=0", "secret/app/db", "password=one", "user=app"]);
    let refused = app.run(&["kv", "put", "-cas=0", "secret/app/db", "password=two"]).failure();
    let said = "check-and-set parameter did not match the current version";
    assert!(refused.stderr.contains(said), "{refused}");
    let read = json_of(app.run(&["kv", "get", "-format=json", "secret/app/db"]));
    assert_eq!(read["data"]["data"], json!({"password": "one", "user": "app"}));
    ok(&admin, &["kv", "patch", "secret/app/db", "user=other"]);
    ok(&admin, &["kv", "patch", "-method=rw", "secret/app/db", "more=1"]);
    ok(&admin, &["kv", "rollback", "-version=1", "secret/app/db"]);
    let read = admin.run(&["kv", "get", "-field=user", "secret/app/db"]).success();
    assert_eq!(read.stdout, "app");
    let subkeys = json_of(admin.run(&["read", "-format=json", "secret/subkeys/app/db"]));
    assert_eq!(subkeys["data"]["subkeys"], json!({"password": null, "user": null}));

    let metadata = ["kv", "metadata", "put", "-custom-metadata=owner=7", "-max-versions=5"];
    ok(&admin, &[&metadata[..], &["-delete-version-after=1h", "secret/app/db"]].concat());
    // As the API has it, whatever the client makes of what it is given: all texts.
    let settings = ["write", "secret/metadata/app/other", "cas_required=true", "max_versions=3"];
    ok(&admin, &[&settings[..], &["delete_version_after=24h"]].concat());
    let metadata =
        json_of(admin.run(&["kv", "metadata", "get", "-format=json", "secret/app/other"]));
    assert_eq!(metadata["data"]["cas_required"], json!(true), "{metadata}");
    assert_eq!(metadata["data"]["delete_version_after"], "24h0m0s", "{metadata}");
    let listed = json_of(admin.run(&["kv", "list", "-format=json", "secret/app"]));
    assert_eq!(listed, json!(["db", "other"]));

    ok(&admin, &["kv", "delete", "secret/app/db"]);
    drop(admin.run(&["kv", "get", "-field=user", "secret/app/db"]).failure());
    ok(&admin, &["kv", "undelete", "-versions=4", "secret/app/db"]);
    let metadata = json_of(admin.run(&["kv", "metadata", "get", "-format=json", "secret/app/db"]));
    let versions = &metadata["data"]["versions"];
    assert_ne!(versions["4"]["deletion_time"], "", "its time begins anew: {metadata}");
    assert_eq!(metadata["data"]["custom_metadata"], json!({"owner": "7"}));
    ok(&admin, &["kv", "destroy", "-versions=1,2", "secret/app/db"]);
    ok(&admin, &["kv", "metadata", "delete", "secret/app/db"]);
    for what in [&["secrets", "list"], &["auth", "list"]] {
        ok(&admin, what);
    }
    let init = admin.run(&["operator", "init"]).failure();
    assert!(
        init.stderr.contains("Code: 400") && init.stderr.contains("already initialized"),
        "{init}"
    );
    // A refusal says what was asked.
    let denied = app.run(&["kv", "get", "secret/other/db"]).failure();
    assert!(denied.stderr.contains("permission denied"), "{denied}");
    let denied = app.run(&["read", "secret/data/other/db"]).failure();
    assert!(denied.stderr.contains("secrets.read on secret/other/db"), "{denied}");
}

#[test]
fn the_bao_command_line_works_with_keys() {
    let site = Site::new();
    let gateway = Gateway::start(&site);
    let admin = Bao::of_admin(&site, gateway.ready());
    let app = Bao::of_app(&site, gateway.ready());
    ok(&admin, &["write", "-f", "transit/keys/app-k"]);
    ok(&admin, &["write", "-f", "transit/keys/app-ed", "type=ed25519"]);
    ok(&admin, &["write", "-f", "transit/keys/app-ed"]);
    ok(&admin, &["write", "-f", "transit/keys/app-k/rotate"]);
    let config = ["write", "transit/keys/app-k/config", "deletion_allowed=true"];
    ok(&admin, &[&config[..], &["auto_rotate_period=720h", "min_decryption_version=1"]].concat());
    let read = json_of(admin.run(&["read", "-format=json", "transit/keys/app-ed"]));
    let public = read["data"]["keys"]["1"]["public_key"].as_str().expect("a public key");
    assert_eq!(public.len(), 44, "32 bytes in base64: {read}");

    let encrypted = ["write", "-field=ciphertext", "transit/encrypt/app-k", "plaintext=aGVsbG8="];
    let ciphertext = format!("ciphertext={}", app.run(&encrypted).success().stdout);
    let opened = app.run(&["write", "-field=plaintext", "transit/decrypt/app-k", &ciphertext]);
    assert_eq!(opened.success().stdout, "aGVsbG8=");
    let signed = ["write", "-field=signature", "transit/sign/app-ed", "input=aGVsbG8="];
    let signature = format!("signature={}", app.run(&signed).success().stdout);
    let verify = ["write", "-field=valid", "transit/verify/app-ed", "input=aGVsbG8=", &signature];
    assert_eq!(app.run(&verify).success().stdout, "true");
    let listed = json_of(admin.run(&["list", "-format=json", "transit/keys"]));
    assert_eq!(listed, json!(["app-ed", "app-k"]));
    ok(&admin, &["delete", "transit/keys/app-k"]);
}

#[test]
fn sessions_of_others_are_listed_and_ended_by_command_and_by_bao() {
    let site = Site::new();
    let gateway = Gateway::start(&site);
    let admin = Bao::of_admin(&site, gateway.ready());
    let app = Bao::of_app(&site, gateway.ready());
    let login = json_of(app.run(&["login", "-method=cert", "-format=json"]));
    let accessor = login["auth"]["accessor"].as_str().expect("an accessor").to_owned();
    let listed = json_of(gateway.administer(&["sessions", "list", "--output", "json"]));
    assert_eq!(listed[0]["accessor"], json!(accessor), "{listed}");
    let of_app = ["sessions", "list", "--identity", "spiffe://dev.chancery/app"];
    let shown = gateway.administer(&of_app).success();
    assert!(shown.stdout.starts_with(&format!("{accessor}: spiffe://dev.chancery/app")), "{shown}");
    let found = json_of(admin.run(&["token", "lookup", "-format=json", "-accessor", &accessor]));
    assert_eq!(found["data"]["meta"]["identity"], "spiffe://dev.chancery/app");
    ok(&app, &["token", "lookup"]);
    drop(gateway.administer(&["sessions", "revoke", &accessor]).success());
    let ended = app.run(&["token", "lookup"]).failure();
    assert!(ended.stderr.contains("log in again"), "{ended}");
    let again = gateway.administer(&["sessions", "revoke", &accessor]).failure();
    assert!(again.stderr.contains("no such session"), "{again}");

    // By identity, and by Vault's own command.
    for _ in 0..2 {
        ok(&app, &["login", "-method=cert", "-no-print"]);
    }
    let revoke = ["sessions", "revoke", "--identity", "spiffe://dev.chancery/app"];
    let ended = gateway.administer(&revoke).success();
    assert!(ended.stdout.contains("2 sessions ended"), "{ended}");
    let login = json_of(app.run(&["login", "-method=cert", "-format=json"]));
    let accessor = login["auth"]["accessor"].as_str().expect("an accessor").to_owned();
    ok(&admin, &["token", "revoke", "-accessor", &accessor]);
    drop(app.run(&["token", "lookup"]).failure());
    // Who may not, does not; each attempt is on record.
    ok(&app, &["login", "-method=cert", "-no-print"]);
    let refused = app.run(&["list", "auth/token/accessors"]).failure();
    assert!(refused.stderr.contains("session.list"), "{refused}");
    let lines = gateway.audit();
    let of = |operation: &str| lines.iter().filter(|line| line["operation"] == operation).count();
    assert_eq!((of("session.revoke"), of("session.read")), (4, 1));
    assert!(of("session.list") >= 3, "{}", of("session.list"));
}

/// The configuration that lets the role give bearer tokens from loopback.
fn with_bearer_role(config: &mut Table, site: &Site) {
    let text = format!(
        "[[bearer_roles]]\nrole = \"ansible\"\nnetworks = [\"{}/32\", \"127.0.0.1/32\"]\n",
        site.address()
    );
    let more: Table = text.parse().expect("TOML");
    let secrets = config.entry("secrets").or_insert_with(|| Table::new().into());
    secrets.as_table_mut().expect("a table").extend(more);
}

#[test]
fn a_client_that_shows_its_certificate_only_at_login_is_told_what_to_do_or_has_a_role_for_it() {
    let site = Site::new();
    drop(Gateway::start(&site).stop());
    let gateway = Gateway::serve(&site, |config| with_bearer_role(config, &site));
    let (app, anonymous) = (gateway.app(), gateway.anonymous());
    let secret = "/v1/secret/data/app/db";
    let login = |role: &str| {
        let answer = app.post("/v1/auth/cert/login", &json!({"name": role})).expect(200).json();
        answer["auth"]["client_token"].as_str().expect("a token").to_owned()
    };
    let with = |token: &str, method: &str, path: &str, body: &Value| {
        let headers = [("x-vault-token", token), ("content-type", "application/json")];
        anonymous.send(method, path, &headers, body.to_string().as_bytes())
    };
    // The usual role: the token is worth nothing without the certificate, and the answer says so.
    let bound = login("default");
    let refused = with(&bound, "GET", secret, &Value::Null);
    assert_eq!(refused.status, 403, "{}", refused.text());
    assert!(refused.text().contains("present the certificate with every request"));

    let bearer = login("ansible");
    let written = with(&bearer, "POST", secret, &json!({"data": {"a": "b"}}));
    assert_eq!(written.status, 200, "{}", written.text());
    assert_eq!(with(&bearer, "GET", secret, &Value::Null).json()["data"]["data"]["a"], "b");
    let line = gateway.audit().pop().expect("a line");
    assert_eq!(line["actor"]["identity"], "spiffe://dev.chancery/app", "{line}");
    // It does not administer, not even for an administrator.
    let admin = gateway.admin().post("/v1/auth/cert/login", &json!({"name": "ansible"}));
    let admin =
        admin.expect(200).json()["auth"]["client_token"].as_str().expect("a token").to_owned();
    let refused = with(&admin, "GET", "/v1/auth/token/accessors?list=true", &Value::Null);
    assert!(refused.text().contains("needs the client certificate"), "{}", refused.text());
    drop(gateway.admin().get("/v1/auth/token/accessors?list=true").expect(200));

    // A reload without the role ends the tokens that it gave.
    let file = site.file("serve.toml");
    let text = std::fs::read_to_string(&file).expect("the configuration can be read");
    let mut config: Table = text.parse().expect("TOML");
    config["secrets"].as_table_mut().expect("a table").remove("bearer_roles");
    std::fs::write(&file, config.to_string()).expect("the configuration can be written");
    let said = gateway.reload();
    assert!(said.contains("reloaded"), "{said}");
    assert_eq!(with(&bearer, "GET", secret, &Value::Null).status, 403);
}
