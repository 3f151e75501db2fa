//! The audit log tells everything that was done and decided, and tells when somebody has changed it.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use chancery_integration::dns::Dns;
use chancery_integration::gateway::{Gateway, Options, chancery};
use chancery_integration::process::{self, Outcome};
use chancery_integration::responder::Http01;
use chancery_integration::site::Site;
use serde_json::{Value, json};

/// A site whose gateway has served some requests and stopped.
fn with_a_log() -> (Site, std::path::PathBuf) {
    let site = Site::new();
    let gateway = Gateway::start(&site);
    for n in 0..5 {
        let body = json!({ "data": { "n": n } });
        drop(gateway.app().post(&format!("/v1/secret/data/app/{n}"), &body).expect(200));
    }
    let file = gateway.audit_file();
    drop(gateway.stop());
    (site, file)
}

fn verify(file: &Path) -> Outcome {
    chancery(&["audit", "verify", &file.to_string_lossy()])
}

#[test]
fn verify_accepts_what_was_written_and_names_what_was_changed() {
    let (site, file) = with_a_log();
    let good = fs::read_to_string(&file).expect("the log can be read");
    let lines: Vec<_> = good.lines().map(str::to_owned).collect();
    let said = verify(&file).success();
    assert!(said.stdout.contains(&lines.len().to_string()), "it says how many lines: {said}");

    let middle = lines.len() / 2;
    let check = |what: &str, changed: Vec<String>, word: &str| {
        fs::write(&file, changed.join("\n") + "\n").expect("the log can be written");
        let said = verify(&file).failure();
        assert!(said.stderr.contains(word), "{what}: {said}");
        assert!(said.stderr.contains("line"), "{what}, it names the line: {said}");
        said
    };

    let mut removed = lines.clone();
    removed.remove(middle);
    check("a line removed", removed, "removed");

    let mut reordered = lines.clone();
    reordered.swap(middle, middle + 1);
    check("two lines exchanged", reordered, "moved");

    let mut changed = lines.clone();
    changed[middle] =
        changed[middle].replacen("spiffe://dev.chancery/app", "spiffe://dev.chancery/adm", 1);
    assert_ne!(changed, lines, "the line names the application");
    let said = check("a line changed", changed, "changed");
    assert!(said.stderr.contains(&format!("line {}", middle + 1)), "{said}");

    let mut repeated = lines.clone();
    repeated.insert(middle, lines[middle].clone());
    check("a line repeated", repeated, "line");

    let truncated = lines[..lines.len() - 2].to_vec();
    check("the end cut off", truncated, "removed");

    let first_gone = lines[1..].to_vec();
    check("the first line removed", first_gone, "removed");

    let mut garbage = lines.clone();
    garbage[middle] = "{}".to_owned();
    check("a line that is none", garbage, "line");

    // It was the change that was found, and not the look.
    fs::write(&file, &good).expect("the log can be written");
    drop(verify(&file).success());
    let nothing = site.path().join("no-such-file");
    assert!(verify(&nothing).failure().stderr.contains("no-such-file"));
}

/// The log with so many lines less at its end.
fn shortened(file: &Path, by: usize) {
    let text = fs::read_to_string(file).expect("the log can be read");
    let lines: Vec<_> = text.lines().collect();
    fs::write(file, lines[..lines.len() - by].join("\n") + "\n").expect("the log can be written");
}

#[test]
fn verify_does_not_vouch_for_an_end_that_it_cannot_know() {
    let (site, file) = with_a_log();
    let config = site.path().join("state/chancery.toml").display().to_string();
    let with_key = || chancery(&["audit", "verify", &file.to_string_lossy(), "--config", &config]);
    drop(verify(&file).success().says("was not checked with the audit key"));
    let said = with_key().success();
    for text in [
        "its end is authentic",
        "each line was written with the audit key",
        "which the store's mark names, is in it",
    ] {
        assert!(said.stdout.contains(text), "{text}: {said}");
    }

    let mut head = file.clone().into_os_string();
    head.push(".head");
    let good = fs::read(&head).expect("there is a head");
    let log = fs::read(&file).expect("the log can be read");

    // The end cut off, and the head that would tell removed.
    shortened(&file, 3);
    fs::remove_file(&head).expect("it can be removed");
    let said = verify(&file).failure();
    assert!(said.stderr.contains("lines may have been removed at the end"), "{said}");
    drop(with_key().failure());

    // A head of an earlier, shorter log of another gateway does not pass for this one's.
    fs::write(&file, &log).expect("the log can be written");
    let (_other_site, other) = with_a_log();
    let mut other_head = other.into_os_string();
    other_head.push(".head");
    fs::copy(other_head, &head).expect("it can be copied");
    drop(with_key().failure());

    fs::write(&head, good).expect("the head can be written");
    drop(with_key().success().says("its end is authentic"));
}

