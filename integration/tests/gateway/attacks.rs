//! What a policy can try against the gateway that runs it, each attack by a real component, while an honest
//! client goes on. The attack is contained, the audit log says how it ended, no other request is refused, and
//! nothing is left behind.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use aws_lc_rs::digest;
use chancery_integration::gateway::Gateway;
use chancery_integration::http::Response;
use chancery_integration::plugin::Access;
use chancery_integration::process::eventually;
use chancery_integration::site::Site;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;

/// The attacking policies, the answer that their callers get, and what the audit log says.
const ATTACKS: [(Access, u16, &str); 15] = [
    (Access::Loops, 403, "error:deadline"),
    (Access::LoopsInAllocator, 403, "error:deadline"),
    (Access::Grows, 403, "error:memory"),
    (Access::GrowsTables, 403, "error:memory"),
    (Access::Recurses, 403, "error:stack"),
    (Access::Traps, 403, "error:trap"),
    (Access::AnswersGarbage, 403, "error:answer"),
    (Access::AnswersTooMuch, 403, "error:answer-too-large"),
    (Access::AnswersAMillion, 403, "error:answer-too-large"),
    (Access::FloodsTheLog, 403, "error:deadline"),
    (Access::FloodsLookups, 403, "error:deadline"),
    (Access::FloodsHandles, 403, "error:handles"),
    (Access::AnswersAtRandom, 403, "deny"),
    // Allowed, so the caller learns that there is no such secret.
    (Access::Sleeps, 404, "allow"),
    (Access::LeavesCanary, 404, "allow"),
];

/// How many requests of one attack come at once.
const AT_ONCE: usize = 24;

/// How much the process may have grown after an attack. Threads and allocators keep a little; one successful
/// attack on memory takes more than that.
const KEPT_KIB: u64 = 32 * 1024;

fn name(policy: Access) -> String {
    let mut name = String::new();
    for letter in format!("{policy:?}").chars() {
        if letter.is_ascii_uppercase() && !name.is_empty() {
            name.push('-');
        }
        name.push(letter.to_ascii_lowercase());
    }
    name
}

fn path(policy: Access) -> String {
    format!("/v1/secret/data/app/{}", name(policy))
}

/// Writes a binding for each policy, about a secret of its own, in place of the earlier bindings.
fn write_bindings(gateway: &Gateway, policies: impl IntoIterator<Item = Access>) {
    let mut document = String::new();
    for policy in policies {
        let (name, component) = (name(policy), policy.component());
        fs::write(gateway.path(&format!("policies/plugins/{name}.wasm")), &component)
            .expect("the plugin can be written");
        let digest = hex::encode(digest::digest(&digest::SHA256, &component));
        write!(
            document,
            "[[binding]]\nname = \"{name}\"\ndecision = \"access\"\n\
             plugin = {{ file = \"plugins/{name}.wasm\", digest = \"sha256:{digest}\" }}\n\
             match = {{ resources = [\"secret/app/{name}\"] }}\n\
             limits = {{ deadline_ms = 20, memory_kib = 20480, answer_kib = 64 }}\n\
             grants = {{ groups = [\"hand\"] }}\n\n"
        )
        .expect("a string");
    }
    fs::write(gateway.path("policies/attacks.toml"), document).expect("bindings can be written");
}

/// Does the work while an honest client reads a secret over and over, and fails if a read is refused.
fn while_others_are_served<T>(gateway: &Gateway, work: impl FnOnce() -> T) -> T {
    let done = AtomicBool::new(false);
    let answered = AtomicUsize::new(0);
    let app = gateway.app();
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut connection = app.connect().expect("a connection");
            while answered.load(Ordering::SeqCst) == 0 || !done.load(Ordering::SeqCst) {
                let answer = connection
                    .send("GET", "/v1/secret/data/app/honest", &[], b"")
                    .expect("an honest request is answered");
                assert_eq!(answer.status, 200, "{}", answer.text());
                answered.fetch_add(1, Ordering::SeqCst);
            }
        });
        let worked = work();
        done.store(true, Ordering::SeqCst);
        worked
    })
}

/// Sends this many requests at once, about the secret for which this policy is asked.
fn attack(gateway: &Gateway, policy: Access, requests: usize) -> Vec<Response> {
    let (app, path) = (gateway.app(), path(policy));
    let connected = Barrier::new(requests);
    let ask = || {
        let mut connection = app.connect().expect("a connection");
        connected.wait();
        connection.send("GET", &path, &[], b"").expect("an answer, even if it is a refusal")
    };
    thread::scope(|scope| {
        let asked: Vec<_> = (0..requests).map(|_| scope.spawn(ask)).collect();
        asked.into_iter().map(|thread| thread.join().expect("an answer")).collect()
    })
}

/// Resident memory of the gateway, in KiB.
fn resident(gateway: &Gateway) -> u64 {
    let status =
        fs::read_to_string(format!("/proc/{}/status", gateway.id())).expect("the gateway is up");
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).expect("resident memory");
    let kib = line.split_whitespace().nth(1).and_then(|kib| kib.parse().ok());
    kib.expect("a number of KiB")
}

fn start(site: &Site) -> Gateway {
    let gateway = Gateway::start(site);
    let body = json!({ "data": { "a": "b" } });
    drop(gateway.app().post("/v1/secret/data/app/honest", &body).expect(200));
    gateway
}

