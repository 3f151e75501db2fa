//! The policy host with many rules, many bindings, reloads and attackers.

use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use chancery_identity::TenantId;
use chancery_integration::plugin::Access;
use chancery_policy::{AccessRequest, Compiler, Digest, Known, PolicyConfig, PolicyHost};

use crate::measure;
use crate::policy::component;
use crate::report::Row;

const TIME: Duration = Duration::from_secs(1);
/// Bindings of the set that is reloaded.
const RELOADED: usize = 200;
/// Bindings of the set whose memory is looked at.
const MANY: usize = 1000;
/// Evaluations that loop at once.
const LOOPS: usize = 200;

pub(crate) fn rows() -> Vec<Row> {
    vec![many_rules(), reload(false), reload(true), attack(), memory()]
}

fn request(operation: &str, resource: &str) -> AccessRequest {
    AccessRequest {
        tenant: TenantId::default_tenant(),
        identity: "spiffe://bench/app".to_owned(),
        operation: operation.to_owned(),
        resource: resource.to_owned(),
        attributes: vec![],
    }
}

fn install(directory: &Path, name: &str, wasm: &[u8]) -> String {
    std::fs::write(directory.join(name), wasm).unwrap();
    format!("{{ file = \"{name}\", digest = \"{}\" }}", Digest::of(wasm))
}

/// The argument with which this program compiles a component, as the gateway's program does.
pub(crate) const COMPILER_ROLE: &str = "compile-policy";

fn open(directory: &Path) -> PolicyHost {
    let config = PolicyConfig::new(directory.to_owned(), directory.join("cache"));
    let program = std::env::current_exe().unwrap();
    let compiler = Compiler::Process(program, COMPILER_ROLE);
    PolicyHost::open(PolicyConfig { compiler, known: Known::ANYTHING, ..config }).unwrap()
}

/// `access-rules` with so many rules, of which the last allows what is asked.
fn with_rules(directory: &Path, count: usize) -> PolicyHost {
    let plugin =
        install(directory, "rules.wasm", &std::fs::read(component("access-rules")).unwrap());
    let mut text = format!(
        "[[binding]]\nname = \"rules\"\ndecision = \"access\"\nplugin = {plugin}\n\
         limits = {{ memory_kib = 8192, deadline_ms = 1000 }}\n"
    );
    for number in 0..count {
        let _ = write!(
            text,
            "[[binding.settings.rules]]\nname = \"rule {number}\"\n\
             identities = [\"spiffe://bench/app\"]\noperations = [\"secrets.read\"]\n\
             resources = [\"secret/team-{number}/*\"]\neffect = \"allow\"\n"
        );
    }
    std::fs::write(directory.join("rules.toml"), text).unwrap();
    open(directory)
}

fn many_rules() -> Row {
    let (few, many) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (ten, thousand) = (with_rules(few.path(), 10), with_rules(many.path(), 1000));
    let ask = |host: &PolicyHost, last: usize| {
        let question = request("secrets.read", &format!("secret/team-{last}/db"));
        measure::micros_per_call(TIME, || {
            host.decide_access_here(&question).decision.expect("the last rule allows it");
        })
    };
    let (ours, floor) = measure::pair(|| ask(&thousand, 999), || ask(&ten, 9));
    Row::new(
        "policy: access-rules with 1,000 rules (floor: with 10; goal <= 1.5)",
        "µs",
        ours,
        floor,
    )
}

/// So many bindings, each for an operation of its own, of a policy that allows everything.
fn many_bindings(directory: &Path, count: usize) {
    let plugin = install(directory, "allows.wasm", &Access::Allows.component());
    let mut text = String::new();
    for number in 0..count {
        let _ = write!(
            text,
            "[[binding]]\nname = \"b{number}\"\ndecision = \"access\"\nplugin = {plugin}\n\
             match = {{ operations = [\"op-{number}\"] }}\n\
             limits = {{ memory_kib = 2048, deadline_ms = 1000 }}\n\
             [binding.settings]\nnumber = {number}\n"
        );
    }
    std::fs::write(directory.join("many.toml"), text).unwrap();
}

