use std::collections::BTreeSet;
use std::sync::Arc;

use chancery_secrets::kv::{KvError, SecretData};

use crate::fixture::{Fixture, path};

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn writers_of_one_secret_do_not_lose_each_other_s_versions() {
    let f = Arc::new(Fixture::new());
    let writers: Vec<_> = (0..64)
        .map(|n| {
            let f = f.clone();
            tokio::spawn(async move {
                let admin = f.admin().await;
                f.write(&admin, "hot", &format!(r#"{{"n":{n}}}"#), None).await.unwrap().number
            })
        })
        .collect();
    let mut numbers = BTreeSet::new();
    for writer in writers {
        assert!(numbers.insert(writer.await.unwrap()), "each version is written once");
    }
    assert_eq!(numbers, (1..=64).collect());
    assert_eq!(f.values().await.len(), 10, "the limit holds");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_many_that_create_with_cas_0_one_succeeds() {
    let f = Arc::new(Fixture::new());
    let writers: Vec<_> = (0..32)
        .map(|n| {
            let f = f.clone();
            tokio::spawn(async move {
                let admin = f.admin().await;
                f.write(&admin, "once", &format!(r#"{{"n":{n}}}"#), Some(0)).await
            })
        })
        .collect();
    let mut created = 0;
    for writer in writers {
        match writer.await.unwrap() {
            Ok(written) => {
                assert_eq!(written.number, 1);
                created += 1;
            }
            Err(error) => assert!(matches!(error, KvError::CasMismatch), "{error}"),
        }
    }
    assert_eq!(created, 1);
    assert_eq!(f.values().await.len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn patches_of_different_members_all_arrive() {
    let f = Arc::new(Fixture::new());
    let admin = f.admin().await;
    f.write(&admin, "shared", "{}", None).await.unwrap();
    let patches: Vec<_> = (0..24)
        .map(|n| {
            let f = f.clone();
            tokio::spawn(async move {
                let admin = f.admin().await;
                let patch = SecretData::from_json(&format!(r#"{{"k{n}":{n}}}"#)).unwrap();
                let at = path("shared");
                f.kv().patch(&admin.context, &admin.caller, &at, &patch, None).await.unwrap();
            })
        })
        .collect();
    for patch in patches {
        patch.await.unwrap();
    }
    let members: serde_json::Map<String, serde_json::Value> =
        serde_json::from_str(&f.read(&admin, "shared").await.unwrap()).unwrap();
    assert_eq!(members.len(), 24);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_reader_always_finds_a_value_while_versions_come_and_go() {
    let f = Arc::new(Fixture::new());
    let admin = f.admin().await;
    f.write(&admin, "busy", r#"{"n":0}"#, None).await.unwrap();
    let writer = {
        let f = f.clone();
        tokio::spawn(async move {
            let admin = f.admin().await;
            for n in 1..200 {
                f.write(&admin, "busy", &format!(r#"{{"n":{n}}}"#), None).await.unwrap();
            }
        })
    };
    let mut reads = 0;
    while !writer.is_finished() {
        f.read(&admin, "busy").await.unwrap();
        reads += 1;
    }
    writer.await.unwrap();
    assert!(reads > 0);
    assert_eq!(f.read(&admin, "busy").await.unwrap(), r#"{"n":199}"#);
}

#[tokio::test]
async fn a_creation_that_becomes_an_update_leaves_both_decisions_on_record() {
    let f = Fixture::new();
    let who = f.admin().await;
    let overtaken = |line: &serde_json::Value| {
        line["operation"] == "secrets.create" && line["outcome"]["code"] == "overtaken"
    };
    // Most of the time both find nothing before either is decided; in some round they do.
    let mut rounds = 0;
    while !f.sink.lines().iter().any(overtaken) {
        rounds += 1;
        assert!(rounds < 1000, "no two writes ever meet");
        let path = format!("app/race-{rounds}");
        let (a, b) = tokio::join!(
            f.write(&who, &path, r#"{"by": "a"}"#, None),
            f.write(&who, &path, r#"{"by": "b"}"#, None),
        );
        assert_eq!(a.unwrap().number + b.unwrap().number, 3);
    }
    let path = format!("secret/app/race-{rounds}");
    let lines: Vec<_> =
        f.sink.lines().into_iter().filter(|line| line["resource"] == path.as_str()).collect();
    assert!(lines.iter().all(|line| line["decisions"][0]["outcome"] == "allow"), "{lines:#?}");
    let mut outcomes: Vec<_> = lines
        .iter()
        .map(|line| {
            [&line["operation"], &line["outcome"]["result"]].map(|word| word.as_str().unwrap())
        })
        .collect();
    outcomes.sort_unstable();
    let expected = [
        ["secrets.create", "failed"],
        ["secrets.create", "success"],
        ["secrets.update", "success"],
    ];
    assert_eq!(outcomes, expected, "{lines:#?}");
}
