//! Secrets over the Vault-compatible API, with curl and hvac.

use std::fs;
use std::path::Path;

use chancery_integration::clients::curl::Curl;
use chancery_integration::clients::hvac;
use chancery_integration::gateway::Gateway;
use chancery_integration::site::Site;
use serde_json::{Value, json};

/// The body and the status code that curl printed.
#[track_caller]
fn answer(outcome: chancery_integration::process::Outcome) -> (Value, String) {
    let said = outcome.success().stdout;
    let (body, status) = said.rsplit_once('\n').expect("curl prints the status last");
    (serde_json::from_str(body).unwrap_or(Value::Null), status.to_owned())
}

#[test]
fn curl_with_the_client_certificate_alone() {
    let site = Site::new();
    let gateway = Gateway::start(&site);
    let ready = gateway.ready();
    let curl = Curl::new(&ready.root).with(&ready.app_cert, &ready.app_key);
    let url = format!("{}/v1/secret/data/app/db", ready.api);

    let (body, status) =
        answer(curl.run(&["--data", r#"{"data":{"password":"correct horse"}}"#, &url]));
    assert_eq!(status, "200", "{body}");
    assert_eq!(body["data"]["version"], 1, "{body}");
    for member in
        ["request_id", "lease_id", "renewable", "lease_duration", "wrap_info", "warnings", "auth"]
    {
        assert!(body.get(member).is_some(), "no {member} in {body}");
    }
    let (body, status) = answer(curl.run(&[&url]));
    assert_eq!(
        (status.as_str(), &body["data"]["data"]["password"]),
        ("200", &json!("correct horse"))
    );

    // HTTP/2 as well as HTTP/1.1.
    for version in ["--http1.1", "--http2"] {
        let (body, status) = answer(curl.run(&[version, &url]));
        assert_eq!(status, "200", "{version}: {body}");
    }
    // What clients ask first, of the mount alone or of a path in it.
    for path in ["secret", "secret/app/db", "secret/other"] {
        let url = format!("{}/v1/sys/internal/ui/mounts/{path}", ready.api);
        let (body, status) = answer(curl.run(&[&url]));
        assert_eq!((status.as_str(), &body["data"]["path"]), ("200", &json!("secret/")), "{path}");
    }
    // What policy does not allow.
    for path in ["secret/data/other/db", "secret/data/app", "secret/config", "sys/unknown"] {
        let (body, status) = answer(curl.run(&[&format!("{}/v1/{path}", ready.api)]));
        assert!(["403", "404"].contains(&status.as_str()), "{path}: {status} {body}");
        assert!(body["errors"].is_array(), "{path}: {body}");
    }
    // And without a certificate nothing.
    let (body, status) = answer(Curl::new(&ready.root).run(&[&url]));
    assert_eq!(status, "403", "{body}");
}

#[test]
fn curl_with_a_token_that_is_bound_to_the_certificate() {
    let site = Site::new();
    let gateway = Gateway::start(&site);
    let ready = gateway.ready();
    let app = Curl::new(&ready.root).with(&ready.app_cert, &ready.app_key);
    let login = format!("{}/v1/auth/cert/login", ready.api);
    let lookup = format!("{}/v1/auth/token/lookup-self", ready.api);
    let secret = format!("{}/v1/secret/data/app/db", ready.api);

    let (body, status) = answer(app.run(&["--data", "{}", &login]));
    assert_eq!(status, "200", "{body}");
    let auth = &body["auth"];
    for member in [
        "accessor",
        "policies",
        "token_policies",
        "metadata",
        "lease_duration",
        "renewable",
        "entity_id",
        "token_type",
        "orphan",
    ] {
        assert!(auth.get(member).is_some(), "no {member} in {body}");
    }
    let token = auth["client_token"].as_str().expect("a token").to_owned();
    let header = format!("X-Vault-Token: {token}");
    let bearer = format!("Authorization: Bearer {token}");
    for header in [&header, &bearer] {
        let (body, status) = answer(app.run(&["--header", header, &lookup]));
        assert_eq!(status, "200", "{body}");
        assert_eq!(body["data"]["accessor"], auth["accessor"], "{body}");
        assert!(body["data"]["ttl"].as_u64().is_some_and(|ttl| ttl > 0), "{body}");
    }
    let (body, status) =
        answer(app.run(&["--header", &header, "--data", r#"{"data":{"a":"b"}}"#, &secret]));
    assert_eq!(status, "200", "{body}");

    // The token without the certificate, and with another one, is worth nothing.
    let anonymous = Curl::new(&ready.root);
    let admin = Curl::new(&ready.root).with(&ready.admin_cert, &ready.admin_key);
    for curl in [anonymous, admin] {
        for url in [&lookup, &secret] {
            let (body, status) = answer(curl.run(&["--header", &header, url]));
            assert_eq!(status, "403", "{url}: {body}");
        }
    }
    // A token that nobody gave.
    for token in ["", "x", "chs.AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", "hvs.root", "root"] {
        let (body, status) =
            answer(app.run(&["--header", &format!("X-Vault-Token: {token}"), &lookup]));
        assert_eq!(status, "403", "{token:?}: {body}");
    }
    // It outlives a restart, as its certificate does.
    let gateway = gateway.kill_and_restart();
    let ready = gateway.ready();
    let app = Curl::new(&ready.root).with(&ready.app_cert, &ready.app_key);
    let (body, status) = answer(app.run(&[
        "--header",
        &header,
        &format!("{}/v1/auth/token/lookup-self", ready.api),
    ]));
    assert_eq!(status, "200", "{body}");
}

#[test]
fn hvac_logs_in_and_uses_every_part_of_the_key_value_engine() {
    let site = Site::new();
    let gateway = Gateway::start(&site);
    let program = r"
assert client.sys.read_health_status(method='GET')['sealed'] is False
assert client.sys.is_sealed() is False

# The application may use its secrets; what changes their history is for the administrator.
app = client
app.auth.cert.login()
assert app.is_authenticated()
for forbidden in [
    lambda: app.secrets.kv.v2.update_metadata('app/db', custom_metadata={'a': 'b'}),
    lambda: app.secrets.kv.v2.destroy_secret_versions('app/db', [1]),
    lambda: app.secrets.kv.v2.read_secret_version('other/db', raise_on_deleted_version=True),
    lambda: app.secrets.kv.v2.create_or_update_secret('other/db', {'a': 'b'}),
    lambda: app.secrets.kv.v2.list_secrets('other'),
]:
    try:
        forbidden()
        sys.exit('policy did not deny')
    except hvac.exceptions.Forbidden:
        pass

client = connect('ADMIN')
client.auth.cert.login()
assert client.is_authenticated()
me = client.auth.token.lookup_self()
assert me['data']['ttl'] > 0 and me['data']['type'], me

kv = client.secrets.kv.v2
made = kv.create_or_update_secret('app/db', {'password': 'one'}, cas=0)
assert made['data']['version'] == 1, made
try:
    kv.create_or_update_secret('app/db', {'password': 'x'}, cas=0)
    sys.exit('check-and-set was not checked')
except hvac.exceptions.InvalidRequest as refused:
    assert 'check-and-set parameter did not match the current version' in str(refused), refused
assert kv.create_or_update_secret('app/db', {'password': 'two', 'user': 'app'}, cas=1)['data']['version'] == 2
assert kv.patch('app/db', {'user': 'other'})['data']['version'] == 3
read = kv.read_secret_version('app/db', raise_on_deleted_version=True)
assert read['data']['data'] == {'password': 'two', 'user': 'other'}, read
old = kv.read_secret_version('app/db', version=1, raise_on_deleted_version=True)
assert old['data']['data'] == {'password': 'one'}, old

kv.update_metadata('app/db', custom_metadata={'owner': 'team'})
meta = kv.read_secret_metadata('app/db')
assert meta['data']['custom_metadata'] == {'owner': 'team'}, meta
assert sorted(meta['data']['versions']) == ['1', '2', '3'], meta
assert kv.list_secrets('app')['data']['keys'] == ['db']

kv.delete_latest_version_of_secret('app/db')
try:
    kv.read_secret_version('app/db', raise_on_deleted_version=True)
    sys.exit('a deleted version was read')
except hvac.exceptions.InvalidPath as gone:
    assert gone.json['data']['metadata']['deletion_time'], gone.json
kv.undelete_secret_versions('app/db', [3])
assert kv.read_secret_version('app/db', raise_on_deleted_version=True)['data']['data']['user'] == 'other'
kv.delete_secret_versions('app/db', [1])
kv.destroy_secret_versions('app/db', [2])
meta = kv.read_secret_metadata('app/db')['data']['versions']
assert meta['2']['destroyed'] and meta['1']['deletion_time'] and not meta['3']['deletion_time'], meta
kv.delete_metadata_and_all_versions('app/db')
try:
    kv.read_secret_metadata('app/db')
    sys.exit('metadata outlived its secret')
except hvac.exceptions.InvalidPath:
    pass

# The token of the application is worth nothing with another certificate, or with none.
for cert in ['ADMIN', None]:
    thief = connect(cert, token=app.token)
    try:
        thief.auth.token.lookup_self()
        sys.exit('a stolen token works')
    except hvac.exceptions.Forbidden:
        pass

# The client certificate alone is enough.
bare = connect('APP')
assert bare.secrets.kv.v2.create_or_update_secret('app/x', {'a': 'b'})['data']['version'] == 1
print('done')
";
    let said = hvac::python(gateway.ready(), program).success();
    assert!(said.stdout.contains("done"), "{said}");
}

#[test]
fn no_secret_is_to_be_found_in_any_file_but_the_client_s_own() {
    const NEEDLE: &str = "needle-in-a-haystack-8231";
    let site = Site::new();
    let gateway = Gateway::start(&site);
    let app = gateway.app();
    let body = json!({ "data": { NEEDLE: format!("value-{NEEDLE}") } });
    drop(app.post(&format!("/v1/secret/data/app/{NEEDLE}"), &body).expect(200));
    drop(app.get(&format!("/v1/secret/data/app/{NEEDLE}")).expect(200));
    let token = app.post("/v1/auth/cert/login", &json!({})).expect(200).json();
    let token = token["auth"]["client_token"].as_str().expect("a token").to_owned();
    // Requests that fail must not tell either.
    drop(app.send(
        "POST",
        "/v1/secret/data/app/x",
        &[],
        format!("{{\"data\": {NEEDLE}").as_bytes(),
    ));
    drop(app.post("/v1/secret/data/other/x", &body));
    drop(app.send(
        "GET",
        "/v1/auth/token/lookup-self",
        &[("x-vault-token", &format!("{token}x"))],
        b"",
    ));
    let directory = gateway.directory().to_owned();
    let log = site.file("gateway.log");
    let admin_key = fs::read_to_string(&gateway.ready().admin_key).expect("the key can be read");
    drop(gateway.stop());

    // The name of a secret is in the audit log, its value is not; a token is nowhere.
    let value = format!("value-{NEEDLE}");
    let key_line = admin_key.lines().nth(1).expect("a key has lines").to_owned();
    let mut files = vec![log];
    collect(&directory, &mut files);
    assert!(files.len() > 8, "{files:?}");
    for file in files {
        let bytes = fs::read(&file).expect("a file can be read");
        let found = |text: &str| bytes.windows(text.len()).any(|window| window == text.as_bytes());
        assert!(!found(&value), "the secret is in {}", file.display());
        assert!(!found(&token), "the token is in {}", file.display());
        let clients_own = file.ends_with("dev/admin.key");
        assert_eq!(found(&key_line), clients_own, "the key is in {}", file.display());
    }
}

fn collect(folder: &Path, files: &mut Vec<std::path::PathBuf>) {
    for entry in fs::read_dir(folder).expect("a folder can be read") {
        let path = entry.expect("a folder can be read").path();
        if path.is_dir() {
            collect(&path, files);
        } else {
            files.push(path);
        }
    }
}

#[test]
fn bodies_that_are_too_large_too_deep_or_not_json() {
    let site = Site::new();
    let mut gateway = Gateway::start(&site);
    let app = gateway.app();
    let path = "/v1/secret/data/app/db";
    let json_type = [("content-type", "application/json")];

    let large = format!("{{\"data\":{{\"a\":\"{}\"}}}}", "x".repeat(4 << 20));
    let answer = app.send("POST", path, &json_type, large.as_bytes());
    assert_eq!(answer.status, 413, "{}", answer.text());
    assert!(answer.json()["errors"].is_array(), "{}", answer.text());
    // Without a certificate too: nobody may fill the memory.
    let answer = gateway.anonymous().send("POST", path, &json_type, large.as_bytes());
    assert!(matches!(answer.status, 403 | 413), "{}", answer.text());

    let deep = format!("{{\"data\":{}{}}}", "[".repeat(100_000), "]".repeat(100_000));
    for body in [
        deep.as_str(),
        "",
        "{",
        "null",
        "[]",
        "{\"data\":7}",
        "{\"data\":null}",
        "\u{0}",
        "{\"data\":{}} x",
    ] {
        let answer = app.send("POST", path, &json_type, body.as_bytes());
        assert_eq!(answer.status, 400, "{:.40}: {}", body, answer.text());
        assert!(answer.json()["errors"].is_array(), "{}", answer.text());
    }
    let answer = app.send("POST", path, &json_type, b"{\"data\":{\"a\":\"\xff\"}}");
    assert_eq!(answer.status, 400, "{}", answer.text());
    assert_eq!(app.get(path).status, 404, "nothing was written");
    gateway.assert_up();
}
