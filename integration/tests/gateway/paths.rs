//! Tricks with paths. A rule about `secret/app/` must hold for every way of writing a path that
//! reaches what it protects.

use chancery_integration::gateway::Gateway;
use chancery_integration::site::Site;
use serde_json::json;

const SALARY: &str = "one million";

/// Ways for the application, which may use `secret/app/` only, to write the path of a secret that
/// is elsewhere, or to write a path that means nothing.
const TRICKS: [&str; 32] = [
    "/v1/secret/data/payroll/salaries",
    "/v1/secret/data/app/../payroll/salaries",
    "/v1/secret/data/app/%2e%2e/payroll/salaries",
    "/v1/secret/data/app/%2E%2E/payroll/salaries",
    "/v1/secret/data/app/.%2e/payroll/salaries",
    "/v1/secret/data/app%2f..%2fpayroll%2fsalaries",
    "/v1/secret/data/app%2F..%2Fpayroll/salaries",
    "/v1/secret/data/app/..%2fpayroll/salaries",
    "/v1/secret/data/app/..%252fpayroll/salaries",
    "/v1/secret/data/app/./../payroll/salaries",
    "/v1/secret/data/app/.//../payroll/salaries",
    "/v1/secret/data/app/x/../../payroll/salaries",
    "/v1/secret/data/app/..",
    "/v1/secret/data/app/../",
    "/v1/secret/data/../data/payroll/salaries",
    "/v1/secret/data//payroll/salaries",
    "/v1/secret/data/payroll//salaries",
    "/v1/secret//data/payroll/salaries",
    "/v1//secret/data/payroll/salaries",
    "//v1/secret/data/payroll/salaries",
    "/v1/secret/data/payroll/salaries/",
    "/v1/secret/data/PAYROLL/SALARIES",
    "/v1/secret/data/Payroll/salaries",
    "/V1/secret/data/payroll/salaries",
    "/v1/SECRET/data/payroll/salaries",
    "/v1/secret/DATA/payroll/salaries",
    "/v1/secret/data/%70ayroll/salaries",
    "/v1/secret/data/payroll%2fsalaries",
    "/v1/secret/data/payroll/salaries%00",
    "/v1/secret/data/payroll/salaries%0a",
    "/v1/secret/data/%00/../payroll/salaries",
    "/v1/secret/data/app;/../payroll/salaries",
];

#[test]
fn no_way_of_writing_a_path_gets_past_a_rule() {
    let site = Site::new();
    let mut gateway = Gateway::start(&site);
    let body = json!({ "data": { "salary": SALARY } });
    drop(gateway.admin().post("/v1/secret/data/payroll/salaries", &body).expect(200));
    let app = gateway.app();
    for path in TRICKS {
        for (method, content) in [("GET", &b""[..]), ("POST", b"{\"data\":{}}"), ("DELETE", b"")] {
            let headers = [("content-type", "application/json")];
            let answer = app.send(method, path, &headers, content);
            assert!(
                (400..=405).contains(&answer.status),
                "{method} {path}: {} {}",
                answer.status,
                answer.text()
            );
            assert!(!answer.text().contains(SALARY), "{method} {path}: {}", answer.text());
        }
    }
    // Nothing of it changed anything.
    let answer = gateway.admin().get("/v1/secret/data/payroll/salaries").expect(200).json();
    assert_eq!(answer["data"]["data"]["salary"], SALARY);
    assert_eq!(answer["data"]["metadata"]["version"], 1, "nobody wrote");
    gateway.assert_up();
}

#[test]
fn a_path_with_dots_is_a_bad_request_and_case_is_kept() {
    let site = Site::new();
    let gateway = Gateway::start(&site);
    let app = gateway.app();
    let body = json!({ "data": { "a": "b" } });
    drop(app.post("/v1/secret/data/app/db", &body).expect(200));
    for path in ["/v1/secret/data/app/../app/db", "/v1/secret/data/app/%2e%2e/app/db"] {
        let answer = app.get(path);
        assert_eq!(answer.status, 400, "{path}: {}", answer.text());
        assert!(answer.json()["errors"].is_array(), "{}", answer.text());
    }
    // Clients collapse these themselves. Whether they mean something here or not, they mean nothing
    // else.
    let doubled = app.get("/v1/secret/data/app//db");
    assert!(matches!(doubled.status, 200 | 400), "{}", doubled.text());
    // Names are kept as they are: another case is another secret.
    assert_eq!(app.get("/v1/secret/data/app/DB").status, 404);
}

#[test]
fn a_backslash_is_a_letter_like_any_other() {
    let site = Site::new();
    let gateway = Gateway::start(&site);
    let body = json!({ "data": { "salary": SALARY } });
    drop(gateway.admin().post("/v1/secret/data/payroll/salaries", &body).expect(200));
    for path in [
        "/v1/secret/data/app/..\\payroll\\salaries",
        "/v1/secret/data/app%5c..%5cpayroll%5csalaries",
    ] {
        let answer = gateway.app().get(path);
        assert!(
            (400..=404).contains(&answer.status),
            "{path}: {} {}",
            answer.status,
            answer.text()
        );
        assert!(!answer.text().contains(SALARY), "{path}: {}", answer.text());
    }
}

#[test]
fn a_target_that_is_no_path_is_refused() {
    let site = Site::new();
    let mut gateway = Gateway::start(&site);
    let app = gateway.app();
    for target in
        ["*", "secret", "http://elsewhere/v1/secret/data/payroll/x", "/v1/%", "/v1/%zz", "/v1/%ff"]
    {
        match app.try_send("GET", target, &[], b"") {
            Ok(answer) => {
                assert!((400..=405).contains(&answer.status), "{target}: {}", answer.status);
            }
            // It may also close the connection on what is not HTTP.
            Err(error) => drop(error),
        }
    }
    let long = format!("/v1/secret/data/app/{}", "x".repeat(100_000));
    if let Ok(answer) = app.try_send("GET", &long, &[], b"") {
        assert!((400..=431).contains(&answer.status), "{}", answer.status);
    }
    gateway.assert_up();
}