#[test]
fn a_gateway_does_not_go_on_with_a_log_that_was_changed() {
    let (site, file) = with_a_log();
    let good = fs::read_to_string(&file).expect("the log can be read");
    let lines: Vec<_> = good.lines().collect();
    fs::write(&file, lines[..lines.len() - 1].join("\n") + "\n").expect("the log can be written");
    let said = Options::new(&site).start_fails();
    assert!(said.stderr.contains("audit"), "{said}");
    fs::write(&file, good).expect("the log can be written");
    Gateway::start(&site).assert_up();
}

/// Copies of a log and its head.
fn pair(file: &Path) -> [(PathBuf, Vec<u8>); 2] {
    let head = file.with_extension("jsonl.head");
    [file.to_owned(), head].map(|path| {
        let bytes = fs::read(&path).expect("the log and its head can be read");
        (path, bytes)
    })
}

#[test]
fn an_older_log_is_refused_until_an_operator_accepts_the_loss_on_the_record() {
    let (site, file) = with_a_log();
    let older = pair(&file);
    let gateway = Gateway::start(&site);
    drop(gateway.app().post("/v1/secret/data/app/lost", &json!({ "data": {} })).expect(200));
    drop(gateway.stop());
    let config = site.path().join("state/chancery.toml").display().to_string();
    for (path, bytes) in &older {
        fs::write(path, bytes).expect("it can be put back");
    }
    // By itself it is whole, and everything about it is genuine.
    drop(verify(&file).success());
    let by_store = chancery(&["audit", "verify", "--config", &config]).failure();
    assert!(by_store.stderr.contains("the store's mark says that it had"), "{by_store}");
    let refused = Options::new(&site).start_fails();
    for text in ["of the store's mark is not in it", "chancery audit accept-loss"] {
        assert!(refused.stderr.contains(text), "{text}: {refused}");
    }
    // Nor without any.
    for (path, _) in &older {
        fs::remove_file(path).expect("it can be removed");
    }
    let refused = Options::new(&site).start_fails();
    assert!(refused.stderr.contains("is not there"), "{refused}");
    assert!(!file.exists(), "no new log was begun");

    for (path, bytes) in &older {
        fs::write(path, bytes).expect("it can be put back");
    }
    let accept = ["audit", "accept-loss", "--config", &config, "--reason", "the disk died"];
    let said = chancery(&accept).success();
    assert!(said.stdout.contains("goes on with line"), "{said}");
    let gateway = Gateway::start(&site);
    let lines = gateway.audit();
    assert_eq!(lines[0]["operation"], "audit.accept-loss", "{}", lines[0]);
    assert_eq!(lines[0]["details"]["reason"], "the disk died", "{}", lines[0]);
    assert!(lines[0]["details"]["by"].is_string(), "{}", lines[0]);
    drop(gateway.stop());
    let said = chancery(&["audit", "verify", "--config", &config]).success();
    assert!(said.stdout.contains("an operator accepted that in line"), "{said}");
    drop(chancery(&accept).failure());
}

#[test]
fn whoever_has_the_public_key_checks_the_log_without_a_secret() {
    let (site, file) = with_a_log();
    let config = site.path().join("state/chancery.toml").display().to_string();
    let key = chancery(&["audit", "public-key", "--config", &config]).success().stdout;
    let beside = |end: &str| file.with_extension(format!("jsonl.{end}"));
    assert_eq!(fs::read_to_string(beside("pub")).expect("it is beside the log"), key);
    // What somebody else was given.
    let (theirs, kept) = (site.path().join("theirs.jsonl"), site.path().join("kept"));
    fs::copy(&file, &theirs).expect("it can be copied");
    fs::copy(beside("checkpoint"), &kept).expect("it can be copied");
    let check = |more: &[&str]| {
        let theirs = theirs.display().to_string();
        let arguments = ["audit", "verify", &theirs, "--public-key", key.trim()];
        chancery(&[&arguments, more].concat())
    };
    let said = check(&[]).success();
    assert!(said.stdout.contains("1 of 1 are signed by the public key"), "{said}");
    let kept = kept.display().to_string();
    drop(check(&["--checkpoint", &kept]).success());

    // Another log of the same gateway cannot take its place.
    let text = fs::read_to_string(&theirs).expect("it can be read");
    let lines: Vec<_> = text.lines().collect();
    fs::write(&theirs, lines[..3].join("\n") + "\n").expect("it can be written");
    let said = check(&["--checkpoint", &kept]).failure();
    assert!(said.stderr.contains("the checkpoint that was kept says that it had"), "{said}");
    let stranger = "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k";
    let shown = file.display().to_string();
    let said = chancery(&["audit", "verify", &shown, "--public-key", stranger]).failure();
    assert!(said.stderr.contains("no checkpoint in it is signed by this public key"), "{said}");
}

