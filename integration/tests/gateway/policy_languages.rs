//! A policy in each language, from nothing: made, built, tried, and bound to a gateway.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use chancery_integration::gateway::{Gateway, binary};
use chancery_integration::process::{self, Outcome, repository, run};
use chancery_integration::registry::Registry;
use chancery_integration::site::Site;
use serde_json::json;

struct Author<'a> {
    site: &'a Site,
    language: &'a str,
    /// What a policy of the language needs, as `policy test` takes it.
    needs: &'a [&'a str],
}

impl Author<'_> {
    fn policy(&self, arguments: &[&str]) -> Outcome {
        let mut command = Command::new(binary());
        command
            .arg("policy")
            .args(arguments)
            .current_dir(self.site.path())
            // The standard library for WebAssembly is built once, and not by each policy.
            .env("CARGO_TARGET_DIR", repository().join("target/policy-templates"))
            .env("CHANCERY_PLUGIN_TOOLCHAIN", "debian");
        run(&mut command)
    }

    /// Makes a policy by the template and builds it.
    #[track_caller]
    fn build(&self, decision: &str) -> PathBuf {
        let folder = format!("my-{}-{decision}", self.language);
        self.make(&folder, decision);
        self.build_in(&folder)
    }

    /// Makes a policy by the template.
    #[track_caller]
    fn make(&self, folder: &str, decision: &str) {
        let made = ["new", folder, "--language", self.language, "--decision", decision];
        drop(self.policy(&made).success().says("README.md"));
        self.share_packages(folder);
    }

    #[track_caller]
    fn build_in(&self, folder: &str) -> PathBuf {
        drop(self.policy(&["build", folder]).success().says("sha256:"));
        self.site.path().join(folder).join(format!("{folder}.wasm"))
    }

    /// The packages of the language's tools are the same for all of its policies.
    fn share_packages(&self, folder: &str) {
        let made = fs::read_dir(self.site.path()).expect("the site").flatten();
        let before: Vec<PathBuf> = made.map(|entry| entry.path()).collect();
        for packages in ["node_modules", ".venv"] {
            let there = before.iter().map(|folder| folder.join(packages)).find(|it| it.is_dir());
            if let Some(packages) = there {
                let mut copy = Command::new("cp");
                copy.arg("--recursive").arg(packages).arg(self.site.path().join(folder));
                drop(run(&mut copy).success());
            }
        }
    }

    /// The template's golden cases hold, and settings that are none are refused with their place.
    #[track_caller]
    fn cases_hold(&self, component: &Path) {
        let cases = component.with_file_name("cases.toml");
        let arguments = [component.to_str().expect("a path"), cases.to_str().expect("a path")];
        let test = [&["test"], &arguments[..], self.needs].concat();
        drop(self.policy(&test).success().says("4 cases, 0 failed"));
    }

    #[track_caller]
    fn bad_settings_are_refused(&self, component: &Path, key: &str) {
        let cases = component.with_file_name("cases.toml");
        let text = fs::read_to_string(&cases).expect("cases");
        let bad =
            self.site.write("bad.toml", text.replacen(&format!("{key} = ["), "mistake = [", 1));
        let arguments = [component.to_str().expect("a path"), bad.to_str().expect("a path")];
        let test = [&["test"], &arguments[..], self.needs].concat();
        drop(self.policy(&test).failure().says("mistake"));
    }

    /// A policy that fails in every evaluation: its author sees how, and not only that it does.
    #[track_caller]
    fn an_exception_is_shown(&self, decision: &str, source: &str, statement: &str) {
        let folder = format!("my-broken-{}-{decision}", self.language);
        self.make(&folder, decision);
        let source = self.site.path().join(&folder).join(source);
        let text = fs::read_to_string(&source).expect("the policy");
        let (before, evaluate) = text.split_once("evaluate(").expect("it has that function");
        let (signature, body) = evaluate.split_once('\n').expect("it has lines");
        let broken = format!("{before}evaluate({signature}\n        {statement}\n{body}");
        fs::write(&source, broken).expect("it can be written");
        let component = self.build_in(&folder);
        let cases = component.with_file_name("cases.toml");
        let arguments = [component.to_str().expect("a path"), cases.to_str().expect("a path")];
        let test = [&["test"], &arguments[..], self.needs].concat();
        let said = self.policy(&test).failure().says("4 cases, 4 failed");
        let shown = |line: &str| line.contains("log ") && line.contains("by hand");
        assert!(said.stdout.lines().any(shown), "{said}");
    }

    /// What the tutorial says of absent fields and 64-bit numbers in JavaScript. The language's tools decide
    /// about them, and may come to decide otherwise.
    #[track_caller]
    fn types_are_what_the_tutorial_says(&self) {
        self.make("types", "certificate");
        let ours = repository().join("integration/tests/gateway/javascript_types");
        let policy = self.site.path().join("types/policy.js");
        fs::copy(ours.join("policy.js"), policy).expect("the policy can be replaced");
        let component = self.build_in("types");
        let test = |cases: &str| {
            let cases = ours.join(cases);
            let paths = [component.to_str().expect("a path"), cases.to_str().expect("a path")];
            self.policy(&[&["test"], &paths[..], self.needs].concat())
        };
        drop(test("taken.toml").success().says("3 cases, 0 failed"));
        let failing = test("failing.toml").failure().says("6 cases, 6 failed");
        let failed = failing.stdout.lines().filter(|line| line.contains("the policy failed"));
        assert_eq!(failed.count(), 6, "{failing}");
    }

    /// Binds the access policy to a gateway that is running, and sees it decide there.
    #[track_caller]
    fn decides_in_a_gateway(&self, component: &Path, limits: &[&str]) {
        let gateway = Gateway::start(self.site);
        let config = gateway.path("chancery.toml");
        let settings = component.with_file_name("settings.toml");
        let cases = component.with_file_name("cases.toml");
        let mut bind = vec!["bind", component.to_str().expect("a path")];
        bind.extend(["--config", config.to_str().expect("a path")]);
        bind.extend(["--settings", settings.to_str().expect("a path")]);
        bind.extend(["--self-test", cases.to_str().expect("a path")]);
        bind.extend(["--match", "operations = [\"secrets.*\"]"]);
        bind.extend(limits.iter().flat_map(|limit| ["--limits", limit]));
        drop(self.policy(&bind).success());
        let app = gateway.app();
        let write = |path: &str| app.post(path, &json!({ "data": { "a": "b" } }));
        let refused = process::eventually("the policy decides", Duration::from_mins(3), || {
            let answer = write("/v1/secret/data/app/release-1");
            (answer.status == 403).then_some(answer)
        });
        let message = "this secret is frozen: it can be read and not changed";
        assert!(refused.text().contains(message), "{}", refused.text());
        drop(write("/v1/secret/data/app/db").expect(200));
    }
}