/// The 99th percentile of an honest decision's time, in microseconds, while `meanwhile` goes on.
fn honest_p99(host: &PolicyHost, operation: &str, meanwhile: impl AsyncFnOnce()) -> f64 {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let question = request(operation, "r");
    let over = Arc::new(AtomicBool::new(false));
    let times = runtime.block_on(async {
        let asking = {
            let (host, over) = (host.clone(), over.clone());
            tokio::spawn(async move {
                let mut times = Vec::new();
                while !over.load(Ordering::Relaxed) || times.len() < 1000 {
                    let begun = Instant::now();
                    let verdict = host.decide_access(&question).await;
                    verdict.decision.expect("an honest request is never refused");
                    times.push(begun.elapsed().as_secs_f64() * 1e6);
                    // Somebody who asks all the time would have a processor of his own.
                    tokio::time::sleep(Duration::from_micros(500)).await;
                }
                times
            })
        };
        meanwhile().await;
        over.store(true, Ordering::Relaxed);
        asking.await.unwrap()
    });
    let mut times = times;
    times.sort_by(f64::total_cmp);
    times[times.len() * 99 / 100]
}

async fn quiet() {
    tokio::time::sleep(TIME).await;
}

/// While a set is reloaded over and over of which every binding changes each time, or one.
fn reload(all: bool) -> Row {
    let directory = tempfile::tempdir().unwrap();
    many_bindings(directory.path(), RELOADED);
    let host = open(directory.path());
    let document = directory.path().join("many.toml");
    let original = std::fs::read_to_string(&document).unwrap();
    let generation = std::cell::Cell::new(RELOADED);
    let (ours, floor) = measure::pair(
        || {
            honest_p99(&host, "op-7", async || {
                let started = Instant::now();
                while started.elapsed() < TIME {
                    let next = generation.replace(generation.get() + 1);
                    let (old, new) = if all {
                        ("number = ", format!("number = {next}"))
                    } else {
                        ("number = 3\n", format!("number = {next}\n"))
                    };
                    std::fs::write(&document, original.replace(old, &new)).unwrap();
                    host.blocking(PolicyHost::reload).await.unwrap();
                }
            })
        },
        || honest_p99(&host, "op-7", quiet),
    );
    let changed = if all { "all of them changed" } else { "one of them changed" };
    let name = format!(
        "policy: p99 while {RELOADED} bindings are reloaded over and over, {changed}, none refused (floor: quiet; goal <= 1.2)"
    );
    Row::new(name, "µs", ours, floor)
}

fn attack() -> Row {
    let directory = tempfile::tempdir().unwrap();
    many_bindings(directory.path(), 1);
    let plugin = install(directory.path(), "loops.wasm", &Access::Loops.component());
    let text = format!(
        "[[binding]]\nname = \"loops\"\ndecision = \"access\"\nplugin = {plugin}\n\
         match = {{ operations = [\"loop\"] }}\nlimits = {{ memory_kib = 2048, deadline_ms = 20 }}\n"
    );
    std::fs::write(directory.path().join("loops.toml"), text).unwrap();
    let host = open(directory.path());
    let (ours, floor) = measure::pair(
        || {
            honest_p99(&host, "op-0", async || {
                let started = Instant::now();
                while started.elapsed() < TIME {
                    let question = request("loop", "r");
                    let loops = (0..LOOPS).map(|_| host.decide_access(&question));
                    let verdicts = futures_util::future::join_all(loops).await;
                    assert!(verdicts.iter().all(|verdict| verdict.decision.is_err()));
                }
            })
        },
        || honest_p99(&host, "op-0", quiet),
    );
    let name = format!(
        "policy: honest p99 while {LOOPS} evaluations loop until their deadline (floor: quiet; goal <= 3)"
    );
    Row::new(name, "µs", ours, floor)
}

fn resident_mib() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<f64>().unwrap() / 1024.0
}

/// What a set with many bindings adds to the process, beside one with a single binding.
fn memory() -> Row {
    let added = |count: usize| {
        let directory = tempfile::tempdir().unwrap();
        many_bindings(directory.path(), count);
        // The first time compiles; what a running gateway holds is what it loads from the artifacts.
        drop(open(directory.path()));
        let before = resident_mib();
        let host = open(directory.path());
        let after = resident_mib();
        drop(host);
        (after - before).max(0.1)
    };
    let one = added(1);
    let many = added(MANY);
    Row::new(format!("policy: memory of {MANY} bound policies (floor: of 1)"), "MiB", many, one)
}
