//! Guests whose language brings WASI along: they find it empty, and can do nothing with it.

use std::fs;

use chancery_policy::{Denial, Verdict};

use crate::guests::{ALLOW, DENY, Guest};
use crate::installation::{Installation, repository, request};

/// A guest that imports these functions of WASI (the interface, the function, the rest of the core import).
fn component(imports: &[(&str, &str, &str)], guest: &Guest<'_>) -> Vec<u8> {
    let wit = tempfile::TempDir::new().unwrap();
    for entry in fs::read_dir(repository().join("wit")).unwrap() {
        let path = entry.unwrap().path();
        let world = "world access-policy {";
        let text = fs::read_to_string(&path).unwrap();
        let text = text.replace(world, &format!("{world} include chancery:tests/wasi@0.0.1;"));
        fs::write(wit.path().join(path.file_name().unwrap()), text).unwrap();
    }
    fs::create_dir(wit.path().join("deps")).unwrap();
    let wasi = repository().join("gateway/policy/tests/wasi.wit");
    fs::copy(wasi, wit.path().join("deps/wasi.wit")).unwrap();
    let imports = imports.iter().map(|(interface, function, ty)| {
        format!("(import \"wasi:{interface}@0.2.3\" \"{function}\" {ty})\n")
    });
    let import = imports.collect::<Vec<_>>().concat();
    Guest { import: &import, ..*guest }.component_of(wit.path(), "0.9.0")
}

async fn asked(component: &[u8]) -> Verdict<chancery_policy::AccessGrant> {
    let installation = Installation::new();
    installation.bind_access("b", component, "");
    let host = installation.open().unwrap();
    let first = host.decide_access(&request("o", "r")).await;
    let second = host.decide_access(&request("o", "r")).await;
    // The same question has the same answer.
    assert_eq!(first.decision, second.decision);
    assert_eq!(first.evaluations[0].outcome, second.evaluations[0].outcome);
    first
}

/// What a guest fails with that does this, and what the audit log has about it.
async fn failure(imports: &[(&str, &str, &str)], evaluate: &str) -> (String, String) {
    let component = component(imports, &Guest { evaluate, ..Guest::default() });
    let verdict = asked(&component).await;
    let denial = verdict.decision.unwrap_err();
    assert_eq!(denial.code, Denial::POLICY_FAILED);
    (verdict.evaluations[0].outcome.clone(), denial.audit)
}

#[tokio::test]
async fn nothing_of_the_machine_is_seen_and_nothing_waits() {
    let imports = [
        ("cli/environment", "get-environment", "(func $environment (param i32))"),
        ("cli/environment", "get-arguments", "(func $arguments (param i32))"),
        ("cli/environment", "initial-cwd", "(func $cwd (param i32))"),
        ("cli/terminal-stdin", "get-terminal-stdin", "(func $terminal (param i32))"),
        ("filesystem/preopens", "get-directories", "(func $directories (param i32))"),
        ("clocks/wall-clock", "now", "(func $time (param i32))"),
        ("clocks/monotonic-clock", "now", "(func $ticks (result i64))"),
        ("clocks/monotonic-clock", "subscribe-duration", "(func $later (param i64) (result i32))"),
        ("io/poll", "[method]pollable.ready", "(func $ready (param i32) (result i32))"),
        ("io/poll", "[method]pollable.block", "(func $block (param i32))"),
        ("io/poll", "poll", "(func $poll (param i32 i32 i32))"),
        ("cli/stdin", "get-stdin", "(func $stdin (result i32))"),
        ("io/streams", "[method]input-stream.blocking-read", "(func $read (param i32 i64 i32))"),
    ];
    // Answers go to 3072. A list has its length in the second word, an option and a result their case in
    // the first byte.
    let denied_if = |what: &str| format!("(if {what} (then {DENY} return))\n");
    let list = "(i32.load (i32.const 3076))";
    let case = "(i32.load8_u (i32.const 3072))";
    let evaluate = [
        "(local $later i32)".to_owned(),
        "(i32.store (i32.const 3076) (i32.const 1)) (call $environment (i32.const 3072))"
            .to_owned(),
        denied_if(list),
        "(i32.store (i32.const 3076) (i32.const 1)) (call $arguments (i32.const 3072))".to_owned(),
        denied_if(list),
        "(i32.store (i32.const 3076) (i32.const 1)) (call $directories (i32.const 3072))"
            .to_owned(),
        denied_if(list),
        "(i32.store (i32.const 3072) (i32.const 1)) (call $cwd (i32.const 3072))".to_owned(),
        denied_if(case),
        "(i32.store (i32.const 3072) (i32.const 1)) (call $terminal (i32.const 3072))".to_owned(),
        denied_if(case),
        "(call $time (i32.const 3072))".to_owned(),
        denied_if("(i32.wrap_i64 (i64.load (i32.const 3072)))"),
        denied_if("(i64.ne (call $ticks) (i64.const 0))"),
        // A century is over at once.
        "(local.set $later (call $later (i64.const 3155760000000000000)))".to_owned(),
        "(call $block (local.get $later))".to_owned(),
        denied_if("(i32.eqz (call $ready (local.get $later)))"),
        "(i32.store (i32.const 4096) (local.get $later))".to_owned(),
        "(call $poll (i32.const 4096) (i32.const 1) (i32.const 3072))".to_owned(),
        denied_if("(i32.ne (i32.load (i32.const 3076)) (i32.const 1))"),
        "(i32.store (i32.const 3072) (i32.const 0))".to_owned(),
        "(call $read (call $stdin) (i64.const 100) (i32.const 3072))".to_owned(),
        denied_if("(i32.ne (i32.load8_u (i32.const 3072)) (i32.const 1))"),
        ALLOW.to_owned(),
    ]
    .concat();
    let component = component(&imports, &Guest { evaluate: &evaluate, ..Guest::default() });
    let verdict = asked(&component).await;
    assert!(verdict.decision.is_ok(), "{verdict:?}");
}

