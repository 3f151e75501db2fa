//! Tests of the checks of owner, mode and symbolic links, on real files.

use std::fs::Permissions;
use std::os::unix::fs::{PermissionsExt as _, chown, symlink};

use tempfile::TempDir;

use super::*;

/// The id of a group without members and of a user that does not exist.
const STRANGER: u32 = 47_110;

fn folder() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    set(folder.path(), 0o755);
    folder
}

fn set(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

fn write(path: &Path, mode: u32) {
    fs::write(path, "content").unwrap();
    set(path, mode);
}

fn directory(path: &Path, mode: u32) {
    fs::create_dir(path).unwrap();
    set(path, mode);
}

/// Whom the process trusts if its user runs these tests, and the group of the test files.
fn trusted(files: &TempDir) -> (Trusted, u32) {
    (Trusted::process(), fs::metadata(files.path()).unwrap().gid())
}

/// Gives the file to a group that others are in.
fn to_group(path: &Path) -> u32 {
    if rustix::process::geteuid().is_root() {
        chown(path, None, Some(STRANGER)).unwrap();
    }
    fs::metadata(path).unwrap().gid()
}

fn said(refused: Result<impl std::fmt::Debug, Untrusted>) -> String {
    refused.unwrap_err().to_string()
}

#[test]
fn a_file_that_only_its_owner_may_change_is_read() {
    let folder = folder();
    let path = folder.path().join("file");
    write(&path, 0o644);
    let (trusted, _) = trusted(&folder);
    assert_eq!(trusted.read(&path, 7).unwrap(), b"content");
    let large = trusted.read(&path, 6).unwrap_err();
    assert!(matches!(large, Untrusted::TooLarge { length: 7, largest: 6, .. }), "{large}");
    let missing = trusted.read(&folder.path().join("missing"), 7).unwrap_err();
    assert_eq!(missing.cause().unwrap().kind(), std::io::ErrorKind::NotFound);
    let relative = std::env::current_dir().unwrap().join("Cargo.toml");
    assert_eq!(trusted.file(Path::new("./src/../Cargo.toml")).unwrap(), relative);
}

#[test]
fn a_file_that_everybody_may_change_is_refused_with_its_mode_and_the_remedy() {
    let folder = folder();
    let path = folder.path().join("file");
    write(&path, 0o666);
    let said = said(trusted(&folder).0.file(&path));
    let shown = path.display();
    assert!(
        said.starts_with(&format!("{shown} has mode 0666, so everybody may change it")),
        "{said}"
    );
    assert!(said.contains(&format!("chmod go-w {shown}")), "{said}");
}

#[test]
fn a_directory_that_others_may_write_is_refused_in_itself_and_on_the_way() {
    let folder = folder();
    let open = folder.path().join("open");
    directory(&open, 0o777);
    directory(&open.join("closed"), 0o755);
    let path = open.join("closed/file");
    write(&path, 0o644);
    let (trusted, _) = trusted(&folder);
    for refused in [trusted.directory(&open).map(drop), trusted.file(&path).map(drop)] {
        let said = said(refused);
        assert!(said.contains("may replace what is in it"), "{said}");
        assert!(said.contains(&format!("chmod go-w {}", open.display())), "{said}");
    }
    assert!(said(trusted.file(&path)).contains(&format!("on the way to {}", path.display())));
}

#[test]
fn a_sticky_directory_may_be_on_the_way_but_not_hold_policies() {
    let folder = folder();
    let sticky = folder.path().join("sticky");
    directory(&sticky, 0o1777);
    write(&sticky.join("file"), 0o644);
    let (trusted, _) = trusted(&folder);
    trusted.file(&sticky.join("file")).unwrap();
    assert!(said(trusted.directory(&sticky)).contains("mode 1777"));
}

#[test]
fn links_are_followed_and_what_they_lead_to_is_checked() {
    let folder = folder();
    let at = |name: &str| folder.path().join(name);
    // As Kubernetes mounts a secret: a directory for each version of it, and links.
    directory(&at("..2026_01"), 0o755);
    write(&at("..2026_01/root.key"), 0o600);
    symlink("..2026_01", at("..data")).unwrap();
    symlink("..data/root.key", at("root.key")).unwrap();
    let (trusted, _) = trusted(&folder);
    let real = folder.path().canonicalize().unwrap().join("..2026_01/root.key");
    assert_eq!(trusted.secret(&at("root.key")).unwrap(), real);
    assert_eq!(trusted.read_secret(&at("root.key"), 64).unwrap().as_slice(), b"content");

    write(&at("open"), 0o666);
    symlink(at("open"), at("to-open")).unwrap();
    assert!(said(trusted.file(&at("to-open"))).contains("mode 0666"));
    directory(&at("wide"), 0o777);
    write(&at("wide/file"), 0o644);
    symlink("wide/../wide/file", at("to-wide")).unwrap();
    assert!(said(trusted.file(&at("to-wide"))).contains("mode 0777"));
    symlink("loop", at("loop")).unwrap();
    assert!(said(trusted.file(&at("loop"))).contains("cannot find"));
}

#[test]
fn a_listed_group_may_write_and_no_other() {
    let folder = folder();
    let at = |name: &str| folder.path().join(name);
    directory(&at("policies"), 0o775);
    let group = to_group(&at("policies"));
    write(&at("policies/a.toml"), 0o664);
    to_group(&at("policies/a.toml"));
    let process = Trusted { user: STRANGER, ..Trusted::process() };
    let process = process.with_users([rustix::process::geteuid().as_raw()]);
    let told = said(process.directory(&at("policies")));
    assert!(told.contains(&format!("the group {group} may replace")), "{told}");
    assert!(told.contains("files.trusted_groups"), "{told}");
    let with_group = process.clone().with_groups([group]);
    with_group.directory(&at("policies")).unwrap();
    with_group.file(&at("policies/a.toml")).unwrap();
    set(&at("policies/a.toml"), 0o666);
    assert!(said(with_group.file(&at("policies/a.toml"))).contains("everybody"));
}

#[test]
fn a_file_of_somebody_else_is_refused_unless_a_listed_group_may_put_it_there() {
    let folder = folder();
    let path = folder.path().join("file");
    write(&path, 0o644);
    let owner = fs::metadata(&path).unwrap().uid();
    // Only a stranger is trusted, so the owner is somebody else for any user that runs the test.
    // Root can give the file away instead.
    let (trusted, stranger) = if owner == 0 {
        chown(&path, Some(STRANGER), None).unwrap();
        (Trusted::process(), STRANGER)
    } else {
        (Trusted { user: STRANGER, ..Trusted::process() }, owner)
    };
    let refused = trusted.file(&path).unwrap_err();
    assert!(matches!(&refused, Untrusted::Owner { owner, .. } if *owner == stranger), "{refused}");
    trusted.clone().with_users([stranger]).file(&path).unwrap();
    if owner == 0 {
        let group = to_group(folder.path());
        to_group(&path);
        set(folder.path(), 0o775);
        trusted.with_groups([group]).file(&path).unwrap();
    }
}

#[test]
fn secrets_are_their_owner_s_unless_a_setting_says_otherwise() {
    use SecretReaders::{Everybody, Group, Owner};
    let folder = folder();
    let path = folder.path().join("pin");
    let (trusted, _) = trusted(&folder);
    for (mode, least) in [
        (0o600, Some(Owner)),
        (0o400, Some(Owner)),
        (0o440, Some(Group)),
        (0o640, Some(Group)),
        (0o444, Some(Everybody)),
        (0o644, Some(Everybody)),
        (0o604, Some(Everybody)),
        (0o601, Some(Everybody)),
        // Nobody else may ever write.
        (0o602, None),
        (0o666, None),
    ] {
        write(&path, 0o600);
        set(&path, mode);
        let rank = |readers| [Owner, Group, Everybody].iter().position(|one| *one == readers);
        for readers in [Owner, Group, Everybody] {
            let read = trusted.clone().with_secret_readers(readers).read_secret(&path, 64);
            let allowed = least.is_some_and(|least| rank(readers) >= rank(least));
            assert_eq!(read.is_ok(), allowed, "{mode:o} for {readers:?}: {read:?}");
        }
        set(&path, 0o600);
    }
    set(&path, 0o644);
    let told = said(trusted.secret(&path));
    assert!(told.contains("mode 0644") && told.contains("chmod go-rwx"), "{told}");
}

#[test]
fn what_is_neither_file_nor_directory_is_refused_without_waiting_for_it() {
    let folder = folder();
    let pipe = folder.path().join("pipe");
    rustix::fs::mkfifoat(rustix::fs::CWD, &pipe, rustix::fs::Mode::from_raw_mode(0o600)).unwrap();
    let (trusted, _) = trusted(&folder);
    assert!(matches!(trusted.read(&pipe, 64), Err(Untrusted::NotAFile(_))));
    assert!(matches!(trusted.read(folder.path(), 64), Err(Untrusted::NotAFile(_))));
    assert!(matches!(trusted.directory(&pipe), Err(Untrusted::NotADirectory(_))));
}

#[test]
fn a_directory_is_made_and_one_that_is_there_is_checked() {
    let folder = folder();
    let (trusted, _) = trusted(&folder);
    let made = folder.path().join("state/cache");
    trusted.make_directory(&made).unwrap();
    assert_eq!(fs::metadata(&made).unwrap().mode() & 0o777, 0o700);
    set(&made, 0o733);
    assert!(said(trusted.make_directory(&made)).contains("mode 0733"));
}

#[test]
fn a_link_is_told_from_what_it_leads_to() {
    let folder = folder();
    let at = |name: &str| folder.path().join(name);
    directory(&at("real"), 0o755);
    symlink("real", at("link")).unwrap();
    symlink("missing", at("broken")).unwrap();
    let (trusted, _) = trusted(&folder);
    for link in ["link", "link/", "link/.", "broken"] {
        let refused = trusted.no_link(&at(link)).unwrap_err();
        assert!(matches!(refused, Untrusted::Link(_)), "{link}: {refused}");
    }
    for plain in ["real", "real/", "missing"] {
        trusted.no_link(&at(plain)).unwrap();
    }
}
