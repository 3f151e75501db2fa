//! What the process has given up, and that a gateway needs no root.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use chancery_integration::gateway::{Options, binary};
use chancery_integration::process;
use chancery_integration::site::Site;

/// A user that is not root, whether or not this machine has a name for it.
const SOMEBODY: u32 = 65_533;

/// A line of `/proc/ID/status`.
fn status(id: u32, name: &str) -> String {
    let text = fs::read_to_string(format!("/proc/{id}/status")).expect("the process is there");
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(":\t"));
    line.unwrap_or_else(|| panic!("no {name} in {text}")).to_owned()
}

fn owner(path: impl AsRef<Path>) -> u32 {
    fs::metadata(path).expect("it is there").uid()
}

#[test]
fn a_gateway_runs_without_root_and_nobody_looks_into_it() {
    let site = Site::new();
    // Who is not root runs as themselves.
    let is_root = owner("/proc/self/environ") == 0;
    let options = Options::new(&site);
    let options = if is_root { options.user(&site, SOMEBODY) } else { options };
    let mut gateway = options.start();
    let id = gateway.id();
    if is_root {
        assert_eq!(status(id, "Uid").split('\t').next(), Some("65533"));
        assert_eq!(status(id, "CapEff"), "0000000000000000");
    }
    assert_eq!(status(id, "NoNewPrivs"), "1");
    // The kernel gives what is in a process that is not dumpable to root.
    assert_eq!(owner(format!("/proc/{id}/environ")), 0);
    let limits = fs::read_to_string(format!("/proc/{id}/limits")).expect("the process is there");
    let core = limits.lines().find(|line| line.starts_with("Max core file size"));
    let core: Vec<_> = core.expect("there is such a limit").split_whitespace().collect();
    assert_eq!(core[4..6], ["0", "0"], "{limits}");

    // A policy that changes is compiled in a process of its own, which finds this program and is confined.
    let file = gateway.path("policies/access.toml");
    let text = fs::read_to_string(&file).expect("the bindings can be read");
    let changed = text.replace("secret/app/*", "secret/team/*");
    fs::write(&file, changed).expect("they can be written");
    process::eventually("the policies are taken", Duration::from_mins(2), || {
        gateway.log().contains("took changed policies").then_some(())
    });
    let answer = gateway.app().get("/v1/secret/data/team/db");
    assert_eq!(answer.status, 404, "allowed, and there is none: {}", answer.text());
    assert!(!gateway.log().contains("less confined"), "{}", gateway.log());
    gateway.assert_up();
}

#[test]
fn the_compiler_of_policies_is_confined_before_it_reads_anything() {
    let mut compiler = Command::new(binary())
        .arg("compile-policy")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("it can be started");
    let id = compiler.id();
    // It waits for its order.
    process::eventually("it is confined", Duration::from_mins(1), || {
        // Two filters, one after the other.
        (status(id, "Seccomp") == "2" && status(id, "Seccomp_filters") == "2").then_some(())
    });
    assert_eq!(status(id, "NoNewPrivs"), "1");
    drop(compiler.stdin.take());
    assert!(!compiler.wait().expect("it ends").success(), "nothing is no order");
}
