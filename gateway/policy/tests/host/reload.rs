//! Takes a new set of policies into use while the old one decides.

use std::fs;
use std::path::Path;
use std::time::Duration;

use chancery_policy::{Denial, PolicyConfig, PolicyHost, roll_back};
use futures_util::future::join_all;

use crate::guests::{ALLOW, DENY, Guest};
use crate::installation::{Installation, request, shipped};

fn allows() -> Vec<u8> {
    Guest::default().component()
}

fn denies() -> Vec<u8> {
    Guest { evaluate: DENY, ..Guest::default() }.component()
}

#[tokio::test]
async fn a_new_set_takes_effect_as_a_whole() {
    let installation = Installation::new();
    installation.bind_access("a", &allows(), "");
    let host = installation.open().unwrap();
    assert!(host.decide_access(&request("o", "r")).await.decision.is_ok());
    installation.bind_access("b", &denies(), "");
    let summary = host.reload().unwrap();
    assert_eq!((summary.bindings, summary.plugins), (vec!["a".to_owned(), "b".to_owned()], 2));
    let verdict = host.decide_access(&request("o", "r")).await;
    assert_eq!(verdict.decision.unwrap_err().code, "mine");
    assert_eq!(verdict.evaluations.len(), 2);
}

#[tokio::test]
async fn a_bad_set_leaves_the_old_one_in_force() {
    let installation = Installation::new();
    installation.bind_access("a", &allows(), "");
    let host = installation.open().unwrap();
    let before = host.summary();
    installation.bind_access("b", &denies(), "");
    installation.document("c.toml", "[[binding]]\nnam = 1");
    assert!(host.reload().unwrap_err().to_string().contains("did you mean `name`?"));
    assert_eq!(host.summary(), before);
    assert!(host.decide_access(&request("o", "r")).await.decision.is_ok());
    fs::remove_file(installation.policies().join("c.toml")).unwrap();
    host.reload().unwrap();
    assert!(host.decide_access(&request("o", "r")).await.decision.is_err());
}

