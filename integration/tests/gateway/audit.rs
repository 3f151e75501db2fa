//! The audit log tells everything that was done and decided, and tells when somebody has changed it.

use std::fs;
use std::path::Path;

use chancery_integration::dns::Dns;
use chancery_integration::gateway::{Gateway, Options, chancery};
use chancery_integration::process::Outcome;
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
    drop(with_key().success().says("its end is authentic"));

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