#[test]
fn after_sighup_the_log_goes_on_in_a_new_file_if_this_one_was_moved() {
    let site = Site::new();
    drop(Gateway::start(&site).stop());
    let gateway = Gateway::serve(&site, |_| {});
    let file = gateway.audit_file();
    let write = |name: &str| {
        drop(
            gateway
                .app()
                .post(&format!("/v1/secret/data/app/{name}"), &json!({ "data": {} }))
                .expect(200),
        );
    };
    let has = |path: &Path, name: &str| {
        let text = fs::read_to_string(path).expect("the log can be read");
        text.contains(&format!("secret/app/{name}"))
    };
    // Nothing was moved: the file stays.
    drop(gateway.reload());
    write("one");
    assert!(has(&file, "one"));
    let moved = file.with_extension("jsonl.1");
    fs::rename(&file, &moved).expect("it can be moved");
    write("two");
    assert!(has(&moved, "two"), "until the signal the lines go where they went");
    drop(gateway.reload());
    write("three");
    assert!(has(&file, "three") && !has(&moved, "three"));
    let first = &gateway.audit()[0];
    assert_eq!(first["operation"], "audit.begin", "{first}");
    assert_eq!(first["details"]["previous"]["name"], "audit.jsonl.1", "{first}");
    drop(gateway.stop());

    let config = site.path().join("serve.toml").display().to_string();
    let paths = [&file, &moved].map(|path| path.display().to_string());
    let said = chancery(&["audit", "verify", &paths[0], &paths[1]]).success();
    assert!(said.stdout.contains("none removed"), "{said}");
    drop(chancery(&["audit", "verify", "--config", &config]).success());
    drop(chancery(&["audit", "verify", &paths[0]]).success().says("audit.jsonl.1"));
    let from = first["seq"].to_string();
    drop(chancery(&["audit", "verify", &paths[0], "--from-line", &from]).success());
    drop(chancery(&["audit", "verify", &paths[1]]).success().says("its last file was closed"));
}

#[test]
fn a_line_that_a_crash_has_torn_is_repaired_and_the_chain_goes_on() {
    use std::io::Write;

    let (site, file) = with_a_log();
    let mut log = fs::File::options().append(true).open(&file).expect("the log can be opened");
    log.write_all(b"{\"seq\":99,\"ti").expect("the log can be written");
    let gateway = Gateway::start(&site);
    drop(gateway.app().get("/v1/secret/data/app/1").expect(200));
    drop(gateway.stop());
    drop(verify(&file).success());
}

/// The lines about one operation.
fn about<'a>(lines: &'a [Value], operation: &str) -> Vec<&'a Value> {
    lines.iter().filter(|line| line["operation"] == operation).collect()
}

#[test]
fn a_line_says_who_did_what_and_which_policy_decided() {
    let site = Site::new();
    let gateway = Gateway::start(&site);
    let app = gateway.app();
    let body = json!({ "data": { "password": "correct horse" } });
    let answer = app.post("/v1/secret/data/app/db", &body).expect(200);
    let request_id = answer.json()["request_id"].as_str().expect("an id").to_owned();
    let denied = app.get("/v1/secret/data/payroll/salaries").expect(403);
    assert!(denied.header("x-request-id").is_some(), "{:?}", denied.headers);
    let lines = gateway.audit();

    let created = about(&lines, "secrets.create");
    let [created] = created[..] else { panic!("one operation, one line: {created:?}") };
    assert_eq!(created["resource"], "secret/app/db", "{created}");
    assert_eq!(created["actor"]["identity"], "spiffe://dev.chancery/app", "{created}");
    assert_eq!(created["tenant"], "default", "{created}");
    assert!(created.to_string().contains(&request_id), "{created}");
    assert!(created["actor"]["fingerprint"].is_string(), "{created}");
    let decision = &created["decisions"][0];
    assert_eq!(decision["outcome"], "allow", "{created}");
    assert!(
        decision["digest"].as_str().is_some_and(|digest| digest.starts_with("sha256:")),
        "{created}"
    );
    assert!(decision["micros"].is_u64() && decision["binding"].is_string(), "{created}");

    let read = about(&lines, "secrets.read");
    let [read] = read[..] else { panic!("one operation, one line: {read:?}") };
    assert_eq!(read["resource"], "secret/payroll/salaries", "{read}");
    assert_eq!(read["decisions"][0]["outcome"], "deny", "{read}");
    assert!(read["outcome"].to_string().contains("denied"), "{read}");
    assert!(!lines.iter().any(|line| line.to_string().contains("correct horse")));
}

