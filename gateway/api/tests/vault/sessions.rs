//! The sessions of others, over the API.

use serde_json::{Value, json};

use crate::fixture::{Answer, Fixture};

const ACCESSORS: &str = "/v1/auth/token/accessors";

async fn asked(f: &Fixture, what: &str, body: Value) -> Answer {
    f.call("root", "POST", &format!("/v1/auth/token/{what}")).json(&body).send().await
}

async fn accessor(f: &Fixture, who: &str) -> (String, String) {
    let auth = f.call(who, "POST", "/v1/auth/cert/login").send().await.json()["auth"].clone();
    let text = |name: &str| auth[name].as_str().unwrap().to_owned();
    (text("accessor"), text("client_token"))
}

#[tokio::test]
async fn accessors_are_listed_looked_up_and_revoked_as_in_vault() {
    let f = Fixture::new();
    let (app, token) = accessor(&f, "app").await;
    let (admin, _) = accessor(&f, "admin").await;
    for (method, query) in [("LIST", ""), ("GET", "?list=true"), ("LIST", "?limit=10")] {
        let listed = f.call("root", method, &format!("{ACCESSORS}{query}")).send().await.data();
        let mut keys = listed["keys"].as_array().unwrap().clone();
        keys.sort_by_key(ToString::to_string);
        let mut expected = vec![json!(app), json!(admin)];
        expected.sort_by_key(ToString::to_string);
        assert_eq!(keys, expected, "{method} {query}");
        assert_eq!(listed["key_info"][&app]["meta"]["identity"], "spiffe://test/app");
        assert!(!listed.to_string().contains(&token));
    }
    let of_app = format!("{ACCESSORS}?identity=spiffe://test/app");
    assert_eq!(f.call("root", "LIST", &of_app).send().await.data()["keys"], json!([app]));
    let page = f.call("root", "LIST", &format!("{ACCESSORS}?limit=1")).send().await;
    let more = page.json()["warnings"][0].as_str().unwrap().to_owned();
    let next = page.data()["next"].as_str().unwrap().to_owned();
    assert!(more.ends_with(&format!("after={next}")), "{more}");
    let rest = format!("{ACCESSORS}?limit=1&after={next}");
    let rest = f.call("root", "LIST", &rest).send().await.data();
    assert_ne!(rest["keys"], page.data()["keys"]);
    assert!(rest.get("next").is_none(), "{rest}");

    let found = asked(&f, "lookup-accessor", json!({"accessor": app})).await.data();
    assert_eq!((&found["accessor"], &found["id"]), (&json!(app), &json!("")));
    assert_eq!(found["meta"]["identity"], "spiffe://test/app");
    let revoked = asked(&f, "revoke-accessor", json!({"accessor": app})).await;
    assert_eq!(revoked.status, 204);
    f.call("app", "GET", "/v1/auth/token/lookup-self").token(&token).send().await.errors(403);
    let again = asked(&f, "revoke-accessor", json!({"accessor": app})).await;
    assert_eq!(again.status, 200);
    assert_eq!(again.json()["warnings"], json!(["No token found with this accessor"]));
    let gone = asked(&f, "lookup-accessor", json!({"accessor": app})).await;
    assert_eq!(gone.errors(400), "invalid accessor");
    for body in [json!({}), json!({"accessor": ""})] {
        assert_eq!(
            asked(&f, "lookup-accessor", body.clone()).await.errors(400),
            "missing accessor"
        );
        assert_eq!(asked(&f, "revoke-accessor", body).await.errors(400), "missing accessor");
    }
    for bad in ["limit=x", "after=nope"] {
        f.call("root", "LIST", &format!("{ACCESSORS}?{bad}")).send().await.errors(400);
    }
}

#[tokio::test]
async fn all_sessions_of_an_identity_are_revoked() {
    let f = Fixture::new();
    let (_, first) = accessor(&f, "app").await;
    let (_, second) = accessor(&f, "app").await;
    let body = json!({"identity": "spiffe://test/app"});
    let ended = asked(&f, "revoke-identity", body.clone()).await.data();
    assert_eq!(ended, json!({"revoked": 2}));
    for token in [first, second] {
        let lookup = f.call("app", "GET", "/v1/auth/token/lookup-self").token(&token);
        lookup.send().await.errors(403);
    }
    assert_eq!(asked(&f, "revoke-identity", body).await.data(), json!({"revoked": 0}));
    let none = asked(&f, "revoke-identity", json!({})).await.errors(400);
    assert!(none.contains("identity is missing"), "{none}");
}

#[tokio::test]
async fn nobody_sees_or_ends_the_sessions_of_others_without_policy() {
    let f = Fixture::new();
    let (admin, _) = accessor(&f, "admin").await;
    f.call("app", "LIST", ACCESSORS).send().await.errors(403);
    for (what, body) in [
        ("lookup-accessor", json!({"accessor": admin})),
        ("revoke-accessor", json!({"accessor": admin})),
        ("revoke-accessor", json!({"accessor": "nope"})),
        ("revoke-identity", json!({"identity": "spiffe://test/admin"})),
    ] {
        let uri = format!("/v1/auth/token/{what}");
        let errors = f.call("app", "POST", &uri).json(&body).send().await.errors(403);
        assert!(!errors.contains("spiffe://test/admin"), "{what}: {errors}");
    }
}
