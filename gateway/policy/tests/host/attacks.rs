//! What hostile guests try, and that each attempt is a denial which names its cause, with the host
//! unharmed.

use chancery_policy::Denial;
use futures_util::future::join_all;

use crate::guests::{ALLOW, BUMP, DENY, Guest, LOOP};
use crate::installation::{Installation, request};

/// The outcome of asking the guest twice: the second time shows that the first did no harm.
async fn outcome(guest: Guest<'_>, limits: &str) -> String {
    let installation = Installation::new();
    installation.bind_access("hostile", &guest.component(), limits);
    let host = installation.open().unwrap();
    let mut outcomes = Vec::new();
    for _ in 0..2 {
        let verdict = host.decide_access(&request("o", "r")).await;
        assert_eq!(verdict.decision.unwrap_err().code, Denial::POLICY_FAILED);
        outcomes.push(verdict.evaluations[0].outcome.clone());
    }
    assert_eq!(outcomes[0], outcomes[1]);
    outcomes.remove(0)
}

async fn evaluates_to(evaluate: &str) -> String {
    outcome(Guest { evaluate, ..Guest::default() }, "limits = { deadline_ms = 50 }").await
}

#[tokio::test]
async fn the_defaults_of_these_tests_allow_and_can_deny() {
    let installation = Installation::new();
    installation.bind_access("kind", &Guest::default().component(), "");
    let denies = Guest { evaluate: DENY, ..Guest::default() };
    let deny_only_x = "match = { operations = [\"x\"] }";
    installation.bind_access("strict", &denies.component(), deny_only_x);
    let host = installation.open().unwrap();
    assert!(host.decide_access(&request("o", "r")).await.decision.is_ok());
    let denial = host.decide_access(&request("x", "r")).await.decision.unwrap_err();
    assert_eq!(denial.code, "mine");
}

#[tokio::test]
async fn an_endless_loop_ends_at_the_deadline() {
    assert_eq!(evaluates_to(LOOP).await, "error:deadline");
}

#[tokio::test]
async fn a_loop_in_the_allocator_ends_at_the_deadline() {
    let realloc = format!("(if (global.get $configured) (then (loop (br 0)))) {BUMP}");
    let guest = Guest { realloc: &realloc, ..Guest::default() };
    assert_eq!(outcome(guest, "limits = { deadline_ms = 5 }").await, "error:deadline");
}

#[tokio::test]
async fn a_trap_is_a_denial() {
    assert_eq!(evaluates_to("unreachable").await, "error:trap");
    assert_eq!(evaluates_to("(i32.div_u (i32.const 1) (i32.const 0))").await, "error:trap");
    assert_eq!(evaluates_to("(i32.load (i32.const -4))").await, "error:trap");
}

#[tokio::test]
async fn endless_recursion_ends_at_the_stack() {
    let again = "(call $evaluate (local.get 0) (local.get 1) (local.get 2) (local.get 3)
        (local.get 4) (local.get 5) (local.get 6) (local.get 7) (local.get 8) (local.get 9))
        (i32.const 1) i32.add";
    assert_eq!(evaluates_to(again).await, "error:stack");
}

#[tokio::test]
async fn memory_ends_at_the_limit() {
    let bomb = "(loop (br_if 0 (i32.ne (memory.grow (i32.const 1)) (i32.const -1)))) unreachable";
    assert_eq!(evaluates_to(bomb).await, "error:memory");
}

#[tokio::test]
async fn a_flood_of_log_lines_ends_at_the_deadline() {
    let import = r#"(import "chancery:policy/log@0.9.0" "write"
        (func $write (param i32 i32 i32 i32 i32)))"#;
    // The whole first page as the message, over and over.
    let flood = "(loop (call $write (i32.const 2) (i32.const 0) (i32.const 65536) (i32.const 0)
        (i32.const 0)) (br 0)) unreachable";
    let guest = Guest { evaluate: flood, import, ..Guest::default() };
    let said = outcome(guest, "limits = { deadline_ms = 50 }").await;
    assert_eq!(said, "error:deadline");
}

#[tokio::test]
async fn a_flood_of_lookups_ends_at_the_deadline() {
    let import = r#"(import "chancery:policy/groups@0.9.0" "contains"
        (func $contains (param i32 i32 i32 i32 i32)))"#;
    let flood = "(loop (call $contains (i32.const 16) (i32.const 4) (i32.const 16) (i32.const 4)
        (i32.const 3072)) (br 0)) unreachable";
    // All that it is given goes to one place, so that memory does not end it.
    let realloc = "i32.const 32768";
    let guest = Guest { evaluate: flood, import, realloc, ..Guest::default() };
    let said =
        outcome(guest, "limits = { deadline_ms = 50 }\ngrants = { groups = [\"mine\"] }").await;
    assert_eq!(said, "error:deadline");
}

