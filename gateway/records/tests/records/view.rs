use std::time::Duration;

use chancery_records::{Items, View, ViewError};

use super::{Group, World, members};

const AGE: Duration = Duration::from_secs(30);

fn ids(view: &View<Group>) -> Vec<String> {
    view.known().unwrap().ids().map(str::to_owned).collect()
}

async fn view(world: &World) -> View<Group> {
    View::open("groups", world.groups.clone(), AGE, Items::default).await.unwrap()
}

#[tokio::test]
async fn it_has_what_was_there_and_what_comes() {
    let world = World::new();
    world.put("a", &["1"]).await;
    let view = view(&world).await;
    assert_eq!(members(&view.get("a").unwrap().unwrap().value), ["1"]);
    world.put("a", &["1", "2"]).await;
    world.put("b", &[]).await;
    view.catch_up().await.unwrap();
    assert_eq!(members(&view.get("a").unwrap().unwrap().value), ["1", "2"]);
    assert_eq!(ids(&view), ["a", "b"]);
    world.delete("a").await;
    view.catch_up().await.unwrap();
    assert!(view.get("a").unwrap().is_none());
    assert_eq!(view.known().unwrap().all().unwrap().len(), 1);
}

#[tokio::test]
async fn what_others_do_arrives_without_being_asked_for() {
    let world = World::new();
    let view = view(&world).await;
    world.put("a", &["1"]).await;
    while view.get("a").unwrap().is_none() {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_gap_in_the_watch_is_closed_by_reading_everything_again() {
    let world = World::new();
    world.put("goes", &[]).await;
    let view = view(&world).await;
    // One task, so that the follower sees nothing until all of this is done.
    world.delete("goes").await;
    for number in 0..1500 {
        world.put(&format!("{number:04}"), &["x"]).await;
    }
    view.catch_up().await.unwrap();
    assert_eq!(ids(&view).len(), 1500);
    assert!(view.get("goes").unwrap().is_none());
    world.put("after", &[]).await;
    view.catch_up().await.unwrap();
    assert!(view.get("after").unwrap().is_some());
}

#[tokio::test(start_paused = true)]
async fn beyond_its_greatest_age_it_refuses_to_answer() {
    let world = World::new();
    world.put("a", &[]).await;
    let view = view(&world).await;
    tokio::time::sleep(AGE * 10).await;
    view.get("a").unwrap().unwrap();
    world.store.fail_reads(true);
    tokio::time::sleep(AGE / 2).await;
    view.get("a").unwrap().unwrap();
    tokio::time::sleep(AGE * 2).await;
    let refused = view.get("a").unwrap_err();
    assert!(
        matches!(&refused, ViewError::Stale { name: "groups", age } if *age >= AGE),
        "{refused}"
    );
    assert!(
        refused.to_string().starts_with("the groups in memory may be out of date"),
        "{refused}"
    );
    assert!(view.catch_up().await.is_err());
    world.put("b", &[]).await;
    world.store.fail_reads(false);
    tokio::time::sleep(AGE / 2).await;
    assert_eq!(ids(&view), ["a", "b"]);
}

#[tokio::test(start_paused = true)]
async fn a_change_that_could_not_be_read_is_not_forgotten() {
    let world = World::new();
    let view = view(&world).await;
    world.store.fail_reads(true);
    world.put("a", &["1"]).await;
    assert!(view.catch_up().await.is_err());
    world.store.fail_reads(false);
    view.catch_up().await.unwrap();
    assert!(view.get("a").unwrap().is_some());
}

#[tokio::test]
async fn the_end_of_the_watch_is_the_end_of_its_answers() {
    let world = World::new();
    world.put("a", &[]).await;
    world.store.end_watches();
    let view = view(&world).await;
    while view.get("a").is_ok() {
        tokio::task::yield_now().await;
    }
    assert!(matches!(view.catch_up().await, Err(ViewError::Stale { .. })));
}

#[tokio::test]
async fn a_damaged_record_fails_those_who_ask_for_it() {
    let world = World::new();
    world.put("good", &["1"]).await;
    world.put_bytes("bad", b"{".to_vec()).await;
    let view = view(&world).await;
    view.get("good").unwrap().unwrap();
    let refused = view.get("bad").unwrap_err();
    assert!(matches!(&refused, ViewError::Damaged { key, .. } if key.to_string() == "t/group/bad"));
    assert!(view.known().unwrap().all().is_err(), "what it says is not known");
    assert_eq!(ids(&view), ["bad", "good"]);
    world.put("bad", &[]).await;
    world.put_bytes("good", b"]".to_vec()).await;
    view.catch_up().await.unwrap();
    view.get("bad").unwrap().unwrap();
    view.get("good").unwrap_err();
}