#[tokio::test]
async fn random_numbers_are_the_same_in_every_evaluation() {
    let imports = [
        ("random/random", "get-random-u64", "(func $number (result i64))"),
        ("random/insecure-seed", "insecure-seed", "(func $seed (param i32))"),
    ];
    // A denial whose message is made of them, as letters; `asked` compares two.
    let evaluate = "
        (call $seed (i32.const 3072))
        (i64.store (i32.const 4096) (i64.or (i64.const 0x4040404040404040)
            (i64.and (i64.const 0x1f1f1f1f1f1f1f1f) (call $number))))
        (i64.store (i32.const 4104) (i64.or (i64.const 0x4040404040404040)
            (i64.and (i64.const 0x1f1f1f1f1f1f1f1f) (i64.load (i32.const 3080)))))
        (i32.store8 (i32.const 2048) (i32.const 1))
        (i32.store (i32.const 2064) (i32.const 4096))
        (i32.store (i32.const 2068) (i32.const 16))
        (i32.const 2048)";
    let component = component(&imports, &Guest { evaluate, ..Guest::default() });
    let denial = asked(&component).await.decision.unwrap_err();
    assert_eq!(denial.message.len(), 16);
    assert_ne!(denial.message[..8], denial.message[8..]);
}

#[tokio::test]
async fn what_is_not_there_ends_the_evaluation_and_says_what_it_was() {
    let exit = [("cli/exit", "exit", "(func $exit (param i32))")];
    let (outcome, audit) = failure(&exit, "(call $exit (i32.const 0)) i32.const 1024").await;
    assert_eq!(outcome, "error:trap");
    assert!(audit.contains("it exits"), "{audit}");

    let network =
        [("sockets/instance-network", "instance-network", "(func $network (result i32))")];
    let (outcome, audit) = failure(&network, "(drop (call $network)) i32.const 1024").await;
    assert_eq!(outcome, "error:trap");
    let called = "`wasi:sockets/instance-network#instance-network`";
    assert!(audit.contains(called), "{audit}");

    let bytes = [("random/random", "get-random-bytes", "(func $bytes (param i64 i32))")];
    let many = "(call $bytes (i64.const 1099511627776) (i32.const 3072)) i32.const 1024";
    let (outcome, audit) = failure(&bytes, many).await;
    assert_eq!(outcome, "error:trap");
    assert!(audit.contains("1099511627776 random bytes"), "{audit}");
}

#[tokio::test]
async fn a_flood_of_handles_ends_at_the_limit() {
    let imports = [("cli/stdout", "get-stdout", "(func $stdout (result i32))")];
    let flood = "(loop (drop (call $stdout)) (br 0)) unreachable";
    let (outcome, audit) = failure(&imports, flood).await;
    assert_eq!(outcome, "error:handles");
    assert!(audit.contains("held more handles than the limit"), "{audit}");
}

#[tokio::test]
async fn what_is_dropped_is_no_flood() {
    let imports = [
        ("cli/stdout", "get-stdout", "(func $stdout (result i32))"),
        ("io/streams", "[resource-drop]output-stream", "(func $drop (param i32))"),
    ];
    let evaluate = format!(
        "(local $left i32) (local.set $left (i32.const 2000))
         (loop
             (call $drop (call $stdout))
             (local.set $left (i32.sub (local.get $left) (i32.const 1)))
             (br_if 0 (local.get $left)))
         {ALLOW}"
    );
    let component = component(&imports, &Guest { evaluate: &evaluate, ..Guest::default() });
    assert!(asked(&component).await.decision.is_ok());
}

#[tokio::test]
async fn a_stream_that_a_guest_keeps_from_its_configuration_is_there_in_evaluations() {
    let imports = [
        ("cli/stderr", "get-stderr", "(func $stderr (result i32))"),
        (
            "io/streams",
            "[method]output-stream.blocking-write-and-flush",
            "(func $write (param i32 i32 i32 i32))",
        ),
    ];
    // A handle is no memory: it would be gone if only the memory had been kept.
    let configure = format!("(i32.store (i32.const 40000) (call $stderr)) {ALLOW}");
    let evaluate = format!(
        "(i32.store8 (i32.const 3072) (i32.const 1))
         (call $write (i32.load (i32.const 40000)) (i32.const 16) (i32.const 4) (i32.const 3072))
         (if (i32.load8_u (i32.const 3072)) (then {DENY} return))
         {ALLOW}"
    );
    let guest = Guest { configure: &configure, evaluate: &evaluate, ..Guest::default() };
    let verdict = asked(&component(&imports, &guest)).await;
    assert!(verdict.decision.is_ok(), "{verdict:?}");
}