#[tokio::test]
async fn tables_end_at_the_limit() {
    let bomb = "(loop (br_if 0 (i32.ne
        (table.grow $t (ref.null func) (i32.const 1000)) (i32.const -1)))) unreachable";
    let guest = Guest { evaluate: bomb, more: "(table $t 1 funcref)", ..Guest::default() };
    assert_eq!(outcome(guest, "").await, "error:memory");
}

/// A denial whose message is so many bytes long.
fn long_message(bytes: u32) -> String {
    format!(
        "(i32.store8 (i32.const 2048) (i32.const 1))
         (i32.store (i32.const 2068) (i32.const {bytes}))
         (i32.const 2048)"
    )
}

/// A grant with so many obligations.
fn many_obligations(count: u32) -> String {
    format!(
        "(i32.store (i32.const 2088) (i32.const 4096))
         (i32.store (i32.const 2092) (i32.const {count}))
         (i32.const 2048)"
    )
}

#[tokio::test]
async fn an_answer_of_8_mib_is_too_large() {
    let limits = "limits = { memory_kib = 16384, answer_kib = 64 }";
    let guest = Guest { evaluate: &long_message(8 << 20), pages: "200", ..Guest::default() };
    assert_eq!(outcome(guest, limits).await, "error:answer-too-large");
}

#[tokio::test]
async fn a_list_of_a_million_is_too_large() {
    let limits = "limits = { memory_kib = 20480, answer_kib = 64 }";
    let guest = Guest { evaluate: &many_obligations(1_000_000), pages: "300", ..Guest::default() };
    assert_eq!(outcome(guest, limits).await, "error:answer-too-large");
}

#[tokio::test]
async fn an_answer_within_its_limit_is_taken_and_one_byte_more_is_not() {
    let installation = Installation::new();
    for (name, length) in [("within", 1024), ("beyond", 1025)] {
        let guest = Guest { evaluate: &long_message(length), ..Guest::default() };
        let more =
            format!("limits = {{ answer_kib = 1 }}\nmatch = {{ operations = [\"{name}\"] }}");
        installation.bind_access(name, &guest.component(), &more);
    }
    let host = installation.open().unwrap();
    let within = host.decide_access(&request("within", "r")).await.decision.unwrap_err();
    assert_eq!((within.code.as_str(), within.message.len()), ("denied", 1024));
    let beyond = host.decide_access(&request("beyond", "r")).await;
    assert_eq!(beyond.evaluations[0].outcome, "error:answer-too-large");
}

#[tokio::test]
async fn garbage_is_not_an_answer() {
    let garbage = [
        // Outside memory, not aligned, an unknown case.
        "i32.const -8",
        "i32.const 2049",
        "(i32.store8 (i32.const 2048) (i32.const 7)) (i32.const 2048)",
        // A code that is not UTF-8, one that lies outside memory.
        "(i32.store8 (i32.const 16) (i32.const 255))
         (i32.store8 (i32.const 2048) (i32.const 1))
         (i32.store (i32.const 2056) (i32.const 16))
         (i32.store (i32.const 2060) (i32.const 4))
         (i32.const 2048)",
        "(i32.store8 (i32.const 2048) (i32.const 1))
         (i32.store (i32.const 2056) (i32.const 65535))
         (i32.store (i32.const 2060) (i32.const 100))
         (i32.const 2048)",
    ];
    for evaluate in garbage {
        assert_eq!(evaluates_to(evaluate).await, "error:answer", "{evaluate}");
    }
}

#[tokio::test]
async fn an_obligation_that_nothing_fulfils_is_not_ignored() {
    let installation = Installation::new();
    let guest = Guest { evaluate: &many_obligations(1), ..Guest::default() };
    installation.bind_access("b", &guest.component(), "");
    let host = installation.open().unwrap();
    let denial = host.decide_access(&request("o", "r")).await.decision.unwrap_err();
    assert_eq!(denial.code, Denial::OBLIGATION);
}