#[test]
fn in_rust() {
    let site = Site::new();
    let author = Author { site: &site, language: "rust", needs: &[] };
    let access = author.build("access");
    author.cases_hold(&access);
    author.bad_settings_are_refused(&access, "except");
    author.decides_in_a_gateway(&access, &[]);
    let certificate = author.build("certificate");
    author.cases_hold(&certificate);
    author.an_exception_is_shown("access", "src/lib.rs", "panic!(\"by hand\");");
}

#[test]
fn in_javascript() {
    let site = Site::new();
    let needs = ["--deadline-ms", "50", "--memory-kib", "4096"];
    let author = Author { site: &site, language: "javascript", needs: &needs };
    let certificate = author.build("certificate");
    author.cases_hold(&certificate);
    author.bad_settings_are_refused(&certificate, "domains");
    author.an_exception_is_shown("access", "policy.js", "throw new Error(\"by hand\");");
    author.types_are_what_the_tutorial_says();
}

/// The shell's commands in the tutorial, in order.
fn tutorial() -> Vec<String> {
    let text = fs::read_to_string(repository().join("policies/TUTORIAL.md")).expect("the tutorial");
    let blocks = text.split("```sh\n").skip(1).map(|rest| rest.split("```").next());
    blocks.map(|block| block.expect("a block ends").to_owned()).collect()
}

#[test]
fn the_tutorial_works_as_it_is_typed() {
    let site = Site::new();
    let blocks = tutorial();
    assert_eq!(blocks.first().map(String::as_str), Some("chancery dev --dir .chancery\n"));
    let gateway = Gateway::start(&site);
    let registry = Registry::start(&site);
    let pushed = format!(
        "{}/policies/freeze:0.1.0 --http --username {} --password-file {}",
        registry.address(),
        Registry::USER,
        registry.password_file().display()
    );
    let program = binary();
    let folder = program.parent().expect("a folder").display().to_string();
    let typed = |block: &str| {
        let block = block
            .replace(".chancery/", &format!("{}/", gateway.directory().display()))
            .replace("https://127.0.0.1:8443", &gateway.ready().api)
            .replace("registry.example.com/policies/freeze:0.1.0", &pushed);
        let mut bash = Command::new("bash");
        bash.args(["-euo", "pipefail", "-c", &block]).current_dir(site.path());
        let path = std::env::var("PATH").expect("a path");
        run(bash.env("PATH", format!("{folder}:{path}"))).success()
    };
    let mut said = String::new();
    for block in blocks.iter().skip(1) {
        said += &typed(block).stdout;
        if block.contains("policy bind") {
            process::eventually("it is in force", Duration::from_mins(1), || {
                gateway.log().contains("took changed policies").then_some(())
            });
        }
    }
    for expected in [
        "4 cases, 0 failed",
        "5 cases, 1 failed",
        "5 cases, 0 failed",
        "freeze  (access, enforce)",
        "this secret is frozen: it can be read and not changed",
        "set 1 is put back",
    ] {
        assert!(said.contains(expected), "no {expected:?} in\n{said}");
    }
    process::eventually("and it is not any more", Duration::from_mins(1), || {
        let body = json!({ "data": { "a": "b" } });
        (gateway.app().post("/v1/secret/data/app/release-1", &body).status == 200).then_some(())
    });
}

#[test]
fn in_python() {
    let site = Site::new();
    let needs = ["--deadline-ms", "500", "--memory-kib", "32768"];
    let author = Author { site: &site, language: "python", needs: &needs };
    let access = author.build("access");
    author.cases_hold(&access);
    author.an_exception_is_shown("certificate", "policy.py", "raise ValueError('by hand')");
}

#[test]
fn what_cannot_be_made_or_built_is_said() {
    let site = Site::new();
    let author = Author { site: &site, language: "rust", needs: &[] };
    drop(author.policy(&["new", "No-Name"]).failure().says("a-z, 0-9"));
    let _ = site.folder("taken");
    drop(author.policy(&["new", "taken"]).failure().says("there already"));
    drop(author.policy(&["build", "taken"]).failure().says("policy new"));
    drop(author.policy(&["new", "broken"]).success());
    let _ = site.write("broken/src/lib.rs", "no Rust at all");
    drop(author.policy(&["build", "broken"]).failure().says("stands above"));
}