#[tokio::test]
async fn work_that_panics_is_said_to_be_a_fault_of_the_gateway() {
    let installation = Installation::new();
    installation.bind_access("a", &allows(), "");
    let host = installation.open().unwrap();
    let loaded = host.blocking::<()>(|_| panic!("a fault")).await.unwrap_err();
    let read = host.reading::<()>(|_| panic!("a fault")).await.unwrap_err();
    for (error, doing) in [(loaded, "loading"), (read, "reading")] {
        let said =
            format!("{doing} the policies did not come to its end, by a fault of the gateway");
        assert!(error.to_string().starts_with(&said), "{error}");
    }
    assert!(host.decide_access(&request("o", "r")).await.decision.is_ok());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_decision_fails_while_sets_are_exchanged() {
    let installation = Installation::new();
    installation.bind_access("a", &allows(), "");
    let host = installation.open().unwrap();
    let reloading = host.clone();
    let document = installation.policies().join("a.toml");
    let text = fs::read_to_string(&document).unwrap();
    let reloads = tokio::task::spawn_blocking(move || {
        for n in 0..20 {
            // A different set each time.
            fs::write(&document, format!("# {n}\n{text}")).unwrap();
            let before = reloading.summary();
            assert_ne!(reloading.reload().unwrap().digest, before.digest);
        }
    });
    let question = request("o", "r");
    let mut decided = 0;
    while decided == 0 || !reloads.is_finished() {
        let verdicts = join_all((0..20).map(|_| host.decide_access(&question))).await;
        assert!(verdicts.iter().all(|verdict| verdict.decision.is_ok()), "{verdicts:?}");
        decided += verdicts.len();
    }
    reloads.await.unwrap();
}

#[tokio::test]
async fn one_call_goes_back_to_the_set_before_older_versions_and_all() {
    let installation = Installation::new();
    let version = |evaluate, version| Guest { version, evaluate, ..Guest::default() }.component();
    installation.bind_access("a", &version(ALLOW, "1.0.0"), "");
    let history = Some(installation.policies().join("../history"));
    let config = PolicyConfig { history, ..installation.config() };
    let host = PolicyHost::open(config.clone()).unwrap();
    assert!(host.roll_back(None).unwrap_err().to_string().contains("kept: 1"));
    installation.bind_access("a", &version(DENY, "2.0.0"), "");
    installation.bind_access("b", &denies(), "");
    assert_eq!(host.reload().unwrap().number, Some(2));
    assert!(host.decide_access(&request("o", "r")).await.decision.is_err());

    let (restored, summary) = host.roll_back(None).unwrap();
    assert_eq!((restored.number, summary.number), (1, Some(3)));
    assert_eq!(restored.set_aside, [Path::new("b.toml.aside-1")]);
    assert!(host.decide_access(&request("o", "r")).await.decision.is_ok());
    assert_eq!(host.in_force()[0].version, "1.0.0");
    let sets = host.history().unwrap();
    assert_eq!(sets.iter().map(|set| set.number).collect::<Vec<_>>(), [3, 2, 1]);
    assert_eq!(sets[0].digest, sets[2].digest, "the same files");

    // Without the host, for its next start.
    drop(host);
    roll_back(&config, Some(2)).unwrap();
    let host = PolicyHost::open(config.clone()).unwrap();
    assert_eq!(host.in_force()[0].version, "2.0.0");
    roll_back(&config, Some(1)).unwrap();
    assert_eq!(PolicyHost::open(config).unwrap().in_force()[0].version, "1.0.0");
}

#[tokio::test]
async fn without_a_history_there_is_nothing_to_go_back_to() {
    let installation = Installation::new();
    installation.bind_access("a", &allows(), "");
    let host = installation.open().unwrap();
    assert!(host.roll_back(None).is_err());
    assert_eq!((host.summary().number, host.history().unwrap()), (None, vec![]));
}

#[tokio::test]
async fn a_monitor_is_recorded_and_does_not_decide() {
    let installation = Installation::new();
    installation.bind_access("a", &denies(), "mode = \"monitor\"");
    let host = installation.open().unwrap();
    let verdict = host.decide_access(&request("o", "r")).await;
    assert_eq!(verdict.decision.unwrap_err().code, Denial::NO_POLICY);
    assert_eq!(verdict.evaluations[0].outcome, "monitor:deny");
    installation.bind_access("b", &allows(), "");
    host.reload().unwrap();
    assert!(host.decide_access(&request("o", "r")).await.decision.is_ok());
}

#[tokio::test]
async fn ceilings_of_several_bindings_merge_to_the_strictest() {
    let installation = Installation::new();
    let rules = shipped("access-rules");
    for (name, ttl) in [("a", "2h"), ("b", "1h"), ("c", "3h")] {
        let rule = format!(
            "[[binding.settings.rules]]\nname = \"r\"\nidentities = [\"*\"]\noperations = [\"*\"]\n\
             resources = [\"*\"]\neffect = \"allow\"\nmax_ttl = \"{ttl}\""
        );
        installation.bind_access(name, &rules, &rule);
    }
    let host = installation.open().unwrap();
    assert_eq!(host.summary().plugins, 1);
    let grant = host.decide_access(&request("o", "r")).await.decision.unwrap();
    assert_eq!(grant.max_ttl, Some(Duration::from_hours(1)));
}

#[tokio::test]
async fn a_component_that_cannot_be_configured_in_advance_is_configured_each_time() {
    // A table that changes cannot be snapshotted. The guest denies unless it was configured.
    let evaluate = format!(
        "(table.set $t (i32.const 0) (ref.null func))
         (if (global.get $configured) (then (return (i32.const 1024)))) {DENY}"
    );
    let table = Guest { evaluate: &evaluate, more: "(table $t 1 funcref)", ..Guest::default() };
    // Memory that cannot grow cannot be read for a snapshot.
    let evaluate = format!("(if (global.get $configured) (then (return (i32.const 1024)))) {DENY}");
    let full = Guest { evaluate: &evaluate, pages: "1 1", ..Guest::default() };
    for guest in [table, full] {
        let installation = Installation::new();
        installation.bind_access("a", &guest.component(), "");
        for _ in 0..2 {
            // The second start finds the artifact, with the mark that it is not configured.
            let host = installation.open().unwrap();
            assert!(host.decide_access(&request("o", "r")).await.decision.is_ok());
        }
    }
}

#[tokio::test]
async fn the_example_freezes_what_others_allow() {
    let installation = Installation::new();
    installation.bind_access("allow", &allows(), "");
    let settings = "[binding.settings]\nfrozen = [\"secret/app/release-*\"]";
    installation.bind_access("freeze", &shipped("example-access"), settings);
    let host = installation.open().unwrap();
    let decide = async |operation: &str, resource: &str| {
        let said = host.decide_access(&request(operation, resource)).await.decision;
        said.map(|_| ()).map_err(|denial| denial.code)
    };
    assert_eq!(decide("secrets.read", "secret/app/release-1").await, Ok(()));
    assert_eq!(decide("secrets.update", "secret/app/db").await, Ok(()));
    let frozen = Err("frozen".to_owned());
    assert_eq!(decide("secrets.update", "secret/app/release-1").await, frozen);
}

#[tokio::test]
async fn a_component_is_configured_once_and_not_in_each_evaluation() {
    // Counts how often it is configured, and denies unless that is once.
    let configure =
        "(global.set $times (i32.add (global.get $times) (i32.const 1))) i32.const 1024";
    let evaluate = format!(
        "(if (i32.eq (global.get $times) (i32.const 1)) (then (return (i32.const 1024)))) {DENY}"
    );
    let more = "(global $times (mut i32) (i32.const 0))";
    // A loop this long would pass the deadline in each evaluation, but fits once at the start.
    let slow = format!(
        "(local.set 0 (i32.const 0)) (loop (br_if 0 (i32.lt_u
            (local.tee 0 (i32.add (local.get 0) (i32.const 1))) (i32.const 100000000)))) {configure}"
    );
    let guest = Guest { configure: &slow, evaluate: &evaluate, more, ..Guest::default() };
    let installation = Installation::new();
    installation.bind_access("a", &guest.component(), "limits = { deadline_ms = 20 }");
    let host = installation.open().unwrap();
    for _ in 0..3 {
        let verdict = host.decide_access(&request("o", "r")).await;
        assert!(verdict.decision.is_ok(), "{:?}", verdict.evaluations);
    }
}
