use chancery_secrets::kv::KvError;

use crate::fixture::{Fixture, path};

#[tokio::test]
async fn folders_end_in_a_slash_and_names_come_in_order() {
    let f = Fixture::new();
    let admin = f.admin().await;
    for at in ["b", "a", "a/x", "a/y/z", "a-b", "a0", "ab/c", "ü"] {
        f.write(&admin, at, "{}", None).await.unwrap();
    }
    let top = f.list(&admin, "").await.unwrap();
    assert_eq!(top, ["a", "a-b", "a/", "a0", "ab/", "b", "ü"]);
    assert_eq!(f.list(&admin, "a").await.unwrap(), ["x", "y/"]);
    assert_eq!(f.list(&admin, "a/y/").await.unwrap(), ["z"]);
    assert_eq!(f.last_audited()["resource"], "secret/a/y/");
}

#[tokio::test]
async fn an_empty_folder_is_not_found() {
    let f = Fixture::new();
    let admin = f.admin().await;
    f.write(&admin, "app/db", "{}", None).await.unwrap();
    for folder in ["none", "ap", "app/db", "app/d", "APP"] {
        let listed = f.list(&admin, folder).await;
        assert!(matches!(listed, Err(KvError::NotFound)), "{folder}: {listed:?}");
    }
}

#[tokio::test]
async fn large_folders_are_listed_whole_and_passed_over_at_once() {
    let f = Fixture::new();
    let admin = f.admin().await;
    for n in 0..300 {
        f.write(&admin, &format!("many/{n:03}"), "{}", None).await.unwrap();
        f.write(&admin, &format!("n{n:03}"), "{}", None).await.unwrap();
    }
    f.write(&admin, "many0", "{}", None).await.unwrap();
    let many = f.list(&admin, "many").await.unwrap();
    assert_eq!(many.len(), 300);
    assert_eq!((many[0].as_str(), many[299].as_str()), ("000", "299"));
    let top = f.list(&admin, "").await.unwrap();
    assert_eq!(top.len(), 302);
    assert_eq!(top[..3], ["many/", "many0", "n000"]);
}

#[tokio::test]
async fn a_page_is_the_part_of_the_list_after_a_text() {
    let f = Fixture::new();
    let admin = f.admin().await;
    for at in ["b", "a", "a/x", "a/y/z", "a-b", "a0", "ab/c", "ü", "ab/b/d"] {
        f.write(&admin, at, "{}", None).await.unwrap();
    }
    // Folders of more than what is read at once.
    for n in 0..300 {
        f.write(&admin, &format!("many/{n:03}"), "{}", None).await.unwrap();
    }
    let long = "m".repeat(5000);
    for folder in ["", "many", "a"] {
        let all = f.list(&admin, folder).await.unwrap();
        let afters =
            ["a", "a/", "a/x", "a/~", "aa", "zz", "\u{10ffff}", "0", "100", "many/5", &long];
        for after in afters.into_iter().chain(all.iter().map(String::as_str).step_by(20)) {
            for limit in [None, Some(1), Some(2), Some(100), Some(1000)] {
                let wanted = all.iter().filter(|name| name.as_str() > after);
                let wanted: Vec<_> = wanted.take(limit.unwrap_or(usize::MAX)).cloned().collect();
                let found = f.list_page(&admin, folder, after, limit).await;
                match found {
                    Err(KvError::NotFound) => {
                        assert_eq!(wanted, [""; 0], "{folder} {after} {limit:?}");
                    }
                    found => assert_eq!(found.unwrap(), wanted, "{folder} {after} {limit:?}"),
                }
            }
        }
    }
}

#[tokio::test]
async fn a_secret_is_listed_until_its_metadata_is_gone() {
    let f = Fixture::new();
    let admin = f.admin().await;
    f.write(&admin, "app/db", "{}", None).await.unwrap();
    let at = path("app/db");
    f.kv().delete_latest(&admin.context, &admin.caller, &at).await.unwrap();
    assert_eq!(f.list(&admin, "app").await.unwrap(), ["db"]);
    f.kv().delete_metadata(&admin.context, &admin.caller, &at).await.unwrap();
    assert!(matches!(f.list(&admin, "app").await, Err(KvError::NotFound)));
}
