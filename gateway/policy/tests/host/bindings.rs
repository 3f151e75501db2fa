//! What is refused when bindings are loaded, and what the message says.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use chancery_policy::{Denial, Known, PolicyConfig, PolicyHost, Signers};

use crate::guests::{DENY, Guest, LOOP};
use crate::installation::{Installation, repository, request, shipped};

/// The message with which this component is refused for access.
fn refused(wasm: &[u8], more: &str) -> String {
    let installation = Installation::new();
    installation.bind_access("b", wasm, more);
    installation.refusal()
}

#[test]
fn a_component_for_another_decision_is_refused_with_what_it_lacks() {
    let message = refused(&shipped("certificate-template"), "");
    for part in [
        "b.toml:2: binding `b` cannot use plugins/b.wasm",
        "exports `chancery:policy/access@0.9.0`",
        "it exports chancery:policy/certificate@0.9.0",
    ] {
        assert!(message.contains(part), "{message}");
    }
}

#[test]
fn an_import_is_refused_by_name() {
    for name in ["wasi:clocks/wall-clock@0.3.0", "wasi:keyvalue/store@0.2.0"] {
        let component = wat::parse_str(format!(
            r#"(component (import "{name}" (instance (export "now" (func (result u64))))))"#
        ));
        let message = refused(&component.unwrap(), "");
        assert!(message.contains(&format!("it imports `{name}`")), "{message}");
        assert!(message.contains("WASI 0.2, which is empty"), "{message}");
    }
    let component = wat::parse_str(r#"(component (import "log" (func (param "text" string))))"#);
    assert!(refused(&component.unwrap(), "").contains("it imports `log`"));
}

/// A guest that was built against another version of the contract, with these imports.
fn built_for(version: &str, import: &str) -> Vec<u8> {
    let wit = repository().join("wit");
    let later = tempfile::TempDir::new().unwrap();
    for entry in fs::read_dir(wit).unwrap() {
        let path = entry.unwrap().path();
        let text = fs::read_to_string(&path).unwrap().replace("0.9.0", version);
        let text = text.replace(
            "  /// Whether the identity is a member",
            "  owner: func(group: string) -> string;\n  /// Whether the identity is a member",
        );
        fs::write(later.path().join(path.file_name().unwrap()), text).unwrap();
    }
    Guest { import, ..Guest::default() }.component_of(later.path(), version)
}

#[test]
fn a_plugin_of_the_same_series_is_served_if_it_needs_nothing_new() {
    let installation = Installation::new();
    installation.bind_access("b", &built_for("0.9.7", ""), "");
    installation.open().unwrap();
    let import = r#"(import "chancery:policy/groups@0.9.7" "contains"
        (func (param i32 i32 i32 i32 i32)))"#;
    installation.bind_access("b", &built_for("0.9.7", import), "");
    installation.open().unwrap();
}

#[test]
fn a_plugin_that_needs_a_later_contract_is_told_what_this_one_lacks() {
    let import = r#"(import "chancery:policy/groups@0.9.7" "owner" (func (param i32 i32 i32)))"#;
    let message = refused(&built_for("0.9.7", import), "");
    assert!(
        message.contains("the function `owner` of `chancery:policy/groups@0.9.7`"),
        "{message}"
    );
    assert!(message.contains("(0.9.0) does not have"), "{message}");
    let message = refused(&built_for("0.10.0", ""), "");
    assert!(message.contains("built against version 0.10.0 of the contract"), "{message}");
    let component = wat::parse_str(
        r#"(component (import "chancery:policy/clock@0.9.3" (instance
            (export "now" (func (result u64))))))"#,
    );
    let message = refused(&component.unwrap(), "");
    assert!(message.contains("it needs `chancery:policy/clock@0.9.3`"), "{message}");
}

#[test]
fn an_interface_of_another_shape_is_refused() {
    let component = wat::parse_str(
        r#"(component
            (core module $m (func (export "f") (result i32) i32.const 1))
            (core instance $i (instantiate $m))
            (func $f (result u32) (canon lift (core func $i "f")))
            (instance $access (export "evaluate" (func $f)) (export "configure" (func $f)))
            (export "chancery:policy/access@0.9.0" (instance $access)))"#,
    );
    let message = refused(&component.unwrap(), "");
    assert!(message.contains("cannot use plugins/b.wasm"), "{message}");
    assert!(message.contains("not of the contract's types"), "{message}");
}