#[tokio::test]
async fn nothing_that_one_evaluation_leaves_is_seen_by_another() {
    // Denies if it finds what it leaves: in memory, in the page behind, in a global.
    let evaluate = format!(
        "(if (i32.or (i32.load (i32.const 40000)) (global.get $left)) (then {DENY} return))
         (i32.store (i32.const 40000) (i32.const 1))
         (global.set $left (i32.const 1))
         (if (i32.eq (memory.grow (i32.const 1)) (i32.const -1)) (then unreachable))
         (if (i32.load (i32.const 65536)) (then {DENY} return))
         (i32.store (i32.const 65536) (i32.const 1))
         {ALLOW}"
    );
    let more = "(global $left (mut i32) (i32.const 0))";
    let guest = Guest { evaluate: &evaluate, more, ..Guest::default() };
    let installation = Installation::new();
    installation.bind_access("canary", &guest.component(), "");
    let host = installation.open().unwrap();
    let question = request("o", "r");
    for _ in 0..20 {
        let verdicts = join_all((0..50).map(|_| host.decide_access(&question))).await;
        for verdict in verdicts {
            assert!(verdict.decision.is_ok(), "{:?}", verdict.evaluations);
        }
    }
}

#[tokio::test]
async fn nothing_is_seen_under_memory_pressure_either() {
    // Takes all the memory that it may have, looks for what anybody left there, and fills it.
    let evaluate = format!(
        "(local $at i32)
         (if (i32.eq (memory.grow (i32.const 15)) (i32.const -1)) (then unreachable))
         (local.set $at (i32.const 65536))
         (loop
             (if (i64.ne (i64.load (local.get $at)) (i64.const 0)) (then {DENY} return))
             (local.set $at (i32.add (local.get $at) (i32.const 8)))
             (br_if 0 (i32.lt_u (local.get $at) (i32.const 1048576))))
         (memory.fill (i32.const 65536) (i32.const 0xa5) (i32.const 983040))
         {ALLOW}"
    );
    let canary = Guest { evaluate: &evaluate, ..Guest::default() };
    // Grows until it may not, and leaves its mark in each page.
    let bomb = "(local $at i32) (loop
        (local.set $at (i32.mul (memory.grow (i32.const 1)) (i32.const 65536)))
        (i64.store (local.get $at) (i64.const -1)) (br 0)) unreachable";
    let bomb = Guest { evaluate: bomb, ..Guest::default() };
    let installation = Installation::new();
    let limits = "limits = { memory_kib = 1024, deadline_ms = 1000 }";
    let when = |operation| format!("match = {{ operations = [\"{operation}\"] }}\n{limits}");
    installation.bind_access("canary", &canary.component(), &when("canary"));
    installation.bind_access("bomb", &bomb.component(), &when("bomb"));
    let host = installation.open().unwrap();
    let questions: Vec<_> =
        (0..60).map(|n| request(if n % 3 == 0 { "canary" } else { "bomb" }, "r")).collect();
    for _ in 0..5 {
        let verdicts = join_all(questions.iter().map(|asked| host.decide_access(asked))).await;
        for (asked, verdict) in questions.iter().zip(verdicts) {
            let expected = if asked.operation == "canary" { "allow" } else { "error:memory" };
            assert_eq!(verdict.evaluations[0].outcome, expected, "{verdict:?}");
        }
    }
}

#[tokio::test]
async fn honest_requests_are_answered_among_loops() {
    let installation = Installation::new();
    let loops = Guest { evaluate: LOOP, ..Guest::default() };
    let when_hostile = "match = { operations = [\"hostile\"] }\nlimits = { deadline_ms = 2 }";
    installation.bind_access("loops", &loops.component(), when_hostile);
    let when_honest = "match = { operations = [\"honest\"] }";
    installation.bind_access("honest", &Guest::default().component(), when_honest);
    let host = installation.open().unwrap();
    let questions: Vec<_> =
        (0..60).map(|n| request(if n % 3 == 2 { "honest" } else { "hostile" }, "r")).collect();
    let verdicts = join_all(questions.iter().map(|question| host.decide_access(question))).await;
    for (question, verdict) in questions.iter().zip(verdicts) {
        assert_eq!(verdict.decision.is_ok(), question.operation == "honest", "{verdict:?}");
    }
}

#[tokio::test]
async fn a_full_queue_is_a_denial_of_its_own() {
    let installation = Installation::new();
    let loops = Guest { evaluate: LOOP, ..Guest::default() };
    installation.bind_access("loops", &loops.component(), "limits = { deadline_ms = 100 }");
    let mut config = installation.config();
    (config.workers, config.queue) = (1, 1);
    let host = chancery_policy::PolicyHost::open(config).unwrap();
    let question = request("o", "r");
    let verdicts = join_all((0..10).map(|_| host.decide_access(&question))).await;
    let codes: Vec<_> = verdicts.into_iter().map(|v| v.decision.unwrap_err().code).collect();
    assert!(codes.iter().any(|code| code == Denial::OVERLOADED), "{codes:?}");
    assert!(codes.iter().any(|code| code == Denial::POLICY_FAILED), "{codes:?}");
}
