//! Groups and data sets, which policies look up.

use chancery_integration::gateway::Gateway;
use chancery_integration::site::Site;
use serde_json::json;

#[test]
fn groups_and_data_sets_survive_a_restart_and_are_on_record() {
    let site = Site::new();
    let gateway = Gateway::start(&site);
    let admin = gateway.admin();
    let members = json!({ "members": ["spiffe://dev.chancery/app"] });
    drop(admin.post("/v1/sys/groups/on-call", &members).expect(204));
    let entries = json!({ "entries": { "example.com": "legal" } });
    drop(admin.post("/v1/sys/data-sets/blocked-domains", &entries).expect(204));
    drop(gateway.app().get("/v1/sys/groups/on-call").expect(403));
    drop(gateway.stop());

    let gateway = Gateway::start(&site);
    let admin = gateway.admin();
    let group = admin.get("/v1/sys/groups/on-call").expect(200).json();
    assert_eq!(group["data"]["members"], members["members"]);
    let set = admin.get("/v1/sys/data-sets/blocked-domains").expect(200).json();
    assert_eq!(set["data"]["entries"], entries["entries"]);
    let log = std::fs::read_to_string(gateway.path("audit/audit.jsonl")).expect("the audit log");
    for operation in ["group.update", "data-set.update", "group.read"] {
        assert!(log.contains(&format!("\"{operation}\"")), "{operation}");
    }
}