#[test]
fn what_is_not_a_component_is_refused() {
    let module = wat::parse_str("(module)").unwrap();
    assert!(refused(&module, "").contains("a core module, not a component"));
    assert!(refused(&wat::parse_str("(component)").unwrap(), "").contains("it exports nothing"));
    for garbage in [&b""[..], b"\0asm", b"\0asm\x0d\0\x01\0garbage", b"#!/bin/sh"] {
        assert!(refused(garbage, "").contains("cannot use plugins/b.wasm"));
    }
}

#[test]
fn a_component_that_needs_more_memory_than_its_limit_is_refused() {
    let component = Guest { pages: "3", ..Guest::default() }.component();
    let message = refused(&component, "limits = { memory_kib = 64 }");
    assert!(message.contains("wanted more memory than its limit"), "{message}");
}

#[test]
fn a_component_that_does_not_finish_configuring_is_refused() {
    let endless = Guest { configure: LOOP, ..Guest::default() }.component();
    assert!(refused(&endless, "").contains("no answer within the deadline"));
    let start = "(func $start (loop (br 0))) (start $start)";
    let endless = Guest { more: start, ..Guest::default() }.component();
    assert!(refused(&endless, "").contains("no answer within the deadline"));
    let trap = Guest { configure: "unreachable", ..Guest::default() }.component();
    assert!(refused(&trap, "").contains("unreachable"));
}

#[test]
fn settings_are_refused_where_the_plugin_finds_them_wrong() {
    let rules = shipped("access-rules");
    let rule = r#"rules = [{ name = "a", identities = ["*"], operations = ["*"], resources = ["*"], efect = "deny" }]"#;
    let message = refused(&rules, &format!("[binding.settings]\n{rule}"));
    assert!(message.contains("b.toml:6: binding `b`: settings.rules.0.efect"), "{message}");
    let rule = rule.replace("efect", "effect").replace("identities", "roles");
    let message = refused(&rules, &format!("[binding.settings]\n{rule}"));
    assert!(message.contains("settings.rules.0.roles: there is no role `*`"), "{message}");
    assert!(refused(&rules, "").contains("binding `b`: settings: missing field `rules`"));
}

#[tokio::test]
async fn operations_that_the_gateway_does_not_have_are_refused_with_the_nearest() {
    let installation = Installation::new();
    let open = || {
        let config = PolicyConfig { known: Known::OPERATIONS, ..installation.config() };
        PolicyHost::open(config)
    };
    let refusal = |more: &str| {
        installation.bind_access("b", &shipped("access-rules"), more);
        open().err().unwrap().to_string()
    };
    let message = refusal("match = { operations = [\"secrets.list\", \"secrts.read\"] }");
    let nearest =
        "`secrts.read` matches no operation of this gateway; did you mean `secrets.read`?";
    assert!(message.contains("b.toml:5: ") && message.contains(nearest), "{message}");
    let rules = "[binding.settings]\nrules = [{ name = \"a\", identities = [\"*\"], \
                 operations = [\"secrts.read\"], resources = [\"*\"], effect = \"deny\" }]\n";
    let message = refusal(rules);
    let place = "b.toml:6: binding `b`: settings.rules.0.operations.0: `secrts.read` matches no";
    assert!(message.contains(place) && message.contains(nearest), "{message}");

    installation.bind_access("b", &shipped("access-rules"), &rules.replace("secrts", "secrets"));
    let host = open().unwrap();
    let asked = request("secrts.read", "secret/app");
    let denials = [
        host.decide_access(&asked).await.decision.unwrap_err(),
        host.decide_access_here(&asked).decision.unwrap_err(),
        host.decide_access_to_each(asked.clone(), &["a".to_owned()]).await.decision.unwrap_err(),
    ];
    for denial in denials {
        assert_eq!(denial.code, Denial::UNKNOWN_OPERATION);
        assert!(denial.audit.contains(nearest), "{}", denial.audit);
    }
}

