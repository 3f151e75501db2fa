use std::sync::Arc;
use std::time::Duration;

use chancery_records::Cache;

use super::{Group, World, members};

const AGE: Duration = Duration::from_secs(30);

fn cache(world: &World, capacity: usize) -> Arc<Cache<Group>> {
    Arc::new(Cache::new(world.groups.clone(), capacity, AGE))
}

#[tokio::test]
async fn a_record_is_read_once_until_it_changes() {
    let world = World::new();
    world.put("a", &["1"]).await;
    let cache = cache(&world, 10);
    for _ in 0..3 {
        assert_eq!(members(&cache.get("a").await.unwrap().unwrap().value), ["1"]);
    }
    assert_eq!(world.store.reads(), 1);
    world.put("a", &["2"]).await;
    assert_eq!(members(&cache.get("a").await.unwrap().unwrap().value), ["2"]);
    world.delete("a").await;
    assert!(cache.get("a").await.unwrap().is_none());
}

#[tokio::test]
async fn what_is_not_there_is_looked_for_each_time() {
    let world = World::new();
    let cache = cache(&world, 10);
    for _ in 0..3 {
        assert!(cache.get("none").await.unwrap().is_none());
    }
    assert_eq!(world.store.reads(), 3);
}

#[tokio::test]
async fn what_was_read_before_a_change_is_not_kept_after_it() {
    let world = World::new();
    world.put("a", &["old"]).await;
    let cache = cache(&world, 10);
    world.store.hold_reads();
    let reader = tokio::spawn({
        let cache = cache.clone();
        async move { cache.get("a").await.unwrap().unwrap() }
    });
    while world.store.reads() == 0 {
        tokio::task::yield_now().await;
    }
    world.put("a", &["new"]).await;
    world.store.release_reads();
    assert_eq!(members(&reader.await.unwrap().value), ["old"], "it was read before");
    assert_eq!(members(&cache.get("a").await.unwrap().unwrap().value), ["new"]);
}

#[tokio::test]
async fn a_reader_that_gives_up_leaves_nothing_behind() {
    let world = World::new();
    world.put("a", &["1"]).await;
    let cache = cache(&world, 10);
    world.store.hold_reads();
    let reader = tokio::spawn({
        let cache = cache.clone();
        async move { cache.get("a").await }
    });
    while world.store.reads() == 0 {
        tokio::task::yield_now().await;
    }
    world.put("a", &["2"]).await;
    reader.abort();
    assert!(reader.await.unwrap_err().is_cancelled());
    world.store.release_reads();
    cache.get("a").await.unwrap().unwrap();
    let reads = world.store.reads();
    cache.get("a").await.unwrap().unwrap();
    assert_eq!(world.store.reads(), reads, "the change was that of the reader who gave up");
}

#[tokio::test]
async fn a_gap_in_the_watch_empties_it() {
    let world = World::new();
    world.put("a", &["1"]).await;
    let cache = cache(&world, 10);
    cache.get("a").await.unwrap().unwrap();
    for number in 0..1100 {
        world.put(&number.to_string(), &[]).await;
    }
    world.put("a", &["2"]).await;
    assert_eq!(members(&cache.get("a").await.unwrap().unwrap().value), ["2"]);
}

#[tokio::test]
async fn without_a_watch_every_read_goes_to_the_store() {
    let world = World::new();
    world.put("a", &["1"]).await;
    world.store.end_watches();
    let cache = cache(&world, 10);
    for _ in 0..3 {
        cache.get("a").await.unwrap().unwrap();
    }
    assert_eq!(world.store.reads(), 3);
}

#[tokio::test(start_paused = true)]
async fn an_old_entry_is_read_again_and_fails_with_the_store() {
    let world = World::new();
    world.put("a", &["1"]).await;
    let cache = cache(&world, 10);
    cache.get("a").await.unwrap().unwrap();
    world.store.fail_reads(true);
    tokio::time::sleep(AGE).await;
    cache.get("a").await.unwrap().unwrap();
    tokio::time::sleep(Duration::from_millis(1)).await;
    cache.get("a").await.unwrap_err();
}

#[tokio::test]
async fn it_holds_no_more_than_its_capacity() {
    let world = World::new();
    let cache = cache(&world, 10);
    for number in 0..100 {
        let id = number.to_string();
        world.put(&id, &[]).await;
        cache.get(&id).await.unwrap().unwrap();
    }
    let before = world.store.reads();
    for number in 0..100 {
        cache.get(&number.to_string()).await.unwrap().unwrap();
    }
    assert!(world.store.reads() - before >= 90);
}
