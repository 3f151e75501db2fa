//! Whose hands the gateway's files may have been in, and what `chancery dev` does not write through.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use chancery_integration::gateway::{Gateway, Options, chancery};
use chancery_integration::site::Site;

fn set(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("the mode can be set");
}

#[test]
fn dev_writes_through_no_link() {
    let site = Site::new();
    let state = site.path().join("state");
    let elsewhere = site.path().join("elsewhere");
    for name in [
        "chancery.toml",
        "root.key",
        "root.pem",
        "store.redb",
        "audit",
        "audit/audit.jsonl",
        "compiled-policies",
        "dev",
        "dev/app.key",
        "policies",
        "policies/plugins",
        "policy-history",
    ] {
        let link = state.join(name);
        fs::create_dir_all(link.parent().expect("it is in the folder")).expect("it can be made");
        fs::create_dir_all(&elsewhere).expect("it can be made");
        symlink(elsewhere.join("target"), &link).expect("a link can be made");
        let said = Options::new(&site).start_fails();
        assert!(said.stderr.contains(&format!("{} is a symbolic link", link.display())), "{said}");
        let written = fs::read_dir(&elsewhere).expect("it is there").count();
        assert_eq!(written, 0, "{name}: something was written through the link");
        fs::remove_dir_all(&state).expect("it can be removed");
    }
    symlink(&elsewhere, &state).expect("a link can be made");
    let said = Options::new(&site).start_fails();
    assert!(said.stderr.contains("is a symbolic link"), "{said}");
}

#[test]
fn dev_does_not_start_where_others_may_write() {
    let site = Site::new();
    let state = site.path().join("state");
    fs::create_dir(&state).expect("it can be made");
    set(&state, 0o777);
    let said = Options::new(&site).start_fails();
    assert!(said.stderr.contains("mode 0777") && said.stderr.contains("chmod go-w"), "{said}");
    assert_eq!(fs::read_dir(&state).expect("it is there").count(), 0);
}

#[test]
fn serve_and_check_refuse_files_that_others_may_change() {
    let site = Site::new();
    drop(Gateway::start(&site).stop());
    let state = site.path().join("state");
    let config = state.join("chancery.toml");
    let config = config.to_str().expect("it is text");
    drop(chancery(&["check", "--config", config]).success());
    for (name, open) in [
        ("chancery.toml", 0o666),
        ("root.key", 0o644),
        ("policies", 0o777),
        ("policies/access.toml", 0o666),
        ("policies/plugins", 0o777),
        ("audit", 0o777),
        ("audit/audit.jsonl", 0o666),
        ("", 0o777),
    ] {
        let path = state.join(name);
        let before = fs::metadata(&path).expect("it is there").permissions().mode();
        set(&path, open);
        for command in ["check", "serve"] {
            let said = chancery(&[command, "--config", config]).failure();
            let real = path.canonicalize().expect("it is there");
            let expected = format!("{} has mode {open:04o}", real.display());
            assert!(said.stderr.contains(&expected), "{expected}: {said}");
            assert!(said.stderr.contains("chmod go-"), "{said}");
        }
        set(&path, before);
    }
    // What `check` does not open, since a gateway may run there.
    for name in ["store.redb", "compiled-policies", "compiled-policies/key", "policy-history"] {
        let path = state.join(name);
        let before = fs::metadata(&path).expect("it is there").permissions().mode();
        set(&path, before | 0o002);
        let said = chancery(&["serve", "--config", config]).failure();
        assert!(said.stderr.contains("chmod go-w"), "{name}: {said}");
        set(&path, before);
    }
    Gateway::serve(&site, |_| {}).assert_up();
}