/// A typo in `match.tenants` would open or close nothing, and nobody would know.
#[test]
fn tenants_that_there_are_not_are_refused_at_each_load() {
    let known = |tenants: &[&str]| Known {
        tenants: tenants.iter().map(|name| (*name).to_owned()).collect(),
        ..Known::ANYTHING
    };
    let installation = Installation::new();
    let bind = |tenants: &str| {
        let scope = format!("match = {{ tenants = [{tenants}] }}");
        installation.bind_access("b", &Guest::default().component(), &scope);
    };
    bind("\"default\", \"paymets\"");
    let both = known(&["default", "payments"]);
    let open = || PolicyHost::open(PolicyConfig { known: both.clone(), ..installation.config() });
    let message = open().err().unwrap().to_string();
    let why = "`paymets` matches no tenant of this gateway; did you mean `payments`?";
    assert!(message.contains("b.toml:5: ") && message.contains(why), "{message}");

    bind("\"pay*\"");
    let host = open().unwrap();
    // The tenant goes, and the binding stays.
    let one = known(&["default"]);
    let message = host.reload_with(Signers::new(), one.clone()).unwrap_err().to_string();
    assert!(message.contains("`pay*` matches no tenant"), "{message}");
    // What was refused counts for nothing.
    host.reload().unwrap();
    bind("\"default\"");
    host.reload_with(Signers::new(), one).unwrap();
    bind("\"payments\"");
    host.reload().unwrap_err();

    let plugin = installation.plugin("b.wasm", &Guest::default().component());
    let group = format!(
        "[[binding]]\nname = \"b\"\ndecision = \"access\"\nplugin = {plugin}\n[[group]]\nname = \"g\"\n\
         decision = \"access\"\nall = [\"b\"]\nmatch = {{ tenants = [\"payments\"] }}\n"
    );
    installation.document("b.toml", &group);
    assert!(host.reload().unwrap_err().to_string().contains("b.toml:9: `payments`"));
}

#[test]
fn another_file_than_the_pinned_one_is_refused_by_name() {
    let installation = Installation::new();
    installation.bind_access("b", &Guest::default().component(), "");
    let other = Guest { evaluate: DENY, ..Guest::default() }.component();
    fs::write(installation.policies().join("plugins/b.wasm"), other).unwrap();
    let message = installation.refusal();
    assert!(message.contains("b.toml:2: binding `b` pins plugins/b.wasm at sha256:"), "{message}");
    assert!(message.contains("but the file is sha256:"), "{message}");
}

#[test]
fn all_that_is_wrong_is_told_at_once() {
    let installation = Installation::new();
    installation.bind_access("good", &Guest::default().component(), "");
    installation.bind_access("one", &shipped("access-rules"), "");
    installation.bind_access("two", &Guest::default().component(), "");
    fs::remove_file(installation.policies().join("plugins/two.wasm")).unwrap();
    let message = installation.refusal();
    let lines: Vec<_> = message.lines().collect();
    assert_eq!(lines.len(), 2, "{message}");
    assert!(lines[0].contains("one.toml:2: binding `one`: settings"), "{message}");
    assert!(lines[1].contains("two.toml:2: binding `two`"), "{message}");
    // What the documents say comes first.
    installation.document("three.toml", "[[binding]]\nname = 3\n");
    installation.document("four.toml", "[[bnding]]\n");
    let message = installation.refusal();
    let lines: Vec<_> = message.lines().filter(|line| line.contains(".toml:")).collect();
    assert!(lines[0].contains("four.toml:1") && lines[1].contains("three.toml:2"), "{message}");
    assert_eq!(lines.len(), 2, "{message}");
}

#[test]
fn a_missing_plugin_is_refused_by_name() {
    let installation = Installation::new();
    installation.bind_access("b", &Guest::default().component(), "");
    fs::remove_file(installation.policies().join("plugins/b.wasm")).unwrap();
    let message = installation.refusal();
    for part in ["b.toml:2: binding `b`", "plugins/b.wasm", "cannot find"] {
        assert!(message.contains(part), "{message}");
    }
}

#[test]
fn two_bindings_of_one_name_are_refused_with_both_places() {
    let installation = Installation::new();
    installation.bind_access("b", &Guest::default().component(), "");
    fs::copy(installation.policies().join("b.toml"), installation.policies().join("c.toml"))
        .unwrap();
    let message = installation.refusal();
    assert!(message.contains("c.toml:2") && message.contains("b.toml:2"), "{message}");
}

#[tokio::test]
async fn an_empty_directory_denies_everything() {
    let host = Installation::new().open().unwrap();
    let verdict = host.decide_access(&request("o", "r")).await;
    assert_eq!(verdict.decision.unwrap_err().code, chancery_policy::Denial::NO_POLICY);
    assert!(verdict.evaluations.is_empty());
}

#[test]
fn a_cache_that_others_may_write_is_refused() {
    let installation = Installation::new();
    fs::create_dir(installation.cache()).unwrap();
    fs::set_permissions(installation.cache(), fs::Permissions::from_mode(0o777)).unwrap();
    let message = installation.refusal();
    let remedy = format!("chmod go-w {}", installation.cache().display());
    assert!(message.contains("mode 0777") && message.contains(&remedy), "{message}");
}

