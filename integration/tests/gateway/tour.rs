//! `make run`, without what it installs and builds.

use std::process::Command;

use chancery_integration::gateway;
use chancery_integration::process::{self, repository};
use chancery_integration::site::Site;

#[test]
fn the_tour_shows_what_it_promises() {
    let site = Site::new();
    let mut command = Command::new(repository().join("scripts/tour"));
    command
        .args(["--once", "--listen", "127.0.0.1:0", "--http", "127.0.0.1:0", "--http01-port"])
        // Not the usual port, where somebody may have a tour of their own.
        .arg(free_port().to_string())
        .arg("--dir")
        .arg(site.path().join("tour"))
        .env("CHANCERY_BIN", gateway::binary());
    let said = process::run(&mut command).success();
    for part in [
        "Successfully received certificate",
        "DNS:demo.localhost",
        "a long one",
        "status 403",
        "secrets.create",
        "secrets.read",
        "acme.order.create",
        "sha256:",
        "none removed, changed or reordered",
        "By hand",
    ] {
        assert!(said.stdout.contains(part), "no {part:?} in {said}");
    }
    // A second tour continues with the same state.
    drop(process::run(&mut command).success());
}

#[test]
fn a_port_that_is_taken_is_said_before_anything_is_built() {
    let site = Site::new();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let address = taken.local_addr().expect("it is bound").to_string();
    let mut command = Command::new(repository().join("scripts/tour"));
    command.args(["--once", "--listen", &address, "--dir"]).arg(site.path().join("tour"));
    let said = process::run(&mut command).failure();
    let port = address.rsplit(':').next().expect("a port");
    assert!(
        said.stderr.contains(&format!("port {port}")) && said.stderr.contains("taken"),
        "{said}"
    );
    assert!(!site.path().join("tour").exists(), "nothing was done");
}

fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port is free");
    listener.local_addr().expect("it is bound").port()
}
