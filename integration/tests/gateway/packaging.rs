//! What is packaged: the unit of the service.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::net::UnixDatagram;
use std::process::Command;
use std::time::Duration;

use chancery_integration::gateway::Gateway;
use chancery_integration::process::{self, repository, tool};
use chancery_integration::site::Site;

fn unit() -> String {
    let file = repository().join("packaging/systemd/chancery.service");
    fs::read_to_string(file).expect("the unit is there")
}

/// With the program where the tests have it, systemd finds nothing wrong with the unit.
#[test]
fn systemd_understands_the_unit() {
    let site = Site::new();
    let program = process::repository().join("scripts/test").display().to_string();
    let text = unit().replace("/usr/bin/chancery", &program);
    let file = site.write("chancery.service", text);
    let said =
        process::run(Command::new(tool("systemd-analyze")).args(["verify", "--man=no"]).arg(&file));
    let about: Vec<_> =
        said.stderr.lines().filter(|line| line.contains("chancery.service")).collect();
    assert!(about.is_empty(), "{about:#?}");
}

#[test]
fn the_unit_exposes_little() {
    let file = repository().join("packaging/systemd/chancery.service");
    // In tenths. What is left is a network, a root directory, and code that is made while it runs.
    let said = process::run(
        Command::new(tool("systemd-analyze"))
            .args(["security", "--offline=yes", "--no-pager", "--threshold=15"])
            .arg(&file),
    );
    drop(said.success());
}

/// What the gateway's own confinement needs is allowed by the unit's.
#[test]
fn the_unit_leaves_the_gateway_its_confinement() {
    let unit = unit();
    let allowed: BTreeSet<_> = unit
        .lines()
        .filter_map(|line| line.strip_prefix("SystemCallFilter="))
        .filter(|line| !line.starts_with('~'))
        .flat_map(str::split_whitespace)
        .collect();
    for call in
        ["seccomp", "landlock_create_ruleset", "landlock_add_rule", "landlock_restrict_self"]
    {
        assert!(allowed.contains(call), "{call} is not in {allowed:?}");
    }
}

#[test]
fn the_service_manager_is_told_when_it_serves_and_when_it_stops() {
    let site = Site::new();
    let socket = site.file("notify");
    let manager = UnixDatagram::bind(&socket).expect("a socket can be made");
    manager.set_read_timeout(Some(Duration::from_mins(2))).expect("a time-out can be set");
    let told = || {
        let mut buffer = [0; 64];
        let length = manager.recv(&mut buffer).expect("it tells");
        String::from_utf8_lossy(&buffer[..length]).into_owned()
    };
    drop(Gateway::start(&site).stop());
    let gateway = Gateway::serve_with(&site, &[("NOTIFY_SOCKET", &socket.to_string_lossy())]);
    assert_eq!(told(), "READY=1");
    drop(gateway.stop());
    assert_eq!(told(), "STOPPING=1");
}