#[test]
fn a_certificate_leaves_a_trace_from_account_to_revocation() {
    let site = Site::new();
    let dns = Dns::start(&site);
    let gateway = Options::new(&site).dns(&dns).start();
    let responder = Http01::start(&site);
    let account = gateway.account();
    let (chain, _) = account.obtain(&["a.example.com"], &responder);
    let serial = chancery_integration::lint::serial(
        &site,
        &chancery_integration::http::certificates(&chain)[0],
    );
    let lines = gateway.audit();
    for operation in ["acme.account.create", "acme.order.create"] {
        let lines = about(&lines, operation);
        assert_eq!(lines.len(), 1, "{operation}: {lines:?}");
        assert_eq!(lines[0]["decisions"][0]["outcome"], "allow", "{}", lines[0]);
    }
    let issued: Vec<_> =
        lines.iter().filter(|line| line.to_string().to_uppercase().contains(&serial)).collect();
    assert!(!issued.is_empty(), "no line names the certificate {serial}");
    let issued = issued[0];
    assert!(issued.to_string().contains("a.example.com"), "{issued}");
    assert_eq!(issued["decisions"][0]["outcome"], "allow", "policy decided about it: {issued}");
    drop(gateway.stop());
    drop(verify(&site.path().join("state/audit/audit.jsonl")).success());
}

/// The log alone stands for all of its files: who looks for a change does not have to know that it was rotated.
#[test]
fn verify_finds_the_files_that_were_closed_before() {
    let site = Site::new();
    let gateway = Gateway::start(&site);
    let file = gateway.audit_file();
    let closed = file.with_file_name("audit.jsonl.1");
    drop(gateway.app().post("/v1/secret/data/app/1", &json!({ "data": {} })).expect(200));
    fs::rename(&file, &closed).expect("it can be renamed");
    assert!(gateway.reload().contains("reloaded"));
    drop(gateway.app().post("/v1/secret/data/app/2", &json!({ "data": {} })).expect(200));
    drop(gateway.stop());
    let said = verify(&file).success();
    for name in ["audit.jsonl.1, ", "audit.jsonl: "] {
        assert!(said.stdout.contains(name), "{name}: {said}");
    }
    // What is missing is told with what to type.
    let away = site.path().join("away");
    fs::rename(&closed, &away).expect("it can be moved");
    let said = verify(&file).failure();
    let hint = "`--from-line ";
    let from = said.stderr.split(hint).nth(1).and_then(|rest| rest.split('`').next());
    let from = from.unwrap_or_else(|| panic!("{said}"));
    let shown = file.to_string_lossy();
    drop(chancery(&["audit", "verify", &shown, "--from-line", from]).success());
    drop(chancery(&["audit", "verify", &shown, &away.to_string_lossy()]).success());
}

/// A start reads from the mark on; what was changed before is found while the gateway runs.
#[test]
fn a_gateway_finds_what_was_changed_in_its_log_and_says_so() {
    let (site, file) = with_a_log();
    let good = fs::read_to_string(&file).expect("the log can be read");
    let changed = good.replacen("spiffe://dev.chancery/app", "spiffe://dev.chancery/adm", 1);
    assert_ne!(changed, good, "a line names the application");
    fs::write(&file, &changed).expect("the log can be written");
    let gateway = Gateway::start(&site);
    let monitoring = gateway.monitoring();
    let health = || {
        let answer = monitoring.send("GET", "/health/audit", &[], b"");
        (answer.status, answer.json()["audit"].clone())
    };
    let found = process::eventually("the change is found", Duration::from_mins(1), || {
        let (status, health) = health();
        (status == 503).then_some(health)
    });
    let finding = found["finding"].as_str().expect("it says what");
    assert!(finding.contains("was changed") && finding.contains("audit.jsonl"), "{finding}");
    assert!(monitoring.get("/metrics").expect(200).text().contains("chancery_audit_mismatch 1"));
    assert!(gateway.log().contains("the audit log is not as it was written"));
    // It serves all the same.
    drop(gateway.app().get("/v1/secret/data/app/1").expect(200));
    drop(gateway.stop());

    // Mended in what is there now.
    let at = good.find("spiffe://dev.chancery/app").expect("it is there");
    let mut now = fs::read_to_string(&file).expect("the log can be read");
    now.replace_range(at..at + "spiffe://dev.chancery/app".len(), "spiffe://dev.chancery/app");
    fs::write(&file, now).expect("the log can be written");
    let gateway = Gateway::start(&site);
    let monitoring = gateway.monitoring();
    let whole = process::eventually("the log is read", Duration::from_mins(1), || {
        let health = monitoring.get("/health/audit").expect(200).json()["audit"].clone();
        health["whole_at"].is_string().then_some(health)
    });
    assert!(whole["finding"].is_null() && whole["whole_to_line"].as_u64() > Some(5), "{whole}");
}