#[test]
fn what_policies_try_when_they_are_asked_is_contained_and_leaves_nothing_behind() {
    let site = Site::new();
    let mut gateway = start(&site);
    write_bindings(&gateway, ATTACKS.map(|(policy, ..)| policy));
    let said = gateway.reload();
    assert!(!said.contains("reload failed"), "{said}");

    let mut before = 0;
    for round in 0..3 {
        for (policy, status, _) in ATTACKS {
            let answers = while_others_are_served(&gateway, || attack(&gateway, policy, AT_ONCE));
            // Requests for which a looping policy leaves no time are told to come again.
            let (waited, decided): (Vec<_>, Vec<_>) =
                answers.into_iter().partition(|answer| answer.status == 429);
            assert!(waited.len() < AT_ONCE, "{policy:?} was never asked");
            for answer in &decided {
                assert_eq!(answer.status, status, "{policy:?}: {}", answer.text());
            }
            // The same question has the same answer, whatever a policy does with it.
            let texts: BTreeSet<String> = decided.iter().map(Response::text).collect();
            assert!(policy != Access::AnswersAtRandom || texts.len() == 1, "{texts:?}");
            // The first round allocates what is made once and kept: threads, slots, buffers.
            let now = resident(&gateway);
            assert!(
                round == 0 || now < before + KEPT_KIB,
                "{policy:?}: {before} KiB became {now} KiB"
            );
            before = if round == 0 { before.max(now) } else { before };
        }
    }

    let lines = gateway.audit();
    for (policy, _, outcome) in ATTACKS {
        let resource = format!("secret/app/{}", name(policy));
        let outcomes: BTreeSet<&str> = lines
            .iter()
            .filter(|line| line["resource"] == resource)
            .flat_map(|line| line["decisions"].as_array().into_iter().flatten())
            .filter(|decision| decision["binding"] == name(policy))
            .filter_map(|decision| decision["outcome"].as_str())
            .collect();
        assert_eq!(outcomes, BTreeSet::from([outcome]), "{policy:?}");
    }
    gateway.assert_up();
}

#[test]
fn what_policies_try_when_they_are_loaded_is_refused_and_the_others_stay_in_force() {
    let site = Site::new();
    let mut gateway = start(&site);
    write_bindings(&gateway, [Access::Traps, Access::Sleeps]);
    assert!(!gateway.reload().contains("reload failed"));

    let refused = |reason: &str| {
        let said = while_others_are_served(&gateway, || gateway.reload());
        assert!(said.contains("reload failed") && said.contains(reason), "{reason}: {said}");
        // The earlier set decides as before.
        assert_eq!(gateway.app().get(&path(Access::Traps)).status, 403);
        assert_eq!(gateway.app().get(&path(Access::Sleeps)).status, 404);
    };
    for policy in [Access::LoopsAtStart, Access::LoopsInConfigure, Access::KeepsTheCompilerBusy] {
        write_bindings(&gateway, [Access::Traps, Access::Sleeps, policy]);
        refused("no answer within the deadline");
    }
    // A component that is too large is not compiled at all.
    write_bindings(&gateway, [Access::Traps, Access::Sleeps]);
    let mut huge = Access::Traps.component();
    huge.resize(32 * 1024 * 1024 + 1, 0);
    fs::write(gateway.path("policies/plugins/traps.wasm"), huge).expect("it can be written");
    refused("more than 33554432");

    write_bindings(&gateway, [Access::Traps, Access::Sleeps]);
    assert!(!gateway.reload().contains("reload failed"));
    gateway.assert_up();
}

/// The process in which the gateway of this id compiles, if there is one.
fn compiler_of(gateway: u32) -> Option<Pid> {
    let threads = fs::read_dir(format!("/proc/{gateway}/task")).expect("it is up").flatten();
    let children = threads.filter_map(|it| fs::read_to_string(it.path().join("children")).ok());
    children.collect::<Vec<_>>().concat().split_whitespace().find_map(|id| {
        let command = fs::read_to_string(format!("/proc/{id}/cmdline")).ok()?;
        let id = id.parse().ok().filter(|_| command.contains("compile-policy"))?;
        Pid::from_raw(id)
    })
}

#[test]
fn a_compiler_that_ends_takes_nothing_along() {
    let site = Site::new();
    let mut gateway = start(&site);
    write_bindings(&gateway, [Access::KeepsTheCompilerBusy]);
    let id = gateway.id();
    let said = while_others_are_served(&gateway, || {
        thread::scope(|scope| {
            scope.spawn(move || {
                let compiler =
                    eventually("it compiles", Duration::from_mins(1), || compiler_of(id));
                kill_process(compiler, Signal::KILL).expect("it can be killed");
            });
            gateway.reload()
        })
    });
    assert!(said.contains("reload failed"), "{said}");
    assert!(said.contains("its compiler fails over it (signal: 9 (SIGKILL))"), "{said}");
    gateway.assert_up();
}

#[test]
fn two_hundred_loops_at_once_keep_nobody_else_waiting_and_leave_nothing_behind() {
    let site = Site::new();
    let mut gateway = start(&site);
    write_bindings(&gateway, [Access::Loops]);
    assert!(!gateway.reload().contains("reload failed"));
    let mut after = Vec::new();
    for _ in 0..4 {
        for answer in while_others_are_served(&gateway, || attack(&gateway, Access::Loops, 200)) {
            // Denied by the deadline, or refused because too many wait already.
            assert!([403, 429].contains(&answer.status), "{}", answer.text());
        }
        after.push(resident(&gateway));
    }
    assert!(after[3] < after[0] + KEPT_KIB, "{after:?} KiB");
    let log = gateway.log();
    assert!(log.contains("the policy fails repeatedly"), "{log}");
    // Without the policy, everything is as it was.
    write_bindings(&gateway, []);
    assert!(!gateway.reload().contains("reload failed"));
    assert_eq!(gateway.app().get(&path(Access::Loops)).status, 404);
    gateway.assert_up();
}