/// What others may change is refused, and mended it is taken, with the old set in force meanwhile.
#[test]
fn policies_that_others_may_change_are_refused() {
    let installation = Installation::new();
    installation.bind_access("b", &Guest::default().component(), "");
    let host = installation.open().unwrap();
    let policies = installation.policies();
    let mode = |path: &std::path::Path, mode| {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    };
    for (path, open) in [
        (policies.clone(), 0o777),
        (policies.clone(), 0o1777),
        (policies.parent().unwrap().to_owned(), 0o777),
        (policies.join("plugins"), 0o777),
        (policies.join("b.toml"), 0o666),
        (policies.join("plugins/b.wasm"), 0o666),
    ] {
        let before = fs::metadata(&path).unwrap().permissions().mode() & 0o7777;
        mode(&path, open);
        for message in [host.reload().unwrap_err().to_string(), installation.refusal()] {
            let real = path.canonicalize().unwrap();
            let expected = format!("{} has mode {open:04o}", real.display());
            assert!(message.contains(&expected), "{message}");
            assert!(message.contains(&format!("chmod go-w {}", real.display())), "{message}");
        }
        mode(&path, before);
        host.reload().unwrap();
    }
}

/// As Kubernetes mounts a ConfigMap: links to a directory that is replaced as a whole.
#[test]
fn policies_behind_links_are_taken() {
    let installation = Installation::new();
    installation.bind_access("b", &Guest::default().component(), "");
    let policies = installation.policies();
    let version = policies.join("..2026_01_01");
    fs::create_dir(&version).unwrap();
    fs::rename(policies.join("b.toml"), version.join("b.toml")).unwrap();
    fs::rename(policies.join("plugins"), version.join("plugins")).unwrap();
    let link = |to: &str, at: &str| std::os::unix::fs::symlink(to, policies.join(at)).unwrap();
    link("..2026_01_01", "..data");
    link("..data/b.toml", "b.toml");
    link("..data/plugins", "plugins");
    assert_eq!(installation.open().unwrap().summary().bindings, ["b"]);
}

#[test]
fn the_cache_and_what_is_in_it_are_this_user_s_alone() {
    let installation = Installation::new();
    installation.bind_access("b", &Guest::default().component(), "");
    installation.open().unwrap();
    let mode = |path: &std::path::Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&installation.cache()), 0o700);
    let files: Vec<_> =
        fs::read_dir(installation.cache()).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert_eq!(files.len(), 3, "the key, the versions and one component: {files:?}");
    for file in files {
        assert_eq!(mode(&file), 0o600, "{}", file.display());
    }
}

#[tokio::test]
async fn a_changed_foreign_or_torn_artifact_is_never_run() {
    let artifact = |installation: &Installation| {
        fs::read_dir(installation.cache())
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .find(|path| path.extension().is_some_and(|extension| extension == "cwasm"))
            .unwrap()
    };
    let denies = Guest { evaluate: DENY, ..Guest::default() }.component();
    let installation = Installation::new();
    installation.bind_access("b", &denies, "");
    installation.open().unwrap();
    let path = artifact(&installation);
    let whole = fs::read(&path).unwrap();

    // Another installation's artifact, of a policy that allows, under this one's name.
    let other = Installation::new();
    other.bind_access("b", &Guest::default().component(), "");
    other.open().unwrap();
    let foreign = fs::read(artifact(&other)).unwrap();
    let mut changed = whole.clone();
    *changed.last_mut().unwrap() ^= 1;
    for bad in [foreign, changed, whole[..whole.len() / 2].to_vec(), vec![]] {
        fs::write(&path, &bad).unwrap();
        let host = installation.open().unwrap();
        let denial = host.decide_access(&request("o", "r")).await.decision.unwrap_err();
        assert_eq!(denial.code, "mine");
        assert_ne!(fs::read(&path).unwrap(), bad, "compiled again");
    }
}

#[test]
fn a_start_keeps_the_artifacts_in_use_and_removes_the_rest() {
    let count = |installation: &Installation| fs::read_dir(installation.cache()).unwrap().count();
    let installation = Installation::new();
    installation.bind_access("b", &Guest::default().component(), "");
    installation.bind_access("c", &Guest { evaluate: DENY, ..Guest::default() }.component(), "");
    installation.open().unwrap();
    assert_eq!(count(&installation), 4);
    fs::remove_file(installation.policies().join("c.toml")).unwrap();
    installation.open().unwrap();
    assert_eq!(count(&installation), 3);
}
