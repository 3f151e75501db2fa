//! Secrets, keys, tokens and what policies look up.

use chancery_integration::audit;
use chancery_integration::http::Client;
use serde_json::json;

use crate::world::{World, eventually};

#[test]
fn a_secret_written_at_one_is_read_at_the_other() {
    let world = World::new();
    let (a, b) = (world.start("a"), world.start("b"));
    drop(a.app().post("/v1/secret/data/app/db", &json!({ "data": { "v": "1" } })).expect(200));
    let read = b.app().get("/v1/secret/data/app/db").expect(200).json();
    assert_eq!(read["data"]["data"]["v"], "1", "{read}");
    // Versions go on where the other one is.
    let written = b.app().post("/v1/secret/data/app/db", &json!({ "data": { "v": "2" } }));
    assert_eq!(written.expect(200).json()["data"]["version"], 2);
    let read = a.app().get("/v1/secret/data/app/db").expect(200).json();
    assert_eq!(read["data"]["data"]["v"], "2", "{read}");
}

#[test]
fn a_check_and_set_is_decided_once() {
    let world = World::new();
    let (a, b) = (world.start("a"), world.start("b"));
    let write = |client: Client| {
        let body = json!({ "data": { "v": "x" }, "options": { "cas": 0 } });
        client.post("/v1/secret/data/app/once", &body).status
    };
    let (at_a, at_b) = (a.app(), b.app());
    let both = std::thread::scope(|scope| {
        let (first, second) = (scope.spawn(|| write(at_a)), scope.spawn(|| write(at_b)));
        [first.join().expect("no panic"), second.join().expect("no panic")]
    });
    let mut both = both;
    both.sort_unstable();
    assert_eq!(both, [200, 400]);
}

#[test]
fn groups_and_data_sets_of_one_count_at_the_other() {
    let world = World::new();
    let (a, b) = (world.start("a"), world.start("b"));
    let members = json!({ "members": ["spiffe://dev.chancery/app"] });
    drop(a.admin().post("/v1/sys/groups/on-call", &members).expect(204));
    let entries = json!({ "entries": { "blocked.example": "because" } });
    drop(a.admin().post("/v1/sys/data-sets/blocked", &entries).expect(204));
    for path in ["/v1/sys/groups/on-call", "/v1/sys/data-sets/blocked"] {
        eventually("the other gateway has it", || b.admin().get(path).status == 200);
    }
    drop(b.admin().send("DELETE", "/v1/sys/groups/on-call", &[], b"").expect(204));
    eventually("the first gateway has it no more", || {
        a.admin().get("/v1/sys/groups/on-call").status == 404
    });
}

#[test]
fn a_session_of_one_holds_at_the_other_until_it_ends_anywhere() {
    let world = World::new();
    let (a, b) = (world.start("a"), world.start("b"));
    let token = a.app().post("/v1/auth/cert/login", &json!({})).expect(200).json();
    let token = token["auth"]["client_token"].as_str().expect("a token").to_owned();
    let credential = a.app_credential();
    let look = |client: Client| {
        let headers = [("x-vault-token", token.as_str())];
        client.send("GET", "/v1/auth/token/lookup-self", &headers, b"").status
    };
    assert_eq!(look(a.client(&credential)), 200);
    assert_eq!(look(b.client(&credential)), 200);
    let headers = [("x-vault-token", token.as_str())];
    let ended = b.client(&credential).send("POST", "/v1/auth/token/revoke-self", &headers, b"{}");
    drop(ended.expect(204));
    assert_eq!(look(b.client(&credential)), 403);
    assert_eq!(look(a.client(&credential)), 403);
}

#[test]
fn a_key_that_one_changes_is_changed_at_the_other() {
    let world = World::new();
    let (a, b) = (world.start("a"), world.start("b"));
    let (admin_a, admin_b) = (a.admin(), b.admin());
    let (app_a, app_b) = (a.app(), b.app());
    drop(admin_a.post("/v1/transit/keys/app-k", &json!({ "type": "aes256-gcm96" })).expect(200));
    let encrypt = |client: &Client| {
        let text = json!({ "plaintext": "aGVsbG8=" });
        let sealed = client.post("/v1/transit/encrypt/app-k", &text).expect(200).json();
        sealed["data"]["ciphertext"].as_str().expect("a text").to_owned()
    };
    let first = encrypt(&app_b);
    assert!(first.starts_with("vault:v1:"), "{first}");
    drop(admin_a.post("/v1/transit/keys/app-k/rotate", &json!({})).expect(200));
    let second = encrypt(&app_b);
    assert!(second.starts_with("vault:v2:"), "{second}");
    let decrypt = |client: &Client| {
        client.post("/v1/transit/decrypt/app-k", &json!({ "ciphertext": first })).status
    };
    assert_eq!((decrypt(&app_a), decrypt(&app_b)), (200, 200));
    let least = json!({ "min_decryption_version": 2, "deletion_allowed": true });
    drop(admin_b.post("/v1/transit/keys/app-k/config", &least).expect(200));
    assert_eq!((decrypt(&app_a), decrypt(&app_b)), (400, 400));
    drop(admin_a.send("DELETE", "/v1/transit/keys/app-k", &[], b"").expect(204));
    let text = json!({ "plaintext": "aGVsbG8=" });
    for client in [&app_a, &app_b] {
        let refused = client.post("/v1/transit/encrypt/app-k", &text);
        assert!(matches!(refused.status, 400 | 404), "{}", refused.text());
    }
}

#[test]
fn each_has_an_audit_log_of_its_own_that_verifies() {
    let world = World::new();
    let (a, b) = (world.start("a"), world.start("b"));
    drop(a.app().post("/v1/secret/data/app/a", &json!({ "data": { "v": "1" } })).expect(200));
    drop(b.app().post("/v1/secret/data/app/b", &json!({ "data": { "v": "1" } })).expect(200));
    let files = [a.audit_file(), b.audit_file()];
    a.stop();
    b.stop();
    for (file, own, others) in [(&files[0], "app/a", "app/b"), (&files[1], "app/b", "app/a")] {
        let text = std::fs::read_to_string(file).expect("a log");
        assert!(text.contains(own) && !text.contains(others), "{text}");
        assert!(!audit::read(file).is_empty());
    }
    // Each goes on in its own log.
    let (a, b) = (world.start("a"), world.start("b"));
    a.stop();
    b.stop();
}
