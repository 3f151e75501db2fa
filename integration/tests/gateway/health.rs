//! `/health` says what is done with requests, and why they are refused.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::time::Duration;

use chancery_integration::gateway::Gateway;
use chancery_integration::process::eventually;
use chancery_integration::site::Site;
use serde_json::json;

/// Far more than the gateway takes between two looks.
const LOOKED: Duration = Duration::from_mins(2);

#[test]
fn health_is_bad_while_the_audit_log_cannot_be_written() {
    let site = Site::new();
    let gateway = Gateway::start(&site);
    assert_eq!(gateway.plain().get("/health").expect(200).text(), "ready\n");

    // A line of somebody else makes every write fail, as a full disk does.
    let mut log = OpenOptions::new().append(true).open(gateway.audit_file()).expect("the log");
    let refused = eventually("a request is refused", LOOKED, || {
        log.write_all(b"x").expect("the log can be changed");
        Some(gateway.app().get("/v1/secret/data/app/none")).filter(|answer| answer.status == 500)
    });
    drop(refused);
    let why = "the audit log cannot be written: every request is refused";
    for client in [gateway.plain(), gateway.monitoring()] {
        assert_eq!(client.get("/health").expect(503).text(), format!("{why}\n"));
    }
    let vault = gateway.anonymous().get("/v1/sys/health").expect(503).json();
    assert_eq!(vault["errors"], json!([why]));
    assert_eq!((&vault["initialized"], &vault["sealed"]), (&json!(true), &json!(false)));

    let text = std::fs::read(gateway.audit_file()).expect("the log");
    let foreign = text.iter().rev().take_while(|byte| **byte == b'x').count();
    log.set_len((text.len() - foreign) as u64).expect("the log can be changed");
    eventually("the gateway finds out that it can write", LOOKED, || {
        (gateway.plain().get("/health").status == 200).then_some(())
    });
    drop(gateway.app().get("/v1/secret/data/app/none").expect(404));
    drop(gateway.anonymous().get("/v1/sys/health").expect(200));
}