/// Who probes the gateway is seen, whatever comes of it.
#[test]
fn what_is_refused_before_an_operation_begins_is_on_record_if_it_is_known_who_asked() {
    let site = Site::new();
    let gateway = Gateway::start(&site);
    let app = gateway.app();
    let last = || gateway.audit().pop().expect("a line");
    let namespace =
        |name: &str, path: &str| app.send("GET", path, &[("x-vault-namespace", name)], b"");
    let lines = gateway.audit().len();
    for (answer, status, code, resource) in [
        (app.get("/v1/secret/data/a%0Ab"), 400, "malformed-request", "GET /v1/secret/data/a%0Ab"),
        (
            app.get("/v1/secret/data/a%2F..%2Fb"),
            400,
            "malformed-request",
            "GET /v1/secret/data/a%2F..%2Fb",
        ),
        (app.get("/v1/no/such/route"), 404, "not-found", "GET /v1/no/such/route"),
        (
            app.send("TRACE", "/v1/secret/config", &[], b""),
            405,
            "method-not-allowed",
            "TRACE /v1/secret/config",
        ),
        (
            app.send("POST", "/v1/secret/data/a", &[], b"{"),
            400,
            "malformed-request",
            "POST /v1/secret/data/a",
        ),
        (namespace("no/tenant", "/v1/secret/data/a"), 403, "forbidden", "GET /v1/secret/data/a"),
    ] {
        drop(answer.expect(status));
        let found = gateway.audit();
        let found = found.iter().rev().find(|line| line["resource"] == resource);
        let line = found.unwrap_or_else(|| panic!("{resource} has no line"));
        assert_eq!(line["operation"], "api.request", "{line}");
        assert_eq!(line["outcome"]["code"], code, "{line}");
        assert_eq!(line["actor"]["identity"], "spiffe://dev.chancery/app", "{line}");
        assert_eq!(line["details"]["status"], status, "{line}");
    }
    assert_eq!(gateway.audit().len(), lines + 6);
    // One that is a tenant's name has its own line.
    drop(namespace("other", "/v1/secret/data/app/x").expect(403));
    assert_eq!(last()["details"]["addressed"], "other", "{}", last());

    // An ACME account is known by its signature.
    let account = gateway.account();
    let answer = account.post(&account.resource("newOrder"), &json!({ "identifiers": 7 }));
    drop(answer.expect(400));
    let line = last();
    assert!(line["actor"]["account"].is_string(), "{line}");

    // One certificate does not fill the log.
    let of_app = |line: &&chancery_integration::audit::Line| {
        let operation = &line["operation"];
        (operation == "api.request" || operation == "auth.authenticate")
            && line["actor"]["identity"] == "spiffe://dev.chancery/app"
    };
    let mut connection = app.connect().expect("the gateway is up");
    for _ in 0..1010 {
        let answer = connection.send("GET", "/v1/no/such/route", &[], b"").expect("an answer");
        assert_eq!(answer.status, 404);
    }
    assert_eq!(gateway.audit().iter().filter(of_app).count(), 1000);
    let page = gateway.monitoring().get("/metrics").expect(200).text();
    assert!(page.contains("chancery_audit_refusals_left_out_total 17"), "{page}");
    drop(app.get("/v1/secret/data/app/none").expect(404));
    assert_eq!(last()["operation"], "secrets.read", "{}", last());

    // Nobody is known to have sent these.
    let lines = gateway.audit().len();
    let stranger = gateway.anonymous();
    drop(stranger.get("/v1/secret/data/a%0Ab").expect(403));
    drop(stranger.post("/acme/new-order", &json!({})).expect(415));
    drop(app.get("/v1/sys/health").expect(200));
    assert_eq!(gateway.audit().len(), lines, "{}", last());
}
